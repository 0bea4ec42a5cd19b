//! What a TCP listener hears with: one socket, or those of an interface.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::address::HostPort;
use super::iface::{IfaceBound, IfaceListener, Tether};
use super::iface_name::IfaceName;
use super::listener::BACKLOG;

/// Sockets that listen and that nobody accepts from yet.
pub(super) enum BoundEars {
    One(std::net::TcpListener),
    Iface(IfaceBound),
}

/// Sockets that are accepted from.
pub(super) enum Ears {
    One(TcpListener),
    Iface(IfaceListener),
}

impl BoundEars {
    /// Opens what an address asks for; of an interface, what is there by now. Needs no runtime.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn bind(to: HostPort) -> io::Result<Self> {
        match (to.socket_addr(), to.iface()) {
            (Some(at), _) => open(at, None).map(BoundEars::One),
            (None, Some(name)) => {
                IfaceBound::bind(name, to.port(), |at, name| open(at, Some(name))).map(BoundEars::Iface)
            }
            (None, None) => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
        }
    }

    /// The port.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn port(&self) -> io::Result<u16> {
        match self {
            BoundEars::One(listener) => Ok(listener.local_addr()?.port()),
            BoundEars::Iface(listener) => Ok(listener.port()),
        }
    }

    /// Makes it accept. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system has no resources left.
    pub(super) fn listen(self) -> io::Result<Ears> {
        match self {
            BoundEars::One(listener) => TcpListener::from_std(listener).map(Ears::One),
            BoundEars::Iface(listener) => listener.listen().map(Ears::Iface),
        }
    }
}

impl Ears {
    /// The next connection. Losing the future loses no connection.
    ///
    /// # Errors
    /// What the system says; the listener stays usable.
    pub(super) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, Tether)> {
        match self {
            Ears::One(listener) => listener.accept().await.map(|(stream, peer)| (stream, peer, Tether::default())),
            Ears::Iface(listener) => listener.accept().await,
        }
    }
}

/// One listening socket; where a device is named only what arrives through it is heard.
fn open(to: SocketAddr, device: Option<IfaceName>) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking().cloexec(), None)?;
    if to.is_ipv6() {
        // [::] means IPv6 alone, so that 0.0.0.0 can stand beside it.
        socket.set_only_v6(true)?;
    }
    if let Some(name) = device {
        match socket.bind_device(Some(name.as_str().as_bytes())) {
            // before Linux 5.7 only with rights; the address alone still narrows it
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !to.ip().is_unspecified() => {
                tracing::warn!(interface = %name, address = %to, "not bound to the interface: others may lead to the address");
            }
            bound => bound?,
        }
    }
    socket.set_reuse_address(true)?;
    socket.bind(&to.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
