//! From text to table.

use std::collections::{BTreeMap, HashMap};

use super::super::keymap::{Group, Key, Keymap};
use super::names::keysym;
use super::tokens::{Word, Words, tokens};
use super::types::{Modifiers, Written, automatic, fallback, real};
use super::{Places, XkbMap};

/// The smallest code of the table.
const FIRST: u8 = 8;
/// Groups that a map can have.
const MAX_GROUPS: usize = 4;

/// What a key's text says.
#[derive(Clone, Debug, Default)]
struct Entry<'a> {
    groups: Vec<(Option<&'a str>, Vec<u32>)>,
    clamps: bool,
    vmods: Vec<&'a str>,
    /// Modifiers that its own action turns on.
    action: Vec<&'a str>,
}

/// What a keysym makes of its key.
struct Interpret<'a> {
    /// None: any.
    keysym: Option<u32>,
    /// Of the first level alone.
    first_level: bool,
    /// Keys that are no real modifiers too.
    any_key: bool,
    /// The modifier that the key's real one stands for, of those that the map defines.
    modifier: Option<&'a str>,
    /// Modifiers that the key turns on.
    action: Vec<&'a str>,
}

#[derive(Default)]
struct Found<'a> {
    codes: HashMap<&'a str, u8>,
    names: BTreeMap<u8, String>,
    types: Vec<Written<'a>>,
    modifiers: Modifiers<'a>,
    interprets: Vec<Interpret<'a>>,
    entries: BTreeMap<u8, Entry<'a>>,
    modmap: Vec<(u8, u8)>,
    places: Places,
}

/// Reads a text; none when it has no key codes or no symbols.
pub(super) fn read(text: &str) -> Option<XkbMap> {
    let all = tokens(text);
    let mut words = Words::new(&all);
    let mut found = Found::default();
    while let Some(token) = words.next() {
        let Word::Plain(section) = token.word else { continue };
        let mut name = (token.end, token.end);
        if let Some(Word::Quoted(_)) = words.peek() {
            name = words.next().map_or(name, |t| (t.start, t.end));
        }
        // the whole is a section with sections in it
        if !words.takes('{') || section == "xkb_keymap" {
            continue;
        }
        let (inner, end) = words.inside();
        match section {
            "xkb_keycodes" => {
                found.places.codes = end;
                found.keycodes(inner);
            }
            "xkb_types" => found.read_types(inner),
            "xkb_compat" | "xkb_compatibility" | "xkb_compat_map" | "xkb_compatibility_map" => found.compat(inner),
            "xkb_symbols" => {
                (found.places.name, found.places.symbols) = (name, end);
                found.symbols(inner);
            }
            _ => {}
        }
    }
    let there = 0 < found.places.codes && found.places.codes < found.places.name.0;
    there.then(|| found.finish())
}

impl<'a> Found<'a> {
    fn keycodes(&mut self, mut words: Words<'a, '_>) {
        while !words.is_empty() {
            let mut line = words.until(';');
            match line.next().map(|t| t.word) {
                Some(Word::Key(name)) if line.takes('=') => {
                    if let Some(code) = line.plain().and_then(|n| n.parse::<u8>().ok()) {
                        self.codes.insert(name, code);
                        self.names.entry(code).or_insert_with(|| name.to_owned());
                    }
                }
                Some(Word::Plain("alias")) => {
                    if let (Some(Word::Key(alias)), true, Some(Word::Key(name))) =
                        (line.next().map(|t| t.word), line.takes('='), line.next().map(|t| t.word))
                        && let Some(code) = self.codes.get(name).copied()
                    {
                        self.codes.insert(alias, code);
                    }
                }
                _ => {}
            }
        }
    }

    /// Modifiers that a map defines; those with a value are the real ones of that value.
    fn virtual_modifiers(&mut self, mut line: Words<'a, '_>) {
        while !line.is_empty() {
            let mut one = line.until(',');
            let Some(name) = one.plain() else { continue };
            let mut bits = 0;
            if one.takes('=') {
                while let Some(token) = one.next() {
                    if let Word::Plain(word) = token.word {
                        let hex = word.strip_prefix("0x").and_then(|h| u32::from_str_radix(h, 16).ok());
                        let number = hex.or_else(|| word.parse().ok()).map_or(0, |n| (n & 0xff) as u8);
                        bits |= real(word).unwrap_or(number);
                    }
                }
            }
            *self.modifiers.own.entry(name).or_default() |= bits;
        }
    }

    fn read_types(&mut self, mut words: Words<'a, '_>) {
        while !words.is_empty() {
            let mut line = words.until(';');
            match line.plain() {
                Some("virtual_modifiers") => self.virtual_modifiers(line),
                Some("type") => {
                    let Some(Word::Quoted(name)) = line.next().map(|t| t.word) else { continue };
                    if !line.takes('{') {
                        continue;
                    }
                    let (mut inner, _) = line.inside();
                    let mut written = Written { name, ..Written::default() };
                    while !inner.is_empty() {
                        type_line(&mut written, inner.until(';'));
                    }
                    self.types.push(written);
                }
                _ => {}
            }
        }
    }

