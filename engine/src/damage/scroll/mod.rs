//! Moves: parts of the new picture that stood elsewhere in the old one (scrolled text, dragged windows).
//!
//! A second picture is kept, the one before the newest frame. When enough has changed, hashes of short pixel runs
//! vote for displacements (`votes`); the best few are verified exactly, block by block, and the
//! rectangle that saves most changed pixels is taken. Hashes only propose; every copied pixel has been compared.

#[cfg(test)]
mod tests;
mod votes;

use votes::Votes;

use super::{Copied, MirrorData};
use crate::geometry::{Point, Rect, Region};
use crate::tile::{CellMap, Extent};

/// Below this changed area nothing is searched for.
const SEARCH_PX: u64 = 128 * 128;

/// A copy must save at least this many pixels that differ.
const GAIN_PX: u64 = 64 * 64;

/// Copies found in one frame at most.
const COPIES: usize = 4;

/// Searches in vain, one after the other, before frames go by without one: a first picture and a new window are none.
const FREE_MISSES: u32 = 2;

/// After more searches in vain so many large frames go by without one, one more each time, up to this many: moving pictures
/// rarely scroll.
const MOST_REST: u32 = 4;

/// Side of a block of the exact comparison.
const BLOCK: u16 = 16;

/// The old picture and the buffers of the search.
#[derive(Default)]
pub(super) struct Scroll {
    previous: Vec<u32>,
    /// Which mirror, at which content sequence, `previous` is a copy of.
    of: (usize, u64),
    votes: Votes,
    blocks: Blocks,
    /// Searches in vain, one after the other.
    misses: u32,
    /// Large frames to let by without a search.
    rest: u32,
}

/// The exact comparison, block by block.
#[derive(Default)]
struct Blocks {
    /// Differing pixels of matching blocks, summed up from the top left; one row and column more than blocks.
    gains: Vec<u64>,
    matching: Vec<bool>,
    heights: Vec<u16>,
    stack: Vec<u16>,
}

impl Scroll {
    /// Makes sure that the old picture is the mirror's, before a frame goes into it.
    pub(super) fn before(&mut self, data: &MirrorData) {
        let of = (data.pixels.as_ptr() as usize, data.seq);
        if self.of != of || self.previous.len() != data.pixels.len() {
            self.previous.clone_from(&data.pixels);
            self.of = of;
        }
    }

    /// Brings the old picture up to the mirror, for the next frame.
    pub(super) fn after(&mut self, data: &MirrorData, map: &CellMap, extents: &[Extent]) {
        let width = usize::from(data.size().w);
        for (col, row) in map.iter() {
            let rect = extents[data.grid.index(col, row)].rect(col, row);
            for y in rect.y..rect.bottom() {
                let at = usize::from(y) * width + usize::from(rect.x);
                self.previous[at..at + usize::from(rect.w)].copy_from_slice(data.row(&rect, y));
            }
        }
        self.of = (data.pixels.as_ptr() as usize, data.seq);
    }

    /// Finds moves, and takes their targets out of `changed`.
    pub(super) fn find(&mut self, data: &MirrorData, map: &CellMap, changed: &mut Region, copied: &mut Vec<Copied>) {
        if changed.area() < SEARCH_PX {
            return;
        }
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        let bounds = changed.bounds();
        let mut votes = std::mem::take(&mut self.votes);
        for &moved in votes.count(&self.previous, data, map, &bounds) {
            while copied.len() < COPIES && self.take(data, &bounds, moved, changed, copied) {}
        }
        self.votes = votes;
        self.misses = if copied.is_empty() { self.misses.saturating_add(1) } else { 0 };
        self.rest = self.misses.saturating_sub(FREE_MISSES).min(MOST_REST);
    }

    /// Finds the rectangle that a displacement explains best; false when there is none worth it.
    fn take(
        &mut self,
        data: &MirrorData,
        bounds: &Rect,
        (dx, dy): (i32, i32),
        changed: &mut Region,
        copied: &mut Vec<Copied>,
    ) -> bool {
        let picture = data.size().rect();
        let area = bounds.intersect(&picture.translate(dx, dy));
        let pair = Pair { new: &data.pixels, old: &self.previous, width: picture.w.into(), dx, dy };
        let (cols, rows) = (area.w.div_ceil(BLOCK), area.h.div_ceil(BLOCK));
        let pitch = usize::from(cols) + 1;
        let map = &mut self.blocks;
        map.matching.clear();
        map.gains.clear();
        map.gains.resize(pitch, 0);
        for row in 0..rows {
            let mut sum = 0;
            map.gains.push(0);
            for col in 0..cols {
                let block = Rect::new(area.x + col * BLOCK, area.y + row * BLOCK, BLOCK, BLOCK).intersect(&area);
                let good = copied.iter().all(|c| !c.to.overlaps(&block)) && pair.moved(&block);
                map.matching.push(good);
                sum += if good { pair.differing(&block) } else { 0 };
                let above = map.gains[map.gains.len() - pitch];
                map.gains.push(above + sum);
            }
        }
        let Some((blocks, gain)) = map.best(cols, rows) else { return false };
        if gain < GAIN_PX {
            return false;
        }
        let mut to = Rect::from_corners(
            area.x + blocks.x * BLOCK,
            area.y + blocks.y * BLOCK,
            (area.x + blocks.right() * BLOCK).min(area.right()),
            (area.y + blocks.bottom() * BLOCK).min(area.bottom()),
        );
        to = pair.grow(to, &area, copied);
        to = pair.trim(to);
        let from = to.translate(-dx, -dy);
        // Copies are carried out one after the other: none may read what one before it has written.
        let place = (0..=copied.len()).find(|&place| {
            copied[..place].iter().all(|c| !c.to.overlaps(&from))
                && copied[place..].iter().all(|c| !Rect { x: c.from.x, y: c.from.y, ..c.to }.overlaps(&to))
        });
        let Some(place) = place else { return false };
        copied.insert(place, Copied { to, from: Point::new(from.x, from.y) });
        changed.subtract_rect(&to);
        true
    }
}

