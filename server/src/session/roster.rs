//! Who is connected: what a login told of each client, and its running figures.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Access;
use super::hub::ClientId;
use super::lighting::Sight;
use crate::net::ConnInfo;
use crate::policy::{Permission, Permissions};

/// One client, as far as it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name in logs and for `farpane session`.
    pub id: ClientId,
    /// Who it is and what the login let it do.
    pub access: Access,
    /// The connection as it was when it had proved itself.
    pub info: ConnInfo,
    /// The peer as people write it.
    pub peer: String,
    /// The listener as it was written.
    pub listener: String,
    /// The security type that the login went through.
    pub security: String,
    /// What it sees of the desktop.
    pub sight: Sight,
    /// When it was let in.
    pub began: Instant,
    /// Whom a refusal at the gate counts against: the user where one is known, else where the peer comes from.
    pub(super) counted_as: String,
}

impl Described {
    /// A client that has just proved itself.
    pub fn new(id: ClientId, access: Access, info: &ConnInfo, security: String, began: Instant) -> Self {
        let counted_as = match info.peer_ip {
            _ if !access.user.is_empty() => format!("user {}", access.user),
            Some(ip) => ip.to_string(),
            None => info.peer.clone(),
        };
        let (peer, listener) = (info.peer.clone(), info.listener_name.to_string());
        let (info, sight) = (info.clone(), Sight::default());
        Described { id, access, info, peer, listener, security, sight, began, counted_as }
    }

    /// What it may do.
    pub fn permissions(&self) -> Permissions {
        self.access.permissions
    }

    /// Whether it may end the sessions of `others` to be alone: it has the permission, or all of them are of its own user. Those
    /// without a name are nobody's.
    pub fn may_take_over<'a>(&self, mut others: impl Iterator<Item = &'a Described>) -> bool {
        let user = &self.access.user;
        self.permissions().has(Permission::DisconnectOthers)
            || (!user.is_empty() && others.all(|other| other.access.user == *user))
    }

    /// The same where its listener shows this.
    pub fn seeing(self, sight: Sight) -> Self {
        Described { sight, ..self }
    }

    /// What to call it in words for people.
    pub fn called(&self) -> &str {
        if self.access.user.is_empty() { &self.peer } else { &self.access.user }
    }
}

/// A client among the others: what never changes, and its figures.
#[derive(Debug)]
pub struct Entry {
    /// Who it is.
    pub who: Described,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// When it last typed, pointed or copied: milliseconds after it began.
    input_ms: AtomicU64,
    shows_names: AtomicBool,
    encoding: Mutex<String>,
}

impl Entry {
    /// A client that has done nothing yet.
    pub fn new(who: Described) -> Self {
        Entry {
            who,
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            input_ms: AtomicU64::new(0),
            shows_names: AtomicBool::new(false),
            encoding: Mutex::new("raw".into()),
        }
    }

