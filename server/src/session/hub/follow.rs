//! What the hub makes of what its desktop tells: outputs that come and go, and the last of everything for those who come later.

use std::sync::{Arc, Weak};
use std::time::Instant;

use farpane_engine::pipeline::{Output, OutputEvent};

use super::{Hub, HubEvent};
use crate::backend::{BackendEvent, OutputId};

impl Hub {
    pub(super) fn on_backend(self: &Arc<Self>, event: BackendEvent, weak: &Weak<Hub>) {
        match event {
            BackendEvent::OutputAdded(id, source) => {
                let name = source.info().name;
                let weak = Weak::clone(weak);
                let events = Box::new(move |event| {
                    if let Some(hub) = weak.upgrade() {
                        hub.on_output(id, event);
                    }
                });
                match Output::spawn(source, (self.stage)(), events, Instant::now()) {
                    Ok(output) => {
                        let old = self.lock().outputs.insert(id, Arc::new(output));
                        end(old);
                        tracing::info!(output = %name, "output added");
                    }
                    Err(error) => tracing::warn!(output = %name, %error, "output cannot be shown"),
                }
            }
            BackendEvent::OutputRemoved(id) => {
                let old = self.lock().outputs.remove(&id);
                end(old);
                tracing::info!(output = id.0, "output removed");
            }
            BackendEvent::LayoutChanged(layout) => {
                let mut state = self.lock();
                let by = state.resizing.take();
                state.desktop.layout = layout;
                state.tell(HubEvent::Layout(by), None);
                drop(state);
                self.waking.ring();
                // what came may have to be dark
                self.relight();
            }
            BackendEvent::Cursor(image) => {
                let mut state = self.lock();
                state.desktop.cursor = Some(Arc::clone(&image));
                state.tell(HubEvent::Cursor(image), None);
            }
            BackendEvent::PointerMoved(at) => {
                let mut state = self.lock();
                if state.desktop.pointer != at {
                    state.desktop.pointer = at;
                    state.tell(HubEvent::Pointer(at, None), None);
                }
            }
            BackendEvent::Clipboard(text) => {
                let mut state = self.lock();
                state.desktop.clipboard = Some(Arc::clone(&text));
                state.tell(HubEvent::Clipboard(text, None), None);
            }
            BackendEvent::Leds(leds) => {
                let mut state = self.lock();
                state.desktop.leds = leds;
                state.tell(HubEvent::Leds(leds), None);
            }
            BackendEvent::Bell => self.lock().tell(HubEvent::Bell, None),
            BackendEvent::OnDemand(came) => self.on_demand(came),
            BackendEvent::Lost(reason) => {
                tracing::warn!(%reason, "desktop is gone; clients keep its last picture until it is back");
                let mut state = self.lock();
                state.desktop.lost = Some(reason);
                state.tell(HubEvent::Presence, None);
            }
            BackendEvent::Back => {
                tracing::info!("desktop is back");
                let mut state = self.lock();
                state.desktop.lost = None;
                state.tell(HubEvent::Presence, None);
            }
        }
    }

    fn on_output(&self, id: OutputId, event: OutputEvent) {
        match event {
            OutputEvent::Resized(size) => tracing::info!(output = id.0, %size, "output has another size"),
            OutputEvent::Lost(error) => {
                tracing::warn!(output = id.0, %error, "capture stopped; trying again every second")
            }
            OutputEvent::Back => tracing::info!(output = id.0, "capture goes on"),
        }
    }
}

/// Ends an output that is gone, aside: its thread may be in the middle of a picture, and the desktop goes on meanwhile.
pub(super) fn end(output: Option<Arc<Output>>) {
    if let Some(output) = output {
        tokio::task::spawn_blocking(move || drop(output));
    }
}
