//! The viewer's end.

use std::sync::Arc;
use std::time::Instant;

use snow::HandshakeState;

use super::{Inbox, MESSAGE_2, MESSAGE_3, Step, noise, peer_key, read, write};
use crate::channel::{Channel, Role};
use crate::error::HandshakeError;
use crate::hello::{ClientHello, ServerHello};
use crate::identity::{Entropy, PublicKey, StaticKey};
use crate::limits;
use crate::resolver::Engine;
use crate::transcript::{OFFER, SUITE_XX_25519, SUITES, Transcript};

/// What a viewer brings to each handshake.
#[derive(Clone)]
pub struct ViewerSettings {
    /// The device key; a guest's is made for the occasion.
    pub key: Arc<dyn StaticKey>,
    /// Which library encrypts.
    pub engine: Engine,
}

/// What a viewer learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewerEvent {
    /// The server proved to hold this key. Compare it with the pin, or show its phrase, before `proceed`.
    Server {
        /// The server's key.
        key: PublicKey,
        /// What it said in message 2.
        hello: ServerHello,
    },
}

enum State {
    Offer,
    Second(Box<HandshakeState>),
    /// The caller compares keys; no limit of time.
    Compare(Box<HandshakeState>, ServerHello),
    Done(Box<HandshakeState>, ServerHello),
    Over,
}

/// The machine of the viewer's end.
pub struct ViewerHandshake {
    settings: ViewerSettings,
    transcript: Transcript,
    entropy: Option<Entropy>,
    started: Instant,
    inbox: Inbox,
    state: State,
}

impl ViewerHandshake {
    /// Starts when this security type was chosen; the server's offer is awaited.
    pub fn new(settings: ViewerSettings, transcript: Transcript, entropy: Entropy, now: Instant) -> Self {
        let inbox = Inbox::default();
        Self { settings, transcript, entropy: Some(entropy), started: now, inbox, state: State::Offer }
    }

    /// When the server must have sent what is awaited. A timer set to it must call `advance` with no input.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Offer | State::Second(_) => self.started.checked_add(limits::KEY_EXCHANGE),
            _ => None,
        }
    }

    /// Takes input; call it again with the rest until it is idle.
    ///
    /// # Errors
    /// When the peer broke the protocol, has nothing that we have, or was too slow. Every later call fails too.
    pub fn advance(&mut self, input: &[u8], now: Instant) -> Result<Step<ViewerEvent>, HandshakeError> {
        let late = now.saturating_duration_since(self.started) > limits::KEY_EXCHANGE;
        let slow = |message| Err(HandshakeError::TooSlow { message, seconds: limits::KEY_EXCHANGE.as_secs() });
        // an error anywhere below leaves the machine over
        match std::mem::replace(&mut self.state, State::Over) {
            State::Over => Err(HandshakeError::OutOfTurn),
            waits @ (State::Compare(..) | State::Done(..)) => {
                self.state = waits;
                Ok(Step::used(0))
            }
            State::Offer if late => slow(0),
            State::Second(_) if late => slow(2),
            State::Offer => self.offer(input),
            State::Second(noise) => self.second(noise, input),
        }
    }

    fn offer(&mut self, input: &[u8]) -> Result<Step<ViewerEvent>, HandshakeError> {
        let (whole, used) = self.inbox.fill(OFFER, input);
        let Some(offer) = whole.then(|| self.inbox.raw::<OFFER>()).flatten() else {
            self.state = State::Offer;
            return Ok(Step::used(used));
        };
        // flags have no meaning in this version; they are hashed all the same
        let [version, suites, _, _] = offer;
        if version != limits::VERSION {
            return Err(HandshakeError::Version(version));
        }
        if suites & SUITES == 0 {
            return Err(HandshakeError::NoCommonSuite(suites));
        }
        let entropy = self.entropy.take().ok_or(HandshakeError::OutOfTurn)?;
        let prologue = self.transcript.prologue(offer, SUITE_XX_25519);
        let mut noise = noise(self.settings.engine, &self.settings.key, entropy, &prologue, true)?;
        let message = write(&mut noise, 1, limits::MESSAGE_1, &[])?;
        self.state = State::Second(noise);
        Ok(Step { used, output: [&[SUITE_XX_25519][..], &message].concat(), event: None })
    }

    fn second(&mut self, mut noise: Box<HandshakeState>, input: &[u8]) -> Result<Step<ViewerEvent>, HandshakeError> {
        let most = MESSAGE_2.saturating_add(limits::SERVER_HELLO);
        let (whole, used) = self.inbox.message(2, MESSAGE_2, most, input)?;
        if !whole {
            self.state = State::Second(noise);
            return Ok(Step::used(used));
        }
        let hello = ServerHello::parse(&read(&mut noise, 2, &self.inbox.body())?)?;
        let key = peer_key(&noise)?;
        self.state = State::Compare(noise, hello);
        Ok(Step { used, output: Vec::new(), event: Some(ViewerEvent::Server { key, hello }) })
    }

    /// Goes on after the server's key was found to be the right one; returns message 3.
    ///
    /// # Errors
    /// When there is nothing to go on from, or `hello` has a field that is too long; the latter may be tried again.
    pub fn proceed(&mut self, hello: &ClientHello) -> Result<Vec<u8>, HandshakeError> {
        let payload = hello.to_bytes()?;
        let (mut noise, server) = match std::mem::replace(&mut self.state, State::Over) {
            State::Compare(noise, server) => (noise, server),
            other => {
                self.state = other;
                return Err(HandshakeError::OutOfTurn);
            }
        };
        let message = write(&mut noise, 3, MESSAGE_3, &payload)?;
        self.state = State::Done(noise, server);
        Ok(message)
    }

    /// The channel, once message 3 is on its way.
    ///
    /// # Errors
    /// When it is not.
    pub fn into_channel(self) -> Result<Channel, HandshakeError> {
        let State::Done(noise, hello) = self.state else { return Err(HandshakeError::OutOfTurn) };
        Channel::new(*noise, Role::Viewer, limits::RECORD_MAX, hello.max_record.into())
    }
}
