//! The client's end.

use std::fmt;
use std::ops::RangeInclusive;

use zeroize::Zeroizing;

use super::{Inbox, Link, Records, Step, Subtype, with_length};
use crate::auth::Secret;
use crate::security::rsa_aes::key::RsaPublic;
use crate::security::rsa_aes::{Failed, Kind, RsaAesError};

/// What a client must do or learns.
pub enum ClientEvent {
    /// Decide whether `to` is the server that is meant; then encrypt this to it and call [`ClientMachine::encrypted`].
    Encrypt {
        /// The server's key.
        to: RsaPublic,
        /// The client's random number.
        plain: Zeroizing<Vec<u8>>,
    },
    /// Decrypt this with the client's key and call [`ClientMachine::decrypted`].
    Decrypt(Vec<u8>),
    /// The server holds its key. Call [`ClientMachine::log_in`].
    Wanted(Subtype),
}

/// Without the random numbers, which keys are made of.
impl fmt::Debug for ClientEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encrypt { to, .. } => write!(f, "Encrypt({to:?})"),
            Self::Decrypt(_) => f.write_str("Decrypt"),
            Self::Wanted(subtype) => write!(f, "Wanted({subtype:?})"),
        }
    }
}

enum State {
    ServerKey,
    Encrypting(RsaPublic),
    ServerRandom(RsaPublic),
    Decrypting(RsaPublic),
    ServerHash(Box<Link>, Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>),
    Subtype(Box<Link>),
    Credentials(Box<Link>, Subtype),
    Done(Box<Link>),
    Over,
}

/// The machine of the client's end.
pub struct ClientMachine {
    kind: Kind,
    public: RsaPublic,
    server_bits: RangeInclusive<u32>,
    random: Zeroizing<Vec<u8>>,
    inbox: Inbox,
    state: State,
}

impl ClientMachine {
    /// Starts when this security type was chosen. The random number is for this one handshake, the key may be.
    pub fn new(kind: Kind, public: RsaPublic, server_bits: RangeInclusive<u32>, random: &[u8; 32]) -> Self {
        let random = Zeroizing::new(random.iter().copied().take(kind.secret_len()).collect::<Vec<u8>>());
        Self { kind, public, server_bits, random, inbox: Inbox::default(), state: State::ServerKey }
    }

    /// Takes input; call it again with the rest until it is idle.
    ///
    /// # Errors
    /// When the server's key is not taken, or anything else is wrong. Every later call fails too.
    pub fn advance(&mut self, input: &[u8]) -> Result<Step<ClientEvent>, RsaAesError> {
        // an error anywhere below leaves the machine over
        match std::mem::replace(&mut self.state, State::Over) {
            State::ServerKey => self.server_key(input),
            State::ServerRandom(server) => Ok(self.server_random(server, input)?),
            State::ServerHash(link, expected, answer) => Ok(self.server_hash(link, expected, answer, input)?),
            State::Subtype(link) => Ok(self.subtype(link, input)?),
            // these wait for the caller
            waiting @ (State::Encrypting(_) | State::Decrypting(_) | State::Credentials(..) | State::Done(_)) => {
                self.state = waiting;
                Ok(Step::used(0))
            }
            State::Over => Err(Failed.into()),
        }
    }

    fn server_key(&mut self, input: &[u8]) -> Result<Step<ClientEvent>, RsaAesError> {
        let mut used = 0;
        let Some(server) = self.inbox.key(&self.server_bits, input, &mut used)? else {
            self.state = State::ServerKey;
            return Ok(Step::used(used));
        };
        let event = ClientEvent::Encrypt { to: server.clone(), plain: self.random.clone() };
        self.state = State::Encrypting(server);
        Ok(Step { used, output: Vec::new(), event: Some(event) })
    }

