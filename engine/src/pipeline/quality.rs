//! Which step of the quality ladder a client's link can carry, with hysteresis: pure, time is an argument.

use std::time::{Duration, Instant};

/// Pixels were left waiting after every update for this long: one step down, and so on.
const DOWN: [Duration; 3] = [Duration::from_millis(300), Duration::from_millis(1500), Duration::from_secs(4)];

/// Nothing was left waiting for this long: one step up.
const UP: Duration = Duration::from_secs(2);

/// A step up that failed within this time makes the next one wait twice as long.
const FAILED: Duration = Duration::from_secs(1);

/// The longest wait for a step up.
const MOST_UP: Duration = Duration::from_secs(60);

/// The step of one client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quality {
    step: u8,
    /// Since when updates leave something waiting, or leave nothing; none before the first.
    since: Option<(bool, Instant)>,
    raised_at: Option<Instant>,
    hold: Duration,
}

impl Default for Quality {
    fn default() -> Self {
        Self { step: 0, since: None, raised_at: None, hold: UP }
    }
}

impl Quality {
    /// An update was made, and more is left waiting than the link carries soon, or not.
    pub fn update(&mut self, left_waiting: bool, now: Instant) {
        let since = match self.since {
            Some((was, at)) if was == left_waiting => at,
            _ => now,
        };
        self.since = Some((left_waiting, since));
        let lasted = now.saturating_duration_since(since);
        if left_waiting {
            let failed = self.raised_at.is_some_and(|t| now.saturating_duration_since(t) < FAILED);
            if failed {
                self.raised_at = None;
                self.step = (self.step + 1).min(DOWN.len() as u8);
                self.hold = (self.hold * 2).min(MOST_UP);
            } else if DOWN.get(usize::from(self.step)).is_some_and(|least| lasted >= *least) {
                self.step += 1;
            }
        } else if self.step > 0 && lasted >= self.hold {
            self.step -= 1;
            self.raised_at = Some(now);
            // the next step up is waited for anew
            self.since = Some((false, now));
        } else if self.step == 0 && lasted > MOST_UP {
            self.hold = UP;
        }
    }

    /// Steps down from what the client asked for.
    pub fn step(&self) -> u8 {
        self.step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Updates every 50 ms for so long; `full(step)` says whether an update at that step leaves pixels waiting.
    fn run(q: &mut Quality, from: Instant, secs: u64, full: impl Fn(u8) -> bool) -> (Instant, usize) {
        let (mut now, mut changes) = (from, 0);
        while now < from + Duration::from_secs(secs) {
            let before = q.step();
            q.update(full(before), now);
            changes += usize::from(before != q.step());
            now += Duration::from_millis(50);
        }
        (now, changes)
    }

    #[test]
    fn it_goes_down_while_the_link_is_full_and_up_when_it_breathes() {
        let mut q = Quality::default();
        let (now, _) = run(&mut q, Instant::now(), 1, |_| true);
        assert_eq!(q.step(), 1);
        let (now, _) = run(&mut q, now, 5, |_| true);
        assert_eq!(q.step(), 3);
        run(&mut q, now, 10, |_| false);
        assert_eq!(q.step(), 0);
    }

    #[test]
    fn a_moment_of_much_to_send_changes_nothing() {
        let mut q = Quality::default();
        let mut now = Instant::now();
        for _ in 0..20 {
            for full in [true, true, true, false] {
                q.update(full, now);
                now += Duration::from_millis(50);
            }
        }
        assert_eq!(q.step(), 0);
    }

    #[test]
    fn between_two_steps_it_tries_ever_more_seldom() {
        let mut q = Quality::default();
        let (now, _) = run(&mut q, Instant::now(), 60, |step| step < 2);
        let (_, later) = run(&mut q, now, 60, |step| step < 2);
        assert!(later <= 4, "{later} changes in a minute");
        assert!((1..=2).contains(&q.step()));
    }
}
