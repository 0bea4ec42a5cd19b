//! Syslog as RFC 5424 writes it, over a Unix socket, UDP (RFC 5426) or TCP with counted octets (RFC 6587).

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use super::{Line, Machine, Sink, SinkError};
use crate::audit::settings::SinkSpec;
use crate::audit::time::utc;
use crate::auth::Moment;

/// authpriv. SOURCE: RFC 5424, section 6.2.1.
const FACILITY: u8 = 10;
/// A server may take this long to take a connection or a line.
const LIMIT: Duration = Duration::from_secs(3);
/// A server that failed is tried again after this.
const REST: Duration = Duration::from_secs(5);

#[derive(Debug)]
enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Socket {
    fn connect(spec: &SinkSpec) -> io::Result<Socket> {
        match spec {
            SinkSpec::SyslogUnix(path) => Self::unix(path),
            SinkSpec::SyslogUdp(to) => Self::udp(*to),
            SinkSpec::SyslogTcp(to) => {
                let stream = TcpStream::connect_timeout(to, LIMIT)?;
                stream.set_write_timeout(Some(LIMIT))?;
                Ok(Socket::Tcp(stream))
            }
            SinkSpec::Journald | SinkSpec::File(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn unix(path: &Path) -> io::Result<Socket> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_write_timeout(Some(LIMIT))?;
        Ok(Socket::Unix(socket))
    }

    fn udp(to: SocketAddr) -> io::Result<Socket> {
        let from: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(from)?;
        socket.connect(to)?;
        Ok(Socket::Udp(socket))
    }

    fn send(&mut self, message: &str) -> io::Result<()> {
        match self {
            Socket::Unix(socket) => socket.send(message.as_bytes()).map(drop),
            Socket::Udp(socket) => socket.send(message.as_bytes()).map(drop),
            Socket::Tcp(stream) => stream.write_all(format!("{} {message}", message.len()).as_bytes()),
        }
    }
}

/// A syslog server.
#[derive(Debug)]
pub struct Syslog {
    spec: SinkSpec,
    machine: Machine,
    socket: Option<Socket>,
    failed: Option<Moment>,
}

/// Printable ASCII without spaces, as header fields must be.
fn word(text: &str, most: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if word.is_empty() { "-".into() } else { word }
}

/// One message.
fn message(line: &Line, machine: &Machine) -> String {
    let priority = u32::from(FACILITY) * 8 + u32::from(line.severity.number());
    let (host, pid) = (word(&machine.host, 255), machine.pid);
    format!("<{priority}>1 {} {host} farpane {pid} {} - {}", utc(line.at), word(line.event, 32), line.json)
}

impl Syslog {
    /// The server that `spec` names; connects now if it is there, else with the first line.
    pub fn new(spec: SinkSpec, machine: Machine) -> Self {
        let socket = Socket::connect(&spec).ok();
        Syslog { spec, machine, socket, failed: None }
    }
}

impl Sink for Syslog {
    fn name(&self) -> String {
        self.spec.to_string()
    }

    fn write(&mut self, line: &Line) -> Result<(), SinkError> {
        let text = message(line, &self.machine);
        if let Some(socket) = &mut self.socket {
            if socket.send(&text).is_ok() {
                return Ok(());
            }
            self.socket = None;
        }
        // each try may take a while, and other lines wait meanwhile
        if self.failed.is_some_and(|at| at <= line.at && line.at.since(at) < REST) {
            return Err(SinkError::Resting(self.spec.clone()));
        }
        let sent = Socket::connect(&self.spec).and_then(|mut socket| socket.send(&text).map(|()| socket));
        match sent {
            Ok(socket) => {
                (self.socket, self.failed) = (Some(socket), None);
                Ok(())
            }
            Err(error) => {
                self.failed = Some(line.at);
                Err(SinkError::Syslog(self.spec.clone(), error))
            }
        }
    }
}
