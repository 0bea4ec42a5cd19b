//! Moves: parts of the new picture that stood elsewhere in the old one (scrolled text, dragged windows).
//!
//! ```text
//! the compare keeps the old pixels of what it changes            `kept`, unless nothing large is awaited   1
//! when much has changed: vote for vertical distances, then for any, by hashes of short pixel runs `votes`
//!   for each displacement, best first: which 16-px blocks stood there, exactly                   `blocks`  2
//!     take the rectangle of such blocks that saves most, fit its edges                            `scene`  3
//!     as long as that is worth it
//!   until most of what changed is explained                                                                4
//! ```
//! 1. Hashes only propose; every copied pixel has been compared.
//! 2. One pass on all cores that reads both pictures once and each block up to its first difference.
//! 3. The same map of blocks serves every rectangle of a displacement.
//! 4. The votes for any distance see only what the vertical ones left.
//!
//! Tests hold that copies then paint give the new picture, whatever moved.

mod blocks;
mod scene;
#[cfg(test)]
mod tests;
mod votes;

use blocks::Blocks;
use scene::Scene;
use votes::Votes;

use super::compare::PARALLEL_PX;
use super::kept::Kept;
use super::{Copied, MirrorData};
use crate::frame::{Frame, Hint};
use crate::geometry::{Point, Region};
use crate::tile::{CellMap, Extent};

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

/// What a search needs of the frame before, and its buffers.
#[derive(Default)]
pub(super) struct Scroll {
    kept: Kept,
    /// Whether `kept` is of the newest frame.
    keeping: bool,
    votes: Votes,
    blocks: Blocks,
    /// Searches in vain, one after the other.
    misses: u32,
    /// Large frames to let by without a search.
    rest: u32,
}

impl Scroll {
    /// Where the compare is to keep what a frame replaces; nowhere when no search can follow.
    pub(super) fn before(&mut self, frame: &Frame, data: &MirrorData) -> Option<&mut Kept> {
        let large = match &frame.hint {
            Hint::Everything => true,
            Hint::Only(region) => region.area() >= SEARCH_PX,
        };
        // before the first frame there was nothing
        self.keeping = large && self.rest == 0 && data.seq > 0;
        if self.keeping {
            self.kept.reset(&data.grid);
        }
        self.keeping.then_some(&mut self.kept)
    }

    /// Finds moves, and takes their targets out of `changed`.
    pub(super) fn find(
        &mut self,
        data: &MirrorData,
        map: &CellMap,
        extents: &[Extent],
        changed: &mut Region,
        copied: &mut Vec<Copied>,
    ) {
        if changed.area() < SEARCH_PX {
            return;
        }
        if !self.keeping {
            self.rest = self.rest.saturating_sub(1);
            return;
        }
        let scene = Scene::new(data, self.kept.old(data), map, extents);
        let (votes, blocks) = (&mut self.votes, &mut self.blocks);
        if changed.bounds().area() >= PARALLEL_PX {
            // entered once, so that what follows finds the cores awake
            rayon::scope(|_| search(&scene, votes, blocks, changed, copied));
        } else {
            search(&scene, votes, blocks, changed, copied);
        }
        self.misses = if copied.is_empty() { self.misses.saturating_add(1) } else { 0 };
        self.rest = self.misses.saturating_sub(FREE_MISSES).min(MOST_REST);
    }
}

/// Votes and takes until most is explained or there is nothing more to try.
fn search(scene: &Scene<'_>, votes: &mut Votes, blocks: &mut Blocks, changed: &mut Region, copied: &mut Vec<Copied>) {
    let enough = SEARCH_PX.max(changed.area() / REST_SHARE);
    for count in [Votes::strips, Votes::rows] {
        for &moved in count(votes, scene, &changed.bounds()) {
            take(scene, blocks, moved, changed, copied);
            if changed.area() < enough || copied.len() == COPIES {
                return;
            }
        }
    }
}

/// Takes the rectangles that a displacement explains, best first, as long as they are worth it.
fn take(scene: &Scene<'_>, blocks: &mut Blocks, moved: (i32, i32), changed: &mut Region, copied: &mut Vec<Copied>) {
    let (dx, dy) = moved;
    let area = changed.bounds().intersect(&scene.picture().translate(dx, dy));
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
        changed.subtract_rect(&to);
        blocks.forget(&to);
    }
}
