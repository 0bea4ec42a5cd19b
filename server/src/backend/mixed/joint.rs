//! What is known of all parts, and what a part's event means for the whole.
//!
//! No threads, no sinks: an event of one part in, events of the whole out.

use std::sync::Arc;

use farpane_engine::frame::CursorImage;

use super::canvas::{Canvas, Joined};
use super::route::Router;
use crate::backend::{Arrange, BackendEvent};

/// TigerVNC's viewer ends the session where a side is longer.
const OFTEN_MOST: u16 = 16_384;

/// One desktop of several.
struct Part {
    /// How it was asked for, for the log.
    name: String,
    cursor: Option<Arc<CursorImage>>,
    leds: u8,
    /// Its first layout is known, or it went before it told one.
    told: bool,
    /// Why it is gone, while it is.
    lost: Option<String>,
}

/// Where events of the whole go.
pub type Tell<'a> = &'a mut dyn FnMut(BackendEvent);

/// All parts.
pub struct Joint {
    /// Their layouts.
    pub canvas: Canvas,
    /// Who gets input.
    pub router: Router,
    parts: Vec<Part>,
    /// Said already: parts that do not fit, and a canvas larger than many viewers show.
    warned: (Vec<usize>, bool),
}

impl Joint {
    /// Parts of these names, of which nothing is known yet.
    pub fn new(arrange: Arrange, names: Vec<String>) -> Self {
        let canvas = Canvas::new(arrange, names.len());
        let part = |name| Part { name, cursor: None, leds: 0, told: false, lost: None };
        let parts = names.into_iter().map(part).collect();
        Self { canvas, router: Router::default(), parts, warned: (Vec::new(), false) }
    }

    /// Something happened on one of them.
    pub fn on_event(&mut self, n: usize, event: BackendEvent, tell: Tell<'_>) {
        let focused = n == self.router.focus();
        let Some(part) = self.parts.get_mut(n) else { return };
        match event {
            BackendEvent::OutputAdded(own, source) => match self.canvas.id(n, own) {
                Some(id) => tell(BackendEvent::OutputAdded(id, source)),
                None => tracing::warn!(source = part.name, "an output more than can be told apart is not shown"),
            },
            BackendEvent::OutputRemoved(own) => {
                if let Some(id) = self.canvas.id(n, own) {
                    tell(BackendEvent::OutputRemoved(id));
                }
            }
            BackendEvent::LayoutChanged(layout) => {
                part.told = true;
                self.canvas.set(n, layout);
                self.join(tell);
            }
            BackendEvent::Cursor(image) => {
                part.cursor = Some(Arc::clone(&image));
                if focused {
                    tell(BackendEvent::Cursor(image));
                }
            }
            // that of another part moves there unseen
            BackendEvent::PointerMoved(own) => {
                if let Some(at) = self.router.on_canvas(n, own).filter(|_| focused) {
                    tell(BackendEvent::PointerMoved(at));
                }
            }
            BackendEvent::Leds(leds) => {
                part.leds = leds;
                if focused {
                    tell(BackendEvent::Leds(leds));
                }
            }
            BackendEvent::Clipboard(text) => tell(BackendEvent::Clipboard(text)),
            BackendEvent::Bell => tell(BackendEvent::Bell),
            BackendEvent::Lost(reason) => self.lost(n, reason, tell),
            BackendEvent::Back => self.back(n, tell),
            // none of several is one
            BackendEvent::OnDemand(_) => {}
        }
    }

    /// Tells all layouts as one, once each part has told its own: what starts with a part missing would look like a change.
    fn join(&mut self, tell: Tell<'_>) {
        if !self.parts.iter().all(|part| part.told) {
            return;
        }
        let Joined { layout, places, left_out } = self.canvas.join();
        for part in left_out.iter().filter(|part| !self.warned.0.contains(part)) {
            let source = self.parts.get(*part).map(|part| part.name.as_str());
            tracing::warn!(source, "this desktop does not fit on the canvas of 65535x65535 and is not shown");
        }
        let large = layout.size.w.max(layout.size.h) > OFTEN_MOST;
        if large && !self.warned.1 {
            tracing::warn!(
                size = %layout.size,
                "all desktops together are larger than many viewers show ({OFTEN_MOST} px a side); arrange them otherwise, or give \
                 each its own listener with a view"
            );
        }
        self.warned = (left_out, large);
        self.router.set_places(places);
        tell(BackendEvent::LayoutChanged(layout));
    }

    fn lost(&mut self, n: usize, reason: String, tell: Tell<'_>) {
        let Some(part) = self.parts.get_mut(n) else { return };
        let first = !std::mem::replace(&mut part.told, true);
        let again = part.lost.replace(reason).is_some();
        if first {
            self.join(tell);
        }
        let gone: Vec<String> = self.parts.iter().filter_map(Part::gone).collect();
        if again {
            return;
        }
        if gone.len() == self.parts.len() {
            tell(BackendEvent::Lost(gone.join("; ")));
        } else if let Some(part) = self.parts.get(n) {
            let reason = part.lost.as_deref();
            tracing::warn!(
                source = part.name,
                reason,
                "one desktop is gone and keeps its last picture; the others go on"
            );
        }
    }

    fn back(&mut self, n: usize, tell: Tell<'_>) {
        let all = self.parts.iter().all(|part| part.lost.is_some());
        let Some(part) = self.parts.get_mut(n).filter(|part| part.lost.is_some()) else { return };
        part.lost = None;
        if all {
            tell(BackendEvent::Back);
        } else {
            tracing::info!(source = part.name, "desktop is back");
        }
    }

    /// Another part may have the focus than `before`: its pointer and its lock keys are those to be seen.
    pub fn refocus(&self, before: usize, tell: Tell<'_>) {
        let focus = self.router.focus();
        let Some(part) = self.parts.get(focus).filter(|_| focus != before) else { return };
        let none = || {
            let (size, hotspot) = Default::default();
            Arc::new(CursorImage { size, hotspot, rgba: Vec::new(), serial: 0 })
        };
        tell(BackendEvent::Cursor(part.cursor.clone().unwrap_or_else(none)));
        tell(BackendEvent::Leds(part.leds));
    }
}

impl Part {
    /// That it is gone and why.
    fn gone(&self) -> Option<String> {
        self.lost.as_ref().map(|reason| format!("{}: {reason}", self.name))
    }
}

#[cfg(test)]
#[path = "joint_tests.rs"]
mod tests;
