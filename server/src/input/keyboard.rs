//! A keyboard whose map cannot be changed, as the portal and KMS have them: from a client's keys to its keys. Pure.
//!
//! A key with a scan code goes as that key; one without is looked up in the keyboard's own map and goes with the modifiers that it needs.
//! What the map lacks is said. Keys that are held are told once, the desktop repeats them itself.
//!
//! Modifiers that are held are those that were pressed here: what the desktop tells of them comes late, and would be wrong between two
//! keys of a text. Locks and the group come from the desktop, and from keys pressed here until it tells.

use super::KeyInput;
use super::locks::Locks;
use super::scancode::x_keycode;
use super::typist::{KeyboardState, Step, Typist};
use super::xkb::XkbMap;

/// XKB counts keys from 8 on.
const X_OFFSET: u8 = 8;
/// The modifiers that keys are looked up with; the rest stand for some of them.
const REAL: u32 = 0xff;

/// A key of the keyboard goes down or up, by Linux' number of it.
pub type Stroke = (u32, bool);

/// A keyboard with its map.
#[derive(Debug)]
pub struct Keyboard {
    map: XkbMap,
    typist: Typist,
    /// By XKB's numbers.
    held: Vec<u8>,
    locks: Locks,
}

impl Keyboard {
    /// A keyboard on which nothing is held.
    pub fn new(map: XkbMap) -> Self {
        let typist = Typist::fixed(map.table.clone());
        Self { map, typist, held: Vec::new(), locks: Locks::default() }
    }

    /// What is pressed and released for a client's key; none when the map lacks its keysym.
    pub fn key(&mut self, key: KeyInput) -> Option<Vec<Stroke>> {
        let key = match key.scancode {
            Some(scan) if x_keycode(scan).is_some() => KeyInput { keysym: 0, ..key },
            _ => KeyInput { scancode: None, ..key },
        };
        if key.down && self.typist.holds(&key) {
            return Some(Vec::new());
        }
        let state = KeyboardState { mods: self.held_modifiers() | self.locks.mods, group: self.locks.group };
        let steps = self.typist.key(key, state);
        if key.down && key.keysym != 0 && !self.typist.holds(&key) {
            return None;
        }
        Some(steps.into_iter().filter_map(|step| self.step(step)).collect())
    }

    /// The desktop tells what is locked, and the group in effect.
    pub fn told(&mut self, locked: u32, group: u32) {
        self.locks.mods = u8::try_from(locked & REAL).unwrap_or(0);
        self.locks.group = u8::try_from(group).unwrap_or(0);
    }

    /// The desktop shows lock keys: bit 0 scroll, 1 num, 2 caps. Of the group they say nothing.
    pub fn shown(&mut self, leds: u8) {
        self.locks.show(leds, self.map.num_lock);
    }

    /// The desktop has let go of everything by itself.
    pub fn forget(&mut self) {
        self.typist.release_all();
        self.held.clear();
        // what is locked is told anew
        self.locks.mods = 0;
    }

    /// What lets go of everything.
    pub fn release_all(&mut self) -> Vec<Stroke> {
        let steps = self.typist.release_all();
        let mut strokes: Vec<Stroke> = steps.into_iter().filter_map(|step| self.step(step)).collect();
        strokes.extend(std::mem::take(&mut self.held).into_iter().filter_map(|code| Some((linux(code)?, false))));
        strokes
    }

    /// The lock keys as RFB's LED state has them.
    pub fn leds(&self) -> u8 {
        self.locks.leds(self.map.num_lock)
    }

    fn step(&mut self, step: Step) -> Option<Stroke> {
        match step {
            Step::Down(code) if !self.held.contains(&code) => {
                self.locks.press(&self.map.table, code, self.held_modifiers());
                self.held.push(code);
                Some((linux(code)?, true))
            }
            Step::Up(code) if self.held.contains(&code) => {
                self.held.retain(|c| *c != code);
                Some((linux(code)?, false))
            }
            // there are no spare keys to put anything on
            Step::Down(_) | Step::Up(_) | Step::Bind(..) => None,
        }
    }

    fn held_modifiers(&self) -> u8 {
        self.held.iter().filter_map(|c| self.map.table.key(*c)).fold(0, |mods, key| mods | key.modifiers)
    }
}

