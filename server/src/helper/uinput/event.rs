//! What the other end may ask for, and what the kernel is then told. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The largest value of either axis.
pub const ABS_MAX: u32 = 65_535;
/// A wheel's notch in its finest units.
pub const NOTCH: i32 = 120;
/// Events in a batch at most.
pub const MOST_EVENTS: usize = 32;
/// Units that a wheel turns in one event at most.
const MOST_UNITS: i32 = 100 * NOTCH;

/// The codes that keyboards have; 84 and 195 to 199 have no key.
const KEYS: std::ops::RangeInclusive<u16> = 1..=245;
const NO_KEYS: [u16; 6] = [84, 195, 196, 197, 198, 199];
/// Power, sleep, suspend; Bluetooth, WLAN, UWB: the machine itself obeys these, whoever is logged in.
const KEPT_BACK: [u16; 6] = [116, 142, 205, 237, 238, 239];
/// BTN_LEFT to BTN_TASK.
const BUTTONS: std::ops::RangeInclusive<u16> = 0x110..=0x117;

const SYSRQ: u16 = 99;
const ALTS: [u16; 2] = [56, 100];
/// Shift, Control, Alt, Super: keys that are no command after SysRq.
const MODIFIERS: [u16; 8] = [29, 42, 54, 56, 97, 100, 125, 126];

/// One thing that happens on a keyboard or a pointer. Codes are the kernel's (linux/input-event-codes.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DeviceEvent {
    /// A key goes down or up.
    Key {
        /// Which: one that [`is_key`] knows.
        code: u16,
        /// Down.
        down: bool,
    },
    /// The pointer is there, of the whole layout: 0 to [`ABS_MAX`], more counts as that.
    PointerTo {
        /// From the left.
        x: u32,
        /// From the top.
        y: u32,
    },
    /// A button goes down or up.
    Button {
        /// Which: 0x110 (left) to 0x117.
        code: u16,
        /// Down.
        down: bool,
    },
    /// Wheels turn, in 120ths of a notch.
    Wheel {
        /// Up.
        vertical: i32,
        /// To the right.
        horizontal: i32,
    },
}

/// Whether the keyboard has a key of this code.
pub fn is_key(code: u16) -> bool {
    KEYS.contains(&code) && !NO_KEYS.contains(&code) && !KEPT_BACK.contains(&code)
}

/// All keys of the keyboard.
pub(super) fn keys() -> impl Iterator<Item = u16> {
    KEYS.filter(|code| is_key(*code))
}

/// All buttons of the pointer.
pub(super) fn buttons() -> impl Iterator<Item = u16> {
    BUTTONS
}

/// What the other end may not ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEvent {
    /// The keyboard does not have it.
    #[error("key code {0} is no key of the keyboard")]
    Key(u16),
    /// The pointer does not have it.
    #[error("button code {0:#x} (expected 0x110..=0x117)")]
    Button(u16),
    /// Too many at once.
    #[error("batch of {0} events (expected 1..={MOST_EVENTS})")]
    Batch(usize),
}

/// Which device a packet goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Keyboard,
    Pointer,
}

/// The kernel's type, code and value.
pub(super) type Raw = (u16, u16, i32);

pub(super) const EV_KEY: u16 = 1;
pub(super) const EV_REL: u16 = 2;
pub(super) const EV_ABS: u16 = 3;
pub(super) const ABS_X: u16 = 0;
pub(super) const ABS_Y: u16 = 1;
const REL_HWHEEL: u16 = 0x06;
const REL_WHEEL: u16 = 0x08;
const REL_WHEEL_HI_RES: u16 = 0x0b;
const REL_HWHEEL_HI_RES: u16 = 0x0c;

/// Events of one device that happen at once: a report is sent after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) to: To,
    pub(super) events: Vec<Raw>,
}

/// What is down on the devices, and how far wheels are from their last notch.
///
/// INVARIANT: what is here is down for the kernel too, and nothing else.
#[derive(Debug, Default)]
pub(super) struct Held {
    keys: BTreeSet<u16>,
    buttons: BTreeSet<u16>,
    /// Up and down, left and right.
    turned: [i32; 2],
    /// Alt and SysRq were down together, and Alt is still: the kernel takes the next key for a command.
    commanding: bool,
}

