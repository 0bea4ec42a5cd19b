//! A text on its way to a program of the desktop.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};

use super::{STEP, WHOLE};

/// Bytes written at once: what a pipe that is said to have room takes without waiting, even if its reader made it wait again.
///
/// SOURCE: pipe(7), PIPE_BUF.
const PIECE: usize = 4096;
/// Pieces written before others have their turn.
const TURN: usize = 64;

/// The writing end of a program's pipe, and what it still has to be given.
#[derive(Debug)]
pub(super) struct Outgoing {
    fd: OwnedFd,
    text: Arc<str>,
    sent: usize,
    step: Instant,
    whole: Instant,
}

impl Outgoing {
    /// Into a pipe or a socket; none for anything else, which could keep us waiting.
    pub(super) fn new(fd: OwnedFd, text: &Arc<str>, now: Instant) -> Option<Self> {
        let kind = FileType::from_raw_mode(fstat(&fd).ok()?.st_mode);
        if !matches!(kind, FileType::Fifo | FileType::Socket) {
            tracing::debug!(?kind, "a program wants the clipboard written to what is no pipe");
            return None;
        }
        fcntl_setfl(&fd, fcntl_getfl(&fd).ok()? | OFlags::NONBLOCK).ok()?;
        Some(Self { fd, text: Arc::clone(text), sent: 0, step: now + STEP, whole: now + WHOLE })
    }

    /// When it is given up.
    pub(super) fn deadline(&self) -> Instant {
        self.step.min(self.whole)
    }

    /// Writes what fits. False when it is done or given up.
    pub(super) fn go_on(&mut self, now: Instant) -> bool {
        for _ in 0..TURN {
            let rest = self.text.as_bytes().get(self.sent..).unwrap_or_default();
            if rest.is_empty() {
                return false;
            }
            if !self.has_room() {
                break;
            }
            match rustix::io::write(&self.fd, rest.get(..PIECE).unwrap_or(rest)) {
                Ok(n) => {
                    self.sent += n;
                    self.step = now + STEP;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                // nobody reads any more
                Err(_) => return false,
            }
        }
        self.deadline() > now
    }

    fn has_room(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::new(&self.fd, PollFlags::OUT)];
        poll(&mut fds, Some(&now)).is_ok_and(|n| n > 0)
    }
}

impl AsFd for Outgoing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    #[test]
    fn a_text_larger_than_a_pipe_arrives_whole() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let text: Arc<str> = "0123456789abcdeé".repeat(60_000).into();
        let now = Instant::now();
        let mut out = Outgoing::new(writer, &text, now).expect("a pipe");
        let mut got = Vec::new();
        let mut piece = [0; 8192];
        while out.go_on(now) {
            let n = rustix::io::read(&reader, &mut piece).expect("something is there");
            got.extend_from_slice(&piece[..n]);
        }
        drop(out);
        while let Ok(n @ 1..) = rustix::io::read(&reader, &mut piece) {
            got.extend_from_slice(&piece[..n]);
        }
        assert_eq!(got.len(), text.len());
        assert!(got == text.as_bytes());
    }

    #[test]
    fn a_reader_that_never_reads_is_given_up_and_one_that_went_at_once() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let text: Arc<str> = "x".repeat(1 << 20).into();
        let start = Instant::now();
        let mut out = Outgoing::new(writer, &text, start).expect("a pipe");
        assert!(out.go_on(start));
        assert!(out.go_on(start + STEP / 2));
        assert!(!out.go_on(start + STEP));
        drop(reader);
        assert!(!out.go_on(start));
    }

    #[test]
    fn what_is_no_pipe_is_not_written_to() {
        let file = std::fs::File::open("/dev/null").expect("is there");
        assert!(Outgoing::new(file.into(), &"x".into(), Instant::now()).is_none());
    }
}
