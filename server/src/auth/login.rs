//! A login as every way of proving it has it: a caller, prompts and replies, and a verdict.
//!
//! Security types carry it: those that know a name and a password only say both at once ([`Judge::password`]), the
//! channel goes through prompts and replies ([`Judge::begin`]). Judges decide: in this process or in the auth helper.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::security::SecurityKind;

/// Longest name of a user, in bytes of UTF-8.
pub const MAX_NAME: usize = 255;
/// Longest password, code or other reply, in bytes of UTF-8.
pub const MAX_REPLY: usize = 1024;
/// Longest prompt, in bytes of UTF-8.
pub const MAX_PROMPT: usize = 2048;
/// Prompts in a turn at most.
pub const MAX_PROMPTS: usize = 16;

/// A text that is wiped on drop, never printed and never logged.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text over.
    pub fn new(text: String) -> Self {
        Secret(text)
    }

    /// The text, for whoever judges it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Who wants to log in, as far as the connection below tells. Nothing in it is the peer's word alone but `peer`'s port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The peer as people write it.
    pub peer: String,
    /// The listener as it was written.
    pub listener: String,
    /// The security type that carries the login.
    pub security: SecurityKind,
    /// The public device key that the peer proved to hold, in hexadecimal digits.
    pub device: Option<String>,
    /// The DER of the certificate whose key the peer proved to hold, its chain already checked.
    #[serde(with = "digits")]
    pub certificate: Option<Vec<u8>>,
    /// Whether somebody logged in from there before, so that strangers' guesses do not keep this caller waiting.
    pub known: bool,
    /// The number of the connection, which no other has.
    pub connection: u64,
}

/// A certificate in a message: two digits a byte, where a list of numbers would take four.
mod digits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::helper::auth_helper::hex::Hex;

    pub(super) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(Hex::of).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Hex>::deserialize(deserializer)?.map(|hex| hex.bytes().to_vec()))
    }
}

/// What is shown to the person who logs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// For people, at most [`MAX_PROMPT`] bytes.
    pub text: String,
    /// What is to become of it.
    pub kind: PromptKind,
}

/// What is to become of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptKind {
    /// Asks for a reply that may be seen while it is typed.
    Visible,
    /// Asks for a reply that must not be seen.
    Hidden,
    /// Says something; wants no reply.
    Info,
    /// Says that something is wrong; wants no reply.
    Error,
}

impl PromptKind {
    /// Whether it wants a reply.
    pub const fn asks(self) -> bool {
        matches!(self, PromptKind::Visible | PromptKind::Hidden)
    }
}

/// What follows from what was said so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Show these and come back with one reply for each that asks.
    Ask(Vec<Prompt>),
    /// Let in.
    Granted(Granted),
    /// A proof was wrong, or no proof would have been enough: nothing tells which.
    Refused,
    /// No verdict could be reached (a helper that does not answer, a full queue): says nothing about the proof.
    Unavailable,
}

/// Who was let in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The user's name; empty where nothing proved one, as the one-time password of a run does not.
    pub user: String,
    /// The user's groups.
    pub groups: Vec<String>,
    /// The names of the factors that were proved, in order: `userfile`, `totp`, `system`, `certificate`, `session`.
    pub factors: Vec<String>,
}

/// A verdict that is still being reached.
pub type Judging<'a> = Pin<Box<dyn Future<Output = Turn> + Send + 'a>>;

/// One login. Dropping it gives it up.
pub trait Login: Send {
    /// The next turn; `replies` are to the last turn's prompts that ask, none at the first call.
    fn next(&mut self, replies: Vec<Secret>) -> Judging<'_>;
}

/// Decides about logins.
pub trait Judge: Send + Sync {
    /// Begins a login as `user`. Whether there is such a user shows nowhere, not even in the time it takes.
    fn begin(&self, caller: Caller, user: String) -> Box<dyn Login>;

    /// A login by a name and one password (and what may be appended to it), all said at once. Never asks.
    fn password(&self, caller: Caller, user: String, password: Secret) -> Judging<'_>;

    /// Whether some chain can be proved by a name and one password alone. Security types that carry no more are pointless
    /// otherwise.
    fn takes_passwords(&self) -> bool;

    /// Whether some chain wants a client certificate.
    fn wants_certificates(&self) -> bool;

    /// Whether a client certificate alone is enough: a login with it, begun without a name, asks nothing.
    fn certificate_suffices(&self) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_printed_nowhere() {
        let secret = Secret::new("hunter2".into());
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn a_certificate_of_seven_kilobytes_goes_into_a_message() {
        let caller = |certificate| Caller {
            peer: "[2001:db8::1]:50312".into(),
            listener: "[::]:5900".into(),
            security: SecurityKind::X509Plain,
            device: None,
            certificate,
            known: false,
            connection: 7,
        };
        for certificate in [None, Some(Vec::new()), Some((0..7_000u32).map(|n| n.to_be_bytes()[3]).collect())] {
            let caller = caller(certificate);
            let text = serde_json::to_string(&caller).unwrap();
            assert!(text.len() < 15 << 10, "{}", text.len());
            assert_eq!(serde_json::from_str::<Caller>(&text).unwrap(), caller);
        }
    }

    #[test]
    fn only_prompts_that_ask_want_replies() {
        let asking: Vec<bool> = [PromptKind::Visible, PromptKind::Hidden, PromptKind::Info, PromptKind::Error]
            .into_iter()
            .map(PromptKind::asks)
            .collect();
        assert_eq!(asking, [true, true, false, false]);
    }
}
