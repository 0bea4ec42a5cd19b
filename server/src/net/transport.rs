//! One connection as a stream of bytes, whatever carries it.
//!
//! A [`Transport`] is made by a listener, goes through the security handshake and ends in a session. Between two bytes of
//! one connection it can be taken apart and wrapped in another layer (TLS, an encrypted channel): [`Transport::into_parts`]
//! hands out the stream below together with the bytes that were read too early, [`Transport::from_parts`] puts it
//! together again.
//!
//! INVARIANT: bytes given back with [`Transport::unread`] come out of the next reads before anything else, in order.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::meter::Meter;
use super::slots::{Progress, Slot};
use crate::auth::Source;

/// The reading half of a connection.
pub type ReadStream = Box<dyn AsyncRead + Send + Unpin>;
/// The writing half of a connection.
pub type WriteStream = Box<dyn AsyncWrite + Send + Unpin>;

/// What a [`Transport`] can be built on: a byte stream in both directions that can be split in two.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Splits into halves that can be used at the same time.
    fn split(self: Box<Self>) -> (ReadStream, WriteStream);
    /// What counts the bytes that were written and that the peer has not acknowledged, where that can be known.
    fn meter(&self) -> Option<Meter> {
        None
    }
}

impl ByteStream for TcpStream {
    fn split(self: Box<Self>) -> (ReadStream, WriteStream) {
        let (read, write) = (*self).into_split();
        (Box::new(read), Box::new(write))
    }

    fn meter(&self) -> Option<Meter> {
        Meter::new(self.local_addr().ok()?, self.peer_addr().ok()?)
    }
}

impl ByteStream for UnixStream {
    fn split(self: Box<Self>) -> (ReadStream, WriteStream) {
        let (read, write) = (*self).into_split();
        (Box::new(read), Box::new(write))
    }
}

impl ByteStream for tokio::io::DuplexStream {
    fn split(self: Box<Self>) -> (ReadStream, WriteStream) {
        let (read, write) = tokio::io::split(*self);
        (Box::new(read), Box::new(write))
    }
}

/// Names a listener of this process: its place in the effective configuration, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub usize);

/// Who the peer proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name that was proved: a user, a certificate's subject, a device key's fingerprint.
    pub name: String,
    /// How: `unix`, `x509`, `channel`.
    pub method: &'static str,
}

/// What is known about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnInfo {
    /// Its number in this run; 0 for one that no listener took.
    pub number: u64,
    /// The peer as people write it: `192.0.2.7:50312`, `[2001:db8::1]:50312` or `unix uid 1000`.
    pub peer: String,
    /// The peer's address; none over a Unix socket.
    pub peer_ip: Option<IpAddr>,
    /// The listed proxy that the connection came through. The peer is whoever the proxy says it is, or the proxy itself when it does
    /// not tell.
    pub via: Option<IpAddr>,
    /// The peer's user, over a Unix socket.
    pub peer_uid: Option<u32>,
    /// The listener that took the connection.
    pub listener: ListenerId,
    /// That listener as it was written, with its real port.
    pub listener_name: Arc<str>,
    /// Nobody on the network can read or change the bytes.
    pub encrypted: bool,
    /// The peer is on this machine: loopback or a Unix socket.
    pub local: bool,
    /// Who the peer proved to be below RFB.
    pub identity: Option<Identity>,
    /// A value that binds a login to the encrypted layer below it.
    pub channel_binding: Option<Arc<[u8]>>,
    /// The DER of the certificate whose key the peer proved to hold, its chain already checked.
    pub certificate: Option<Arc<[u8]>>,
    /// The security type that the peer chose, by its name in the configuration.
    pub security: Option<&'static str>,
    /// What encrypts, for the log: cipher and key exchange.
    pub cipher: Option<Arc<str>>,
}

impl ConnInfo {
    /// Where the peer's failures are counted.
    pub fn source(&self) -> Source {
        // the proxy's own address is nobody's in particular
        let ip = if self.via.is_some() && self.via == self.peer_ip { None } else { self.peer_ip };
        Source::of(ip, self.via.is_some())
    }

    /// The connection of a test or of two halves of one process: local, on listener 0.
    pub fn in_process(peer: &str) -> Self {
        ConnInfo {
            number: 0,
            peer: peer.to_owned(),
            peer_ip: None,
            via: None,
            peer_uid: None,
            listener: ListenerId(0),
            listener_name: Arc::from("in process"),
            encrypted: false,
            local: true,
            identity: None,
            channel_binding: None,
            certificate: None,
            security: None,
            cipher: None,
        }
    }
}

/// The pieces of a [`Transport`], for a layer that goes in between.
pub struct TransportParts {
    /// The stream below.
    pub stream: Box<dyn ByteStream>,
    /// Bytes already taken from that stream and not yet consumed.
    pub unread: BytesMut,
    /// What is known about the connection; a layer that encrypts says so here.
    pub info: ConnInfo,
    /// The place among the unauthenticated connections, until the peer has proved itself.
    pub slot: Option<Slot>,
}

/// One connection: bytes in both directions, and what is known about the peer.
///
/// Writes are vectored where the stream below can (TCP and Unix sockets; WebSocket gathers them into one message). A flush
/// matters over WebSocket: flush once an update is written whole.
///
/// # Example
/// ```
/// use farpane_server::net::{ConnInfo, Transport};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (ours, mut theirs) = tokio::io::duplex(64);
/// let mut transport = Transport::new(ours, ConnInfo::in_process("test"));
/// theirs.write_all(b"cd").await.unwrap();
/// transport.unread(b"ab");
/// let mut four = [0; 4];
/// transport.read_exact(&mut four).await.unwrap();
/// assert_eq!(&four, b"abcd");
/// # });
/// ```
pub struct Transport {
    parts: TransportParts,
}

