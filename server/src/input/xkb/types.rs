//! Key types, and the one that a key has whose text names none.

use std::collections::HashMap;

use super::super::keymap::{KeyType, LOCK, SHIFT, char_of};

/// A type as it is written: modifiers by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written<'a> {
    pub(super) name: &'a str,
    pub(super) modifiers: Vec<&'a str>,
    pub(super) levels: Vec<(Vec<&'a str>, u8)>,
}

/// Real modifiers by name, with those that a map defines itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Modifiers<'a> {
    pub(super) own: HashMap<&'a str, u8>,
}

impl Modifiers<'_> {
    /// The bits of a modifier; 0 for one that no key has.
    pub(super) fn bits(&self, name: &str) -> u8 {
        real(name).or_else(|| self.own.get(name).copied()).unwrap_or(0)
    }

    /// The type with bits in place of names. A level that needs a modifier which no key has is never chosen.
    pub(super) fn resolve(&self, written: &Written<'_>) -> KeyType {
        let all = |names: &[&str]| names.iter().fold(0, |mask, name| mask | self.bits(name));
        let reachable = |names: &[&str]| names.iter().all(|name| self.bits(name) != 0);
        let levels = written.levels.iter().filter(|(names, _)| reachable(names));
        KeyType {
            mask: all(&written.modifiers),
            levels: levels.map(|(names, level)| (all(names), *level)).filter(|(mask, _)| *mask != 0).collect(),
        }
    }
}

/// The bit of a real modifier.
pub(super) fn real(name: &str) -> Option<u8> {
    let all = ["shift", "lock", "control", "mod1", "mod2", "mod3", "mod4", "mod5"];
    let at = all.iter().position(|real| name.eq_ignore_ascii_case(real))?;
    Some(1 << at)
}

/// The type of a key that names none, by its keysyms.
pub(super) fn automatic(syms: &[u32]) -> &'static str {
    let at = |i: usize| syms.get(i).copied().unwrap_or(0);
    let keypad = |s: u32| matches!(s, 0xff80..=0xffbd | 0x1100_0000..=0x1100_ffff);
    let letter = |small: u32, capital: u32| {
        let (Some(small), Some(capital)) = (char_of(small), char_of(capital)) else { return false };
        small != capital && small.is_lowercase() && capital.is_uppercase()
    };
    match syms.len() {
        0 | 1 => "ONE_LEVEL",
        2 if letter(at(0), at(1)) => "ALPHABETIC",
        2 if keypad(at(0)) || keypad(at(1)) => "KEYPAD",
        2 => "TWO_LEVEL",
        3 | 4 if letter(at(0), at(1)) && letter(at(2), at(3)) => "FOUR_LEVEL_ALPHABETIC",
        3 | 4 if letter(at(0), at(1)) => "FOUR_LEVEL_SEMIALPHABETIC",
        3 | 4 if keypad(at(0)) || keypad(at(1)) => "FOUR_LEVEL_KEYPAD",
        _ => "FOUR_LEVEL",
    }
}

/// What the plainest types do, for maps that leave them out.
pub(super) fn fallback(name: &str) -> KeyType {
    match name {
        "ALPHABETIC" => KeyType { mask: SHIFT | LOCK, levels: vec![(SHIFT, 1), (LOCK, 1)] },
        "ONE_LEVEL" => KeyType::default(),
        _ => KeyType { mask: SHIFT, levels: vec![(SHIFT, 1)] },
    }
}
