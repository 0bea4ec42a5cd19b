//! Cells that a GPU has packed, as the pixels of a frame: each is a piece, found by its place in the grid.
//!
//! They hold the new picture, and the mirror outside of them is the new picture already, so a search for moves reads nothing else: neither the source nor the device is asked again. Unlike a source's memory they stand still.
//!
//! Memory: 28 bytes for each cell of the picture, and 16 KiB for each of the most cells that one search has had (all of a 4K picture: 33 MB),
//! kept from frame to frame.

use farpane_shaders::{CELL, CELL_WORDS};

use super::source::{Pixels, Source};
use crate::frame::Piece;
use crate::gpu::PackedCells;
use crate::tile::Grid;

/// Where the cells of a frame lie.
#[derive(Default)]
pub(super) struct Packed {
    pieces: Vec<Piece>,
    by_cell: Vec<u32>,
    /// Their pixels, cell by cell.
    tiles: Vec<u32>,
}

impl Packed {
    /// The pixels of packed cells.
    pub(super) fn list<'a>(&'a mut self, grid: &Grid, cells: PackedCells<'_>) -> Pixels<'a> {
        cells.unpack(&mut self.tiles);
        self.by_cell.clear();
        self.by_cell.resize(grid.len(), 0);
        self.pieces.clear();
        for (i, place) in cells.places().iter().enumerate() {
            let (cell, cols) = (place.cell as usize, usize::from(grid.cols()));
            let rect = grid.rect((cell % cols) as u16, (cell / cols) as u16);
            self.pieces.push(Piece { rect, offset: i * CELL_WORDS as usize * 4, stride: CELL as usize * 4 });
            self.by_cell[cell] = i as u32 + 1;
        }
        Pixels { source: Source::of(&self.tiles), pieces: &self.pieces, by_cell: Some(&self.by_cell) }
    }
}
