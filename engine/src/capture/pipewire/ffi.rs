//! What PipeWire hands out as pointers: buffers with their descriptions and metadata, and memory behind descriptors.
//!
//! libpipewire's own structures are believed: it built them, and it took sizes of metadata from the daemon. What the source
//! says in shared memory (the chunk, the contents of metadata) is copied out once and believed nowhere.
//! INVARIANT: a [`Buffer`] is used on the loop's thread only, between `add_buffer` and `remove_buffer` of its stream.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use pipewire::context::Context;
use pipewire::core::Core;
use pipewire::spa::sys as spa;
use pipewire::stream::Stream;
use pipewire::sys as pw;

use crate::frame::{DmaBuf, Plane, cannot_shrink};

/// Loads one of PipeWire's modules into a context; false when it is not there.
pub(super) fn load_module(context: &Context, name: &CStr) -> bool {
    let (none, no_properties) = (std::ptr::null(), std::ptr::null_mut());
    // SAFETY: the context lives as long as the reference, the name is a C string, and both other arguments may be null.
    let module = unsafe { pw::pw_context_load_module(context.as_raw_ptr(), name.as_ptr(), none, no_properties) };
    !module.is_null()
}

/// Has libpipewire write errors alone to stderr; what it warns of is nothing that a user could change.
pub(super) fn log_errors_alone() {
    // SAFETY: sets a number, after the library was initialised.
    unsafe { pw::pw_log_set_level(spa::SPA_LOG_LEVEL_ERROR) };
}

/// A buffer of a stream; libpipewire owns it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer(NonNull<pw::pw_buffer>);

/// One memory area of a buffer, as libpipewire describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    /// One of SPA's data types.
    pub(super) kind: u32,
    /// The descriptor, or a negative number.
    pub(super) fd: i64,
    /// Where in the descriptor's memory the area begins.
    pub(super) map_offset: u32,
    /// Its length.
    pub(super) max_size: u32,
    /// Where libpipewire has mapped it; null where it has not.
    pub(super) pointer: *const u8,
}

/// What the source says of the picture in a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Where in the area it begins.
    pub(super) offset: u32,
    /// How long it is.
    pub(super) size: u32,
    /// Bytes from one row to the next; 0 when the source does not say.
    pub(super) stride: i32,
    /// The source says that it is not whole.
    pub(super) corrupted: bool,
}

impl Buffer {
    /// A buffer that libpipewire hands to a callback.
    pub(super) fn new(raw: *mut pw::pw_buffer) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    /// The newest buffer that the source has filled and we have not seen.
    pub(super) fn dequeue(stream: &Stream) -> Option<Self> {
        // SAFETY: called on the loop's thread, for a stream that lives as long as the reference.
        Self::new(unsafe { stream.dequeue_raw_buffer() })
    }

    /// Gives the buffer back to the source.
    pub(super) fn queue(self, stream: &Stream) {
        // SAFETY: the buffer is the stream's and was taken out of its queue (invariant of this module and of its callers' tables).
        unsafe { stream.queue_raw_buffer(self.0.as_ptr()) };
    }

    /// The number that we gave it.
    pub(super) fn token(&self) -> u64 {
        // SAFETY: the buffer is there (invariant), and the field is ours to use.
        let data = unsafe { (*self.0.as_ptr()).user_data };
        data as u64
    }

    /// Gives it a number.
    pub(super) fn set_token(&self, token: u64) {
        // SAFETY: as above; nobody else reads or writes the field.
        unsafe { (*self.0.as_ptr()).user_data = token as *mut c_void };
    }

    fn spa(&self) -> Option<spa::spa_buffer> {
        // SAFETY: the buffer is there (invariant).
        let buffer = unsafe { (*self.0.as_ptr()).buffer };
        let buffer = NonNull::new(buffer)?;
        // SAFETY: libpipewire keeps the description as long as the buffer; it does not change.
        Some(unsafe { *buffer.as_ptr() })
    }

    fn data(&self, index: usize) -> Option<spa::spa_data> {
        let buffer = self.spa()?;
        let first = NonNull::new(buffer.datas).filter(|_| index < buffer.n_datas as usize)?;
        // SAFETY: there are more areas than `index` (just checked), one after the other.
        let at = unsafe { first.as_ptr().add(index) };
        // SAFETY: as above; they are described as long as the buffer is there.
        Some(unsafe { *at })
    }

    /// Its memory areas.
    pub(super) fn areas(&self) -> impl Iterator<Item = Area> + '_ {
        (0..).map_while(|index| self.data(index)).map(|data| Area {
            kind: data.type_,
            fd: data.fd,
            map_offset: data.mapoffset,
            max_size: data.maxsize,
            pointer: data.data.cast_const().cast(),
        })
    }

    /// What the source says of its picture now, read once: of the part in the first area, or a later one.
    pub(super) fn chunk(&self, area: usize) -> Option<Chunk> {
        let data = self.data(area)?;
        let chunk = NonNull::new(data.chunk)?;
        // SAFETY: libpipewire maps the chunk as long as the buffer is there; the read is volatile because the source may write.
        let said = unsafe { std::ptr::read_volatile(chunk.as_ptr()) };
        let corrupted = said.flags & spa::SPA_CHUNK_FLAG_CORRUPTED as i32 != 0;
        Some(Chunk { offset: said.offset, size: said.size, stride: said.stride, corrupted })
    }

    /// Its metadata of one kind.
    pub(super) fn meta(&self, kind: u32) -> Option<Meta<'_>> {
        let buffer = self.spa()?;
        let first = NonNull::new(buffer.metas)?;
        for i in 0..buffer.n_metas as usize {
            // SAFETY: there are `n_metas` of them, one after the other.
            let at = unsafe { first.as_ptr().add(i) };
            // SAFETY: as above; libpipewire keeps the descriptions as long as the buffer, and they do not change.
            let meta = unsafe { *at };
            if meta.type_ == kind {
                let start = NonNull::new(meta.data.cast::<u8>())?;
                return Some(Meta { start, len: meta.size as usize, buffer: PhantomData });
            }
        }
        None
    }
}

