//! Where to look: the parts of a picture in which much differs, without the large still parts between them.
//!
//! ```text
//! from the box around all cells that differ: cut where whole columns of cells are still, else where whole rows are, and again in each
//! part; take the parts in place of their box where they are half of it or less                                           1
//! ```
//! 1. What moves as one may have still cells in it (a page with margins), and is found most surely as one.

use crate::geometry::Rect;
use crate::tile::{CELL, CellMap, Grid};

/// Areas looked at in one frame at most.
const MOST: usize = 4;

/// Parts of a picture, and buffers.
#[derive(Default)]
pub(super) struct Areas {
    /// Boxes of cells.
    parts: Vec<Rect>,
    /// The same in pixels, with how much may differ inside.
    found: Vec<(u64, Rect)>,
}

impl Areas {
    /// The areas of at least `least` pixels in cells that differ, largest first.
    pub(super) fn find(&mut self, map: &CellMap, grid: &Grid, least: u64) -> impl Iterator<Item = Rect> + '_ {
        self.parts.clear();
        self.found.clear();
        let all = map.iter().fold(Rect::default(), |b, (col, row)| b.bounds_with(&Rect::new(col, row, 1, 1)));
        if !all.is_empty() {
            self.cut(map, all);
        }
        let cells = |part: &Rect| cells(part).filter(|&(col, row)| map.contains(col, row)).count() as u64;
        let area = |part: &Rect| {
            let corner = grid.rect(part.right() - 1, part.bottom() - 1);
            grid.rect(part.x, part.y).bounds_with(&corner)
        };
        let parts = self.parts.iter().map(|part| (cells(part) * u64::from(CELL).pow(2), area(part)));
        self.found.extend(parts.filter(|(px, _)| *px >= least));
        self.found.sort_unstable_by_key(|(px, rect)| (std::cmp::Reverse(*px), rect.y, rect.x));
        self.found.iter().map(|(_, rect)| *rect).take(MOST)
    }

    /// Adds the parts of a box, or the box, and returns how many cells that is.
    fn cut(&mut self, map: &CellMap, within: Rect) -> u64 {
        let before = self.parts.len();
        let mut sum = 0;
        let column = |x: u16| (within.y..within.bottom()).any(|y| map.contains(x, y));
        let row = |y: u16| (within.x..within.right()).any(|x| map.contains(x, y));
        if (within.x..within.right()).any(|x| !column(x)) {
            for (x, end) in spans(within.x..within.right(), column) {
                sum += self.cut(map, Rect { x, w: end - x, ..within });
            }
        } else if (within.y..within.bottom()).any(|y| !row(y)) {
            for (y, end) in spans(within.y..within.bottom(), row) {
                sum += self.cut(map, Rect { y, h: end - y, ..within });
            }
        }
        if sum == 0 || sum * 2 > within.area() {
            self.parts.truncate(before);
            self.parts.push(within);
            sum = within.area();
        }
        sum
    }
}

/// The cells of a box of cells.
fn cells(part: &Rect) -> impl Iterator<Item = (u16, u16)> + use<> {
    let (cols, rows) = (part.x..part.right(), part.y..part.bottom());
    rows.flat_map(move |row| cols.clone().map(move |col| (col, row)))
}

/// The longest spans of a range of which all is `taken`.
fn spans(mut range: std::ops::Range<u16>, taken: impl Fn(u16) -> bool) -> impl Iterator<Item = (u16, u16)> {
    std::iter::from_fn(move || {
        let start = range.find(|&i| taken(i))?;
        let end = range.clone().find(|&i| !taken(i)).unwrap_or(range.end);
        range.start = end;
        Some((start, end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    fn areas(cells: &[(u16, u16, u16, u16)], least: u64) -> Vec<Rect> {
        let grid = Grid::new(Size::new(64 * 40 - 10, 64 * 20 - 3));
        let mut map = CellMap::new(&grid);
        for &(x, y, w, h) in cells {
            super::cells(&Rect::new(x, y, w, h)).for_each(|(col, row)| map.insert(col, row));
        }
        Areas::default().find(&map, &grid, least).collect()
    }

    #[test]
    fn what_is_small_in_the_corners_is_no_part_of_a_window() {
        let window = (10, 4, 9, 6);
        let corners = [(0, 0, 2, 1), (38, 0, 2, 1), (0, 19, 2, 1), (38, 19, 2, 1)];
        let all = [&corners[..], &[window]].concat();
        assert_eq!(areas(&all, 4 * 4096), [Rect::new(640, 256, 576, 384)]);
        assert_eq!(areas(&all, 2 * 4096).len(), 4, "the window and three corners");
        assert_eq!(areas(&corners, 4 * 4096), []);
        assert_eq!(areas(&[], 0), []);
    }

    #[test]
    fn a_page_with_still_margins_is_one_area_and_ends_with_the_picture() {
        let page = [(1, 1, 12, 18), (15, 1, 25, 8), (15, 11, 25, 9)];
        assert_eq!(areas(&page, 1), [Rect::new(64, 64, 64 * 39 - 10, 64 * 19 - 3)]);
    }

    #[test]
    fn windows_far_apart_are_areas_each_and_the_largest_is_first() {
        let found = areas(&[(0, 1, 4, 4), (30, 12, 5, 5)], 1);
        assert_eq!(found, [Rect::new(1920, 768, 320, 320), Rect::new(0, 64, 256, 256)]);
    }
}
