//! What one client still has to be sent of one output.
//!
//! A slow client merges here and never queues: pixels become a region, moves a short list of copies. The order is fixed:
//! the client first carries out the copies, then gets the pending pixels from the newest mirror.

use crate::damage::{Copied, Damage};
use crate::geometry::{Rect, Region};

/// Copies that may wait for one update; more turn into pixels.
const MAX_COPIES: usize = 16;

/// The difference between what a client shows and the mirror.
///
/// INVARIANT: once `copies` have been carried out in order, the client's picture equals the mirror everywhere
/// outside `pending` (lossy marks aside).
#[derive(Default)]
pub(super) struct Inbox {
    /// Pixels to send.
    pub pending: Region,
    /// Moves to send before them.
    pub copies: Vec<Copied>,
    /// The mirror was replaced since the client last looked: lossy marks are void.
    pub replaced: bool,
}

impl Inbox {
    /// Takes in what changed in the mirror.
    pub fn apply(&mut self, damage: &Damage, can_copy: bool) {
        for copied in &damage.copied {
            if can_copy && self.copies.len() < MAX_COPIES {
                move_region(&mut self.pending, copied);
                self.copies.push(*copied);
            } else {
                self.give_up_copies(0);
                self.pending.add(&copied.to);
            }
        }
        self.pending.union(&damage.changed);
    }

    /// Sends copy `first` and all after it as pixels instead.
    ///
    /// Later copies may read what an earlier one wrote, so they go together.
    pub fn give_up_copies(&mut self, first: usize) {
        for copied in self.copies.drain(first.min(self.copies.len())..) {
            self.pending.add(&copied.to);
        }
    }

    /// Another picture from now on: everything is to be sent.
    pub fn replace(&mut self, whole: &Rect) {
        self.copies.clear();
        self.pending.clear();
        self.pending.add(whole);
        self.replaced = true;
    }

    /// The client asks for these pixels whatever it shows.
    pub fn ask(&mut self, rect: &Rect) {
        self.give_up_copies(0);
        self.pending.add(rect);
    }

    /// Whether the client shows the mirror.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.copies.is_empty()
    }
}

/// Moves marks along with copied pixels: the target loses its own marks and takes over those of its source.
pub(super) fn move_region(marks: &mut Region, copied: &Copied) {
    if marks.is_empty() {
        return;
    }
    let from = Rect::new(copied.from.x, copied.from.y, copied.to.w, copied.to.h);
    let mut moved = Region::new();
    if marks.overlaps_rect(&from) {
        moved.clone_from(marks);
        moved.intersect_rect(&from);
        moved.translate(
            i32::from(copied.to.x) - i32::from(copied.from.x),
            i32::from(copied.to.y) - i32::from(copied.from.y),
        );
    }
    marks.subtract_rect(&copied.to);
    marks.union(&moved);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Point;
    use proptest::prelude::*;

    const W: u16 = 20;

    type Picture = Vec<u32>;

    fn at(x: u16, y: u16) -> usize {
        usize::from(y) * usize::from(W) + usize::from(x)
    }

    fn paint(p: &mut Picture, r: &Rect, mut value: impl FnMut(u16, u16) -> u32) {
        for y in r.y..r.bottom() {
            for x in r.x..r.right() {
                p[at(x, y)] = value(x, y);
            }
        }
    }

    fn copy(p: &mut Picture, c: &Copied) {
        let old = p.clone();
        paint(p, &c.to, |x, y| old[at(x - c.to.x + c.from.x, y - c.to.y + c.from.y)]);
    }

    fn rect() -> impl Strategy<Value = Rect> {
        (0..W, 0..W, 1..W, 1..W).prop_map(|(x, y, w, h)| Rect::new(x, y, w, h).intersect(&Rect::new(0, 0, W, W)))
    }

    #[derive(Debug, Clone)]
    enum Step {
        Paint(Rect),
        Move(Rect, Point),
        /// The client takes an update of which only this many pixels fit.
        Send(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            rect().prop_map(Step::Paint),
            (rect(), 0..W, 0..W).prop_map(|(r, x, y)| {
                let from = Point::new(x.min(W - r.w), y.min(W - r.h));
                Step::Move(r, from)
            }),
            (0usize..200).prop_map(Step::Send),
        ]
    }

    fn run(steps: &[Step], can_copy: bool, lose_a_shift: bool) -> bool {
        let mut mirror: Picture = vec![0; usize::from(W) * usize::from(W)];
        let mut client = mirror.clone();
        let mut inbox = Inbox::default();
        let mut fresh = 1;
        let send = |inbox: &mut Inbox, client: &mut Picture, mirror: &Picture, mut budget: usize| {
            for c in inbox.copies.drain(..) {
                copy(client, &c);
            }
            for r in inbox.pending.clone().rects() {
                if (r.area() as usize) <= budget {
                    budget -= r.area() as usize;
                    paint(client, r, |x, y| mirror[at(x, y)]);
                    inbox.pending.subtract_rect(r);
                }
            }
        };
        for s in steps {
            match s {
                Step::Paint(r) => {
                    paint(&mut mirror, r, |x, y| fresh * 1000 + u32::from(x) * 31 + u32::from(y));
                    fresh += 1;
                    inbox.apply(&Damage { changed: Region::from(*r), ..Damage::default() }, can_copy);
                }
                Step::Move(to, from) => {
                    let c = Copied { to: *to, from: *from };
                    copy(&mut mirror, &c);
                    let before = inbox.pending.clone();
                    inbox.apply(&Damage { copied: vec![c], ..Damage::default() }, can_copy);
                    if lose_a_shift {
                        inbox.pending = before;
                        inbox.pending.subtract_rect(to);
                    }
                }
                Step::Send(budget) => send(&mut inbox, &mut client, &mirror, *budget),
            }
        }
        send(&mut inbox, &mut client, &mirror, usize::MAX);
        client == mirror
    }

    proptest! {
        #[test]
        fn a_client_far_behind_during_moves_still_ends_exact(steps in proptest::collection::vec(step(), 0..40)) {
            prop_assert!(run(&steps, true, false));
            prop_assert!(run(&steps, false, false));
        }
    }

    #[test]
    fn the_check_sees_a_pending_part_that_did_not_move_along() {
        let steps = [
            Step::Paint(Rect::new(0, 0, 4, 4)),
            Step::Move(Rect::new(10, 10, 4, 4), Point::new(0, 0)),
            Step::Send(1000),
        ];
        assert!(run(&steps, true, false));
        assert!(!run(&steps, true, true));
    }
}
