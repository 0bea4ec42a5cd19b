//! Listening sockets and what comes in through them.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use ipnet::IpNet;
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixListener, UnixStream};

use super::NOT_SENT_LIMIT_BYTES;
use super::address::{HostPort, ListenAddr};
use super::capped::Capped;
use super::ears::{BoundEars, Ears};
use super::iface::Tether;
use super::proxy::{self, ProxiedFor, ProxyError};
use super::secure::SecureLayer;
use super::slots::{Progress, Slot};
use super::transport::{ByteStream, ConnInfo, Identity, ListenerId, Transport, TransportParts};
use super::unix_peers::{UnixPeers, UnixPeersError};
use super::websocket::{self, WebSocketError};
use crate::helper::folder::{self, FolderError, Others};

/// Connections that wait to be accepted.
pub(super) const BACKLOG: i32 = 128;
/// A silent TCP peer is asked after this long whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Settings of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where to listen.
    pub address: ListenAddr,
    /// Origins of web pages that may connect over WebSocket, besides those that always may.
    pub allowed_origins: Vec<String>,
    /// Who may connect over a Unix socket, besides the user that serves and root.
    pub unix_peers: UnixPeers,
    /// What encrypts below WebSocket: a `wss:` listener needs one, others have no use for it.
    pub secure: Option<SecureLayer>,
}

/// Connections taken so far in this run.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// Why a listener cannot be had; one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has the port.
    #[error(
        "cannot listen on {0}: the port is in use; end what uses it, or choose another (--listen, port 0 picks one)"
    )]
    InUse(ListenAddr),
    /// The port needs rights.
    #[error("cannot listen on {0}: not permitted; ports below 1024 need rights, choose a higher one")]
    NotPermitted(ListenAddr),
    /// The address is not one of this machine's.
    #[error("cannot listen on {0}: this machine has no such address; `ip address` lists those it has")]
    NoSuchAddress(ListenAddr),
    /// Another server answers on the socket.
    #[error("cannot listen on {0}: another server answers there; end it or choose another path")]
    SocketInUse(ListenAddr),
    /// What is at the path is no socket.
    #[error("cannot listen on {0}: the path exists and is no socket; remove it or choose another path")]
    NotASocket(ListenAddr),
    /// The path's folder is missing or may not be written.
    #[error("cannot listen on {0}: {1}; the folder must exist and be writable, choose another path")]
    Path(ListenAddr, io::Error),
    /// Others could put another file in the socket's place.
    #[error("cannot listen on {0}: {1}")]
    Folder(ListenAddr, FolderError),
    /// Who may connect to the socket cannot be said so.
    #[error("cannot listen on {0}: {1}")]
    Peers(ListenAddr, UnixPeersError),
    /// The socket cannot be given to its group.
    #[error("cannot listen on {0}: no right to give the socket to group {1} ({2}); the serving user must be a member")]
    Group(ListenAddr, u32, io::Error),
    /// There is no certificate to show.
    #[error("cannot listen on {0}: there is no certificate for wss; see [tls]")]
    NoCertificate(ListenAddr),
    /// Anything else.
    #[error("cannot listen on {0}: {1}")]
    Other(ListenAddr, io::Error),
}

enum Kind {
    Tcp(Ears),
    Ws(Ears),
    Unix(UnixListener),
}

enum BoundKind {
    Tcp(BoundEars),
    Ws(BoundEars),
    Unix(std::os::unix::net::UnixListener),
}

/// A socket that listens and that nobody accepts from yet. Needs no runtime and starts no thread; connections wait in it.
pub struct Bound {
    id: ListenerId,
    address: ListenAddr,
    allowed_origins: Arc<[String]>,
    unix_peers: UnixPeers,
    secure: Option<SecureLayer>,
    kind: BoundKind,
    file: Option<SocketFile>,
}

/// A listening socket. A Unix socket's file goes when the listener is dropped.
pub struct Listener {
    id: ListenerId,
    name: Arc<str>,
    address: ListenAddr,
    allowed_origins: Arc<[String]>,
    unix_peers: UnixPeers,
    secure: Option<SecureLayer>,
    proxies: Arc<[IpNet]>,
    kind: Kind,
    _file: Option<SocketFile>,
}

