//! ext-image-copy-capture-v1: a session that says what buffers have to look like, and one object for each picture.
//!
//! The first picture of a session comes at once, each later one when something changed. We say what of a buffer is old, so that the
//! compositor need not write all of it. A session that stops is begun again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, WEnum};
use wayland_protocols::ext::image_capture_source::v1::client::ext_image_capture_source_v1::ExtImageCaptureSourceV1;
use wayland_protocols::ext::image_capture_source::v1::client::ext_output_image_capture_source_manager_v1::ExtOutputImageCaptureSourceManagerV1;
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_frame_v1::{
    self, ExtImageCopyCaptureFrameV1, FailureReason,
};
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_manager_v1::{
    ExtImageCopyCaptureManagerV1, Options,
};
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_session_v1::{
    self, ExtImageCopyCaptureSessionV1,
};

use super::dma_buf::Forms;
use super::form::{Form, Kind};
use super::grab::{Grab, Routed};
use super::reader::Reader;
use super::shared::{Shared, Slot};
use super::turn::Turn;
use crate::capture::SourceError;

/// Formats of one batch that are remembered.
const MAX_FORMATS: usize = 64;

/// What buffers have to look like, as it is told.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    pub(super) size: Option<(u32, u32)>,
    pub(super) formats: Vec<u32>,
    forms: Forms,
}

impl Constraints {
    pub(super) fn add(&mut self, format: u32) {
        if self.formats.len() < MAX_FORMATS {
            self.formats.push(format);
        }
    }
}

/// The objects of one start.
#[derive(Debug)]
pub(super) struct ImageCopy {
    source: ExtImageCaptureSourceV1,
    session: ExtImageCopyCaptureSessionV1,
    frame: Option<ExtImageCopyCaptureFrameV1>,
    coming: Constraints,
    form: Option<Form>,
    /// The form of the buffer that was last offered.
    tried: Option<Form>,
    turn: Turn,
}

impl ImageCopy {
    /// None when the output went a moment ago: what is made of it then is nothing, and nothing can be made of that.
    pub(super) fn new(
        slot: &Arc<Slot>,
        shared: &Shared,
        capture: &ExtImageCopyCaptureManagerV1,
        sources: &ExtOutputImageCaptureSourceManagerV1,
    ) -> Option<Self> {
        let source = sources.create_source(&slot.output, &shared.queue, ());
        if source.id().is_null() {
            return None;
        }
        let apart = shared.apart.load(Ordering::Relaxed);
        let options = if apart { Options::empty() } else { Options::PaintCursors };
        let session = capture.create_session(&source, options, &shared.queue, Arc::downgrade(slot));
        let coming = Constraints::default();
        Some(Self { source, session, frame: None, coming, form: None, tried: None, turn: Turn::NONE })
    }

    pub(super) fn destroy(mut self) {
        self.end();
        self.session.destroy();
        self.source.destroy();
    }

    /// Whether it was not said yet what buffers have to look like.
    pub(super) const fn unanswered(&self) -> bool {
        self.form.is_none()
    }

    fn end(&mut self) {
        if let Some(frame) = self.frame.take() {
            frame.destroy();
        }
    }

    /// Asks for the next picture, once it is known what its buffer has to look like.
    pub(super) fn ask(&mut self, slot: &Arc<Slot>, shared: &Shared, grab: &mut Grab) -> Result<(), SourceError> {
        let (Some(form), None) = (&self.form, &self.frame) else { return Ok(()) };
        if !grab.pick(slot, shared, form)? {
            return Ok(());
        }
        let Some(buffer) = &grab.copying else { return Ok(()) };
        let frame = self.session.create_frame(&shared.queue, Arc::downgrade(slot));
        frame.attach_buffer(&buffer.wl);
        let whole = [form.size.rect()];
        for r in buffer.stale.as_ref().map_or(&whole[..], |stale| stale.rects()) {
            frame.damage_buffer(r.x.into(), r.y.into(), r.w.into(), r.h.into());
        }
        frame.capture();
        self.turn = Turn::NONE;
        self.tried = Some(form.clone());
        self.frame = Some(frame);
        Ok(())
    }
}

