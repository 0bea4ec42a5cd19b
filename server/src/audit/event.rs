//! The events, and how each is written.

use std::time::Duration;

use super::fields::{Cipher, Factor, Fingerprint, ListenerName, Peer, SettingName, UserName, Via, Word};
use super::json::Object;
use super::sinks::Severity;
use super::time::utc;
use crate::auth::Moment;
use crate::policy::{Permission, Permissions};

/// Whom an event is about, as far as it is known by then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The connection's number in this run; all events of one connection have the same.
    pub session: Option<u64>,
    /// The listener that took it.
    pub listener: Option<ListenerName>,
    /// The other end.
    pub source: Option<Peer>,
    /// How it came.
    pub via: Via,
    /// The security type by its name in the configuration.
    pub security: Option<Word>,
    /// What encrypts.
    pub cipher: Option<Cipher>,
    /// The device key that the peer proved to hold.
    pub device: Option<Fingerprint>,
    /// The user.
    pub user: Option<UserName>,
    /// The listener is insecure by request (`--insecure-allow`).
    pub insecure: bool,
}

/// Why something was refused or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A proof was wrong, or no proof would have been enough.
    WrongProof,
    /// No verdict could be reached.
    Unavailable,
    /// The network or the pair has to wait.
    Waiting,
    /// A rule on networks forbids it.
    IpRule,
    /// A listed proxy did not tell for whom it speaks.
    NoProxyHeader,
    /// Too many connections wait to log in.
    Busy,
    /// It made way for another connection that had not logged in.
    MadeWay,
    /// A deadline passed.
    TooSlow,
    /// The peer broke the protocol.
    Protocol,
    /// The peer chose a security type that it was not offered.
    NotOffered,
    /// The peer's key or certificate is not accepted.
    Identity,
    /// Policy forbids it.
    Policy,
    /// The person at the desktop refused, or nobody answered.
    Gate,
    /// There are as many clients as may be, or what is to be seen is not there.
    Full,
    /// Somebody else has the desktop alone.
    Exclusive,
    /// The user may do nothing.
    NoPermission,
    /// The peer left.
    PeerLeft,
    /// The connection broke.
    Broken,
    /// The stream ended without the channel's own end.
    Truncated,
    /// Nothing was typed for too long.
    Idle,
    /// The session reached its longest time.
    TimeUp,
    /// Another client took over.
    TakenOver,
    /// The administrator ended it.
    Kicked,
    /// The server ends.
    ServerEnds,
    /// A fault of the server.
    Internal,
}

impl Reason {
    /// The code in events.
    pub const fn code(self) -> Word {
        match self {
            Reason::WrongProof => "wrong-proof",
            Reason::Unavailable => "unavailable",
            Reason::Waiting => "waiting",
            Reason::IpRule => "ip-rule",
            Reason::NoProxyHeader => "no-proxy-header",
            Reason::Busy => "busy",
            Reason::MadeWay => "made-way",
            Reason::TooSlow => "too-slow",
            Reason::Protocol => "protocol",
            Reason::NotOffered => "not-offered",
            Reason::Identity => "identity",
            Reason::Policy => "policy",
            Reason::Gate => "gate",
            Reason::Full => "full",
            Reason::Exclusive => "exclusive",
            Reason::NoPermission => "no-permission",
            Reason::PeerLeft => "peer-left",
            Reason::Broken => "broken",
            Reason::Truncated => "truncated",
            Reason::Idle => "idle",
            Reason::TimeUp => "time-up",
            Reason::TakenOver => "taken-over",
            Reason::Kicked => "kicked",
            Reason::ServerEnds => "server-ends",
            Reason::Internal => "internal",
        }
    }
}

/// Whom a penalty falls on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PenaltyKind {
    /// The caller has to wait.
    Wait(Duration),
    /// The user's name is being guessed at: answers are slowed down, nobody is refused.
    UserSlowed,
    /// Penalties were cleared, so many.
    Cleared(u64),
}

/// What the person at the desktop said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateOutcome {
    /// The question was put.
    Asked,
    /// Yes.
    Accepted,
    /// No.
    Refused,
    /// Nothing in time.
    TimedOut,
    /// Nobody is there to be asked.
    Nobody,
}

/// What policy did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyAction {
    /// The setting is locked.
    Locked,
    /// Somebody tried to change a locked setting.
    ChangeRefused,
}

