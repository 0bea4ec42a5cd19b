//! The server's end.

use std::fmt;
use std::ops::RangeInclusive;

use zeroize::Zeroizing;

use super::{Inbox, Link, Records, Step, Subtype, with_length};
use crate::auth::Secret;
use crate::security::rsa_aes::key::{RsaPublic, choose};
use crate::security::rsa_aes::{Failed, Kind, RsaAesError};

/// What a server must do or learns.
pub enum ServerEvent {
    /// Encrypt this to the client's key and call [`ServerMachine::encrypted`].
    Encrypt {
        /// The client's key.
        to: RsaPublic,
        /// The server's random number.
        plain: Zeroizing<Vec<u8>>,
    },
    /// Decrypt this with the server's key and call [`ServerMachine::decrypted`].
    Decrypt(Vec<u8>),
    /// The handshake is complete: judge this, then go on with the records.
    Login {
        /// The user; empty when only a password was asked for.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// Without the random numbers, which keys are made of.
impl fmt::Debug for ServerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encrypt { to, .. } => write!(f, "Encrypt({to:?})"),
            Self::Decrypt(_) => f.write_str("Decrypt"),
            Self::Login { .. } => f.write_str("Login"),
        }
    }
}

/// What a server brings to each handshake.
#[derive(Clone, Debug)]
pub struct ServerTerms {
    /// Its public key.
    pub public: RsaPublic,
    /// Bits that a client's key may have.
    pub client_bits: RangeInclusive<u32>,
    /// What it asks for.
    pub subtype: Subtype,
}

enum State {
    ClientKey,
    Encrypting(RsaPublic),
    ClientRandom(RsaPublic),
    Decrypting(RsaPublic),
    ClientHash(Box<Link>, Zeroizing<Vec<u8>>),
    Credentials(Box<Link>),
    Done(Box<Link>),
    Over,
}

/// The machine of the server's end.
pub struct ServerMachine {
    kind: Kind,
    pub(super) terms: ServerTerms,
    random: Zeroizing<Vec<u8>>,
    spare: Zeroizing<Vec<u8>>,
    pub(super) inbox: Inbox,
    state: State,
}

impl ServerMachine {
    /// Starts when the client has chosen this security type. Send [`Self::offer`] first. Both random numbers are for this one
    /// handshake; the second stands in for a client's that cannot be decrypted.
    pub fn new(kind: Kind, terms: ServerTerms, random: &[u8; 32], spare: &[u8; 32]) -> Self {
        let cut = |bytes: &[u8; 32]| Zeroizing::new(bytes.iter().copied().take(kind.secret_len()).collect::<Vec<u8>>());
        Self { kind, terms, random: cut(random), spare: cut(spare), inbox: Inbox::default(), state: State::ClientKey }
    }

    /// The first bytes to send: the server's public key.
    pub fn offer(&self) -> Vec<u8> {
        self.terms.public.block().to_vec()
    }

    /// Takes input; call it again with the rest until it is idle.
    ///
    /// # Errors
    /// When the client's key is not taken, or anything else is wrong. Every later call fails too.
    pub fn advance(&mut self, input: &[u8]) -> Result<Step<ServerEvent>, RsaAesError> {
        // an error anywhere below leaves the machine over
        match std::mem::replace(&mut self.state, State::Over) {
            State::ClientKey => self.client_key(input),
            State::ClientRandom(client) => Ok(self.client_random(client, input)?),
            State::ClientHash(link, expected) => Ok(self.client_hash(link, expected, input)?),
            State::Credentials(link) => Ok(self.credentials(link, input)?),
            // these wait for the caller
            waiting @ (State::Encrypting(_) | State::Decrypting(_) | State::Done(_)) => {
                self.state = waiting;
                Ok(Step::used(0))
            }
            State::Over => Err(Failed.into()),
        }
    }

    fn client_key(&mut self, input: &[u8]) -> Result<Step<ServerEvent>, RsaAesError> {
        let mut used = 0;
        let Some(client) = self.inbox.key(&self.terms.client_bits, input, &mut used)? else {
            self.state = State::ClientKey;
            return Ok(Step::used(used));
        };
        let event = ServerEvent::Encrypt { to: client.clone(), plain: self.random.clone() };
        self.state = State::Encrypting(client);
        Ok(Step { used, output: Vec::new(), event: Some(event) })
    }

