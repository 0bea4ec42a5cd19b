//! The changed box inside one cell.

use super::CELL;
use crate::geometry::Rect;

/// The smallest box around the changed pixels of one cell, in columns and rows of that cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    x0: u8,
    y0: u8,
    x1: u8,
    y1: u8,
}

impl Default for Extent {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Extent {
    /// No pixel.
    pub const EMPTY: Self = Self { x0: CELL as u8, y0: CELL as u8, x1: 0, y1: 0 };

    /// Whether it holds no pixel.
    pub const fn is_empty(&self) -> bool {
        self.x1 <= self.x0
    }

    /// Grows to hold columns `x0..x1` of row `y`, counted from the cell's corner.
    ///
    /// An empty span adds nothing; what lies past the cell is cut off.
    pub fn add_span(&mut self, y: u8, x0: u8, x1: u8) {
        self.add_box([x0, y, x1, y.saturating_add(1)]);
    }

    /// Grows to hold the box `x0, y0, x1, y1`, half open.
    ///
    /// An empty box adds nothing; what lies past the cell is cut off.
    pub fn add_box(&mut self, [x0, y0, x1, y1]: [u8; 4]) {
        let [x1, y1] = [x1, y1].map(|end| end.min(CELL as u8));
        if x0 >= x1 || y0 >= y1 {
            return;
        }
        self.x0 = self.x0.min(x0);
        self.x1 = self.x1.max(x1);
        self.y0 = self.y0.min(y0);
        self.y1 = self.y1.max(y1);
    }

    /// The box in the picture, for the cell in column `col` and row `row`.
    pub fn rect(&self, col: u16, row: u16) -> Rect {
        if self.is_empty() {
            return Rect::default();
        }
        let (left, top) = (col.saturating_mul(CELL), row.saturating_mul(CELL));
        Rect::from_corners(
            left.saturating_add(self.x0.into()),
            top.saturating_add(self.y0.into()),
            left.saturating_add(self.x1.into()),
            top.saturating_add(self.y1.into()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_grow_the_box_and_nothing_else() {
        let mut e = Extent::EMPTY;
        e.add_span(3, 7, 7);
        assert!(e.is_empty());
        assert!(e.rect(0, 0).is_empty());
        e.add_span(3, 7, 9);
        e.add_span(5, 2, 3);
        assert_eq!(e.rect(1, 2), Rect::new(66, 131, 7, 3));
        e.add_span(64, 0, 64);
        assert_eq!(e.rect(0, 0), Rect::new(2, 3, 7, 3));
        for nothing in [[0, 9, 64, 9], [5, 0, 5, 64], [0, 64, 64, 65]] {
            e.add_box(nothing);
        }
        assert_eq!(e.rect(0, 0), Rect::new(2, 3, 7, 3));
        e.add_box([1, 4, 70, 80]);
        assert_eq!(e.rect(0, 0), Rect::new(1, 3, 63, 61));
    }
}
