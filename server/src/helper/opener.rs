//! One door for everything that is opened after listening: a typed request in, a descriptor out.
//!
//! Backends never open a path or connect to a socket by themselves; they ask an [`Opener`]. In one process that is
//! [`InProcess`]; under a sandbox it is a helper process, which reads no byte of the network. Requests say what is wanted
//! (a display's socket, its authority file), so that the helper can check them against what it was set up for.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::calls::CallError;
use super::{log_file, private, relay};

/// What connecting to a syslog server may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Where an X server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DisplayAddress {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A host and its display number; the port is 6000 plus the number.
    Tcp {
        /// Name or address.
        host: String,
        /// Display number, 0..=59535.
        number: u16,
    },
}

/// Something to be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OpenRequest {
    /// A connection to an X server.
    Display(DisplayAddress),
    /// An X authority file, for reading.
    XAuthority(PathBuf),
    /// An X server's framebuffer file, for reading.
    Framebuffer(PathBuf),
    /// A recorded trace, for reading.
    Trace(PathBuf),
    /// A Unix socket that takes datagrams: the journal, or a syslog server of this machine. What is opened is a
    /// [`Relay`](super::Relay)'s end.
    Datagrams(PathBuf),
    /// A syslog server by UDP, by a [`Relay`](super::Relay) too.
    Udp(SocketAddr),
    /// A syslog server by TCP.
    Tcp(SocketAddr),
    /// A connection to a session bus; `@` stands before the name of a socket that has no file.
    Bus(PathBuf),
    /// A connection to PipeWire.
    PipeWire(PathBuf),
    /// A small file of the server's own, for reading and writing; made when it is not there.
    State(PathBuf),
    /// A connection to a Wayland compositor's socket.
    Wayland(PathBuf),
    /// A connection to the process that looks at screens.
    KmsHelper(PathBuf),
    /// A knock at the supervisor of a virtual desktop: it is to start what is shared. The connection lasts as long as that.
    Supervisor(PathBuf),
    /// The file of an audit log, locked, for reading and appending; made where it is not there.
    Log(PathBuf),
    /// The next file of an audit log, after the one that is there was put aside.
    NextLog {
        /// The log.
        path: PathBuf,
        /// So many that were put aside stay.
        keep: u32,
    },
}

impl fmt::Display for OpenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenRequest::Display(DisplayAddress::Tcp { host, number }) => write!(f, "{host}:{number}"),
            OpenRequest::Udp(to) | OpenRequest::Tcp(to) => write!(f, "{to}"),
            OpenRequest::Display(DisplayAddress::Unix(path))
            | OpenRequest::XAuthority(path)
            | OpenRequest::Framebuffer(path)
            | OpenRequest::Trace(path)
            | OpenRequest::Datagrams(path)
            | OpenRequest::Bus(path)
            | OpenRequest::PipeWire(path)
            | OpenRequest::State(path)
            | OpenRequest::Wayland(path)
            | OpenRequest::KmsHelper(path)
            | OpenRequest::Supervisor(path)
            | OpenRequest::Log(path)
            | OpenRequest::NextLog { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

/// Why something could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenerError {
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being opened.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// The request names something that cannot exist.
    #[error("display number {0} (expected 0..=59535)")]
    DisplayNumber(u16),
    /// The request is none of those that the helper was set up for.
    #[error("{0}: not among what may be opened once the server listens")]
    NotAllowed(String),
    /// The helper does not do its work.
    #[error("{0}: cannot be opened: {1}")]
    Helper(String, CallError),
}

/// Opens what it is asked for.
pub trait Opener: Send + Sync {
    /// A descriptor for what was asked: a connected socket, or an open file.
    ///
    /// # Errors
    /// When the system refuses, or the opener's rules do.
    fn open(&self, request: &OpenRequest) -> Result<OwnedFd, OpenerError>;
}

/// Opens everything in this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct InProcess;

