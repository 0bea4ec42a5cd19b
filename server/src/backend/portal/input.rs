//! From a client's keys and pointer to what the portal is told. Pure.
//!
//! A key with a scan code goes as that key, whatever the layout makes of it; one without goes as its keysym, which the desktop looks up
//! in its layout. Keys that are held are told once: the desktop repeats them itself.

use std::collections::HashMap;

use farpane_engine::geometry::Rect;

use super::layout::{Monitor, find};
use crate::input::scancode::x_keycode;
use crate::input::{KeyInput, PointerInput};

/// X counts keys from 8 on.
const X_OFFSET: u8 = 8;
/// The left Shift key.
pub const SHIFT: i32 = 42;
/// Linux' numbers of the buttons that are no wheel, by their bit.
const BUTTONS: [(u16, i32); 5] = [(0, 0x110), (1, 0x112), (2, 0x111), (7, 0x113), (8, 0x114)];
/// The wheel's bits, with the axis (0 up and down, 1 left and right) and the step.
const WHEEL: [(u16, u32, i32); 4] = [(3, 0, -1), (4, 0, 1), (5, 1, -1), (6, 1, 1)];

/// One thing to tell the portal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tell {
    /// A key by Linux' number of it goes down or up.
    Keycode(i32, bool),
    /// The same by its keysym.
    Keysym(i32, bool),
    /// The pointer is there: index of the stream, and where in the desktop's own units.
    At(usize, f64, f64),
    /// A button goes down or up.
    Button(i32, bool),
    /// The wheel turns: axis and steps.
    Wheel(u32, i32),
}

/// What we hold down.
#[derive(Debug, Default)]
pub struct Held {
    /// By keysym and scan code: what was told.
    keys: HashMap<(u32, Option<u32>), Tell>,
    buttons: u16,
}

impl Held {
    /// A key event of a client.
    pub fn key(&mut self, key: KeyInput) -> Option<Tell> {
        let name = (key.keysym, key.scancode);
        if !key.down {
            // Shift may have changed the keysym since, and the key is still the same one
            let same = |(_, scan): &&(u32, Option<u32>)| key.scancode.is_some() && *scan == key.scancode;
            let held = self.keys.contains_key(&name).then_some(name).or_else(|| self.keys.keys().find(same).copied());
            return self.keys.remove(&held?).map(released);
        }
        if self.keys.contains_key(&name) {
            return None;
        }
        let code = key.scancode.and_then(x_keycode).map(|code| i32::from(code.saturating_sub(X_OFFSET)));
        let tell = match code {
            Some(code) => Tell::Keycode(code, true),
            None => Tell::Keysym(i32::try_from(key.keysym).ok().filter(|sym| *sym != 0)?, true),
        };
        self.keys.insert(name, tell);
        Some(tell)
    }

    /// A pointer event of a client, on monitors that lie at `rects` of the canvas.
    pub fn pointer(&mut self, pointer: PointerInput, monitors: &[Monitor], rects: &[Rect]) -> Vec<Tell> {
        let mut tell = Vec::new();
        if let Some((i, at)) = find(rects, pointer.x, pointer.y)
            && let Some(monitor) = monitors.get(i)
        {
            let (x, y) = monitor.in_units(at.x, at.y);
            tell.push(Tell::At(i, x, y));
        }
        let changed = pointer.buttons ^ self.buttons;
        for (bit, code) in BUTTONS {
            if changed & (1 << bit) != 0 {
                tell.push(Tell::Button(code, pointer.buttons & (1 << bit) != 0));
            }
        }
        for (bit, axis, step) in WHEEL {
            if changed & pointer.buttons & (1 << bit) != 0 {
                tell.push(Tell::Wheel(axis, step));
            }
        }
        self.buttons = pointer.buttons;
        tell
    }

    /// Lets go of everything.
    pub fn release_all(&mut self) -> Vec<Tell> {
        let mut tell: Vec<Tell> = self.keys.drain().map(|(_, tell)| released(tell)).collect();
        tell.extend(
            BUTTONS
                .iter()
                .filter(|(bit, _)| self.buttons & (1 << bit) != 0)
                .map(|(_, code)| Tell::Button(*code, false)),
        );
        self.buttons = 0;
        tell
    }
}

fn released(tell: Tell) -> Tell {
    match tell {
        Tell::Keycode(code, _) => Tell::Keycode(code, false),
        Tell::Keysym(sym, _) => Tell::Keysym(sym, false),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farpane_engine::geometry::Size;

    fn key(down: bool, keysym: u32, scancode: Option<u32>) -> KeyInput {
        KeyInput { down, keysym, scancode }
    }

    #[test]
    fn a_scan_code_goes_before_a_keysym_and_repeats_are_the_desktop_s() {
        let mut held = Held::default();
        assert_eq!(held.key(key(true, 0x61, Some(0x1e))), Some(Tell::Keycode(30, true)));
        assert_eq!(held.key(key(true, 0x61, Some(0x1e))), None);
        assert_eq!(held.key(key(false, 0x61, Some(0x1e))), Some(Tell::Keycode(30, false)));
        assert_eq!(held.key(key(false, 0x61, Some(0x1e))), None, "it is not held");
        held.key(key(true, 0x61, Some(0x1e)));
        assert_eq!(held.key(key(false, 0x41, Some(0x1e))), Some(Tell::Keycode(30, false)), "the same key");
        assert_eq!(held.key(key(true, 0x61, None)), Some(Tell::Keysym(0x61, true)));
        assert_eq!(held.key(key(true, 0x61, Some(0x1ff))), Some(Tell::Keysym(0x61, true)), "no such key");
        assert_eq!(held.key(key(true, 0, None)), None);
        assert_eq!(held.key(key(true, u32::MAX, None)), None);
    }

    #[test]
    fn the_pointer_is_told_in_units_of_its_monitor_then_its_buttons() {
        let monitors = [
            Monitor { size: Size::new(100, 50), position: None, logical: None },
            Monitor { size: Size::new(200, 100), position: None, logical: Some((100, 50)) },
        ];
        let rects = [Rect::new(0, 0, 100, 50), Rect::new(100, 0, 200, 100)];
        let mut held = Held::default();
        let at = |x, y, buttons| PointerInput { x, y, buttons };
        let told = held.pointer(at(120, 40, 1), &monitors, &rects);
        assert_eq!(told, [Tell::At(1, 10.0, 20.0), Tell::Button(0x110, true)]);
        let told = held.pointer(at(20, 40, 0b1000), &monitors, &rects);
        assert_eq!(told, [Tell::At(0, 20.0, 40.0), Tell::Button(0x110, false), Tell::Wheel(0, -1)]);
        assert_eq!(
            held.pointer(at(20, 40, 0), &monitors, &rects),
            [Tell::At(0, 20.0, 40.0)],
            "a wheel has no way back"
        );
        held.pointer(at(20, 40, 0b1_0000_0100), &monitors, &rects);
        held.key(key(true, 0x61, None));
        let mut let_go = held.release_all();
        let_go.sort_by_key(|t| format!("{t:?}"));
        assert_eq!(let_go, [Tell::Button(0x111, false), Tell::Button(0x114, false), Tell::Keysym(0x61, false)]);
        assert!(held.release_all().is_empty());
    }
}
