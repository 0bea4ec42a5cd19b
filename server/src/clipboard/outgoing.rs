//! A text on its way to a program of the desktop.

use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::pipe::{STEP, WHOLE, unblocked};

/// Bytes written at once: what a pipe that is said to have room takes without waiting, even if its reader made it wait again.
///
/// SOURCE: pipe(7), PIPE_BUF.
const PIECE: usize = 4096;
/// Pieces written before others have their turn.
const TURN: usize = 64;

/// The writing end of a program's pipe, and what it still has to be given.
#[derive(Debug)]
pub struct Outgoing {
    fd: OwnedFd,
    text: Arc<str>,
    sent: usize,
    step: Instant,
    whole: Instant,
    full: bool,
}

impl Outgoing {
    /// Into a pipe or a socket; none for anything else, which could keep us waiting.
    pub fn new(fd: OwnedFd, text: &Arc<str>, now: Instant) -> Option<Self> {
        let fd = unblocked(fd)?;
        Some(Self { fd, text: Arc::clone(text), sent: 0, step: now + STEP, whole: now + WHOLE, full: false })
    }

    /// When it is given up.
    pub fn deadline(&self) -> Instant {
        self.step.min(self.whole)
    }

    /// Writes what fits. False when it is done or given up.
    pub fn go_on(&mut self, now: Instant) -> bool {
        self.full = false;
        for _ in 0..TURN {
            let rest = self.text.as_bytes().get(self.sent..).unwrap_or_default();
            if rest.is_empty() {
                return false;
            }
            if !self.has_room() {
                self.full = true;
                break;
            }
            match rustix::io::write(&self.fd, rest.get(..PIECE).unwrap_or(rest)) {
                Ok(n) => {
                    self.sent += n;
                    self.step = now + STEP;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.full = true;
                    break;
                }
                // nobody reads any more
                Err(_) => return false,
            }
        }
        self.deadline() > now
    }

    /// Whether the last look left no room.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Whether all of it was written.
    pub fn is_whole(&self) -> bool {
        self.sent == self.text.len()
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

impl AsRawFd for Outgoing {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
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
        assert!(out.is_whole());
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
        assert!(out.is_full());
        assert!(!out.go_on(start + STEP));
        assert!(!out.is_whole());
        drop(reader);
        assert!(!out.go_on(start));
    }

    #[test]
    fn what_is_no_pipe_is_not_written_to() {
        let file = std::fs::File::open("/dev/null").expect("is there");
        assert!(Outgoing::new(file.into(), &"x".into(), Instant::now()).is_none());
    }
}