    fn compat(&mut self, mut words: Words<'a, '_>) {
        while !words.is_empty() {
            let mut line = words.until(';');
            match line.plain() {
                Some("virtual_modifiers") => self.virtual_modifiers(line),
                Some("interpret") => {
                    let keysym = line.plain().filter(|n| *n != "Any").map(keysym);
                    let mut any_key = true;
                    while line.peek().is_some_and(|w| w != Word::Mark('{')) {
                        if let Some(Word::Plain(condition)) = line.next().map(|t| t.word) {
                            any_key = condition.eq_ignore_ascii_case("AnyOfOrNone");
                            // what it is about stands in brackets
                            if line.takes('(') {
                                line.inside();
                            }
                        }
                    }
                    if !line.takes('{') {
                        continue;
                    }
                    let (mut inner, _) = line.inside();
                    let (mut first_level, mut modifier, mut action) = (false, None, Vec::new());
                    while !inner.is_empty() {
                        let mut one = inner.until(';');
                        let key = one.plain().unwrap_or_default();
                        if !one.takes('=') {
                            continue;
                        }
                        if key.eq_ignore_ascii_case("action") {
                            action = action_modifiers(one);
                            continue;
                        }
                        let value = one.plain();
                        if key.eq_ignore_ascii_case("virtualModifier") {
                            modifier = value;
                        } else if key.eq_ignore_ascii_case("useModMapMods") {
                            first_level = value.is_some_and(|v| {
                                v.eq_ignore_ascii_case("level1") || v.eq_ignore_ascii_case("levelone")
                            });
                        }
                    }
                    self.interprets.push(Interpret { keysym, first_level, any_key, modifier, action });
                }
                _ => {}
            }
        }
    }

