//! Who gets in through which listener.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use farpane_rfb::handshake::{SecurityType, ServerHandshake};

use crate::audit::{PenaltyKind, Reason};
use crate::auth::throttle::{Exchanges, Wait};
use crate::auth::{Attempt, Judge, Moment, Try};
use crate::config::{Config, ListenerSection};
use crate::net::{ConnInfo, ConnectionHandler, Progress, Refusal, SecureError, Transport, TurnedAway, WebSocketError};
use crate::policy::{IpRules, PermissionSettings};
use crate::security::channel::ChannelServer;
use crate::security::rsa_aes::{self, RsaKey};
use crate::security::tls::CertificateStore;
use crate::security::{Grant, Negotiated, Passwords, SecurityKind, vnc_auth};
use crate::session::{self, Access, Authenticator, Denied, EndKind, Hub, Proving};

use super::chosen::Chosen;
use super::keeping::Keeper;
use super::trail::{Known, Trail};

/// A wrong password is answered after this long, so that guessing takes time.
const WRONG_DELAY: Duration = Duration::from_millis(100);

pub(super) fn now() -> Moment {
    Moment::of(SystemTime::now())
}

/// A try of a security type that knows no names.
fn nameless(info: &ConnInfo) -> Attempt<'static> {
    Attempt { source: info.source(), user: "", device: None }
}

/// What one listener asks and lets do.
struct Door {
    kinds: Vec<SecurityKind>,
    view_only: bool,
}

/// What the server is known by; of each security type that no listener offers there is none.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) channel: Option<ChannelServer>,
    pub(super) tls: Option<Arc<CertificateStore>>,
    pub(super) rsa: Option<(Arc<dyn RsaKey>, rsa_aes::Settings)>,
}

/// What a gate decides with.
pub(super) struct Means {
    /// The passwords of VncAuth.
    pub(super) passwords: Option<Passwords>,
    /// What the server is known by.
    pub(super) keys: Keys,
    /// Who decides about users; none where nobody is asked for one.
    pub(super) judge: Option<Arc<dyn Judge>>,
    /// Who failed how often.
    pub(super) throttle: Keeper,
}

/// Decides for every connection of the server.
pub(super) struct Gate {
    doors: Vec<Door>,
    pub(super) means: Means,
    /// Where it is written down.
    pub(super) trail: Trail,
    pub(super) permissions: PermissionSettings,
    pub(super) chosen: Chosen,
    rules: IpRules,
    pub(super) exchanges: Exchanges,
}

impl Gate {
    /// The doors of a checked configuration, in its order of listeners.
    pub(super) fn new(config: &Config, means: Means, trail: Trail) -> Self {
        let door = |l: &ListenerSection| Door { kinds: config.offer(l), view_only: l.view_only };
        Gate {
            doors: config.listeners.iter().map(door).collect(),
            means,
            trail,
            permissions: config.permissions.clone(),
            chosen: Chosen::of(config),
            rules: config.access.rules.clone(),
            exchanges: Exchanges::new(),
        }
    }

    pub(super) fn view_only(&self, info: &ConnInfo) -> bool {
        self.doors.get(info.listener.0).is_none_or(|door| door.view_only)
    }

    pub(super) fn kinds(&self, info: &ConnInfo) -> &[SecurityKind] {
        self.doors.get(info.listener.0).map_or(&[], |door| &door.kinds)
    }

    /// What somebody gets whom no user stands behind.
    fn anonymous(&self, view_only: bool) -> Access {
        let access = Access::anonymous(view_only);
        Access { permissions: access.permissions.and(self.permissions.anonymous), ..access }
    }

    /// Whether this proof may be judged now, and how long its answer is to be held back then.
    pub(super) fn may_try(&self, attempt: &Attempt<'_>) -> Result<Duration, Denied> {
        match self.means.throttle.kept().lock().may_try(attempt, now()) {
            Try::Now { delay } => Ok(delay),
            Try::Later(wait) => Err(too_many(wait)),
        }
    }

    /// Notes a right proof.
    pub(super) fn right(&self, info: &ConnInfo, known: Known<'_>, attempt: &Attempt<'_>, access: &Access) {
        self.trail.let_in(info, known, &access.factors, access.permissions);
        self.means.throttle.kept().lock().right(attempt, now());
        self.means.throttle.note();
    }

