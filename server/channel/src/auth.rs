//! What authentication messages say: a name and a password in one, or prompts and replies in turns.
//!
//! They travel in records of kind 1, the viewer's first one perhaps in its hello. `docs/channel.md`, section 6, has the bytes. Nothing
//! here knows what a proof is worth.

use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::error::Fault;

/// Prompts or replies in a message.
pub const PROMPTS: usize = 16;
/// Bytes of a prompt.
pub const PROMPT: usize = 2_048;
/// Bytes of a user's name.
pub const NAME: usize = 255;
/// Bytes of a password or another reply.
pub const REPLY: usize = 1_024;

/// Why an authentication message cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuthError {
    /// It ends within a field, or bytes follow its last one.
    #[error("authentication message of {0} bytes, with a field cut short or bytes behind the last one")]
    Length(usize),
    /// It is of no known type.
    #[error("authentication message of type {0} (expected 1..=3 of a viewer, 1 of a server)")]
    Type(u8),
    /// A field is too long.
    #[error("{what} of {length} bytes (expected 0..={most})")]
    Long {
        /// Which field.
        what: &'static str,
        /// Its length.
        length: usize,
        /// The cap.
        most: usize,
    },
    /// Too many prompts or replies.
    #[error("{0} prompts or replies (expected 0..=16)")]
    Count(usize),
    /// A text that is none.
    #[error("{0} that is not UTF-8, or a name with control characters")]
    Text(&'static str),
    /// A prompt of no known kind.
    #[error("prompt of kind {0} (expected 0..=3)")]
    Kind(u8),
}

impl AuthError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        Fault::PeerMisbehaved
    }
}

/// A secret text, wiped when dropped.
pub type SecretText = Zeroizing<String>;

/// What is to become of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptKind {
    /// Asks for a reply that may be seen while it is typed.
    Visible = 0,
    /// Asks for a reply that must not be seen.
    Hidden = 1,
    /// Says something; wants no reply.
    Info = 2,
    /// Says that something is wrong; wants no reply.
    Error = 3,
}

/// One prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// What is to become of it.
    pub kind: PromptKind,
    /// For people.
    pub text: String,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask(
    /// In the order of showing.
    pub Vec<Prompt>,
);

/// What a viewer says.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// A name and a password at once.
    Password {
        /// The user's name; empty where the server asks for none.
        user: String,
        /// The password.
        password: SecretText,
    },
    /// Begins a conversation: the server asks next.
    Begin {
        /// The user's name.
        user: String,
    },
    /// One reply for each prompt that asked, in their order.
    Replies(Vec<SecretText>),
}

/// Without what is secret.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password(user {user:?})"),
            Self::Begin { user } => write!(f, "Begin(user {user:?})"),
            Self::Replies(replies) => write!(f, "Replies({})", replies.len()),
        }
    }
}

const TYPE_ASK: u8 = 1;
const TYPE_PASSWORD: u8 = 1;
const TYPE_BEGIN: u8 = 2;
const TYPE_REPLIES: u8 = 3;

