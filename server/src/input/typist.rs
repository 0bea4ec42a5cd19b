//! From a client's keysyms to a keyboard's keys: which go down and up, and in what order.
//!
//! Pure: it is told the map and the keyboard's state and answers with steps. INVARIANT: every key that goes down for a
//! client's keysym goes up with that keysym's release, whatever the map and the modifiers have become; modifiers that
//! are changed for one press are put back right after it.

use std::collections::HashMap;

use super::KeyInput;
use super::keymap::{Keymap, Place, instead_of, is_modifier, pair_for};
use super::scancode::x_keycode;

/// Spare keys used at most.
const MAX_SPARES: usize = 32;

/// One thing to do to the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Put a pair of keysyms (without and with Shift) on a key.
    Bind(u8, [u32; 2]),
    /// Press a key.
    Down(u8),
    /// Release a key.
    Up(u8),
}

/// What the keyboard says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyboardState {
    /// Modifiers in effect.
    pub mods: u8,
    /// The group in effect.
    pub group: u8,
}

/// What one client key is called, press and release alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Name {
    Keysym(u32),
    Scancode(u32),
}

impl Name {
    fn of(key: &KeyInput) -> Self {
        match key.scancode {
            Some(scan) if key.keysym == 0 => Self::Scancode(scan),
            _ => Self::Keysym(key.keysym),
        }
    }
}

/// Turns key events into steps.
#[derive(Debug, Default)]
pub struct Typist {
    map: Keymap,
    held: HashMap<Name, u8>,
    /// Spare keys, longest unused first, with what is on them.
    spares: Vec<(u8, Option<[u32; 2]>)>,
}

impl Typist {
    /// A typist for a map.
    pub fn new(map: Keymap) -> Self {
        let mut new = Self::default();
        new.set_map(map);
        new
    }

    /// A typist for a map that takes no other keysyms: it has no spare keys.
    pub fn fixed(map: Keymap) -> Self {
        Self { map, ..Self::default() }
    }

    /// Whether a client's key is down.
    pub fn holds(&self, key: &KeyInput) -> bool {
        self.held.contains_key(&Name::of(key))
    }

    /// The map has changed. Spare keys that still bear what was put on them stay ours.
    pub fn set_map(&mut self, map: Keymap) {
        let blank = map.spares();
        self.spares.retain(|(code, pair)| match pair {
            None => blank.contains(code),
            Some(pair) => map.lookup(*code, 0, 0) == Some(pair[0]),
        });
        for code in blank {
            if self.spares.len() < MAX_SPARES && !self.spares.iter().any(|(c, _)| *c == code) {
                self.spares.insert(0, (code, None));
            }
        }
        self.map = map;
    }

    /// The spare keys that bear something now, to be blanked at the end.
    pub fn bound(&self) -> Vec<u8> {
        self.spares.iter().filter(|(_, pair)| pair.is_some()).map(|(code, _)| *code).collect()
    }

    /// Forgets what is held and answers with the steps that let it go.
    pub fn release_all(&mut self) -> Vec<Step> {
        let mut codes: Vec<u8> = self.held.drain().map(|(_, code)| code).collect();
        codes.sort_unstable();
        codes.dedup();
        codes.into_iter().map(Step::Up).collect()
    }

    /// The steps for one key event. None at all for the release of a key that is not held, and for a keysym that
    /// neither the map nor a spare key can give.
    pub fn key(&mut self, key: KeyInput, state: KeyboardState) -> Vec<Step> {
        let name = Name::of(&key);
        if key.down { self.press(name, key, state) } else { self.release(name, key, state) }
    }

    fn release(&mut self, name: Name, key: KeyInput, state: KeyboardState) -> Vec<Step> {
        let name = if self.held.contains_key(&name) {
            name
        } else {
            // a client that let go of Shift first releases `a` where it pressed `A`: the same key
            let code = self.map.find(key.keysym, state.group, state.mods, u8::MAX, None).map(|p| p.code);
            match self.held.iter().find(|(n, c)| Some(**c) == code && matches!(n, Name::Keysym(_))) {
                Some((other, _)) => *other,
                None => return Vec::new(),
            }
        };
        let Some(code) = self.held.remove(&name) else { return Vec::new() };
        if self.held.values().any(|c| *c == code) { Vec::new() } else { vec![Step::Up(code)] }
    }

