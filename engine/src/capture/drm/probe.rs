//! When to look at a buffer that stays: consoles and some X servers draw into what is shown.
//!
//! A picture is compared strip by strip. While something changes, at each vertical blank; each whole pass that finds nothing doubles the time between
//! strips, up to four passes in ten seconds. So what is drawn into a screen that was still is seen after 1.25 s on average and 2.5 s at most, and what
//! follows at once.

use std::time::{Duration, Instant};

use crate::geometry::{Rect, Size};

/// Strips of a picture at most.
const STRIPS: u16 = 8;
/// The longest time that a pass takes: four of them in ten seconds.
const PASS: Duration = Duration::from_millis(2500);
/// Rows to a multiple of which strips are cut: those of the grid that damage is found on.
const ROWS: u16 = 64;

/// Which strip of a picture is due when.
#[derive(Debug)]
pub(super) struct Probe {
    fastest: Duration,
    interval: Duration,
    due: Instant,
    next: u16,
    /// Strips of the picture.
    strips: u16,
    /// Strips since the last one that had changed.
    still: u16,
}

/// Rows of a strip.
fn rows(size: Size) -> u16 {
    size.h.div_ceil(STRIPS).next_multiple_of(ROWS)
}

impl Probe {
    /// For a screen of this size that shows a picture each `fastest`.
    pub(super) fn new(size: Size, fastest: Duration, now: Instant) -> Self {
        let strips = size.h.div_ceil(rows(size).max(1)).max(1);
        let interval = PASS / u32::from(strips);
        Self { fastest, interval, due: now + interval, next: 0, strips, still: 0 }
    }

    /// When the next strip is due.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// The strip that is due now, if one is.
    pub(super) fn strip(&mut self, size: Size, now: Instant) -> Option<Rect> {
        if now < self.due {
            return None;
        }
        self.due = now + self.interval;
        let rows = rows(size);
        let top = self.next * rows;
        self.next = (self.next + 1) % self.strips;
        Some(Rect::new(0, top, size.w, rows).intersect(&size.rect()))
    }

    /// What came of a comparison.
    pub(super) fn told(&mut self, changed: bool, now: Instant) {
        if changed {
            self.stir(now);
            return;
        }
        self.still += 1;
        if self.still >= self.strips {
            self.still = 0;
            self.interval = (self.interval * 2).min(PASS / u32::from(self.strips));
        }
    }

    /// Something may change from now on: somebody types, or something has just changed.
    pub(super) fn stir(&mut self, now: Instant) {
        self.still = 0;
        self.interval = self.fastest;
        self.due = self.due.min(now + self.fastest);
    }

    /// A whole picture was compared.
    pub(super) fn compared(&mut self, now: Instant) {
        self.due = now + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_micros(16_667);
    const SIZE: Size = Size::new(1920, 1080);

    /// Strips in so many seconds, each told of by `changed`.
    fn run(probe: &mut Probe, from: Instant, seconds: u64, changed: impl Fn(Rect) -> bool) -> Vec<(Duration, Rect)> {
        let mut strips = Vec::new();
        loop {
            let now = probe.due();
            if now > from + Duration::from_secs(seconds) {
                return strips;
            }
            let strip = probe.strip(SIZE, now).expect("is due");
            strips.push((now - from, strip));
            probe.told(changed(strip), now);
        }
    }

    #[test]
    fn a_still_picture_is_read_four_times_in_ten_seconds() {
        let start = Instant::now();
        let mut probe = Probe::new(SIZE, FRAME, start);
        assert_eq!(probe.strip(SIZE, start), None);
        let strips = run(&mut probe, start, 10, |_| false);
        let area: u64 = strips.iter().map(|(_, strip)| strip.area()).sum();
        assert!(strips.len() <= 4 * 8, "{}", strips.len());
        assert!((SIZE.area() * 3..=SIZE.area() * 5).contains(&area), "{area}");
    }

    #[test]
    fn strips_cover_the_picture_and_nothing_else() {
        for size in [SIZE, Size::new(800, 600), Size::new(3840, 2160), Size::new(64, 1), Size::new(1, 65_535)] {
            let mut probe = Probe::new(size, FRAME, Instant::now());
            let mut covered = crate::geometry::Region::new();
            for _ in 0..STRIPS {
                let strip = probe.strip(size, probe.due()).expect("is due");
                assert!(!strip.is_empty() && size.rect().contains(&strip), "{strip} of {size}");
                covered.add(&strip);
            }
            assert_eq!(covered.area(), size.area(), "{size}");
        }
    }

    #[test]
    fn what_changes_is_followed_at_each_vertical_blank_and_left_slowly() {
        let start = Instant::now();
        let mut probe = Probe::new(SIZE, FRAME, start);
        run(&mut probe, start, 5, |_| false);
        let stirred = start + Duration::from_secs(5);
        probe.told(true, stirred);
        let busy = run(&mut probe, stirred, 2, |strip| strip.y == 0);
        let gaps: Vec<_> = busy.windows(2).map(|w| w[1].0 - w[0].0).collect();
        assert!(gaps.iter().all(|gap| *gap == FRAME), "{gaps:?}");
        let quiet = run(&mut probe, stirred + Duration::from_secs(2), 10, |_| false);
        let (first, last) = (quiet[1].0 - quiet[0].0, quiet[quiet.len() - 1].0 - quiet[quiet.len() - 2].0);
        assert_eq!((first, last), (FRAME, PASS / 6));
    }

    #[test]
    fn typing_hastens_the_next_strip() {
        let start = Instant::now();
        let mut probe = Probe::new(SIZE, FRAME, start);
        run(&mut probe, start, 5, |_| false);
        let now = start + Duration::from_secs(5);
        probe.stir(now);
        assert!(probe.due() <= now + FRAME);
    }
}