impl Held {
    /// What the kernel is told for a batch; nothing of it where one of its events is bad.
    ///
    /// A batch is one report for each device that it touches in turn; no code comes twice in a report.
    pub(super) fn take(&mut self, batch: &[DeviceEvent]) -> Result<Vec<Packet>, BadEvent> {
        if batch.is_empty() || batch.len() > MOST_EVENTS {
            return Err(BadEvent::Batch(batch.len()));
        }
        for event in batch {
            match *event {
                DeviceEvent::Key { code, .. } if !is_key(code) => return Err(BadEvent::Key(code)),
                DeviceEvent::Button { code, .. } if !BUTTONS.contains(&code) => return Err(BadEvent::Button(code)),
                _ => {}
            }
        }
        let mut packets = Vec::new();
        for event in batch {
            let (to, events) = self.event(*event);
            add(&mut packets, to, &events);
        }
        Ok(packets)
    }

    /// Lets go of everything.
    pub(super) fn release(&mut self) -> Vec<Packet> {
        self.commanding = false;
        self.turned = [0; 2];
        let up = |codes: BTreeSet<u16>| codes.into_iter().map(|code| (EV_KEY, code, 0)).collect::<Vec<Raw>>();
        let mut packets = Vec::new();
        add(&mut packets, To::Keyboard, &up(std::mem::take(&mut self.keys)));
        add(&mut packets, To::Pointer, &up(std::mem::take(&mut self.buttons)));
        packets
    }

    fn event(&mut self, event: DeviceEvent) -> (To, Vec<Raw>) {
        match event {
            DeviceEvent::Key { code, down } => (To::Keyboard, self.key(code, down)),
            DeviceEvent::Button { code, down } => {
                let changed = if down { self.buttons.insert(code) } else { self.buttons.remove(&code) };
                (To::Pointer, if changed { vec![(EV_KEY, code, down.into())] } else { Vec::new() })
            }
            DeviceEvent::PointerTo { x, y } => {
                let place = |v: u32| i32::try_from(v.min(ABS_MAX)).unwrap_or(0);
                (To::Pointer, vec![(EV_ABS, ABS_X, place(x)), (EV_ABS, ABS_Y, place(y))])
            }
            DeviceEvent::Wheel { vertical, horizontal } => {
                let [up, right] = &mut self.turned;
                let mut events = wheel(up, vertical, REL_WHEEL, REL_WHEEL_HI_RES);
                events.extend(wheel(right, horizontal, REL_HWHEEL, REL_HWHEEL_HI_RES));
                (To::Pointer, events)
            }
        }
    }

    fn key(&mut self, code: u16, down: bool) -> Vec<Raw> {
        if down && self.commanding && code != SYSRQ && !MODIFIERS.contains(&code) {
            return Vec::new();
        }
        let changed = if down { self.keys.insert(code) } else { self.keys.remove(&code) };
        let alt = ALTS.iter().any(|alt| self.keys.contains(alt));
        self.commanding = alt && (self.commanding || self.keys.contains(&SYSRQ));
        if changed { vec![(EV_KEY, code, down.into())] } else { Vec::new() }
    }
}

/// Whole notches go to programs that know nothing finer; what is left of one is kept.
///
/// SOURCE: linux, drivers/hid/hid-input.c, hidinput_handle_scroll.
fn wheel(turned: &mut i32, units: i32, whole: u16, fine: u16) -> Vec<Raw> {
    let units = units.clamp(-MOST_UNITS, MOST_UNITS);
    if units == 0 {
        return Vec::new();
    }
    // what is left of the other direction is not made good for
    if units.signum() == -turned.signum() {
        *turned = 0;
    }
    let all = *turned + units;
    *turned = all % NOTCH;
    let notches = (all / NOTCH != 0).then_some((EV_REL, whole, all / NOTCH));
    notches.into_iter().chain([(EV_REL, fine, units)]).collect()
}

fn add(packets: &mut Vec<Packet>, to: To, events: &[Raw]) {
    if events.is_empty() {
        return;
    }
    let twice = |p: &Packet| p.events.iter().any(|old| events.iter().any(|new| (old.0, old.1) == (new.0, new.1)));
    match packets.last_mut().filter(|p| p.to == to && !twice(p)) {
        Some(packet) => packet.events.extend_from_slice(events),
        None => packets.push(Packet { to, events: events.to_vec() }),
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