    fn press(&mut self, name: Name, key: KeyInput, state: KeyboardState) -> Vec<Step> {
        if let Some(code) = self.held.get(&name).copied() {
            let modifier = self.map.key(code).is_some_and(|k| k.modifiers != 0);
            return if modifier { Vec::new() } else { self.with_modifiers(key, state, vec![Step::Up(code)]) };
        }
        self.with_modifiers(key, state, Vec::new())
    }

    /// Presses a key with the modifiers that its keysym needs, and puts them back.
    fn with_modifiers(&mut self, key: KeyInput, state: KeyboardState, mut steps: Vec<Step>) -> Vec<Step> {
        let scan_code = key.scancode.and_then(x_keycode).filter(|c| self.map.key(*c).is_some());
        let (name, place) = if key.keysym == 0 {
            let (Some(code), Some(scan)) = (scan_code, key.scancode) else { return steps };
            (Name::Scancode(scan), Place { code, mods: state.mods })
        } else {
            let Some(place) = self.place(key.keysym, state, scan_code, &mut steps) else { return steps };
            (Name::Keysym(key.keysym), place)
        };
        if let Some((i, _)) = self.spares.iter().enumerate().find(|(_, (c, _))| *c == place.code) {
            let used = self.spares.remove(i);
            self.spares.push(used);
        }
        if self.held.values().any(|c| *c == place.code) && !steps.contains(&Step::Up(place.code)) {
            if self.map.key(place.code).is_some_and(|k| k.modifiers != 0) {
                self.held.insert(name, place.code);
                return steps;
            }
            // another keysym of the same key is held: the key goes down anew, and up when both are released
            steps.push(Step::Up(place.code));
        }
        let mut back = Vec::new();
        for modifier in (0..8).map(|bit| 1u8 << bit).filter(|m| (place.mods ^ state.mods) & m != 0) {
            if place.mods & modifier != 0 {
                let Some(code) = self.map.shifter(modifier) else { continue };
                steps.push(Step::Down(code));
                back.push(Step::Up(code));
            } else {
                let mut codes: Vec<u8> = self.held.values().copied().filter(|c| self.turns_on(*c, modifier)).collect();
                codes.sort_unstable();
                codes.dedup();
                steps.extend(codes.iter().map(|c| Step::Up(*c)));
                back.extend(codes.iter().map(|c| Step::Down(*c)));
            }
        }
        steps.push(Step::Down(place.code));
        back.reverse();
        steps.extend(back);
        self.held.insert(name, place.code);
        steps
    }

    fn turns_on(&self, code: u8, modifier: u8) -> bool {
        self.map.key(code).is_some_and(|k| k.modifiers & modifier != 0)
    }

    fn place(&mut self, sym: u32, state: KeyboardState, scan: Option<u8>, steps: &mut Vec<Step>) -> Option<Place> {
        if is_modifier(sym) {
            // a modifier goes down as it is, whatever else is held
            let find = |s: u32| self.map.find(s, state.group, state.mods, u8::MAX, scan);
            let code = std::iter::once(&sym).chain(instead_of(sym)).find_map(|s| find(*s))?.code;
            return Some(Place { code, mods: state.mods });
        }
        let changeable = self.map.changeable();
        // Shift with Tab, a function or a cursor key is meant as such: those levels are the key's own affair
        if matches!(sym, 0xfe20 | 0xff08..=0xff1b | 0xff50..=0xff6b | 0xffbe..=0xffe0 | 0xffff) {
            let find = |s: u32| self.map.find(s, state.group, state.mods, u8::MAX, scan);
            if let Some(found) = std::iter::once(&sym).chain(instead_of(sym)).find_map(|s| find(*s)) {
                let mods = if sym == 0xfe20 { state.mods | super::keymap::SHIFT } else { state.mods };
                return Some(Place { code: found.code, mods });
            }
        }
        let found = self.map.find(sym, state.group, state.mods, changeable, scan);
        if found.is_some() {
            return found;
        }
        let instead = instead_of(sym).iter();
        if let Some(place) = instead.filter_map(|s| self.map.find(*s, state.group, state.mods, changeable, scan)).next()
        {
            return Some(place);
        }
        // the spare key that has gone unused for longest, and is not held
        let held: Vec<u8> = self.held.values().copied().collect();
        let free = self.spares.iter_mut().find(|(code, _)| !held.contains(code))?;
        let (code, pair) = (free.0, pair_for(sym));
        free.1 = Some(pair);
        steps.push(Step::Bind(code, pair));
        self.map.bind(code, pair);
        self.map.find(sym, state.group, state.mods, changeable, Some(code))
    }
}

#[cfg(test)]
#[path = "typist_tests.rs"]
mod tests;
