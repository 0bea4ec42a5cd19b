//! The audit trail of this run: what happens to connections and sessions, as events.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::audit::{
    self, Audit, Cipher, Event, Factor, Fingerprint, GateOutcome, HelperChange, ListenerName, Machine, Peer,
    PenaltyKind, PolicyAction, Reason, SettingName, Sink, UserName, Via, What, Who,
};
use crate::config::{Attempt, Config, Exception, Lock};
use crate::helper::{Change, Opener};
use crate::net::{ConnInfo, Progress};
use crate::policy::{Permission, Permissions};
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
        if !self.audit.flush(now(), Duration::from_millis(300)) {
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
            security: info.security,
            cipher: info.cipher.as_deref().and_then(Cipher::new),
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

    /// A connection that has not logged in has come so far.
    pub(super) fn reached(&self, info: &ConnInfo, progress: Progress) {
        let (by, what) = match progress {
            Progress::Chose(by) => (by, What::Type),
            Progress::Shown(by) => (by, What::IdentityShown),
            Progress::Exchanged | Progress::Proved => return,
        };
        self.record(Who { security: Some(by), ..self.who(info, Known::default()) }, what);
    }

    /// A connection ended before it became a session.
    pub(super) fn ended_early(&self, info: &ConnInfo, reason: Reason, duration: Duration) {
        let what = What::End { reason, bytes_in: 0, bytes_out: 0, duration };
        self.record(self.who(info, Known::default()), what);
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

    /// The configuration was read, with these settings locked and these attempts to change them.
    pub(super) fn configured(&self, settings: usize, locks: &[Lock], attempts: &[Attempt]) {
        let settings = u64::try_from(settings).unwrap_or(u64::MAX);
        self.of_server(What::Config { settings });
        let locked = locks.iter().map(|lock| (lock, PolicyAction::Locked));
        let refused = attempts.iter().map(|attempt| (&attempt.lock, PolicyAction::ChangeRefused));
        for (lock, action) in locked.chain(refused) {
            self.of_server(What::Policy { setting: SettingName::new(&lock.key), action });
        }
    }

    /// A helper process ended, or another took its place.
    pub(super) fn helper(&self, name: &'static str, change: Change) {
        let change = match change {
            Change::Ended => HelperChange::Ended,
            Change::Again => HelperChange::StartedAgain,
            Change::Lost => HelperChange::Lost,
        };
        self.of_server(What::Helper { name, change });
    }

    /// So many penalties were cleared.
    pub(super) fn cleared(&self, count: usize) {
        self.of_server(What::Penalty(PenaltyKind::Cleared(u64::try_from(count).unwrap_or(u64::MAX))));
    }

    fn of_server(&self, what: What) {
        self.audit.record(Event::of_server(what), now());
    }

    fn of(&self, who: &Described) -> Who {
        let device = who.info.identity.as_ref().filter(|identity| identity.method == "channel");
        let device = device.map(|identity| identity.name.as_str());
        self.who(&who.info, Known { device, user: Some(&who.access.user) })
    }
}

impl SessionLog for Trail {
    fn started(&self, who: &Described) {
        self.record(self.of(who), What::Start { permissions: who.permissions() });
    }

    fn denied(&self, who: &Described, permission: Permission) {
        self.record(self.of(who), What::PermDenied { permission });
    }

    fn asked(&self, who: &Described) {
        self.record(self.of(who), What::Gate(GateOutcome::Asked));
    }

    fn failed(&self, info: &ConnInfo, kind: EndKind, lasted: Duration) {
        self.ended_early(info, code(kind), lasted);
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

/// The code of a connection's end.
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
        EndKind::Truncated => Reason::Truncated,
        EndKind::TooSlow => Reason::TooSlow,
        EndKind::NotOffered => Reason::NotOffered,
        EndKind::Identity => Reason::Identity,
        EndKind::WrongProof => Reason::WrongProof,
        EndKind::Unavailable => Reason::Unavailable,
        EndKind::Waiting => Reason::Waiting,
        EndKind::NoPermission => Reason::NoPermission,
        EndKind::Gate => Reason::Gate,
        EndKind::Full => Reason::Full,
        EndKind::Exclusive => Reason::Exclusive,
        EndKind::Internal => Reason::Internal,
    }
}
