//! What a link is, from when bytes were sent and when they had arrived: pure.
//!
//! A link is a queue in front of a line of one rate, and a way there and back. Something that arrives tells how long its own
//! bytes took (the time since the one before it had arrived, or since it could have arrived itself, whichever is later) and how
//! long it stood in the queue (what is left of its round trip).

use std::time::{Duration, Instant};

/// Fewer bytes than this say nothing of the rate.
const LEAST_BYTES: u64 = 2 * 1024;

/// Share that older measurements keep: what is slow counts by its time, so a rate falls at once and rises by and by.
const KEEP: f64 = 0.8;

/// So many in a row that found an idle link and a longer way are believed.
const LONGER: u32 = 4;

/// A way there and back that was not seen that short for so long is measured anew.
const BASE_LASTS: Duration = Duration::from_secs(4);

/// One link as it was measured.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    /// The way there and back, and when it was last seen as short.
    base: Option<(Duration, Instant)>,
    /// How many small things in a row found the link idle and the way longer than that, and the shortest of theirs.
    longer: (u32, Duration),
    bytes: f64,
    seconds: f64,
    /// When the last thing had arrived.
    last: Option<Instant>,
}

impl Link {
    /// Something of `bytes` that was sent at `sent` is known to have arrived; returns how long it stood in the queue.
    pub fn arrived(&mut self, sent: Instant, bytes: u64, now: Instant) -> Duration {
        let rtt = now.saturating_duration_since(sent);
        let base = self.renew_base(sent, rtt, bytes, now);
        let could = sent + base;
        let from = self.last.map_or(could, |last| last.max(could));
        self.last = Some(now);
        if bytes >= LEAST_BYTES {
            let took = now.saturating_duration_since(from).max(Duration::from_micros(20));
            self.count(bytes, took);
        }
        from.saturating_duration_since(could)
    }

    /// The way there and back, after one more was seen.
    fn renew_base(&mut self, sent: Instant, rtt: Duration, bytes: u64, now: Instant) -> Duration {
        let (base, at) = match self.base {
            Some((base, at)) if rtt >= base => (base, at),
            _ => (rtt, now),
        };
        let idle = bytes < LEAST_BYTES && self.last.is_none_or(|last| sent >= last);
        if rtt <= base + (base / 8).max(Duration::from_millis(1)) {
            self.longer.0 = 0;
            self.base = Some((base, now));
        } else if idle {
            let (n, least) = self.longer;
            self.longer = (n + 1, if n == 0 { rtt } else { least.min(rtt) });
            let old = now.saturating_duration_since(at) > BASE_LASTS;
            if old || self.longer.0 >= LONGER {
                self.base = Some((self.longer.1, now));
                self.longer.0 = 0;
            }
        }
        self.base.map_or(rtt, |(base, _)| base)
    }

    /// Counts bytes that took so long, all in all.
    pub fn count(&mut self, bytes: u64, took: Duration) {
        self.bytes = self.bytes * KEEP + bytes as f64;
        self.seconds = self.seconds * KEEP + took.as_secs_f64();
    }

    /// Takes in a way there and back that is only known whole.
    pub fn round_trip(&mut self, rtt: Duration, now: Instant) {
        if self.base.is_none_or(|(base, _)| rtt < base) {
            self.base = Some((rtt, now));
        }
    }

    /// Bytes a second; none before anything was measured.
    pub fn rate(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.bytes / self.seconds)
    }

    /// The way there and back on an empty link.
    pub fn base(&self) -> Option<Duration> {
        self.base.map(|(base, _)| base)
    }

    /// Whether the way there and back should be measured on an empty link.
    pub fn base_is_old(&self, now: Instant) -> bool {
        self.base.is_some_and(|(_, at)| now.saturating_duration_since(at) > BASE_LASTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn rate_and_way_are_told_apart_by_what_goes_before() {
        // 1 MB/s, 40 ms: a probe, then 50 kB right behind it, then 20 kB that waits behind those
        let (mut link, t) = (Link::default(), Instant::now());
        assert_eq!(link.arrived(t, 0, t + MS * 40), Duration::ZERO);
        assert_eq!(link.arrived(t, 50_000, t + MS * 90), Duration::ZERO);
        assert_eq!(link.base(), Some(MS * 40));
        assert_eq!(link.arrived(t + MS * 20, 20_000, t + MS * 110), MS * 30);
        assert!((link.rate().unwrap_or_default() - 1e6).abs() < 1e3, "{:?}", link.rate());
    }

    #[test]
    fn a_rate_falls_at_once_and_rises_by_and_by() {
        let mut link = Link::default();
        for _ in 0..20 {
            link.count(10_000, MS);
        }
        link.count(10_000, MS * 100);
        assert!(link.rate().is_some_and(|r| r < 600_000.0));
        for _ in 0..25 {
            link.count(10_000, MS);
        }
        assert!(link.rate().is_some_and(|r| r > 5e6));
    }

    #[test]
    fn a_longer_way_is_believed_once_the_old_one_is_old() {
        let (mut link, t) = (Link::default(), Instant::now());
        link.arrived(t, 0, t + MS * 10);
        link.arrived(t + MS * 1000, 0, t + MS * 1050);
        assert_eq!(link.base(), Some(MS * 10));
        assert!(link.base_is_old(t + MS * 12_000));
        link.arrived(t + MS * 12_000, 0, t + MS * 12_050);
        assert_eq!(link.base(), Some(MS * 50));
    }

    #[test]
    fn a_longer_way_is_believed_when_it_is_seen_again_and_again() {
        let (mut link, t) = (Link::default(), Instant::now());
        link.arrived(t, 0, t + MS * 10);
        for n in 1..=4 {
            assert_eq!(link.base(), Some(MS * 10), "after {n}");
            let sent = t + MS * 100 * n;
            link.arrived(sent, 0, sent + MS * (48 + n));
        }
        assert_eq!(link.base(), Some(MS * 49));
        // what waits behind other things shows nothing
        for n in 1..=9 {
            let sent = t + MS * 1000;
            link.arrived(sent, 100, sent + MS * 100 * n);
        }
        assert_eq!(link.base(), Some(MS * 49));
    }
}
