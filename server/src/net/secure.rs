//! The encrypted layer below WebSocket, for `wss:`: somebody else's business, put on here.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::AsyncReadExt;

use super::transport::Transport;
use super::websocket;

/// The first byte of TLS: a record of the handshake. SOURCE: RFC 8446, section 5.1.
const TLS_HANDSHAKE: u8 = 22;

/// Puts an encrypted layer on connections.
pub trait Secure: Send + Sync {
    /// Puts it on one connection, and says so in its `info`. The caller bounds the time.
    ///
    /// # Errors
    /// When peer and layer do not come together.
    fn secure(&self, transport: Transport)
    -> Pin<Box<dyn Future<Output = Result<Transport, SecureError>> + Send + '_>>;
}

/// Why a connection has no encrypted layer.
#[derive(Debug, thiserror::Error)]
pub enum SecureError {
    /// What came is an HTTP request in the clear.
    #[error("peer incompatible: plain HTTP on a wss listener (expected TLS)")]
    PlainHttp,
    /// What came is something else.
    #[error("peer misbehaved: first byte {0} on a wss listener (expected TLS)")]
    NotTls(u8),
    /// The layer's own reason.
    #[error("{0}")]
    Layer(Box<dyn Error + Send + Sync>),
    /// The connection broke.
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
}

/// The layer that a listener puts on its connections.
#[derive(Clone)]
pub struct SecureLayer(Arc<dyn Secure>);

impl SecureLayer {
    /// Shares a layer.
    pub fn new(layer: Arc<dyn Secure>) -> Self {
        SecureLayer(layer)
    }

    /// Looks whether the peer speaks TLS at all, tells those who speak HTTP in the clear so, and puts the layer on.
    pub(super) async fn put_on(&self, mut transport: Transport) -> Result<Transport, SecureError> {
        let first = transport.read_u8().await?;
        if first == TLS_HANDSHAKE {
            transport.unread(&[first]);
            return self.0.secure(transport).await;
        }
        if !first.is_ascii_uppercase() {
            return Err(SecureError::NotTls(first));
        }
        websocket::refuse(&mut transport, "400 Bad Request", "this port speaks TLS: use https:// or wss://\n").await;
        Err(SecureError::PlainHttp)
    }
}

impl fmt::Debug for SecureLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecureLayer")
    }
}

/// The same layer, not a like one.
impl PartialEq for SecureLayer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SecureLayer {}