impl Transport {
    /// A transport over `stream` that has read nothing yet.
    pub fn new(stream: impl ByteStream + 'static, info: ConnInfo) -> Self {
        Transport::from_parts(TransportParts { stream: Box::new(stream), unread: BytesMut::new(), info, slot: None })
    }

    /// Puts a transport together from its pieces.
    pub fn from_parts(parts: TransportParts) -> Self {
        Transport { parts }
    }

    /// Takes the transport apart, so that another layer can go between it and the stream below.
    pub fn into_parts(self) -> TransportParts {
        self.parts
    }

    /// What is known about the connection.
    pub fn info(&self) -> &ConnInfo {
        &self.parts.info
    }

    /// Gives bytes back: the next reads return them first.
    pub fn unread(&mut self, bytes: &[u8]) {
        if self.parts.unread.is_empty() {
            self.parts.unread.extend_from_slice(bytes);
        } else {
            let mut all = BytesMut::with_capacity(bytes.len().saturating_add(self.parts.unread.len()));
            all.extend_from_slice(bytes);
            all.extend_from_slice(&self.parts.unread);
            self.parts.unread = all;
        }
    }

    /// The peer has proved itself: it no longer counts among the unauthenticated connections.
    pub fn authenticated(&mut self) {
        self.parts.slot = None;
    }

    /// The peer has come so far towards a login: it is pushed out later than those that have not.
    pub fn reached(&mut self, progress: Progress) {
        if let Progress::Chose(security) = progress {
            self.parts.info.security = Some(security);
        }
        if let Some(slot) = &self.parts.slot {
            slot.reached(&self.parts.info, progress);
        }
    }

    /// The peer proved to be one that is known (its device key logged in before): strangers do not push it out any more.
    pub fn recognised(&self) {
        if let Some(slot) = &self.parts.slot {
            slot.recognised();
        }
    }

    /// What counts the bytes that were written and that the peer has not acknowledged; none over other streams than TCP, or where
    /// the system does not tell. The part of them that was not even sent is bounded all the same: see
    /// [`NOT_SENT_LIMIT_BYTES`](super::NOT_SENT_LIMIT_BYTES).
    pub fn meter(&self) -> Option<Meter> {
        self.parts.stream.meter()
    }

    /// Splits into a reading and a writing half that can be used at the same time, once no layer will be added any more.
    pub fn split(self) -> (TransportReader, TransportWriter, ConnInfo) {
        let TransportParts { stream, unread, info, slot } = self.parts;
        let (read, write) = stream.split();
        (TransportReader { stream: read, unread, _slot: slot }, TransportWriter { stream: write }, info)
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("info", &self.parts.info).finish_non_exhaustive()
    }
}

/// Serves a read from bytes that were given back, if there are any.
fn read_unread(unread: &mut BytesMut, buf: &mut ReadBuf<'_>) -> bool {
    if unread.is_empty() || buf.remaining() == 0 {
        return false;
    }
    let take = unread.len().min(buf.remaining());
    buf.put_slice(&unread.split_to(take));
    if unread.is_empty() {
        *unread = BytesMut::new();
    }
    true
}

impl AsyncRead for Transport {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if read_unread(&mut self.parts.unread, buf) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.parts.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.parts.stream).poll_write(cx, buf)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.parts.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.parts.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.parts.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.parts.stream).poll_shutdown(cx)
    }
}

/// A layer can go over a transport as over any stream; bytes that were given back are its first.
impl ByteStream for Transport {
    fn split(self: Box<Self>) -> (ReadStream, WriteStream) {
        let (reader, writer, _) = Transport::split(*self);
        (Box::new(reader), Box::new(writer))
    }

    fn meter(&self) -> Option<Meter> {
        self.parts.stream.meter()
    }
}

/// The reading half of a [`Transport`].
pub struct TransportReader {
    stream: ReadStream,
    unread: BytesMut,
    _slot: Option<Slot>,
}

impl AsyncRead for TransportReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if read_unread(&mut this.unread, buf) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

/// The writing half of a [`Transport`].
pub struct TransportWriter {
    stream: WriteStream,
}

impl AsyncWrite for TransportWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn bytes_given_back_twice_come_out_in_order_before_the_stream() {
        run(async {
            let (ours, mut theirs) = tokio::io::duplex(64);
            let mut transport = Transport::new(ours, ConnInfo::in_process("test"));
            theirs.write_all(b"ef").await.unwrap();
            transport.unread(b"cd");
            transport.unread(b"ab");
            let mut six = [0; 6];
            transport.read_exact(&mut six).await.unwrap();
            assert_eq!(&six, b"abcdef");
        });
    }

    #[test]
    fn an_upgrade_between_two_bytes_loses_nothing() {
        run(async {
            let (ours, mut theirs) = tokio::io::duplex(64);
            let mut transport = Transport::new(ours, ConnInfo::in_process("test"));
            theirs.write_all(b"plain then layered").await.unwrap();
            let mut first = [0; 6];
            transport.read_exact(&mut first).await.unwrap();
            transport.unread(b"+");
            let mut parts = transport.into_parts();
            assert_eq!(&parts.unread[..], b"+");
            parts.info.encrypted = true;
            let transport = Transport::from_parts(parts);
            assert!(transport.info().encrypted);
            let (mut reader, mut writer, _) = transport.split();
            let mut rest = [0; 13];
            reader.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"+then layered");
            writer.write_all(b"back").await.unwrap();
            let mut back = [0; 4];
            theirs.read_exact(&mut back).await.unwrap();
            assert_eq!(&back, b"back");
        });
    }
}
