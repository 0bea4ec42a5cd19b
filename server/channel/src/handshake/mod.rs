//! The handshake as two machines that take and give bytes: [`ServerHandshake`] answers, [`ViewerHandshake`] begins.
//!
//! Both start where RFB's choice of this security type ended. Each call of `advance` takes what it can use of the input,
//! which may be of any length, and returns what to send. After an error the machine is over for good, and nothing is to be
//! said to the peer: close the connection. Bytes behind the handshake are left alone: they belong to the channel.
//!
//! Tested by cutting, flipping and replacing every byte of every message, and against the implementation in JavaScript.

mod server;
#[cfg(test)]
mod tests;
mod viewer;

pub use server::{ServerEvent, ServerHandshake, ServerSettings};
pub use viewer::{ViewerEvent, ViewerHandshake, ViewerSettings};

use snow::HandshakeState;
use snow::params::NoiseParams;
use std::sync::Arc;

use crate::error::HandshakeError;
use crate::identity::{Entropy, PublicKey, StaticKey};
use crate::limits;
use crate::resolver::{Engine, HELD_ELSEWHERE, Resolver};

/// The protocol's name, which is hashed first.
const PATTERN: &str = "Noise_XX_25519_AESGCM_SHA256";

/// What one call did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<E> {
    /// Bytes of the input that were used; the rest must be given again.
    pub used: usize,
    /// Bytes to send.
    pub output: Vec<u8>,
    /// What happened. With `used` 0, no output and no event, more input is needed.
    pub event: Option<E>,
}

impl<E> Step<E> {
    fn used(used: usize) -> Self {
        Self { used, output: Vec::new(), event: None }
    }

    /// Whether nothing happened: more input is needed, or an answer of the caller.
    pub fn is_idle(&self) -> bool {
        self.used == 0 && self.output.is_empty() && self.event.is_none()
    }
}

/// Bytes of the peer until a message is whole.
#[derive(Default)]
struct Inbox(Vec<u8>);

impl Inbox {
    /// Takes from the input what is missing to `need` bytes; whether they are there, and how many were taken.
    fn fill(&mut self, need: usize, input: &[u8]) -> (bool, usize) {
        let missing = need.saturating_sub(self.0.len());
        let taken = input.get(..missing).unwrap_or(input);
        self.0.extend_from_slice(taken);
        (self.0.len() >= need, taken.len())
    }

    /// Takes a message with its length field; whether it is whole, and how many bytes were taken.
    fn message(
        &mut self,
        number: u8,
        least: usize,
        most: usize,
        input: &[u8],
    ) -> Result<(bool, usize), HandshakeError> {
        let (head, taken) = self.fill(2, input);
        let Some(length) = self.0.first_chunk().filter(|_| head).map(|head| usize::from(u16::from_be_bytes(*head)))
        else {
            return Ok((false, taken));
        };
        if !(least..=most).contains(&length) {
            return Err(HandshakeError::Length { message: number, length, least, most });
        }
        let (whole, more) = self.fill(length.saturating_add(2), input.get(taken..).unwrap_or_default());
        Ok((whole, taken.saturating_add(more)))
    }

    /// The whole message without its length field; the inbox is empty afterwards.
    fn body(&mut self) -> Vec<u8> {
        let whole = std::mem::take(&mut self.0);
        whole.get(2..).unwrap_or_default().to_vec()
    }

    /// The bytes as they came; the inbox is empty afterwards.
    fn raw<const N: usize>(&mut self) -> Option<[u8; N]> {
        std::mem::take(&mut self.0).try_into().ok()
    }
}

/// A Noise handshake at its start.
fn noise(
    engine: Engine,
    key: &Arc<dyn StaticKey>,
    entropy: Entropy,
    prologue: &[u8],
    initiator: bool,
) -> Result<Box<HandshakeState>, HandshakeError> {
    let build = || -> Result<HandshakeState, snow::Error> {
        let params: NoiseParams = PATTERN.parse()?;
        let resolver = Box::new(Resolver::new(engine, Arc::clone(key), entropy));
        let builder =
            snow::Builder::with_resolver(params, resolver).local_private_key(HELD_ELSEWHERE)?.prologue(prologue)?;
        if initiator { builder.build_initiator() } else { builder.build_responder() }
    };
    // only a wrong name or a missing primitive fails here, and the tests would show either
    build().map(Box::new).map_err(|_| HandshakeError::OutOfTurn)
}

/// Writes a message of `fixed` bytes beside its payload, behind its length field.
fn write(noise: &mut HandshakeState, number: u8, fixed: usize, payload: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let length = fixed.saturating_add(payload.len());
    // snow wants room for a tag even where there is none
    let mut body = vec![0; length.saturating_add(limits::TAG)];
    let written = noise.write_message(payload, &mut body).map_err(|_| HandshakeError::Refused(number))?;
    if written != length {
        return Err(HandshakeError::OutOfTurn);
    }
    body.truncate(length);
    let head = u16::try_from(length).map_err(|_| HandshakeError::OutOfTurn)?;
    Ok([&head.to_be_bytes()[..], &body].concat())
}

/// Opens a message; returns its payload.
fn read(noise: &mut HandshakeState, number: u8, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let mut payload = vec![0; message.len()];
    let length = noise.read_message(message, &mut payload).map_err(|_| HandshakeError::Refused(number))?;
    payload.truncate(length);
    Ok(payload)
}

/// The peer's static key, once its message was read.
fn peer_key(noise: &HandshakeState) -> Result<PublicKey, HandshakeError> {
    let key = noise.get_remote_static().and_then(|key| key.try_into().ok());
    key.map(PublicKey::new).ok_or(HandshakeError::OutOfTurn)
}

/// Bytes of message 2 beside its payload: a key, a sealed key, a tag.
const MESSAGE_2: usize = limits::KEY + limits::KEY + limits::TAG + limits::TAG;
/// Bytes of message 3 beside its payload: a sealed key, a tag.
const MESSAGE_3: usize = limits::KEY + limits::TAG + limits::TAG;
