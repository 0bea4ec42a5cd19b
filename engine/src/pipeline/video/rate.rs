//! The quality of one client's film, from what its link carries: pure, time is an argument.

use std::time::{Duration, Instant};

use crate::encode::h264::VideoStep;

/// Pictures a second that the link should carry before quality is raised.
const SMOOTH: f64 = 25.0;

/// How much of the link a film may fill.
const SHARE: f64 = 0.7;

/// Pictures too large for so long: a step coarser; smaller by this factor for so long: a step finer.
const DOWN: Duration = Duration::from_millis(300);
const UP: Duration = Duration::from_secs(2);
const SPARE: f64 = 1.8;

#[derive(Clone, Copy, Debug)]
pub(super) struct FilmRate {
    ceiling: VideoStep,
    step: VideoStep,
    /// Smoothed bytes of a picture that is no key picture.
    bytes: Option<f64>,
    too_large: Option<Instant>,
    small: Option<Instant>,
}

impl FilmRate {
    pub fn new(ceiling: VideoStep) -> Self {
        Self { ceiling, step: ceiling, bytes: None, too_large: None, small: None }
    }

    /// The finest step that the client asks for.
    pub fn set_ceiling(&mut self, ceiling: VideoStep) {
        if self.ceiling != ceiling {
            *self = Self::new(ceiling);
        }
    }

    pub fn step(&self) -> VideoStep {
        self.step
    }

    /// A picture was taken; `link` is what the link carries, in bytes a second, as far as measured.
    pub fn taken(&mut self, bytes: usize, key: bool, link: Option<f64>, now: Instant) {
        let Some(link) = link.filter(|_| !key) else { return };
        let smoothed = self.bytes.map_or(bytes as f64, |b| b + (bytes as f64 - b) * 0.2);
        self.bytes = Some(smoothed);
        let most = link * SHARE / SMOOTH;
        let since = |was: Option<Instant>, holds: bool| holds.then(|| was.unwrap_or(now));
        self.too_large = since(self.too_large, smoothed > most);
        self.small = since(self.small, smoothed * SPARE < most);
        let long = |since: Option<Instant>, d| since.is_some_and(|t| now.saturating_duration_since(t) >= d);
        let step = if long(self.too_large, DOWN) {
            self.step.coarser()
        } else if long(self.small, UP) && self.step > self.ceiling {
            self.step.finer()
        } else {
            return;
        };
        // what the next pictures take is not known yet
        (self.step, self.bytes, self.too_large, self.small) = (step, None, None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures for so many seconds on a link of `link` bytes a second; each step takes 0.7 of the bytes of the finer one.
    fn run(rate: &mut FilmRate, from: Instant, secs: u64, link: f64) -> (Instant, usize) {
        let (mut now, mut changes) = (from, 0);
        while now < from + Duration::from_secs(secs) {
            let before = rate.step();
            let steps = f64::from(before.quantiser() - 18) / 3.0;
            rate.taken((40_000.0 * 0.7f64.powf(steps)) as usize, false, Some(link), now);
            changes += usize::from(before != rate.step());
            now += Duration::from_millis(40);
        }
        (now, changes)
    }

    #[test]
    fn it_follows_the_link_down_to_the_floor_and_up_to_the_ceiling() {
        let ceiling = VideoStep::for_quality(92);
        let mut rate = FilmRate::new(ceiling);
        let (now, _) = run(&mut rate, Instant::now(), 5, 5e6);
        assert_eq!(rate.step(), ceiling);
        let (now, _) = run(&mut rate, now, 10, 300e3);
        assert!(rate.step() > ceiling && rate.step() < VideoStep::COARSEST, "{:?}", rate.step());
        let (now, _) = run(&mut rate, now, 10, 20e3);
        assert_eq!(rate.step(), VideoStep::COARSEST);
        run(&mut rate, now, 30, 5e6);
        assert_eq!(rate.step(), ceiling);
    }

    #[test]
    fn between_two_steps_it_stays() {
        let mut rate = FilmRate::new(VideoStep::for_quality(92));
        let (now, _) = run(&mut rate, Instant::now(), 10, 500e3);
        let (_, later) = run(&mut rate, now, 60, 500e3);
        assert_eq!(later, 0, "{:?}", rate.step());
    }

    #[test]
    fn key_pictures_and_unknown_links_say_nothing() {
        let mut rate = FilmRate::new(VideoStep::for_quality(50));
        let now = Instant::now();
        for i in 0..100 {
            rate.taken(10_000_000, true, Some(1e3), now + Duration::from_millis(i * 40));
            rate.taken(10_000_000, false, None, now + Duration::from_millis(i * 40));
        }
        assert_eq!(rate.step(), VideoStep::for_quality(50));
    }
}
