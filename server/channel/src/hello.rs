//! What the second and third message carry: ServerHello and ClientHello.
//!
//! Both may grow: a reader ignores what follows the fields that it knows, up to the cap.

use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::error::Fault;
use crate::limits;

/// Why a hello cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HelloError {
    /// It ends within a field.
    #[error("hello of {0} bytes ends within a field")]
    Short(usize),
    /// It is longer than any may be.
    #[error("hello of {length} bytes (expected at most {most})")]
    Long {
        /// Its length.
        length: usize,
        /// The cap.
        most: usize,
    },
    /// The longest record is too short to work with.
    #[error("longest record of {0} bytes (expected 4113..=65535)")]
    MaxRecord(u16),
    /// The user hint is too long.
    #[error("user hint of {0} bytes (expected 0..=255)")]
    HintLength(usize),
    /// The user hint is not text.
    #[error("user hint that is not UTF-8 without control characters")]
    HintText,
    /// The first authentication message is too long.
    #[error("first authentication message of {0} bytes (expected 0..=2048)")]
    FirstAuth(usize),
}

impl HelloError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        Fault::PeerMisbehaved
    }
}

/// Which kinds of proof a server takes, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthKinds(pub u32);

impl AuthKinds {
    /// No proof is asked for.
    pub const NONE: Self = Self(1);
    /// A user name and a password in one message.
    pub const PASSWORD: Self = Self(1 << 1);
    /// A conversation of prompts and replies.
    pub const PROMPTS: Self = Self(1 << 2);
    /// A signature by a certificate's key over the channel binding.
    pub const CERTIFICATE: Self = Self(1 << 3);
    /// GSS-API with the channel binding.
    pub const GSS: Self = Self(1 << 4);

    /// Whether all of `kinds` are among these.
    pub const fn has(self, kinds: Self) -> bool {
        self.0 & kinds.0 == kinds.0
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, kinds: Self) -> Self {
        Self(self.0 | kinds.0)
    }
}

/// What the server says in message 2: no host name, no version of any program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// The longest record, without its length field, that the server takes.
    pub max_record: u16,
    /// Kinds of proof that it takes.
    pub auth: AuthKinds,
    /// None is defined: written as 0, not looked at when read.
    pub flags: u16,
}

impl Default for ServerHello {
    fn default() -> Self {
        Self { max_record: limits::SERVER_RECORD_MAX, auth: AuthKinds::default(), flags: 0 }
    }
}

impl ServerHello {
    /// The bytes of message 2's payload.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (record, auth, flags) =
            (self.max_record.to_be_bytes(), self.auth.0.to_be_bytes(), self.flags.to_be_bytes());
        [&record[..], &auth, &flags].concat()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// When it is too short or too long, or a field holds what it may not.
    pub fn parse(payload: &[u8]) -> Result<Self, HelloError> {
        let mut fields = Fields::new(payload, limits::SERVER_HELLO)?;
        let max_record = u16::from_be_bytes(fields.array()?);
        let auth = AuthKinds(u32::from_be_bytes(fields.array()?));
        let flags = u16::from_be_bytes(fields.array()?);
        let hello = Self { max_record, auth, flags };
        hello.check()?;
        Ok(hello)
    }

    pub(crate) fn check(&self) -> Result<(), HelloError> {
        match self.max_record {
            limits::ANNOUNCED_RECORD_MIN.. => Ok(()),
            short => Err(HelloError::MaxRecord(short)),
        }
    }
}

/// What sort of program the viewer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewerKind {
    /// Nothing that the others name.
    Other,
    /// A program of its own.
    Native,
    /// A page in a browser.
    Browser,
    /// A number that later versions gave a meaning.
    Unknown(u8),
}

impl ViewerKind {
    const fn number(self) -> u8 {
        match self {
            Self::Other => 0,
            Self::Native => 1,
            Self::Browser => 2,
            Self::Unknown(number) => number,
        }
    }

    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Other,
            1 => Self::Native,
            2 => Self::Browser,
            number => Self::Unknown(number),
        }
    }
}

/// What the viewer says in message 3, once the server's key is known to it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// The sort of viewer.
    pub viewer: ViewerKind,
    /// The user whose login is meant; empty when the server shall ask.
    pub user_hint: String,
    /// The first authentication message, empty for none; wiped when dropped.
    pub first_auth: Zeroizing<Vec<u8>>,
}

impl ClientHello {
    /// The bytes of message 3's payload.
    ///
    /// # Errors
    /// When a field is longer than it may be, or the hint has control characters.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, HelloError> {
        let hint = self.user_hint.as_bytes();
        check_hint(&self.user_hint)?;
        let hint_length = u8::try_from(hint.len()).map_err(|_| HelloError::HintLength(hint.len()))?;
        let auth = self.first_auth.as_slice();
        let auth_length = u16::try_from(auth.len()).map_err(|_| HelloError::FirstAuth(auth.len()))?;
        if auth.len() > limits::FIRST_AUTH {
            return Err(HelloError::FirstAuth(auth.len()));
        }
        let head = [self.viewer.number(), hint_length];
        Ok(Zeroizing::new([&head[..], hint, &auth_length.to_be_bytes(), auth].concat()))
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// When it is too short or too long, or a field holds what it may not.
    pub fn parse(payload: &[u8]) -> Result<Self, HelloError> {
        let mut fields = Fields::new(payload, limits::CLIENT_HELLO)?;
        let [kind, hint_length] = fields.array()?;
        let hint = fields.take(hint_length.into())?;
        let user_hint = std::str::from_utf8(hint).map_err(|_| HelloError::HintText)?.to_owned();
        check_hint(&user_hint)?;
        let auth_length = usize::from(u16::from_be_bytes(fields.array()?));
        if auth_length > limits::FIRST_AUTH {
            return Err(HelloError::FirstAuth(auth_length));
        }
        let first_auth = Zeroizing::new(fields.take(auth_length)?.to_vec());
        Ok(Self { viewer: ViewerKind::of(kind), user_hint, first_auth })
    }
}

