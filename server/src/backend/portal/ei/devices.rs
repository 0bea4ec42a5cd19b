//! The devices that a desktop gives away, which of them are in use, and what is held on them.
//!
//! INVARIANT: a button goes up on the device that it went down on; events are sent to devices that are resumed, and to no other.

use std::collections::HashSet;

use reis::ei::button::ButtonState;
use reis::ei::keyboard::{KeyState, KeymapType};
use reis::event::{Device, DeviceCapability, Keymap};
use reis::{Interface, ei};
use rustix::time::{ClockId, clock_gettime};

use super::super::layout::Monitor;
use super::regions::{Region, place};
use crate::input::KeyInput;
use crate::input::keyboard::{Keyboard, Stroke};
use crate::input::xkb::{XkbMap, shared_text};

/// Devices of one connection at most.
const MOST_DEVICES: usize = 64;
/// From which version on a device waits until we say that we know it.
const READY_SINCE: u32 = 3;
/// Farther left and up than any desktop reaches.
const CORNER: f32 = -65_536.0;

/// More devices than anybody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MOST_DEVICES} devices")]
pub struct TooMany;

/// One device.
struct Given {
    device: Device,
    regions: Vec<Region>,
    resumed: bool,
}

impl Given {
    fn can(&self, what: DeviceCapability) -> bool {
        self.resumed && self.device.has_capability(what)
    }
}

/// The devices of a connection.
#[derive(Default)]
pub struct Devices {
    all: Vec<Given>,
    /// The one that keys go to, with its map.
    keyboard: Option<(Device, Keyboard)>,
    /// The one that moved the pointer last: buttons and the wheel go to it.
    pointer: Option<Device>,
    /// Buttons that are down, and on which device.
    buttons: Vec<(u32, Device)>,
    /// Keysyms that are held as text.
    text: HashSet<u32>,
    /// Where the pointer is, for devices that only know how far it moves.
    at: Option<(f32, f32)>,
    sequence: u32,
}

impl Devices {
    /// A device is there, paused.
    ///
    /// # Errors
    /// When there are too many.
    pub fn add(&mut self, device: Device) -> Result<(), TooMany> {
        if self.all.len() >= MOST_DEVICES {
            return Err(TooMany);
        }
        if device.device().as_object().version() >= READY_SINCE {
            device.device().ready();
        }
        let region =
            |r: &reis::event::Region| Region { mapping: r.mapping_id.clone(), x: r.x, y: r.y, w: r.width, h: r.height };
        let regions = device.regions().iter().map(region).collect();
        self.all.push(Given { device, regions, resumed: false });
        Ok(())
    }

    /// A device takes input from now on.
    pub fn resume(&mut self, device: &Device, serial: u32) {
        let Some(given) = self.all.iter_mut().find(|g| g.device == *device && !g.resumed) else { return };
        given.resumed = true;
        self.sequence = self.sequence.wrapping_add(1);
        device.device().start_emulating(serial, self.sequence);
        if self.keyboard.is_none() && device.has_capability(DeviceCapability::Keyboard) {
            self.keyboard = Some((device.clone(), Keyboard::new(map(device.keymap()))));
        }
    }

    /// A device takes no input, and has let go of everything.
    pub fn pause(&mut self, device: &Device) {
        if let Some(given) = self.all.iter_mut().find(|g| g.device == *device) {
            given.resumed = false;
        }
        self.buttons.retain(|(_, on)| on != device);
        if self.pointer.as_ref() == Some(device) {
            self.pointer = None;
        }
        if device.has_capability(DeviceCapability::Text) {
            self.text.clear();
        }
        if let Some((_, keyboard)) = self.keyboard.as_mut().filter(|(on, _)| on == device) {
            keyboard.forget();
        }
    }

    /// A device is gone.
    pub fn remove(&mut self, device: &Device) {
        self.pause(device);
        self.all.retain(|g| g.device != *device);
        if self.keyboard.as_ref().is_some_and(|(on, _)| on == device) {
            let other = self.all.iter().find(|g| g.can(DeviceCapability::Keyboard));
            self.keyboard = other.map(|g| (g.device.clone(), Keyboard::new(map(g.device.keymap()))));
        }
    }

    /// What is locked on a keyboard, and its group.
    pub fn modifiers(&mut self, device: &Device, locked: u32, group: u32) {
        if let Some((_, keyboard)) = self.keyboard.as_mut().filter(|(on, _)| on == device) {
            keyboard.told(locked, group);
        }
    }

    /// Whether keys can be typed.
    pub fn has_keyboard(&self) -> bool {
        self.all.iter().any(|g| g.can(DeviceCapability::Keyboard))
    }

    /// Whether the pointer can be moved.
    pub fn has_pointer(&self) -> bool {
        self.all.iter().any(|g| g.can(DeviceCapability::PointerAbsolute) || g.can(DeviceCapability::Pointer))
    }

    /// The lock keys as RFB's LED state has them.
    pub fn leds(&self) -> Option<u8> {
        self.keyboard.as_ref().map(|(_, keyboard)| keyboard.leds())
    }

    /// A key event of a client. Returns false when the desktop has no way to type it.
    pub fn key(&mut self, key: KeyInput, serial: u32) -> bool {
        if !key.down && self.text.remove(&key.keysym) {
            self.say(key.keysym, KeyState::Released, serial);
            return true;
        }
        let Some((device, keyboard)) = self.keyboard.as_mut() else { return true };
        if !self.all.iter().any(|g| g.device == *device && g.resumed) {
            return true;
        }
        match keyboard.key(key) {
            Some(strokes) => strike(device, &strokes, serial),
            None if self.text.contains(&key.keysym) => {}
            None => {
                let said = self.say(key.keysym, KeyState::Press, serial);
                if said {
                    self.text.insert(key.keysym);
                }
                return said;
            }
        }
        true
    }

