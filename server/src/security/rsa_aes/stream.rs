//! A byte stream inside records.
//!
//! Written bytes are sealed at once and handed to the stream below as far as it takes them; what it does not take waits, at most
//! `WAITING` bytes and a record of it, for the next write or flush. Nothing is allocated once the buffers have grown.
//!
//! INVARIANT: after a refused record nothing is read any more, and an end inside a record is an error.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::Zeroizing;

use super::machine::Records;
use super::record::{BadRecord, HEAD, LONGEST, Opener, Sealer, TAG, WRITTEN, begin, record_len};
use crate::net::{ByteStream, Meter, ReadStream, WriteStream};

/// Sealed bytes that wait before no more are taken.
const WAITING: usize = 4 * (HEAD + WRITTEN + TAG);
/// What the buffer of received bytes begins with; it grows with what comes.
const RECEIVED: usize = 4096;

/// A stream whose bytes go through records in both directions.
pub struct RecordStream {
    below: Box<dyn ByteStream>,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl RecordStream {
    /// A stream inside the records that follow a handshake; `unread` came before anything that the stream below still gives.
    pub fn new(below: Box<dyn ByteStream>, unread: &[u8], records: Records) -> Self {
        let Records { sealer, opener, early } = records;
        let incoming = Incoming::new(opener, &early, unread);
        let outgoing = Outgoing { sealer, sealed: Vec::new(), sent: 0 };
        Self { below, incoming, outgoing }
    }
}

/// What was received: opened data that was not read yet, then bytes that were not opened yet.
struct Incoming {
    opener: Opener,
    wire: Zeroizing<Vec<u8>>,
    plain: Range<usize>,
    sealed: Range<usize>,
    broken: bool,
}

impl Incoming {
    fn new(opener: Opener, early: &[u8], unread: &[u8]) -> Self {
        let length = early.len().saturating_add(unread.len());
        let mut wire = Zeroizing::new(Vec::with_capacity(length.max(RECEIVED)));
        wire.extend_from_slice(early);
        wire.extend_from_slice(unread);
        wire.resize(length.max(RECEIVED), 0);
        Self { opener, wire, plain: 0..early.len(), sealed: early.len()..length, broken: false }
    }

    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        below: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while buf.remaining() > 0 {
            if !self.plain.is_empty() {
                let end = self.plain.end.min(self.plain.start.saturating_add(buf.remaining()));
                buf.put_slice(self.wire.get(self.plain.start..end).unwrap_or_default());
                self.plain.start = end;
                return Poll::Ready(Ok(()));
            }
            if self.broken {
                return Poll::Ready(Err(refused()));
            }
            if self.open_next()? {
                continue;
            }
            self.make_room();
            let mut room = ReadBuf::new(self.wire.get_mut(self.sealed.end..).unwrap_or_default());
            ready!(Pin::new(&mut *below).poll_read(cx, &mut room))?;
            match room.filled().len() {
                0 if self.sealed.is_empty() => return Poll::Ready(Ok(())),
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                n => self.sealed.end = self.sealed.end.saturating_add(n),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Opens the next record; whether it was whole.
    fn open_next(&mut self) -> io::Result<bool> {
        let sealed = self.wire.get_mut(self.sealed.clone()).unwrap_or_default();
        let Some(record) = record_len(sealed).and_then(|length| sealed.get_mut(..length)) else { return Ok(false) };
        let length = record.len();
        match self.opener.open(record) {
            Ok(data) => {
                let start = self.sealed.start.saturating_add(HEAD);
                self.plain = start..start.saturating_add(data.len());
                self.sealed.start = self.sealed.start.saturating_add(length);
                Ok(true)
            }
            Err(BadRecord) => {
                self.broken = true;
                Err(refused())
            }
        }
    }

    /// Makes room behind what was received. All opened data has been read.
    fn make_room(&mut self) {
        if self.sealed.is_empty() {
            self.sealed = 0..0;
        } else if self.sealed.end == self.wire.len() {
            self.wire.copy_within(self.sealed.clone(), 0);
            self.sealed = 0..self.sealed.len();
        }
        if self.sealed.end == self.wire.len() {
            // the record is longer than the buffer, and so much of it has come
            let length = self.wire.len().saturating_mul(2).min(LONGEST);
            let mut larger = Zeroizing::new(Vec::with_capacity(length));
            larger.extend_from_slice(&self.wire);
            larger.resize(length, 0);
            self.wire = larger;
        }
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, BadRecord)
}

/// What is sent: sealed bytes that the stream below has not taken.
struct Outgoing {
    sealer: Sealer,
    sealed: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    fn waiting(&self) -> usize {
        self.sealed.len().saturating_sub(self.sent)
    }

    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        below: &mut S,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        while self.waiting() >= WAITING {
            ready!(self.poll_send(below, cx))?;
        }
        self.sealed.drain(..self.sent);
        self.sent = 0;
        let mut taken = 0usize;
        let mut left = bufs.iter().map(|buf| &**buf).filter(|buf| !buf.is_empty());
        let mut part = left.next();
        while part.is_some() && self.sealed.len() < WAITING {
            let start = begin(&mut self.sealed);
            let mut room = WRITTEN;
            while let Some(bytes) = part.filter(|_| room > 0) {
                let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
                self.sealed.extend_from_slice(now);
                room = room.saturating_sub(now.len());
                taken = taken.saturating_add(now.len());
                part = if later.is_empty() { left.next() } else { Some(later) };
            }
            self.sealer.finish(&mut self.sealed, start).map_err(|_| io::Error::other("no more records"))?;
        }
        // what is not taken waits for the next write or flush
        if let Poll::Ready(Err(error)) = self.poll_drain(below, cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken))
    }

