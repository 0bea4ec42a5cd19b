//! Cells to few rectangles: neighbouring changed extents are joined when that costs little.
//!
//! Each row of cells is joined from left to right, then with the rows above it. A join is made when the
//! box around both holds at most [`SLACK_SHARE`] more than what changed in it, or [`SLACK_PX`]
//! pixels more. So what comes out holds all that went in, and each rectangle at most
//! `exact + max(exact / SLACK_SHARE, SLACK_PX)` pixels, where `exact` is the area of the extents in it.

use super::{CellMap, Extent, Grid};
use crate::geometry::{Rect, Region};

/// A joined rectangle may hold one part in this many more than the extents in it.
pub const SLACK_SHARE: u64 = 4;

/// A joined rectangle may always hold this many pixels more than the extents in it: a rectangle of its own costs more.
pub const SLACK_PX: u64 = 256;

/// A rectangle on its way, and the area of the extents that it holds.
#[derive(Clone, Copy)]
struct Joined {
    rect: Rect,
    exact: u64,
}

impl Joined {
    fn with(&self, other: &Self) -> Option<Self> {
        let rect = self.rect.bounds_with(&other.rect);
        let exact = self.exact + other.exact;
        (rect.area() <= exact + (exact / SLACK_SHARE).max(SLACK_PX)).then_some(Self { rect, exact })
    }
}

/// Joins extents to rectangles; keeps its buffers from frame to frame.
///
/// Cost: linear in the changed cells, times the rectangles that a row of cells leaves.
#[derive(Default)]
pub struct Coalesce {
    /// Finished rectangles.
    rects: Vec<Joined>,
    /// Those of the row of cells at hand.
    row: Vec<Joined>,
    /// Those of the row above, which may still grow.
    open: Vec<Joined>,
    /// Halves of the union, one for each depth.
    levels: Vec<Region>,
}

impl Coalesce {
    /// Buffers for nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the changed area of the cells in `map` into `out`, replacing what it held.
    ///
    /// Shape: `extents` holds one extent for each cell of the grid; those of cells outside `map` are ignored.
    ///
    /// # Panics
    /// When `extents` is shorter than the grid.
    pub fn run(&mut self, grid: &Grid, map: &CellMap, extents: &[Extent], out: &mut Region) {
        self.rects.clear();
        self.open.clear();
        self.row.clear();
        let mut current = 0;
        for (col, row) in map.iter() {
            let rect = extents[grid.index(col, row)].rect(col, row).intersect(&grid.size().rect());
            if rect.is_empty() {
                continue;
            }
            if row != current {
                self.end_row();
                if row != current + 1 {
                    self.end_row();
                }
                current = row;
            }
            let new = Joined { rect, exact: rect.area() };
            match self.row.last_mut() {
                Some(last) => match last.with(&new) {
                    Some(joined) => *last = joined,
                    None => self.row.push(new),
                },
                None => self.row.push(new),
            }
        }
        self.end_row();
        self.rects.append(&mut self.open);
        self.collect(out);
    }

    /// Joins the finished row of cells with the open rectangles above it.
    fn end_row(&mut self) {
        for new in &mut self.row {
            let found = self.open.iter().enumerate().find_map(|(i, above)| Some((i, above.with(new)?)));
            if let Some((i, joined)) = found {
                *new = joined;
                self.open.swap_remove(i);
            }
        }
        self.rects.append(&mut self.open);
        std::mem::swap(&mut self.open, &mut self.row);
    }

    /// The union of all rectangles.
    fn collect(&mut self, out: &mut Region) {
        let depth = self.rects.len().checked_ilog2().unwrap_or(0) as usize + 1;
        if self.levels.len() < depth {
            self.levels.resize_with(depth, Region::new);
        }
        out.clear();
        unite(&self.rects, &mut self.levels, out);
    }
}

/// Adds rectangles to `out` by halves, so that many stay cheap.
fn unite(rects: &[Joined], levels: &mut [Region], out: &mut Region) {
    match levels.split_first_mut() {
        Some((half, deeper)) if rects.len() > 8 => {
            let (left, right) = rects.split_at(rects.len() / 2);
            unite(left, deeper, out);
            half.clear();
            unite(right, deeper, half);
            out.union(half);
        }
        _ => rects.iter().for_each(|joined| out.add(&joined.rect)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::tile::CELL;
    use proptest::prelude::*;

    fn coalesce(size: Size, boxes: &[(u16, u16, Extent)]) -> Region {
        let grid = Grid::new(size);
        let mut map = CellMap::new(&grid);
        let mut extents = vec![Extent::EMPTY; grid.len()];
        for &(col, row, extent) in boxes {
            map.insert(col, row);
            extents[grid.index(col, row)] = extent;
        }
        let mut out = Region::from(Rect::new(0, 0, 1, 1));
        Coalesce::new().run(&grid, &map, &extents, &mut out);
        out
    }

    fn extent(x: u8, y: u8, w: u8, h: u8) -> Extent {
        let mut e = Extent::EMPTY;
        for row in y..y + h {
            e.add_span(row, x, x + w);
        }
        e
    }

    #[test]
    fn a_full_picture_is_one_rectangle() {
        let size = Size::new(1000, 700);
        let grid = Grid::new(size);
        let all: Vec<_> =
            (0..grid.rows()).flat_map(|r| (0..grid.cols()).map(move |c| (c, r, extent(0, 0, 64, 64)))).collect();
        assert_eq!(coalesce(size, &all).rects(), [size.rect()]);
    }

    #[test]
    fn a_letter_stays_a_letter() {
        let size = Size::new(640, 640);
        let far = [(0, 0, extent(3, 4, 8, 12)), (5, 7, extent(0, 0, 8, 12))];
        assert_eq!(coalesce(size, &far).rects(), [Rect::new(3, 4, 8, 12), Rect::new(320, 448, 8, 12)]);
        // across the seam of two cells
        let near = [(0, 0, extent(60, 4, 4, 12)), (1, 0, extent(0, 4, 4, 12))];
        assert_eq!(coalesce(size, &near).rects(), [Rect::new(60, 4, 8, 12)]);
    }

    #[test]
    fn nothing_changed_is_nothing() {
        assert!(coalesce(Size::new(640, 640), &[]).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn all_extents_are_inside_and_the_slack_is_bounded(
            cells in proptest::collection::btree_map((0u16..9, 0u16..7), (0u8..63, 0u8..63, 1u8..64, 1u8..64), 0..63)
        ) {
            let size = Size::new(9 * CELL, 7 * CELL);
            let boxes: Vec<_> = cells
                .iter()
                .map(|(&(c, r), &(x, y, w, h))| (c, r, extent(x, y, w.min(64 - x), h.min(64 - y))))
                .collect();
            let out = coalesce(size, &boxes);
            let mut exact = 0;
            for (c, r, e) in &boxes {
                prop_assert!(out.contains_rect(&e.rect(*c, *r)));
                exact += e.rect(*c, *r).area();
            }
            prop_assert!(out.area() <= exact + exact / SLACK_SHARE + SLACK_PX * boxes.len() as u64);
        }
    }
}
