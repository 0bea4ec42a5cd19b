//! What holds a frame's bytes: the heap, or memory shared with another process that may write to it at any time.

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
