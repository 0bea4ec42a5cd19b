//! The new picture beside the old one: what stood where.
//!
//! The old one is the mirror, the new one is read where the source has it, each time anew.

use super::blocks::BLOCK;
use crate::damage::live::Live;
use crate::damage::source::{Pixels, SEGMENT};
use crate::damage::{Copied, MirrorData};
use crate::geometry::Rect;
use crate::tile::{CELL, CellMap, Extent, Grid};

/// Both pictures, and which cells differ.
pub(super) struct Scene<'a> {
    pub(super) new: Live<'a>,
    old: &'a [u32],
    pub(super) map: &'a CellMap,
    extents: &'a [Extent],
    pub(super) grid: &'a Grid,
    width: usize,
}

impl<'a> Scene<'a> {
    pub(super) fn new(frame: &'a Pixels<'a>, data: &'a MirrorData, map: &'a CellMap, extents: &'a [Extent]) -> Self {
        let width = data.size().w.into();
        Self { new: Live::new(frame, data), old: &data.pixels, map, extents, grid: &data.grid, width }
    }

    /// All of the picture.
    pub(super) fn picture(&self) -> Rect {
        self.grid.size().rect()
    }

    /// The old pixels of row `y` from column `x` on.
    pub(super) fn old(&self, y: usize, x: usize, len: usize) -> &'a [u32] {
        &self.old[y * self.width + x..][..len]
    }

    /// What of a cell may differ.
    pub(super) fn extent(&self, col: u16, row: u16) -> Rect {
        if self.map.contains(col, row) {
            self.extents[self.grid.index(col, row)].rect(col, row)
        } else {
            Rect::default()
        }
    }

    /// How many pixels of a row, from the left on, stood at their place less the displacement, which must lie inside the picture.
    fn equal_from_left(&self, row: &Rect, moved: (i32, i32)) -> u16 {
        let mut buffer = [0; SEGMENT];
        let mut at = 0;
        while at < row.w {
            let part = Rect { x: row.x + at, w: (row.w - at).min(CELL), ..*row };
            let (new, old) = self.pair(&part, moved, &mut buffer);
            if let Some(first) = new.iter().zip(old).position(|(n, o)| n != o) {
                return at + first as u16;
            }
            at += part.w;
        }
        row.w
    }

    /// The same from the right.
    fn equal_from_right(&self, row: &Rect, moved: (i32, i32)) -> u16 {
        let mut buffer = [0; SEGMENT];
        let mut at = 0;
        while at < row.w {
            let w = (row.w - at).min(CELL);
            let (new, old) = self.pair(&Rect { x: row.right() - at - w, w, ..*row }, moved, &mut buffer);
            if let Some(first) = new.iter().zip(old).rev().position(|(n, o)| n != o) {
                return at + first as u16;
            }
            at += w;
        }
        row.w
    }

    /// A part of a row that is no wider than the buffer, new, and old at its place less the displacement.
    fn pair<'b>(&self, part: &Rect, moved: (i32, i32), buffer: &'b mut [u32; SEGMENT]) -> (&'b [u32], &'a [u32]) {
        let from = part.translate(-moved.0, -moved.1);
        let new = &mut buffer[..part.w.into()];
        self.new.read(part.y.into(), part.x.into(), new);
        (new, self.old(from.y.into(), from.x.into(), part.w.into()))
    }

    /// Moves each edge out as long as it still fits, by less than a block, within `area` and past no target.
    pub(super) fn grow(&self, mut to: Rect, area: &Rect, moved: (i32, i32), taken: &[Copied]) -> Rect {
        let free = |edge: &Rect| taken.iter().all(|c| !c.to.overlaps(edge));
        let room = |most: u16, edge: &dyn Fn(u16) -> Rect| {
            let most = most.min(BLOCK - 1);
            (1..=most).rev().find(|&k| free(&edge(k))).unwrap_or(0)
        };
        let rows = |to: &Rect| to.y..to.bottom();
        let mut left = room(to.x - area.x, &|k| Rect { x: to.x - k, w: k, ..to });
        for y in rows(&to) {
            left = self.equal_from_right(&Rect { x: to.x - left, w: left, y, h: 1 }, moved);
        }
        let mut right = room(area.right() - to.right(), &|k| Rect { x: to.right(), w: k, ..to });
        for y in rows(&to) {
            right = self.equal_from_left(&Rect { x: to.right(), w: right, y, h: 1 }, moved);
        }
        to = Rect { x: to.x - left, w: to.w + left + right, ..to };
        for _ in 1..BLOCK {
            let above = Rect { y: to.y.saturating_sub(1), h: 1, ..to };
            if to.y > area.y && free(&above) && self.equal_from_left(&above, moved) == to.w {
                to = Rect { y: above.y, h: to.h + 1, ..to };
            }
            let below = Rect { y: to.bottom(), h: 1, ..to };
            if to.bottom() < area.bottom() && free(&below) && self.equal_from_left(&below, moved) == to.w {
                to.h += 1;
            }
        }
        to
    }

    /// Moves each edge in to where a pixel differs from the old picture at the same place.
    pub(super) fn trim(&self, mut to: Rect) -> Rect {
        let still = |row: &Rect| self.equal_from_left(row, (0, 0)) == row.w;
        while to.h > 0 && still(&Rect { h: 1, ..to }) {
            to = Rect { y: to.y + 1, h: to.h - 1, ..to };
        }
        while to.h > 0 && still(&Rect { y: to.bottom() - 1, h: 1, ..to }) {
            to.h -= 1;
        }
        let (mut left, mut right) = (to.w, to.w);
        for y in to.y..to.bottom() {
            left = self.equal_from_left(&Rect { w: left, y, h: 1, ..to }, (0, 0));
            right = self.equal_from_right(&Rect { x: to.right() - right, w: right, y, h: 1 }, (0, 0));
        }
        // the source may have been written to between the rows
        Rect { x: to.x + left, w: to.w.saturating_sub(left + right), ..to }
    }

    /// Whether a pixel lies in a cell that differs.
    pub(super) fn in_changed_cell(&self, x: usize, y: usize) -> bool {
        self.map.contains(x as u16 / CELL, y as u16 / CELL)
    }

    /// Whether at least `least` pixels differ from the old picture at the same place; looks no further than it must.
    pub(super) fn saves(&self, rect: &Rect, least: u64) -> bool {
        let mut buffer = [0; SEGMENT];
        let mut count = 0;
        for y in rect.y..rect.bottom() {
            let mut x = rect.x;
            while x < rect.right() {
                let part = Rect { x, w: (rect.right() - x).min(CELL), y, h: 1 };
                let (new, old) = self.pair(&part, (0, 0), &mut buffer);
                count += new.iter().zip(old).filter(|(n, o)| n != o).count() as u64;
                x += part.w;
            }
            if count >= least {
                return true;
            }
        }
        false
    }
}
