//! RFB over WebSocket, as browsers speak it.
//!
//! The HTTP request is bounded in bytes (and, by the caller, in time), its origin is checked, and from then on binary
//! messages carry the bytes of the stream: where messages begin and end means nothing. A text message ends the
//! connection.
//!
//! Origins: a page may connect when it was served from a loopback host, when its origin's host is the very address the
//! browser connected to (an IP address or `localhost`: a name could be made to point anywhere), or when the listener's
//! allow-list has it. A client that sends no origin is no browser and is taken.
//!
//! SOURCE: RFC 6455; framing is tungstenite's.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::meter::Meter;
use super::secure::SecureError;
use super::transport::{ByteStream, ReadStream, WriteStream};

/// Longest HTTP request taken, in bytes.
const MAX_REQUEST: usize = 8 * 1024;
/// Longest message taken from a client.
const MAX_MESSAGE: usize = 1 << 20;
/// Longest message sent.
const MAX_SEND: usize = 256 * 1024;

/// Why a WebSocket connection did not come about.
#[derive(Debug, thiserror::Error)]
pub enum WebSocketError {
    /// What came is no HTTP request.
    #[error("peer misbehaved: no HTTP request")]
    NotHttp,
    /// The request is too long.
    #[error("peer misbehaved: HTTP request of more than 8192 bytes")]
    TooLong,
    /// The request asks for no WebSocket.
    #[error("peer incompatible: no WebSocket request: {0}")]
    NotWebSocket(String),
    /// The page that asks is not allowed to.
    #[error("refused: origin {0:?} is not in allowed_origins")]
    Origin(String),
    /// The client insists on a subprotocol that is not spoken.
    #[error("peer incompatible: WebSocket subprotocols {0:?} (expected binary or none)")]
    Subprotocol(String),
    /// The TLS below it did not come about.
    #[error(transparent)]
    Secure(#[from] SecureError),
    /// The request took too long.
    #[error("peer misbehaved: no WebSocket request within {0} s")]
    TooSlow(u64),
    /// The connection broke.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
}

/// The host of an origin (`scheme://host[:port]`) or of a Host header, without its port, brackets off.
fn host_of(text: &str) -> &str {
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or("");
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

/// Whether a page from `origin` may connect to a server it reached as `host`.
pub fn origin_allowed(origin: &str, host: Option<&str>, allowed: &[String]) -> bool {
    if allowed.iter().any(|a| a == "*" || a.eq_ignore_ascii_case(origin)) {
        return true;
    }
    if !origin.starts_with("http://") && !origin.starts_with("https://") {
        return false;
    }
    let page = host_of(origin);
    let page_ip = page.parse::<IpAddr>().ok();
    if page.eq_ignore_ascii_case("localhost") || page_ip.is_some_and(|ip| ip.to_canonical().is_loopback()) {
        return true;
    }
    page_ip.is_some() && host.is_some_and(|h| host_of(h).parse::<IpAddr>().ok() == page_ip)
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|v| v.to_str().ok())
}

/// Answers a request that is not served, in HTTP, and closes.
pub(super) async fn refuse<S: AsyncWrite + Unpin>(stream: &mut S, status: &str, body: &str) {
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // The peer is being turned away: that it does not even read why is its own affair.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Turns a peer away before its request was read.
pub(super) async fn refuse_busy<S: AsyncWrite + Unpin>(stream: &mut S, why: &str) {
    refuse(stream, "503 Service Unavailable", why).await;
}

/// Reads the HTTP request; what came after it is returned too.
async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(Request, BytesMut), WebSocketError> {
    let mut input = BytesMut::with_capacity(1024);
    loop {
        let seen = input.len().min(4);
        if input.get(..seen) != b"GET ".get(..seen) {
            return Err(WebSocketError::NotHttp);
        }
        if input.windows(4).any(|w| w == b"\r\n\r\n") {
            match Request::try_parse(&input) {
                Ok(Some((used, request))) => {
                    input.advance(used);
                    return Ok((request, input));
                }
                Ok(None) => return Err(WebSocketError::NotHttp),
                Err(error) => return Err(WebSocketError::NotWebSocket(error.to_string())),
            }
        }
        if input.len() >= MAX_REQUEST {
            return Err(WebSocketError::TooLong);
        }
        let room = (MAX_REQUEST - input.len()) as u64;
        if (&mut *stream).take(room).read_buf(&mut input).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

/// Does the server's side of the opening handshake. The caller bounds its time.
///
/// # Errors
/// When the peer does not ask for a WebSocket, or its page may not; the peer is told by an HTTP status.
pub async fn accept<S: ByteStream + 'static>(
    mut stream: S,
    allowed_origins: &[String],
) -> Result<WsStream<S>, WebSocketError> {
    let (request, tail) = match read_request(&mut stream).await {
        Ok(read) => read,
        Err(error) => {
            let status = match error {
                WebSocketError::TooLong => "431 Request Header Fields Too Large",
                _ => "400 Bad Request",
            };
            if !matches!(error, WebSocketError::Io(_)) {
                refuse(&mut stream, status, "this port speaks WebSocket for VNC viewers in browsers\n").await;
            }
            return Err(error);
        }
    };
    if let Some(origin) = request.headers().get("Origin") {
        let origin = origin.to_str().unwrap_or("?");
        if !origin_allowed(origin, header(&request, "Host"), allowed_origins) {
            refuse(&mut stream, "403 Forbidden", "this page's origin is not allowed to connect\n").await;
            return Err(WebSocketError::Origin(origin.chars().take(256).collect()));
        }
    }
    let mut response = match create_response(&request) {
        Ok(response) => response,
        Err(error) => {
            refuse(&mut stream, "426 Upgrade Required", "this port speaks WebSocket for VNC viewers in browsers\n")
                .await;
            return Err(WebSocketError::NotWebSocket(error.to_string()));
        }
    };
    let asked: Vec<&str> = request
        .headers()
        .get_all("Sec-WebSocket-Protocol")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .collect();
    if asked.contains(&"binary") {
        response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("binary"));
    } else if !asked.is_empty() {
        refuse(&mut stream, "400 Bad Request", "of subprotocols only binary is spoken\n").await;
        return Err(WebSocketError::Subprotocol(asked.join(",").chars().take(256).collect()));
    }
    let mut output = Vec::new();
    write_response(&mut output, &response).map_err(|e| WebSocketError::NotWebSocket(e.to_string()))?;
    stream.write_all(&output).await?;
    stream.flush().await?;
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MAX_SEND)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let inner = WebSocketStream::from_partially_read(stream, tail.to_vec(), Role::Server, Some(config)).await;
    Ok(WsStream { inner, pending: Bytes::new(), ended: false })
}

/// A WebSocket connection as a stream of bytes.
pub struct WsStream<S> {
    inner: WebSocketStream<S>,
    /// The rest of the message being read.
    pending: Bytes,
    ended: bool,
}

fn io_error(error: WsError) -> io::Error {
    match error {
        WsError::Io(error) => error,
        WsError::ConnectionClosed | WsError::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        other => io::Error::new(io::ErrorKind::InvalidData, format!("peer misbehaved: WebSocket: {other}")),
    }
}

impl<S: ByteStream> AsyncRead for WsStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.pending.has_remaining() {
                let take = this.pending.len().min(buf.remaining());
                buf.put_slice(&this.pending.split_to(take));
                return Poll::Ready(Ok(()));
            }
            if this.ended {
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut this.inner).poll_next(cx)) {
                None | Some(Ok(Message::Close(_))) => this.ended = true,
                Some(Ok(Message::Binary(bytes))) => this.pending = bytes,
                Some(Ok(Message::Text(_))) => {
                    this.ended = true;
                    let frame = CloseFrame { code: CloseCode::Unsupported, reason: "binary messages only".into() };
                    let _ = Pin::new(&mut this.inner).start_send(Message::Close(Some(frame)));
                    let _ = Pin::new(&mut this.inner).poll_flush(cx);
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "peer misbehaved: WebSocket text message (expected binary)",
                    )));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => {
                    this.ended = true;
                    // Lets the close frame out that names the fault, as far as the socket takes it now.
                    let _ = Pin::new(&mut this.inner).poll_flush(cx);
                    return match error {
                        WsError::Protocol(
                            tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
                        ) => Poll::Ready(Ok(())),
                        error => Poll::Ready(Err(io_error(error))),
                    };
                }
            }
        }
    }
}

