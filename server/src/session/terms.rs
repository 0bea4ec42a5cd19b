//! How long a session may last, and how long without input.

use std::time::{Duration, Instant};

use super::log::{EndKind, Goodbye};

/// A client is warned this long before its end, or at half of a shorter time.
const WARNING: Duration = Duration::from_secs(60);

/// Why a session comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing was typed, pointed or copied for so long.
    Idle,
    /// It has lasted as long as any may.
    Time,
}

impl Ending {
    /// What the client was closed for.
    pub const fn reason(self) -> &'static str {
        match self {
            Ending::Idle => "no input for as long as session.idle_timeout_s allows",
            Ending::Time => "lasted as long as session.max_time_s allows",
        }
    }

    /// What the session ends with.
    pub fn goodbye(self) -> Goodbye {
        let kind = match self {
            Ending::Idle => EndKind::Idle,
            Ending::Time => EndKind::TimeUp,
        };
        Goodbye::new(kind, self.reason())
    }

    /// What the client is warned of.
    pub const fn warning(self) -> &'static str {
        match self {
            Ending::Idle => "no input",
            Ending::Time => "time is up",
        }
    }
}

/// What is to be done about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// The client is to be told that it ends in so long.
    Warn(Ending, Duration),
    /// There was input: the warning no longer holds.
    Unwarn,
    /// It is over.
    Over(Ending),
}

/// The clock of one session. Time is an argument.
#[derive(Debug)]
pub struct Terms {
    began: Instant,
    touched: Instant,
    idle: Option<Duration>,
    most: Option<Duration>,
    warned: Option<Ending>,
}

impl Terms {
    /// A session that begins; `idle` without input and `most` in all, none for no bound.
    pub fn new(began: Instant, idle: Option<Duration>, most: Option<Duration>) -> Self {
        Terms { began, touched: began, idle, most, warned: None }
    }

    /// There was input.
    pub fn touched(&mut self, now: Instant) {
        self.touched = self.touched.max(now);
    }

    /// The end that comes first: when it is warned of, when it is, and which.
    fn next(&self) -> Option<(Instant, Instant, Ending)> {
        let of = |since: Instant, limit: Option<Duration>, ending| {
            let limit = limit?;
            let end = since.checked_add(limit)?;
            let warn = end.checked_sub(WARNING.min(limit / 2))?;
            Some((warn, end, ending))
        };
        let ends = [of(self.touched, self.idle, Ending::Idle), of(self.began, self.most, Ending::Time)];
        ends.into_iter().flatten().min_by_key(|(_, end, _)| *end)
    }

    /// What is due now. Every warning is told once.
    pub fn check(&mut self, now: Instant) -> Due {
        let due = match self.next() {
            Some((_, end, ending)) if now >= end => Due::Over(ending),
            Some((warn, end, ending)) if now >= warn => Due::Warn(ending, end.saturating_duration_since(now)),
            _ => Due::Nothing,
        };
        match due {
            Due::Warn(ending, _) if self.warned == Some(ending) => Due::Nothing,
            Due::Warn(ending, _) => {
                self.warned = Some(ending);
                due
            }
            Due::Nothing if self.warned.take().is_some() => Due::Unwarn,
            due => due,
        }
    }

    /// When to check again although nothing happens.
    pub fn wake_at(&self) -> Option<Instant> {
        let (warn, end, ending) = self.next()?;
        Some(if self.warned == Some(ending) { end } else { warn })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_session_without_input_is_warned_a_minute_before_and_ends_at_the_hour() {
        let t = Instant::now();
        let mut terms = Terms::new(t, Some(s(3600)), None);
        assert_eq!((terms.check(t + s(3539)), terms.wake_at()), (Due::Nothing, Some(t + s(3540))));
        assert_eq!(terms.check(t + s(3540)), Due::Warn(Ending::Idle, s(60)));
        assert_eq!((terms.check(t + s(3599)), terms.wake_at()), (Due::Nothing, Some(t + s(3600))));
        assert_eq!(terms.check(t + s(3600)), Due::Over(Ending::Idle));
    }

    #[test]
    fn input_takes_a_warning_back_and_the_hour_begins_anew() {
        let t = Instant::now();
        let mut terms = Terms::new(t, Some(s(3600)), None);
        assert!(matches!(terms.check(t + s(3550)), Due::Warn(..)));
        terms.touched(t + s(3560));
        assert_eq!(terms.check(t + s(3560)), Due::Unwarn);
        assert_eq!((terms.check(t + s(7000)), terms.wake_at()), (Due::Nothing, Some(t + s(7100))));
        assert_eq!(terms.check(t + s(7100)), Due::Warn(Ending::Idle, s(60)));
        assert_eq!(terms.check(t + s(7160)), Due::Over(Ending::Idle));
    }

    #[test]
    fn input_does_not_lengthen_the_whole_time() {
        let t = Instant::now();
        let mut terms = Terms::new(t, Some(s(3600)), Some(s(600)));
        for n in 0..54 {
            terms.touched(t + s(n * 10));
            assert_eq!(terms.check(t + s(n * 10)), Due::Nothing, "{n}");
        }
        terms.touched(t + s(541));
        assert_eq!(terms.check(t + s(541)), Due::Warn(Ending::Time, s(59)));
        terms.touched(t + s(599));
        assert_eq!(terms.check(t + s(599)), Due::Nothing, "and is not taken back");
        assert_eq!(terms.check(t + s(600)), Due::Over(Ending::Time));
    }

    #[test]
    fn a_short_time_is_warned_of_at_its_half() {
        let t = Instant::now();
        let mut terms = Terms::new(t, Some(s(10)), None);
        assert_eq!(terms.wake_at(), Some(t + s(5)));
        assert_eq!(terms.check(t + s(5)), Due::Warn(Ending::Idle, s(5)));
    }

    #[test]
    fn without_bounds_nothing_is_ever_due() {
        let t = Instant::now();
        let mut terms = Terms::new(t, None, None);
        assert_eq!((terms.check(t + s(1 << 30)), terms.wake_at()), (Due::Nothing, None));
    }
}
