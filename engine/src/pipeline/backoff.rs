//! How long a source is left alone after it answered slowly: pure, with durations as arguments.
//!
//! A desktop that is busy answers late, and every question makes it later. So what a frame took is held against the best that
//! frames of its size usually take: while it takes much longer, the source rests in proportion before it is asked again.

use std::time::Duration;

/// What asking costs whatever the size, in pixels that take as long to fetch.
const OVERHEAD_PX: f64 = 65_536.0;
/// Up to this many times the usual is no strain.
const EASY: f64 = 1.5;
/// At most this many times what the frame took.
const MOST_TIMES: f64 = 4.0;
/// The longest rest.
pub const MOST_REST: Duration = Duration::from_millis(200);
/// A single late answer counts so much.
const WEIGHT: f64 = 0.25;
/// The usual is forgotten by this part with every frame, so that a slower desktop becomes the usual one in time.
const FORGET: f64 = 0.005;

/// Watches what frames take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    /// Least nanoseconds per pixel, overhead counted as pixels; none before the first frame.
    usual: Option<f64>,
    /// Smoothed: how many times the usual frames take.
    strain: f64,
}

impl Backoff {
    /// Counts a frame of `px` fetched pixels that the source took `took` for; returns how long to leave it alone.
    ///
    /// ```
    /// use farpane_engine::pipeline::Backoff;
    /// use std::time::Duration;
    /// let mut backoff = Backoff::default();
    /// assert_eq!(backoff.after(8_000_000, Duration::from_millis(5)), Duration::ZERO);
    /// ```
    pub fn after(&mut self, px: u64, took: Duration) -> Duration {
        let cost = (took.as_nanos() as f64).max(1.0) / (px as f64 + OVERHEAD_PX);
        let usual = self.usual.map_or(cost, |u| (u * (1.0 + FORGET)).min(cost));
        self.usual = Some(usual);
        self.strain += (cost / usual - self.strain) * WEIGHT;
        let times = (self.strain - EASY).clamp(0.0, MOST_TIMES);
        took.mul_f64(times).min(MOST_REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn after(b: &mut Backoff, n: usize, px: u64, took: Duration) -> Duration {
        (0..n).map(|_| b.after(px, took)).last().unwrap_or_default()
    }

    #[test]
    fn a_desktop_that_answers_as_usual_is_asked_at_full_rate() {
        let mut b = Backoff::default();
        for n in 0..200u32 {
            let px = if n % 3 == 0 { 8_294_400 } else { 200 };
            let took = Duration::from_nanos(u64::from(100 + n % 7) * (px + 65_536) / 100);
            assert_eq!(b.after(px, took), Duration::ZERO, "frame {n}");
        }
    }

    #[test]
    fn the_slower_it_answers_the_longer_it_rests() {
        let rest = |times: u32| {
            let mut b = Backoff::default();
            after(&mut b, 20, 1000, MS);
            after(&mut b, 20, 1000, MS * times)
        };
        assert_eq!(rest(1), Duration::ZERO);
        assert!(rest(2) < rest(4) && rest(4) < rest(8), "{:?} {:?} {:?}", rest(2), rest(4), rest(8));
        assert!(rest(4) >= MS * 4, "at four times the usual it works less than half the time: {:?}", rest(4));
        assert_eq!(rest(100), MOST_REST);
    }

    #[test]
    fn it_recovers_and_one_hiccup_costs_little() {
        let mut b = Backoff::default();
        after(&mut b, 20, 1000, MS);
        assert!(b.after(1000, MS * 5) <= MS * 5);
        assert_eq!(after(&mut b, 12, 1000, MS), Duration::ZERO);
    }

    #[test]
    fn what_stays_slow_becomes_the_usual() {
        let mut b = Backoff::default();
        after(&mut b, 20, 1000, MS);
        assert!(after(&mut b, 20, 1000, MS * 3) > Duration::ZERO);
        assert_eq!(after(&mut b, 1000, 1000, MS * 3), Duration::ZERO);
    }
}
