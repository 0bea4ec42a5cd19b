//! What the judge and the PAM process say to each other: a length of four bytes, big-endian, and so much JSON.

#[cfg(any(test, feature = "pam"))]
use std::io::Read;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::auth::login::{Prompt, Secret};

/// The longest message, in bytes of JSON.
pub(super) const MOST_BYTES: usize = 16 * 1024;

/// To the PAM process.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum ToHelper {
    /// The first message: who wants what.
    Begin {
        service: String,
        user: String,
        rhost: String,
        folder: Option<PathBuf>,
        /// The process ends itself after so long.
        limit_s: u64,
    },
    /// One reply for each prompt that asked.
    Replies(Vec<Secret>),
}

/// From the PAM process.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum FromHelper {
    /// Show these and come back.
    Ask(Vec<Prompt>),
    /// The proof is right.
    Granted { user: String, groups: Vec<String> },
    /// It is not, with PAM's code for the log.
    Refused(i32),
    /// PAM cannot judge, and why.
    Broken(String),
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A message with its length before it.
pub(super) fn encode(message: &impl Serialize) -> io::Result<Zeroizing<Vec<u8>>> {
    // room from the start: growing would leave copies behind
    let mut bytes = Zeroizing::new(Vec::with_capacity(4 + MOST_BYTES));
    bytes.extend_from_slice(&[0; 4]);
    let mut room = Room { bytes: &mut bytes };
    serde_json::to_writer(&mut room, message).map_err(|error| invalid(error.to_string()))?;
    let length = u32::try_from(bytes.len().saturating_sub(4)).map_err(|e| invalid(e.to_string()))?;
    bytes.iter_mut().zip(length.to_be_bytes()).for_each(|(byte, l)| *byte = l);
    Ok(bytes)
}

/// Takes no more than a message.
struct Room<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Write for Room<'_> {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(more.len()) > 4 + MOST_BYTES {
            return Err(invalid(format!("message beyond {MOST_BYTES} bytes")));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The length that four bytes say.
pub(super) fn length(prefix: [u8; 4]) -> io::Result<usize> {
    let length = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if length > MOST_BYTES {
        return Err(invalid(format!("message of {length} bytes (expected at most {MOST_BYTES})")));
    }
    Ok(length)
}

/// A message from its JSON.
pub(super) fn decode<T: DeserializeOwned>(json: &[u8]) -> io::Result<T> {
    // serde's own words may show a piece of what was sent
    serde_json::from_slice(json).map_err(|error| invalid(format!("no message: {:?} error", error.classify())))
}

/// Reads a message, waiting for it.
#[cfg(any(test, feature = "pam"))]
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut prefix = [0; 4];
    from.read_exact(&mut prefix)?;
    let mut json = Zeroizing::new(vec![0; length(prefix)?]);
    from.read_exact(&mut json)?;
    decode(&json)
}

/// Writes a message, waiting until it is gone.
#[cfg(any(test, feature = "pam"))]
pub(super) fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&encode(message)?)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::login::PromptKind;

    #[test]
    fn messages_arrive_as_they_were_sent() {
        let begin = ToHelper::Begin {
            service: "farpane".into(),
            user: "ä\"".into(),
            rhost: "".into(),
            folder: None,
            limit_s: 1,
        };
        let replies = ToHelper::Replies(vec![Secret::new("pass\u{1}word".into()), Secret::default()]);
        let mut bytes = Vec::new();
        write(&mut bytes, &begin).unwrap();
        write(&mut bytes, &replies).unwrap();
        let mut from = bytes.as_slice();
        assert_eq!((read::<ToHelper>(&mut from).unwrap(), read::<ToHelper>(&mut from).unwrap()), (begin, replies));
        assert!(from.is_empty());
        let ask = FromHelper::Ask(vec![Prompt { text: "Password: ".into(), kind: PromptKind::Hidden }]);
        let mut bytes = Vec::new();
        write(&mut bytes, &ask).unwrap();
        assert_eq!(read::<FromHelper>(&mut bytes.as_slice()).unwrap(), ask);
    }

    #[test]
    fn what_is_too_long_cut_or_no_message_is_an_error_that_shows_nothing_of_it() {
        let long = ToHelper::Replies(vec![Secret::new("x".repeat(MOST_BYTES))]);
        assert!(encode(&long).unwrap_err().to_string().contains("16384"));
        let said = read::<ToHelper>(&mut [0xff; 8].as_slice()).unwrap_err().to_string();
        assert!(said.contains("expected at most 16384"), "{said}");
        let whole = encode(&ToHelper::Replies(vec![Secret::new("hunter2".into())])).unwrap();
        for cut in 0..whole.len() {
            assert!(read::<ToHelper>(&mut &whole[..cut]).is_err());
        }
        for wrong in [r#"{"replies":"hunter2"}"#, r#"{"hunter2":[]}"#, "hunter2", r#"{"replies":[1]}"#, ""] {
            let mut bytes = u32::try_from(wrong.len()).unwrap().to_be_bytes().to_vec();
            bytes.extend_from_slice(wrong.as_bytes());
            let said = read::<ToHelper>(&mut bytes.as_slice()).unwrap_err().to_string();
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
