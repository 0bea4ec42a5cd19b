//! The grid of 64-px cells over one output; cells at the right and bottom edge are ragged.

use crate::geometry::{Rect, Size};

/// Side of a cell in pixels.
pub const CELL: u16 = 64;

/// The cells of one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    size: Size,
    cols: u16,
    rows: u16,
}

impl Grid {
    /// The grid over a picture of this size.
    pub const fn new(size: Size) -> Self {
        Self { size, cols: size.w.div_ceil(CELL), rows: size.h.div_ceil(CELL) }
    }

    /// The picture's size.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Cells in a row.
    pub const fn cols(&self) -> u16 {
        self.cols
    }

    /// Cells in a column.
    pub const fn rows(&self) -> u16 {
        self.rows
    }

    /// All cells.
    pub const fn len(&self) -> usize {
        self.cols as usize * self.rows as usize
    }

    /// Whether the picture has no pixels.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index of the cell in column `col` and row `row`.
    pub const fn index(&self, col: u16, row: u16) -> usize {
        row as usize * self.cols as usize + col as usize
    }

    /// The pixels of a cell.
    pub fn rect(&self, col: u16, row: u16) -> Rect {
        Rect::new(col.saturating_mul(CELL), row.saturating_mul(CELL), CELL, CELL).intersect(&self.size.rect())
    }

    /// The pixels of the cell with this index.
    pub fn rect_of(&self, index: usize) -> Rect {
        let cols = usize::from(self.cols).max(1);
        self.rect((index % cols) as u16, (index / cols) as u16)
    }

    /// The columns and rows of cells that a rectangle touches.
    pub fn cells(&self, rect: &Rect) -> (std::ops::Range<u16>, std::ops::Range<u16>) {
        let r = rect.intersect(&self.size.rect());
        if r.is_empty() {
            return (0..0, 0..0);
        }
        (r.x / CELL..r.right().div_ceil(CELL), r.y / CELL..r.bottom().div_ceil(CELL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_cells_are_ragged() {
        let g = Grid::new(Size::new(130, 64));
        assert_eq!((g.cols(), g.rows()), (3, 1));
        assert_eq!([g.rect(2, 0), g.rect_of(2)], [Rect::new(128, 0, 2, 64); 2]);
        assert_eq!(g.cells(&Rect::new(63, 0, 2, 1)), (0..2, 0..1));
        assert_eq!(g.cells(&Rect::new(500, 0, 2, 1)), (0..0, 0..0));
    }
}