/// A number that may have a name.
pub(super) fn number<T: Into<u32>>(value: WEnum<T>) -> u32 {
    match value {
        WEnum::Value(known) => known.into(),
        WEnum::Unknown(number) => number,
    }
}

impl Dispatch<ExtImageCopyCaptureSessionV1, Weak<Slot>> for Reader {
    fn event(
        reader: &mut Self,
        session: &ExtImageCopyCaptureSessionV1,
        event: ext_image_copy_capture_session_v1::Event,
        slot: &Weak<Slot>,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use ext_image_copy_capture_session_v1::Event;
        let Some(slot) = slot.upgrade() else { return };
        let mut grab = slot.grab();
        let wanted = grab.wants_dma_bufs(&reader.shared);
        let Some(Routed::ImageCopy(route)) = &mut grab.routed else { return };
        if route.session != *session {
            return;
        }
        match event {
            Event::BufferSize { width, height } => route.coming.size = Some((width, height)),
            Event::ShmFormat { format } => route.coming.add(number(format)),
            Event::DmabufFormat { format, modifiers } if wanted => route.coming.forms.add_all(format, &modifiers),
            Event::DmabufFormat { .. } => reader.shared.dmabuf_seen(),
            Event::Done => {
                let Constraints { size, formats, forms } = std::mem::take(&mut route.coming);
                let (width, height) = size.unwrap_or((0, 0));
                let drawn = Form::common(&forms, &reader.shared.dma_bufs, width, height).filter(|_| wanted);
                if wanted && drawn.is_none() {
                    reader.shared.dmabuf_seen();
                }
                match drawn.map_or_else(|| Form::chosen(&formats, width, height), Ok) {
                    Ok(form) => route.form = Some(form),
                    Err(error) => return grab.give_up(error),
                }
                slot.pump(&reader.shared, &mut grab);
            }
            Event::Stopped => {
                grab.again = true;
                grab.failed(&reader.shared, "its session was stopped");
                slot.pump(&reader.shared, &mut grab);
            }
            _ => {}
        }
    }
}

impl Dispatch<ExtImageCopyCaptureFrameV1, Weak<Slot>> for Reader {
    fn event(
        reader: &mut Self,
        frame: &ExtImageCopyCaptureFrameV1,
        event: ext_image_copy_capture_frame_v1::Event,
        slot: &Weak<Slot>,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use ext_image_copy_capture_frame_v1::Event;
        let Some(slot) = slot.upgrade() else { return };
        let mut grab = slot.grab();
        let Some(Routed::ImageCopy(route)) = &mut grab.routed else { return };
        if route.frame.as_ref() != Some(frame) {
            return;
        }
        match event {
            Event::Transform { transform } => route.turn = Turn::of(number(transform)),
            Event::Damage { x, y, width, height } => grab.damaged([x, y, width, height].map(i64::from)),
            Event::Ready => {
                route.end();
                let turn = route.turn;
                match grab.arrived(&reader.shared, turn) {
                    Some(size) => {
                        drop(grab);
                        reader.saw(slot.id, size);
                    }
                    None => slot.pump(&reader.shared, &mut grab),
                }
            }
            Event::Failed { reason } => {
                route.end();
                let why = match reason {
                    WEnum::Value(FailureReason::BufferConstraints) => {
                        let why = "it wants other buffers than it says";
                        if route.form.is_some() && route.form == route.tried {
                            if matches!(&route.form, Some(Form { kind: Kind::DmaBuf(_), .. })) {
                                grab.leave_dma_bufs(&reader.shared, why);
                                return slot.pump(&reader.shared, &mut grab);
                            }
                            // something newer is on its way
                            route.form = None;
                        }
                        why
                    }
                    WEnum::Value(FailureReason::Stopped) => {
                        grab.again = true;
                        "its session was stopped"
                    }
                    _ => "it failed again and again",
                };
                grab.failed(&reader.shared, why);
                slot.pump(&reader.shared, &mut grab);
            }
            _ => {}
        }
    }
}
