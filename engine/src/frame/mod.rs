//! A captured picture on its way to the damage stage, and the pointer's shape.

mod cursor;
mod dma_buf;
#[cfg(any(feature = "wayland", feature = "x11"))]
mod loan;
mod mapping;
mod memory;
mod pool;

use std::os::fd::OwnedFd;
use std::time::Instant;

pub use cursor::CursorImage;
#[cfg(feature = "pipewire")]
pub(crate) use dma_buf::cannot_shrink;
pub use dma_buf::{DmaBuf, DmaBufs, Importer, Plane, Reading};
#[cfg(any(feature = "wayland", feature = "x11"))]
pub(crate) use loan::Loan;
#[cfg(any(feature = "pipewire", feature = "wayland", feature = "x11"))]
pub(crate) use mapping::Mapping;
pub(crate) use memory::Bytes;
pub use memory::{Memory, SharedMemory};
pub use pool::{Pool, PoolEmpty};

use crate::geometry::{Rect, Region, Size};
use crate::pixel::{Fourcc, Modifier};

/// Where part of a picture lies in a frame's memory.
///
/// Shape: row `y` of the rectangle starts at `offset + y * stride` bytes; pixels are packed 32-bit words;
/// nothing is known of the bytes between the end of a row and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The pixels of the output that this piece shows.
    pub rect: Rect,
    /// Bytes from the start of the memory to its first pixel.
    pub offset: usize,
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// What the source claims about where the picture changed. It narrows the compare and never decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Nothing is known: compare every piece.
    Everything,
    /// Outside this region the picture is as it was in the frame before.
    Only(Region),
}

/// One captured picture, or the parts of it that were fetched. Owned; dropping it gives its buffer back.
pub struct Frame {
    /// Size of the output.
    pub size: Size,
    /// Pixel format of the memory.
    pub fourcc: Fourcc,
    /// Tiling of the memory; CPU readers accept [`Modifier::LINEAR`] only. Where it is another, pieces say what is there and a dma-buf's planes
    /// where.
    pub modifier: Modifier,
    /// The parts of the picture that are present (1 to 4 planes or any number of fetched bands); what no piece
    /// covers is as it was in the frame before.
    pub pieces: Vec<Piece>,
    /// Where the pixels are.
    pub memory: Memory,
    /// Where the source says it changed.
    pub hint: Hint,
    /// Signals when the pixels may be read; none means now.
    pub acquire: Option<OwnedFd>,
    /// Counts up by one per frame of a source.
    pub seq: u64,
    /// When the picture was taken.
    pub captured_at: Instant,
    /// Run once when the frame is dropped: gives the buffer back to the source.
    pub release: Option<Box<dyn FnOnce() + Send>>,
}

impl Drop for Frame {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame")
            .field("seq", &self.seq)
            .field("size", &self.size)
            .field("fourcc", &self.fourcc)
            .field("pieces", &self.pieces)
            .field("hint", &self.hint)
            .finish_non_exhaustive()
    }
}
