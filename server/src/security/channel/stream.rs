//! RFB in the records of an encrypted channel, as a stream of bytes.
//!
//! What is written is sealed at once and goes to the stream below as fast as that takes it; a flush seals what does not fill a
//! record. INVARIANT: at most [`BACKLOG`] sealed bytes and one record wait here, so that writing waits for the link and pacing
//! sees it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use farpane_channel::{Channel, ChannelError, Close, CloseReason, Ping, Record, Wire};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::{ByteStream, Meter, ReadStream, WriteStream};

/// Sealed bytes that may wait for the stream below.
const BACKLOG: usize = 64 * 1024;
/// Most bytes that are sealed by one write.
const PART: usize = 64 * 1024;
/// Bytes read from the stream below at once.
const READ: usize = 16 * 1024;

/// An open channel over another stream.
pub struct ChannelStream {
    below: Box<dyn ByteStream>,
    channel: Channel,
    /// Read below and not opened.
    inbox: BytesMut,
    /// Opened and not read.
    plain: BytesMut,
    /// Sealed and not written below.
    sealed: Wire,
    /// The peer has said that nothing more comes.
    ended: bool,
    /// We have.
    closed: bool,
}

fn broken(error: ChannelError) -> io::Error {
    match error {
        ChannelError::Truncated => {
            io::Error::new(io::ErrorKind::UnexpectedEof, "channel cut off: no close record came")
        }
        error => io::Error::new(io::ErrorKind::InvalidData, format!("peer misbehaved: channel: {error}")),
    }
}

/// What came out of the channel.
pub(super) enum Came {
    /// An authentication message.
    Auth(zeroize::Zeroizing<Vec<u8>>),
    /// The peer closed.
    Closed,
}

impl ChannelStream {
    /// A channel whose handshake is complete. `early`: bytes read below that belong to its records.
    pub(super) fn new(below: Box<dyn ByteStream>, channel: Channel, early: BytesMut) -> Self {
        Self {
            below,
            channel,
            inbox: early,
            plain: BytesMut::new(),
            sealed: Wire::default(),
            ended: false,
            closed: false,
        }
    }

    /// Sends an authentication message.
    pub(super) async fn send_auth(&mut self, message: &[u8]) -> io::Result<()> {
        self.channel.auth(message, &mut self.sealed).map_err(broken)?;
        std::future::poll_fn(|cx| self.drain(cx)).await?;
        std::future::poll_fn(|cx| Pin::new(&mut self.below).poll_flush(cx)).await
    }

    /// The next authentication message, or the peer's goodbye.
    pub(super) async fn receive_auth(&mut self) -> io::Result<Came> {
        std::future::poll_fn(|cx| self.poll_auth(cx)).await
    }

    fn poll_auth(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Came>> {
        loop {
            let opened = self.channel.open(&self.inbox, Instant::now()).map_err(broken)?;
            let used = opened.used;
            let came = match opened.record {
                Some(Record::Auth(message)) => Some(Came::Auth(zeroize::Zeroizing::new(message.to_vec()))),
                Some(Record::Close(_)) => Some(Came::Closed),
                Some(Record::Ping(ping)) if !ping.answer => {
                    self.inbox.advance(used);
                    self.pong(ping)?;
                    continue;
                }
                Some(Record::Ping(_) | Record::Rfb(_)) | None => None,
            };
            self.inbox.advance(used);
            if let Some(came) = came {
                return Poll::Ready(Ok(came));
            }
            if used == 0 && ready!(self.fill(cx))? == 0 {
                self.channel.end().map_err(broken)?;
                return Poll::Ready(Ok(Came::Closed));
            }
        }
    }

    fn pong(&mut self, ping: Ping) -> io::Result<()> {
        // a peer that asks and does not read gets no further answers
        if self.sealed.len() < BACKLOG && !self.closed {
            self.channel.ping(Ping { answer: true, ..ping }, &mut self.sealed).map_err(broken)?;
        }
        Ok(())
    }

    /// Reads below; how many bytes came.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.inbox.reserve(READ);
        let mut chunk = [0; READ];
        let mut buf = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.below).poll_read(cx, &mut buf))?;
        let came = buf.filled();
        self.inbox.extend_from_slice(came);
        Poll::Ready(Ok(came.len()))
    }

    /// Writes what is sealed until nothing is left.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sealed.is_empty() {
            let n = ready!(Pin::new(&mut self.below).poll_write(cx, self.sealed.pending()))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sealed.consume(n);
        }
        Poll::Ready(Ok(()))
    }

    /// Opens records until some bytes of RFB lie in `plain`, the peer has ended or more input is needed; whether it is.
    fn open(&mut self) -> io::Result<bool> {
        while self.plain.is_empty() && !self.ended {
            let opened = self.channel.open(&self.inbox, Instant::now()).map_err(broken)?;
            let used = opened.used;
            let mut ping = None;
            match opened.record {
                Some(Record::Rfb(bytes)) => self.plain.extend_from_slice(bytes),
                Some(Record::Close(_)) => self.ended = true,
                Some(Record::Ping(asked)) if !asked.answer => ping = Some(asked),
                // a message of a login that has ended is refused by the channel
                Some(Record::Ping(_) | Record::Auth(_)) | None => {}
            }
            self.inbox.advance(used);
            if let Some(ping) = ping {
                self.pong(ping)?;
            }
            if used == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl AsyncRead for ChannelStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.plain.has_remaining() {
                let take = this.plain.len().min(buf.remaining());
                buf.put_slice(this.plain.get(..take).unwrap_or_default());
                this.plain.advance(take);
                return Poll::Ready(Ok(()));
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            if this.open()? && ready!(this.fill(cx))? == 0 {
                this.ended = true;
                this.channel.end().map_err(broken)?;
            }
        }
    }
}

impl AsyncWrite for ChannelStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.as_mut().poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.sealed.len() >= BACKLOG {
            ready!(this.drain(cx))?;
        }
        let (now, mut left) = (Instant::now(), PART);
        for buf in bufs {
            let part = buf.get(..left.min(buf.len())).unwrap_or_default();
            this.channel.write(part, None, now, &mut this.sealed).map_err(broken)?;
            left = left.saturating_sub(part.len());
        }
        // what cannot leave now leaves with the next write or flush
        if let Poll::Ready(Err(error)) = this.drain(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(PART.saturating_sub(left)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.closed {
            this.channel.flush(&mut this.sealed).map_err(broken)?;
        }
        ready!(this.drain(cx))?;
        Pin::new(&mut this.below).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.closed {
            this.closed = true;
            // a channel that broke has nothing to say
            let _ = this.channel.close(Close::because(CloseReason::Done), &mut this.sealed);
        }
        ready!(this.drain(cx))?;
        Pin::new(&mut this.below).poll_shutdown(cx)
    }
}

impl ByteStream for ChannelStream {
    fn split(self: Box<Self>) -> (ReadStream, WriteStream) {
        let (read, write) = tokio::io::split(*self);
        (Box::new(read), Box::new(write))
    }

    fn meter(&self) -> Option<Meter> {
        self.below.meter()
    }
}