    /// What was encrypted to the client's key; returns the bytes to send. Some viewers read the length and expect the rest
    /// to be there: it is to be one write.
    ///
    /// # Errors
    /// When the key is worthless, or nothing was to be encrypted.
    pub fn encrypted(&mut self, block: Option<Vec<u8>>) -> Result<Vec<u8>, Failed> {
        let State::Encrypting(client) = std::mem::replace(&mut self.state, State::Over) else { return Err(Failed) };
        let output = with_length(&block.ok_or(Failed)?)?;
        self.state = State::ClientRandom(client);
        Ok(output)
    }

    fn client_random(&mut self, client: RsaPublic, input: &[u8]) -> Result<Step<ServerEvent>, Failed> {
        let mut used = 0;
        let Some(block) = self.inbox.block(self.terms.public.size(), input, &mut used)? else {
            self.state = State::ClientRandom(client);
            return Ok(Step::used(used));
        };
        self.state = State::Decrypting(client);
        Ok(Step { used, output: Vec::new(), event: Some(ServerEvent::Decrypt(block)) })
    }

    /// What was decrypted, or nothing when it could not be; returns the bytes to send, which look the same in both cases.
    ///
    /// # Errors
    /// When nothing was to be decrypted.
    pub fn decrypted(&mut self, plain: Option<&[u8]>) -> Result<Vec<u8>, Failed> {
        let State::Decrypting(client) = std::mem::replace(&mut self.state, State::Over) else { return Err(Failed) };
        let theirs = choose(plain, &self.spare);
        let mut link = Box::new(self.kind.link(&self.random, &theirs)?);
        let (ours, their) = (self.terms.public.block(), client.block());
        let output = link.seal(&self.kind.hash(ours, their))?;
        self.state = State::ClientHash(link, self.kind.hash(their, ours));
        Ok(output)
    }

    fn client_hash(
        &mut self,
        mut link: Box<Link>,
        expected: Zeroizing<Vec<u8>>,
        input: &[u8],
    ) -> Result<Step<ServerEvent>, Failed> {
        let mut used = 0;
        while !link.expect(&expected)? {
            if !link.open(input, &mut used)? {
                self.state = State::ClientHash(link, expected);
                return Ok(Step::used(used));
            }
        }
        let output = link.seal(&[self.terms.subtype.number()])?;
        self.state = State::Credentials(link);
        Ok(Step { used, output, event: None })
    }

    fn credentials(&mut self, mut link: Box<Link>, input: &[u8]) -> Result<Step<ServerEvent>, Failed> {
        let mut used = 0;
        loop {
            if let Some((user, password, length)) = parse(&link.plain)? {
                if self.terms.subtype == Subtype::Password && !user.is_empty() {
                    return Err(Failed);
                }
                let event = ServerEvent::Login { user: user.to_owned(), password: Secret::new(password.to_owned()) };
                link.take(length).ok_or(Failed)?;
                // what follows would be RFB, and with these types it is not in records
                if !self.kind.encrypts() && !link.plain.is_empty() {
                    return Err(Failed);
                }
                self.state = State::Done(link);
                return Ok(Step { used, output: Vec::new(), event: Some(event) });
            }
            if !link.open(input, &mut used)? {
                self.state = State::Credentials(link);
                return Ok(Step::used(used));
            }
        }
    }

    /// Whether both ends have shown that they hold their keys: what is left is for the client to say who it is.
    pub fn is_exchanged(&self) -> bool {
        matches!(self.state, State::Credentials(_) | State::Done(_))
    }

    /// The records, once the handshake is complete.
    ///
    /// # Errors
    /// When it is not.
    pub fn into_records(self) -> Result<Records, Failed> {
        match self.state {
            State::Done(link) => Ok(link.into_records()),
            _ => Err(Failed),
        }
    }
}

/// User, password and how many bytes they took, once they are whole.
fn parse(plain: &[u8]) -> Result<Option<(&str, &str, usize)>, Failed> {
    fn text(plain: &[u8]) -> Option<(&[u8], &[u8])> {
        let (length, rest) = plain.split_first()?;
        rest.split_at_checked(usize::from(*length))
    }
    let Some((user, rest)) = text(plain) else { return Ok(None) };
    let Some((password, rest)) = text(rest) else { return Ok(None) };
    let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| Failed);
    Ok(Some((utf8(user)?, utf8(password)?, plain.len().saturating_sub(rest.len()))))
}
