//! The buffers that a screen has shown, each known by its memory: numbers of framebuffers come again.

use std::io;
use std::os::fd::OwnedFd;

use super::card::{Card, Framebuffer};
use super::picture::{Buffer, BufferId};

/// Buffers of a screen that are kept: more than desktops take turns with.
const MOST: usize = 12;

struct Known {
    id: BufferId,
    inode: u64,
    framebuffer: Framebuffer,
    /// Keeps the memory, so that no other one gets its inode.
    _fd: OwnedFd,
    used: u64,
}

/// What became of a framebuffer's number.
pub(super) struct Found {
    pub(super) id: BufferId,
    /// Handed out the first time.
    pub(super) fresh: Option<Buffer>,
    /// Left out to make room.
    pub(super) forgotten: Option<BufferId>,
}

/// The buffers of one screen.
#[derive(Default)]
pub(super) struct Buffers {
    known: Vec<Known>,
    next: BufferId,
    clock: u64,
}

impl Buffers {
    /// Looks which memory is behind a framebuffer's number.
    ///
    /// # Errors
    /// When it is gone, or its memory cannot be had.
    pub(super) fn find(&mut self, card: &dyn Card, number: u32) -> io::Result<Found> {
        let framebuffer = card.framebuffer(number)?;
        let memory = export(card, &framebuffer);
        close(card, &framebuffer);
        let fd = memory?;
        let framebuffer = Framebuffer { handles: [0; 4], ..framebuffer };
        let inode = rustix::fs::fstat(&fd)?.st_ino;
        self.clock += 1;
        let clock = self.clock;
        if let Some(known) = self.known.iter_mut().find(|k| (k.inode, &k.framebuffer) == (inode, &framebuffer)) {
            known.used = clock;
            return Ok(Found { id: known.id, fresh: None, forgotten: None });
        }
        let forgotten = (self.known.len() == MOST).then(|| {
            let oldest = (0..MOST).min_by_key(|&i| self.known[i].used).unwrap_or_default();
            self.known.swap_remove(oldest).id
        });
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let used = (0..4).take_while(|&i| framebuffer.pitches[i] != 0);
        let fresh = Buffer {
            fd: fd.try_clone()?,
            size: framebuffer.size,
            fourcc: framebuffer.fourcc,
            modifier: framebuffer.modifier,
            planes: used.map(|i| [framebuffer.offsets[i], framebuffer.pitches[i]]).collect(),
        };
        self.known.push(Known { id, inode, framebuffer, _fd: fd, used: clock });
        Ok(Found { id, fresh: Some(fresh), forgotten })
    }
}

/// The one memory that all planes of pixels lie in.
fn export(card: &dyn Card, framebuffer: &Framebuffer) -> io::Result<OwnedFd> {
    let first = framebuffer.handles[0];
    if first == 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the kernel hands its memory to nobody without CAP_SYS_ADMIN",
        ));
    }
    if framebuffer.handles.iter().any(|&handle| handle != 0 && handle != first) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "its planes lie in memory apart"));
    }
    card.export(first)
}

/// Closes each handle once.
fn close(card: &dyn Card, framebuffer: &Framebuffer) {
    for (i, &handle) in framebuffer.handles.iter().enumerate() {
        if handle != 0
            && !framebuffer.handles[..i].contains(&handle)
            && let Err(error) = card.close(handle)
        {
            tracing::debug!(%error, handle, "a handle that does not close");
        }
    }
}