    /// Notes a wrong proof; what its peer is told, whatever was wrong.
    pub(super) fn wrong(&self, info: &ConnInfo, known: Known<'_>, attempt: &Attempt<'_>) -> Denied {
        let counted = self.means.throttle.kept().lock().wrong(attempt, now());
        let trail = &self.trail;
        trail.failed(info, known, Reason::WrongProof);
        if let Some(wait) = counted.wait {
            trail.penalty(info, known, PenaltyKind::Wait(Duration::from_secs(wait.seconds())));
        }
        if counted.user_slowed {
            trail.penalty(info, known, PenaltyKind::UserSlowed);
        }
        self.means.throttle.note();
        Denied { reason: "Authentication failed".into(), delay: WRONG_DELAY, kind: EndKind::WrongProof }
    }

    /// How long the peer's network has to wait.
    pub(super) fn waits(&self, info: &ConnInfo) -> Option<Wait> {
        let free = self.kinds(info).contains(&SecurityKind::None);
        if free { None } else { self.means.throttle.kept().lock().admit(info.source(), now()) }
    }

    /// What this peer is offered. A network that has to wait is offered the channel alone, where a device that is known can show itself.
    fn offered(&self, info: &ConnInfo) -> Result<Vec<SecurityType>, Denied> {
        let kinds = self.kinds(info);
        match self.waits(info) {
            Some(_) if kinds.contains(&SecurityKind::Channel) => Ok(vec![SecurityType::CHANNEL]),
            Some(wait) => Err(too_many(wait)),
            None => {
                let mut offer: Vec<SecurityType> = Vec::new();
                for number in kinds.iter().map(|kind| kind.security_type()) {
                    if !offer.contains(&number) {
                        offer.push(number);
                    }
                }
                Ok(offer)
            }
        }
    }
}

/// What a peer is told that has to wait.
pub(super) fn too_many(wait: impl std::fmt::Display) -> Denied {
    Denied::now(EndKind::Waiting, format!("Too many security failures; {wait}"))
}

impl Authenticator for Gate {
    fn offer(&self, info: &ConnInfo) -> Result<Vec<SecurityType>, Denied> {
        self.offered(info)
    }

    fn challenge(&self) -> Result<[u8; 16], Denied> {
        vnc_auth::challenge().map_err(|error| {
            tracing::error!(%error, "no challenge");
            Denied::now(EndKind::Internal, "internal error")
        })
    }

    fn vnc_auth(&self, info: &ConnInfo, challenge: &[u8; 16], response: &[u8; 16]) -> Result<Access, Denied> {
        let attempt = nameless(info);
        let known = Known::default();
        // many connections may have been let in before the first of them failed
        self.may_try(&attempt)?;
        match self.means.passwords.as_ref().and_then(|p| p.check(challenge, response)) {
            Some(grant) => {
                let factors = vec!["vncauth".to_owned()];
                let access = Access { factors, ..self.anonymous(grant == Grant::ViewOnly || self.view_only(info)) };
                self.right(info, known, &attempt, &access);
                Ok(access)
            }
            None => Err(self.wrong(info, known, &attempt)),
        }
    }

    fn none(&self, info: &ConnInfo) -> Access {
        self.anonymous(self.view_only(info))
    }

    fn broke(&self, info: &ConnInfo) {
        let counted = self.means.throttle.kept().lock().garbage(info.source(), now());
        if let Some(wait) = counted.wait {
            self.trail.penalty(info, Known::default(), PenaltyKind::Wait(Duration::from_secs(wait.seconds())));
        }
        self.means.throttle.note();
    }

    fn prove<'a>(&'a self, transport: Transport, negotiated: &'a Negotiated) -> Proving<'a> {
        Box::pin(self.carry_out(transport, negotiated))
    }
}

/// Takes connections to sessions.
pub(super) struct Sessions {
    pub(super) gate: Arc<Gate>,
    pub(super) hub: Arc<Hub>,
    /// Of each listener, in the configuration's order.
    pub(super) settings: Vec<Arc<session::Settings>>,
}

fn refusal(reason: String) -> Refusal {
    Refusal { bytes: ServerHandshake::early_refusal(&reason), reason }
}

impl ConnectionHandler for Sessions {
    fn admit(&self, info: &ConnInfo) -> Result<(), Refusal> {
        let trail = &self.gate.trail;
        trail.connected(info);
        if info.peer_ip.is_some_and(|ip| !self.gate.rules.allow(ip)) {
            trail.refused(info, Reason::IpRule);
            return Err(refusal("Connections from your network are not taken here".into()));
        }
        self.gate.offered(info).map(|_| ()).map_err(|denied| {
            trail.refused(info, Reason::Waiting);
            refusal(denied.reason)
        })
    }

