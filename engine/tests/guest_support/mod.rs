//! Buffers and fences as a GPU's driver hands them out, made without one; all of it needs the guest (`tests/guest/README.md`).
#![allow(unsafe_code)]
// each test program uses some of it
#![allow(dead_code)]

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::time::Duration;

use farpane_test_support::xvfb::skip;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, opcode};
use rustix::mm::{MapFlags, ProtFlags};

/// What the kernel's file system of dma-bufs is called by `fstatfs`.
pub const DMA_BUF_MAGIC: u64 = 0x444d_4142;
/// The guest is x86-64.
const PAGE: usize = 4096;

/// Whether this is the guest; where it is not, says so, which with FARPANE_REQUIRE_ALL=1 is a failure.
pub fn in_guest() -> bool {
    let inside = std::env::var("FARPANE_GUEST").is_ok_and(|v| v == "1");
    if !inside {
        skip("this runs in the guest alone: tests/run.py --group guest");
    }
    inside
}

// ---- requests to the kernel ----

/// An argument that the kernel may read and write; it answers with a number.
struct Request<'a, T> {
    opcode: Opcode,
    argument: &'a mut T,
}

// SAFETY: the pointer is that of a `T` that is borrowed alone for as long as the request, and the answer is taken as it is.
unsafe impl<T> Ioctl for Request<'_, T> {
    type Output = c_int;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.argument).cast()
    }

    unsafe fn output_from_ptr(answer: IoctlOutput, _: *mut c_void) -> rustix::io::Result<c_int> {
        Ok(answer)
    }
}

/// A structure of the kernel's, all of whose bit patterns are values, and the request that takes it.
///
/// # Safety
/// The request of this number reads and writes as many bytes as the structure has, and keeps no pointer to it.
unsafe trait Argument {
    const OPCODE: Opcode;
}

fn request<T: Argument>(fd: impl AsFd, argument: &mut T) -> io::Result<c_int> {
    let request = Request { opcode: T::OPCODE, argument };
    // SAFETY: the trait promises that the request wants this structure; a descriptor of another kind refuses it.
    Ok(unsafe { rustix::ioctl::ioctl(fd, request) }?)
}

fn owned(fd: c_int) -> OwnedFd {
    assert!(fd >= 0, "the kernel hands out descriptors, not {fd}");
    // SAFETY: the kernel has just made this descriptor for us, and nobody else has seen it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn open(path: &str) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap_or_else(|e| panic!("{path}: {e}"))
}

// ---- buffers ----

/// `struct udmabuf_create` of linux/udmabuf.h.
#[repr(C)]
struct UdmabufCreate {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

// SAFETY: UDMABUF_CREATE takes this structure.
unsafe impl Argument for UdmabufCreate {
    const OPCODE: Opcode = opcode::write::<Self>(b'u', 0x42);
}

/// `struct dma_heap_allocation_data` of linux/dma-heap.h.
#[repr(C)]
struct HeapAllocation {
    len: u64,
    fd: u32,
    fd_flags: u32,
    heap_flags: u64,
}

// SAFETY: DMA_HEAP_IOCTL_ALLOC takes this structure.
unsafe impl Argument for HeapAllocation {
    const OPCODE: Opcode = opcode::read_write::<Self>(b'H', 0);
}

/// Memory of whole pages that starts with these bytes and can never become shorter.
pub fn sealed_memfd(bytes: &[u8]) -> OwnedFd {
    let fd = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a memfd");
    rustix::fs::ftruncate(&fd, bytes.len().max(1).next_multiple_of(PAGE) as u64).expect("its length");
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK).expect("its seal");
    assert_eq!(rustix::io::pwrite(&fd, bytes, 0), Ok(bytes.len()));
    fd
}

/// A dma-buf of the same pages as a sealed memfd.
pub fn udmabuf_of(memfd: &OwnedFd) -> OwnedFd {
    use std::os::fd::AsRawFd;
    let size = rustix::fs::fstat(memfd).expect("its length").st_size as u64;
    let mut create = UdmabufCreate { memfd: memfd.as_raw_fd() as u32, flags: 1, offset: 0, size };
    owned(request(open("/dev/udmabuf"), &mut create).expect("a udmabuf"))
}

/// A dma-buf of whole pages that starts with these bytes.
pub fn udmabuf(bytes: &[u8]) -> OwnedFd {
    udmabuf_of(&sealed_memfd(bytes))
}

/// A dma-buf of zeros from the system's heap, of `len` bytes or some more: whole pages.
pub fn heap(len: usize) -> OwnedFd {
    let fd_flags = (OFlags::RDWR | OFlags::CLOEXEC).bits();
    let mut allocation = HeapAllocation { len: len as u64, fd: 0, fd_flags, heap_flags: 0 };
    request(open("/dev/dma_heap/system"), &mut allocation).expect("memory of the heap");
    owned(allocation.fd as c_int)
}