/// What became of a helper process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelperChange {
    /// It has ended.
    Ended,
    /// Another one has taken its place.
    StartedAgain,
    /// No other one can be started.
    Lost,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A connection was accepted.
    Connect,
    /// The peer chose its security type.
    Type,
    /// The server's identity was shown to the peer.
    IdentityShown,
    /// A login succeeded.
    AuthOk {
        /// What was proved.
        factors: Vec<Factor>,
        /// What it permits.
        permissions: Permissions,
    },
    /// A login failed.
    AuthFail {
        /// Why.
        reason: Reason,
    },
    /// A connection was turned away before anything of it was read.
    Refused {
        /// Why.
        reason: Reason,
    },
    /// Failures led to a penalty, or penalties were cleared.
    Penalty(PenaltyKind),
    /// A message was dropped that its sender may not send; told once for each permission and session.
    PermDenied {
        /// What is missing.
        permission: Permission,
    },
    /// The person at the desktop was asked.
    Gate(GateOutcome),
    /// A session began.
    Start {
        /// What it may do.
        permissions: Permissions,
    },
    /// A connection ended, whether it had become a session or not.
    End {
        /// Why.
        reason: Reason,
        /// Bytes from the peer since its login.
        bytes_in: u64,
        /// Bytes to the peer since its login.
        bytes_out: u64,
        /// How long it was.
        duration: Duration,
    },
    /// The configuration was read.
    Config {
        /// How many settings differ from their defaults.
        settings: u64,
    },
    /// Policy spoke about a setting.
    Policy {
        /// Which.
        setting: SettingName,
        /// How.
        action: PolicyAction,
    },
    /// A helper process ended, or another one took its place.
    Helper {
        /// Its name.
        name: Word,
        /// What became of it.
        change: HelperChange,
    },
    /// Events that anybody can cause were not written before this one, because there were too many.
    Unwritten {
        /// How many.
        events: u64,
    },
    /// Events were lost before this one, because they came faster than they could be written or could not be written.
    Lost {
        /// How many.
        events: u64,
    },
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// About whom.
    pub who: Who,
    /// What.
    pub what: What,
}

impl What {
    /// The event's name.
    pub const fn name(&self) -> Word {
        match self {
            What::Connect => "connect",
            What::Type => "type",
            What::IdentityShown => "identity-shown",
            What::AuthOk { .. } => "auth-ok",
            What::AuthFail { .. } => "auth-fail",
            What::Refused { .. } => "refused",
            What::Penalty(_) => "penalty",
            What::PermDenied { .. } => "perm-denied",
            What::Gate(_) => "gate",
            What::Start { .. } => "start",
            What::End { .. } => "end",
            What::Config { .. } => "config",
            What::Policy { .. } => "policy",
            What::Helper { .. } => "helper",
            What::Unwritten { .. } => "unwritten",
            What::Lost { .. } => "lost",
        }
    }

    /// How much it matters.
    pub const fn severity(&self) -> Severity {
        match self {
            What::AuthFail { .. }
            | What::Refused { .. }
            | What::Penalty(_)
            | What::PermDenied { .. }
            | What::Policy { .. }
            | What::Helper { .. }
            | What::Unwritten { .. }
            | What::Lost { .. } => Severity::Warning,
            What::AuthOk { .. } | What::Start { .. } | What::End { .. } | What::Gate(_) => Severity::Notice,
            What::Connect | What::Type | What::IdentityShown | What::Config { .. } => Severity::Info,
        }
    }

