//! What a client does to the desktop: keys, buttons and the pointer, which is drawn for those who cannot show one.

use std::time::Instant;

use farpane_engine::geometry::Point;
use farpane_engine::pipeline::{PaceEvent, Pointer};

use super::state::Session;
use super::view::Seen;
use crate::input::{KeyInput, PointerInput};
use crate::policy::Permission;

impl Session {
    /// A key went down or up.
    pub(super) fn key(&mut self, now: Instant, key: KeyInput) {
        if !self.may_touch(Permission::Keyboard, now) {
            return;
        }
        let Some(input) = &self.input else { return };
        self.pacer.on_event(PaceEvent::Input, now);
        self.held.key(key);
        input.key(key);
    }

    /// The pointer moved, or a button.
    pub(super) fn pointer(&mut self, now: Instant, x: u16, y: u16, buttons: u16) {
        if !self.may_touch(Permission::Pointer, now) {
            return;
        }
        let Some(input) = &self.input else { return };
        self.pacer.on_event(PaceEvent::Input, now);
        let at = Point::new(x.min(self.canvas.w.saturating_sub(1)), y.min(self.canvas.h.saturating_sub(1)));
        self.pointed_at = Some(at);
        let at = self.places.to_desktop(at);
        let pointer = PointerInput { x: at.x, y: at.y, buttons };
        self.held.pointer(pointer);
        input.pointer(pointer);
        self.hub.pointer_moved_by(self.id, at);
        self.show_pointer();
    }

    /// Draws the pointer into the picture of a client that cannot show one.
    pub(super) fn show_pointer(&mut self) {
        let pointer = match (self.caps.cursor, self.seen()) {
            (None, Some(Seen { cursor: Some(image), pointer: Some(at), .. })) => Some(Pointer { image, at }),
            _ => None,
        };
        self.ops.push(Box::new(move |p| p.set_pointer(pointer)));
    }
}
