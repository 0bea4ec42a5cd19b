//! Guessing takes time: peers that fail wait, longer each time.
//!
//! A source is an IPv4 address, an IPv6 /64 network, or this machine. Its first four failures within ten minutes are
//! free; after that it waits 1, 2, 4 … seconds from its last failure before it may try again, at most ten minutes, and every
//! ten minutes without a failure take back half of them. This machine's own users (loopback and Unix sockets) never wait more
//! than four seconds, so that nobody local can lock out anybody else for long. A success forgets a local source's
//! failures; a network's are kept, since others may be guessing from it.
//!
//! Memory is bounded: the table keeps [`MAX_SOURCES`] sources and drops the one that failed longest ago. Time is an
//! argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Sources remembered at once.
pub const MAX_SOURCES: usize = 16_384;
/// Failures that cost nothing.
const FREE: u32 = 4;
/// Failures fade by half in this time.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// Longest wait of a network source.
const MAX_WAIT_S: u64 = 600;
/// Longest wait of this machine's users.
const MAX_LOCAL_WAIT_S: u64 = 4;

/// Where failures are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerKey {
    /// This machine: loopback or a Unix socket.
    Local,
    /// An IPv4 address.
    V4([u8; 4]),
    /// An IPv6 /64 network.
    V6Net([u8; 8]),
}

impl PeerKey {
    /// The source that an address belongs to; none is a Unix socket.
    pub fn of(ip: Option<IpAddr>) -> Self {
        match ip.map(|ip| ip.to_canonical()) {
            None => PeerKey::Local,
            Some(ip) if ip.is_loopback() => PeerKey::Local,
            Some(IpAddr::V4(ip)) => PeerKey::V4(ip.octets()),
            Some(IpAddr::V6(ip)) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                PeerKey::V6Net([a, b, c, d, e, f, g, h])
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Record {
    failures: u32,
    last: Instant,
}

impl Record {
    fn faded(&self, now: Instant) -> u32 {
        let half_lives = now.saturating_duration_since(self.last).as_secs() / HALF_LIFE.as_secs();
        self.failures.checked_shr(u32::try_from(half_lives).unwrap_or(u32::MAX)).unwrap_or(0)
    }
}

/// Failures by source.
#[derive(Debug, Default)]
pub struct Throttle {
    sources: HashMap<PeerKey, Record>,
}

impl Throttle {
    /// No failures yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long this source still has to wait; none if it may try now.
    pub fn wait(&self, key: PeerKey, now: Instant) -> Option<Duration> {
        let record = self.sources.get(&key)?;
        let over = record.faded(now).checked_sub(FREE)?;
        let longest = if key == PeerKey::Local { MAX_LOCAL_WAIT_S } else { MAX_WAIT_S };
        // The fourth failure is the last free one: the fifth costs a second.
        let seconds = over.checked_sub(1).map(|n| 1u64.checked_shl(n).unwrap_or(longest).min(longest))?;
        let until = record.last.checked_add(Duration::from_secs(seconds))?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Counts a wrong proof.
    pub fn failure(&mut self, key: PeerKey, now: Instant) {
        if !self.sources.contains_key(&key) && self.sources.len() >= MAX_SOURCES {
            let oldest = self.sources.iter().min_by_key(|(_, r)| r.last).map(|(k, _)| *k);
            oldest.and_then(|k| self.sources.remove(&k));
        }
        let record = self.sources.entry(key).or_insert(Record { failures: 0, last: now });
        // 64 doublings are far beyond the longest wait: more would only fade more slowly.
        record.failures = record.faded(now).saturating_add(1).min(64);
        record.last = now;
    }

    /// Forgets a local source's failures after a right proof.
    pub fn success(&mut self, key: PeerKey) {
        if key == PeerKey::Local {
            self.sources.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> PeerKey {
        PeerKey::of(Some(text.parse().unwrap()))
    }

    #[test]
    fn four_failures_are_free_and_then_the_wait_doubles_up_to_ten_minutes() {
        let (mut throttle, start) = (Throttle::new(), Instant::now());
        let k = key("192.0.2.1");
        for _ in 0..4 {
            throttle.failure(k, start);
            assert_eq!(throttle.wait(k, start), None);
        }
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] {
            throttle.failure(k, start);
            assert_eq!(throttle.wait(k, start), Some(Duration::from_secs(expected)));
        }
        for _ in 0..200 {
            throttle.failure(k, start);
        }
        assert_eq!(throttle.wait(k, start), Some(Duration::from_secs(600)));
        assert_eq!(throttle.wait(k, start + Duration::from_secs(600)), None);
    }

    #[test]
    fn failures_fade_and_other_sources_are_untouched() {
        let (mut throttle, start) = (Throttle::new(), Instant::now());
        let k = key("2001:db8::1");
        for _ in 0..9 {
            throttle.failure(k, start);
        }
        assert!(throttle.wait(key("2001:db8::ffff"), start).is_some(), "same /64");
        assert_eq!(throttle.wait(key("2001:db8:0:1::1"), start), None);
        let later = start + HALF_LIFE * 2;
        throttle.failure(k, later);
        assert_eq!(throttle.wait(k, later), None, "9 failures faded to 2, one more is 3");
    }

    #[test]
    fn local_users_wait_four_seconds_at_most_and_a_success_frees_them() {
        let (mut throttle, start) = (Throttle::new(), Instant::now());
        for _ in 0..50 {
            throttle.failure(PeerKey::Local, start);
        }
        assert_eq!(throttle.wait(key("127.0.0.1"), start), Some(Duration::from_secs(4)));
        assert_eq!(throttle.wait(key("::ffff:127.0.0.1"), start), Some(Duration::from_secs(4)));
        throttle.success(PeerKey::Local);
        assert_eq!(throttle.wait(PeerKey::Local, start), None);
        let net = key("192.0.2.1");
        for _ in 0..6 {
            throttle.failure(net, start);
        }
        throttle.success(net);
        assert!(throttle.wait(net, start).is_some());
    }

    #[test]
    fn the_table_stays_bounded_and_drops_the_oldest() {
        let (mut throttle, start) = (Throttle::new(), Instant::now());
        let nth = |n: u32| PeerKey::V4(n.to_be_bytes());
        for n in 0..MAX_SOURCES as u32 + 3 {
            throttle.failure(nth(n), start + Duration::from_millis(u64::from(n)));
        }
        assert_eq!(throttle.sources.len(), MAX_SOURCES);
        assert!(!throttle.sources.contains_key(&nth(2)) && throttle.sources.contains_key(&nth(3)));
    }
}
