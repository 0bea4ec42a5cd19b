//! One bucket: failures that fade, and the wait that follows from them.

use std::fmt;
use std::time::Duration;

use crate::auth::Moment;

/// Failures fade by half in this time.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// More failures than this many times the free ones are not counted: they would only fade more slowly.
const MOST: u32 = 16;
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(600);
/// Longest wait of this machine's own users: nobody local can lock out anybody else for long.
const LONGEST_LOCAL: Duration = Duration::from_secs(4);
/// Failures that cost nothing.
const FREE: u32 = 4;
/// A user's name alone adds this for every failure beyond the free ones …
const USER_STEP: Duration = Duration::from_millis(100);
/// … up to this.
const USER_MOST: Duration = Duration::from_millis(500);

/// How a family of buckets counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    free: u32,
    longest: Duration,
}

impl Rule {
    /// An address, a /64 network, a pair or a device.
    pub(super) const PLAIN: Rule = Rule { free: FREE, longest: LONGEST };
    /// A /48 network: eight times the allowance.
    pub(super) const SITE: Rule = Rule { free: FREE * 8, longest: LONGEST };
    /// A pair whose caller is on this machine.
    pub(super) const LOCAL: Rule = Rule { free: FREE, longest: LONGEST_LOCAL };

    /// Most failures that a bucket holds.
    pub(super) const fn most(self) -> u32 {
        self.free * MOST
    }
}

/// How long a caller has to wait before it may try again; never nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait(Duration);

impl Wait {
    pub(super) fn new(left: Duration) -> Option<Self> {
        (!left.is_zero()).then_some(Wait(left))
    }

    /// The time.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// In whole seconds, as callers are told: trying after these is never too early.
    pub fn seconds(self) -> u64 {
        self.0.as_secs().saturating_add(u64::from(self.0.subsec_nanos() > 0))
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "try again in {} s", self.seconds())
    }
}

/// Failures and when the last one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Score {
    pub(super) count: u32,
    pub(super) last: Moment,
}

impl Score {
    /// No failure yet.
    pub(super) fn new(now: Moment) -> Self {
        Score { count: 0, last: now }
    }

    /// What is left of the failures.
    pub(super) fn faded(&self, now: Moment) -> u32 {
        let half_lives = now.since(self.last).as_secs() / HALF_LIFE.as_secs();
        self.count.checked_shr(u32::try_from(half_lives).unwrap_or(u32::MAX)).unwrap_or(0)
    }

    /// A clock that was put back makes no wait longer than its length.
    pub(super) fn settle(&mut self, now: Moment) {
        self.last = self.last.min(now);
    }

    /// Counts a failure.
    pub(super) fn add(&mut self, rule: Rule, now: Moment) {
        self.count = self.faded(now).saturating_add(1).min(rule.most());
        self.last = now;
    }

    /// What follows from the failures.
    pub(super) fn wait(&self, rule: Rule, now: Moment) -> Option<Wait> {
        // the first failure beyond the free ones costs a second, each one more doubles it
        let doublings = self.faded(now).checked_sub(rule.free)?.checked_sub(1)?;
        let whole = 1u64.checked_shl(doublings).map_or(rule.longest, |s| Duration::from_secs(s).min(rule.longest));
        Wait::new(whole.saturating_sub(now.since(self.last)))
    }

    /// What failures for one user's name, from wherever, add to an answer.
    pub(super) fn delay(&self, now: Moment) -> Duration {
        USER_STEP.saturating_mul(self.faded(now).saturating_sub(FREE)).min(USER_MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(times: u32, rule: Rule, at: Moment) -> Score {
        let mut score = Score::new(at);
        (0..times).for_each(|_| score.add(rule, at));
        score
    }

    #[test]
    fn four_failures_are_free_and_then_the_wait_doubles_up_to_ten_minutes() {
        let at = Moment::from_secs(1_000_000);
        let waits: Vec<Option<u64>> =
            (0..18).map(|n| failed(n, Rule::PLAIN, at).wait(Rule::PLAIN, at).map(Wait::seconds)).collect();
        let some = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600].map(Some);
        assert_eq!(waits, [&[None; 5][..], &some].concat());
        assert_eq!(failed(32, Rule::SITE, at).wait(Rule::SITE, at), None);
        assert_eq!(failed(33, Rule::SITE, at).wait(Rule::SITE, at).map(Wait::seconds), Some(1));
        assert_eq!(failed(500, Rule::LOCAL, at).wait(Rule::LOCAL, at).map(Wait::seconds), Some(4));
    }

    #[test]
    fn a_wait_ends_to_the_millisecond_and_is_told_in_whole_seconds() {
        let at = Moment::from_millis(1_000_000_900);
        let score = failed(6, Rule::PLAIN, at);
        let left = |ms| score.wait(Rule::PLAIN, at.plus(Duration::from_millis(ms)));
        assert_eq!(left(0).map(|w| w.to_string()), Some("try again in 2 s".to_owned()));
        assert_eq!(left(1_999).map(Wait::duration), Some(Duration::from_millis(1)));
        assert_eq!(left(1_999).map(Wait::seconds), Some(1));
        assert_eq!(left(2_000), None);
    }

    #[test]
    fn failures_halve_every_ten_minutes_without_one_and_stay_bounded() {
        let at = Moment::from_secs(1_000_000);
        let mut score = failed(9, Rule::PLAIN, at);
        let faded: Vec<u32> = [0, 599, 600, 1200, 1800, 2400, 10_000_000_000]
            .map(|s| score.faded(at.plus(Duration::from_secs(s))))
            .into();
        assert_eq!(faded, [9, 9, 4, 2, 1, 0, 0]);
        score.add(Rule::PLAIN, at.plus(Duration::from_secs(1200)));
        assert_eq!(score.count, 3);
        assert_eq!(failed(10_000, Rule::PLAIN, at).count, 64);
        assert_eq!(failed(10_000, Rule::SITE, at).count, 512);
    }

    #[test]
    fn a_clock_that_was_put_back_keeps_nobody_waiting_longer() {
        let (late, early) = (Moment::from_secs(9_000_000), Moment::from_secs(1_000_000));
        let mut score = failed(64, Rule::PLAIN, late);
        score.settle(early);
        assert_eq!(score.wait(Rule::PLAIN, early).map(Wait::seconds), Some(600));
        assert_eq!(score.wait(Rule::PLAIN, early.plus(Duration::from_secs(600))), None);
    }

    #[test]
    fn a_name_adds_half_a_second_at_most() {
        let at = Moment::from_secs(1);
        let delays = [0, 4, 5, 8, 9, 64].map(|n| failed(n, Rule::PLAIN, at).delay(at).as_millis());
        assert_eq!(delays, [0, 0, 100, 400, 500, 500]);
    }
}
