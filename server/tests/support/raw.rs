//! A connection as bytes, and the handshake.

use crate::{ClientError, Tls};
use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};
use farpane_engine::geometry::Size;
use farpane_engine::pixel::ClientFormat;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Something to speak RFB over.
pub trait Wire: Read + Write + Send {
    /// Limits how long one read or write may take.
    ///
    /// # Errors
    /// As the system says.
    fn set_timeout(&mut self, limit: Duration) -> std::io::Result<()>;
}

impl Wire for TcpStream {
    fn set_timeout(&mut self, limit: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }
}

impl Wire for UnixStream {
    fn set_timeout(&mut self, limit: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }
}

/// What is left of a connection on which a layer could not be put.
struct Gone;

impl Read for Gone {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(ErrorKind::NotConnected.into())
    }
}

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(ErrorKind::NotConnected.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Wire for Gone {
    fn set_timeout(&mut self, _: Duration) -> std::io::Result<()> {
        Ok(())
    }
}

/// How the client proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security<'a> {
    /// Not at all (type 1).
    None,
    /// By a password (type 2).
    VncAuth(&'a str),
    /// By a user's name and password inside of TLS (VeNCrypt, type 19, subtype 262).
    X509Plain {
        /// What the client trusts and shows.
        tls: &'a Tls,
        /// The user's name.
        user: &'a str,
        /// The password.
        password: &'a str,
    },
}

impl Security<'_> {
    /// The security type's number.
    pub fn number(&self) -> u8 {
        match self {
            Self::None => 1,
            Self::VncAuth(_) => 2,
            Self::X509Plain { .. } => 19,
        }
    }
}

/// What the server says of its desktop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInit {
    /// The picture's size.
    pub size: Size,
    /// The server's own pixel format.
    pub format: ClientFormat,
    /// The desktop's name.
    pub name: String,
}