    fn write(&self, object: &mut Object) {
        let permitted = |object: &mut Object, set: &Permissions| {
            object.list("permissions", set.iter().map(Permission::name));
        };
        match self {
            What::Connect | What::Type | What::IdentityShown => {}
            What::AuthOk { factors, permissions } => {
                object.list("factors", factors.iter().map(|f| f.name()));
                permitted(object, permissions);
            }
            What::AuthFail { reason } | What::Refused { reason } => object.text("reason", reason.code()),
            What::Penalty(PenaltyKind::Wait(wait)) => {
                object.text("reason", "wait");
                object.number("wait_ms", millis(*wait));
            }
            What::Penalty(PenaltyKind::UserSlowed) => object.text("reason", "user-slowed"),
            What::Penalty(PenaltyKind::Cleared(count)) => {
                object.text("reason", "cleared");
                object.number("count", *count);
            }
            What::PermDenied { permission } => object.text("permission", permission.name()),
            What::Gate(outcome) => {
                let word = match outcome {
                    GateOutcome::Asked => "asked",
                    GateOutcome::Accepted => "accepted",
                    GateOutcome::Refused => "refused",
                    GateOutcome::TimedOut => "timed-out",
                    GateOutcome::Nobody => "nobody",
                };
                object.text("reason", word);
            }
            What::Start { permissions } => permitted(object, permissions),
            What::End { reason, bytes_in, bytes_out, duration } => {
                object.text("reason", reason.code());
                object.number("bytes_in", *bytes_in);
                object.number("bytes_out", *bytes_out);
                object.number("duration_ms", millis(*duration));
            }
            What::Config { settings } => object.number("count", *settings),
            What::Policy { setting, action } => {
                object.text("setting", setting.as_str());
                let word = match action {
                    PolicyAction::Locked => "locked",
                    PolicyAction::ChangeRefused => "change-refused",
                };
                object.text("reason", word);
            }
            What::Helper { name, change } => {
                object.text("helper", name);
                let word = match change {
                    HelperChange::Ended => "ended",
                    HelperChange::StartedAgain => "started-again",
                    HelperChange::Lost => "lost",
                };
                object.text("reason", word);
            }
            What::Unwritten { events } | What::Lost { events } => object.number("count", *events),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Event {
    /// Something that happened to nobody in particular.
    pub fn of_server(what: What) -> Self {
        Event { who: Who::default(), what }
    }

    /// The event as a JSON object on one line.
    pub fn json(&self, at: Moment) -> String {
        let mut object = Object::new();
        object.text("time", &utc(at));
        object.text("event", self.what.name());
        let who = &self.who;
        if let Some(session) = who.session {
            object.number("session", session);
        }
        if let Some(listener) = &who.listener {
            object.text("listener", listener.as_str());
        }
        if let Some(source) = &who.source {
            object.text("source", &source.to_string());
            object.text("via", &who.via.to_string());
        }
        if let Some(security) = who.security {
            object.text("security", security);
        }
        if let Some(cipher) = &who.cipher {
            object.text("cipher", cipher.as_str());
        }
        if let Some(device) = &who.device {
            object.text("device", device.as_str());
        }
        if let Some(user) = &who.user {
            object.text("user", user.as_str());
        }
        self.what.write(&mut object);
        if who.insecure {
            object.yes("insecure");
        }
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(event: &Event) -> serde_json::Value {
        serde_json::from_str(&event.json(Moment::from_millis(1_700_000_000_123))).unwrap()
    }

    #[test]
    fn an_event_says_all_that_is_known_and_no_more() {
        let who = Who {
            session: Some(7),
            listener: Some(ListenerName::new("0.0.0.0:5900")),
            source: Peer::read("192.0.2.1:4711"),
            via: Via::Proxy("10.0.0.5".parse().unwrap()),
            security: Some("channel"),
            cipher: Cipher::new("AES-256-GCM X25519"),
            device: Fingerprint::new("ab12"),
            user: Some(UserName::new("ann\n{\"event\":\"auth-ok\"}")),
            insecure: true,
        };
        let permissions = Permissions::NONE.with(Permission::View).with(Permission::ClipIn);
        let what = What::AuthOk { factors: vec![Factor::UserFile, Factor::Totp], permissions };
        assert_eq!(
            written(&Event { who, what }),
            json!({
                "time": "2023-11-14T22:13:20.123Z", "event": "auth-ok", "session": 7, "listener": "0.0.0.0:5900",
                "source": "192.0.2.1:4711", "via": "proxy 10.0.0.5", "security": "channel", "cipher": "AES-256-GCM X25519",
                "device": "ab12", "user": "ann\n{\"event\":\"auth-ok\"}", "factors": ["userfile", "totp"],
                "permissions": ["view", "clip-in"], "insecure": true
            })
        );
        let bare = written(&Event::of_server(What::Lost { events: 3 }));
        assert_eq!(bare, json!({"time": "2023-11-14T22:13:20.123Z", "event": "lost", "count": 3}));
    }

    #[test]
    fn every_event_is_one_line_with_its_own_name() {
        let second = Duration::from_secs(1);
        let all = [
            What::Connect,
            What::Type,
            What::IdentityShown,
            What::AuthOk { factors: vec![], permissions: Permissions::ALL },
            What::AuthFail { reason: Reason::WrongProof },
            What::Refused { reason: Reason::Waiting },
            What::Penalty(PenaltyKind::Wait(second)),
            What::PermDenied { permission: Permission::Pointer },
            What::Gate(GateOutcome::TimedOut),
            What::Start { permissions: Permissions::NONE },
            What::End { reason: Reason::Idle, bytes_in: 1, bytes_out: 2, duration: second },
            What::Config { settings: 1 },
            What::Policy { setting: SettingName::new("network.x"), action: PolicyAction::ChangeRefused },
            What::Helper { name: "farpane-auth", change: HelperChange::StartedAgain },
            What::Lost { events: 1 },
        ];
        let mut names: Vec<Word> = all.iter().map(What::name).collect();
        for what in all {
            let (name, json) = (what.name(), Event::of_server(what).json(Moment::default()));
            assert!(!json.contains('\n') && json.contains(&format!("\"event\":\"{name}\"")), "{json}");
            assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 15);
    }
}
