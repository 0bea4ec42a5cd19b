//! The layer: TLS over whatever a transport is.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream as Inner;

use crate::net::{ByteStream, Meter, Progress, ReadStream, Transport, TransportParts, WriteStream, limits};

/// SOURCE: RFC 9266.
const BINDING_LABEL: &[u8] = b"EXPORTER-Channel-Binding";
/// How long a peer whose handshake failed may take to read why.
const GOODBYE: Duration = Duration::from_millis(500);
/// Bytes that such a peer may still send.
const GOODBYE_BYTES: u64 = 64 * 1024;

/// Why TLS did not come about.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The client showed no certificate and must.
    #[error("refused: no client certificate")]
    NoCertificate,
    /// The client's certificate is not good.
    #[error("refused: client certificate: {0}")]
    Certificate(rustls::CertificateError),
    /// The client does not like the server's certificate.
    #[error("peer incompatible: the viewer does not take the server's certificate ({0:?})")]
    NotTrusted(rustls::AlertDescription),
    /// Client and server have no version, cipher or group in common.
    #[error("peer incompatible: TLS: {0}")]
    Incompatible(rustls::Error),
    /// The client broke the protocol.
    #[error("peer misbehaved: TLS: {0}")]
    Misbehaved(rustls::Error),
    /// The client's hello did not come.
    #[error("peer misbehaved: no TLS hello within {0} s of the choice of the security type")]
    TooSlow(u64),
    /// The connection broke.
    #[error("connection: {0}")]
    Io(io::Error),
}

impl From<io::Error> for TlsError {
    fn from(error: io::Error) -> Self {
        use rustls::{AlertDescription as Alert, Error};
        let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<Error>()) else { return TlsError::Io(error) };
        match tls.clone() {
            Error::NoCertificatesPresented => TlsError::NoCertificate,
            Error::InvalidCertificate(why) => TlsError::Certificate(why),
            incompatible @ Error::PeerIncompatible(_) => TlsError::Incompatible(incompatible),
            Error::AlertReceived(
                alert @ (Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA),
            ) => TlsError::NotTrusted(alert),
            other => TlsError::Misbehaved(other),
        }
    }
}

/// Does the server's side of the TLS handshake over a transport, and says in its `info` what came of it. Bytes that were read
/// early are the peer's TLS, never what is inside it. The client's hello must be whole by `deadline`; what follows may wait for a
/// person who looks at the certificate (some viewers ask in the middle of the handshake) or types a card's PIN, so the caller
/// bounds the time of the whole.
pub(super) async fn accept(
    transport: Transport,
    config: Arc<ServerConfig>,
    by: &'static str,
    deadline: Instant,
) -> Result<Transport, TlsError> {
    let mut parts = transport.into_parts();
    let slot = parts.slot.take();
    let mut info = parts.info.clone();
    let mut hello = LazyConfigAcceptor::new(Acceptor::default(), Transport::from_parts(parts));
    let started = match tokio::time::timeout_at(deadline.into(), &mut hello).await {
        Ok(Ok(started)) => started,
        Ok(Err(error)) => {
            if let Some(mut below) = hello.take_io() {
                goodbye(&mut below).await;
            }
            return Err(error.into());
        }
        Err(_) => return Err(TlsError::TooSlow(limits::KEY_EXCHANGE.as_secs())),
    };
    // the server's certificate leaves with its answer to the hello
    if let Some(slot) = &slot {
        slot.reached(&info, Progress::Shown(by));
    }
    let stream = match started.into_stream(config).into_fallible().await {
        Ok(stream) => stream,
        Err((error, mut below)) => {
            goodbye(&mut below).await;
            return Err(error.into());
        }
    };
    let (_, session) = stream.get_ref();
    let binding = session.export_keying_material([0; 32], BINDING_LABEL, Some(b"")).map_err(TlsError::Misbehaved)?;
    info.encrypted = true;
    info.channel_binding = Some(Arc::from(binding.as_slice()));
    info.certificate = session.peer_certificates().and_then(|chain| chain.first()).map(|der| Arc::from(der.as_ref()));
    let suite = session.negotiated_cipher_suite().map(|s| format!("{:?}", s.suite()));
    let group = session.negotiated_key_exchange_group().map(|g| format!("{:?}", g.name()));
    info.cipher = Some([suite, group].into_iter().flatten().collect::<Vec<_>>().join(" ").into());
    let stream = Box::new(TlsStream(stream));
    let mut transport = Transport::from_parts(TransportParts { stream, unread: BytesMut::new(), info, slot });
    transport.reached(Progress::Exchanged);
    Ok(transport)
}

/// Lets the alert arrive: closing with unread bytes would cost the peer what it was just told.
async fn goodbye(below: &mut Transport) {
    let _ = below.shutdown().await;
    let mut waste = tokio::io::sink();
    let _ = tokio::time::timeout(GOODBYE, tokio::io::copy(&mut below.take(GOODBYE_BYTES), &mut waste)).await;
}

/// A TLS connection as a stream of bytes.
///
/// A peer that goes without saying so has gone: RFB has no message whose meaning hangs on the connection's end.
struct TlsStream(Inner<Transport>);

impl AsyncRead for TlsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(cx, buf) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            polled => polled,
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl ByteStream for TlsStream {
    fn split(self: Box<Self>) -> (ReadStream, WriteStream) {
        let (read, write) = tokio::io::split(*self);
        (Box::new(read), Box::new(write))
    }

    fn meter(&self) -> Option<Meter> {
        self.0.get_ref().0.meter()
    }
}
