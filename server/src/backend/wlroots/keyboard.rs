//! A virtual keyboard: what goes down and up on it, its modifiers and its map.
//!
//! The compositor takes modifiers as they are told and works none out from keys, so that they are counted here. The map is the seat's own
//! with keysyms that it lacks on spare keys. INVARIANT: nothing but modifiers is down while the map changes; after it everybody is told
//! the modifiers anew, since programs forget them with the old map and compositors do not repeat what they think is known.

use std::collections::BTreeMap;
use std::io;

use crate::input::KeyInput;
use crate::input::keymap::Keymap;
use crate::input::locks::Locks;
use crate::input::typist::{KeyboardState, Step, Typist};
use crate::input::xkb::XkbMap;

/// The largest keysym that there is: compositors may refuse a map with a larger one.
const LAST_KEYSYM: u32 = 0x1fff_ffff;

/// What a keyboard is made to do.
pub trait Keys {
    /// From now on codes mean what this text says.
    ///
    /// # Errors
    /// When the system has no memory for it.
    fn map(&mut self, text: &str) -> io::Result<()>;
    /// A key, by its XKB code, goes down or up.
    fn key(&mut self, code: u8, down: bool);
    /// These modifiers are held and locked, in this group.
    fn modifiers(&mut self, held: u8, locked: u8, group: u8);
}

/// A keyboard.
#[derive(Debug)]
pub struct Board {
    base: XkbMap,
    /// The table with what spare keys bear.
    table: Keymap,
    bound: BTreeMap<u8, [u32; 2]>,
    typist: Typist,
    held: Vec<u8>,
    locks: Locks,
    told: (u8, u8, u8),
    /// Somebody else's map is in place: ours is sent before the next key.
    stale: bool,
}

impl Board {
    /// A keyboard with that map, which still has to be sent.
    pub fn new(base: XkbMap) -> Self {
        let table = base.table.clone();
        let typist = Typist::new(table.clone());
        Self {
            base,
            table,
            bound: BTreeMap::new(),
            typist,
            held: Vec::new(),
            locks: Locks::default(),
            told: (0, 0, 0),
            stale: true,
        }
    }

    /// Sends the map, so that the keyboard is one.
    ///
    /// # Errors
    /// When a map cannot be made.
    pub fn start(&mut self, keys: &mut impl Keys) -> io::Result<()> {
        self.send_map(keys)
    }

    /// The seat has this map now. What spare keys bear stays, where they are spare still.
    pub fn rebase(&mut self, base: XkbMap) {
        self.stale = true;
        if base == self.base {
            return;
        }
        let spare = base.table.spares();
        self.bound.retain(|code, _| spare.contains(code));
        self.table = base.table.clone();
        for (code, pair) in &self.bound {
            self.table.bind(*code, *pair);
        }
        self.typist.set_map(self.table.clone());
        self.base = base;
    }

    /// The lock keys as RFB's LED state has them: bit 0 scroll, 1 num, 2 caps.
    pub fn leds(&self) -> u8 {
        self.locks.leds(self.base.num_lock)
    }

    /// Does what a client's key asks for.
    ///
    /// # Errors
    /// When a map cannot be made.
    pub fn key(&mut self, keys: &mut impl Keys, key: KeyInput) -> io::Result<()> {
        if key.keysym > LAST_KEYSYM {
            return Ok(());
        }
        if self.stale && key.down {
            self.send_map(keys)?;
        }
        let state = KeyboardState { mods: self.held_modifiers() | self.locks.mods, group: self.locks.group };
        for step in self.typist.key(key, state) {
            self.step(keys, step)?;
        }
        Ok(())
    }

    /// Lets go of everything.
    ///
    /// # Errors
    /// Never: letting go changes no map.
    pub fn let_go(&mut self, keys: &mut impl Keys) -> io::Result<()> {
        for step in self.typist.release_all() {
            self.step(keys, step)?;
        }
        for code in std::mem::take(&mut self.held) {
            keys.key(code, false);
        }
        self.tell(keys);
        Ok(())
    }

    fn step(&mut self, keys: &mut impl Keys, step: Step) -> io::Result<()> {
        match step {
            Step::Bind(code, pair) => {
                self.bound.insert(code, pair);
                self.table.bind(code, pair);
                return self.send_map(keys);
            }
            Step::Down(code) if !self.held.contains(&code) => {
                self.locks.press(&self.table, code, self.held_modifiers());
                self.held.push(code);
                keys.key(code, true);
            }
            Step::Up(code) if self.held.contains(&code) => {
                self.held.retain(|c| *c != code);
                keys.key(code, false);
            }
            // let go of when the map changed
            Step::Down(_) | Step::Up(_) => {}
        }
        self.tell(keys);
        Ok(())
    }

    fn held_modifiers(&self) -> u8 {
        self.held.iter().filter_map(|c| self.table.key(*c)).fold(0, |mods, key| mods | key.modifiers)
    }

    fn tell(&mut self, keys: &mut impl Keys) {
        let now = (self.held_modifiers(), self.locks.mods, self.locks.group);
        if std::mem::replace(&mut self.told, now) != now {
            keys.modifiers(now.0, now.1, now.2);
        }
    }

    fn send_map(&mut self, keys: &mut impl Keys) -> io::Result<()> {
        let modifier = |table: &Keymap, code: u8| table.key(code).is_some_and(|k| k.modifiers != 0);
        let (stay, go): (Vec<u8>, Vec<u8>) = self.held.iter().copied().partition(|c| modifier(&self.table, *c));
        for code in go {
            keys.key(code, false);
        }
        self.held = stay;
        keys.map(&self.base.with(self.bound.iter()))?;
        self.stale = false;
        let now = (self.held_modifiers(), self.locks.mods, self.locks.group);
        keys.modifiers(0, 0, 0);
        self.told = (0, 0, 0);
        if now != self.told {
            self.tell(keys);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "keyboard_tests.rs"]
mod tests;