fn check_hint(hint: &str) -> Result<(), HelloError> {
    if hint.chars().any(char::is_control) { Err(HelloError::HintText) } else { Ok(()) }
}

/// Without the authentication message: it may be a password.
impl fmt::Debug for ClientHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHello")
            .field("viewer", &self.viewer)
            .field("user_hint", &self.user_hint)
            .finish_non_exhaustive()
    }
}

/// A payload's fields, in order.
struct Fields<'a> {
    whole: usize,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn new(payload: &'a [u8], most: usize) -> Result<Self, HelloError> {
        let length = payload.len();
        if length > most { Err(HelloError::Long { length, most }) } else { Ok(Self { whole: length, rest: payload }) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], HelloError> {
        let (field, rest) = self.rest.split_at_checked(length).ok_or(HelloError::Short(self.whole))?;
        self.rest = rest;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], HelloError> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(HelloError::Short(self.whole))?;
        self.rest = rest;
        Ok(*field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> ClientHello {
        ClientHello { viewer: ViewerKind::Browser, user_hint: "zoë".into(), first_auth: Zeroizing::new(vec![1, 2, 3]) }
    }

    #[test]
    fn hellos_read_back_and_may_grow() {
        let server = ServerHello { max_record: 20_000, auth: AuthKinds::PASSWORD.with(AuthKinds::PROMPTS), flags: 0 };
        let bytes = server.to_bytes();
        assert_eq!(bytes, [0x4e, 0x20, 0, 0, 0, 6, 0, 0]);
        assert_eq!(ServerHello::parse(&bytes), Ok(server));
        assert_eq!(ServerHello::parse(&[&bytes[..], &[9; 100]].concat()), Ok(server));
        let bytes = client().to_bytes().expect("short fields");
        assert_eq!(bytes.as_slice(), b"\x02\x04zo\xc3\xab\0\x03\x01\x02\x03");
        assert_eq!(ClientHello::parse(&bytes), Ok(client()));
        assert_eq!(ClientHello::parse(&[&bytes[..], &[9; 100]].concat()), Ok(client()));
        assert!(server.auth.has(AuthKinds::PASSWORD) && !server.auth.has(AuthKinds::GSS));
    }

    #[test]
    fn a_hello_cut_anywhere_is_refused() {
        let (server, client) = (ServerHello::default().to_bytes(), client().to_bytes().expect("short fields"));
        for end in 0..server.len() {
            assert_eq!(ServerHello::parse(&server[..end]), Err(HelloError::Short(end)));
        }
        for end in 0..client.len() {
            assert_eq!(ClientHello::parse(&client[..end]), Err(HelloError::Short(end)));
        }
    }

    #[test]
    fn every_limit_is_held() {
        assert_eq!(ServerHello::parse(&[0x10, 0x10, 0, 0, 0, 0, 0, 0]), Err(HelloError::MaxRecord(4112)));
        assert!(ServerHello::parse(&[0x10, 0x11, 0, 0, 0, 0, 0, 0]).is_ok());
        assert_eq!(ServerHello::parse(&[0xff; 257]), Err(HelloError::Long { length: 257, most: 256 }));
        assert_eq!(ClientHello::parse(&[0; 2817]), Err(HelloError::Long { length: 2817, most: 2816 }));
        assert_eq!(ClientHello::parse(&[0, 0, 8, 1]), Err(HelloError::FirstAuth(2049)));
        assert_eq!(ClientHello::parse(b"\0\x02\xff\xfe\0\0"), Err(HelloError::HintText));
        assert_eq!(ClientHello::parse(b"\0\x01\n\0\0"), Err(HelloError::HintText));
        assert_eq!(ClientHello { user_hint: "a".repeat(256), ..client() }.to_bytes(), Err(HelloError::HintLength(256)));
        let long = ClientHello { first_auth: Zeroizing::new(vec![0; 2049]), ..client() };
        assert_eq!(long.to_bytes(), Err(HelloError::FirstAuth(2049)));
        let full = ClientHello {
            user_hint: "a".repeat(255),
            first_auth: Zeroizing::new(vec![7; limits::FIRST_AUTH]),
            ..client()
        };
        let bytes = full.to_bytes().expect("within the limits");
        assert!(bytes.len() <= limits::CLIENT_HELLO && ClientHello::parse(&bytes) == Ok(full));
    }

    #[test]
    fn a_password_is_not_printed() {
        let hello = ClientHello { first_auth: Zeroizing::new(b"hunter2".to_vec()), ..client() };
        let text = format!("{hello:?}");
        assert!(text.contains("zoë") && !text.contains("hunter2") && !text.contains("104"), "{text}");
    }
}
