//! What holds a frame's bytes: the heap, memory shared with another process that may write to it at any time, or a dma-buf.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use super::dma_buf::{DmaBuf, Reading};

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
    /// Memory of a device. The processor reads it between the two ends of an access.
    DmaBuf(Arc<DmaBuf>),
}

impl Memory {
    /// Bytes of it.
    pub fn len(&self) -> usize {
        match self {
            Self::Heap(px) => px.len() * 4,
            Self::Shared(memory) => memory.len(),
            Self::DmaBuf(buffer) => buffer.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins to read it.
    ///
    /// # Errors
    /// When it is a dma-buf that the processor cannot read.
    pub(crate) fn open(&self) -> io::Result<Bytes<'_>> {
        let (start, len, access) = match self {
            Self::Heap(pixels) => (pixels.as_ptr().cast(), size_of_val::<[u32]>(pixels), None),
            Self::Shared(shared) => (shared.as_ptr(), shared.len(), None),
            Self::DmaBuf(buffer) => {
                let access = buffer.read()?;
                (access.as_ptr(), access.len(), Some(access))
            }
        };
        Ok(Bytes { start, len, _access: access, memory: PhantomData })
    }

    /// Copies pixels from byte `offset` on into `out`, each read once. Returns false, and copies nothing, when they do not all
    /// lie inside, `offset` is not a multiple of four, or the memory cannot be read.
    pub fn read(&self, offset: usize, out: &mut [u32]) -> bool {
        let Some(end) = out.len().checked_mul(4).and_then(|n| n.checked_add(offset)) else { return false };
        let Ok(bytes) = self.open() else { return false };
        if end > bytes.len || !offset.is_multiple_of(4) {
            return false;
        }
        for (i, word) in out.iter_mut().enumerate() {
            // SAFETY: `offset + 4 * i + 4 <= end <= len`, and the memory is readable for `len` bytes.
            let at = unsafe { bytes.start.add(offset + 4 * i) };
            // SAFETY: `at` is readable for four bytes (above); an array of bytes needs no alignment, and the read is
            // volatile because another process may write meanwhile.
            *word = u32::from_le_bytes(unsafe { std::ptr::read_volatile(at.cast::<[u8; 4]>()) });
        }
        true
    }
}

/// A frame's bytes while they are read.
pub(crate) struct Bytes<'a> {
    /// The first of them.
    pub(crate) start: *const u8,
    /// How many.
    pub(crate) len: usize,
    _access: Option<Reading<'a>>,
    memory: PhantomData<&'a Memory>,
}

impl<'a> From<&'a [u32]> for Bytes<'a> {
    fn from(words: &'a [u32]) -> Self {
        Self { start: words.as_ptr().cast(), len: size_of_val(words), _access: None, memory: PhantomData }
    }
}

// SAFETY: the bytes live as long as the `Memory`, whose kinds are all `Send + Sync`, or the words; only reads are made.
unsafe impl Send for Bytes<'_> {}

// SAFETY: as above; reads through `&self` do not touch the struct itself.
unsafe impl Sync for Bytes<'_> {}