/// All bytes of a buffer, for reading and writing.
pub struct Mapped {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to no thread, and there are no references into it.
unsafe impl Send for Mapped {}

impl Mapped {
    pub fn new(fd: &OwnedFd) -> Self {
        let len = rustix::fs::seek(fd, rustix::fs::SeekFrom::End(0)).expect("its length") as usize;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, at a place of the kernel's choice.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, fd, 0) };
        Self { start: NonNull::new(start.expect("a mapping").cast()).expect("not at zero"), len }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn read(&self, offset: usize, out: &mut [u8]) {
        assert!(offset <= self.len && out.len() <= self.len - offset, "{offset} of {}", self.len);
        // SAFETY: `offset` lies within the mapping (just checked).
        let from = unsafe { self.start.as_ptr().add(offset) };
        // SAFETY: so do as many bytes from there on as `out` has, and `out` is ours alone.
        unsafe { from.copy_to_nonoverlapping(out.as_mut_ptr(), out.len()) };
    }

    pub fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset <= self.len && bytes.len() <= self.len - offset, "{offset} of {}", self.len);
        // SAFETY: `offset` lies within the mapping (just checked).
        let to = unsafe { self.start.as_ptr().add(offset) };
        // SAFETY: so do as many bytes from there on as there are; nobody has a reference into the mapping.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and nobody has a reference into it.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

// ---- fences ----

/// Whom a fence of a buffer keeps waiting, and what a processor's access is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read = 1,
    Write = 2,
    Both = 3,
}

/// `struct dma_buf_sync` of linux/dma-buf.h.
#[repr(C)]
struct Sync {
    flags: u64,
}

// SAFETY: DMA_BUF_IOCTL_SYNC takes this structure.
unsafe impl Argument for Sync {
    const OPCODE: Opcode = opcode::write::<Self>(b'b', 0);
}

/// `struct dma_buf_export_sync_file` of linux/dma-buf.h.
#[repr(C)]
struct Export {
    flags: u32,
    fd: i32,
}

// SAFETY: DMA_BUF_IOCTL_EXPORT_SYNC_FILE takes this structure.
unsafe impl Argument for Export {
    const OPCODE: Opcode = opcode::read_write::<Self>(b'b', 2);
}

/// `struct dma_buf_import_sync_file` of linux/dma-buf.h.
#[repr(C)]
struct Import {
    flags: u32,
    fd: i32,
}

// SAFETY: DMA_BUF_IOCTL_IMPORT_SYNC_FILE takes this structure.
unsafe impl Argument for Import {
    const OPCODE: Opcode = opcode::write::<Self>(b'b', 3);
}

/// `struct sw_sync_create_fence_data`; the kernel has no header of it.
#[repr(C)]
struct NewFence {
    value: u32,
    name: [u8; 32],
    fd: i32,
}

// SAFETY: SW_SYNC_IOC_CREATE_FENCE takes this structure.
unsafe impl Argument for NewFence {
    const OPCODE: Opcode = opcode::read_write::<Self>(b'W', 0);
}

/// The argument of SW_SYNC_IOC_INC: by how much.
#[repr(C)]
struct Advance(u32);

// SAFETY: SW_SYNC_IOC_INC takes 32 bits.
unsafe impl Argument for Advance {
    const OPCODE: Opcode = opcode::write::<Self>(b'W', 1);
}

/// Does something to a mapped buffer between the beginning and the end of an access.
pub fn accessed<T>(buffer: &OwnedFd, access: Access, work: impl FnOnce() -> T) -> T {
    request(buffer, &mut Sync { flags: access as u64 }).expect("the beginning of an access");
    let result = work();
    request(buffer, &mut Sync { flags: access as u64 | 4 }).expect("the end of an access");
    result
}

/// A sync_file of all that who wants this access has to wait for.
pub fn fence_of(buffer: &OwnedFd, access: Access) -> OwnedFd {
    let mut export = Export { flags: access as u32, fd: -1 };
    request(buffer, &mut export).expect("its fences");
    owned(export.fd)
}

/// Has a buffer wait for a fence: `Write` as if a GPU were drawing into it, `Read` as if one were reading it.
pub fn add_fence(buffer: &OwnedFd, fence: &OwnedFd, access: Access) {
    use std::os::fd::AsRawFd;
    request(buffer, &mut Import { flags: access as u32, fd: fence.as_raw_fd() }).expect("one fence more");
}

/// Whether a fence is signalled, or a dma-buf may be read, within a while.
pub fn ready(fd: &OwnedFd, within: Duration) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let within = Timespec::try_from(within).expect("a short while");
    rustix::event::poll(&mut fds, Some(&within)).expect("polling") == 1 && fds[0].revents().contains(PollFlags::IN)
}

/// Where fences come from whose time is ours to tell: it begins at 0, and when it is dropped all its fences fail.
pub struct Timeline(OwnedFd);

impl Timeline {
    pub fn new() -> Self {
        Self(open("/sys/kernel/debug/sync/sw_sync"))
    }

    /// A sync_file that is signalled when the timeline comes to this value.
    pub fn fence(&self, value: u32) -> OwnedFd {
        let mut name = [0; 32];
        name[..5].copy_from_slice(b"guest");
        let mut fence = NewFence { value, name, fd: -1 };
        request(&self.0, &mut fence).expect("a fence");
        owned(fence.fd)
    }

    pub fn advance(&self, by: u32) {
        request(&self.0, &mut Advance(by)).expect("a timeline that goes on");
    }
}