    fn symbols(&mut self, mut words: Words<'a, '_>) {
        while !words.is_empty() {
            let mut line = words.until(';');
            match line.plain() {
                Some("key") => {
                    let Some(Word::Key(name)) = line.next().map(|t| t.word) else { continue };
                    let Some(code) = self.codes.get(name).copied() else { continue };
                    if line.takes('{') {
                        let (inner, _) = line.inside();
                        self.entries.insert(code, entry(inner));
                    }
                }
                Some("modifier_map" | "mod_map" | "modmap") => {
                    let Some(bits) = line.plain().and_then(real) else { continue };
                    while let Some(token) = line.next() {
                        if let Word::Key(name) = token.word
                            && let Some(code) = self.codes.get(name)
                        {
                            self.modmap.push((*code, bits));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Keys that are real modifiers and bear a keysym that stands for one of the map's own make both the same.
    fn link_modifiers(&mut self) {
        for (code, bits) in &self.modmap {
            let Some(entry) = self.entries.get(code) else { continue };
            for name in &entry.vmods {
                *self.modifiers.own.entry(*name).or_default() |= bits;
            }
            for interpret in &self.interprets {
                let Some(modifier) = interpret.modifier else { continue };
                let levels = |syms: &Vec<u32>| match interpret.keysym {
                    None => true,
                    Some(sym) if interpret.first_level => syms.first() == Some(&sym),
                    Some(sym) => syms.contains(&sym),
                };
                let mut groups = entry.groups.iter().take(if interpret.first_level { 1 } else { MAX_GROUPS });
                if groups.any(|(_, syms)| levels(syms)) {
                    *self.modifiers.own.entry(modifier).or_default() |= bits;
                }
            }
        }
    }

    /// The modifiers that a key turns on which is no real modifier itself: the right Alt key of many layouts.
    fn acts_on(&self, entry: &Entry<'a>) -> u8 {
        let sym = entry.groups.first().and_then(|(_, syms)| syms.first());
        let said = |i: &&Interpret<'a>| i.any_key && i.keysym.is_some() && i.keysym.as_ref() == sym;
        let names = match entry.action.as_slice() {
            [] => self.interprets.iter().find(said).map(|i| i.action.as_slice()).unwrap_or_default(),
            own => own,
        };
        names.iter().fold(0, |mask, name| mask | self.modifiers.bits(name))
    }

    fn finish(mut self) -> XkbMap {
        self.link_modifiers();
        let mut types: Vec<_> = self.types.iter().map(|t| self.modifiers.resolve(t)).collect();
        let mut places: HashMap<&str, usize> = self.types.iter().enumerate().map(|(i, t)| (t.name, i)).collect();
        let mut keys = vec![Key::default(); usize::from(u8::MAX - FIRST) + 1];
        let at = |code: u8| code.checked_sub(FIRST).map(usize::from);
        for (code, entry) in &self.entries {
            let Some(key) = at(*code).and_then(|i| keys.get_mut(i)) else { continue };
            key.clamps = entry.clamps;
            for (named, syms) in entry.groups.iter().take(MAX_GROUPS) {
                let name = named.unwrap_or_else(|| automatic(syms));
                let key_type = *places.entry(name).or_insert_with(|| {
                    types.push(fallback(name));
                    types.len() - 1
                });
                key.groups.push(Group { key_type, syms: syms.clone() });
            }
        }
        for (code, bits) in &self.modmap {
            if let Some(key) = at(*code).and_then(|i| keys.get_mut(i)) {
                key.modifiers |= bits;
            }
        }
        for (code, entry) in &self.entries {
            let Some(key) = at(*code).and_then(|i| keys.get_mut(i)).filter(|k| k.modifiers == 0) else { continue };
            key.modifiers = self.acts_on(entry);
        }
        XkbMap {
            text: String::new(),
            table: Keymap { first: FIRST, keys, types },
            num_lock: self.modifiers.bits("NumLock"),
            names: self.names,
            places: self.places,
        }
    }
}

/// Modifiers between plus signs; none at all for `none`.
fn mask<'a>(mut words: Words<'a, '_>) -> Vec<&'a str> {
    let mut names = Vec::new();
    while let Some(token) = words.next() {
        if let Word::Plain(name) = token.word
            && !name.eq_ignore_ascii_case("none")
        {
            names.push(name);
        }
    }
    names
}

/// The modifiers of an action that turns some on; none for any other action.
fn action_modifiers<'a>(mut words: Words<'a, '_>) -> Vec<&'a str> {
    while let Some(token) = words.next() {
        if matches!(token.word, Word::Plain("SetMods" | "LatchMods" | "LockMods")) && words.takes('(') {
            let (mut inner, _) = words.inside();
            while !inner.is_empty() {
                let mut one = inner.until(',');
                if one.plain() == Some("modifiers") && one.takes('=') {
                    return mask(one);
                }
            }
        }
    }
    Vec::new()
}

fn type_line<'a>(written: &mut Written<'a>, mut line: Words<'a, '_>) {
    match line.plain() {
        Some("modifiers") if line.takes('=') => written.modifiers = mask(line),
        Some("map") if line.takes('[') => {
            let (names, _) = line.inside();
            if !line.takes('=') {
                return;
            }
            let level = line.plain().map(|l| l.trim_start_matches(|c: char| !c.is_ascii_digit()));
            if let Some(level) = level.and_then(|l| l.parse::<u8>().ok()).and_then(|l| l.checked_sub(1)) {
                written.levels.push((mask(names), level));
            }
        }
        _ => {}
    }
}

/// The keysyms of one list; of a level with several the first.
fn list(mut words: Words<'_, '_>) -> Vec<u32> {
    let mut syms = Vec::new();
    while !words.is_empty() {
        let mut level = words.until(',');
        let several = level.takes('{');
        let sym = level.plain().map_or(0, keysym);
        syms.push(if several && level.peek().is_some() && sym == 0 { super::names::UNKNOWN } else { sym });
    }
    while syms.last() == Some(&0) {
        syms.pop();
    }
    syms
}

/// `[Group2]` or `[2]` before an equals sign, counted from 0.
fn group_number(line: &mut Words<'_, '_>) -> Option<usize> {
    if !line.takes('[') {
        return None;
    }
    let (mut inner, _) = line.inside();
    let digits = inner.plain()?.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.parse::<usize>().ok()?.checked_sub(1).filter(|n| *n < MAX_GROUPS)
}

fn entry<'a>(mut words: Words<'a, '_>) -> Entry<'a> {
    let mut entry = Entry::default();
    let mut kinds: [Option<&str>; MAX_GROUPS] = [None; MAX_GROUPS];
    let mut every = None;
    let mut next = 0;
    let set = |entry: &mut Entry<'a>, group: usize, syms: Vec<u32>| {
        if entry.groups.len() <= group {
            entry.groups.resize(group + 1, (None, Vec::new()));
        }
        if let Some(place) = entry.groups.get_mut(group) {
            place.1 = syms;
        }
    };
    while !words.is_empty() {
        let mut part = words.until(',');
        if part.takes('[') {
            let (inner, _) = part.inside();
            // a list of actions has brackets of its own
            if next < MAX_GROUPS {
                set(&mut entry, next, list(inner));
                next += 1;
            }
            continue;
        }
        let Some(what) = part.plain() else { continue };
        let group = group_number(&mut part);
        let assigned = part.takes('=');
        match what {
            "type" if assigned => {
                if let Some(Word::Quoted(name)) = part.next().map(|t| t.word) {
                    match group.and_then(|g| kinds.get_mut(g)) {
                        Some(kind) => *kind = Some(name),
                        None => every = Some(name),
                    }
                }
            }
            "symbols" if assigned && part.takes('[') => {
                let (inner, _) = part.inside();
                set(&mut entry, group.unwrap_or(next).min(MAX_GROUPS - 1), list(inner));
                next += 1;
            }
            "vmods" | "virtualmods" | "virtualMods" | "virtualModifiers" if assigned => entry.vmods = mask(part),
            "actions" if assigned && group.unwrap_or(0) == 0 => entry.action = action_modifiers(part),
            "groupsClamp" => entry.clamps = true,
            _ => {}
        }
    }
    for (place, kind) in entry.groups.iter_mut().zip(kinds) {
        place.0 = kind.or(every);
    }
    entry
}
