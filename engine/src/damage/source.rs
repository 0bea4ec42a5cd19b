//! The one raw read of live source memory.
//!
//! A frame's bytes may be mapped from another process that writes while we read. They are never seen
//! through a slice: each segment is copied out once, and everything after works on the copy.

#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::sync::atomic::{Ordering, compiler_fence};

use crate::frame::{Frame, Memory, Piece};

/// Pixels of the longest segment: one row of a cell.
pub(super) const SEGMENT: usize = crate::tile::CELL as usize;

/// A frame's memory, readable by copying only.
pub(super) struct Source<'a> {
    start: *const u8,
    len: usize,
    memory: PhantomData<&'a Memory>,
}

// SAFETY: the bytes live as long as the `Memory`, whose kinds are all `Send + Sync`; only reads are made.
unsafe impl Send for Source<'_> {}

// SAFETY: as above; reads through `&self` do not touch the struct itself.
unsafe impl Sync for Source<'_> {}

impl<'a> Source<'a> {
    /// The bytes of a frame's memory.
    pub(super) fn new(memory: &'a Memory) -> Self {
        let (start, len) = match memory {
            Memory::Heap(pixels) => (pixels.as_ptr().cast(), size_of_val::<[u32]>(pixels)),
            Memory::Shared(shared) => (shared.as_ptr(), shared.len()),
        };
        Self { start, len, memory: PhantomData }
    }

    /// Readable bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Copies the pixels from byte `offset` on into `out`, reading each byte once.
    ///
    /// # Panics
    /// When the pixels lie outside the memory.
    #[inline]
    pub(super) fn read(&self, offset: usize, out: &mut [u32]) {
        let bytes = size_of_val::<[u32]>(out);
        assert!(offset <= self.len && bytes <= self.len - offset, "segment inside the memory");
        // SAFETY: `offset <= len`, and the memory is valid for `len` bytes (contract of `SharedMemory`).
        let from = unsafe { self.start.add(offset) };
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
}

impl<'a> Pixels<'a> {
    /// Those of a frame.
    pub(super) fn of(frame: &'a Frame) -> Self {
        Self { source: Source::new(&frame.memory), pieces: &frame.pieces }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_start_at_any_byte() {
        let memory = Memory::Heap((0..80u32).map(|i| i * 0x0101_0101).collect());
        let source = Source::new(&memory);
        assert_eq!(source.len(), 320);
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
        Source::new(&memory).read(13, &mut [0]);
    }
}
