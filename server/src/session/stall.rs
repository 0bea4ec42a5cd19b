//! Tells when nothing of what waits for a client goes anywhere any more.
//!
//! What counts is that bytes leave, not how many: a slow link that lives is let live. Writing goes on when the kernel takes bytes; where it
//! has plenty of room it may take none for long, so that before an end it is asked whether the peer acknowledged any.

use std::time::{Duration, Instant};

/// A client that takes nothing for this long is closed.
pub const LIMIT: Duration = Duration::from_secs(30);

/// How long a connection has been stuck.
#[derive(Debug)]
pub(super) struct Stall {
    limit: Duration,
    /// When bytes were first seen to wait after the last that left.
    since: Option<Instant>,
    /// What the kernel held half way, where it was asked.
    half_way: Option<Option<usize>>,
}

impl Stall {
    /// One that ends after this long.
    pub fn new(limit: Duration) -> Self {
        Stall { limit, since: None, half_way: None }
    }

    /// Bytes left.
    pub fn moved(&mut self) {
        (self.since, self.half_way) = (None, None);
    }

    /// Whether it has lasted too long. `waits` says whether anything is still to leave, `held` how much the kernel holds that
    /// the peer has not acknowledged.
    pub fn is_over(&mut self, waits: bool, now: Instant, held: impl FnOnce() -> Option<usize>) -> bool {
        if !waits {
            self.moved();
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let lasted = now.saturating_duration_since(since);
        let half = self.limit / 2;
        match self.half_way {
            None if lasted < half => false,
            Some(_) if lasted < self.limit => false,
            before => {
                let now_held = held();
                let over = before.is_some_and(|before| before.is_none() || now_held >= before);
                // the second half begins now, however late this is
                (self.since, self.half_way) = (now.checked_sub(half).or(self.since), Some(now_held));
                over
            }
        }
    }

    /// When to look again.
    pub fn wake_at(&self) -> Option<Instant> {
        let after = if self.half_way.is_some() { self.limit } else { self.limit / 2 };
        self.since.and_then(|since| since.checked_add(after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn nothing_taken_for_the_whole_time_is_the_end() {
        for held in [None, Some(70_000)] {
            let (start, mut stall) = (Instant::now(), Stall::new(LIMIT));
            let mut at = start;
            assert!(!stall.is_over(true, at, || held));
            let mut looks = 0;
            loop {
                at = stall.wake_at().expect("something waits");
                looks += 1;
                if stall.is_over(true, at, || held) {
                    break;
                }
            }
            assert_eq!((at - start, looks), (LIMIT, 2), "{held:?}");
        }
    }

    #[test]
    fn a_link_on_which_bytes_leave_is_never_ended_however_slow_it_is() {
        let (start, mut stall) = (Instant::now(), Stall::new(LIMIT));
        for n in 0..100 {
            assert!(!stall.is_over(true, after(start, 29 * n), || Some(9)));
            stall.moved();
        }
        // the kernel takes none, and the peer acknowledges a byte now and then
        let mut stall = Stall::new(LIMIT);
        let (mut at, mut held) = (start, 1_000_000);
        for _ in 0..100 {
            assert!(!stall.is_over(true, at, || Some(held)));
            at = stall.wake_at().expect("something waits");
            held -= 1;
        }
    }

    #[test]
    fn what_does_not_wait_is_not_stuck_and_a_late_look_gives_the_second_half_all_the_same() {
        let (start, mut stall) = (Instant::now(), Stall::new(LIMIT));
        for n in 0..10 {
            assert!(!stall.is_over(false, after(start, 100 * n), || Some(9)));
            assert_eq!(stall.wake_at(), None);
        }
        assert!(!stall.is_over(true, start, || Some(9)));
        assert!(!stall.is_over(true, after(start, 500), || Some(9)), "this machine stood still");
        assert!(!stall.is_over(true, after(start, 514), || Some(9)));
        assert!(stall.is_over(true, after(start, 515), || Some(9)));
    }
}
