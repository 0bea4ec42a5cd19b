//! A text that a program of the desktop writes for us.

use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Instant;

use rustix::pipe::{PipeFlags, pipe_with};

use super::pipe::{STEP, WHOLE, unblocked};
use super::text::from_desktop;

/// Bytes read at once.
const PIECE: usize = 64 * 1024;
/// Pieces read before others have their turn.
const TURN: usize = 4;

/// How far it is.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// There is more to come.
    More,
    /// This is the text.
    Whole(String),
    /// It is larger than the cap.
    TooLarge,
    /// It will not come; why.
    Failed(&'static str),
}

/// The reading end of a pipe, and what came through it.
#[derive(Debug)]
pub struct Incoming {
    fd: OwnedFd,
    bytes: Vec<u8>,
    cap: usize,
    step: Instant,
    whole: Instant,
    latin1: bool,
    drained: bool,
}

impl Incoming {
    /// A pipe for a text of `cap` bytes at most; the second descriptor is the writer's. Text that is not UTF-8 is Latin-1 where its type
    /// says so.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn open(now: Instant, cap: usize, latin1: bool) -> rustix::io::Result<(Self, OwnedFd)> {
        let (fd, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok((Self::new(fd, now, cap, latin1), writer))
    }

    /// The same from a pipe or socket that somebody else has made; none for anything else, which could keep us waiting.
    pub fn from_fd(fd: OwnedFd, now: Instant, cap: usize, latin1: bool) -> Option<Self> {
        Some(Self::new(unblocked(fd)?, now, cap, latin1))
    }

    fn new(fd: OwnedFd, now: Instant, cap: usize, latin1: bool) -> Self {
        Self { fd, bytes: Vec::new(), cap, step: now + STEP, whole: now + WHOLE, latin1, drained: false }
    }

    /// When it is given up.
    pub fn deadline(&self) -> Instant {
        self.step.min(self.whole)
    }

    /// Reads what is there.
    pub fn go_on(&mut self, now: Instant) -> State {
        let mut piece = [0; PIECE];
        self.drained = false;
        for _ in 0..TURN {
            match rustix::io::read(&self.fd, &mut piece) {
                Ok(0) => return State::Whole(self.text()),
                Ok(n) => {
                    if self.bytes.len() + n > self.cap {
                        return State::TooLarge;
                    }
                    self.bytes.extend(piece.iter().take(n));
                    self.step = now + STEP;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.drained = true;
                    break;
                }
                Err(_) => return State::Failed("its pipe broke"),
            }
        }
        if self.deadline() <= now { State::Failed("its owner does not finish") } else { State::More }
    }

    /// Whether the last look read all that was there.
    pub fn is_drained(&self) -> bool {
        self.drained
    }

    fn text(&self) -> String {
        let latin1 = self.latin1 && std::str::from_utf8(&self.bytes).is_err();
        from_desktop(&self.bytes, latin1)
    }
}

impl AsFd for Incoming {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Incoming {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn read_all(bytes: &[u8], cap: usize, latin1: bool) -> State {
        let now = Instant::now();
        let (mut incoming, writer) = Incoming::open(now, cap, latin1).expect("a pipe");
        let mut rest = bytes;
        loop {
            let n = rustix::io::write(&writer, &rest[..rest.len().min(1000)]).expect("has room");
            rest = &rest[n..];
            if rest.is_empty() {
                break;
            }
            match incoming.go_on(now) {
                State::More => {}
                other => return other,
            }
        }
        drop(writer);
        loop {
            match incoming.go_on(now) {
                State::More => {}
                other => return other,
            }
        }
    }

    #[test]
    fn texts_up_to_the_cap_are_read_whole() {
        assert_eq!(read_all("ä\r\nb".as_bytes(), 5, false), State::Whole("ä\nb".into()));
        assert_eq!(read_all(&[0xe4], 5, true), State::Whole("ä".into()));
        assert_eq!(read_all("ä".as_bytes(), 5, true), State::Whole("ä".into()));
        let large = vec![b'x'; 300_000];
        assert_eq!(read_all(&large, 300_000, false), State::Whole("x".repeat(300_000)));
        assert_eq!(read_all(&large, 299_999, false), State::TooLarge);
    }

    #[test]
    fn silence_and_dripping_end_after_their_time() {
        let start = Instant::now();
        let (mut silent, _writer) = Incoming::open(start, 100, false).expect("a pipe");
        assert_eq!(silent.go_on(start + STEP / 2), State::More);
        assert!(matches!(silent.go_on(start + STEP), State::Failed(_)));

        let (mut dripping, writer) = Incoming::open(start, 100, false).expect("a pipe");
        let mut now = start;
        while now < start + WHOLE {
            rustix::io::write(&writer, b"x").expect("has room");
            assert_eq!(dripping.go_on(now), State::More, "{:?}", now - start);
            now += STEP - Duration::from_millis(1);
        }
        rustix::io::write(&writer, b"x").expect("has room");
        assert!(matches!(dripping.go_on(now), State::Failed(_)));
    }

    #[test]
    fn a_pipe_of_somebody_else_s_keeps_nobody_waiting() {
        let now = Instant::now();
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let mut incoming = Incoming::from_fd(reader, now, 100, false).expect("a pipe");
        assert_eq!(incoming.go_on(now), State::More);
        assert!(incoming.is_drained());
        rustix::io::write(&writer, b"x").expect("has room");
        drop(writer);
        assert_eq!(incoming.go_on(now), State::Whole("x".into()));
        let file = std::fs::File::open("/dev/zero").expect("is there");
        assert!(Incoming::from_fd(file.into(), now, 100, false).is_none());
    }
}