/// Appends a field with a length of one byte.
fn put_short(out: &mut Vec<u8>, what: &'static str, text: &str) -> Result<(), AuthError> {
    let length = u8::try_from(text.len());
    out.push(length.map_err(|_| AuthError::Long { what, length: text.len(), most: NAME })?);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends a field with a length of two bytes.
fn put_long(out: &mut Vec<u8>, what: &'static str, text: &str, most: usize) -> Result<(), AuthError> {
    let long = AuthError::Long { what, length: text.len(), most };
    let length = u16::try_from(text.len()).ok().filter(|n| usize::from(*n) <= most).ok_or(long)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn put_count(out: &mut Vec<u8>, count: usize) -> Result<(), AuthError> {
    let few = u8::try_from(count).ok().filter(|_| count <= PROMPTS);
    out.push(few.ok_or(AuthError::Count(count))?);
    Ok(())
}

/// Takes fields off the front.
struct Fields<'a> {
    rest: &'a [u8],
    whole: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], AuthError> {
        let (field, rest) = self.rest.split_at_checked(n).ok_or(AuthError::Length(self.whole))?;
        self.rest = rest;
        Ok(field)
    }

    fn byte(&mut self) -> Result<u8, AuthError> {
        self.take(1)?.first().copied().ok_or(AuthError::Length(self.whole))
    }

    fn short(&mut self) -> Result<usize, AuthError> {
        let [a, b] = *self.take(2)?.first_chunk().ok_or(AuthError::Length(self.whole))?;
        Ok(usize::from(u16::from_be_bytes([a, b])))
    }

    fn text(&mut self, what: &'static str, length: usize, most: usize) -> Result<&'a str, AuthError> {
        if length > most {
            return Err(AuthError::Long { what, length, most });
        }
        std::str::from_utf8(self.take(length)?).map_err(|_| AuthError::Text(what))
    }

    fn name(&mut self) -> Result<String, AuthError> {
        let length = usize::from(self.byte()?);
        let name = self.text("user name", length, NAME)?;
        if name.chars().any(char::is_control) { Err(AuthError::Text("user name")) } else { Ok(name.to_owned()) }
    }

    fn count(&mut self) -> Result<usize, AuthError> {
        let count = usize::from(self.byte()?);
        if count > PROMPTS { Err(AuthError::Count(count)) } else { Ok(count) }
    }

    fn end(&self) -> Result<(), AuthError> {
        if self.rest.is_empty() { Ok(()) } else { Err(AuthError::Length(self.whole)) }
    }
}

impl Ask {
    /// The message's bytes.
    ///
    /// # Errors
    /// When there are too many prompts, or one is too long.
    pub fn to_bytes(&self) -> Result<Vec<u8>, AuthError> {
        let mut out = vec![TYPE_ASK];
        put_count(&mut out, self.0.len())?;
        for prompt in &self.0 {
            out.push(prompt.kind as u8);
            put_long(&mut out, "prompt", &prompt.text, PROMPT)?;
        }
        Ok(out)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, AuthError> {
        let mut fields = Fields { rest: bytes, whole: bytes.len() };
        match fields.byte()? {
            TYPE_ASK => {}
            other => return Err(AuthError::Type(other)),
        }
        let mut prompts = Vec::new();
        for _ in 0..fields.count()? {
            let kind = match fields.byte()? {
                0 => PromptKind::Visible,
                1 => PromptKind::Hidden,
                2 => PromptKind::Info,
                3 => PromptKind::Error,
                other => return Err(AuthError::Kind(other)),
            };
            let length = fields.short()?;
            prompts.push(Prompt { kind, text: fields.text("prompt", length, PROMPT)?.to_owned() });
        }
        fields.end()?;
        Ok(Self(prompts))
    }
}

impl Answer {
    /// The message's bytes, wiped when dropped.
    ///
    /// # Errors
    /// When a field is too long, or there are too many replies.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, AuthError> {
        // room for the longest: growing would leave copies behind
        let secrets: usize = match self {
            Self::Password { password, .. } => password.len(),
            Self::Begin { .. } => 0,
            Self::Replies(replies) => replies.iter().map(|r| r.len().saturating_add(2)).sum(),
        };
        let mut out = Zeroizing::new(Vec::with_capacity(secrets.saturating_add(NAME).saturating_add(8)));
        match self {
            Self::Password { user, password } => {
                out.push(TYPE_PASSWORD);
                put_short(&mut out, "user name", user)?;
                put_long(&mut out, "password", password, REPLY)?;
            }
            Self::Begin { user } => {
                out.push(TYPE_BEGIN);
                put_short(&mut out, "user name", user)?;
            }
            Self::Replies(replies) => {
                out.push(TYPE_REPLIES);
                put_count(&mut out, replies.len())?;
                for reply in replies {
                    put_long(&mut out, "reply", reply, REPLY)?;
                }
            }
        }
        Ok(out)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, AuthError> {
        let mut fields = Fields { rest: bytes, whole: bytes.len() };
        let answer = match fields.byte()? {
            TYPE_PASSWORD => {
                let user = fields.name()?;
                let length = fields.short()?;
                let password = Zeroizing::new(fields.text("password", length, REPLY)?.to_owned());
                Self::Password { user, password }
            }
            TYPE_BEGIN => Self::Begin { user: fields.name()? },
            TYPE_REPLIES => {
                let mut replies = Vec::new();
                for _ in 0..fields.count()? {
                    let length = fields.short()?;
                    replies.push(Zeroizing::new(fields.text("reply", length, REPLY)?.to_owned()));
                }
                Self::Replies(replies)
            }
            other => return Err(AuthError::Type(other)),
        };
        fields.end()?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secret(text: &str) -> SecretText {
        Zeroizing::new(text.to_owned())
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let password = Answer::Password { user: "zoë".into(), password: secret("p w") }.to_bytes().unwrap();
        assert_eq!(password.as_slice(), b"\x01\x04zo\xc3\xab\x00\x03p w");
        let begin = Answer::Begin { user: "a".into() }.to_bytes().unwrap();
        assert_eq!(begin.as_slice(), b"\x02\x01a");
        let replies = Answer::Replies(vec![secret("123456"), secret("")]);
        let replies = replies.to_bytes().unwrap();
        assert_eq!(replies.as_slice(), b"\x03\x02\x00\x06123456\x00\x00");
        let ask = Ask(vec![Prompt { kind: PromptKind::Hidden, text: "Code: ".into() }]);
        assert_eq!(ask.to_bytes().unwrap(), b"\x01\x01\x01\x00\x06Code: ");
    }

    #[test]
    fn what_is_cut_or_too_much_is_refused() {
        for whole in [&b"\x01\x01a\x00\x01b"[..], b"\x02\x01a", b"\x03\x01\x00\x01x"] {
            assert!(Answer::parse(whole).is_ok());
            for end in 0..whole.len() {
                assert_eq!(Answer::parse(&whole[..end]), Err(AuthError::Length(end)), "{whole:?}");
            }
            let more = [whole, b"!"].concat();
            assert_eq!(Answer::parse(&more), Err(AuthError::Length(more.len())));
        }
        assert_eq!(Answer::parse(b"\x04"), Err(AuthError::Type(4)));
        assert_eq!(Answer::parse(b"\x03\x11"), Err(AuthError::Count(17)));
        assert_eq!(Answer::parse(b"\x02\x01\n"), Err(AuthError::Text("user name")));
        assert_eq!(Answer::parse(b"\x02\x01\xff"), Err(AuthError::Text("user name")));
        assert!(matches!(Answer::parse(b"\x01\x00\x04\x01"), Err(AuthError::Long { length: 1025, .. })));
        assert_eq!(Ask::parse(b"\x01\x01\x04\x00\x00"), Err(AuthError::Kind(4)));
        assert!(Answer::Begin { user: "a".repeat(256) }.to_bytes().is_err());
        assert!(Answer::Replies(vec![secret(""); 17]).to_bytes().is_err());
        assert!(Answer::Replies(vec![secret(&"a".repeat(1025))]).to_bytes().is_err());
    }

    #[test]
    fn secrets_are_not_printed() {
        let text = format!("{:?}", Answer::Password { user: "ann".into(), password: secret("hunter2") });
        assert!(text.contains("ann") && !text.contains("hunter2"), "{text}");
        assert_eq!(format!("{:?}", Answer::Replies(vec![secret("123456")])), "Replies(1)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn whatever_parses_is_written_as_it_came(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(answer) = Answer::parse(&bytes) {
                let written = answer.to_bytes().unwrap();
                prop_assert_eq!(written.as_slice(), &bytes[..]);
            }
            if let Ok(ask) = Ask::parse(&bytes) {
                prop_assert_eq!(ask.to_bytes().unwrap(), bytes);
            }
        }
    }
}
