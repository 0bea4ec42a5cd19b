//! Wall-clock time as an argument, in milliseconds: what is kept across restarts cannot use a monotonic clock.

use std::time::{Duration, SystemTime};

/// A point of wall-clock time: milliseconds since the beginning of 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// That many milliseconds since the beginning of 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Moment(millis)
    }

    /// That many seconds since the beginning of 1970.
    pub const fn from_secs(secs: u64) -> Self {
        Moment(secs.saturating_mul(1000))
    }

    /// What a clock shows; times before 1970 are its beginning.
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Moment(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Milliseconds since the beginning of 1970.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// This long after.
    pub fn plus(self, span: Duration) -> Self {
        Moment(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; nothing when it lies ahead.
    pub const fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_count_from_1970_and_never_wrap() {
        assert_eq!(Moment::of(SystemTime::UNIX_EPOCH + Duration::from_secs(7)), Moment::from_secs(7));
        assert_eq!(Moment::of(SystemTime::UNIX_EPOCH - Duration::from_secs(7)), Moment::default());
        assert_eq!(Moment::from_secs(u64::MAX).plus(Duration::MAX).millis(), u64::MAX);
        assert_eq!(Moment::from_secs(1).since(Moment::from_secs(2)), Duration::ZERO);
        assert_eq!(Moment::from_secs(3).since(Moment::from_secs(2)), Duration::from_secs(1));
    }
}
