//! The server's side as a machine over bytes.

use zeroize::Zeroizing;

use super::{Subtype, VERSION, VeNCryptError, capped};
use crate::auth::login::{MAX_NAME, MAX_REPLY, Secret};

/// What a client did.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// It chose this subtype. When TLS goes below it, put TLS on after the output was sent, then call [`Server::secured`].
    Chosen(Subtype),
    /// It said who it is.
    Credentials {
        /// The user's name; may be empty.
        user: String,
        /// The password.
        password: Secret,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Version,
    Subtype,
    Secure(Subtype),
    UserLength,
    PasswordLength(usize),
    Texts(usize, usize),
    Done,
}

/// The server's side of VeNCrypt, without I/O: send [`Server::opening`], then give [`Server::step`] exactly as many bytes as
/// [`Server::needs`] says, over and over. So no byte is read that belongs to a layer yet to come.
#[derive(Debug)]
pub struct Server {
    offer: Vec<Subtype>,
    state: State,
}

impl Server {
    /// Offers these subtypes, best first.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(offer: &[Subtype]) -> Result<Self, VeNCryptError> {
        if offer.is_empty() || offer.len() > 255 {
            return Err(VeNCryptError::Nothing);
        }
        Ok(Server { offer: offer.to_vec(), state: State::Version })
    }

    /// What is sent first.
    pub fn opening(&self) -> [u8; 2] {
        VERSION
    }

    /// How many bytes the next step takes. 0 when it waits for TLS or is done.
    pub fn needs(&self) -> usize {
        match self.state {
            State::Version => 2,
            State::Subtype | State::UserLength | State::PasswordLength(_) => 4,
            State::Texts(user, password) => user.saturating_add(password),
            State::Secure(_) | State::Done => 0,
        }
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the bytes that the client sent; returns what to send, and what it did.
    ///
    /// # Errors
    /// When the client breaks the protocol, or the bytes are not as many as were needed. The connection is over then.
    pub fn step(&mut self, input: &[u8]) -> Result<(Vec<u8>, Option<Event>), VeNCryptError> {
        match (self.state, input) {
            (State::Version, &[major, minor]) => {
                if [major, minor] != VERSION {
                    return Err(VeNCryptError::Version(major, minor));
                }
                self.state = State::Subtype;
                let mut out = vec![0, u8::try_from(self.offer.len()).unwrap_or(0)];
                self.offer.iter().for_each(|subtype| out.extend(subtype.number().to_be_bytes()));
                Ok((out, None))
            }
            (State::Subtype, &[a, b, c, d]) => {
                let number = u32::from_be_bytes([a, b, c, d]);
                let chosen = Subtype::from_number(number).filter(|subtype| self.offer.contains(subtype));
                let chosen = chosen.ok_or(VeNCryptError::NotOffered(number))?;
                let secure = chosen.has_tls();
                self.state = if secure { State::Secure(chosen) } else { State::UserLength };
                Ok((if secure { vec![1] } else { Vec::new() }, Some(Event::Chosen(chosen))))
            }
            (State::UserLength, &[a, b, c, d]) => {
                self.state = State::PasswordLength(capped("user name", [a, b, c, d], MAX_NAME)?);
                Ok((Vec::new(), None))
            }
            (State::PasswordLength(user), &[a, b, c, d]) => {
                self.state = State::Texts(user, capped("password", [a, b, c, d], MAX_REPLY)?);
                Ok((Vec::new(), None))
            }
            (State::Texts(length, _), input) if input.len() == self.needs() => {
                let (user, password) = input.split_at_checked(length).ok_or(VeNCryptError::OutOfOrder)?;
                let user = std::str::from_utf8(user).map_err(|_| VeNCryptError::NotText("user name"))?;
                let password = std::str::from_utf8(password).map_err(|_| VeNCryptError::NotText("password"))?;
                self.state = State::Done;
                let password = Secret::new(password.to_owned());
                Ok((Vec::new(), Some(Event::Credentials { user: user.to_owned(), password })))
            }
            _ => Err(VeNCryptError::OutOfOrder),
        }
    }

    /// TLS is there: what follows comes through it.
    ///
    /// # Errors
    /// When no subtype with TLS was chosen.
    pub fn secured(&mut self) -> Result<(), VeNCryptError> {
        let State::Secure(chosen) = self.state else { return Err(VeNCryptError::OutOfOrder) };
        self.state = if chosen.has_password() { State::UserLength } else { State::Done };
        Ok(())
    }
}

/// The message with which a client says who it is. It holds the password and is wiped.
///
/// # Errors
/// When either is longer than servers take.
pub(super) fn credentials(user: &str, password: &Secret) -> Result<Zeroizing<Vec<u8>>, VeNCryptError> {
    let password = password.reveal();
    let length = |what, text: &str, most| match u32::try_from(text.len()) {
        Ok(length) if text.len() <= most => Ok(length.to_be_bytes()),
        length => Err(VeNCryptError::Long(what, length.unwrap_or(u32::MAX), most)),
    };
    let mut out = Zeroizing::new(Vec::with_capacity(super::LONGEST));
    out.extend(length("user name", user, MAX_NAME)?);
    out.extend(length("password", password, MAX_REPLY)?);
    out.extend_from_slice(user.as_bytes());
    out.extend_from_slice(password.as_bytes());
    Ok(out)
}
