//! The file of pins as text: a heading, then one line a name.
//!
//! ```text
//! farpane-pins 1
//! desk.example:5900 key=8520...4e6a suites=1 best=70 first=2026-11-22 last=2026-11-23
//! ```
//!
//! `key=-` where only other security types were seen. Empty lines and lines that begin with `#` are skipped, and not kept.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{Pin, Pins, check_name};
use crate::identity::PublicKey;
use crate::limits;

const HEADING: &str = "farpane-pins 1";

/// Why a text is not a file of pins. Nothing of it is to be used then: a pin that is lost is a key that is trusted anew.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PinsTextError {
    /// The text is too long.
    #[error("pins of {0} bytes (expected 0..=4194304)")]
    Long(usize),
    /// The first line is another.
    #[error("the first line is not \"farpane-pins 1\": not a file of pins, or one of a later release")]
    Heading,
    /// There are too many names.
    #[error("line {line}: more than 8192 names")]
    Full {
        /// Counted from 1.
        line: usize,
    },
    /// A line that is not as it must be.
    #[error("line {line}: {what}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
}

impl fmt::Display for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADING}")?;
        for (name, pin) in self.iter() {
            write!(f, "{name} key=")?;
            match pin.key {
                Some(key) => write!(f, "{key}")?,
                None => f.write_str("-")?,
            }
            writeln!(f, " suites={} best={} first={} last={}", pin.suites, pin.best, pin.seen.0, pin.seen.1)?;
        }
        Ok(())
    }
}

impl FromStr for Pins {
    type Err = PinsTextError;

    fn from_str(text: &str) -> Result<Self, PinsTextError> {
        if text.len() > limits::PINS_TEXT {
            return Err(PinsTextError::Long(text.len()));
        }
        let mut lines = text.lines();
        // an empty file is one that was never written
        match lines.next().map(str::trim_end) {
            None => return Ok(Self::default()),
            Some(HEADING) => {}
            Some(_) => return Err(PinsTextError::Heading),
        }
        let mut pins = Self::default();
        for (line, text) in (2..).zip(lines) {
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            let (name, pin) = entry(text).map_err(|what| PinsTextError::Line { line, what })?;
            if pins.0.len() >= limits::PINS {
                return Err(PinsTextError::Full { line });
            }
            if pins.0.insert(name, pin).is_some() {
                return Err(PinsTextError::Line { line, what: "a name that stood before" });
            }
        }
        Ok(pins)
    }
}

fn entry(line: &str) -> Result<(String, Pin), &'static str> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next().ok_or("an empty line")?;
    check_name(name).map_err(|_| "a name with blanks or control characters, or longer than 255 bytes")?;
    let mut field = |label: &str| words.next().and_then(|word| word.strip_prefix(label)?.strip_prefix('='));
    let key = match field("key").ok_or("no key= after the name")? {
        "-" => None,
        digits => Some(PublicKey::from_hex(digits).ok_or("a key that is not 64 hexadecimal digits")?),
    };
    let suites = field("suites").and_then(|n| n.parse().ok()).ok_or("no suites= from 0 to 255 after the key")?;
    let best = field("best").and_then(|n| n.parse().ok()).ok_or("no best= from 0 to 255 after the suites")?;
    let first = field("first").and_then(|day| day.parse().ok()).ok_or("no first= with a date after best")?;
    let last = field("last").and_then(|day| day.parse().ok()).ok_or("no last= with a date after first")?;
    if words.next().is_some() {
        return Err("more words than a line has");
    }
    if last < first {
        return Err("a last day before the first");
    }
    Ok((name.to_owned(), Pin { key, suites, best, seen: (first, last) }))
}
