//! Guessing takes time, and nobody's guessing locks out those who are known.
//!
//! Failures are counted in buckets: the network that the caller comes from (an IPv4 address, an IPv6 /64, and the /48 around it at eight
//! times the allowance), the pair of user and network, the user alone. Four failures are free; then a network or a pair waits 1, 2, 4 …
//! seconds up to ten minutes from its last failure, and every ten minutes without one take back half of them. A success clears the
//! pair, never the network: others may be guessing from it. The user alone never refuses: it adds up to half a second.
//!
//! Known callers have buckets of their own and are not touched by what strangers did: a device key that logged in within
//! 90 days, and a user from a network from where the same user did within 30. This machine and listed proxies are never counted by
//! address; this machine's users never wait more than four seconds, so that nobody local can lock out anybody else.
//!
//! INVARIANT: memory is bounded; each family holds [`MAX_ENTRIES`] and drops the one that was touched longest ago. Time is an argument.
//! Names of users who never logged in are kept as keyed hashes only: people type passwords where names belong.

mod exchange;
mod kept;
mod list;
mod score;
mod source;
mod store;
mod table;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Moment;
use super::login::MAX_NAME;
use score::{Rule, Score};
use table::Table;

pub use exchange::{ExchangeTurn, Exchanges};
pub use kept::{Kept, KeptError, Shown, request, show};
pub use list::{Bucket, Penalty, Which};
pub use score::Wait;
pub use source::{Source, SourceError};
pub use store::{MAX_FILE, StoreError, read, write};

/// Entries of each family at once.
pub const MAX_ENTRIES: usize = 65_536;
/// A device is known this long after it logged in.
pub const DEVICE_KNOWN: Duration = Duration::from_secs(90 * 24 * 3600);
/// A user is known at a network this long after logging in from there.
pub const PAIR_KNOWN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longest device fingerprint, in bytes.
const MAX_DEVICE: usize = 128;

/// One try to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Where from.
    pub source: Source,
    /// As whom; empty where the security type knows no names.
    pub user: &'a str,
    /// The fingerprint of the device key that the caller proved to hold.
    pub device: Option<&'a str>,
}

/// Whether a caller may try now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// It may. The answer is to be held back by `delay`, right or wrong; more than nothing means that this user's name is being guessed
    /// at, which is worth an audit event.
    Now {
        /// At most half a second.
        delay: Duration,
    },
    /// It has to wait.
    Later(Wait),
}

/// What a failure led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The caller has to wait from now on.
    pub wait: Option<Wait>,
    /// The user's name is being guessed at.
    pub user_slowed: bool,
}

/// A user's name as buckets know it.
type Name = [u8; 16];

/// A user who logged in from a network.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KnownUser {
    name: String,
    last: Moment,
}

/// Failures by network, pair, user and device, and who is known.
#[derive(Clone, Debug)]
pub struct Throttle {
    /// Keys the hashes of names.
    key: [u8; 16],
    v4: Table<Ipv4Addr, Score>,
    v6: Table<u64, Score>,
    sites: Table<u64, Score>,
    pairs: Table<(Name, Source), Score>,
    users: Table<Name, Score>,
    devices: Table<String, Score>,
    known_users: Table<(Name, Source), KnownUser>,
    known_devices: Table<String, Moment>,
    known_networks: Table<Source, Moment>,
    changes: u64,
}

/// Whose buckets an attempt is judged by.
enum Own {
    Device(String),
    KnownPair,
    Stranger,
}

fn device(text: &str) -> Option<String> {
    let fit = (1..=MAX_DEVICE).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    fit.then(|| text.to_ascii_lowercase())
}

impl Throttle {
    /// No failures yet. `key` is random: with it names are hashed.
    pub fn new(key: [u8; 16]) -> Self {
        Self::with_room(key, MAX_ENTRIES)
    }

