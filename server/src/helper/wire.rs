//! Typed messages between the server and its helpers: JSON of at most 16 KiB behind its length, descriptors beside it.
//!
//! Both ends have a [`Sender`] and a [`Receiver`] over one Unix stream socket, for threads that may block, or an
//! [`AsyncSender`] and an [`AsyncReceiver`] in a runtime. A message is a length (`u32`, big endian), then so many bytes of JSON;
//! descriptors travel with its first byte and keep their order. A receiver reads never further than one message, so
//! descriptors belong to the message that they came with.
//!
//! The other end may be taken over: lengths are checked before anything is allocated, a message that has begun must be whole
//! within [`MESSAGE_LIMIT`], and nothing of what it holds is ever put in an error. Buffers are wiped: messages carry passwords.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use zeroize::Zeroizing;

/// Bytes of JSON in a message at most.
pub const MAX_MESSAGE: usize = 16 * 1024;
/// Descriptors with a message at most.
pub const MAX_DESCRIPTORS: usize = 4;
/// A message that has begun must have been sent, or have come, after this long.
pub const MESSAGE_LIMIT: Duration = Duration::from_secs(2);

const HEAD: usize = 4;

/// Why a message could not be sent or received. No part of a message is in it.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The other end is gone.
    #[error("the other process has closed its end")]
    Closed,
    /// The other end hangs.
    #[error("the other process did not finish a message within {} ms", .0.as_millis())]
    TooSlow(Duration),
    /// Too much, or nothing.
    #[error("message of {0} bytes (expected 1..={MAX_MESSAGE})")]
    Size(usize),
    /// Not a message of the kind that is expected.
    #[error("message of an unknown kind: {0:?} error at byte {1}")]
    Content(serde_json::error::Category, usize),
    /// More descriptors than may come, or fewer.
    #[error("message with {0} descriptors (expected {1})")]
    Descriptors(usize, usize),
    /// The system refused.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => WireError::Closed,
            _ => WireError::Io(error),
        }
    }
}

impl From<serde_json::Error> for WireError {
    fn from(error: serde_json::Error) -> Self {
        WireError::Content(error.classify(), error.column())
    }
}

/// A buffer that never grows, so that no copy is left behind.
struct Capped(Zeroizing<Vec<u8>>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.capacity() - self.0.len() < bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A message whole, with its length, to be sent as it is.
pub struct Packed(Zeroizing<Vec<u8>>);

/// Packs a message, to be sent later or several times.
///
/// # Errors
/// When it is too large.
pub fn pack(message: &impl Serialize) -> Result<Packed, WireError> {
    let mut packed = Capped(Zeroizing::new(Vec::with_capacity(HEAD + MAX_MESSAGE)));
    packed.0.extend_from_slice(&[0; HEAD]);
    serde_json::to_writer(&mut packed, message).map_err(|error| match error.classify() {
        serde_json::error::Category::Io => WireError::Size(MAX_MESSAGE + 1),
        _ => error.into(),
    })?;
    headed(packed.0)
}

/// Writes the length into the room that was left for it.
fn headed(mut packed: Zeroizing<Vec<u8>>) -> Result<Packed, WireError> {
    let length = u32::try_from(packed.len() - HEAD).map_err(|_| WireError::Size(packed.len()))?;
    if let Some(head) = packed.first_chunk_mut::<HEAD>() {
        *head = length.to_be_bytes();
    }
    Ok(Packed(packed))
}

/// Sends some of `bytes`, and the descriptors with the first of them. Returns how many.
fn send_some(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    loop {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Err(Errno::INTR) => {}
            result => return result.map_err(io::Error::from),
        }
    }
}

/// One message on its way in.
#[derive(Default)]
struct Incoming {
    head: [u8; HEAD],
    body: Zeroizing<Vec<u8>>,
    filled: usize,
    fds: Vec<OwnedFd>,
    since: Option<Instant>,
}

impl Incoming {
    /// Where the next bytes go: never more than the message still has.
    fn room(&mut self) -> &mut [u8] {
        match self.filled.checked_sub(HEAD) {
            None => self.head.get_mut(self.filled..),
            Some(at) => self.body.get_mut(at..),
        }
        .unwrap_or_default()
    }

