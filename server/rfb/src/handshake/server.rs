//! The server's side.

use super::{HandshakeError, SecurityType, ServerInit, Step};
use crate::limits;
use crate::version::{Banner, SERVER_BANNER, Version};
use crate::wire::{Put, Reader};

/// What a client did during the handshake.
#[derive(Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// The client's version is known.
    Version {
        /// What it said.
        banner: Banner,
        /// The rules that follow from it.
        version: Version,
    },
    /// This security type begins. For VncAuth call [`ServerHandshake::challenge`]; for None
    /// [`ServerHandshake::accept`] at once; for any other the stream is the caller's until it accepts or rejects.
    SecurityChosen(SecurityType),
    /// The client's answer to the challenge: check it, then accept or reject.
    VncAuthResponse([u8; 16]),
    /// The client is let in and says whether it shares the desktop: call [`ServerHandshake::server_init`].
    ClientInit {
        /// Whether others may stay.
        shared: bool,
    },
    /// The client was refused: send the output and close.
    Refused(HandshakeError),
}

/// Without the response: with the challenge it lets a reader of logs search for the password.
impl std::fmt::Debug for ServerEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version { banner, version } => write!(f, "Version(says {banner}, served as {version})"),
            Self::SecurityChosen(kind) => write!(f, "SecurityChosen({kind})"),
            Self::VncAuthResponse(_) => f.write_str("VncAuthResponse"),
            Self::ClientInit { shared } => write!(f, "ClientInit(shared {shared})"),
            Self::Refused(error) => write!(f, "Refused({error})"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Version,
    Imposed(SecurityType),
    Offering,
    Choice,
    Security(SecurityType),
    Response,
    Judging(SecurityType),
    ClientInit,
    ServerInit,
    Done,
    Closed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Version => "version",
            Self::Imposed(_) | Self::Offering => "offering",
            Self::Choice => "choice",
            Self::Security(_) => "security",
            Self::Response => "response",
            Self::Judging(_) => "judging",
            Self::ClientInit => "client init",
            Self::ServerInit => "server init",
            Self::Done => "done",
            Self::Closed => "closed",
        }
    }
}

/// The server's side of a handshake, without I/O.
///
/// Call [`advance`](Self::advance) with what has arrived (at first nothing), send the output, drop the used bytes, act on
/// the event; repeat until a step is idle, then read more. The order of the offer is the order of preference.
///
/// ```
/// use farpane_rfb::PixelFormat;
/// use farpane_rfb::handshake::{SecurityType, ServerEvent, ServerHandshake, ServerInit};
///
/// let mut server = ServerHandshake::new(&[SecurityType::NONE]);
/// let (mut input, mut sent) = (b"RFB 003.008\n\x01\x01".to_vec(), Vec::new());
/// while !server.is_done() {
///     let step = server.advance(&input)?;
///     input.drain(..step.used);
///     sent.extend(step.output);
///     match step.event {
///         Some(ServerEvent::SecurityChosen(SecurityType::NONE)) => sent.extend(server.accept()?),
///         Some(ServerEvent::ClientInit { shared }) => {
///             assert!(shared);
///             let init = ServerInit { width: 2, height: 1, pixel_format: PixelFormat::BGRX, name: "x".into() };
///             sent.extend(server.server_init(&init)?);
///         }
///         _ => {}
///     }
/// }
/// assert!(sent.starts_with(b"RFB 003.008\n\x01\x01\0\0\0\0"));
/// # Ok::<(), farpane_rfb::handshake::HandshakeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ServerHandshake {
    offer: Vec<SecurityType>,
    state: State,
    version: Version,
}

impl ServerHandshake {
    /// A handshake that offers these types, best first. At most [`limits::SECURITY_TYPES`] count. An empty offer refuses
    /// every client.
    pub fn new(offer: &[SecurityType]) -> Self {
        let offer = offer.iter().copied().take(limits::SECURITY_TYPES).collect();
        Self { offer, state: State::Greeting, version: Version::V3_8 }
    }

