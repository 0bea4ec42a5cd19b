//! What lock keys and group keys that go down do to a keyboard. Pure.

use super::keymap::{Keymap, LOCK};

/// Locks and group of a keyboard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    /// Modifiers that are locked.
    pub mods: u8,
    /// Scroll Lock, which is no modifier.
    pub scroll: bool,
    /// The group in effect.
    pub group: u8,
}

impl Locks {
    /// A key goes down while these modifiers are held.
    pub fn press(&mut self, table: &Keymap, code: u8, held: u8) {
        let Some(key) = table.key(code) else { return };
        let sym = table.lookup(code, self.group, held | self.mods);
        let groups = table.keys.iter().map(|k| k.groups.len()).max().unwrap_or(1).clamp(1, 4);
        let last = u8::try_from(groups - 1).unwrap_or(0);
        match sym {
            Some(0xff14) => self.scroll = !self.scroll,
            // Caps Lock, Shift Lock, Num Lock, ISO Level3 and Level5 Lock
            Some(0xffe5 | 0xffe6 | 0xff7f | 0xfe05 | 0xfe13) => self.mods ^= key.modifiers,
            Some(0xfe08) => self.group = if self.group >= last { 0 } else { self.group + 1 },
            Some(0xfe0a) => self.group = self.group.checked_sub(1).unwrap_or(last),
            Some(0xfe0c) => self.group = 0,
            Some(0xfe0e) => self.group = last,
            _ => {}
        }
    }

    /// The lock keys as RFB's LED state has them: bit 0 scroll, 1 num, 2 caps.
    pub fn leds(&self, num_lock: u8) -> u8 {
        let on = |mask: u8, bit: u8| if self.mods & mask != 0 { bit } else { 0 };
        u8::from(self.scroll) | on(num_lock, 2) | on(LOCK, 4)
    }

    /// Takes over lock keys as RFB's LED state has them; other locks and the group stay.
    pub fn show(&mut self, leds: u8, num_lock: u8) {
        self.scroll = leds & 1 != 0;
        for (bit, mask) in [(2, num_lock), (4, LOCK)] {
            self.mods = if leds & bit != 0 { self.mods | mask } else { self.mods & !mask };
        }
    }
}
