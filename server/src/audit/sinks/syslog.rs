//! Syslog as RFC 5424 writes it, over a Unix socket, UDP (RFC 5426) or TCP with counted octets (RFC 6587).

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::{Line, Machine, Sink, SinkError};
use crate::audit::settings::SinkSpec;
use crate::audit::time::utc;
use crate::auth::Moment;
use crate::helper::{OpenRequest, Opener, Relay};

/// authpriv. SOURCE: RFC 5424, section 6.2.1.
const FACILITY: u8 = 10;
/// A server may take this long to take a line.
const LIMIT: Duration = Duration::from_secs(3);
/// A server that failed is tried again after this.
const REST: Duration = Duration::from_secs(5);

#[derive(Debug)]
enum Socket {
    Datagrams(Relay),
    Tcp(TcpStream),
}

impl Socket {
    fn connect(spec: &SinkSpec, opener: &dyn Opener) -> Result<Socket, SinkError> {
        let failed = |error| SinkError::Syslog(spec.clone(), error);
        let socket = match spec {
            SinkSpec::SyslogUnix(path) => {
                Relay::over(opener.open(&OpenRequest::Datagrams(path.clone()))?).map(Socket::Datagrams)
            }
            SinkSpec::SyslogUdp(to) => Relay::over(opener.open(&OpenRequest::Udp(*to))?).map(Socket::Datagrams),
            SinkSpec::SyslogTcp(to) => {
                let stream = TcpStream::from(opener.open(&OpenRequest::Tcp(*to))?);
                stream.set_write_timeout(Some(LIMIT)).map(|()| Socket::Tcp(stream))
            }
            SinkSpec::Journald | SinkSpec::File(_) => Err(io::ErrorKind::Unsupported.into()),
        };
        socket.map_err(failed)
    }

    fn send(&mut self, message: &str) -> io::Result<()> {
        match self {
            Socket::Datagrams(relay) => relay.send(message.as_bytes()),
            Socket::Tcp(stream) => stream.write_all(format!("{} {message}", message.len()).as_bytes()),
        }
    }
}

/// A syslog server.
pub struct Syslog {
    spec: SinkSpec,
    machine: Machine,
    opener: Arc<dyn Opener>,
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
    /// The server that `spec` names; `opener` connects to it here if it is there, else with the first line.
    pub fn new(spec: SinkSpec, machine: Machine, opener: Arc<dyn Opener>) -> Self {
        let socket = Socket::connect(&spec, opener.as_ref()).ok();
        Syslog { spec, machine, opener, socket, failed: None }
    }

    fn connect_and_send(&self, text: &str) -> Result<Socket, SinkError> {
        let mut socket = Socket::connect(&self.spec, self.opener.as_ref())?;
        socket.send(text).map_err(|error| SinkError::Syslog(self.spec.clone(), error))?;
        Ok(socket)
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
        // each try may take a while where a network is between, and other lines wait meanwhile
        let far = matches!(self.spec, SinkSpec::SyslogTcp(_));
        if far && self.failed.is_some_and(|at| at <= line.at && line.at.since(at) < REST) {
            return Err(SinkError::Resting(self.spec.clone()));
        }
        match self.connect_and_send(&text) {
            Ok(socket) => {
                (self.socket, self.failed) = (Some(socket), None);
                Ok(())
            }
            Err(error) => {
                self.failed = Some(line.at);
                Err(error)
            }
        }
    }
}
