//! Keys and the pointer on their way to the devices that the helper makes.
//!
//! What is sent is what the kernel is to say, report by report: the pointer's place and buttons in one, each key and each notch of a wheel in its own.
//! INVARIANT: what went down is known here, so that it goes up when its client lets go, whatever the layout and the canvas have become.
//! Tested with real devices in the guest (`tests/guest_uinput.rs`).

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use farpane_engine::geometry::Size;

use super::keyboard::Board;
use crate::backend::{BackendEvent, Events};
use crate::helper::uinput::{DeviceEvent, NOTCH};
use crate::input::keymap::named;
use crate::input::xkb::XkbMap;
use crate::input::{InputSink, KeyInput, PointerInput};

/// Keysyms that cannot be typed and are named at most.
const MOST_NAMED: usize = 64;
/// Values of an axis.
const VALUES: u32 = 65_536;
/// The kernel's numbers of the buttons that are no wheel, by their bit: left, middle, right, back, forward.
const BUTTONS: [(u16, u16); 5] = [(0, 0x110), (1, 0x112), (2, 0x111), (7, 0x113), (8, 0x114)];
/// The wheel's bits, with what a press turns: up, to the right.
const WHEEL: [(u16, i32, i32); 4] = [(3, NOTCH, 0), (4, -NOTCH, 0), (5, 0, -NOTCH), (6, 0, NOTCH)];

/// Takes one report to the devices. It may not wait.
pub type Deliver = Box<dyn Fn(&[DeviceEvent]) + Send + Sync>;

/// Input of a desktop that is seen through KMS.
///
/// Dropping it lets go of every key and button that it holds.
pub struct Input {
    hands: Mutex<Hands>,
    deliver: Deliver,
    events: Events,
}

struct Hands {
    board: Board,
    canvas: Size,
    buttons: u16,
    /// What was told last, in values of the axes.
    at: Option<(u32, u32)>,
    leds: Option<u8>,
    not_typed: HashSet<u32>,
}

impl Input {
    /// Input by a keyboard with that map and a pointer over a canvas of that size. Lock keys that change are told to `events`.
    pub fn new(map: XkbMap, canvas: Size, deliver: Deliver, events: Events) -> Self {
        let hands =
            Hands { board: Board::new(map), canvas, buttons: 0, at: None, leds: None, not_typed: HashSet::new() };
        Self { hands: Mutex::new(hands), deliver, events }
    }

    /// The canvas has another size.
    pub fn set_canvas(&self, size: Size) {
        let mut hands = self.hands();
        hands.canvas = size;
        hands.at = None;
    }

    /// The desktop shows these lock keys on the keyboard: bit 0 scroll, 1 num, 2 caps.
    pub fn shown(&self, leds: u8) {
        let mut hands = self.hands();
        hands.board.shown(leds);
        self.tell(&mut hands);
    }

    /// The devices are gone, or are there anew: nothing is held.
    pub fn reset(&self) {
        let mut hands = self.hands();
        hands.board.forget();
        (hands.buttons, hands.at) = (0, None);
        self.tell(&mut hands);
    }

    /// Lets go of everything that is held.
    pub fn let_go(&self) {
        let mut hands = self.hands();
        for event in hands.board.release_all() {
            (self.deliver)(&[event]);
        }
        let up = BUTTONS.iter().filter(|(bit, _)| hands.buttons & (1 << bit) != 0);
        let up: Vec<_> = up.map(|(_, code)| DeviceEvent::Button { code: *code, down: false }).collect();
        hands.buttons = 0;
        if !up.is_empty() {
            (self.deliver)(&up);
        }
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells lock keys that changed.
    fn tell(&self, hands: &mut Hands) {
        let leds = hands.board.leds();
        if hands.leds.replace(leds) != Some(leds) {
            let _ = self.events.send(BackendEvent::Leds(leds));
        }
    }
}

impl InputSink for Input {
    fn key(&self, key: KeyInput) {
        let mut hands = self.hands();
        match hands.board.key(key) {
            Some(strokes) => {
                for stroke in strokes {
                    (self.deliver)(&[stroke]);
                }
                self.tell(&mut hands);
            }
            None => hands.lacks(key.keysym),
        }
    }

    fn pointer(&self, pointer: PointerInput) {
        let mut hands = self.hands();
        for report in hands.pointer(pointer) {
            (self.deliver)(&report);
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Hands {
    /// The reports of a pointer event.
    fn pointer(&mut self, pointer: PointerInput) -> Vec<Vec<DeviceEvent>> {
        let at = (value(pointer.x, self.canvas.w), value(pointer.y, self.canvas.h));
        let mut first = Vec::new();
        if self.at.replace(at) != Some(at) {
            first.push(DeviceEvent::PointerTo { x: at.0, y: at.1 });
        }
        let changed = pointer.buttons ^ std::mem::replace(&mut self.buttons, pointer.buttons);
        let of = |bit: u16| changed & (1 << bit) != 0;
        let down = |bit: u16| pointer.buttons & (1 << bit) != 0;
        let buttons = BUTTONS.iter().filter(|(bit, _)| of(*bit));
        first.extend(buttons.map(|(bit, code)| DeviceEvent::Button { code: *code, down: down(*bit) }));
        let turned = WHEEL.iter().filter(|(bit, ..)| of(*bit) && down(*bit));
        let turned = turned
            .map(|(_, vertical, horizontal)| vec![DeviceEvent::Wheel { vertical: *vertical, horizontal: *horizontal }]);
        let first = (!first.is_empty()).then_some(first);
        first.into_iter().chain(turned).collect()
    }

    /// Says once of each keysym that it cannot be typed.
    fn lacks(&mut self, keysym: u32) {
        if self.not_typed.len() < MOST_NAMED && self.not_typed.insert(keysym) {
            tracing::warn!(
                "{} is in no level of the keyboard layout: not typed; set [input] keyboard to the desktop's layout, or use a viewer \
                 that sends scan codes",
                named(keysym)
            );
        }
    }
}

/// The middle of a pixel in values of an axis, which desktops turn back into that pixel.
fn value(at: u16, pixels: u16) -> u32 {
    let (at, pixels) = (u32::from(at.min(pixels.saturating_sub(1))), u32::from(pixels.max(1)));
    (at * VALUES + VALUES / 2) / pixels
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
