//! The new picture beside the old one: what stood where, exactly.

use super::blocks::BLOCK;
use crate::damage::kept::Old;
use crate::damage::{Copied, MirrorData};
use crate::geometry::{Point, Rect};
use crate::tile::{CELL, CellMap, Extent, Grid};

/// Both pictures, and which cells differ.
pub(super) struct Scene<'a> {
    pub(super) new: &'a [u32],
    pub(super) old: Old<'a>,
    pub(super) map: &'a CellMap,
    extents: &'a [Extent],
    pub(super) grid: &'a Grid,
    pub(super) width: usize,
}

impl<'a> Scene<'a> {
    pub(super) fn new(data: &'a MirrorData, old: Old<'a>, map: &'a CellMap, extents: &'a [Extent]) -> Self {
        Self { new: &data.pixels, old, map, extents, grid: &data.grid, width: data.size().w.into() }
    }

    /// All of the picture.
    pub(super) fn picture(&self) -> Rect {
        self.grid.size().rect()
    }

    /// The new pixels of row `y` from column `x` on.
    pub(super) fn row(&self, y: usize, x: usize, len: usize) -> &'a [u32] {
        &self.new[y * self.width + x..][..len]
    }

    /// What of a cell differs.
    pub(super) fn extent(&self, col: u16, row: u16) -> Rect {
        if self.map.contains(col, row) {
            self.extents[self.grid.index(col, row)].rect(col, row)
        } else {
            Rect::default()
        }
    }

    /// Whether all of a row stood at its place less the displacement, which must lie inside the picture.
    fn moved(&self, row: &Rect, (dx, dy): (i32, i32)) -> bool {
        let from = row.translate(-dx, -dy);
        let new = self.row(row.y.into(), row.x.into(), row.w.into());
        let mut at = 0;
        while at < new.len() {
            let old = self.old.run(from.y.into(), usize::from(from.x) + at, from.right().into());
            if new[at..at + old.len()] != *old {
                return false;
            }
            at += old.len();
        }
        true
    }

    /// Of the `most` columns before (or behind) a rectangle, how many next to it stood at their place less the displacement.
    fn columns(&self, rect: &Rect, most: u16, before: bool, (dx, dy): (i32, i32)) -> u16 {
        let mut fit = usize::from(most);
        let mut buffer = [0; BLOCK as usize];
        for y in rect.y..rect.bottom() {
            if fit == 0 {
                break;
            }
            let x = if before { usize::from(rect.x) - fit } else { rect.right().into() };
            let new = self.row(y.into(), x, fit);
            let from = (i32::from(y) - dy) as usize;
            let old = self.old.row(from, (x as i32 - dx) as usize, &mut buffer[..fit]);
            let pairs = new.iter().zip(old);
            fit = if before {
                pairs.rev().take_while(|(n, o)| n == o).count()
            } else {
                pairs.take_while(|(n, o)| n == o).count()
            };
        }
        fit as u16
    }

    /// Moves each edge out as long as it still fits, by less than a block, within `area` and past no target.
    pub(super) fn grow(&self, mut to: Rect, area: &Rect, moved: (i32, i32), taken: &[Copied]) -> Rect {
        let free = |edge: &Rect| taken.iter().all(|c| !c.to.overlaps(edge));
        let room = |most: u16, edge: &dyn Fn(u16) -> Rect| {
            let most = most.min(BLOCK - 1);
            (1..=most).rev().find(|&k| free(&edge(k))).unwrap_or(0)
        };
        let left = room(to.x - area.x, &|k| Rect { x: to.x - k, w: k, ..to });
        let left = self.columns(&to, left, true, moved);
        let right = room(area.right() - to.right(), &|k| Rect { x: to.right(), w: k, ..to });
        let right = self.columns(&to, right, false, moved);
        to = Rect { x: to.x - left, w: to.w + left + right, ..to };
        for _ in 1..BLOCK {
            let above = Rect { y: to.y.saturating_sub(1), h: 1, ..to };
            if to.y > area.y && free(&above) && self.moved(&above, moved) {
                to = Rect { y: above.y, h: to.h + 1, ..to };
            }
            let below = Rect { y: to.bottom(), h: 1, ..to };
            if to.bottom() < area.bottom() && free(&below) && self.moved(&below, moved) {
                to.h += 1;
            }
        }
        to
    }

    /// Moves each edge in to where a cell differs.
    pub(super) fn trim(&self, to: Rect) -> Rect {
        let (cols, rows) = self.grid.cells(&to);
        let mut bounds = Rect::default();
        for row in rows {
            for col in cols.clone() {
                bounds = bounds.bounds_with(&self.extent(col, row).intersect(&to));
            }
        }
        bounds
    }

    /// Whether a pixel lies in a cell that differs.
    pub(super) fn in_changed_cell(&self, x: usize, y: usize) -> bool {
        self.map.contains(x as u16 / CELL, y as u16 / CELL)
    }

    /// Whether a pixel lies in what of its cell differs.
    pub(super) fn in_changed_extent(&self, x: usize, y: usize) -> bool {
        let at = Point::new(x as u16, y as u16);
        self.extent(at.x / CELL, at.y / CELL).contains_point(at)
    }

    /// Whether at least `least` pixels differ from the old picture at the same place; looks no further than it must.
    pub(super) fn saves(&self, rect: &Rect, least: u64) -> bool {
        let mut count = 0;
        for y in rect.y..rect.bottom() {
            let new = self.row(y.into(), rect.x.into(), rect.w.into());
            let mut at = 0;
            while at < new.len() {
                let old = self.old.run(y.into(), usize::from(rect.x) + at, rect.right().into());
                count += new[at..].iter().zip(old).filter(|(n, o)| n != o).count() as u64;
                at += old.len();
            }
            if count >= least {
                return true;
            }
        }
        false
    }
}
