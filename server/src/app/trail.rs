//! The audit trail of this run: what happens to connections and sessions, as events.

use std::path::Path;
use std::sync::Arc;

use crate::audit::{
    self, Audit, Event, Factor, Fingerprint, GateOutcome, HelperChange, ListenerName, Machine, Peer, PenaltyKind,
    PolicyAction, Reason, SettingName, Sink, UserName, Via, What, Who,
};
use crate::config::{Attempt, Config, Exception};
use crate::helper::{Change, Opener};
use crate::net::ConnInfo;
use crate::policy::{Permission, Permissions};
use crate::security::SecurityKind;
use crate::session::{Described, EndKind, Ended, SessionLog, Verdict};

use super::AppError;
use super::gate::now;

/// Writes events. Cheap to clone.
#[derive(Clone)]
pub(super) struct Trail {
    audit: Audit,
    /// Listeners that are insecure by request, by the number of their place.
    insecure: Arc<[bool]>,
}

/// Who a login is about, as far as that is known.
#[derive(Clone, Copy, Default)]
pub(super) struct Known<'a> {
    pub(super) security: Option<SecurityKind>,
    pub(super) device: Option<&'a str>,
    pub(super) user: Option<&'a str>,
}

impl Trail {
    /// Opens the sinks of the configuration; `opener` connects those that are connected. Starts no thread.
    pub(super) fn sinks(config: &Config, opener: &Arc<dyn Opener>) -> Result<Vec<Box<dyn Sink>>, AppError> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let machine = Machine { host, pid: std::process::id() };
        let mut settings = config.audit.clone();
        // by default events go to the journal, where there is one
        if settings == Default::default() && !Path::new(audit::JOURNAL).exists() {
            tracing::debug!("no journal on this machine: name a file or a syslog server in audit.sinks");
            settings.sinks.clear();
        }
        audit::open(&settings, &machine, opener, now()).map_err(AppError::failed)
    }

    /// Starts a thread for each sink.
    pub(super) fn start(
        sinks: Vec<Box<dyn Sink>>,
        config: &Config,
        exceptions: &[Exception],
    ) -> Result<Self, AppError> {
        let insecure = config.listeners.iter().map(|l| exceptions.iter().any(|e| e.listener == l.address)).collect();
        Ok(Trail { audit: Audit::start(sinks).map_err(AppError::failed)?, insecure })
    }

    /// A trail that nobody reads.
    #[cfg(test)]
    pub(super) fn off() -> Self {
        Trail { audit: Audit::off(), insecure: Arc::new([]) }
    }

    /// Waits until all of it is written, for the end of the program.
    pub(super) fn flush(&self) {
        if !self.audit.flush(now(), std::time::Duration::from_millis(300)) {
            tracing::warn!("audit: the last events may not be written");
        }
    }

    fn record(&self, who: Who, what: What) {
        self.audit.record(Event { who, what }, now());
    }

    fn who(&self, info: &ConnInfo, known: Known<'_>) -> Who {
        Who {
            session: Some(info.number),
            listener: Some(ListenerName::new(&info.listener_name)),
            source: Peer::read(&info.peer),
            via: info.via.map_or(Via::Direct, Via::Proxy),
            security: known.security.map(SecurityKind::name),
            cipher: None,
            device: known.device.and_then(Fingerprint::new),
            user: known.user.filter(|user| !user.is_empty()).map(UserName::new),
            insecure: self.insecure.get(info.listener.0).copied().unwrap_or(false),
        }
    }

    /// A connection was accepted.
    pub(super) fn connected(&self, info: &ConnInfo) {
        self.record(self.who(info, Known::default()), What::Connect);
    }

    /// A connection was turned away before a login.
    pub(super) fn refused(&self, info: &ConnInfo, reason: Reason) {
        self.record(self.who(info, Known::default()), What::Refused { reason });
    }

    /// The peer chose how to log in.
    pub(super) fn chose(&self, info: &ConnInfo, security: SecurityKind) {
        self.record(self.who(info, Known { security: Some(security), ..Known::default() }), What::Type);
    }

    /// A login succeeded.
    pub(super) fn let_in(&self, info: &ConnInfo, known: Known<'_>, factors: &[String], permissions: Permissions) {
        let factors = factors.iter().map(|name| Factor::read(name)).collect();
        self.record(self.who(info, known), What::AuthOk { factors, permissions });
    }

    /// A login failed.
    pub(super) fn failed(&self, info: &ConnInfo, known: Known<'_>, reason: Reason) {
        self.record(self.who(info, known), What::AuthFail { reason });
    }

    /// Failures led to a penalty.
    pub(super) fn penalty(&self, info: &ConnInfo, known: Known<'_>, kind: PenaltyKind) {
        self.record(self.who(info, known), What::Penalty(kind));
    }

    /// The configuration was read, with these attempts to change what is locked.
    pub(super) fn configured(&self, settings: usize, attempts: &[Attempt]) {
        let settings = u64::try_from(settings).unwrap_or(u64::MAX);
        self.audit.record(Event::of_server(What::Config { settings }), now());
        for attempt in attempts {
            let setting = SettingName::new(&attempt.lock.key);
            let what = What::Policy { setting, action: PolicyAction::ChangeRefused };
            self.audit.record(Event::of_server(what), now());
        }
    }

    /// A helper process ended, or another took its place.
    pub(super) fn helper(&self, name: &'static str, change: Change) {
        let change = match change {
            Change::Ended => HelperChange::Ended,
            Change::Again => HelperChange::StartedAgain,
            Change::Lost => HelperChange::Lost,
        };
        self.audit.record(Event::of_server(What::Helper { name, change }), now());
    }

    fn of(&self, who: &Described) -> Who {
        Who {
            session: Some(who.connection),
            listener: Some(ListenerName::new(&who.listener)),
            source: Peer::read(&who.peer),
            user: Some(who.access.user.as_str()).filter(|user| !user.is_empty()).map(UserName::new),
            ..Who::default()
        }
    }
}

impl SessionLog for Trail {
    fn started(&self, who: &Described) {
        self.record(self.of(who), What::Start { permissions: who.permissions() });
    }

    fn denied(&self, who: &Described, permission: Permission) {
        self.record(self.of(who), What::PermDenied { permission, times: 1 });
    }

    fn gate(&self, who: &Described, verdict: &Verdict) {
        let outcome = match verdict {
            Verdict::Accepted | Verdict::AcceptedByControl | Verdict::AllowedNobody => GateOutcome::Accepted,
            Verdict::Refused | Verdict::RefusedByControl | Verdict::Busy | Verdict::Resting(_) => GateOutcome::Refused,
            Verdict::Nobody => GateOutcome::Nobody,
            Verdict::NoAnswer => GateOutcome::TimedOut,
        };
        self.record(self.of(who), What::Gate(outcome));
    }

    fn ended(&self, who: &Described, end: &Ended) {
        let Ended { bytes_in, bytes_out, lasted, .. } = *end;
        let what = What::End { reason: code(end.kind), bytes_in, bytes_out, duration: lasted };
        self.record(self.of(who), what);
    }
}

/// The code of a session's end.
const fn code(kind: EndKind) -> Reason {
    match kind {
        EndKind::Left => Reason::PeerLeft,
        EndKind::Lost => Reason::Broken,
        EndKind::Idle => Reason::Idle,
        EndKind::TimeUp => Reason::TimeUp,
        EndKind::TakenOver => Reason::TakenOver,
        EndKind::Kicked => Reason::Kicked,
        EndKind::ServerEnds => Reason::ServerEnds,
        EndKind::Misbehaved => Reason::Protocol,
    }
}
