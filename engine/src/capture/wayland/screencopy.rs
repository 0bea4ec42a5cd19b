//! wlr-screencopy-unstable-v1: one object for each picture.
//!
//! The first picture after a start comes at once, each later one when something changed. The pointer is painted into it: this protocol
//! has no word for its shape. Pictures come as the hardware scans them.

use std::sync::{Arc, Weak};

use wayland_client::protocol::wl_registry::WlRegistry;
use wayland_client::{Connection, Dispatch, QueueHandle, WEnum};
use wayland_protocols_wlr::screencopy::v1::client::zwlr_screencopy_frame_v1::{self, Flags, ZwlrScreencopyFrameV1};
use wayland_protocols_wlr::screencopy::v1::client::zwlr_screencopy_manager_v1::ZwlrScreencopyManagerV1;

use super::form::Form;
use super::grab::{Grab, Routed};
use super::reader::Reader;
use super::shared::{Shared, Slot};
use crate::capture::SourceError;

/// `overlay_cursor`: with the pointer.
const WITH_POINTER: i32 = 1;

/// The objects of one start.
#[derive(Debug)]
pub(super) struct Screencopy {
    manager: ZwlrScreencopyManagerV1,
    frame: Option<ZwlrScreencopyFrameV1>,
    form: Option<Result<Form, SourceError>>,
    /// The form of a dma-buf for the picture under way,
    drawn: Option<Form>,
    /// and what was found for the format and size that were last told.
    known: Option<([u32; 3], Option<Form>)>,
    inverted: bool,
    /// No picture was asked for yet.
    first: bool,
}

impl Screencopy {
    pub(super) fn new(shared: &Shared, registry: &WlRegistry, global: u32, version: u32) -> Self {
        let manager = registry.bind(global, version, &shared.queue, ());
        Self { manager, frame: None, form: None, drawn: None, known: None, inverted: false, first: true }
    }

    pub(super) fn destroy(self) {
        if let Some(frame) = self.frame {
            frame.destroy();
        }
        self.manager.destroy();
    }

    /// Asks for the next picture; the compositor first says what its buffer has to look like.
    pub(super) fn ask(&mut self, slot: &Arc<Slot>, shared: &Shared) {
        if self.frame.is_none() {
            self.form = None;
            self.drawn = None;
            self.inverted = false;
            let udata = Arc::downgrade(slot);
            self.frame = Some(self.manager.capture_output(WITH_POINTER, &slot.output, &shared.queue, udata));
        }
    }

    /// A dma-buf of that format and size may be drawn into.
    fn offered(&mut self, shared: &Shared, told: [u32; 3]) {
        if self.known.as_ref().is_none_or(|(known, _)| *known != told) {
            let [format, width, height] = told;
            let forms = shared.dmabuf.as_ref().map(|linux| linux.taken().of(format)).unwrap_or_default();
            let form = Form::common(&forms, &shared.dma_bufs, width, height);
            if form.is_none() {
                shared.dmabuf_seen();
            }
            self.known = Some((told, form));
        }
        self.drawn = self.known.as_ref().and_then(|(_, form)| form.clone());
    }

    fn end(&mut self) {
        if let Some(frame) = self.frame.take() {
            frame.destroy();
        }
    }
}

/// The route of a slot, if the frame is the one that it waits for.
fn current<'a>(grab: &'a mut Grab, frame: &ZwlrScreencopyFrameV1) -> Option<&'a mut Screencopy> {
    match &mut grab.routed {
        Some(Routed::Screencopy(route)) if route.frame.as_ref() == Some(frame) => Some(route),
        _ => None,
    }
}

/// Every kind of buffer was named: the picture is written into one of ours.
fn write(slot: &Arc<Slot>, shared: &Shared, grab: &mut Grab, frame: &ZwlrScreencopyFrameV1) -> Result<(), SourceError> {
    let Some(route) = current(grab, frame) else { return Ok(()) };
    let form = match (route.drawn.take(), route.form.take()) {
        (Some(drawn), _) => drawn,
        (None, Some(form)) => form?,
        (None, None) => Form::chosen(&[], 0, 0)?,
    };
    let first = std::mem::take(&mut route.first);
    if !grab.pick(slot, shared, &form)? {
        // asked again when a frame has been given back, or the compositor has a new buffer
        if let Some(route) = current(grab, frame) {
            route.first = first;
            route.end();
        }
        return Ok(());
    }
    if let Some(buffer) = &grab.copying {
        if first {
            frame.copy(&buffer.wl);
        } else {
            frame.copy_with_damage(&buffer.wl);
        }
    }
    Ok(())
}

impl Dispatch<ZwlrScreencopyFrameV1, Weak<Slot>> for Reader {
    fn event(
        reader: &mut Self,
        frame: &ZwlrScreencopyFrameV1,
        event: zwlr_screencopy_frame_v1::Event,
        slot: &Weak<Slot>,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use zwlr_screencopy_frame_v1::Event;
        let Some(slot) = slot.upgrade() else { return };
        let mut grab = slot.grab();
        let shared = Arc::clone(&reader.shared);
        let copying = grab.copying.is_some();
        let wanted = grab.wants_dma_bufs(&shared);
        let Some(route) = current(&mut grab, frame) else { return };
        match event {
            Event::Buffer { format, width, height, stride } => {
                let format = match format {
                    WEnum::Value(known) => u32::from(known),
                    WEnum::Unknown(number) => number,
                };
                // the first one that can be read counts
                if !matches!(route.form, Some(Ok(_))) {
                    route.form = Some(Form::prescribed(format, width, height, stride));
                }
            }
            Event::LinuxDmabuf { format, width, height } if wanted => {
                route.offered(&shared, [format, width, height]);
            }
            Event::LinuxDmabuf { .. } => shared.dmabuf_seen(),
            Event::BufferDone if !copying => {
                if let Err(error) = write(&slot, &shared, &mut grab, frame) {
                    if let Some(route) = current(&mut grab, frame) {
                        route.end();
                    }
                    grab.give_up(error);
                }
                if grab.again {
                    slot.pump(&shared, &mut grab);
                }
            }
            Event::Flags { flags } => {
                route.inverted = matches!(flags, WEnum::Value(flags) if flags.contains(Flags::YInvert));
            }
            Event::Damage { x, y, width, height } => grab.damaged([x, y, width, height].map(i64::from)),
            Event::Ready { .. } => {
                route.end();
                let inverted = route.inverted;
                let turn = grab.turn.inverted(inverted);
                match grab.arrived(&shared, turn) {
                    Some(size) => {
                        drop(grab);
                        reader.saw(slot.id, size);
                    }
                    None => slot.pump(&shared, &mut grab),
                }
            }
            Event::Failed => {
                route.end();
                grab.failed(&shared, "it failed again and again");
                slot.pump(&shared, &mut grab);
            }
            _ => {}
        }
    }
}