impl<S: ByteStream> WsStream<S> {
    fn send(&mut self, message: Bytes) -> io::Result<()> {
        Pin::new(&mut self.inner).start_send(Message::Binary(message)).map_err(io_error)
    }
}

impl<S: ByteStream> AsyncWrite for WsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.as_mut().poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.inner).poll_ready(cx)).map_err(io_error)?;
        let total: usize = bufs.iter().map(|b| b.len()).sum();
        let take = total.min(MAX_SEND);
        if take == 0 {
            return Poll::Ready(Ok(0));
        }
        let mut message = BytesMut::with_capacity(take);
        for buf in bufs {
            let part = buf.len().min(take - message.len());
            message.extend_from_slice(buf.get(..part).unwrap_or_default());
        }
        self.send(message.freeze())?;
        Poll::Ready(Ok(take))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_close(cx)).map_err(io_error)?;
        Pin::new(self.inner.get_mut()).poll_shutdown(cx)
    }
}

impl<S: ByteStream + 'static> ByteStream for WsStream<S> {
    fn split(self: Box<Self>) -> (ReadStream, WriteStream) {
        let (read, write) = tokio::io::split(*self);
        (Box::new(read), Box::new(write))
    }

    fn meter(&self) -> Option<Meter> {
        self.inner.get_ref().meter()
    }
}
