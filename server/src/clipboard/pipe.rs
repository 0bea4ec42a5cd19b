//! Pipes to and from programs that may be slow, endless or hostile: the limits that all of them have.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};

/// How long the other side of a pipe may be silent.
pub const STEP: Duration = Duration::from_secs(3);
/// How long a whole transfer may take.
pub const WHOLE: Duration = Duration::from_secs(30);
/// Programs that read a text at a time; more are given nothing.
pub const MAX_OUTGOING: usize = 16;

/// A pipe or socket that somebody else has made, as one that never makes us wait; none for anything else, which could.
pub(super) fn unblocked(fd: OwnedFd) -> Option<OwnedFd> {
    let kind = FileType::from_raw_mode(fstat(&fd).ok()?.st_mode);
    if !matches!(kind, FileType::Fifo | FileType::Socket) {
        tracing::debug!(?kind, "the clipboard is to go through what is no pipe");
        return None;
    }
    fcntl_setfl(&fd, fcntl_getfl(&fd).ok()? | OFlags::NONBLOCK).ok()?;
    Some(fd)
}
