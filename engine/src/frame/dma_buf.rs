//! Memory that devices and processes share: what graphics hardware draws into.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use rustix::fs::{SealFlags, SeekFrom};

use super::mapping::Mapping;
use super::memory::SharedMemory;
use crate::geometry::Size;
use crate::pixel::{Fourcc, Modifier};

/// `DMA_BUF_IOCTL_SYNC` of linux/dma-buf.h, with its flags.
const SYNC: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<u64>(b'b', 0);
const SYNC_READ: u64 = 1;
const SYNC_END: u64 = 4;
/// `DMA_BUF_IOCTL_EXPORT_SYNC_FILE`: since Linux 6.0.
const EXPORT_SYNC_FILE: rustix::ioctl::Opcode = rustix::ioctl::opcode::read_write::<[u32; 2]>(b'b', 2);
/// What the kernel's file system of dma-bufs is called by `fstatfs`.
const MAGIC: u64 = 0x444d_4142;

/// Where a plane of a picture lies in its dma-buf, in the terms of its modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Bytes from the start.
    pub offset: u64,
    /// Bytes from one row to the next.
    pub stride: u64,
}

impl Plane {
    /// Whether a plane of a picture lies in so many bytes, as far as that can be told: of other forms than rows only drivers know.
    pub fn holds(&self, len: usize, size: Size, modifier: Modifier) -> bool {
        let (row, rows) = (u64::from(size.w) * 4, u64::from(size.h));
        let end = match modifier {
            Modifier::LINEAR if self.stride < row || rows == 0 => None,
            Modifier::LINEAR => self.stride.checked_mul(rows - 1).and_then(|all| all.checked_add(row)),
            _ => Some(1),
        };
        end.and_then(|end| end.checked_add(self.offset)).is_some_and(|end| end <= len as u64)
    }
}

/// What takes pictures that lie in dma-bufs: a device that outputs share.
pub trait Importer: Send + Sync {
    /// The forms in which it takes pictures of a format; none while it takes none.
    fn modifiers(&self, fourcc: Fourcc) -> Vec<Modifier>;

    /// Makes a dma-buf that others draw a picture into and the device then takes, in one of these forms; says in which. What lies in it at first
    /// is nobody's picture. What only takes the buffers of others makes none.
    ///
    /// # Errors
    /// When the device has no memory, knows none of the forms, or hands no memory out; the text says what is the matter.
    fn allocate(&self, size: Size, fourcc: Fourcc, among: &[Modifier]) -> Result<(DmaBuf, Modifier), String> {
        Err(format!("it makes no {fourcc:?} of {size} in any of {} forms", among.len()))
    }
}

/// Which dma-bufs are asked for.
#[derive(Clone, Default)]
pub enum DmaBufs {
    /// None: pictures lie in shared memory.
    #[default]
    None,
    /// Those of plain rows, which the processor reads.
    Plain,
    /// Those that a device takes.
    Taken(Arc<dyn Importer>),
}

impl DmaBufs {
    /// Whether none are asked for.
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The forms in which pictures of a format are asked for.
    pub fn modifiers(&self, fourcc: Fourcc) -> Vec<Modifier> {
        match self {
            Self::None => Vec::new(),
            Self::Plain => vec![Modifier::LINEAR],
            Self::Taken(importer) => importer.modifiers(fourcc),
        }
    }
}

impl std::fmt::Debug for DmaBufs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Plain => "Plain",
            Self::Taken(_) => "Taken",
        })
    }
}

/// A dma-buf with a picture in it. What a source gives out again and again is the same value each time.
#[derive(Debug)]
pub struct DmaBuf {
    fd: OwnedFd,
    len: usize,
    planes: Vec<Plane>,
    mapping: OnceLock<Mapping>,
}

