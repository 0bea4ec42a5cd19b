//! Which part gets which input: a client's event on the canvas in, events for single parts out.
//!
//! The part that the pointer is on has the focus: keys go there. A button that is held keeps the pointer on its part, as a
//! window's scroll bar does, held to the part's edges. Where the focus goes elsewhere, what is down is let go first.
//!
//! INVARIANT: only the part with the focus has anything down that was sent through here.

use farpane_engine::geometry::{Point, Rect};

use crate::input::{KeyInput, PointerInput};

/// Keys that may be down at once; of more, the one that went down first is let go.
pub const MOST_KEYS: usize = 256;

/// One event for one part, by its own coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// A key.
    Key(KeyInput),
    /// The pointer.
    Pointer(PointerInput),
}

/// Where events are sent: the part's number, and what it gets.
pub type Send<'a> = &'a mut dyn FnMut(usize, Routed);

/// A key that a client has not released.
#[derive(Clone, Copy, Debug)]
struct Down {
    key: KeyInput,
    /// The part has it down too, and it was not let go when the focus went elsewhere.
    sent: bool,
}

/// Where input goes.
#[derive(Clone, Debug, Default)]
pub struct Router {
    /// Where each part lies; empty where it does not.
    places: Vec<Rect>,
    focus: usize,
    /// Buttons that the part with the focus has down.
    buttons: u16,
    /// Where the pointer was last put on the part with the focus.
    at: Point,
    keys: Vec<Down>,
}

/// How far a point lies from a rectangle that is not empty, squared.
fn distance(rect: &Rect, at: Point) -> u64 {
    let near = clamped(rect, at);
    let (dx, dy) = (u64::from(near.x.abs_diff(at.x)), u64::from(near.y.abs_diff(at.y)));
    dx.pow(2).saturating_add(dy.pow(2))
}

/// The point of a rectangle that is not empty that is nearest.
fn clamped(rect: &Rect, at: Point) -> Point {
    let last = |end: u16| end.saturating_sub(1);
    Point::new(at.x.clamp(rect.x, last(rect.right())), at.y.clamp(rect.y, last(rect.bottom())))
}

impl Router {
    /// The part that the pointer is on.
    pub fn focus(&self) -> usize {
        self.focus
    }

    /// Parts lie elsewhere.
    pub fn set_places(&mut self, places: Vec<Rect>) {
        self.places = places;
    }

    /// Where a point of a part's own canvas lies on the whole one; none when the part does not lie there.
    pub fn on_canvas(&self, part: usize, own: Point) -> Option<Point> {
        let place = self.places.get(part).filter(|place| !place.is_empty())?;
        Some(clamped(place, Point::new(place.x.saturating_add(own.x), place.y.saturating_add(own.y))))
    }

    /// The part under a point; the nearest where there is none.
    fn under(&self, at: Point) -> Option<usize> {
        let there = self.places.iter().enumerate().filter(|(_, place)| !place.is_empty());
        there.min_by_key(|(_, place)| distance(place, at)).map(|(part, _)| part)
    }

    /// A client moved the pointer, or pressed or released buttons.
    pub fn pointer(&mut self, pointer: PointerInput, send: Send<'_>) {
        let at = Point::new(pointer.x, pointer.y);
        if self.buttons == 0 {
            self.go_to(at, send);
        }
        let was_held = self.buttons != 0;
        self.put(at, pointer.buttons, send);
        // let go over another part: the pointer is there now, whether or not it moves again
        if was_held && self.buttons == 0 && self.go_to(at, send) {
            self.put(at, 0, send);
        }
    }

    /// Puts the pointer on the part with the focus.
    fn put(&mut self, at: Point, buttons: u16, send: Send<'_>) {
        if let Some(place) = self.places.get(self.focus).filter(|place| !place.is_empty()) {
            let at = clamped(place, at);
            self.at = Point::new(at.x.saturating_sub(place.x), at.y.saturating_sub(place.y));
        } else if self.buttons == 0 {
            // nothing of it is to be seen, and nothing is to be let go
            return;
        }
        self.buttons = buttons;
        send(self.focus, Routed::Pointer(PointerInput { x: self.at.x, y: self.at.y, buttons }));
    }

    /// Gives the part under a point the focus; returns whether it is another one.
    fn go_to(&mut self, at: Point, send: Send<'_>) -> bool {
        let Some(part) = self.under(at).filter(|part| *part != self.focus) else { return false };
        for down in self.keys.iter_mut().filter(|down| down.sent) {
            down.sent = false;
            send(self.focus, Routed::Key(KeyInput { down: false, ..down.key }));
        }
        self.focus = part;
        true
    }

    /// A client pressed, repeated or released a key.
    pub fn key(&mut self, key: KeyInput, send: Send<'_>) {
        // a release may name another keysym than its press (Shift in between): the scan code decides where there is one
        let same = |down: &Down| match key.scancode {
            Some(_) => down.key.scancode == key.scancode,
            None => (down.key.scancode, down.key.keysym) == (None, key.keysym),
        };
        let known = self.keys.iter().position(same);
        if key.down {
            match known.and_then(|n| self.keys.get_mut(n)) {
                // one that was let go with the old part and is held still goes down on the new one with its next repeat
                Some(down) => down.sent = true,
                None => self.press(key, send),
            }
        } else if let Some(down) = known.map(|n| self.keys.remove(n))
            && !down.sent
        {
            return;
        }
        send(self.focus, Routed::Key(key));
    }

    /// Remembers a key that goes down.
    fn press(&mut self, key: KeyInput, send: Send<'_>) {
        if self.keys.len() >= MOST_KEYS {
            let first = self.keys.remove(0);
            if first.sent {
                send(self.focus, Routed::Key(KeyInput { down: false, ..first.key }));
            }
        }
        self.keys.push(Down { key, sent: true });
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