impl Opener for InProcess {
    fn open(&self, request: &OpenRequest) -> Result<OwnedFd, OpenerError> {
        match request {
            OpenRequest::Display(DisplayAddress::Unix(path))
            | OpenRequest::Wayland(path)
            | OpenRequest::KmsHelper(path)
            | OpenRequest::Supervisor(path) => {
                UnixStream::connect(path).map(OwnedFd::from).map_err(|source| at(path, source))
            }
            OpenRequest::Display(DisplayAddress::Tcp { host, number }) => {
                let port = 6000u16.checked_add(*number).ok_or(OpenerError::DisplayNumber(*number))?;
                TcpStream::connect((host.as_str(), port))
                    .map(OwnedFd::from)
                    .map_err(|source| OpenerError::Io { what: format!("{host}:{port}"), source })
            }
            OpenRequest::Datagrams(path) => datagrams(path).map_err(|source| at(path, source)),
            OpenRequest::Udp(to) => {
                let relayed = udp(*to).and_then(|socket| relay::relay(move |bytes| socket.send(bytes)));
                relayed.map_err(|source| far(*to, source))
            }
            OpenRequest::Log(path) => log_file::open(path).map(OwnedFd::from).map_err(|error| at(path, error.into())),
            OpenRequest::NextLog { path, keep } => {
                log_file::next(path, *keep).map(OwnedFd::from).map_err(|error| at(path, error.into()))
            }
            OpenRequest::Tcp(to) => {
                let connected = TcpStream::connect_timeout(to, CONNECT_LIMIT);
                connected.map(OwnedFd::from).map_err(|source| far(*to, source))
            }
            OpenRequest::Bus(path) | OpenRequest::PipeWire(path) => {
                connect(path).map(OwnedFd::from).map_err(|source| at(path, source))
            }
            OpenRequest::State(path) => private::open(path).map_err(|source| at(path, source)),
            OpenRequest::XAuthority(path) | OpenRequest::Framebuffer(path) | OpenRequest::Trace(path) => {
                std::fs::File::open(path).map(OwnedFd::from).map_err(|source| at(path, source))
            }
        }
    }
}

fn datagrams(path: &Path) -> io::Result<OwnedFd> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(relay::SEND_LIMIT))?;
    relay::relay(move |bytes| socket.send(bytes))
}

fn udp(to: SocketAddr) -> io::Result<UdpSocket> {
    let from: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(from)?;
    socket.connect(to)?;
    Ok(socket)
}

fn far(to: SocketAddr, source: io::Error) -> OpenerError {
    OpenerError::Io { what: to.to_string(), source }
}

/// Connects to a socket in the file system, or to one that has only a name.
fn connect(path: &Path) -> io::Result<UnixStream> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => UnixStream::connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?),
        None => UnixStream::connect(path),
    }
}

fn at(path: &Path, source: io::Error) -> OpenerError {
    OpenerError::Io { what: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_socket_is_named_with_the_reason() {
        let request = OpenRequest::Display(DisplayAddress::Unix("/nonexistent/X9".into()));
        let said = InProcess.open(&request).expect_err("there is none").to_string();
        assert!(said.starts_with("/nonexistent/X9: "), "{said}");
    }

    #[test]
    fn a_display_number_past_the_last_port_is_refused() {
        let request = OpenRequest::Display(DisplayAddress::Tcp { host: "127.0.0.1".into(), number: 59536 });
        let said = InProcess.open(&request).expect_err("no such port").to_string();
        assert!(said.contains("0..=59535"), "{said}");
    }

    #[test]
    fn logs_are_connected_to_so_that_what_is_sent_arrives() {
        use crate::helper::Relay;
        use std::io::Write;
        let path = std::env::temp_dir().join(format!("farpane-opener-{}", std::process::id()));
        let log = UnixDatagram::bind(&path).expect("a socket");
        let relay = |request: &OpenRequest| Relay::over(InProcess.open(request).expect("is there")).expect("an end");
        relay(&OpenRequest::Datagrams(path.clone())).send(b"line").expect("arrives");
        assert_eq!(log.recv(&mut [0; 9]).expect("arrived"), 4);
        let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0"), std::net::TcpListener::bind("127.0.0.1:0"));
        let (udp, tcp) = (udp.expect("a port"), tcp.expect("a port"));
        let to = OpenRequest::Udp(udp.local_addr().expect("bound"));
        relay(&to).send(b"line").expect("arrives");
        assert_eq!(udp.recv(&mut [0; 9]).expect("arrived"), 4);
        let to = OpenRequest::Tcp(tcp.local_addr().expect("bound"));
        TcpStream::from(InProcess.open(&to).expect("listens")).write_all(b"line").expect("arrives");
        drop((log, tcp));
        std::fs::remove_file(&path).expect("is there");
        for gone in [OpenRequest::Datagrams(path), to] {
            let said = InProcess.open(&gone).expect_err("is gone").to_string();
            assert!(said.starts_with(&format!("{gone}: ")), "{said}");
        }
    }

    #[test]
    fn a_socket_with_only_a_name_is_connected_to() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixListener};
        let name = format!("farpane-opener-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let _listener = UnixListener::bind_addr(&address).expect("listens");
        InProcess.open(&OpenRequest::Bus(format!("@{name}").into())).expect("connects");
        InProcess.open(&OpenRequest::Bus(format!("@{name}x").into())).expect_err("nobody listens");
    }

    #[test]
    fn a_file_is_opened_for_reading() {
        use std::io::Read;
        let fd = InProcess.open(&OpenRequest::Trace("/proc/self/stat".into())).expect("always there");
        let mut text = String::new();
        std::fs::File::from(fd).read_to_string(&mut text).expect("readable");
        assert!(!text.is_empty());
    }
}