    /// What was encrypted to the server's key; returns the bytes to send.
    ///
    /// # Errors
    /// When the key is worthless, or nothing was to be encrypted.
    pub fn encrypted(&mut self, block: Option<Vec<u8>>) -> Result<Vec<u8>, Failed> {
        let State::Encrypting(server) = std::mem::replace(&mut self.state, State::Over) else { return Err(Failed) };
        let output = [self.public.block(), &with_length(&block.ok_or(Failed)?)?].concat();
        self.state = State::ServerRandom(server);
        Ok(output)
    }

    fn server_random(&mut self, server: RsaPublic, input: &[u8]) -> Result<Step<ClientEvent>, Failed> {
        let mut used = 0;
        let Some(block) = self.inbox.block(self.public.size(), input, &mut used)? else {
            self.state = State::ServerRandom(server);
            return Ok(Step::used(used));
        };
        self.state = State::Decrypting(server);
        Ok(Step { used, output: Vec::new(), event: Some(ClientEvent::Decrypt(block)) })
    }

    /// What was decrypted, or nothing when it could not be.
    ///
    /// # Errors
    /// When it is no random number, or nothing was to be decrypted.
    pub fn decrypted(&mut self, plain: Option<&[u8]>) -> Result<(), Failed> {
        let State::Decrypting(server) = std::mem::replace(&mut self.state, State::Over) else { return Err(Failed) };
        let theirs = plain.filter(|plain| plain.len() == self.kind.secret_len()).ok_or(Failed)?;
        let link = Box::new(self.kind.link(&self.random, theirs)?);
        let (ours, their) = (self.public.block(), server.block());
        self.state = State::ServerHash(link, self.kind.hash(their, ours), self.kind.hash(ours, their));
        Ok(())
    }

    fn server_hash(
        &mut self,
        mut link: Box<Link>,
        expected: Zeroizing<Vec<u8>>,
        answer: Zeroizing<Vec<u8>>,
        input: &[u8],
    ) -> Result<Step<ClientEvent>, Failed> {
        let mut used = 0;
        while !link.expect(&expected)? {
            if !link.open(input, &mut used)? {
                self.state = State::ServerHash(link, expected, answer);
                return Ok(Step::used(used));
            }
        }
        let output = link.seal(&answer)?;
        self.state = State::Subtype(link);
        Ok(Step { used, output, event: None })
    }

    fn subtype(&mut self, mut link: Box<Link>, input: &[u8]) -> Result<Step<ClientEvent>, Failed> {
        let mut used = 0;
        loop {
            if let Some(number) = link.take(1) {
                let subtype = number.first().and_then(|number| Subtype::of(*number)).ok_or(Failed)?;
                self.state = State::Credentials(link, subtype);
                return Ok(Step { used, output: Vec::new(), event: Some(ClientEvent::Wanted(subtype)) });
            }
            if !link.open(input, &mut used)? {
                self.state = State::Subtype(link);
                return Ok(Step::used(used));
            }
        }
    }

    /// Says who logs in; returns the bytes to send. The user's name is not sent when only a password is wanted.
    ///
    /// # Errors
    /// When a name or password is longer than 255 bytes, or none is wanted.
    pub fn log_in(&mut self, user: &str, password: &Secret) -> Result<Vec<u8>, Failed> {
        let State::Credentials(mut link, subtype) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(Failed);
        };
        let user = if subtype == Subtype::Password { "" } else { user };
        let mut plain = Zeroizing::new(Vec::with_capacity(512));
        for text in [user, password.reveal()] {
            plain.push(u8::try_from(text.len()).map_err(|_| Failed)?);
            plain.extend_from_slice(text.as_bytes());
        }
        let output = link.seal(&plain)?;
        self.state = State::Done(link);
        Ok(output)
    }

    /// The records, once the login was sent.
    ///
    /// # Errors
    /// When it was not.
    pub fn into_records(self) -> Result<Records, Failed> {
        match self.state {
            State::Done(link) => Ok(link.into_records()),
            _ => Err(Failed),
        }
    }
}
