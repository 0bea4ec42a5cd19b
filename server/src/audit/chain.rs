//! A file of events in which no line can be changed, removed or moved without being noticed.
//!
//! Every line ends with `"chain":"HASH"`: SHA-256 over the hash of the line before and the line without that member. The first line
//! of a file names the hash that it goes on from, so that a file that was rotated away and the next one are one chain.
//!
//! What a chain alone cannot show: lines cut off the end of the last file, and a log that somebody rewrote from some line on, every hash
//! with it. Both show when a hash that was noted elsewhere ([`Seen`]) is not in the chain any more.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::json::Object;
use super::time::utc;
use crate::auth::Moment;
use crate::helper::aside;

/// Longest line that is read.
const MAX_LINE: u64 = 1 << 20;
/// Rotated files that are looked for.
const MAX_FILES: u32 = 10_000;
const MEMBER: &str = ",\"chain\":\"";
const HEAD: &str = "\"event\":\"log\",\"version\":1,\"after\":\"";

/// A hash of the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash([u8; 32]);

/// A hash that was noted before.
pub type Seen = Hash;

impl Hash {
    /// What the first file of all goes on from.
    pub const START: Hash = Hash([0; 32]);

    /// The hash of a line that follows this one's.
    fn then(self, body: &str) -> Hash {
        Hash(Sha256::new().chain_update(self.0).chain_update(body.as_bytes()).finalize().into())
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a text is no hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hash {0:?} (expected 64 hexadecimal digits in lower case)")]
pub struct HashError(String);

impl std::str::FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let read = || -> Option<Hash> {
            let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
            let bytes: Option<Vec<u8>> =
                pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
            Some(Hash(bytes?.try_into().ok()?))
        };
        read().ok_or_else(|| HashError(text.chars().take(80).collect()))
    }
}

/// What is wrong with a chain.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, io::Error),
    /// The first line is missing or none of a log.
    #[error("{0}: line 1 is not the beginning of a log: lines were removed, or this is no log")]
    NoHead(PathBuf),
    /// A line has another form.
    #[error("{0}: line {1} is no line of a log")]
    Form(PathBuf, u64),
    /// A line does not follow from the one before.
    #[error(
        "{0}: line {1} does not follow from the line before: one of them was changed, or lines were removed or moved"
    )]
    Broken(PathBuf, u64),
    /// The last line is not whole.
    #[error("{0}: line {1} is cut off")]
    Cut(PathBuf, u64),
    /// A file does not go on from the end of the file before.
    #[error("{0}: does not go on from the end of {1}: lines or a file were removed between")]
    Gap(PathBuf, PathBuf),
    /// A hash that was there is there no more.
    #[error("{0}: the hash {1} is not in the chain: lines were cut off the end, or the log was rewritten")]
    NotSeen(PathBuf, Hash),
}

/// A line as it is written, and its hash: `body` is a JSON object that follows the line with the hash `before`.
pub fn line(before: Hash, body: &str) -> (String, Hash) {
    let hash = before.then(body);
    let open = body.strip_suffix('}').unwrap_or(body);
    (format!("{open}{MEMBER}{hash}\"}}\n"), hash)
}

/// The first line of a file that goes on from the hash `after`, without its own.
pub fn head(after: Hash, at: Moment) -> String {
    let mut object = Object::new();
    object.text("time", &utc(at));
    object.text("event", "log");
    object.number("version", 1);
    object.text("after", &after.to_string());
    object.end()
}

/// Takes a line apart: the line without its hash, and the hash.
pub(super) fn parts(line: &str) -> Option<(String, Hash)> {
    let (open, rest) = line.rsplit_once(MEMBER)?;
    let hash = rest.strip_suffix("\"}")?.parse().ok()?;
    let mut body = String::with_capacity(open.len().saturating_add(1));
    let _ = write!(body, "{open}}}");
    Some((body, hash))
}

/// What the first line of a file says it goes on from.
fn after(body: &str) -> Option<Hash> {
    let (_, rest) = body.split_once(HEAD)?;
    rest.strip_suffix("\"}")?.parse().ok()
}

/// What was found whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The files, the oldest first.
    pub files: Vec<PathBuf>,
    /// Lines of events, in all files together.
    pub events: u64,
    /// Whether the first file is the first of all: nothing older was rotated away and removed.
    pub from_start: bool,
    /// The hash of the last line: note it elsewhere, and give it to the next check.
    pub last: Hash,
}

/// Reads one line, without its end; the flag says whether it had one. None at the end.
fn next_line(reader: &mut impl BufRead) -> io::Result<Option<(Vec<u8>, bool)>> {
    let mut bytes = Vec::new();
    reader.take(MAX_LINE).read_until(b'\n', &mut bytes)?;
    let whole = bytes.pop_if(|last| *last == b'\n').is_some();
    Ok((whole || !bytes.is_empty()).then_some((bytes, whole)))
}

/// One file's check: what it goes on from, its last hash, its events.
struct One {
    after: Hash,
    last: Hash,
    events: u64,
    seen: bool,
}

