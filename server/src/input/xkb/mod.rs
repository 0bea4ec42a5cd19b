//! A keyboard's map as the text that Wayland compositors hand out (XKB's text format, version 1), read into a table and written back with
//! keysyms on keys that mean nothing.
//!
//! What is read is what typing needs: key codes up to 255, types, keysyms and which real modifiers keys are. The text that is written is the one
//! that was read with keys added, so that all else stays as the compositor has it. Texts are what xkbcommon writes: every name is resolved, nothing is
//! included. What is not known is skipped; nothing in a text makes reading fail but the lack of keys.
//!
//! SOURCE: libxkbcommon, "The XKB keymap text format, V1".

mod names;
mod read;
mod tokens;
mod types;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::fd::AsFd;

use super::keymap::Keymap;

/// The name that our maps bear in their symbols: compositors hand the map of the keyboard that was used last to everybody, us too.
const OURS: &str = "farpane";
/// The largest text that is read.
const MAX_TEXT: usize = 4 << 20;
/// Keys with keysyms that a map must have: programs that type text bring maps of a few keys.
const FEWEST: usize = 40;

/// The text in memory that another process shares, `size` bytes with the zero that ends it; none where it is shorter or no text.
pub fn shared_text(fd: impl AsFd, size: u32) -> Option<String> {
    let size = usize::try_from(size).ok().filter(|s| *s <= MAX_TEXT)?;
    let mut bytes = vec![0; size];
    let mut at = 0;
    // by reads, which end where the file is shorter than it is said to be
    while let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(&fd, rest, at as u64) {
            Ok(0) => return None,
            Ok(read) => at += read,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(size);
    bytes.truncate(end);
    String::from_utf8(bytes).ok()
}

/// Why a text is no map to type with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XkbError {
    /// It is longer than `MAX_TEXT`.
    #[error("a keyboard map of {0} bytes (expected {MAX_TEXT} at most)")]
    TooLong(usize),
    /// It is no keyboard's.
    #[error("a keyboard map with {0} keys that mean something (expected {FEWEST} at least, Return where PCs have it)")]
    TooFewKeys(usize),
    /// It has no symbols to add to.
    #[error("a keyboard map without key codes and symbols")]
    NoSymbols,
}

/// A map, as text and as table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XkbMap {
    text: String,
    /// The table.
    pub table: Keymap,
    /// Num Lock's modifier; 0 where the map has none.
    pub num_lock: u8,
    /// Names of key codes.
    names: BTreeMap<u8, String>,
    places: Places,
}

/// Where in the text something can be put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places {
    /// Before the end of the key codes.
    codes: usize,
    /// The name of the symbols with its quotes; empty where there is none.
    name: (usize, usize),
    /// Before the end of the symbols.
    symbols: usize,
}

impl XkbMap {
    /// Reads a text.
    ///
    /// # Errors
    /// When it is no map of a keyboard.
    pub fn read(text: &str) -> Result<Self, XkbError> {
        if text.len() > MAX_TEXT {
            return Err(XkbError::TooLong(text.len()));
        }
        let found = read::read(text).ok_or(XkbError::NoSymbols)?;
        let meaning = found.table.keys.iter().filter(|k| k.groups.iter().any(|g| g.syms.iter().any(|s| *s != 0)));
        let count = meaning.count();
        if count < FEWEST || found.table.lookup(36, 0, 0) != Some(0xff0d) {
            return Err(XkbError::TooFewKeys(count));
        }
        Ok(Self { text: text.to_owned(), ..found })
    }

    /// A plain keyboard with the letters of English, for compositors that have none.
    pub fn english() -> Self {
        let text = include_str!("english.xkb");
        // its own test reads it; without it there is a map in which every keysym takes a spare key
        Self::read(text).unwrap_or_else(|_| Self {
            text: text.to_owned(),
            table: Keymap::default(),
            num_lock: 0,
            names: BTreeMap::new(),
            places: Places::default(),
        })
    }

    /// Whether a text is one that [`XkbMap::with`] has written.
    pub fn is_ours(text: &str) -> bool {
        text.contains("xkb_symbols \"farpane\"")
    }

    /// The text with pairs of keysyms (without and with Shift) on these keys as well.
    pub fn with<'a>(&self, bound: impl Iterator<Item = (&'a u8, &'a [u32; 2])>) -> String {
        let (mut codes, mut symbols) = (String::new(), String::new());
        for (code, [plain, shifted]) in bound {
            let name = match self.names.get(code) {
                Some(name) => name.clone(),
                None => {
                    let name = format!("FP{code:02X}");
                    let _ = writeln!(codes, "\t<{name}> = {code};");
                    name
                }
            };
            let kind = if plain == shifted { "TWO_LEVEL" } else { "ALPHABETIC" };
            let _ =
                writeln!(symbols, "\tkey <{name}> {{ type= \"{kind}\", symbols[1]= [ {plain:#x}, {shifted:#x} ] }};");
        }
        let at = self.places;
        let part = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
        let end = self.text.len();
        [
            part(0, at.codes),
            &codes,
            part(at.codes, at.name.0),
            "\"",
            OURS,
            "\"",
            part(at.name.1, at.symbols),
            &symbols,
            part(at.symbols, end),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests;
