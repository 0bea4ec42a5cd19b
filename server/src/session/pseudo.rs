//! Pseudo-rectangles that wait for the next update: acknowledgements, pointer shape and place, lock keys, name.

use farpane_engine::encode::cursor;
use farpane_engine::geometry::{Point, Size};
use farpane_engine::pixel::ClientFormat;
use farpane_rfb::Encoding;

use super::caps::{Caps, CursorKind};
use super::view::Seen;

/// What waits. Nothing is written that the client did not list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pseudo {
    /// The pointer's shape.
    pub cursor: bool,
    /// The pointer's place.
    pub pointer: bool,
    /// Lock keys.
    pub leds: bool,
    /// The desktop's name.
    pub name: bool,
    /// QEMU extended key events are understood.
    pub qemu_keys: bool,
    /// Extended mouse buttons are understood.
    pub mouse_buttons: bool,
}

impl Pseudo {
    /// Whether anything waits.
    pub fn is_due(&self) -> bool {
        *self != Self::default()
    }

    /// What a new list of encodings makes due, against the list before.
    pub fn for_caps(new: &Caps, old: &Caps) -> Self {
        Self {
            cursor: new.cursor.is_some() && new.cursor != old.cursor,
            pointer: false,
            leds: (new.leds && !old.leds) || (new.vmware_leds && !old.vmware_leds),
            name: false,
            qemu_keys: new.qemu_keys && !old.qemu_keys,
            mouse_buttons: new.mouse_buttons && !old.mouse_buttons,
        }
    }

    /// Adds what else is due.
    pub fn merge(&mut self, other: Self) {
        self.cursor |= other.cursor;
        self.pointer |= other.pointer;
        self.leds |= other.leds;
        self.name |= other.name;
        self.qemu_keys |= other.qemu_keys;
        self.mouse_buttons |= other.mouse_buttons;
    }

    /// Appends the rectangles; returns how many, and what could not be told yet (a shape that is not known).
    pub fn write(self, caps: &Caps, format: &ClientFormat, seen: &Seen, name: &str, out: &mut Vec<u8>) -> (u16, Self) {
        let mut count = 0u16;
        let mut left = Self::default();
        let mut rect = |out: &mut Vec<u8>, at: Point, size: Size, encoding: Encoding, body: &[u8]| {
            write_header(out, at, size, encoding);
            out.extend_from_slice(body);
            count = count.saturating_add(1);
        };
        let origin = Point::default();
        let none = Size::default();
        if self.qemu_keys {
            rect(out, origin, none, Encoding::QEMU_KEY, &[]);
        }
        if self.mouse_buttons {
            rect(out, origin, none, Encoding::EXTENDED_MOUSE_BUTTONS, &[]);
        }
        if self.cursor
            && let Some(kind) = caps.cursor
        {
            match &seen.cursor {
                Some(image) => {
                    let image = cursor::fit(image);
                    let (encoding, body) = match kind {
                        CursorKind::Alpha => (Encoding::CURSOR_WITH_ALPHA, cursor::alpha(&image)),
                        CursorKind::Vmware => (Encoding::VMWARE_CURSOR, cursor::vmware(&image)),
                        CursorKind::Rich => (Encoding::CURSOR, cursor::rich(&image, format)),
                        CursorKind::TwoColour => (Encoding::X_CURSOR, cursor::x(&image)),
                    };
                    rect(out, image.hotspot, image.size, encoding, &body);
                }
                None => left.cursor = true,
            }
        }
        if let (true, Some(at)) = (self.pointer, seen.pointer) {
            if caps.pointer_pos {
                rect(out, at, none, Encoding::POINTER_POS, &[]);
            }
            if caps.vmware_pointer_pos {
                rect(out, at, none, Encoding::VMWARE_CURSOR_POSITION, &[]);
            }
        }
        if self.leds {
            if caps.leds {
                rect(out, origin, none, Encoding::LED_STATE, &[seen.leds]);
            } else if caps.vmware_leds {
                rect(out, origin, none, Encoding::VMWARE_LED_STATE, &u32::from(seen.leds).to_be_bytes());
            }
        }
        if self.name && caps.desktop_name {
            let name = match &seen.lost {
                Some(reason) => format!("{name} (desktop is gone: {reason})"),
                None => name.to_owned(),
            };
            let mut body = u32::try_from(name.len()).unwrap_or(0).to_be_bytes().to_vec();
            body.extend_from_slice(name.as_bytes());
            rect(out, origin, none, Encoding::DESKTOP_NAME, &body);
        }
        (count, left)
    }
}

/// A rectangle's 12-byte header.
pub(super) fn write_header(out: &mut Vec<u8>, at: Point, size: Size, encoding: Encoding) {
    for v in [at.x, at.y, size.w, size.h] {
        out.extend_from_slice(&v.to_be_bytes());
    }
    out.extend_from_slice(&encoding.0.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen {
            layout: Default::default(),
            view: Default::default(),
            places: Default::default(),
            cursor: None,
            pointer: Some(Point::new(3, 4)),
            leds: 5,
            lost: Some("it was ended".into()),
        }
    }

    #[test]
    fn only_what_was_listed_is_written() {
        let all = Pseudo { cursor: true, pointer: true, leds: true, name: true, ..Pseudo::default() };
        let mut out = Vec::new();
        let (count, left) = all.write(&Caps::default(), &ClientFormat::BGRX, &seen(), "x", &mut out);
        assert_eq!((count, out.len(), left), (0, 0, Pseudo::default()));
    }

    #[test]
    fn an_unknown_shape_stays_due() {
        let caps = Caps::from_encodings(&[-239, -261, -232], None);
        let due = Pseudo { cursor: true, pointer: true, leds: true, ..Pseudo::default() };
        let mut out = Vec::new();
        let (count, left) = due.write(&caps, &ClientFormat::BGRX, &seen(), "x", &mut out);
        assert_eq!((count, left), (2, Pseudo { cursor: true, ..Pseudo::default() }));
        assert_eq!(out[..12], [0, 3, 0, 4, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x18]);
        assert_eq!(out[24..], [5]);
    }

    #[test]
    fn the_name_tells_that_the_desktop_is_gone() {
        let caps = Caps::from_encodings(&[-307], None);
        let mut out = Vec::new();
        Pseudo { name: true, ..Pseudo::default() }.write(&caps, &ClientFormat::BGRX, &seen(), "desk", &mut out);
        assert_eq!(&out[16..], b"desk (desktop is gone: it was ended)");
    }

    #[test]
    fn acknowledgements_come_once() {
        let new = Caps::from_encodings(&[-258, -316, -314], None);
        let due = Pseudo::for_caps(&new, &Caps::default());
        assert!(due.qemu_keys && due.mouse_buttons && due.cursor);
        assert!(!Pseudo::for_caps(&new, &new).is_due());
    }
}