    /// So many bytes came from it.
    pub(super) fn came(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So many bytes went to it.
    pub(super) fn went(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// It typed, pointed or copied.
    pub(super) fn touched(&self, now: Instant) {
        let after = now.saturating_duration_since(self.who.began).as_millis();
        self.input_ms.store(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What it listed: how pixels are sent to it, and whether it shows changes of the desktop's name.
    pub(super) fn listed(&self, encoding: String, shows_names: bool) {
        *self.encoding.lock().unwrap_or_else(PoisonError::into_inner) = encoding;
        self.shows_names.store(shows_names, Ordering::Relaxed);
    }

    /// Whether it shows changes of the desktop's name.
    pub fn shows_names(&self) -> bool {
        self.shows_names.load(Ordering::Relaxed)
    }

    /// Bytes that came from it and went to it since the handshake, without what encryption adds.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes_in.load(Ordering::Relaxed), self.bytes_out.load(Ordering::Relaxed))
    }

    /// Its line in a list.
    pub fn summary(&self, now: Instant) -> SessionSummary {
        let (bytes_in, bytes_out) = self.bytes();
        let last = self.who.began.checked_add(Duration::from_millis(self.input_ms.load(Ordering::Relaxed)));
        let idle_s = last.map_or(0, |last| now.saturating_duration_since(last).as_secs());
        let encoding = self.encoding.lock().unwrap_or_else(PoisonError::into_inner).clone();
        SessionSummary {
            idle_s,
            encoding: Some(encoding),
            bytes_in,
            bytes_out,
            ..SessionSummary::of(&self.who, Standing::Open, now)
        }
    }
}

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It was let in.
    Open,
    /// The person at the desktop is being asked whether to let it in.
    Waiting,
}

/// One client as `farpane session list` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSummary {
    /// What other commands call it.
    pub id: u64,
    /// Whether it is in.
    pub state: Standing,
    /// The user's name; empty where none was asked for.
    pub user: String,
    /// The factors that were proved.
    pub factors: Vec<String>,
    /// The words of its device key.
    pub phrase: Option<String>,
    /// Where it comes from.
    pub peer: String,
    /// The listener that it came to.
    pub listener: String,
    /// The security type of its login.
    pub security: String,
    /// Seconds since its login.
    pub connected_s: u64,
    /// Seconds since it last typed, pointed or copied; since its login when it never did.
    pub idle_s: u64,
    /// How pixels are sent to it.
    pub encoding: Option<String>,
    /// Bytes from it.
    pub bytes_in: u64,
    /// Bytes to it.
    pub bytes_out: u64,
    /// What it may do.
    pub permissions: Vec<String>,
}

impl SessionSummary {
    pub(super) fn of(who: &Described, state: Standing, now: Instant) -> Self {
        let connected_s = now.saturating_duration_since(who.began).as_secs();
        SessionSummary {
            id: who.id.0,
            state,
            user: who.access.user.clone(),
            factors: who.access.factors.clone(),
            phrase: who.access.phrase.clone(),
            peer: who.peer.clone(),
            listener: who.listener.clone(),
            security: who.security.clone(),
            connected_s,
            idle_s: connected_s,
            encoding: None,
            bytes_in: 0,
            bytes_out: 0,
            permissions: who.permissions().iter().map(|p| p.name().to_owned()).collect(),
        }
    }
}

/// Why a client did not get a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotJoined {
    /// All places are taken.
    #[error("too many clients (at most {0}); try again later")]
    Full(usize),
    /// It wants the desktop alone and may not disconnect those who are there.
    #[error("{first} is connected{}, and you may not disconnect others; connect as a shared session", others(.count))]
    Occupied {
        /// One of those who are there.
        first: String,
        /// How many they are.
        count: usize,
    },
    /// It was let in, and the desktop has ended since.
    #[error("the desktop has just ended; connect again for another one")]
    Ended,
}

fn others(count: &usize) -> String {
    if *count > 1 { format!(" (and {} more)", count - 1) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(user: &str, permissions: Permissions) -> Described {
        let access = Access { user: user.into(), permissions, ..Access::default() };
        Described::new(ClientId(1), access, &ConnInfo::in_process("p"), "None (1)".into(), Instant::now())
    }

    #[test]
    fn one_takes_over_from_oneself_or_with_the_permission() {
        let (view, all) = (Permissions::NONE.with(Permission::View), Permissions::ALL);
        let cases = [
            ("alice", view, &["alice"][..], true),
            ("alice", view, &["alice", "bob"], false),
            ("alice", view, &["bob"], false),
            ("alice", view, &[], true),
            ("", view, &[""], false),
            ("", all, &["", "bob"], true),
            ("alice", view.with(Permission::DisconnectOthers), &["bob"], true),
        ];
        for (user, permissions, others, may) in cases {
            let others: Vec<Described> = others.iter().map(|user| who(user, all)).collect();
            assert_eq!(who(user, permissions).may_take_over(others.iter()), may, "{user} {permissions:?} {others:?}");
        }
    }

    #[test]
    fn figures_and_idleness_add_up() {
        let entry = Entry::new(who("alice", Permissions::ALL));
        let at = |s| entry.who.began + Duration::from_secs(s);
        entry.came(3);
        entry.came(4);
        entry.went(100);
        entry.touched(at(10));
        let told = entry.summary(at(25));
        assert_eq!((told.bytes_in, told.bytes_out, told.connected_s, told.idle_s), (7, 100, 25, 15));
        assert_eq!(told.state, Standing::Open);
        assert!(
            told.permissions.iter().any(|p| p == "view") && told.permissions.iter().any(|p| p == "disconnect-others")
        );
    }
}