    /// The bytes that refuse a peer before it has said anything (too many connections, banned): banner 3.3 and a reason.
    /// Send them and close.
    pub fn early_refusal(reason: &str) -> Vec<u8> {
        let mut out = Version::V3_3.banner().to_vec();
        out.put_u32(0);
        out.put_text(reason);
        out
    }

    /// The rules in force; 3.8 until the client's banner has come.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether ServerInit was written: messages follow.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// What the handshake waits for, for logs.
    pub fn waits_for(&self) -> &'static str {
        self.state.name()
    }

    /// Does the next step with what has arrived.
    ///
    /// # Errors
    ///
    /// A client that cannot be served and gets no words for it: close.
    pub fn advance(&mut self, input: &[u8]) -> Result<Step<ServerEvent>, HandshakeError> {
        let result = self.step(input);
        if result.is_err() {
            self.state = State::Closed;
        }
        result
    }

    fn step(&mut self, input: &[u8]) -> Result<Step<ServerEvent>, HandshakeError> {
        match self.state {
            State::Greeting => {
                self.state = State::Version;
                Ok(Step::new(0, SERVER_BANNER.to_vec(), None))
            }
            State::Version => self.banner(input),
            State::Imposed(kind) => {
                let mut output = Vec::new();
                output.put_u32(u32::from(kind.0));
                self.state = State::Security(kind);
                Ok(Step::new(0, output, Some(ServerEvent::SecurityChosen(kind))))
            }
            State::Offering => {
                let mut output = vec![u8::try_from(self.offer.len()).unwrap_or(u8::MAX)];
                output.extend(self.offer.iter().map(|kind| kind.0));
                self.state = State::Choice;
                Ok(Step::new(0, output, None))
            }
            State::Choice => {
                let Some(&number) = input.first() else { return Ok(Step::nothing()) };
                let chosen = SecurityType(number);
                if !self.offer.contains(&chosen) {
                    return Err(HandshakeError::NotOffered { chosen });
                }
                self.state = State::Security(chosen);
                Ok(Step::new(1, Vec::new(), Some(ServerEvent::SecurityChosen(chosen))))
            }
            State::Response => {
                let mut reader = Reader::new(input);
                let Some(response) = reader.array() else { return Ok(Step::nothing()) };
                self.state = State::Judging(SecurityType::VNC_AUTH);
                Ok(Step::new(reader.used(), Vec::new(), Some(ServerEvent::VncAuthResponse(response))))
            }
            State::ClientInit => {
                let Some(&shared) = input.first() else { return Ok(Step::nothing()) };
                self.state = State::ServerInit;
                Ok(Step::new(1, Vec::new(), Some(ServerEvent::ClientInit { shared: shared != 0 })))
            }
            State::Security(_) | State::Judging(_) | State::ServerInit | State::Done | State::Closed => {
                Ok(Step::nothing())
            }
        }
    }

    fn banner(&mut self, input: &[u8]) -> Result<Step<ServerEvent>, HandshakeError> {
        let banner = Banner::parse(input).map_err(|_| HandshakeError::NotRfb)?;
        let Some(banner) = banner else { return Ok(Step::nothing()) };
        let used = SERVER_BANNER.len();
        let Some(version) = banner.version() else {
            let reason = format!("This server speaks RFB 3.3 to 3.8, the client asks for {banner}");
            // A peer whose minor version is 3 expects the number of version 3.3.
            self.version = if banner.minor == 3 { Version::V3_3 } else { Version::V3_8 };
            return Ok(self.refuse(used, &reason, HandshakeError::Version(banner)));
        };
        self.version = version;
        let imposed = |kind: &&SecurityType| matches!(**kind, SecurityType::NONE | SecurityType::VNC_AUTH);
        self.state = match (version, self.offer.iter().find(imposed)) {
            (Version::V3_3, Some(&kind)) => State::Imposed(kind),
            (Version::V3_7 | Version::V3_8, _) if !self.offer.is_empty() => State::Offering,
            _ => {
                let reason = "No security type of this server can be used by this version of the protocol";
                return Ok(self.refuse(used, reason, HandshakeError::NothingToOffer(banner)));
            }
        };
        Ok(Step::new(used, Vec::new(), Some(ServerEvent::Version { banner, version })))
    }

    fn refuse(&mut self, used: usize, reason: &str, error: HandshakeError) -> Step<ServerEvent> {
        let mut output = Vec::new();
        match self.version {
            Version::V3_3 => output.put_u32(0),
            Version::V3_7 | Version::V3_8 => output.put_u8(0),
        }
        output.put_text(reason);
        self.state = State::Closed;
        Step::new(used, output, Some(ServerEvent::Refused(error)))
    }

    /// Refuses with a reason once the client's version is known and nothing was offered yet; returns the bytes to send
    /// before closing.
    ///
    /// # Errors
    ///
    /// Called at another time.
    pub fn refuse_offer(&mut self, reason: &str) -> Result<Vec<u8>, HandshakeError> {
        match self.state {
            State::Imposed(_) | State::Offering => {
                let refused = HandshakeError::Refused { reason: String::new() };
                Ok(self.refuse(0, reason, refused).output)
            }
            _ => Err(self.out_of_order("refuse offer")),
        }
    }

    /// Begins VncAuth with 16 fresh random bytes; returns the bytes to send.
    ///
    /// # Errors
    ///
    /// Called when VncAuth is not the chosen type.
    pub fn challenge(&mut self, challenge: [u8; 16]) -> Result<Vec<u8>, HandshakeError> {
        if self.state != State::Security(SecurityType::VNC_AUTH) {
            return Err(self.out_of_order("challenge"));
        }
        self.state = State::Response;
        Ok(challenge.to_vec())
    }

    /// The security type is through and the client is let in; returns the bytes to send: a SecurityResult, or nothing for
    /// None before 3.8.
    ///
    /// # Errors
    ///
    /// Called before a type was chosen, or for VncAuth before its response came.
    pub fn accept(&mut self) -> Result<Vec<u8>, HandshakeError> {
        let kind = self.judged("accept")?;
        self.state = State::ClientInit;
        let silent = kind == SecurityType::NONE && self.version < Version::V3_8;
        Ok(if silent { Vec::new() } else { vec![0; 4] })
    }

    /// The client failed; returns the bytes to send before closing: a SecurityResult, with the reason in 3.8.
    ///
    /// # Errors
    ///
    /// Called before a type was chosen, or for VncAuth before its response came.
    pub fn reject(&mut self, reason: &str) -> Result<Vec<u8>, HandshakeError> {
        let kind = self.judged("reject")?;
        self.state = State::Closed;
        let mut out = Vec::new();
        if kind == SecurityType::NONE && self.version < Version::V3_8 {
            return Ok(out);
        }
        out.put_u32(1);
        if self.version == Version::V3_8 {
            out.put_text(reason);
        }
        Ok(out)
    }

    /// Ends the handshake; returns the bytes to send.
    ///
    /// # Errors
    ///
    /// Called before ClientInit came.
    pub fn server_init(&mut self, init: &ServerInit) -> Result<Vec<u8>, HandshakeError> {
        if self.state != State::ServerInit {
            return Err(self.out_of_order("server init"));
        }
        self.state = State::Done;
        let mut out = Vec::new();
        init.write(&mut out);
        Ok(out)
    }

    /// The type whose outcome may be told now: VncAuth only after its response.
    fn judged(&self, called: &'static str) -> Result<SecurityType, HandshakeError> {
        match self.state {
            State::Security(SecurityType::VNC_AUTH) => Err(self.out_of_order(called)),
            State::Security(kind) | State::Judging(kind) => Ok(kind),
            _ => Err(self.out_of_order(called)),
        }
    }

    fn out_of_order(&self, called: &'static str) -> HandshakeError {
        HandshakeError::OutOfOrder { called, state: self.state.name() }
    }
}
