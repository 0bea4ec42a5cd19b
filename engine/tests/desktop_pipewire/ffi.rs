//! What a source writes into its buffers: only tests have one.
#![allow(unsafe_code)]

use pipewire::spa::sys as spa;
use pipewire::stream::Stream;
use pipewire::sys as pw;

/// A buffer of the stream of which this is called back with, or that was taken out of its queue.
#[derive(Clone, Copy)]
pub struct Buffer(*mut pw::pw_buffer);

impl Buffer {
    pub fn new(raw: *mut pw::pw_buffer) -> Self {
        Self(raw)
    }

    /// A buffer to be filled; none while all are with the other side.
    pub fn take(stream: &Stream) -> Option<Self> {
        // SAFETY: on the loop's thread, for a stream that lives.
        let raw = unsafe { stream.dequeue_raw_buffer() };
        (!raw.is_null()).then_some(Self(raw))
    }

    /// Hands the buffer over.
    pub fn send(self, stream: &Stream) {
        // SAFETY: it was taken out of this stream's queue.
        unsafe { stream.queue_raw_buffer(self.0) };
    }

    fn data(self) -> *mut spa::spa_data {
        // SAFETY: libpipewire handed the buffer to a callback and has not taken it back.
        let buffer = unsafe { (*self.0).buffer };
        // SAFETY: as above; a buffer of video has one memory area.
        unsafe { (*buffer).datas }
    }

    /// Says where the buffer's bytes are.
    pub fn describe(self, kind: u32, fd: i64, map_offset: u32, max_size: u32) {
        let data = self.data();
        // SAFETY: while the buffer is being added its description is ours to write.
        let data = unsafe { &mut *data };
        data.type_ = kind;
        data.flags = 3;
        data.fd = fd;
        data.mapoffset = map_offset;
        data.maxsize = max_size;
        data.data = std::ptr::null_mut();
    }

    /// Its descriptor.
    pub fn fd(self) -> i64 {
        // SAFETY: the description is there as long as the buffer.
        unsafe { (*self.data()).fd }
    }

    /// Says what picture lies in it.
    pub fn chunk(self, offset: u32, size: u32, stride: i32, flags: i32) {
        // SAFETY: the description is there as long as the buffer.
        let chunk = unsafe { (*self.data()).chunk };
        // SAFETY: the chunk is mapped as long as the buffer is there.
        unsafe { chunk.write_volatile(spa::spa_chunk { offset, size, stride, flags }) };
    }

    /// Writes metadata of a kind; as much of it as there is room for.
    pub fn meta(self, kind: u32, bytes: &[u8]) {
        // SAFETY: the buffer is there.
        let buffer = unsafe { (*self.0).buffer };
        // SAFETY: as above.
        let found = unsafe { spa::spa_buffer_find_meta(buffer, kind) };
        if found.is_null() {
            return;
        }
        // SAFETY: libpipewire found it in this buffer.
        let meta = unsafe { *found };
        let room = (meta.size as usize).min(bytes.len());
        // SAFETY: the metadata has `size` bytes, and `room` is no more.
        unsafe { meta.data.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), room) };
        // SAFETY: what is left of it.
        let rest = unsafe { meta.data.cast::<u8>().add(room) };
        // SAFETY: as above: `size - room` bytes from there on.
        unsafe { rest.write_bytes(0, meta.size as usize - room) };
    }
}
