//! Files of other processes mapped for reading, and memory that they map.
#![allow(unsafe_code)]

use std::os::fd::AsFd;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::frame::SharedMemory;

/// A file mapped for reading; the other side may write to it at any time.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: *mut std::ffi::c_void,
    len: usize,
}

// SAFETY: the mapping is only read, through raw pointers, and stays where it is until drop.
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing in it changes but the bytes themselves, which readers expect.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of a file that is at least as long.
    #[cfg(any(test, feature = "pipewire", feature = "wayland", feature = "x11"))]
    pub(crate) fn new(fd: impl AsFd, len: usize) -> std::io::Result<Self> {
        let size = rustix::fs::fstat(&fd)?.st_size;
        if len == 0 || u64::try_from(size).unwrap_or(0) < len as u64 {
            return Err(std::io::Error::other(format!(
                "the file has {size} bytes (expected at least {len}, and at least 1)"
            )));
        }
        Self::of_length(fd, len)
    }

    /// Maps the first `len` bytes of what is as long and never becomes shorter, though `fstat` does not say so: a dma-buf.
    pub(crate) fn of_length(fd: impl AsFd, len: usize) -> std::io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel picks, shared and read-only, touches no memory of ours; `len` is
        // within the file (checked above), so reads do not fault unless the file is cut later, which its owner does not do.
        let start = unsafe { mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, fd, 0) }?;
        Ok(Self { start, len })
    }

    /// Anonymous memory of `len` bytes that cannot be cut, mapped here, and its descriptor for the other side.
    #[cfg(any(test, feature = "wayland", feature = "x11"))]
    pub(crate) fn anonymous(len: usize) -> std::io::Result<(Self, std::os::fd::OwnedFd)> {
        use rustix::fs::{MemfdFlags, SealFlags};

        let fd = rustix::fs::memfd_create("farpane-shm", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&fd, len as u64)?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW)?;
        Ok((Self::new(&fd, len)?, fd))
    }
}

impl SharedMemory for Mapping {
    fn as_ptr(&self) -> *const u8 {
        self.start.cast()
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are those of the mapping made in `new`, unmapped once, here; frames that show it hold an `Arc` of
        // it, so nobody reads it any more.
        let unmapped = unsafe { munmap(self.start, self.len) };
        debug_assert!(unmapped.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Memory;
    use std::os::unix::fs::FileExt;
    use std::sync::Arc;

    #[test]
    fn what_the_other_side_writes_is_seen() {
        let (map, fd) = Mapping::anonymous(64).expect("anonymous memory");
        std::fs::File::from(fd).write_all_at(&[1, 2, 3, 4, 5, 6, 7, 8], 4).expect("room");
        let memory = Memory::Shared(Arc::new(map));
        let mut out = [0; 3];
        assert!(memory.read(0, &mut out));
        assert_eq!(out, [0, 0x0403_0201, 0x0807_0605]);
        assert!(!memory.read(56, &mut out), "past the end");
    }

    #[test]
    fn a_mapping_past_the_end_of_its_file_is_refused() {
        let (_, fd) = Mapping::anonymous(64).expect("anonymous memory");
        assert!(Mapping::new(&fd, 65).is_err());
        assert!(Mapping::new(&fd, 0).is_err());
    }
}