    /// Hands some of what waits to the stream below.
    fn poll_send<S: AsyncWrite + Unpin>(&mut self, below: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waiting = self.sealed.get(self.sent..).unwrap_or_default();
        match ready!(Pin::new(below).poll_write(cx, waiting))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            n => {
                self.sent = self.sent.saturating_add(n);
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Hands over all that waits.
    fn poll_drain<S: AsyncWrite + Unpin>(&mut self, below: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.waiting() > 0 {
            ready!(self.poll_send(below, cx))?;
        }
        self.sealed.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_flush<S: AsyncWrite + Unpin>(&mut self, below: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(below, cx))?;
        Pin::new(below).poll_flush(cx)
    }

    fn poll_shutdown<S: AsyncWrite + Unpin>(&mut self, below: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(below, cx))?;
        Pin::new(below).poll_shutdown(cx)
    }
}

/// The reading half of a [`RecordStream`].
struct RecordReader {
    below: ReadStream,
    incoming: Incoming,
}

/// The writing half of a [`RecordStream`].
struct RecordWriter {
    below: WriteStream,
    outgoing: Outgoing,
}

macro_rules! reads {
    ($($stream:ty),*) => {$(
        impl AsyncRead for $stream {
            fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                let this = &mut *self;
                this.incoming.poll_read(&mut this.below, cx, buf)
            }
        }
    )*};
}

macro_rules! writes {
    ($($stream:ty),*) => {$(
        impl AsyncWrite for $stream {
            fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                let this = &mut *self;
                this.outgoing.poll_write(&mut this.below, cx, &[IoSlice::new(buf)])
            }
            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let this = &mut *self;
                this.outgoing.poll_write(&mut this.below, cx, bufs)
            }
            fn is_write_vectored(&self) -> bool {
                true
            }
            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let this = &mut *self;
                this.outgoing.poll_flush(&mut this.below, cx)
            }
            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let this = &mut *self;
                this.outgoing.poll_shutdown(&mut this.below, cx)
            }
        }
    )*};
}

reads!(RecordStream, RecordReader);
writes!(RecordStream, RecordWriter);

impl ByteStream for RecordStream {
    fn split(self: Box<Self>) -> (ReadStream, WriteStream) {
        let Self { below, incoming, outgoing } = *self;
        let (read, write) = below.split();
        (Box::new(RecordReader { below: read, incoming }), Box::new(RecordWriter { below: write, outgoing }))
    }

    fn meter(&self) -> Option<Meter> {
        self.below.meter()
    }
}

#[cfg(test)]
mod tests;