/// The file of a Unix socket, removed on drop if it is still ours.
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|m| m.dev() == self.device && m.ino() == self.inode) {
            // Nothing is lost if it stays: the next server sees that nobody answers and replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn bind_tcp(address: &ListenAddr, host_port: HostPort) -> Result<BoundEars, BindError> {
    BoundEars::bind(host_port).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address.clone()),
        io::ErrorKind::PermissionDenied => BindError::NotPermitted(address.clone()),
        io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress(address.clone()),
        _ => BindError::Other(address.clone(), error),
    })
}

/// Makes way for a socket at `path`: removes one that nobody answers on, and nothing else.
fn clear_stale(address: &ListenAddr, path: &Path) -> Result<(), BindError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BindError::Path(address.clone(), error)),
        Ok(meta) if !meta.file_type().is_socket() => return Err(BindError::NotASocket(address.clone())),
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|e| BindError::Path(address.clone(), e))
        }
        _ => Err(BindError::SocketInUse(address.clone())),
    }
}

fn bind_unix(
    address: &ListenAddr,
    path: &Path,
    peers: &UnixPeers,
) -> Result<(std::os::unix::net::UnixListener, SocketFile), BindError> {
    if path.as_os_str().is_empty() {
        return Err(BindError::Path(address.clone(), io::Error::from(io::ErrorKind::NotFound)));
    }
    peers.check().map_err(|e| BindError::Peers(address.clone(), e))?;
    folder::trusted(folder::of(path), Others::Sticky).map_err(|error| match error {
        FolderError::Io(_, error) => BindError::Path(address.clone(), error),
        error => BindError::Folder(address.clone(), error),
    })?;
    clear_stale(address, path)?;
    let open = || -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
        // the file has this mode from its first moment on
        rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(0o600))?;
        socket.bind(&SockAddr::unix(path)?)?;
        Ok(socket)
    };
    // nobody else can put another file in this one's place: its folder was looked at
    let give = |group| {
        std::os::unix::fs::lchown(path, None, Some(group)).map_err(|e| BindError::Group(address.clone(), group, e))
    };
    let listen = |socket: Socket| -> io::Result<(std::os::unix::net::UnixListener, SocketFile)> {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(peers.mode()))?;
        let meta = std::fs::symlink_metadata(path)?;
        let file = SocketFile { path: path.to_owned(), device: meta.dev(), inode: meta.ino() };
        socket.listen(BACKLOG)?;
        Ok((std::os::fd::OwnedFd::from(socket).into(), file))
    };
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::SocketInUse(address.clone()),
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            BindError::Path(address.clone(), error)
        }
        _ => BindError::Other(address.clone(), error),
    };
    // Nobody can connect before listen, so nobody gets in before group and mode are set.
    let socket = open().map_err(failed)?;
    peers.group.map_or(Ok(()), give)?;
    listen(socket).map_err(failed)
}

impl Bound {
    /// Opens the socket.
    ///
    /// # Errors
    /// One line that says what to do.
    pub fn bind(id: ListenerId, settings: &ListenerSettings) -> Result<Self, BindError> {
        let asked = &settings.address;
        let mut file = None;
        let (kind, port) = match asked {
            ListenAddr::Wss(_) if settings.secure.is_none() => return Err(BindError::NoCertificate(asked.clone())),
            ListenAddr::Tcp(hp) | ListenAddr::Ws(hp) | ListenAddr::Wss(hp) => {
                let ears = bind_tcp(asked, *hp)?;
                let port = ears.port().map_err(|e| BindError::Other(asked.clone(), e))?;
                let tcp = matches!(asked, ListenAddr::Tcp(_));
                (if tcp { BoundKind::Tcp(ears) } else { BoundKind::Ws(ears) }, port)
            }
            ListenAddr::Unix(path) => {
                let (listener, made) = bind_unix(asked, path, &settings.unix_peers)?;
                file = Some(made);
                (BoundKind::Unix(listener), 0)
            }
        };
        let address = asked.with_port(port);
        Ok(Bound {
            id,
            address,
            allowed_origins: settings.allowed_origins.clone().into(),
            unix_peers: settings.unix_peers.clone(),
            secure: settings.secure.clone().filter(|_| matches!(asked, ListenAddr::Wss(_))),
            kind,
            file,
        })
    }