    /// Takes note of what came; true when the message is whole.
    fn took(&mut self, bytes: usize, now: Instant) -> Result<bool, WireError> {
        self.since.get_or_insert(now);
        if self.fds.len() > MAX_DESCRIPTORS {
            return Err(WireError::Descriptors(self.fds.len(), MAX_DESCRIPTORS));
        }
        self.filled += bytes;
        if self.filled == HEAD {
            let length = u32::from_be_bytes(self.head) as usize;
            if length == 0 || length > MAX_MESSAGE {
                return Err(WireError::Size(length));
            }
            self.body = Zeroizing::new(vec![0; length]);
        }
        Ok(self.filled >= HEAD && self.filled == HEAD + self.body.len())
    }

    /// Receives what is there: none means that nothing is, true that the message is whole.
    fn receive_some(&mut self, socket: BorrowedFd<'_>) -> Result<Option<bool>, WireError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = match recvmsg(socket, &mut [IoSliceMut::new(self.room())], &mut control, flags) {
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            result => result.map_err(io::Error::from)?,
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(WireError::Descriptors(MAX_DESCRIPTORS + 1, MAX_DESCRIPTORS));
        }
        if received.bytes == 0 {
            return Err(WireError::Closed);
        }
        self.took(received.bytes, Instant::now()).map(Some)
    }

    /// The whole message.
    fn unpack<T: DeserializeOwned>(&mut self) -> Result<(T, Vec<OwnedFd>), WireError> {
        let whole = std::mem::take(self);
        Ok((serde_json::from_slice(&whole.body)?, whole.fds))
    }

    /// The whole message as it came, whatever it says.
    fn repack(&mut self) -> Result<Packed, WireError> {
        let whole = std::mem::take(self);
        let mut packed = Zeroizing::new(Vec::with_capacity(HEAD + whole.body.len()));
        packed.extend_from_slice(&[0; HEAD]);
        packed.extend_from_slice(&whole.body);
        headed(packed)
    }

    /// What is left of the time that a message may take; none before its first byte.
    fn left(&self) -> Option<Duration> {
        self.since.map(|since| MESSAGE_LIMIT.saturating_sub(since.elapsed()))
    }
}