/// Metadata of a buffer: bytes that the source may change at any time.
#[derive(Clone, Copy)]
pub(super) struct Meta<'a> {
    start: NonNull<u8>,
    len: usize,
    buffer: PhantomData<&'a Buffer>,
}

impl super::meta::Bytes for Meta<'_> {
    fn read(&self, at: usize, out: &mut [u8]) -> bool {
        if at > self.len || out.len() > self.len - at {
            return false;
        }
        // SAFETY: `at` lies within the metadata (just checked).
        let from = unsafe { self.start.as_ptr().add(at) };
        // SAFETY: `out.len()` bytes from there on do too; `out` is borrowed alone, so they do not overlap.
        unsafe { from.copy_to_nonoverlapping(out.as_mut_ptr(), out.len()) };
        std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
        true
    }
}

/// A copy of a descriptor that libpipewire keeps for as long as the buffer.
pub(super) fn duplicate(area: &Area) -> std::io::Result<OwnedFd> {
    let raw = i32::try_from(area.fd).ok().filter(|fd| *fd >= 0).ok_or(std::io::ErrorKind::InvalidInput)?;
    // SAFETY: libpipewire keeps the descriptor open as long as the buffer is there, which outlives this call.
    let fd = unsafe { BorrowedFd::borrow_raw(raw) };
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 0)?)
}

/// Whether memory that libpipewire has mapped belongs to a file that nobody can cut.
pub(super) fn is_sealed(core: &Core, area: &Area) -> bool {
    // SAFETY: the core lives as long as the reference, and its pool with it.
    let pool = unsafe { pw::pw_core_get_mempool(core.as_raw_ptr()) };
    if pool.is_null() || area.pointer.is_null() {
        return false;
    }
    // SAFETY: the pool is there (above); the pointer is only compared.
    let block = unsafe { pw::pw_mempool_find_ptr(pool, area.pointer.cast()) };
    let Some(block) = NonNull::new(block) else { return false };
    // SAFETY: the pool keeps the block as long as something of it is mapped, which the buffer is.
    let raw = unsafe { (*block.as_ptr()).fd };
    if raw < 0 {
        return false;
    }
    // SAFETY: the block keeps its descriptor open as long as it is there.
    let fd = unsafe { BorrowedFd::borrow_raw(raw) };
    cannot_shrink(fd)
}

/// The dma-buf of a buffer whose planes lie in its areas.
pub(super) fn dma_buf(area: &Area, planes: Vec<Plane>) -> std::io::Result<DmaBuf> {
    DmaBuf::new(duplicate(area)?, planes)
}

/// Whether two areas lie in one file.
pub(super) fn same_file(one: &Area, other: &Area) -> bool {
    let file = |area: &Area| {
        let fd = duplicate(area).ok()?;
        rustix::fs::fstat(&fd).ok().map(|stat| (stat.st_dev, stat.st_ino))
    };
    one.fd == other.fd || file(one).is_some_and(|at| file(other) == Some(at))
}

/// Memory that libpipewire has mapped for a buffer.
///
/// INVARIANT: it lies in the stream's table of buffers, is read with that table locked, and is taken out of it, with the table
/// locked, before libpipewire unmaps it (`remove_buffer`).
#[derive(Debug)]
pub(super) struct Lent {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory is only read, by copying, while it is mapped (invariant of the type).
unsafe impl Send for Lent {}

impl Lent {
    /// The memory of an area of a buffer that is being added; none when libpipewire has not mapped it.
    pub(super) fn new(area: &Area) -> Option<Self> {
        Some(Self { start: NonNull::new(area.pointer.cast_mut())?, len: area.max_size as usize })
    }

    /// Copies pixels from byte `offset` on into `out`; false when they do not all lie inside.
    pub(super) fn read(&self, offset: usize, out: &mut [u32]) -> bool {
        let bytes = size_of_val(out);
        if offset > self.len || bytes > self.len - offset {
            return false;
        }
        // SAFETY: `offset` lies within the memory (just checked), which is mapped (invariant).
        let from = unsafe { self.start.as_ptr().add(offset) };
        // SAFETY: `bytes` from there on lie within it too; `out` is ours alone, so they do not overlap.
        unsafe { from.copy_to_nonoverlapping(out.as_mut_ptr().cast(), bytes) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lent_memory_is_read_within_its_bounds_alone() {
        let bytes: Vec<u8> = (0..16).collect();
        let area = Area { kind: 0, fd: -1, map_offset: 0, max_size: 16, pointer: bytes.as_ptr() };
        let lent = Lent::new(&area).expect("a pointer");
        let mut out = [0; 2];
        assert!(lent.read(8, &mut out));
        assert_eq!(out, [0x0b0a_0908, 0x0f0e_0d0c]);
        assert!(!lent.read(9, &mut out) && !lent.read(usize::MAX, &mut out));
    }
}
