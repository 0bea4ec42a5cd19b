//! Whose turn it is among the outputs of one client: what is large on several of them shares the link by pixels, and the output that the
//! user works on gets more. Pure.
//!
//! Weighted fair queueing: each output has a clock that runs by the pixels sent of it, slower for the focused one, and the block that would end
//! first on its output's clock goes first. An output that had nothing to send starts where the others are: idling saves up nothing.

use super::encode_blocks::Job;
use super::urgent::{MOST_PX, SMALL_AREA};

/// How much more pixels of the focused output go than of each other one, while both have enough.
pub const FOCUS_SHARE: u64 = 3;

/// The outputs' clocks.
#[derive(Debug, Default)]
pub(super) struct Turns {
    clocks: Vec<u64>,
    /// The output that the user points at.
    focus: Option<usize>,
    /// No output starts behind this.
    floor: u64,
    /// Blocks that were put in order and not sent.
    left: usize,
}

impl Turns {
    /// So many other outputs are shown from now on.
    pub fn reset(&mut self, outputs: usize) {
        *self = Self { clocks: vec![0; outputs], ..Self::default() };
    }

    /// The user works on this output, or on none.
    pub fn set_focus(&mut self, output: Option<usize>) {
        self.focus = output;
    }

    /// Puts blocks, grouped by output, in the order in which they are to be sent: a few small ones of each output first, the
    /// others by turns. Blocks of one output keep their order but for that. Returns how many go first for being small.
    pub fn order(&mut self, jobs: &mut [Job]) -> usize {
        if self.clocks.len() < 2 || jobs.is_empty() {
            return 0;
        }
        if self.left == 0 {
            // everything had room: nobody owes anybody a turn
            self.clocks.fill(0);
            self.floor = 0;
        }
        self.left = jobs.len();
        for job in jobs.iter() {
            let clock = &mut self.clocks[job.attached];
            *clock = self.floor.max(*clock);
        }
        self.floor = jobs.iter().map(|job| self.clocks[job.attached]).min().unwrap_or(self.floor);
        let (mut output, mut clock, mut small_px) = (usize::MAX, 0, 0);
        for job in jobs.iter_mut() {
            if job.attached != output {
                (output, clock, small_px) = (job.attached, self.clocks[job.attached], 0);
            }
            clock += self.cost(job);
            job.turn = clock;
            let area = job.rect.area();
            if area < SMALL_AREA && small_px + area <= MOST_PX {
                small_px += area;
                job.turn = 0;
            }
        }
        jobs.sort_by_key(|job| job.turn);
        jobs.partition_point(|job| job.turn == 0)
    }

    /// This block was sent.
    pub fn sent(&mut self, job: &Job) {
        if self.clocks.len() > 1 {
            self.clocks[job.attached] += self.cost(job);
            self.left = self.left.saturating_sub(usize::from(!job.exact));
        }
    }