    /// The address as it was written, with the real port.
    pub fn address(&self) -> &ListenAddr {
        &self.address
    }

    /// Makes it accept. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system has no resources left.
    pub fn listen(self) -> Result<Listener, BindError> {
        let kind = match self.kind {
            BoundKind::Tcp(listener) => listener.listen().map(Kind::Tcp),
            BoundKind::Ws(listener) => listener.listen().map(Kind::Ws),
            BoundKind::Unix(listener) => UnixListener::from_std(listener).map(Kind::Unix),
        };
        Ok(Listener {
            id: self.id,
            name: self.address.to_string().into(),
            kind: kind.map_err(|e| BindError::Other(self.address.clone(), e))?,
            address: self.address,
            allowed_origins: self.allowed_origins,
            unix_peers: self.unix_peers,
            secure: self.secure,
            proxies: Arc::new([]),
            _file: self.file,
        })
    }
}

impl Listener {
    /// Opens the socket and accepts from it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// One line that says what to do.
    pub fn bind(id: ListenerId, settings: &ListenerSettings) -> Result<Self, BindError> {
        Bound::bind(id, settings)?.listen()
    }

    /// The address as it was written, with the real port.
    pub fn address(&self) -> &ListenAddr {
        &self.address
    }

    /// The same, with these proxies: their connections begin with a PROXY header that says whose they are.
    #[must_use]
    pub fn with_proxies(self, proxies: Arc<[IpNet]>) -> Self {
        Listener { proxies, ..self }
    }

    /// The next connection. Losing the future loses no connection.
    ///
    /// # Errors
    /// What the system says; the listener stays usable.
    pub async fn accept(&self) -> io::Result<Incoming> {
        let mut tether = Tether::default();
        let mut stranger = None;
        let (stream, name, peer_ip, peer_uid) = match &self.kind {
            Kind::Tcp(ears) | Kind::Ws(ears) => {
                let (stream, peer, tied) = ears.accept().await?;
                tether = tied;
                tune(&stream);
                let ip = peer.ip().to_canonical();
                let name = SocketAddr::new(ip, peer.port()).to_string();
                let raw = if matches!(self.kind, Kind::Ws(_)) { Raw::Ws(stream) } else { Raw::Tcp(stream) };
                (raw, name, Some(ip), None)
            }
            Kind::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred().ok().map(|c| c.uid());
                stranger = self.unix_peers.refuses(uid);
                let name = uid.map_or_else(|| "unix".to_owned(), |uid| format!("unix uid {uid}"));
                (Raw::Unix(stream), name, None, uid)
            }
        };
        let via = peer_ip.filter(|ip| self.proxies.iter().any(|net| net.contains(ip)));
        let info = ConnInfo {
            number: CONNECTIONS.fetch_add(1, Ordering::Relaxed).saturating_add(1),
            peer: name,
            local: via.is_none() && peer_ip.is_none_or(|ip| ip.is_loopback()),
            peer_ip,
            via,
            peer_uid,
            listener: self.id,
            listener_name: Arc::clone(&self.name),
            encrypted: false,
            identity: peer_uid.map(|uid| Identity { name: format!("uid {uid}"), method: "unix" }),
            channel_binding: None,
            certificate: None,
            security: None,
            cipher: None,
        };
        let allowed_origins = Arc::clone(&self.allowed_origins);
        Ok(Incoming { stream, info, allowed_origins, secure: self.secure.clone(), tether, stranger })
    }
}

/// Sets what matters for latency; a socket that refuses still works.
fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let tuned = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_notsent_lowat(NOT_SENT_LIMIT_BYTES))
        .and_then(|()| socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE)));
    if let Err(error) = tuned {
        tracing::debug!(%error, "socket options not set");
    }
}

enum Raw {
    Tcp(TcpStream),
    Ws(TcpStream),
    Unix(UnixStream),
}

