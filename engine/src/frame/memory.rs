//! What holds a frame's bytes: the heap, or memory shared with another process that may write to it at any time.
#![allow(unsafe_code)]

use std::sync::Arc;

/// Bytes that another process may change while they are read.
///
/// Readers copy each byte out at most once per frame and never make a slice of it.
pub trait SharedMemory: Send + Sync {
    /// The first byte; valid for [`SharedMemory::len`] bytes as long as `self` lives.
    fn as_ptr(&self) -> *const u8;
    /// Readable bytes.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What holds a frame's bytes.
pub enum Memory {
    /// Our own: nobody else writes.
    Heap(Arc<[u32]>),
    /// Mapped memory of another process.
    Shared(Arc<dyn SharedMemory>),
}

impl Memory {
    /// Bytes that can be read.
    pub fn len(&self) -> usize {
        match self {
            Self::Heap(px) => px.len() * 4,
            Self::Shared(memory) => memory.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies pixels from byte `offset` on into `out`, each read once. Returns false, and copies nothing, when they do not all
    /// lie inside or `offset` is not a multiple of four.
    pub fn read(&self, offset: usize, out: &mut [u32]) -> bool {
        let Some(end) = out.len().checked_mul(4).and_then(|n| n.checked_add(offset)) else { return false };
        if end > self.len() || !offset.is_multiple_of(4) {
            return false;
        }
        match self {
            Self::Heap(px) => out.copy_from_slice(&px[offset / 4..end / 4]),
            Self::Shared(memory) => {
                for (i, word) in out.iter_mut().enumerate() {
                    // SAFETY: `offset + 4 * i + 4 <= end <= len`, and the memory is readable for `len` bytes.
                    let at = unsafe { memory.as_ptr().add(offset + 4 * i) };
                    // SAFETY: `at` is readable for four bytes (above); an array of bytes needs no alignment, and the read is
                    // volatile because another process may write meanwhile.
                    *word = u32::from_le_bytes(unsafe { std::ptr::read_volatile(at.cast::<[u8; 4]>()) });
                }
            }
        }
        true
    }
}
