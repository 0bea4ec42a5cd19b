//! What a viewer remembers of the servers that it met: their keys, and the best security type each ever offered.
//!
//! The first key that a name shows is pinned. A name that shows another one is stopped until a person types a word of the new
//! phrase; a name that offers only weaker types than it once did is refused. The store is a value: whoever owns the file reads
//! and writes it, and says which day it is.

mod day;
mod text;

pub use day::Day;
pub use text::PinsTextError;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::identity::PublicKey;
use crate::limits;
use crate::phrase::Comparison;

/// How much a security type protects, from nothing to the most. Anything unknown protects nothing.
pub fn strength(security_type: u8) -> u8 {
    match security_type {
        // farpane's channel
        70 => 4,
        // VeNCrypt: whether with a certificate is seen only inside, and pinned there
        19 => 3,
        // RSA-AES with 256 and 128 bits
        129 | 5 => 2,
        // RSA-AES that leaves the pixels plain, VncAuth
        130 | 6 | 2 => 1,
        _ => 0,
    }
}

/// What is known of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The server's key on the channel; none when only other types were seen.
    pub key: Option<PublicKey>,
    /// Suites seen, as bits: suite 1 is bit 0.
    pub suites: u8,
    /// The strongest security type ever offered.
    pub best: u8,
    /// The first and the last day it was seen.
    pub seen: (Day, Day),
}

/// What a key means for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was known: show the phrase, and pin the key when the person agrees.
    FirstVisit,
    /// It is the pinned key.
    Known,
    /// Another key is pinned: stop, and show both phrases.
    Changed {
        /// The key that is pinned.
        pinned: PublicKey,
        /// The key that was shown.
        shown: PublicKey,
    },
}

impl Verdict {
    /// Both phrases, when the key changed. Cost: two fingerprints.
    pub fn comparison(&self) -> Option<Comparison> {
        match self {
            Self::Changed { pinned, shown } => {
                Some(shown.fingerprint().phrase().against(&pinned.fingerprint().phrase()))
            }
            _ => None,
        }
    }
}

/// Why something was not pinned, or a server is not to be talked to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PinError {
    /// A name that cannot stand in the file.
    #[error("a name of {0} bytes, or one with blanks or control characters (expected 1..=255 bytes without)")]
    Name(usize),
    /// Too many names.
    #[error("more than 8192 names are pinned: forget one first")]
    Full,
    /// Another key is pinned.
    #[error("another key is pinned for this name: compare both phrases, then replace the pin")]
    Changed,
    /// The typed word is not the one asked for.
    #[error("that is not the first changed word of the new phrase: the pin stays as it is")]
    Word,
    /// The name is not known.
    #[error("this name is not pinned")]
    Unknown,
    /// The server offers less than it once did.
    #[error("security type {best} was offered before and only weaker ones are now: somebody may be in between")]
    Weaker {
        /// The strongest type that was ever offered.
        best: u8,
    },
}

/// All pins of a viewer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(BTreeMap<String, Pin>);

impl Pins {
    /// What is known of a name.
    pub fn get(&self, name: &str) -> Option<&Pin> {
        self.0.get(name)
    }

    /// Every name and what is known of it, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Pin)> {
        self.0.iter().map(|(name, pin)| (name.as_str(), pin))
    }

    /// The names that a key is pinned for: a first visit may be an old acquaintance at a new address.
    pub fn names_of(&self, key: PublicKey) -> impl Iterator<Item = &str> {
        self.iter().filter(move |(_, pin)| pin.key == Some(key)).map(|(name, _)| name)
    }

    /// What a key means for a name.
    pub fn check(&self, name: &str, shown: PublicKey) -> Verdict {
        match self.0.get(name).and_then(|pin| pin.key) {
            None => Verdict::FirstVisit,
            Some(pinned) if pinned == shown => Verdict::Known,
            Some(pinned) => Verdict::Changed { pinned, shown },
        }
    }

    /// The types of an offer that may be used: those at least as strong as the best ever seen for this name.
    ///
    /// # Errors
    /// When there are none.
    pub fn allowed(&self, name: &str, offered: &[u8]) -> Result<Vec<u8>, PinError> {
        let best = self.0.get(name).map_or(0, |pin| pin.best);
        let allowed: Vec<u8> = offered.iter().copied().filter(|kind| strength(*kind) >= strength(best)).collect();
        if allowed.is_empty() { Err(PinError::Weaker { best }) } else { Ok(allowed) }
    }

    /// Notes a visit that went well: the types offered, and the channel's key and suite where it was used.
    ///
    /// # Errors
    /// When another key is pinned, or the name cannot be kept. Nothing changes then.
    pub fn note(
        &mut self,
        name: &str,
        offered: &[u8],
        channel: Option<(PublicKey, u8)>,
        today: Day,
    ) -> Result<(), PinError> {
        check_name(name)?;
        if let Some((key, _)) = channel
            && matches!(self.check(name, key), Verdict::Changed { .. })
        {
            return Err(PinError::Changed);
        }
        if self.0.len() >= limits::PINS && !self.0.contains_key(name) {
            return Err(PinError::Full);
        }
        let new = Pin { key: None, suites: 0, best: 0, seen: (today, today) };
        let pin = self.0.entry(name.to_owned()).or_insert(new);
        let best = offered.iter().copied().max_by_key(|kind| strength(*kind)).unwrap_or(0);
        if strength(best) > strength(pin.best) {
            pin.best = best;
        }
        if let Some((key, suite)) = channel {
            pin.key = Some(key);
            pin.suites |= suite_bit(suite);
        }
        pin.seen.1 = pin.seen.1.max(today);
        Ok(())
    }

    /// Puts a new key in the place of the pinned one. `typed` must be the first changed word of the new phrase, so that
    /// whoever types it has looked at both.
    ///
    /// # Errors
    /// When the name is not pinned or the word is another one. Nothing changes then.
    pub fn replace(&mut self, name: &str, key: PublicKey, suite: u8, typed: &str, today: Day) -> Result<(), PinError> {
        let comparison = self.check(name, key).comparison().ok_or(PinError::Unknown)?;
        let word = comparison.first_changed().ok_or(PinError::Unknown)?;
        if !typed.trim().eq_ignore_ascii_case(word) {
            return Err(PinError::Word);
        }
        let pin = self.0.get_mut(name).ok_or(PinError::Unknown)?;
        (pin.key, pin.suites) = (Some(key), suite_bit(suite));
        pin.seen.1 = pin.seen.1.max(today);
        Ok(())
    }

    /// Forgets a name; whether it was known.
    pub fn forget(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }
}

fn suite_bit(suite: u8) -> u8 {
    1u8.checked_shl(u32::from(suite).saturating_sub(1)).unwrap_or(0)
}

fn check_name(name: &str) -> Result<(), PinError> {
    let good = (1..=limits::PIN_NAME).contains(&name.len())
        && !name.starts_with('#')
        && !name.chars().any(|c| c.is_whitespace() || c.is_control());
    if good { Ok(()) } else { Err(PinError::Name(name.len())) }
}

#[cfg(test)]
mod tests;
