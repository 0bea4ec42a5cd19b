//! A set of cells of one grid, a bit each.

use super::Grid;

/// A set of cells of one grid.
///
/// Shape: every row of cells starts at a word of its own, so that rows can be filled from several cores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CellMap {
    words: Vec<u64>,
    per_row: usize,
}

/// The bits of one row of cells.
pub struct CellBits<'a>(&'a mut [u64]);

impl CellBits<'_> {
    /// Adds the cell in column `col`.
    ///
    /// # Panics
    /// When the row has no such column.
    pub fn insert(&mut self, col: u16) {
        self.0[usize::from(col) / 64] |= 1 << (col % 64);
    }

    /// Whether the cell in column `col` is in the set; not when the row has no such column.
    pub fn contains(&self, col: u16) -> bool {
        self.0.get(usize::from(col) / 64).is_some_and(|w| w >> (col % 64) & 1 == 1)
    }
}

impl CellMap {
    /// The empty set over a grid.
    pub fn new(grid: &Grid) -> Self {
        let mut map = Self::default();
        map.reset(grid);
        map
    }

    /// Empties the set and makes it one over `grid`; allocates only when that is larger than any before.
    pub fn reset(&mut self, grid: &Grid) {
        self.per_row = usize::from(grid.cols()).div_ceil(64);
        self.words.clear();
        self.words.resize(self.per_row * usize::from(grid.rows()), 0);
    }

    /// Words of a row, never 0.
    pub fn words_per_row(&self) -> usize {
        self.per_row.max(1)
    }

    /// All words, [`CellMap::words_per_row`] for each row of cells.
    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// One row of cells from its words.
    pub fn bits(words: &mut [u64]) -> CellBits<'_> {
        CellBits(words)
    }

    /// Adds a cell.
    ///
    /// # Panics
    /// When the cell lies outside the grid.
    pub fn insert(&mut self, col: u16, row: u16) {
        let start = usize::from(row) * self.per_row;
        CellBits(&mut self.words[start..start + self.per_row]).insert(col);
    }

    /// Whether a cell is in the set.
    pub fn contains(&self, col: u16, row: u16) -> bool {
        let word = usize::from(col) / 64;
        word < self.per_row
            && self.words.get(usize::from(row) * self.per_row + word).is_some_and(|w| w >> (col % 64) & 1 == 1)
    }

    /// Whether no cell is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&w| w == 0)
    }

    /// Cells in the set.
    pub fn len(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// The cells as (column, row), by rows.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        let per_row = self.words_per_row();
        self.words.iter().enumerate().flat_map(move |(i, &word)| {
            let (row, first) = (i / per_row, i % per_row * 64);
            let mut left = word;
            std::iter::from_fn(move || {
                if left == 0 {
                    return None;
                }
                let bit = left.trailing_zeros() as usize;
                left &= left - 1;
                Some(((first + bit) as u16, row as u16))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    #[test]
    fn cells_come_back_by_rows() {
        let grid = Grid::new(Size::new(64 * 130, 64 * 3));
        let mut map = CellMap::new(&grid);
        assert!(map.is_empty());
        for cell in [(129, 2), (0, 0), (63, 1), (64, 1)] {
            map.insert(cell.0, cell.1);
        }
        assert_eq!(map.iter().collect::<Vec<_>>(), [(0, 0), (63, 1), (64, 1), (129, 2)]);
        assert_eq!(map.len(), 4);
        assert!(map.contains(64, 1) && !map.contains(64, 2) && !map.contains(500, 0) && !map.contains(0, 9));
        map.reset(&Grid::new(Size::new(1, 1)));
        assert!(map.is_empty());
    }

    #[test]
    fn a_grid_without_cells_is_no_trouble() {
        let map = CellMap::new(&Grid::new(Size::new(0, 0)));
        assert!(map.is_empty() && map.iter().next().is_none());
    }
}