/// Checks what a file holds. `path` is what faults name.
fn check_one(path: &Path, reader: &mut impl BufRead, seen: Option<Seen>) -> Result<One, Fault> {
    let read = |error| Fault::Read(path.to_owned(), error);
    let (mut number, mut one) = (0u64, None::<One>);
    while let Some((bytes, whole)) = next_line(reader).map_err(read)? {
        number = number.saturating_add(1);
        if !whole && (bytes.len() as u64) < MAX_LINE {
            return Err(Fault::Cut(path.to_owned(), number));
        }
        let form = || match number {
            1 => Fault::NoHead(path.to_owned()),
            _ => Fault::Form(path.to_owned(), number),
        };
        let (body, hash) = std::str::from_utf8(&bytes).ok().and_then(parts).ok_or_else(form)?;
        let (before, events) = match &one {
            Some(one) => (one.last, one.events.saturating_add(1)),
            None => (after(&body).ok_or_else(form)?, 0),
        };
        if before.then(&body) != hash {
            return Err(Fault::Broken(path.to_owned(), number));
        }
        let was_seen = seen.is_some_and(|seen| seen == hash || seen == before);
        one = Some(match one {
            Some(one) => One { last: hash, events, seen: one.seen || was_seen, ..one },
            None => One { after: before, last: hash, events, seen: was_seen },
        });
    }
    one.ok_or_else(|| Fault::NoHead(path.to_owned()))
}

/// Checks bytes as one file of a log.
///
/// # Errors
/// The first fault.
pub fn check_bytes(bytes: &[u8]) -> Result<(u64, Hash), Fault> {
    let one = check_one(Path::new("log"), &mut io::Cursor::new(bytes), None)?;
    Ok((one.events, one.last))
}

/// Checks a log: the file and those that were rotated away from it and are still there. `seen` is a hash that must be in the
/// chain.
///
/// # Errors
/// The first fault.
pub fn verify(path: &Path, seen: Option<Seen>) -> Result<Checked, Fault> {
    let mut files: Vec<PathBuf> = (1..MAX_FILES).map(|n| aside(path, n)).take_while(|file| file.exists()).collect();
    files.reverse();
    files.push(path.to_owned());
    let mut checked = Checked { files: Vec::new(), events: 0, from_start: false, last: Hash::START };
    let mut was_seen = seen.is_none();
    for file in files {
        let opened = File::open(&file).map_err(|error| Fault::Read(file.clone(), error))?;
        let one = check_one(&file, &mut BufReader::new(opened), seen)?;
        match checked.files.last() {
            Some(before) if one.after != checked.last => return Err(Fault::Gap(file, before.clone())),
            Some(_) => {}
            None => checked.from_start = one.after == Hash::START,
        }
        was_seen |= one.seen;
        checked.last = one.last;
        checked.events = checked.events.saturating_add(one.events);
        checked.files.push(file);
    }
    match seen {
        Some(seen) if !was_seen => Err(Fault::NotSeen(path.to_owned(), seen)),
        _ => Ok(checked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn log(events: usize) -> String {
        let at = Moment::from_secs(1_700_000_000);
        let (mut text, mut last) = line(Hash::START, &head(Hash::START, at));
        for n in 0..events {
            let (next, hash) = line(last, &format!("{{\"event\":\"connect\",\"session\":{n}}}"));
            text.push_str(&next);
            last = hash;
        }
        text
    }

    fn check(text: &str) -> Result<u64, Fault> {
        check_bytes(text.as_bytes()).map(|(events, _)| events)
    }

    #[test]
    fn a_whole_log_is_whole_and_its_lines_are_json() {
        assert_eq!(check(&log(0)).unwrap(), 0);
        assert_eq!(check(&log(20)).unwrap(), 20);
        for line in log(3).lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["chain"].as_str().unwrap().parse::<Hash>().unwrap().to_string(), value["chain"]);
        }
    }

    #[test]
    fn every_planted_fault_is_found_and_named() {
        let text = log(9);
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let without = |n: usize| -> String {
            lines.iter().enumerate().filter(|(at, _)| *at != n).map(|(_, line)| *line).collect()
        };
        assert!(matches!(check(&without(0)), Err(Fault::NoHead(_))));
        for n in 1..9 {
            assert!(matches!(check(&without(n)), Err(Fault::Broken(_, at)) if at == n as u64 + 1), "line {n} removed");
            let mut swapped = lines.clone();
            swapped.swap(n, n + 1);
            assert!(matches!(check(&swapped.concat()), Err(Fault::Broken(_, at)) if at == n as u64 + 1), "swapped {n}");
            let mut doubled = lines.clone();
            doubled.insert(n, lines[n]);
            assert!(matches!(check(&doubled.concat()), Err(Fault::Broken(..))), "doubled {n}");
        }
        let changed = text.replace("\"session\":4", "\"session\":5");
        assert!(matches!(check(&changed), Err(Fault::Broken(_, 6))));
        assert!(matches!(check(&text[..text.len() - 1]), Err(Fault::Cut(_, 10))));
        assert!(matches!(check(&text[..text.len() - 30]), Err(Fault::Cut(_, 10))));
        assert!(matches!(check(&format!("{text}{{\"event\":\"connect\"}}\n")), Err(Fault::Form(_, 11))));
        assert!(matches!(check(""), Err(Fault::NoHead(_))));
        assert!(matches!(check("{\"event\":\"connect\"}\n"), Err(Fault::NoHead(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn no_byte_can_be_changed(at in 0usize..2000, to in any::<u8>()) {
            let good = log(8);
            let mut bytes = good.clone().into_bytes();
            let at = at % bytes.len();
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            prop_assert!(check_bytes(&bytes).is_err(), "byte {} of {:?}", at, good);
        }
    }
}
