//! Moves: parts of the new picture that stood elsewhere in the old one (scrolled text, dragged windows).
//!
//! ```text
//! a look finds the cells that differ and leaves the mirror, which holds the old picture, alone   `compare`
//! in each area in which much differs                                                               `areas`   1
//!   vote for vertical distances, then for any, by hashes of short pixel runs                       `votes`   2
//!   for each displacement, best first: which 16-px blocks stood there, exactly                     `blocks`  3
//!     take the rectangle of such blocks that saves most, fit its edges                             `scene`   4
//!     as long as that is worth it
//!   until most of what may differ is explained                                                               5
//! carry the moves out in the mirror; what then differs is pixels                                 `compare`   6
//! ```
//! 1. Small changes elsewhere on the screen do not make a window any larger.
//! 2. Hashes only propose; every copied pixel has been compared.
//! 3. One pass on all cores that reads both pictures once and each block up to its first difference.
//! 4. The same map of blocks serves every rectangle of a displacement.
//! 5. The votes for any distance see only what the vertical ones left.
//! 6. Nothing of the new picture gets into the mirror by a move: the pass behind it decides, and may find that the source has been
//!    written to since. No old picture has to be kept.
//!
//! Tests hold that copies then paint give the new picture, whatever moved.

mod areas;
mod blocks;
mod scene;
#[cfg(test)]
mod tests;
mod votes;

use areas::Areas;
use blocks::Blocks;
use scene::Scene;
use votes::Votes;

use super::compare::Compare;
use super::source::Pixels;
use super::{Copied, MirrorData};
use crate::frame::{Frame, Hint};
use crate::geometry::{Point, Region};
use crate::tile::Coalesce;

/// Below this changed area nothing is searched for.
const SEARCH_PX: u64 = 128 * 128;

/// What is left of the changed area is not searched once it is below one part in this many.
const REST_SHARE: u64 = 16;

/// A copy must save at least this many pixels that differ.
const GAIN_PX: u64 = 64 * 64;

/// Copies found in one frame at most.
const COPIES: usize = 4;

/// Searches in vain, one after the other, before frames go by without one: a new window is none.
const FREE_MISSES: u32 = 2;

/// After more searches in vain so many large frames go by without one, one more each time, up to this many: moving pictures
/// rarely scroll.
const MOST_REST: u32 = 4;

/// More pieces than this are compared without a search, which would have to find its way among them.
const MOST_PIECES: usize = 16;

/// What a search needs, and when to make one.
#[derive(Default)]
pub(super) struct Scroll {
    areas: Areas,
    votes: Votes,
    blocks: Blocks,
    /// What may differ and is not explained.
    left: Region,
    /// Of that, what lies in the area at hand.
    part: Region,
    /// Searches in vain, one after the other.
    misses: u32,
    /// Large frames to let by without a search.
    rest: u32,
}

impl Scroll {
    /// Whether this frame is worth a look before the mirror is brought up to date.
    pub(super) fn wants(&self, frame: &Frame, data: &MirrorData) -> bool {
        frame.pieces.len() <= MOST_PIECES && self.is_due(&frame.hint, data)
    }

    /// The same for a picture whose parts are found at once, however many it has.
    pub(super) fn is_due(&self, hint: &Hint, data: &MirrorData) -> bool {
        let large = match hint {
            Hint::Everything => true,
            Hint::Only(region) => region.area() >= SEARCH_PX,
        };
        // before the first frame there was nothing
        large && self.rest == 0 && data.seq > 0
    }

    /// A region to work with between searches.
    pub(super) fn buffer(&mut self) -> &mut Region {
        &mut self.left
    }

    /// A frame went by without a search, and so much had changed.
    pub(super) fn let_by(&mut self, changed_px: u64) {
        if changed_px >= SEARCH_PX {
            self.rest = self.rest.saturating_sub(1);
        }
    }

    /// Finds moves after a look.
    pub(super) fn find(
        &mut self,
        frame: &Pixels<'_>,
        data: &MirrorData,
        seen: &Compare,
        coalesce: &mut Coalesce,
        copied: &mut Vec<Copied>,
    ) {
        coalesce.run(&data.grid, &seen.map, &seen.extents, &mut self.left);
        if self.left.area() < SEARCH_PX {
            return;
        }
        let scene = Scene::new(frame, data, &seen.map, &seen.extents);
        for area in self.areas.find(&seen.map, &data.grid, SEARCH_PX) {
            self.part.clone_from(&self.left);
            self.part.intersect_rect(&area);
            search(&scene, &mut self.votes, &mut self.blocks, &mut self.part, copied);
            if copied.len() == COPIES {
                break;
            }
            copied.iter().for_each(|c| self.left.subtract_rect(&c.to));
        }
        self.misses = if copied.is_empty() { self.misses.saturating_add(1) } else { 0 };
        self.rest = self.misses.saturating_sub(FREE_MISSES).min(MOST_REST);
    }
}

/// Carries moves out, one after the other, in a picture of `width`.
pub(super) fn carry_out(pixels: &mut [u32], width: usize, copied: &[Copied]) {
    for Copied { to, from } in copied {
        let row = |y: u16| {
            let start = usize::from(from.y + y) * width + usize::from(from.x);
            let place = usize::from(to.y + y) * width + usize::from(to.x);
            (start..start + usize::from(to.w), place)
        };
        // no row may be written before it has been read
        let mut carry = |y: u16| {
            let (from, to) = row(y);
            pixels.copy_within(from, to);
        };
        if from.y < to.y { (0..to.h).rev().for_each(&mut carry) } else { (0..to.h).for_each(&mut carry) }
    }
}

/// Votes and takes until most is explained or there is nothing more to try.
fn search(scene: &Scene<'_>, votes: &mut Votes, blocks: &mut Blocks, left: &mut Region, copied: &mut Vec<Copied>) {
    let enough = SEARCH_PX.max(left.area() / REST_SHARE);
    for count in [Votes::strips, Votes::rows] {
        for &moved in count(votes, scene, &left.bounds()) {
            take(scene, blocks, moved, left, copied);
            if left.area() < enough || copied.len() == COPIES {
                return;
            }
        }
    }
}

/// Takes the rectangles that a displacement explains, best first, as long as they are worth it.
fn take(scene: &Scene<'_>, blocks: &mut Blocks, moved: (i32, i32), left: &mut Region, copied: &mut Vec<Copied>) {
    let (dx, dy) = moved;
    let area = left.bounds().intersect(&scene.picture().translate(dx, dy));
    blocks.verify(scene, area, moved, copied);
    while copied.len() < COPIES {
        let Some((rect, gain)) = blocks.best() else { return };
        if gain < GAIN_PX {
            return;
        }
        let to = scene.trim(scene.grow(rect, &area, moved, copied));
        if !scene.saves(&to, GAIN_PX) {
            return;
        }
        let from = to.translate(-dx, -dy);
        // Copies are carried out one after the other: none may read what one before it has written.
        let place = (0..=copied.len()).find(|&place| {
            copied[..place].iter().all(|c| !c.to.overlaps(&from))
                && copied[place..].iter().all(|c| !c.source().overlaps(&to))
        });
        let Some(place) = place else { return };
        copied.insert(place, Copied { to, from: Point::new(from.x, from.y) });
        left.subtract_rect(&to);
        blocks.forget(&to);
    }
}