    fn cost(&self, job: &Job) -> u64 {
        job.rect.area() * if self.focus == Some(job.attached) { 1 } else { FOCUS_SHARE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;
    use proptest::prelude::*;

    fn block(attached: usize, side: u16) -> Job {
        Job { attached, rect: Rect::new(0, 0, side, side), exact: false, turn: 0 }
    }

    /// Sends blocks of 128 px squares, of outputs that each always have `has`, `each` at a time; returns how many each had.
    fn rounds(turns: &mut Turns, has: &[usize], each: usize, rounds: usize) -> Vec<usize> {
        let mut counts = vec![0; has.len()];
        for _ in 0..rounds {
            let mut jobs: Vec<Job> =
                has.iter().enumerate().flat_map(|(i, n)| (0..*n).map(move |_| block(i, 128))).collect();
            turns.order(&mut jobs);
            for job in jobs.iter().take(each) {
                turns.sent(job);
                counts[job.attached] += 1;
            }
        }
        counts
    }

    fn of(outputs: usize) -> Turns {
        let mut turns = Turns::default();
        turns.reset(outputs);
        turns
    }

    #[test]
    fn outputs_that_always_have_more_than_fits_get_as_much_each() {
        assert_eq!(rounds(&mut of(3), &[50, 50, 50], 7, 30), [70, 70, 70]);
        assert_eq!(rounds(&mut of(3), &[50, 0, 50], 1, 30), [15, 0, 15]);
    }

    #[test]
    fn the_focused_output_gets_three_times_as_much_and_no_other_starves() {
        let mut turns = of(3);
        turns.set_focus(Some(1));
        assert_eq!(rounds(&mut turns, &[50, 50, 50], 5, 40), [40, 120, 40]);
    }

    #[test]
    fn who_has_little_gets_it_and_the_rest_goes_to_the_others() {
        assert_eq!(rounds(&mut of(2), &[1, 50], 10, 20), [20, 180]);
    }

    #[test]
    fn idling_saves_up_nothing() {
        let mut turns = of(2);
        rounds(&mut turns, &[50, 0], 10, 100);
        let counts = rounds(&mut turns, &[50, 50], 10, 10);
        assert!(counts[0] >= 45, "{counts:?}: the one that was idle has the link for itself");
    }

    #[test]
    fn what_went_while_there_was_room_for_all_is_held_against_nobody() {
        let mut turns = of(2);
        turns.set_focus(Some(1));
        rounds(&mut turns, &[50, 50], 100, 3);
        assert_eq!(rounds(&mut turns, &[50, 50], 8, 10), [20, 60]);
    }

    #[test]
    fn small_blocks_lead_and_one_output_keeps_its_order() {
        let mut turns = of(2);
        let sides = [(0, 200), (0, 10), (0, 150), (1, 180), (1, 20)];
        let mut jobs: Vec<Job> = sides.iter().map(|(i, side)| block(*i, *side)).collect();
        turns.order(&mut jobs);
        let order: Vec<_> = jobs.iter().map(|job| (job.attached, job.rect.w)).collect();
        assert_eq!(order, [(0, 10), (1, 20), (1, 180), (0, 200), (0, 150)]);
    }

    #[test]
    fn many_small_pieces_are_no_way_around_the_others() {
        let mut turns = of(2);
        let mut counts = [0u64; 2];
        for _ in 0..40 {
            let mut jobs: Vec<Job> = (0..100).map(|_| block(0, 60)).chain((0..20).map(|_| block(1, 64))).collect();
            turns.order(&mut jobs);
            for job in jobs.iter().take(12) {
                turns.sent(job);
                counts[job.attached] += job.rect.area();
            }
        }
        assert!(counts[1] * 3 > counts[0] * 2, "{counts:?}");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nobody_waits_for_more_than_its_share_of_others(
            sides in proptest::collection::vec((0..4usize, 1..200u16), 0..60),
            focus in proptest::option::of(0..4usize),
        ) {
            let mut turns = of(4);
            turns.set_focus(focus);
            let mut jobs: Vec<Job> = sides.iter().map(|(i, side)| block(*i, *side)).collect();
            jobs.sort_by_key(|job| job.attached);
            let px = |jobs: &[Job], output: usize| -> u64 {
                jobs.iter().filter(|j| j.attached == output).map(|j| j.rect.area()).sum()
            };
            let before: Vec<u64> = (0..4).map(|output| px(&jobs, output)).collect();
            turns.order(&mut jobs);
            prop_assert_eq!((0..4).map(|output| px(&jobs, output)).collect::<Vec<_>>(), before);
            for (at, job) in jobs.iter().enumerate() {
                for other in (0..4).filter(|other| *other != job.attached) {
                    let (own, waited) = (px(&jobs[..=at], job.attached), px(&jobs[..at], other));
                    prop_assert!(waited <= own * FOCUS_SHARE + MOST_PX, "{} px for {}", waited, own);
                }
            }
        }
    }
}
