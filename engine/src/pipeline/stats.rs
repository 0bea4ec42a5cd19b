//! Counters and timings of one output's pipeline.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Buckets of a histogram: bucket `i` counts durations below `2^i` microseconds; the last one the rest.
pub const BUCKETS: usize = 24;

/// How long a stage took, in powers of two of a microsecond.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    total_us: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn add(&self, d: Duration) {
        let us = u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - us.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Relaxed);
        self.total_us.fetch_add(us, Relaxed);
    }

    /// Counts per bucket.
    pub fn buckets(&self) -> [u64; BUCKETS] {
        std::array::from_fn(|i| self.buckets[i].load(Relaxed))
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.buckets().iter().sum()
    }

    /// Their sum in microseconds.
    pub fn total_us(&self) -> u64 {
        self.total_us.load(Relaxed)
    }
}

/// What a pipeline did since it was made. Counters only grow.
#[derive(Debug, Default)]
pub struct Stats {
    /// Frames taken from the source.
    pub frames: AtomicU64,
    /// Frames that changed nothing.
    pub empty_frames: AtomicU64,
    /// Bytes of the frames' memory that were compared with the mirror.
    pub compared_bytes: AtomicU64,
    /// Bytes of pixels that differed: the one copy between the source's memory and what is encoded. A pixel that moved inside the mirror
    /// and was then right is not among them.
    pub copied_bytes: AtomicU64,
    /// Bytes that the source copied before, because the desktop's memory could not be compared where it lay.
    pub staged_bytes: AtomicU64,
    /// Pictures of films encoded, and how many of them were key pictures.
    pub video_pictures: AtomicU64,
    /// Key pictures among them.
    pub video_keys: AtomicU64,
    /// Rectangles encoded.
    pub encoded_rects: AtomicU64,
    /// Pixels encoded.
    pub encoded_px: AtomicU64,
    /// Bytes of encoded rectangles made (not counting those shared from the cache).
    pub encoded_bytes: AtomicU64,
    /// Rectangles that another client's encoding served.
    pub shared_rects: AtomicU64,
    /// Taking a frame from the source.
    pub capture: Histogram,
    /// From a frame's submission to its damage.
    pub damage: Histogram,
    /// Encoding one update.
    pub encode: Histogram,
}

impl Stats {
    /// Adds to a counter.
    pub(super) fn count(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_their_power_of_two() {
        let h = Histogram::default();
        for us in [0, 1, 2, 3, 1000, u64::MAX / 2000] {
            h.add(Duration::from_micros(us));
        }
        let b = h.buckets();
        assert_eq!((b[0], b[1], b[2], b[10], b[BUCKETS - 1]), (1, 1, 2, 1, 1));
        assert_eq!(h.count(), 6);
    }
}
