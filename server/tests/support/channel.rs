//! A viewer's end of the encrypted channel.

use crate::{ClientError, Raw, Wire};
use farpane_channel::auth::{Answer, Ask};
use farpane_channel::handshake::{ViewerEvent, ViewerHandshake, ViewerSettings};
use farpane_channel::hello::{ClientHello, ViewerKind};
use farpane_channel::{Channel, Close, CloseReason, Engine, Entropy, Identity, PublicKey, Record, Transcript};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// The channel's number among the security types.
pub const CHANNEL: u8 = 70;

/// A channel whose server has shown its key.
pub struct ChannelLogin {
    wire: ChannelWire,
    /// The key that the server proved to hold.
    pub key: PublicKey,
}

/// Records as bytes.
struct ChannelWire {
    below: Box<dyn Wire>,
    channel: Channel,
    inbox: Vec<u8>,
    plain: VecDeque<u8>,
    asked: VecDeque<Vec<u8>>,
    ended: bool,
}

fn wrong(error: impl std::fmt::Display) -> ClientError {
    ClientError::Handshake(error.to_string())
}

fn invalid(error: impl std::fmt::Display) -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, error.to_string())
}

impl ChannelLogin {
    /// Shakes hands as the device of this secret, in version 3.8.
    ///
    /// # Errors
    /// When the server does not offer the channel, or breaks its protocol.
    pub fn begin(mut raw: Raw, device: [u8; 32], first: Option<&Answer>) -> Result<Self, ClientError> {
        raw.versions("RFB 003.008\n")?;
        let offered = raw.security_types()?;
        if !offered.contains(&CHANNEL) {
            return Err(wrong(format!("security types {offered:?} offered")));
        }
        raw.send(&[CHANNEL])?;
        let said = Transcript::new(*b"RFB 003.008\n", *b"RFB 003.008\n", &offered, CHANNEL).map_err(wrong)?;
        let settings = ViewerSettings { key: Arc::new(Identity::from_secret(&device)), engine: Engine::Portable };
        // a fixed seed makes a run repeatable; the server's half is random
        let mut viewer = ViewerHandshake::new(settings, said, Entropy::new([0x5a; 32]), Instant::now());
        let mut inbox = raw.read(4)?;
        loop {
            let step = viewer.advance(&inbox, Instant::now()).map_err(wrong)?;
            inbox.drain(..step.used);
            raw.send(&step.output)?;
            if let Some(ViewerEvent::Server { key, .. }) = step.event {
                let first_auth = first.map(|first| first.to_bytes().map_err(wrong)).transpose()?.unwrap_or_default();
                let hello = ClientHello { viewer: ViewerKind::Other, user_hint: String::new(), first_auth };
                raw.send(&viewer.proceed(&hello).map_err(wrong)?)?;
                let channel = viewer.into_channel().map_err(wrong)?;
                let below = raw.into_wire();
                let (plain, asked) = (VecDeque::new(), VecDeque::new());
                return Ok(Self { key, wire: ChannelWire { below, channel, inbox, plain, asked, ended: false } });
            }
            if step.used == 0 && step.output.is_empty() {
                inbox.extend(raw.read(1)?);
            }
        }
    }

    /// Says something in the login.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn say(&mut self, answer: &Answer) -> Result<(), ClientError> {
        let (message, mut sealed) = (answer.to_bytes().map_err(wrong)?, Vec::new());
        self.wire.channel.auth(&message, &mut sealed).map_err(wrong)?;
        Ok(self.wire.below.write_all(&sealed)?)
    }

    /// The prompts of the server's next turn; none when the login is over and a SecurityResult has come.
    ///
    /// # Errors
    /// When the server is gone, or breaks the protocol.
    pub fn asked(&mut self) -> Result<Option<Ask>, ClientError> {
        while self.wire.asked.is_empty() && self.wire.plain.is_empty() {
            if !self.wire.step()? {
                return Err(ClientError::Closed);
            }
        }
        self.wire.asked.pop_front().map(|message| Ask::parse(&message).map_err(wrong)).transpose()
    }

    /// Gives the channel up without a goodbye; the connection below.
    pub fn abandon(self) -> Box<dyn Wire> {
        self.wire.below
    }

    /// The connection from SecurityResult on.
    ///
    /// # Errors
    /// When time limits cannot be set.
    pub fn into_raw(self, limit: Duration) -> Result<Raw, ClientError> {
        Raw::over(Box::new(Polite(self.wire)), limit)
    }
}

/// A name and a password, said at once.
pub fn password(user: &str, password: &str) -> Answer {
    crate::secrets::tell(password);
    Answer::Password { user: user.to_owned(), password: Zeroizing::new(password.to_owned()) }
}

impl ChannelWire {
    /// Opens one record, reading for it where needed; false at the end.
    fn step(&mut self) -> std::io::Result<bool> {
        loop {
            let opened = self.channel.open(&self.inbox, Instant::now()).map_err(invalid)?;
            let (used, whole) = (opened.used, opened.record.is_some());
            match opened.record {
                Some(Record::Rfb(bytes)) => self.plain.extend(bytes),
                Some(Record::Auth(message)) => self.asked.push_back(message.to_vec()),
                Some(Record::Close(_)) => self.ended = true,
                Some(Record::Ping(_)) | None => {}
            }
            self.inbox.drain(..used);
            if whole || self.ended {
                return Ok(!self.ended);
            }
            if used == 0 || self.inbox.is_empty() {
                let mut block = [0; 16_384];
                match self.below.read(&mut block)? {
                    0 => {
                        self.ended = true;
                        self.channel.end().map_err(invalid)?;
                        return Ok(false);
                    }
                    n => self.inbox.extend_from_slice(&block[..n]),
                }
            }
        }
    }
}

impl Read for ChannelWire {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while self.plain.is_empty() && !self.ended {
            self.step()?;
        }
        self.plain.read(buf)
    }
}

impl Write for ChannelWire {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let mut sealed = Vec::new();
        self.channel.write(buf, None, Instant::now(), &mut sealed).map_err(invalid)?;
        self.channel.flush(&mut sealed).map_err(invalid)?;
        self.below.write_all(&sealed)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.below.flush()
    }
}

/// Says goodbye.
struct Polite(ChannelWire);

impl Drop for Polite {
    fn drop(&mut self) {
        let mut sealed = Vec::new();
        // a server that is gone needs no goodbye
        if self.0.channel.close(Close::because(CloseReason::Done), &mut sealed).is_ok() {
            let _ = self.0.below.write_all(&sealed);
        }
    }
}

impl Read for Polite {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Polite {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Wire for Polite {
    fn set_timeout(&mut self, limit: Duration) -> std::io::Result<()> {
        self.0.below.set_timeout(limit)
    }
}
