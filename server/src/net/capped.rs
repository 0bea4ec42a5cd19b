//! How many bytes are read from a peer that has not logged in, whatever security type it is in the middle of.
//!
//! The count is of what comes off the socket, below TLS, WebSocket and records: no layer above it can be made to read on
//! for ever by messages that mean nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::meter::Meter;
use super::transport::{ByteStream, ReadStream, WriteStream};

/// What stands for no bound.
const NO_BOUND: usize = usize::MAX;

/// Bytes that may still be read.
#[derive(Debug)]
pub(super) struct Allowance {
    left: AtomicUsize,
    all: usize,
}

impl Allowance {
    /// So many.
    pub(super) fn new(all: usize) -> Self {
        Allowance { left: AtomicUsize::new(all), all }
    }

    /// The peer has logged in, or is gone.
    pub(super) fn lift(&self) {
        self.left.store(NO_BOUND, Ordering::Relaxed);
    }

    /// Whether there is no bound any more.
    pub(super) fn is_lifted(&self) -> bool {
        self.left.load(Ordering::Relaxed) == NO_BOUND
    }

    /// Takes so many; false when there were not as many.
    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| if left == NO_BOUND { Some(NO_BOUND) } else { left.checked_sub(bytes) };
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// A stream that breaks when its peer sends more than it may.
pub(super) struct Capped<S> {
    below: S,
    /// None once there is no bound.
    allowance: Option<Arc<Allowance>>,
}

impl<S> Capped<S> {
    /// Of `below` only so much is read.
    pub(super) fn new(below: S, allowance: Arc<Allowance>) -> Self {
        Capped { below, allowance: Some(allowance) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Capped<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.below).poll_read(cx, buf))?;
        let Some(allowance) = &this.allowance else { return Poll::Ready(Ok(())) };
        if !allowance.take(buf.filled().len().saturating_sub(before)) {
            buf.set_filled(before);
            let said = format!("peer misbehaved: more than {} bytes before it has logged in", allowance.all);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, said)));
        }
        if allowance.is_lifted() {
            this.allowance = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Capped<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.below).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.below).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.below.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.below).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.below).poll_shutdown(cx)
    }
}

impl<S: ByteStream + 'static> ByteStream for Capped<S> {
    fn split(self: Box<Self>) -> (ReadStream, WriteStream) {
        let Capped { below, allowance } = *self;
        let (read, write) = Box::new(below).split();
        match allowance.filter(|allowance| !allowance.is_lifted()) {
            Some(allowance) => (Box::new(Capped::new(read, allowance)), write),
            None => (read, write),
        }
    }

    fn meter(&self) -> Option<Meter> {
        self.below.meter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// A stream of which ten bytes may be read, its other end, and what is allowed.
    fn ten() -> (Capped<tokio::io::DuplexStream>, tokio::io::DuplexStream, Arc<Allowance>) {
        let (ours, theirs) = tokio::io::duplex(64);
        let allowance = Arc::new(Allowance::new(10));
        (Capped::new(ours, Arc::clone(&allowance)), theirs, allowance)
    }

    #[test]
    fn ten_bytes_of_ten_are_read_and_the_eleventh_breaks_the_stream() {
        run(async {
            let (mut capped, mut theirs, _allowance) = ten();
            theirs.write_all(&[7; 10]).await.unwrap();
            let mut bytes = [0; 10];
            capped.read_exact(&mut bytes).await.unwrap();
            assert_eq!(bytes, [7; 10]);
            theirs.write_all(&[8]).await.unwrap();
            let error = capped.read(&mut bytes).await.unwrap_err();
            assert_eq!(error.to_string(), "peer misbehaved: more than 10 bytes before it has logged in");
        });
    }

    #[test]
    fn after_the_login_there_is_no_bound_and_halves_keep_it_until_then() {
        run(async {
            let (capped, mut theirs, allowance) = ten();
            let (mut read, mut write) = Box::new(capped).split();
            let mut bytes = [0; 8];
            theirs.write_all(&[7; 16]).await.unwrap();
            read.read_exact(&mut bytes).await.unwrap();
            allowance.lift();
            read.read_exact(&mut bytes).await.unwrap();
            write.write_all(&[9]).await.unwrap();
            assert_eq!(theirs.read_u8().await.unwrap(), 9);
            let (capped, mut theirs, _allowance) = ten();
            let (mut read, _write) = Box::new(capped).split();
            theirs.write_all(&[7; 16]).await.unwrap();
            read.read_exact(&mut bytes).await.unwrap();
            assert!(read.read_exact(&mut bytes).await.is_err());
        });
    }
}