fn linux(code: u8) -> Option<u32> {
    code.checked_sub(X_OFFSET).map(u32::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHIFT: u32 = 42;

    fn keyboard() -> Keyboard {
        Keyboard::new(XkbMap::english())
    }

    fn key(down: bool, keysym: u32, scancode: Option<u32>) -> KeyInput {
        KeyInput { down, keysym, scancode }
    }

    #[test]
    fn a_scan_code_goes_as_its_key_whatever_its_keysym_and_once() {
        let mut board = keyboard();
        assert_eq!(board.key(key(true, 0x416, Some(0x10))), Some(vec![(16, true)]));
        assert_eq!(board.key(key(true, 0x416, Some(0x10))), Some(vec![]), "the desktop repeats it");
        assert_eq!(board.key(key(false, 0x51, Some(0x10))), Some(vec![(16, false)]), "the same key");
        assert_eq!(board.key(key(false, 0x51, Some(0x10))), Some(vec![]));
        assert_eq!(board.key(key(true, 0x71, Some(0x1ff))), Some(vec![(16, true)]), "no such key: its keysym");
    }

    #[test]
    fn a_keysym_is_typed_with_the_modifiers_it_needs_and_they_are_put_back() {
        let mut board = keyboard();
        assert_eq!(board.key(key(true, 0x61, None)), Some(vec![(30, true)]));
        assert_eq!(board.key(key(false, 0x61, None)), Some(vec![(30, false)]));
        assert_eq!(board.key(key(true, 0x41, None)), Some(vec![(SHIFT, true), (30, true), (SHIFT, false)]));
        assert_eq!(board.key(key(false, 0x41, None)), Some(vec![(30, false)]));
        // Shift is held already, by its scan code
        board.key(key(true, 0xffe1, Some(0x2a)));
        assert_eq!(board.key(key(true, 0x41, None)), Some(vec![(30, true)]));
        assert_eq!(board.release_all().len(), 2);
        assert!(board.release_all().is_empty());
    }

    #[test]
    fn what_the_map_lacks_is_said_and_its_release_is_nothing() {
        let mut board = keyboard();
        assert_eq!(board.key(key(true, 0x20ac, None)), None);
        assert_eq!(board.key(key(false, 0x20ac, None)), Some(vec![]));
        assert!(board.release_all().is_empty());
    }

    #[test]
    fn locks_come_from_the_desktop_and_from_keys_until_it_tells() {
        let mut board = keyboard();
        board.key(key(true, 0xffe5, Some(0x3a)));
        board.key(key(false, 0xffe5, Some(0x3a)));
        assert_eq!(board.leds(), 4);
        // a capital needs no Shift while Caps Lock is on
        assert_eq!(board.key(key(true, 0x41, None)), Some(vec![(30, true)]));
        board.key(key(false, 0x41, None));
        board.told(0, 0);
        assert_eq!(board.leds(), 0);
        assert_eq!(board.key(key(true, 0x41, None)).map(|s| s.len()), Some(3));
        board.forget();
        assert!(board.release_all().is_empty());
        board.told(u32::MAX, u32::MAX);
        assert_eq!(board.leds(), 6);
    }

    #[test]
    fn lights_are_locks() {
        let mut board = keyboard();
        for leds in [7, 4, 2, 1, 0] {
            board.shown(leds);
            assert_eq!(board.leds(), leds);
        }
        board.shown(4);
        assert_eq!(board.key(key(true, 0x41, None)), Some(vec![(30, true)]), "Caps Lock gives the capital");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_is_pressed_is_released(
            keys in proptest::collection::vec((any::<bool>(), prop_oneof![0x20u32..0x7f, 0xff00u32..=0xffff, any::<u32>()], proptest::option::of(0u32..0x100)), 0..40)
        ) {
            let mut board = keyboard();
            let mut down = std::collections::BTreeSet::new();
            let strokes = keys.into_iter().filter_map(|(d, sym, scan)| board.key(key(d, sym, scan))).flatten().collect::<Vec<_>>();
            for (code, pressed) in strokes.into_iter().chain(board.release_all()) {
                prop_assert!(if pressed { down.insert(code) } else { down.remove(&code) }, "key {} twice", code);
            }
            prop_assert!(down.is_empty());
        }
    }
}
