//! The client's side: for tests and for viewers.

use super::{HandshakeError, SecurityType, ServerInit, Step};
use crate::version::{BANNER_LENGTH, Banner, Version};
use crate::wire::Reader;

/// What a server did during the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The server offers these types, best first: call [`ClientHandshake::choose`].
    Offer(Vec<SecurityType>),
    /// This type begins. For VncAuth a challenge follows; for None nothing is to be done; for any other the stream is the
    /// caller's until [`ClientHandshake::security_done`].
    SecurityChosen(SecurityType),
    /// The server's challenge: call [`ClientHandshake::respond`].
    VncAuthChallenge([u8; 16]),
    /// The handshake is done: messages follow.
    ServerInit(ServerInit),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Version,
    Offer,
    Choosing,
    Security,
    Challenge,
    Responding,
    Result,
    ClientInit,
    ServerInit,
    Done,
}

/// The client's side of a handshake, without I/O; driven like [`ServerHandshake`](super::ServerHandshake).
#[derive(Clone, Debug)]
pub struct ClientHandshake {
    newest: Version,
    version: Version,
    shared: bool,
    offer: Vec<SecurityType>,
    state: State,
}

impl ClientHandshake {
    /// A handshake that speaks at most `newest` and asks to share the desktop or to have it alone.
    pub fn new(newest: Version, shared: bool) -> Self {
        Self { newest, version: newest, shared, offer: Vec::new(), state: State::Version }
    }

    /// The rules in force, once the server's banner has come.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether ServerInit was read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Does the next step with what has arrived.
    ///
    /// # Errors
    ///
    /// A server that refuses, breaks the protocol or speaks another.
    pub fn advance(&mut self, input: &[u8]) -> Result<Step<ClientEvent>, HandshakeError> {
        match self.state {
            State::Version => {
                let banner = Banner::parse(input).map_err(|_| HandshakeError::NotRfb)?;
                let Some(banner) = banner else { return Ok(Step::nothing()) };
                let version = banner.version().ok_or(HandshakeError::Version(banner))?;
                self.version = version.min(self.newest);
                self.state = State::Offer;
                Ok(Step::new(BANNER_LENGTH, self.version.banner().to_vec(), None))
            }
            State::Offer if self.version == Version::V3_3 => self.imposed(input),
            State::Offer => self.offered(input),
            State::Challenge => {
                let mut reader = Reader::new(input);
                let Some(challenge) = reader.array() else { return Ok(Step::nothing()) };
                self.state = State::Responding;
                Ok(Step::new(reader.used(), Vec::new(), Some(ClientEvent::VncAuthChallenge(challenge))))
            }
            State::Result => self.result(input),
            State::ClientInit => {
                self.state = State::ServerInit;
                Ok(Step::new(0, vec![u8::from(self.shared)], None))
            }
            State::ServerInit => match ServerInit::parse(input)? {
                None => Ok(Step::nothing()),
                Some((init, used)) => {
                    self.state = State::Done;
                    Ok(Step::new(used, Vec::new(), Some(ClientEvent::ServerInit(init))))
                }
            },
            State::Choosing | State::Security | State::Responding | State::Done => Ok(Step::nothing()),
        }
    }

    fn imposed(&mut self, input: &[u8]) -> Result<Step<ClientEvent>, HandshakeError> {
        let mut reader = Reader::new(input);
        match reader.u32() {
            None => Ok(Step::nothing()),
            Some(0) => refused(reader),
            Some(number) => {
                let kind = SecurityType(u8::try_from(number).unwrap_or(0));
                if !matches!(kind, SecurityType::NONE | SecurityType::VNC_AUTH) {
                    return Err(HandshakeError::NotOffered { chosen: kind });
                }
                self.begin(kind);
                Ok(Step::new(reader.used(), Vec::new(), Some(ClientEvent::SecurityChosen(kind))))
            }
        }
    }

    fn offered(&mut self, input: &[u8]) -> Result<Step<ClientEvent>, HandshakeError> {
        let mut reader = Reader::new(input);
        match reader.u8() {
            None => Ok(Step::nothing()),
            Some(0) => refused(reader),
            Some(count) => {
                let Some(types) = reader.take(usize::from(count)) else { return Ok(Step::nothing()) };
                self.offer = types.iter().copied().map(SecurityType).collect();
                self.state = State::Choosing;
                Ok(Step::new(reader.used(), Vec::new(), Some(ClientEvent::Offer(self.offer.clone()))))
            }
        }
    }

    fn result(&mut self, input: &[u8]) -> Result<Step<ClientEvent>, HandshakeError> {
        let mut reader = Reader::new(input);
        match reader.u32() {
            None => Ok(Step::nothing()),
            Some(0) => {
                self.state = State::ClientInit;
                Ok(Step::new(reader.used(), Vec::new(), None))
            }
            Some(1 | 2) if self.version == Version::V3_8 => refused(reader),
            Some(1 | 2) => Err(HandshakeError::Refused { reason: String::new() }),
            Some(other) => Err(HandshakeError::SecurityResult(other)),
        }
    }

    fn begin(&mut self, kind: SecurityType) {
        self.state = match kind {
            SecurityType::NONE if self.version < Version::V3_8 => State::ClientInit,
            SecurityType::NONE => State::Result,
            SecurityType::VNC_AUTH => State::Challenge,
            _ => State::Security,
        };
    }

    /// Chooses one of the offered types; returns the bytes to send.
    ///
    /// # Errors
    ///
    /// A type that was not offered, or called without an offer.
    pub fn choose(&mut self, kind: SecurityType) -> Result<Vec<u8>, HandshakeError> {
        if self.state != State::Choosing {
            return Err(self.out_of_order("choose"));
        }
        if !self.offer.contains(&kind) {
            return Err(HandshakeError::NotOffered { chosen: kind });
        }
        self.begin(kind);
        Ok(vec![kind.0])
    }

    /// Answers the challenge; returns the bytes to send.
    ///
    /// # Errors
    ///
    /// Called without a challenge.
    pub fn respond(&mut self, response: [u8; 16]) -> Result<Vec<u8>, HandshakeError> {
        if self.state != State::Responding {
            return Err(self.out_of_order("respond"));
        }
        self.state = State::Result;
        Ok(response.to_vec())
    }

    /// The caller has done the chosen type's own part; SecurityResult follows.
    ///
    /// # Errors
    ///
    /// Called when no such type is at work.
    pub fn security_done(&mut self) -> Result<(), HandshakeError> {
        if self.state != State::Security {
            return Err(self.out_of_order("security done"));
        }
        self.state = State::Result;
        Ok(())
    }

    fn out_of_order(&self, called: &'static str) -> HandshakeError {
        let state = match self.state {
            State::Version => "version",
            State::Offer => "offer",
            State::Choosing => "choosing",
            State::Security => "security",
            State::Challenge => "challenge",
            State::Responding => "responding",
            State::Result => "result",
            State::ClientInit => "client init",
            State::ServerInit => "server init",
            State::Done => "done",
        };
        HandshakeError::OutOfOrder { called, state }
    }
}

fn refused(mut reader: Reader<'_>) -> Result<Step<ClientEvent>, HandshakeError> {
    match reader.text()? {
        None => Ok(Step::nothing()),
        Some(reason) => Err(HandshakeError::Refused { reason }),
    }
}