/// Waits until the socket is ready, or as long as it may take.
fn wait(socket: BorrowedFd<'_>, what: PollFlags, left: Option<Duration>) -> io::Result<bool> {
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut [PollFd::from_borrowed_fd(socket, what)], left.as_ref()) {
        Ok(0) => Ok(false),
        Ok(_) | Err(Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// The end of a socket that messages go out of.
pub struct Sender(Arc<UnixStream>);

/// The end of a socket that messages come in from.
pub struct Receiver {
    socket: Arc<UnixStream>,
    incoming: Incoming,
}

/// Both ends of a socket, for threads that may block.
pub fn ends(socket: UnixStream) -> (Sender, Receiver) {
    let socket = Arc::new(socket);
    (Sender(Arc::clone(&socket)), Receiver { socket, incoming: Incoming::default() })
}

impl Sender {
    /// Sends a message and descriptors with it. After an error the socket is closed for both ends.
    ///
    /// # Errors
    /// When the other end is gone or does not take it within [`MESSAGE_LIMIT`], or the message is too large.
    pub fn send(&mut self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> Result<(), WireError> {
        let Packed(packed) = pack(message)?;
        self.whole(&packed, fds)
    }

    /// Sends a message that was packed before.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub fn send_packed(&mut self, message: &Packed) -> Result<(), WireError> {
        self.whole(&message.0, &[])
    }

    fn whole(&self, packed: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), WireError> {
        let sent = self.all(packed, fds);
        if sent.is_err() {
            self.close();
        }
        sent
    }

    /// Closes the socket for both ends.
    pub fn close(&self) {
        // an error says that it is closed
        let _ = self.0.shutdown(Shutdown::Both);
    }

    fn all(&self, mut bytes: &[u8], mut fds: &[BorrowedFd<'_>]) -> Result<(), WireError> {
        let until = Instant::now() + MESSAGE_LIMIT;
        while !bytes.is_empty() {
            match send_some(self.0.as_fd(), bytes, fds) {
                Ok(sent) => (bytes, fds) = (bytes.get(sent..).unwrap_or_default(), &[]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() || !wait(self.0.as_fd(), PollFlags::OUT, Some(left))? {
                        return Err(WireError::TooSlow(MESSAGE_LIMIT));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Receiver {
    /// Closes the socket for both ends.
    pub fn close(&self) {
        // an error says that it is closed
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// The next message and the descriptors that came with it. `idle` is how long the first byte may take; none for ever.
    ///
    /// # Errors
    /// When the other end is gone, hangs, or sends what is no such message; the receiver is of no use then.
    pub fn receive<T: DeserializeOwned>(&mut self, idle: Option<Duration>) -> Result<(T, Vec<OwnedFd>), WireError> {
        self.fill(idle)?;
        self.incoming.unpack()
    }

    /// The next message as it comes, to be handed on; descriptors with it are closed.
    ///
    /// # Errors
    /// As [`Receiver::receive`], whatever the message says.
    pub fn receive_packed(&mut self, idle: Option<Duration>) -> Result<Packed, WireError> {
        self.fill(idle)?;
        self.incoming.repack()
    }

    /// Waits until a message is whole.
    fn fill(&mut self, idle: Option<Duration>) -> Result<(), WireError> {
        let until = idle.map(|idle| (idle, Instant::now() + idle));
        loop {
            match self.incoming.receive_some(self.socket.as_fd())? {
                Some(true) => return Ok(()),
                Some(false) => {}
                None => {
                    let begun = self.incoming.left();
                    let idle = until.map(|(_, until)| until.saturating_duration_since(Instant::now()));
                    let left = begun.or(idle);
                    if left.is_some_and(|left| left.is_zero()) || !wait(self.socket.as_fd(), PollFlags::IN, left)? {
                        let limit = until.map_or(MESSAGE_LIMIT, |(idle, _)| idle);
                        return Err(WireError::TooSlow(if begun.is_some() { MESSAGE_LIMIT } else { limit }));
                    }
                }
            }
        }
    }
}

/// The end of a socket that messages go out of, in a runtime.
pub struct AsyncSender(Arc<tokio::net::UnixStream>);

/// The end of a socket that messages come in from, in a runtime.
pub struct AsyncReceiver {
    socket: Arc<tokio::net::UnixStream>,
    incoming: Incoming,
}

/// Both ends of a socket. Must be called within a tokio runtime.
///
/// # Errors
/// When the system has no resources left.
pub fn async_ends(socket: UnixStream) -> io::Result<(AsyncSender, AsyncReceiver)> {
    socket.set_nonblocking(true)?;
    let socket = Arc::new(tokio::net::UnixStream::from_std(socket)?);
    Ok((AsyncSender(Arc::clone(&socket)), AsyncReceiver { socket, incoming: Incoming::default() }))
}

impl AsyncSender {
    /// Sends a message and descriptors with it. When it fails, or is given up on the way, the socket is of no use.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub async fn send(&mut self, message: &(impl Serialize + Sync), fds: &[BorrowedFd<'_>]) -> Result<(), WireError> {
        let Packed(packed) = pack(message)?;
        let all = async {
            let (mut bytes, mut fds) = (packed.as_slice(), fds);
            while !bytes.is_empty() {
                let some = || send_some(self.0.as_fd(), bytes, fds);
                let sent = self.0.async_io(Interest::WRITABLE, some).await?;
                (bytes, fds) = (bytes.get(sent..).unwrap_or_default(), &[]);
            }
            Ok(())
        };
        let sent = tokio::time::timeout(MESSAGE_LIMIT, all).await;
        sent.unwrap_or(Err(WireError::TooSlow(MESSAGE_LIMIT)))
    }
}

impl AsyncReceiver {
    /// The next message and the descriptors that came with it. Losing the future loses nothing.
    ///
    /// # Errors
    /// As [`Receiver::receive`].
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<(T, Vec<OwnedFd>), WireError> {
        loop {
            let (socket, left) = (&*self.socket, self.incoming.left());
            let incoming = &mut self.incoming;
            // what is wrong with a message is no matter of the socket's: only "nothing there" goes through it
            let some = || match incoming.receive_some(socket.as_fd()) {
                Ok(None) => Err(io::Error::from(io::ErrorKind::WouldBlock)),
                other => Ok(other),
            };
            let read = socket.async_io(Interest::READABLE, some);
            let read = match left {
                None => read.await,
                Some(left) => match tokio::time::timeout(left, read).await {
                    Ok(read) => read,
                    Err(_) => return Err(WireError::TooSlow(MESSAGE_LIMIT)),
                },
            };
            if read?? == Some(true) {
                return self.incoming.unpack();
            }
        }
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
