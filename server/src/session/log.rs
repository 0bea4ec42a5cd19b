//! Where the ends of sessions are told to: the audit log, or nobody.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gate::Verdict;
use super::roster::{Described, Entry};
use crate::net::ConnInfo;
use crate::policy::Permission;

/// Is told what is worth a line of an audit log. Called on network threads: must not wait.
pub trait SessionLog: Send + Sync {
    /// A client is in.
    fn started(&self, who: &Described);
    /// A client did what it may not: told once a client and permission.
    fn denied(&self, who: &Described, permission: Permission);
    /// The person at the desktop was asked about a client, and what came of it.
    fn gate(&self, who: &Described, verdict: &Verdict);
    /// The person at the desktop is being asked about a client.
    fn asked(&self, who: &Described);
    /// A connection ended before it was let in, so long after it was accepted.
    fn failed(&self, info: &ConnInfo, kind: EndKind, lasted: Duration);
    /// A client is gone.
    fn ended(&self, who: &Described, end: &Ended);
}

/// Why a session ends, for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// The client left.
    Left,
    /// The connection broke.
    Lost,
    /// Nothing was typed for too long.
    Idle,
    /// It lasted as long as any may.
    TimeUp,
    /// Another client wanted the desktop alone.
    TakenOver,
    /// Somebody ended it over the control socket.
    Kicked,
    /// The server ends, or a desktop that it starts on demand.
    ServerEnds,
    /// The client broke the protocol.
    Misbehaved,
    /// The stream ended without the end that the layer below has for it.
    Truncated,
    /// A step of the handshake took too long, or the client took nothing of what it was sent.
    TooSlow,
    /// It chose what it was not offered.
    NotOffered,
    /// Client or server does not take the other's key or certificate.
    Identity,
    /// Its login was wrong.
    WrongProof,
    /// Its login could not be judged.
    Unavailable,
    /// It comes from where others failed too often, and has to wait.
    Waiting,
    /// It may not see the desktop.
    NoPermission,
    /// The person at the desktop did not let it in.
    Gate,
    /// There are as many clients as may be, or what it is to see is not there.
    Full,
    /// Somebody has the desktop, and need not make way for it.
    Exclusive,
    /// A fault of the server.
    Internal,
}

/// Why the server ends a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// For machines.
    pub kind: EndKind,
    /// For people.
    pub words: Cow<'static, str>,
}

impl Goodbye {
    /// A goodbye of this kind, in these words.
    pub fn new(kind: EndKind, words: impl Into<Cow<'static, str>>) -> Self {
        Goodbye { kind, words: words.into() }
    }
}

impl fmt::Display for Goodbye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// What a session came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Bytes from the client since the handshake, without what encryption adds.
    pub bytes_in: u64,
    /// Bytes to it.
    pub bytes_out: u64,
    /// How long it lasted.
    pub lasted: Duration,
    /// Why it ended.
    pub kind: EndKind,
    /// The same for people.
    pub reason: String,
}

/// Tells the beginning of a session, and its end however it comes.
pub(super) struct Told {
    log: Option<Arc<dyn SessionLog>>,
    entry: Arc<Entry>,
    kind: EndKind,
    reason: String,
}

impl Told {
    pub fn started(log: Option<Arc<dyn SessionLog>>, entry: Arc<Entry>) -> Self {
        if let Some(log) = &log {
            log.started(&entry.who);
        }
        Told { log, entry, kind: EndKind::ServerEnds, reason: "the server ends".into() }
    }

    /// Why it ends.
    pub fn ends(&mut self, kind: EndKind, reason: String) {
        (self.kind, self.reason) = (kind, reason);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let Some(log) = &self.log else { return };
        let (bytes_in, bytes_out) = self.entry.bytes();
        let lasted = Instant::now().saturating_duration_since(self.entry.who.began);
        let end = Ended { bytes_in, bytes_out, lasted, kind: self.kind, reason: std::mem::take(&mut self.reason) };
        log.ended(&self.entry.who, &end);
    }
}
