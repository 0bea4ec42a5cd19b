//! The server's end.

use std::sync::Arc;
use std::time::Instant;

use snow::HandshakeState;
use zeroize::Zeroizing;

use super::{Inbox, MESSAGE_2, MESSAGE_3, Step, noise, peer_key, read, write};
use crate::channel::{Channel, Role};
use crate::error::HandshakeError;
use crate::hello::{ClientHello, ServerHello};
use crate::identity::{Entropy, PublicKey, StaticKey};
use crate::limits;
use crate::resolver::Engine;
use crate::transcript::{OFFER, SUITE_XX_25519, SUITES, Transcript};

/// What a server brings to each handshake.
#[derive(Clone)]
pub struct ServerSettings {
    /// The static key, or whoever answers for it.
    pub key: Arc<dyn StaticKey>,
    /// Which library encrypts.
    pub engine: Engine,
    /// What message 2 says.
    pub hello: ServerHello,
}

/// What a server learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// The handshake is complete: the viewer holds this device key. Decide on it, then call `into_channel`.
    Viewer {
        /// The key that the viewer proved to hold.
        key: PublicKey,
        /// What it said in message 3.
        hello: ClientHello,
    },
}

enum State {
    Suite,
    First(Box<HandshakeState>),
    Third(Box<HandshakeState>),
    Done(Box<HandshakeState>),
    Over,
}

impl State {
    /// The message that is awaited, and how long after the start it may come.
    fn awaits(&self) -> (u8, std::time::Duration) {
        match self {
            Self::Suite => (0, limits::KEY_EXCHANGE),
            Self::First(_) => (1, limits::KEY_EXCHANGE),
            _ => (3, limits::LOGIN),
        }
    }
}

/// The machine of the server's end.
pub struct ServerHandshake {
    settings: ServerSettings,
    transcript: Transcript,
    entropy: Option<Entropy>,
    started: Instant,
    inbox: Inbox,
    state: State,
}

impl ServerHandshake {
    /// Starts when the viewer has chosen this security type. Send [`Self::offer`] first.
    ///
    /// # Errors
    /// When the settings announce a record that is too short.
    pub fn new(
        settings: ServerSettings,
        transcript: Transcript,
        entropy: Entropy,
        now: Instant,
    ) -> Result<Self, HandshakeError> {
        settings.hello.check()?;
        let inbox = Inbox::default();
        Ok(Self { settings, transcript, entropy: Some(entropy), started: now, inbox, state: State::Suite })
    }

    /// The first bytes to send: version, suites, flags.
    pub const fn offer(&self) -> [u8; OFFER] {
        [limits::VERSION, SUITES, 0, 0]
    }

    /// When the peer must have sent what is awaited. A timer set to it must call `advance` with no input.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Done(_) | State::Over => None,
            _ => self.started.checked_add(self.state.awaits().1),
        }
    }

    /// Takes input; call it again with the rest until it is idle.
    ///
    /// # Errors
    /// When the peer broke the protocol or was too slow. Every later call fails too.
    pub fn advance(&mut self, input: &[u8], now: Instant) -> Result<Step<ServerEvent>, HandshakeError> {
        if matches!(self.state, State::Done(_)) {
            return Ok(Step::used(0));
        }
        let (message, limit) = self.state.awaits();
        // an error anywhere below leaves the machine over
        match std::mem::replace(&mut self.state, State::Over) {
            State::Over | State::Done(_) => Err(HandshakeError::OutOfTurn),
            _ if now.saturating_duration_since(self.started) > limit => {
                Err(HandshakeError::TooSlow { message, seconds: limit.as_secs() })
            }
            State::Suite => self.suite(input),
            State::First(noise) => self.first(noise, input),
            State::Third(noise) => self.third(noise, input),
        }
    }

    fn suite(&mut self, input: &[u8]) -> Result<Step<ServerEvent>, HandshakeError> {
        let (_, used) = self.inbox.fill(1, input);
        let Some([suite]) = self.inbox.raw() else {
            self.state = State::Suite;
            return Ok(Step::used(used));
        };
        if suite != SUITE_XX_25519 {
            return Err(HandshakeError::SuiteNotOffered(suite));
        }
        let entropy = self.entropy.take().ok_or(HandshakeError::OutOfTurn)?;
        let prologue = self.transcript.prologue(self.offer(), suite);
        self.state = State::First(noise(self.settings.engine, &self.settings.key, entropy, &prologue, false)?);
        Ok(Step::used(used))
    }

    fn first(&mut self, mut noise: Box<HandshakeState>, input: &[u8]) -> Result<Step<ServerEvent>, HandshakeError> {
        let (whole, used) = self.inbox.message(1, limits::MESSAGE_1, limits::MESSAGE_1, input)?;
        if !whole {
            self.state = State::First(noise);
            return Ok(Step::used(used));
        }
        read(&mut noise, 1, &self.inbox.body())?;
        // a key of low order shows here: it is message 1 that is refused
        let output = write(&mut noise, 1, MESSAGE_2, &self.settings.hello.to_bytes())?;
        self.state = State::Third(noise);
        Ok(Step { used, output, event: None })
    }

    fn third(&mut self, mut noise: Box<HandshakeState>, input: &[u8]) -> Result<Step<ServerEvent>, HandshakeError> {
        let most = MESSAGE_3.saturating_add(limits::CLIENT_HELLO);
        let (whole, used) = self.inbox.message(3, MESSAGE_3, most, input)?;
        if !whole {
            self.state = State::Third(noise);
            return Ok(Step::used(used));
        }
        let payload = Zeroizing::new(read(&mut noise, 3, &self.inbox.body())?);
        let hello = ClientHello::parse(&payload)?;
        let key = peer_key(&noise)?;
        self.state = State::Done(noise);
        Ok(Step { used, output: Vec::new(), event: Some(ServerEvent::Viewer { key, hello }) })
    }

    /// The channel, once the handshake is complete.
    ///
    /// # Errors
    /// When it is not.
    pub fn into_channel(self) -> Result<Channel, HandshakeError> {
        let State::Done(noise) = self.state else { return Err(HandshakeError::OutOfTurn) };
        // a viewer takes records of any length
        let (takes, gives) = (self.settings.hello.max_record.into(), limits::RECORD_MAX);
        Channel::new(*noise, Role::Server, takes, gives)
    }
}
