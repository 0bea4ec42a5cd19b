//! Neighbouring cells that move, and the box around them.

use crate::geometry::Rect;
use crate::tile::Grid;

/// A side lies where one in this many of the cells along it reach, so that a letter typed beside a film does not widen it.
const ONE_IN: usize = 4;

/// Cells that move, gathered one after the other.
pub(super) struct Group {
    /// How far each row reaches to the left and right, and each column up and down, with what they are empty beforehand.
    rows: Vec<(u16, u16)>,
    cols: Vec<(u16, u16)>,
    area: u64,
}

const EMPTY: (u16, u16) = (u16::MAX, 0);

impl Group {
    pub fn new(grid: &Grid) -> Self {
        Self { rows: vec![EMPTY; grid.rows().into()], cols: vec![EMPTY; grid.cols().into()], area: 0 }
    }

    /// Adds what moves in a cell.
    pub fn add(&mut self, col: u16, row: u16, extent: &Rect) {
        let grow = |reach: &mut (u16, u16), from: u16, to: u16| *reach = (reach.0.min(from), reach.1.max(to));
        grow(&mut self.rows[usize::from(row)], extent.x, extent.right());
        grow(&mut self.cols[usize::from(col)], extent.y, extent.bottom());
        self.area += extent.area();
    }

    /// The box and how much of it moves, at most; none for no cells. The next group begins.
    pub fn take(&mut self) -> Option<(Rect, u64)> {
        let area = std::mem::take(&mut self.area);
        if area == 0 {
            return None;
        }
        let ((left, right), (top, bottom)) = (sides(&mut self.rows), sides(&mut self.cols));
        Some((Rect::from_corners(left, top, right, bottom), area))
    }
}

/// Between which two coordinates most of the lines lie, and clears them.
fn sides(lines: &mut [(u16, u16)]) -> (u16, u16) {
    let (mut from, mut to): (Vec<u16>, Vec<u16>) = lines.iter().copied().filter(|line| *line != EMPTY).unzip();
    lines.fill(EMPTY);
    from.sort_unstable();
    to.sort_unstable_by_key(|to| std::cmp::Reverse(*to));
    let at = from.len() / ONE_IN;
    let side = |sorted: &[u16]| sorted.get(at).copied().unwrap_or_default();
    (side(&from), side(&to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::tile::CELL;

    /// The box of the cells that `moves` meets, once more with `beside`.
    fn boxed(moves: &Rect, beside: &[Rect]) -> Rect {
        let grid = Grid::new(Size::new(1000, 1000));
        let mut group = Group::new(&grid);
        assert_eq!(group.take(), None);
        let (cols, rows) = grid.cells(moves);
        for (col, row) in rows.flat_map(|row| cols.clone().map(move |col| (col, row))) {
            let cell = grid.rect(col, row);
            let more = beside.iter().fold(Rect::default(), |all, b| all.bounds_with(&b.intersect(&cell)));
            group.add(col, row, &cell.intersect(moves).bounds_with(&more));
        }
        let (rect, area) = group.take().expect("cells");
        assert!(area >= moves.area());
        assert_eq!(group.take(), None, "taken once");
        rect
    }

    #[test]
    fn a_letter_beside_it_does_not_widen_it() {
        let film = Rect::new(100, 70, 650, 400);
        assert_eq!(boxed(&film, &[]), film);
        let [right, below] = [Rect::new(755, 300, 8, 12), Rect::new(400, 480, 60, 12)];
        assert_eq!(boxed(&film, &[right, below]), film);
        let column = Rect::new(752, 64, 8, 400);
        assert_eq!(boxed(&film, &[column]), Rect { w: 660, ..film }, "what all rows reach is of it");
    }

    #[test]
    fn few_cells_are_bound_whole() {
        for side in [1, CELL, 3 * CELL] {
            let film = Rect::new(CELL, CELL, side, side);
            assert_eq!(boxed(&film, &[]), film);
        }
    }
}