/// A connection that was just accepted: nothing was read from it.
pub struct Incoming {
    stream: Raw,
    info: ConnInfo,
    allowed_origins: Arc<[String]>,
    tether: Tether,
    stranger: Option<String>,
    secure: Option<SecureLayer>,
}

impl Incoming {
    /// What is known about it.
    pub fn info(&self) -> &ConnInfo {
        &self.info
    }

    /// Why its user may not use this Unix socket, if so.
    pub(super) fn stranger(&self) -> Option<String> {
        self.stranger.clone()
    }

    /// What ends it with the address that it came through.
    pub(super) fn untie(&mut self) -> Tether {
        std::mem::take(&mut self.tether)
    }

    /// Reads the header of a listed proxy; from then on the peer is whoever the proxy speaks for. Does nothing with other peers.
    ///
    /// # Errors
    /// When the proxy sends no header within `limit`, or a wrong one.
    pub async fn proxy_header(&mut self, limit: Duration) -> Result<(), ProxyError> {
        let (Some(_), Raw::Tcp(stream) | Raw::Ws(stream)) = (self.info.via, &mut self.stream) else { return Ok(()) };
        if let ProxiedFor::Peer(peer) = proxy::read(stream, limit).await? {
            self.info.peer_ip = Some(peer.ip());
            self.info.peer = peer.to_string();
        }
        Ok(())
    }

    /// Makes a transport of it; over WebSocket this is where the peer sends its request, within `limit`, and before it over
    /// `wss:` comes the TLS handshake, within the same.
    ///
    /// # Errors
    /// When the peer speaks no WebSocket or no TLS, or may not.
    pub async fn open(self, slot: Slot, limit: Duration) -> Result<Transport, WebSocketError> {
        match self.stream {
            Raw::Tcp(stream) => Ok(strange(stream, self.info, slot)),
            Raw::Unix(stream) => Ok(strange(stream, self.info, slot)),
            Raw::Ws(stream) => {
                let below = strange(stream, self.info, slot);
                let accepting = accept_websocket(below, self.secure, &self.allowed_origins);
                let accepted = tokio::time::timeout(limit, accepting).await;
                accepted.map_err(|_| WebSocketError::TooSlow(limit.as_secs()))?
            }
        }
    }

    /// Tells the peer why it is not served (`refusal` in RFB, `why` in HTTP), and closes.
    pub async fn refuse(self, refusal: &[u8], why: &str) {
        // The peer is being turned away: that it does not even read why is its own affair.
        match self.stream {
            Raw::Tcp(mut stream) => {
                let _ = stream.write_all(refusal).await;
                let _ = stream.shutdown().await;
            }
            Raw::Unix(mut stream) => {
                let _ = stream.write_all(refusal).await;
                let _ = stream.shutdown().await;
            }
            // whoever waits for TLS could not read HTTP
            Raw::Ws(mut stream) if self.secure.is_some() => drop(stream.shutdown().await),
            Raw::Ws(mut stream) => websocket::refuse_busy(&mut stream, why).await,
        }
    }
}

/// A transport over a peer that has not logged in.
fn strange(stream: impl ByteStream + 'static, info: ConnInfo, slot: Slot) -> Transport {
    let stream = Box::new(Capped::new(stream, slot.allowance()));
    Transport::from_parts(TransportParts { stream, unread: BytesMut::new(), info, slot: Some(slot) })
}

/// The opening of a WebSocket connection, with TLS below it where there is a layer for it.
async fn accept_websocket(
    mut below: Transport,
    secure: Option<SecureLayer>,
    allowed_origins: &[String],
) -> Result<Transport, WebSocketError> {
    if let Some(layer) = secure {
        below = layer.put_on(below).await?;
        below.reached(Progress::Exchanged);
    }
    let mut parts = below.into_parts();
    let (info, slot) = (parts.info.clone(), parts.slot.take());
    let stream = websocket::accept(Transport::from_parts(parts), allowed_origins).await?;
    Ok(Transport::from_parts(TransportParts { stream: Box::new(stream), unread: BytesMut::new(), info, slot }))
}