/// A connection on which every byte is the test's own business.
pub struct Raw {
    wire: Box<dyn Wire>,
    limit: Duration,
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raw").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Raw {
    /// Connects to a listener as the server prints it: `ADDR:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(listener: &str, limit: Duration) -> Result<Self, ClientError> {
        let wire: Box<dyn Wire> = match listener.strip_prefix("unix:") {
            Some(path) => Box::new(UnixStream::connect(path)?),
            None => {
                let tcp = TcpStream::connect(listener)?;
                tcp.set_nodelay(true)?;
                Box::new(tcp)
            }
        };
        Self::over(wire, limit)
    }

    /// Speaks over a connection made elsewhere.
    ///
    /// # Errors
    /// When its time limits cannot be set.
    pub fn over(mut wire: Box<dyn Wire>, limit: Duration) -> Result<Self, ClientError> {
        wire.set_timeout(limit)?;
        Ok(Self { wire, limit })
    }

    /// The connection below, for a layer that goes over it.
    pub fn into_wire(self) -> Box<dyn Wire> {
        self.wire
    }

    /// Puts a layer on the connection, between two bytes.
    pub(crate) fn layered<T>(
        &mut self,
        put: impl FnOnce(Box<dyn Wire>) -> Result<(Box<dyn Wire>, T), ClientError>,
    ) -> Result<T, ClientError> {
        let (wire, result) = put(std::mem::replace(&mut self.wire, Box::new(Gone)))?;
        self.wire = wire;
        Ok(result)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the server is gone or takes nothing.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.wire.write_all(bytes)?;
        Ok(self.wire.flush()?)
    }

    /// Reads exactly so many bytes.
    ///
    /// # Errors
    /// [`ClientError::Closed`] when the server closes before.
    pub fn read(&mut self, n: usize) -> Result<Vec<u8>, ClientError> {
        let mut out = vec![0; n];
        self.wire.set_timeout(self.limit)?;
        match self.wire.read_exact(&mut out) {
            Ok(()) => Ok(out),
            Err(e) if is_end(&e) => Err(ClientError::Closed),
            Err(e) => Err(e.into()),
        }
    }

    /// Reads what is there, waiting at most until `deadline` for the first byte; none when nothing came.
    ///
    /// # Errors
    /// [`ClientError::Closed`] at the end of the stream.
    pub fn read_some(&mut self, into: &mut [u8], deadline: Instant) -> Result<Option<usize>, ClientError> {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.wire.set_timeout(left)?;
        let got = self.wire.read(into);
        self.wire.set_timeout(self.limit)?;
        match got {
            Ok(0) => Err(ClientError::Closed),
            Ok(n) => Ok(Some(n)),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(e) if is_end(&e) => Err(ClientError::Closed),
            Err(e) => Err(e.into()),
        }
    }

    /// Reads until the server closes and returns what it still sent.
    ///
    /// # Errors
    /// When it does not close in time.
    pub fn read_to_close(&mut self) -> Result<Vec<u8>, ClientError> {
        let deadline = Instant::now() + self.limit;
        let mut out = Vec::new();
        let mut block = [0; 16_384];
        loop {
            match self.read_some(&mut block, deadline) {
                Ok(Some(n)) => out.extend_from_slice(&block[..n]),
                Err(ClientError::Closed) => return Ok(out),
                Err(e) => return Err(e),
                Ok(None) => {}
            }
            if Instant::now() >= deadline {
                return Err(ClientError::Late {
                    what: "the server to close".into(),
                    limit: self.limit,
                    seen: format!("{} bytes came", out.len()),
                });
            }
        }
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ClientError> {
        let b = self.read(4)?;
        Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn text(&mut self) -> Result<String, ClientError> {
        let len = self.u32()?;
        if len > 4096 {
            return Err(ClientError::Handshake(format!("a text of {len} bytes")));
        }
        Ok(String::from_utf8_lossy(&self.read(len as usize)?).into_owned())
    }

    /// Reads the server's version, which must be 3.8, and answers with `version` (twelve bytes with the line end).
    ///
    /// # Errors
    /// When the server says anything else.
    pub fn versions(&mut self, version: &str) -> Result<(), ClientError> {
        let banner = self.read(12)?;
        if banner != b"RFB 003.008\n" {
            return Err(ClientError::Handshake(format!("version {:?}", String::from_utf8_lossy(&banner))));
        }
        self.send(version.as_bytes())
    }

    /// Reads the list of security types of version 3.7 and later.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the server's reason when there is none.
    pub fn security_types(&mut self) -> Result<Vec<u8>, ClientError> {
        let n = self.read(1)?[0];
        if n == 0 {
            return Err(ClientError::Refused(self.text()?));
        }
        self.read(n.into())
    }

    /// Reads the security type that version 3.3 imposes.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the server's reason when there is none.
    pub fn imposed_type(&mut self) -> Result<u32, ClientError> {
        match self.u32()? {
            0 => Err(ClientError::Refused(self.text()?)),
            n => Ok(n),
        }
    }

    /// Reads the challenge of VncAuth and answers it.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn answer_challenge(&mut self, password: &str) -> Result<(), ClientError> {
        crate::secrets::tell(password);
        let challenge = self.read(16)?;
        let response = vnc_response(&challenge, password.as_bytes());
        self.send(&response)
    }

    /// Reads the SecurityResult, with its reason when `reasons`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when it is not zero.
    pub fn security_result(&mut self, reasons: bool) -> Result<(), ClientError> {
        match self.u32()? {
            0 => Ok(()),
            1 | 2 if reasons => Err(ClientError::Refused(self.text()?)),
            1 | 2 => Err(ClientError::Refused(String::new())),
            other => Err(ClientError::Handshake(format!("security result {other}"))),
        }
    }

    /// Sends ClientInit and reads ServerInit.
    ///
    /// # Errors
    /// When the server closes or its format is not one that viewers take.
    pub fn init(&mut self, shared: bool) -> Result<ServerInit, ClientError> {
        self.send(&[shared.into()])?;
        let b = self.read(20)?;
        let word = |at: usize| u16::from_be_bytes([b[at], b[at + 1]]);
        let format = ClientFormat {
            bpp: b[4],
            depth: b[5],
            big_endian: b[6] != 0,
            true_colour: b[7] != 0,
            r_max: word(8),
            g_max: word(10),
            b_max: word(12),
            r_shift: b[14],
            g_shift: b[15],
            b_shift: b[16],
        };
        if !format.is_valid() {
            return Err(ClientError::Handshake(format!("format {format:?}")));
        }
        let name = self.text()?;
        Ok(ServerInit { size: Size::new(word(0), word(2)), format, name })
    }

    /// The whole handshake in the words of `version`, such as `RFB 003.008\n`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the server does not let the client in.
    pub fn handshake(
        &mut self,
        version: &str,
        security: Security<'_>,
        shared: bool,
    ) -> Result<ServerInit, ClientError> {
        self.versions(version)?;
        let minor: u16 = version.get(8..11).and_then(|m| m.parse().ok()).unwrap_or(0);
        let number = security.number();
        if minor < 7 {
            let imposed = self.imposed_type()?;
            if imposed != u32::from(number) {
                return Err(ClientError::Handshake(format!("security type {imposed} imposed")));
            }
        } else {
            let offered = self.security_types()?;
            if !offered.contains(&number) {
                return Err(ClientError::Handshake(format!("security types {offered:?} offered")));
            }
            self.send(&[number])?;
        }
        match security {
            Security::None => {}
            Security::VncAuth(password) => self.answer_challenge(password)?,
            Security::X509Plain { tls, user, password } => self.x509_plain(tls, user, password)?,
        }
        if minor >= 8 || security != Security::None {
            self.security_result(minor >= 8)?;
        }
        self.init(shared)
    }
}

fn is_end(e: &std::io::Error) -> bool {
    matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// The VncAuth response: DES of both halves, the key's bytes with their bits reversed.
fn vnc_response(challenge: &[u8], password: &[u8]) -> Vec<u8> {
    let mut key = [0; 8];
    for (k, p) in key.iter_mut().zip(password) {
        *k = p.reverse_bits();
    }
    let des = Des::new(&key.into());
    let mut out = Vec::new();
    for half in challenge.chunks_exact(8) {
        let mut block = [0; 8];
        block.copy_from_slice(half);
        let mut block = block.into();
        des.encrypt_block(&mut block);
        out.extend_from_slice(&block);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_password_of_a_known_server_comes_out() {
        // the file that TigerVNC's vncpasswd writes is the password under a fixed key, itself not reversed twice
        let key: Vec<u8> = [23, 82, 107, 6, 35, 78, 88, 7].to_vec();
        assert_eq!(vnc_response(b"goldpass", &key), [0x79, 0x61, 0x05, 0xa5, 0x6b, 0x10, 0x08, 0x3e]);
    }
}
