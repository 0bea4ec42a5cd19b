//! The one raw read of live source memory.
//!
//! A frame's bytes may be mapped from another process that writes while we read. They are never seen
//! through a slice: each segment is copied out once, and everything after works on the copy.

#![allow(unsafe_code)]

use std::sync::atomic::{Ordering, compiler_fence};

use super::FrameError;
use crate::frame::{Bytes, Frame, Memory, Piece};

/// Pixels of the longest segment: one row of a cell.
pub(super) const SEGMENT: usize = crate::tile::CELL as usize;

/// A frame's memory, readable by copying only.
pub(super) struct Source<'a>(Bytes<'a>);

impl<'a> Source<'a> {
    /// The bytes of a frame's memory.
    ///
    /// # Errors
    /// When the processor cannot read them.
    pub(super) fn open(memory: &'a Memory) -> Result<Self, FrameError> {
        memory.open().map(Self).map_err(|error| FrameError::Unreadable(error.kind()))
    }

    /// Those of pixels that are ours.
    #[cfg(any(feature = "gpu", test))]
    pub(super) fn of(pixels: &'a [u32]) -> Self {
        Self(pixels.into())
    }

    /// Copies the pixels from byte `offset` on into `out`, reading each byte once.
    ///
    /// # Panics
    /// When the pixels lie outside the memory.
    #[inline]
    pub(super) fn read(&self, offset: usize, out: &mut [u32]) {
        let bytes = size_of_val::<[u32]>(out);
        let Bytes { start, len, .. } = self.0;
        assert!(offset <= len && bytes <= len - offset, "segment inside the memory");
        // SAFETY: `offset <= len`, and the memory is valid for `len` bytes (contract of `SharedMemory`).
        let from = unsafe { start.add(offset) };
        if let Ok(whole) = <&mut [u32; SEGMENT]>::try_from(&mut *out) {
            // SAFETY: `from` is valid for `bytes` (assert above) and `whole` is exactly that long; the two
            // cannot overlap, as `out` is borrowed alone.
            unsafe { from.copy_to_nonoverlapping(whole.as_mut_ptr().cast(), SEGMENT * 4) };
        } else {
            // SAFETY: as above, with `bytes` the length of `out`.
            unsafe { from.copy_to_nonoverlapping(out.as_mut_ptr().cast(), bytes) };
        }
        // After this the source may be another: the compiler must not read it again in place of the copy.
        compiler_fence(Ordering::SeqCst);
    }
}

/// A frame's pixels: what several cores may see of it.
pub(super) struct Pixels<'a> {
    pub(super) source: Source<'a>,
    pub(super) pieces: &'a [Piece],
    /// Where each piece is a cell: one more than the place in `pieces` of each cell's, 0 for those that have none.
    pub(super) by_cell: Option<&'a [u32]>,
}

impl<'a> Pixels<'a> {
    /// Those of a frame.
    ///
    /// # Errors
    /// When the processor cannot read them.
    pub(super) fn of(frame: &'a Frame) -> Result<Self, FrameError> {
        Ok(Self { source: Source::open(&frame.memory)?, pieces: &frame.pieces, by_cell: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_start_at_any_byte() {
        let memory = Memory::Heap((0..80u32).map(|i| i * 0x0101_0101).collect());
        let source = Source::open(&memory).expect("ours");
        let mut out = [0; 2];
        source.read(4 * 7 + 1, &mut out);
        assert_eq!(out, [0x0807_0707, 0x0908_0808]);
        let mut whole = [0; SEGMENT];
        source.read(64, &mut whole);
        assert_eq!((whole[0], whole[63]), (16 * 0x0101_0101, 79 * 0x0101_0101));
    }

    #[test]
    #[should_panic(expected = "inside the memory")]
    fn reads_past_the_end_are_refused() {
        let memory = Memory::Heap(vec![0; 4].into());
        Source::open(&memory).expect("ours").read(13, &mut [0]);
    }
}
