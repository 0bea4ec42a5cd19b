//! The client's side as a machine over bytes: for tests and for viewers.

use zeroize::Zeroizing;

use super::server::credentials;
use super::{VERSION, VeNCryptError};
use crate::auth::login::Secret;

/// What a server did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// It offers these subtypes, best first: call [`Client::choose`].
    Offer(Vec<u32>),
    /// TLS begins now; afterwards call [`Client::credentials`] where the subtype asks for them.
    Secure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Version,
    Verdict,
    Count,
    Offer(u8),
    Choosing,
    Acknowledgement,
    Chosen,
}

/// The client's side of VeNCrypt, without I/O; driven like [`Server`](super::Server).
#[derive(Debug)]
pub struct Client {
    state: State,
    offer: Vec<u32>,
}

impl Default for Client {
    fn default() -> Self {
        Client::new()
    }
}

impl Client {
    /// A client that waits for the server's version.
    pub fn new() -> Self {
        Client { state: State::Version, offer: Vec::new() }
    }

    /// How many bytes the next step takes. 0 when it waits for a call.
    pub fn needs(&self) -> usize {
        match self.state {
            State::Version => 2,
            State::Verdict | State::Count | State::Acknowledgement => 1,
            State::Offer(count) => usize::from(count).saturating_mul(4),
            State::Choosing | State::Chosen => 0,
        }
    }

    /// Takes the bytes that the server sent; returns what to send, and what it did.
    ///
    /// # Errors
    /// When the server refuses or breaks the protocol.
    pub fn step(&mut self, input: &[u8]) -> Result<(Vec<u8>, Option<ClientEvent>), VeNCryptError> {
        match (self.state, input) {
            (State::Version, &[major, minor]) => {
                if [major, minor] < VERSION {
                    return Err(VeNCryptError::Version(major, minor));
                }
                self.state = State::Verdict;
                Ok((VERSION.to_vec(), None))
            }
            (State::Verdict, [0]) => {
                self.state = State::Count;
                Ok((Vec::new(), None))
            }
            (State::Verdict, &[other]) => Err(VeNCryptError::Answer(other, "0: version 0.2 is spoken")),
            (State::Count, [0]) => Err(VeNCryptError::Answer(0, "1..=255 subtypes")),
            (State::Count, &[count]) => {
                self.state = State::Offer(count);
                Ok((Vec::new(), None))
            }
            (State::Offer(count), list) if list.len() == usize::from(count).saturating_mul(4) => {
                self.offer = list.as_chunks::<4>().0.iter().map(|four| u32::from_be_bytes(*four)).collect();
                self.state = State::Choosing;
                Ok((Vec::new(), Some(ClientEvent::Offer(self.offer.clone()))))
            }
            (State::Acknowledgement, [1]) => {
                self.state = State::Chosen;
                Ok((Vec::new(), Some(ClientEvent::Secure)))
            }
            (State::Acknowledgement, &[other]) => Err(VeNCryptError::Answer(other, "1: TLS begins")),
            _ => Err(VeNCryptError::OutOfOrder),
        }
    }

    /// Chooses a subtype by number; returns what to send. All but Plain (256) are acknowledged.
    ///
    /// # Errors
    /// When the server did not offer it.
    pub fn choose(&mut self, number: u32) -> Result<[u8; 4], VeNCryptError> {
        if self.state != State::Choosing {
            return Err(VeNCryptError::OutOfOrder);
        }
        if !self.offer.contains(&number) {
            return Err(VeNCryptError::NotOffered(number));
        }
        self.state = if number == 256 { State::Chosen } else { State::Acknowledgement };
        Ok(number.to_be_bytes())
    }

    /// Who this is, to be sent once TLS is there.
    ///
    /// # Errors
    /// When no subtype began, or name or password are too long.
    pub fn credentials(&self, user: &str, password: &Secret) -> Result<Zeroizing<Vec<u8>>, VeNCryptError> {
        if self.state != State::Chosen {
            return Err(VeNCryptError::OutOfOrder);
        }
        credentials(user, password)
    }
}
