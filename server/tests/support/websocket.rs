//! WebSocket as a browser has it, over TLS or not: blocking.

use std::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use std::net::TcpStream;
use std::time::Duration;

use tokio_tungstenite::tungstenite::client::client;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, WebSocket};

use crate::raw::Wire;
use crate::{ClientError, Raw, Tls};

struct WsWire {
    socket: WebSocket<Box<dyn Wire>>,
    pending: Vec<u8>,
}

fn io(error: WsError) -> Error {
    match error {
        WsError::Io(error) => error,
        WsError::ConnectionClosed | WsError::AlreadyClosed => ErrorKind::UnexpectedEof.into(),
        other => Error::new(ErrorKind::InvalidData, other),
    }
}

impl Read for WsWire {
    fn read(&mut self, into: &mut [u8]) -> IoResult<usize> {
        while self.pending.is_empty() {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => self.pending = bytes.to_vec(),
                Ok(Message::Close(_)) => return Ok(0),
                Ok(_) => {}
                Err(error) => return Err(io(error)),
            }
        }
        let take = self.pending.len().min(into.len());
        into[..take].copy_from_slice(&self.pending[..take]);
        self.pending.drain(..take);
        Ok(take)
    }
}

impl Write for WsWire {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        self.socket.send(Message::binary(bytes.to_vec())).map_err(io)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> IoResult<()> {
        self.socket.flush().map_err(io)
    }
}

impl Wire for WsWire {
    fn set_timeout(&mut self, limit: Duration) -> IoResult<()> {
        self.socket.get_mut().set_timeout(limit)
    }
}

impl Raw {
    /// Connects to a listener as the server prints it, `ws:ADDR:PORT`, or `wss:ADDR:PORT` with `tls`.
    ///
    /// # Errors
    /// When nobody listens there, or TLS or WebSocket do not come about.
    pub fn connect_websocket(listener: &str, tls: Option<&Tls>, limit: Duration) -> Result<Self, ClientError> {
        let address = listener.trim_start_matches("wss:").trim_start_matches("ws:");
        let tcp = TcpStream::connect(address)?;
        tcp.set_nodelay(true)?;
        let mut wire: Box<dyn Wire> = Box::new(tcp);
        wire.set_timeout(limit)?;
        if let Some(tls) = tls {
            wire = tls.over(wire)?.0;
        }
        let asked = client(format!("ws://{address}/"), wire);
        let (socket, _) = asked.map_err(|e| ClientError::Handshake(format!("WebSocket: {e}")))?;
        Self::over(Box::new(WsWire { socket, pending: Vec::new() }), limit)
    }
}
