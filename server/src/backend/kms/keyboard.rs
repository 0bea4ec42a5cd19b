//! The keyboard that the helper makes: its map without the keys that it does not have. Pure.

use crate::helper::uinput::{DeviceEvent, is_key};
use crate::input::KeyInput;
use crate::input::keyboard::{Keyboard, Stroke};
use crate::input::keymap::Key;
use crate::input::xkb::XkbMap;

/// XKB counts keys from 8 on.
const X_OFFSET: u16 = 8;

/// A keyboard and what is held on it.
#[derive(Debug)]
pub(super) struct Board {
    keyboard: Keyboard,
}

impl Board {
    pub(super) fn new(mut map: XkbMap) -> Self {
        let codes = u16::from(map.table.first)..;
        for (code, key) in codes.zip(&mut map.table.keys) {
            // keys that XKB has for itself are first to be found: the Level3 shift of every layout, for one
            if !code.checked_sub(X_OFFSET).is_some_and(is_key) {
                *key = Key::default();
            }
        }
        Self { keyboard: Keyboard::new(map) }
    }

    /// What goes down and up for a client's key, each in a report of its own; none when the layout lacks its keysym.
    pub(super) fn key(&mut self, key: KeyInput) -> Option<Vec<DeviceEvent>> {
        Some(self.keyboard.key(key)?.into_iter().filter_map(event).collect())
    }

    /// What lets go of everything.
    pub(super) fn release_all(&mut self) -> Vec<DeviceEvent> {
        self.keyboard.release_all().into_iter().filter_map(event).collect()
    }

    /// The keyboard is gone, and with it what was held.
    pub(super) fn forget(&mut self) {
        self.keyboard.forget();
    }

    /// The desktop shows these lock keys.
    pub(super) fn shown(&mut self, leds: u8) {
        self.keyboard.shown(leds);
    }

    pub(super) fn leds(&self) -> u8 {
        self.keyboard.leds()
    }
}

fn event((code, down): Stroke) -> Option<DeviceEvent> {
    let code = u16::try_from(code).ok().filter(|code| is_key(*code))?;
    Some(DeviceEvent::Key { code, down })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strokes(board: &mut Board, down: bool, keysym: u32, scancode: Option<u32>) -> Option<Vec<(u16, bool)>> {
        let events = board.key(KeyInput { down, keysym, scancode })?;
        let stroke = |e| match e {
            DeviceEvent::Key { code, down } => (code, down),
            other => panic!("{other:?}"),
        };
        Some(events.into_iter().map(stroke).collect())
    }

    #[test]
    fn keys_that_the_keyboard_does_not_have_are_neither_looked_for_nor_pressed() {
        let mut map = XkbMap::english();
        // a key of XKB's own with the letter a, before the real one
        let a = map.table.keys[usize::from(38 - map.table.first)].clone();
        map.table.keys[usize::from(92 - map.table.first)] = a;
        let mut board = Board::new(map);
        assert_eq!(strokes(&mut board, true, 0x61, None), Some(vec![(30, true)]));
        assert_eq!(strokes(&mut board, true, 0, Some(0xde)), Some(vec![]), "the power key");
        assert_eq!(strokes(&mut board, false, 0, Some(0xde)), Some(vec![]));
        assert_eq!(board.release_all(), [DeviceEvent::Key { code: 30, down: false }]);
    }

    #[test]
    fn every_scan_code_of_a_keyboard_is_a_key_of_ours_but_power_and_sleep() {
        let missing: Vec<u32> = (0..0x100)
            .filter(|scan| crate::input::scancode::x_keycode(*scan).is_some_and(|c| !is_key(u16::from(c) - X_OFFSET)))
            .collect();
        assert_eq!(missing, [0xde, 0xdf]);
    }
}