    fn made_way(&self, info: &ConnInfo) {
        self.gate.trail.refused(info, Reason::MadeWay);
    }

    fn knows(&self, info: &ConnInfo) -> bool {
        self.gate.means.throttle.kept().lock().knows_network(info.source(), now())
    }

    fn reached(&self, info: &ConnInfo, progress: Progress) {
        self.gate.trail.reached(info, progress);
    }

    fn unopened(&self, info: &ConnInfo, error: &WebSocketError) {
        let reason = match error {
            WebSocketError::TooSlow(_) => Reason::TooSlow,
            WebSocketError::Origin(_) => Reason::Policy,
            WebSocketError::Io(_) | WebSocketError::Secure(SecureError::Io(_)) => Reason::Broken,
            _ => Reason::Protocol,
        };
        self.gate.trail.ended_early(info, reason, Duration::ZERO);
    }

    fn busy(&self, info: &ConnInfo) -> Refusal {
        self.gate.trail.refused(info, Reason::Busy);
        refusal("Too many connections are waiting to log in; try again later".into())
    }

    fn turned_away(&self, info: &ConnInfo, why: TurnedAway) -> Refusal {
        let (code, reason) = match why {
            TurnedAway::Stranger(reason) => (Reason::Policy, reason),
            TurnedAway::NoProxyHeader(reason) => (Reason::NoProxyHeader, reason),
        };
        self.gate.trail.connected(info);
        self.gate.trail.refused(info, code);
        refusal(reason)
    }

    fn connection(&self, transport: Transport) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let authenticator: Arc<dyn Authenticator> = self.gate.clone();
        let settings = self.settings.get(transport.info().listener.0).map(Arc::clone).unwrap_or_default();
        Box::pin(session::serve(transport, Arc::clone(&self.hub), settings, authenticator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::throttle::Kept;
    use crate::net::ListenerId;

    fn gate(text: &str) -> Gate {
        let config = Config::parse(text, None).unwrap().with(Default::default()).unwrap();
        let passwords = Some(Passwords::new("right", Some("look")).unwrap());
        let throttle = Keeper::new(Kept::in_memory().unwrap());
        Gate::new(&config, Means { passwords, keys: Keys::default(), judge: None, throttle }, Trail::off())
    }

    fn peer(ip: &str, listener: usize) -> ConnInfo {
        ConnInfo { peer_ip: Some(ip.parse().unwrap()), listener: ListenerId(listener), ..ConnInfo::in_process("p") }
    }

    fn try_with(gate: &Gate, info: &ConnInfo, password: &str) -> Result<Access, Denied> {
        let challenge = gate.challenge().unwrap();
        gate.vnc_auth(info, &challenge, &vnc_auth::answer(password, &challenge).unwrap())
    }

    #[test]
    fn each_listener_offers_its_own_types_and_rights() {
        let gate = gate(
            "[[listener]]\naddress=\"127.0.0.1:1\"\nsecurity=\"none\"\nview_only=true\n[[listener]]\naddress=\"127.0.0.1:2\"\nsecurity=\"vncauth\"",
        );
        assert_eq!(gate.offer(&peer("127.0.0.1", 0)).unwrap(), [SecurityType::NONE]);
        assert_eq!(gate.offer(&peer("127.0.0.1", 1)).unwrap(), [SecurityType::VNC_AUTH]);
        assert_eq!(gate.offer(&peer("127.0.0.1", 9)).unwrap(), []);
        assert_eq!(gate.none(&peer("127.0.0.1", 0)), Access::anonymous(true));
        let by_password = |view_only| Ok(Access { factors: vec!["vncauth".into()], ..Access::anonymous(view_only) });
        assert_eq!(try_with(&gate, &peer("127.0.0.1", 1), "right"), by_password(false));
        assert_eq!(try_with(&gate, &peer("127.0.0.1", 1), "look"), by_password(true));
    }

    #[test]
    fn too_many_wrong_passwords_close_the_gate_to_that_peer_alone() {
        let gate = gate("security=\"vncauth\"");
        let guesser = peer("192.0.2.9", 0);
        for _ in 0..6 {
            let _ = try_with(&gate, &guesser, "wrong");
        }
        let denied = gate.offer(&guesser).unwrap_err();
        assert!(denied.reason.starts_with("Too many security failures; try again in "), "{}", denied.reason);
        assert!(try_with(&gate, &guesser, "right").is_err(), "even the right password has to wait");
        assert!(gate.offer(&peer("192.0.2.8", 0)).is_ok());
    }
}