impl Blocks {
    /// Of all rectangles of matching blocks the one with the most differing pixels, in blocks.
    ///
    /// Row by row, the run of matching blocks above each column makes a histogram; every largest rectangle under it is
    /// looked at once (a stack of rising heights).
    fn best(&mut self, cols: u16, rows: u16) -> Option<(Rect, u64)> {
        let pitch = usize::from(cols) + 1;
        self.heights.clear();
        self.heights.resize(pitch, 0);
        let mut best: Option<(Rect, u64)> = None;
        for row in 0..rows {
            self.stack.clear();
            for col in 0..=cols {
                let c = usize::from(col);
                let on = col < cols && self.matching[usize::from(row) * usize::from(cols) + c];
                self.heights[c] = if on { self.heights[c] + 1 } else { 0 };
                while let Some(&top) = self.stack.last() {
                    let height = self.heights[usize::from(top)];
                    if height < self.heights[c] {
                        break;
                    }
                    self.stack.pop();
                    let left = self.stack.last().map_or(0, |&l| l + 1);
                    let rect = Rect::from_corners(left, row + 1 - height, col, row + 1);
                    let at = |x: u16, y: u16| self.gains[usize::from(y) * pitch + usize::from(x)];
                    let gain = at(rect.right(), rect.bottom()) + at(rect.x, rect.y)
                        - at(rect.right(), rect.y)
                        - at(rect.x, rect.bottom());
                    if best.is_none_or(|(_, most)| gain > most) {
                        best = Some((rect, gain));
                    }
                }
                self.stack.push(col);
            }
        }
        best
    }
}

/// The new picture, the old one, and a displacement between them.
struct Pair<'a> {
    new: &'a [u32],
    old: &'a [u32],
    width: usize,
    dx: i32,
    dy: i32,
}

impl Pair<'_> {
    fn span(&self, rect: &Rect, y: u16) -> std::ops::Range<usize> {
        let at = usize::from(y) * self.width + usize::from(rect.x);
        at..at + usize::from(rect.w)
    }

    /// Whether all of `rect` stood at its place less the displacement, which must lie inside the picture.
    fn moved(&self, rect: &Rect) -> bool {
        let from = rect.translate(-self.dx, -self.dy);
        (0..rect.h).all(|i| self.new[self.span(rect, rect.y + i)] == self.old[self.span(&from, from.y + i)])
    }

    /// Pixels that differ from the old picture at the same place.
    fn differing(&self, rect: &Rect) -> u64 {
        let row = |y| {
            let span = self.span(rect, y);
            self.new[span.clone()].iter().zip(&self.old[span]).filter(|(n, o)| n != o).count() as u64
        };
        (rect.y..rect.bottom()).map(row).sum()
    }

    /// Whether nothing differs from the old picture at the same place.
    fn still(&self, rect: &Rect) -> bool {
        (rect.y..rect.bottom()).all(|y| self.new[self.span(rect, y)] == self.old[self.span(rect, y)])
    }

    /// Moves each edge out as long as it still fits, by less than a block.
    fn grow(&self, mut to: Rect, area: &Rect, taken: &[Copied]) -> Rect {
        let fits = |edge: &Rect| taken.iter().all(|c| !c.to.overlaps(edge)) && self.moved(edge);
        for _ in 1..BLOCK {
            if to.x > area.x && fits(&Rect { x: to.x - 1, w: 1, ..to }) {
                to = Rect { x: to.x - 1, w: to.w + 1, ..to };
            }
            if to.right() < area.right() && fits(&Rect { x: to.right(), w: 1, ..to }) {
                to.w += 1;
            }
            if to.y > area.y && fits(&Rect { y: to.y - 1, h: 1, ..to }) {
                to = Rect { y: to.y - 1, h: to.h + 1, ..to };
            }
            if to.bottom() < area.bottom() && fits(&Rect { y: to.bottom(), h: 1, ..to }) {
                to.h += 1;
            }
        }
        to
    }

    /// Moves each edge in to the first pixel that differs.
    fn trim(&self, mut to: Rect) -> Rect {
        while to.h > 1 && self.still(&Rect { h: 1, ..to }) {
            to = Rect { y: to.y + 1, h: to.h - 1, ..to };
        }
        while to.h > 1 && self.still(&Rect { y: to.bottom() - 1, h: 1, ..to }) {
            to.h -= 1;
        }
        while to.w > 1 && self.still(&Rect { w: 1, ..to }) {
            to = Rect { x: to.x + 1, w: to.w - 1, ..to };
        }
        while to.w > 1 && self.still(&Rect { x: to.right() - 1, w: 1, ..to }) {
            to.w -= 1;
        }
        to
    }
}