impl DmaBuf {
    /// Takes a dma-buf; memory that can never become shorter is taken for one.
    ///
    /// # Errors
    /// When it is neither (whatever else is handed out under that name could be cut while it is read), or the system does not say.
    pub fn new(fd: OwnedFd, planes: Vec<Plane>) -> io::Result<Self> {
        let is_one = rustix::fs::fstatfs(&fd)?.f_type as u64 == MAGIC;
        if !is_one && !cannot_shrink(&fd) {
            return Err(io::Error::other("it is none, and could be cut while it is read"));
        }
        // dma-bufs never change their size
        let len = usize::try_from(rustix::fs::seek(&fd, SeekFrom::End(0))?).map_err(io::Error::other)?;
        Ok(Self { fd, len, planes, mapping: OnceLock::new() })
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where its planes lie.
    pub fn planes(&self) -> &[Plane] {
        &self.planes
    }

    /// Signals when what is being drawn into it is there; none where the kernel does not say, and where memory stands in for a dma-buf.
    pub fn fence(&self) -> Option<OwnedFd> {
        self.ask_fence().ok()
    }

    /// The same, with the system's word where there is none: ENOTTY of memory that stands in, and of kernels before 6.0.
    ///
    /// # Errors
    /// When there is none.
    pub fn ask_fence(&self) -> io::Result<OwnedFd> {
        // `struct dma_buf_export_sync_file`: flags, then the descriptor
        let mut asked = [SYNC_READ as u32, u32::MAX];
        // SAFETY: the kernel's request of this number reads and writes one `struct dma_buf_export_sync_file`, two 32-bit words.
        let request = unsafe { rustix::ioctl::Updater::<EXPORT_SYNC_FILE, _>::new(&mut asked) };
        // SAFETY: as above; a descriptor of another kind refuses the request.
        unsafe { rustix::ioctl::ioctl(&self.fd, request) }?;
        let fd = i32::try_from(asked[1]).map_err(io::Error::other)?;
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Begins an access of the processor: waits until what is being drawn is there, and has the processor's caches see it.
    ///
    /// # Errors
    /// When it cannot be mapped, or its driver refuses.
    pub fn read(&self) -> io::Result<Reading<'_>> {
        let mapping = match self.mapping.get() {
            Some(mapping) => mapping,
            None => {
                let mapped = Mapping::of_length(&self.fd, self.len)?;
                self.mapping.get_or_init(|| mapped)
            }
        };
        self.sync(SYNC_READ)?;
        Ok(Reading { buffer: self, mapping })
    }

    fn sync(&self, flags: u64) -> io::Result<()> {
        // SAFETY: the kernel's request of this number reads one `struct dma_buf_sync`, which is 64 bits of flags, and keeps nothing.
        let request = unsafe { rustix::ioctl::Setter::<SYNC, u64>::new(flags) };
        // SAFETY: as above; a descriptor of another kind refuses the request.
        match unsafe { rustix::ioctl::ioctl(&self.fd, request) } {
            // memory in the place of a dma-buf needs no such thing
            Ok(()) | Err(rustix::io::Errno::NOTTY) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for DmaBuf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// An access of the processor to a dma-buf.
#[derive(Debug)]
pub struct Reading<'a> {
    buffer: &'a DmaBuf,
    mapping: &'a Mapping,
}

impl SharedMemory for Reading<'_> {
    fn as_ptr(&self) -> *const u8 {
        self.mapping.as_ptr()
    }

    fn len(&self) -> usize {
        self.mapping.len()
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.buffer.sync(SYNC_READ | SYNC_END) {
            tracing::debug!(%error, "dma-buf");
        }
    }
}

/// Whether a file can never become shorter.
pub(crate) fn cannot_shrink(fd: impl AsFd) -> bool {
    rustix::fs::fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};

    use super::*;
    use crate::frame::Memory;

    fn memory() -> OwnedFd {
        let fd = memfd_create("dma-buf", MemfdFlags::ALLOW_SEALING).expect("a memfd");
        ftruncate(&fd, 4096).expect("room");
        fd
    }

    #[test]
    fn a_plane_that_reaches_past_the_end_does_not_hold() {
        let (size, tiles) = (Size::new(200, 150), Modifier(1 << 56 | 1));
        let plane = |offset, stride| Plane { offset, stride };
        let whole = 1024 * 149 + 800;
        assert!(plane(0, 1024).holds(whole, size, Modifier::LINEAR));
        for (lie, len) in [
            (plane(0, 1024), whole - 1),
            (plane(1, 1024), whole),
            (plane(0, 796), 1 << 20),
            (plane(u64::MAX, 1024), whole),
            (plane(0, u64::MAX), whole),
        ] {
            assert!(!lie.holds(len, size, Modifier::LINEAR), "{lie:?} in {len}");
        }
        assert!(plane(99, 0).holds(100, size, tiles) && !plane(100, 0).holds(100, size, tiles));
    }

    #[test]
    fn sealed_memory_stands_in_and_what_could_be_cut_is_refused() {
        let fd = memory();
        let refused = DmaBuf::new(fd.try_clone().expect("a descriptor"), vec![]).expect_err("could be cut");
        assert!(refused.to_string().contains("could be cut"), "{refused}");
        fcntl_add_seals(&fd, SealFlags::SHRINK).expect("a seal");
        std::fs::File::from(fd.try_clone().expect("a descriptor")).write_all_at(&[1, 2, 3, 4], 8).expect("room");
        let buffer = DmaBuf::new(fd, vec![]).expect("sealed");
        assert_eq!((buffer.len(), buffer.fence().map(|_| ())), (4096, None));
        let said = buffer.ask_fence().expect_err("it only stands in");
        assert_eq!(said.raw_os_error(), Some(rustix::io::Errno::NOTTY.raw_os_error()));
        let mut out = [0; 2];
        assert!(Memory::DmaBuf(Arc::new(buffer)).read(4, &mut out));
        assert_eq!(out, [0, 0x0403_0201]);
    }
}