    /// Gives a keysym to a device that takes them whatever the layout is; false where there is none.
    fn say(&self, keysym: u32, state: KeyState, serial: u32) -> bool {
        let able = self.all.iter().find(|g| g.can(DeviceCapability::Text));
        let Some((device, text)) = able.and_then(|g| Some((&g.device, g.device.interface::<ei::Text>()?))) else {
            return false;
        };
        text.keysym(keysym, state);
        frame(device, serial);
        true
    }

    /// The pointer goes to a place of a monitor, in the desktop's own units.
    pub fn point(&mut self, monitor: &Monitor, mapping: Option<&str>, to: (f64, f64), serial: u32) {
        let absolute = self.all.iter().filter(|g| g.can(DeviceCapability::PointerAbsolute));
        let regions = absolute.clone().flat_map(|g| &g.regions);
        if let Some((region, x, y)) = place(regions, monitor, mapping, to) {
            let Some(given) = absolute.clone().find(|g| g.regions.iter().any(|r| std::ptr::eq(r, region))) else {
                return;
            };
            if let Some(pointer) = given.device.interface::<ei::PointerAbsolute>() {
                pointer.motion_absolute(x, y);
                frame(&given.device, serial);
                self.pointer = Some(given.device.clone());
            }
            return;
        }
        let relative = self.all.iter().find(|g| g.can(DeviceCapability::Pointer));
        let Some((device, pointer)) =
            relative.and_then(|g| Some((g.device.clone(), g.device.interface::<ei::Pointer>()?)))
        else {
            return;
        };
        let (left, top) = monitor.position.unwrap_or((0, 0));
        let (x, y) = ((f64::from(left) + to.0) as f32, (f64::from(top) + to.1) as f32);
        let (from_x, from_y) = self.at.unwrap_or_else(|| {
            // the one place that can be gone to from anywhere
            pointer.motion_relative(CORNER, CORNER);
            frame(&device, serial);
            (0.0, 0.0)
        });
        self.at = Some((x, y));
        if (x, y) != (from_x, from_y) {
            pointer.motion_relative(x - from_x, y - from_y);
            frame(&device, serial);
        }
        self.pointer = Some(device);
    }

    /// The device for what the pointer does beside moving.
    fn at_pointer(&self, what: DeviceCapability) -> Option<Device> {
        let able = || self.all.iter().filter(|g| g.can(what)).map(|g| &g.device);
        able().find(|d| Some(*d) == self.pointer.as_ref()).or_else(|| able().next()).cloned()
    }

    /// A button goes down or up.
    pub fn button(&mut self, code: u32, down: bool, serial: u32) {
        let held = self.buttons.iter().position(|(c, _)| *c == code);
        let (device, state) = match (held, down) {
            (None, true) => {
                let Some(device) = self.at_pointer(DeviceCapability::Button) else { return };
                self.buttons.push((code, device.clone()));
                (device, ButtonState::Press)
            }
            (Some(i), false) => (self.buttons.remove(i).1, ButtonState::Released),
            _ => return,
        };
        if let Some(button) = device.interface::<ei::Button>() {
            button.button(code, state);
            frame(&device, serial);
        }
    }

    /// The wheel turns.
    pub fn scroll(&mut self, x: i32, y: i32, serial: u32) {
        let Some(device) = self.at_pointer(DeviceCapability::Scroll) else { return };
        if let Some(scroll) = device.interface::<ei::Scroll>() {
            scroll.scroll_discrete(x, y);
            frame(&device, serial);
        }
    }

    /// Lets go of everything and gives up all devices.
    pub fn end(&mut self, serial: u32) {
        for keysym in std::mem::take(&mut self.text) {
            self.say(keysym, KeyState::Released, serial);
        }
        if let Some((device, keyboard)) = self.keyboard.as_mut() {
            strike(device, &keyboard.release_all(), serial);
        }
        for (code, _) in self.buttons.clone() {
            self.button(code, false, serial);
        }
        for given in self.all.iter_mut().filter(|g| g.resumed) {
            given.resumed = false;
            given.device.device().stop_emulating(serial);
        }
    }
}

fn strike(device: &Device, strokes: &[Stroke], serial: u32) {
    let Some(keys) = device.interface::<ei::Keyboard>() else { return };
    for (code, down) in strokes {
        keys.key(*code, if *down { KeyState::Press } else { KeyState::Released });
        // a key that goes up and down in one frame has not moved
        frame(device, serial);
    }
}

/// All that was done since the last frame happened at once, at this moment.
fn frame(device: &Device, serial: u32) {
    let time = clock_gettime(ClockId::Monotonic);
    let us = u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000;
    device.device().frame(serial, us);
}

/// A keyboard's map; the English one where it tells none that can be read.
fn map(keymap: Option<&Keymap>) -> XkbMap {
    let Some(Keymap { fd, size, type_: KeymapType::Xkb }) = keymap else {
        tracing::debug!("the desktop's keyboard has no layout; English it is");
        return XkbMap::english();
    };
    let read = shared_text(fd, *size).ok_or_else(|| "not text in shared memory".to_owned());
    read.and_then(|text| XkbMap::read(&text).map_err(|error| error.to_string())).unwrap_or_else(|error| {
        tracing::warn!(error, "the desktop's keyboard layout cannot be read: taken for English");
        XkbMap::english()
    })
}