    fn with_room(key: [u8; 16], most: usize) -> Self {
        Throttle {
            key,
            v4: Table::new(most),
            v6: Table::new(most),
            sites: Table::new(most),
            pairs: Table::new(most),
            users: Table::new(most),
            devices: Table::new(most),
            known_users: Table::new(most),
            known_devices: Table::new(most),
            known_networks: Table::new(most),
            changes: 0,
        }
    }

    /// Forgets failures that have faded.
    pub(super) fn tidy(&mut self, now: Moment) {
        fn keep<K: Clone + Eq + std::hash::Hash>(table: &mut Table<K, Score>, now: Moment) {
            table.retain(|_, score| score.faded(now) > 0);
        }
        keep(&mut self.v4, now);
        keep(&mut self.v6, now);
        keep(&mut self.sites, now);
        keep(&mut self.pairs, now);
        keep(&mut self.users, now);
        keep(&mut self.devices, now);
    }

    /// Whether no failure is held against anybody.
    pub(super) fn counts_nothing(&self) -> bool {
        self.v4.is_empty()
            && self.v6.is_empty()
            && self.sites.is_empty()
            && self.pairs.is_empty()
            && self.users.is_empty()
            && self.devices.is_empty()
    }

    /// Grows with every change that is worth saving.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    fn name(&self, user: &str) -> Name {
        let digest = Sha256::new().chain_update(self.key).chain_update(user.as_bytes()).finalize();
        let mut name = [0; 16];
        name.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        name
    }

    /// How long this network has to wait; none if its callers may try. Asked when a connection is accepted: a network that waits is offered
    /// nothing but the channel, where known devices can show themselves.
    pub fn admit(&mut self, source: Source, now: Moment) -> Option<Wait> {
        fn of(score: Option<&mut Score>, rule: Rule, now: Moment) -> Option<Wait> {
            let score = score?;
            score.settle(now);
            score.wait(rule, now)
        }
        let own = match source {
            Source::V4(ip) => of(self.v4.get_mut(&ip), Rule::PLAIN, now),
            Source::V6(net) => of(self.v6.get_mut(&net), Rule::PLAIN, now),
            Source::Local | Source::Proxy => None,
        };
        let around = source.site().and_then(|site| of(self.sites.get_mut(&site), Rule::SITE, now));
        own.max(around)
    }

    /// Whether this device logged in within [`DEVICE_KNOWN`].
    pub fn knows_device(&self, fingerprint: &str, now: Moment) -> bool {
        let last = device(fingerprint).and_then(|d| self.known_devices.get(&d).copied());
        last.is_some_and(|last| now.since(last) <= DEVICE_KNOWN)
    }

    /// Whether somebody logged in from this network within [`PAIR_KNOWN`].
    pub fn knows_network(&self, source: Source, now: Moment) -> bool {
        self.known_networks.get(&source).is_some_and(|last| now.since(*last) <= PAIR_KNOWN)
    }

    fn own(&self, attempt: &Attempt<'_>, now: Moment) -> Own {
        match attempt.device.and_then(device) {
            Some(d) if self.knows_device(&d, now) => Own::Device(d),
            _ => {
                let pair = (self.name(attempt.user), attempt.source);
                let known = self.known_users.get(&pair).is_some_and(|k| now.since(k.last) <= PAIR_KNOWN);
                if known { Own::KnownPair } else { Own::Stranger }
            }
        }
    }

    fn pair_wait(&mut self, attempt: &Attempt<'_>, now: Moment) -> Option<Wait> {
        let pair = (self.name(attempt.user), attempt.source);
        let score = self.pairs.get_mut(&pair)?;
        score.settle(now);
        score.wait(pair_rule(attempt.source), now)
    }

    fn device_wait(&mut self, device: &String, now: Moment) -> Option<Wait> {
        let score = self.devices.get_mut(device)?;
        score.settle(now);
        score.wait(Rule::PLAIN, now)
    }

    /// Whether the channel's handshake may go on once the caller has proved its device key (after its third message): from a network that
    /// waits only a known device goes on.
    pub fn after_keys(&mut self, source: Source, device_key: &str, now: Moment) -> Try {
        let wait = match device(device_key) {
            Some(d) if self.knows_device(&d, now) => self.device_wait(&d, now),
            _ => self.admit(source, now),
        };
        wait.map_or(Try::Now { delay: Duration::ZERO }, Try::Later)
    }

    /// Whether a proof may be judged now. Asked just before, since many connections may have been let in before the first of
    /// them failed.
    pub fn may_try(&mut self, attempt: &Attempt<'_>, now: Moment) -> Try {
        let wait = match self.own(attempt, now) {
            Own::Device(d) => self.device_wait(&d, now),
            Own::KnownPair => self.pair_wait(attempt, now),
            Own::Stranger => self.pair_wait(attempt, now).max(self.admit(attempt.source, now)),
        };
        match wait {
            Some(wait) => Try::Later(wait),
            None => Try::Now { delay: self.user_delay(attempt.user, now) },
        }
    }

    fn user_delay(&mut self, user: &str, now: Moment) -> Duration {
        let name = self.name(user);
        self.users.get_mut(&name).map_or(Duration::ZERO, |score| {
            score.settle(now);
            score.delay(now)
        })
    }

    /// Counts a completed proof that was wrong.
    pub fn wrong(&mut self, attempt: &Attempt<'_>, now: Moment) -> Counted {
        let name = self.name(attempt.user);
        let own = self.own(attempt, now);
        self.changes = self.changes.wrapping_add(1);
        // without a name there is none to be guessed at
        if !attempt.user.is_empty() {
            self.users.touch(name, || Score::new(now)).add(Rule::PLAIN, now);
        }
        match own {
            Own::Device(d) => self.devices.touch(d, || Score::new(now)).add(Rule::PLAIN, now),
            Own::KnownPair => self.add_to_pair(name, attempt.source, now),
            Own::Stranger => {
                self.add_to_pair(name, attempt.source, now);
                self.add_to_network(attempt.source, now);
            }
        }
        match self.may_try(attempt, now) {
            Try::Later(wait) => {
                Counted { wait: Some(wait), user_slowed: !self.user_delay(attempt.user, now).is_zero() }
            }
            Try::Now { delay } => Counted { wait: None, user_slowed: !delay.is_zero() },
        }
    }

    fn add_to_pair(&mut self, name: Name, source: Source, now: Moment) {
        self.pairs.touch((name, source), || Score::new(now)).add(pair_rule(source), now);
    }

    fn add_to_network(&mut self, source: Source, now: Moment) {
        match source {
            Source::V4(ip) => self.v4.touch(ip, || Score::new(now)).add(Rule::PLAIN, now),
            Source::V6(net) => self.v6.touch(net, || Score::new(now)).add(Rule::PLAIN, now),
            Source::Local | Source::Proxy => {}
        }
        if let Some(site) = source.site() {
            self.sites.touch(site, || Score::new(now)).add(Rule::SITE, now);
        }
    }

    /// Counts what came before a login and was no protocol, or took longer than it may. A connection that closes politely is none.
    pub fn garbage(&mut self, source: Source, now: Moment) -> Counted {
        if source.is_counted() {
            self.changes = self.changes.wrapping_add(1);
            self.add_to_network(source, now);
        }
        Counted { wait: self.admit(source, now), user_slowed: false }
    }

    /// Notes a login: clears what was counted against this pair and device, and makes them known.
    pub fn right(&mut self, attempt: &Attempt<'_>, now: Moment) {
        self.changes = self.changes.wrapping_add(1);
        let pair = (self.name(attempt.user), attempt.source);
        self.pairs.remove(&pair);
        if attempt.user.len() <= MAX_NAME {
            let name = attempt.user.to_owned();
            self.known_users.touch(pair, || KnownUser { name, last: now }).last = now;
            *self.known_networks.touch(attempt.source, || now) = now;
        }
        if let Some(d) = attempt.device.and_then(device) {
            self.devices.remove(&d);
            *self.known_devices.touch(d, || now) = now;
        }
    }
}

fn pair_rule(source: Source) -> Rule {
    if source == Source::Local { Rule::LOCAL } else { Rule::PLAIN }
}
