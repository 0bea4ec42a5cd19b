//! The mirror: an output's last picture in system memory, in the source's 32-bit format.
//!
//! Encoders see only this. It has one writer, the damage engine, and many readers. Padding bits are always zero
//! in it, so equal colours are equal words. Beside the pixels it keeps, for every 64-px cell, the sequence and time of
//! its newest content.

use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use crate::geometry::{Rect, Size};
use crate::pixel::Layout;
use crate::tile::Grid;

/// The picture and its bookkeeping, as readers and the writer see it under the lock.
pub struct MirrorData {
    /// `size.w * size.h` pixels, rows without padding (stride = width), padding bits zero.
    pub pixels: Vec<u32>,
    /// Where the channels lie.
    pub layout: Layout,
    /// The cells.
    pub grid: Grid,
    /// Content sequence of the whole: counts up with every frame that changed something.
    pub seq: u64,
    /// Per cell: the sequence of its newest content.
    pub cell_seq: Vec<u64>,
    /// Per cell: when its content last changed.
    pub cell_at: Vec<Instant>,
}

impl MirrorData {
    /// The picture's size.
    pub fn size(&self) -> Size {
        self.grid.size()
    }

    /// One row of a rectangle that lies inside the picture.
    ///
    /// # Panics
    /// When the row or the columns lie outside the picture.
    pub fn row(&self, rect: &Rect, y: u16) -> &[u32] {
        let start = usize::from(y) * usize::from(self.size().w) + usize::from(rect.x);
        &self.pixels[start..start + usize::from(rect.w)]
    }

    /// The newest content sequence in a rectangle.
    pub fn newest(&self, rect: &Rect) -> u64 {
        let (cols, rows) = self.grid.cells(rect);
        rows.flat_map(|row| cols.clone().map(move |col| (col, row)))
            .map(|(col, row)| self.cell_seq[self.grid.index(col, row)])
            .max()
            .unwrap_or(0)
    }

    /// Marks the cells that a rectangle touches as changed in frame `seq`.
    pub fn touch(&mut self, rect: &Rect, seq: u64, now: Instant) {
        let (cols, rows) = self.grid.cells(rect);
        for row in rows {
            for col in cols.clone() {
                let cell = self.grid.index(col, row);
                self.cell_seq[cell] = seq;
                self.cell_at[cell] = now;
            }
        }
    }
}

/// Read access to a mirror; the writer waits while one is held. For CPU work only, never across a socket.
pub type MirrorGuard<'a> = RwLockReadGuard<'a, MirrorData>;

/// An output's last picture.
pub struct Mirror {
    data: RwLock<MirrorData>,
}

impl Mirror {
    /// A black picture.
    pub fn new(size: Size, layout: Layout, now: Instant) -> Self {
        let grid = Grid::new(size);
        Self {
            data: RwLock::new(MirrorData {
                pixels: vec![0; usize::from(size.w) * usize::from(size.h)],
                layout,
                grid,
                seq: 0,
                cell_seq: vec![0; grid.len()],
                cell_at: vec![now; grid.len()],
            }),
        }
    }

    /// The picture by itself.
    #[cfg(test)]
    pub(crate) fn into_data(self) -> MirrorData {
        self.data.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Read access.
    pub fn read(&self) -> MirrorGuard<'_> {
        self.data.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Write access, for the one writer: the damage engine (and a resize).
    pub fn write(&self) -> RwLockWriteGuard<'_, MirrorData> {
        self.data.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
