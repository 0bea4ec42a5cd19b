//! How large the next record should be.
//!
//! A record can be used only when it has come whole: 64 KiB at 10 Mbit/s take 52 ms. So what follows a pause goes in small
//! records, a burst in larger ones, and only a fast link gets the largest.

use std::time::{Duration, Instant};

/// A pause of this length starts again from the smallest records.
const IDLE: Duration = Duration::from_millis(200);
/// Data bytes of a burst after which records grow.
const BURST: u64 = 128 << 10;
/// Bits per second above which the largest records are used.
const FAST: u64 = 200_000_000;
const SMALL: usize = 4 << 10;
const MIDDLE: usize = 16 << 10;
const LARGE: usize = 64 << 10;

/// Follows what was sent and says how many data bytes the next record may have.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordSize {
    burst: u64,
    last: Option<Instant>,
}

impl RecordSize {
    /// Data bytes of the next record, on a link of about `rate` bits per second (none when it is not known).
    pub fn next(&mut self, now: Instant, rate: Option<u64>) -> usize {
        if self.last.is_none_or(|last| now.saturating_duration_since(last) >= IDLE) {
            self.burst = 0;
        }
        match rate {
            _ if self.burst < BURST => SMALL,
            Some(rate) if rate > FAST => LARGE,
            _ => MIDDLE,
        }
    }

    /// Notes data that was sent.
    pub fn sent(&mut self, bytes: usize, now: Instant) {
        self.burst = self.burst.saturating_add(bytes as u64);
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_grow_with_the_burst_and_shrink_after_a_pause() {
        let (start, mut size) = (Instant::now(), RecordSize::default());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(size.next(start, Some(1 << 40)), 4096);
        size.sent((128 << 10) - 1, start);
        assert_eq!(size.next(start, None), 4096);
        size.sent(1, start);
        assert_eq!(size.next(start, None), 16_384);
        assert_eq!(size.next(start, Some(200_000_000)), 16_384);
        assert_eq!(size.next(start, Some(200_000_001)), 65_536);
        size.sent(1, at(150));
        assert_eq!(size.next(at(349), None), 16_384, "199 ms are no pause");
        assert_eq!(size.next(at(350), None), 4096);
        size.sent(100, at(350));
        assert_eq!(size.next(at(351), Some(1 << 40)), 4096);
    }
}
