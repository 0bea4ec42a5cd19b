//! The pointer's shape and place, by the cursor sessions of ext-image-copy-capture-v1.
//!
//! Each output has a session of its own, because each tells where the pointer is on it; the image comes from whichever it is on. A frame of
//! a cursor session comes when the shape changed. wlr-screencopy has nothing of the kind: there the pointer is painted into pictures,
//! and so it is while the seat has no pointer to ask about.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wayland_client::protocol::wl_pointer::WlPointer;
use wayland_client::protocol::wl_seat::{self, WlSeat};
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, WEnum};
use wayland_protocols::ext::image_capture_source::v1::client::ext_image_capture_source_v1::ExtImageCaptureSourceV1;
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_cursor_session_v1::{
    self, ExtImageCopyCaptureCursorSessionV1,
};
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_frame_v1::{
    self, ExtImageCopyCaptureFrameV1,
};
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_session_v1::{
    self, ExtImageCopyCaptureSessionV1,
};

use super::WaylandEvent;
use super::form::{Form, Kind};
use super::grab::Buffer;
use super::image_copy::{Constraints, number};
use super::reader::Reader;
use super::shared::{Managers, Shared};
use crate::frame::CursorImage;
use crate::geometry::{Point, Size};
use crate::pixel::Fourcc;

/// The longest side of a shape; what is larger is not shown.
const MAX_SIDE: u32 = 512;
/// Failures in a row until a session is left alone.
const TRIES: u32 = 4;

/// Names the output whose cursor session an object belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct On(u32);

/// The pointer on one output.
#[derive(Debug)]
struct Track {
    output: u32,
    source: ExtImageCaptureSourceV1,
    cursor: ExtImageCopyCaptureCursorSessionV1,
    session: ExtImageCopyCaptureSessionV1,
    coming: Constraints,
    form: Option<Form>,
    frame: Option<ExtImageCopyCaptureFrameV1>,
    buffer: Option<Buffer>,
    hotspot: (i32, i32),
    inside: bool,
    fails: u32,
}

impl Track {
    fn destroy(mut self) {
        if let Some(frame) = self.frame.take() {
            frame.destroy();
        }
        self.session.destroy();
        self.cursor.destroy();
        self.source.destroy();
    }

    /// Asks for the next shape.
    fn ask(&mut self, shared: &Shared) {
        let (Some(form), None) = (&self.form, &self.frame) else { return };
        if self.fails >= TRIES {
            return;
        }
        let Kind::Shm { stride, format } = form.kind else { return };
        if self.buffer.as_ref().is_none_or(|b| b.form != *form) {
            self.buffer = match Buffer::shm(shared, form, stride, format) {
                Ok(buffer) => Some(buffer),
                Err(error) => {
                    tracing::debug!(%error, "no memory for the pointer's shape");
                    None
                }
            };
        }
        let Some(buffer) = &self.buffer else { return };
        let frame = self.session.create_frame(&shared.queue, On(self.output));
        frame.attach_buffer(&buffer.wl);
        frame.damage_buffer(0, 0, form.size.w.into(), form.size.h.into());
        frame.capture();
        self.frame = Some(frame);
    }

    /// The shape that lies in the buffer.
    fn image(&self) -> Option<CursorImage> {
        let buffer = self.buffer.as_ref()?;
        let size = buffer.form.size;
        let (memory, _, stride, _) = buffer.memory();
        let mut row = vec![0u32; usize::from(size.w)];
        let mut rgba = Vec::with_capacity(size.area() as usize * 4);
        let red_low = buffer.form.fourcc == Fourcc::ABGR8888;
        for y in 0..usize::from(size.h) {
            if !memory.read(y * stride, &mut row) {
                return None;
            }
            for word in &row {
                let [a, b, c, alpha] = word.to_le_bytes();
                rgba.extend_from_slice(&if red_low { [a, b, c, alpha] } else { [c, b, a, alpha] });
            }
        }
        let side = |v: i32, most: u16| v.clamp(0, i32::from(most.saturating_sub(1))) as u16;
        let hotspot = Point::new(side(self.hotspot.0, size.w), side(self.hotspot.1, size.h));
        Some(CursorImage { size, hotspot, rgba, serial: 0 })
    }
}

/// What is known of the pointer.
#[derive(Debug, Default)]
pub(super) struct Pointer {
    seat: Option<(u32, WlSeat)>,
    pointer: Option<WlPointer>,
    watched: bool,
    tracks: Vec<Track>,
    last: Option<Arc<CursorImage>>,
}

impl Pointer {
    /// Sessions for the outputs that have none, as long as somebody watches and there is a pointer; none otherwise.
    pub(super) fn follow(&mut self, shared: &Shared) {
        let Managers::ImageCopy { capture, sources } = &shared.route else { return };
        let wanted = match &self.pointer {
            Some(pointer) if self.watched => Some(pointer.clone()),
            _ => None,
        };
        let Some(pointer) = wanted else {
            self.last = None;
            return self.tracks.drain(..).for_each(Track::destroy);
        };
        let outputs: Vec<_> = shared.state().outputs.iter().map(|(id, output)| (*id, output.clone())).collect();
        let (kept, gone) =
            std::mem::take(&mut self.tracks).into_iter().partition(|t: &Track| outputs.iter().any(|o| o.0 == t.output));
        self.tracks = kept;
        gone.into_iter().for_each(Track::destroy);
        for (id, output) in outputs {
            if self.tracks.iter().any(|t| t.output == id) {
                continue;
            }
            let source = sources.create_source(&output, &shared.queue, ());
            // it went a moment ago
            if source.id().is_null() {
                continue;
            }
            let cursor = capture.create_pointer_cursor_session(&source, &pointer, &shared.queue, On(id));
            let session = cursor.get_capture_session(&shared.queue, On(id));
            self.tracks.push(Track {
                output: id,
                source,
                cursor,
                session,
                coming: Constraints::default(),
                form: None,
                frame: None,
                buffer: None,
                hotspot: (0, 0),
                inside: false,
                fails: 0,
            });
        }
    }

    /// Asks for shapes and places from now on, or no more.
    pub(super) fn watch(&mut self, shared: &Shared, watched: bool) {
        self.watched = watched;
        self.follow(shared);
        shared.flush();
    }

    fn track(&mut self, on: On) -> Option<&mut Track> {
        self.tracks.iter_mut().find(|t| t.output == on.0)
    }

    /// A shape that is news, with its number.
    fn shape(&mut self, image: CursorImage) -> Option<Arc<CursorImage>> {
        let same = |k: &Arc<CursorImage>| k.size == image.size && k.hotspot == image.hotspot && k.rgba == image.rgba;
        if self.last.as_ref().is_some_and(same) {
            return None;
        }
        let serial = self.last.as_ref().map_or(1, |k| k.serial + 1);
        let image = Arc::new(CursorImage { serial, ..image });
        self.last = Some(Arc::clone(&image));
        Some(image)
    }

    /// The first seat is the one that counts.
    pub(super) fn take_seat(&mut self, global: u32, seat: WlSeat) {
        if self.seat.is_none() {
            self.seat = Some((global, seat));
        }
    }

    /// A global went; returns whether it was the seat.
    pub(super) fn removed(&mut self, global: u32) -> bool {
        let was = self.seat.take_if(|seat| seat.0 == global).is_some();
        if was {
            self.pointer = None;
        }
        was
    }
}

impl Dispatch<WlSeat, ()> for Reader {
    fn event(
        reader: &mut Self,
        seat: &WlSeat,
        event: wl_seat::Event,
        (): &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        let wl_seat::Event::Capabilities { capabilities } = event else { return };
        let has = matches!(capabilities, WEnum::Value(c) if c.contains(wl_seat::Capability::Pointer));
        let shared = Arc::clone(&reader.shared);
        let mut pointer = shared.pointer();
        match (has, &pointer.pointer) {
            (true, None) => pointer.pointer = Some(seat.get_pointer(queue, ())),
            (false, Some(_)) => pointer.pointer = None,
            _ => return,
        }
        pointer.follow(&shared);
        drop(pointer);
        reader.pointer_changed(has);
    }
}

impl Dispatch<ExtImageCopyCaptureCursorSessionV1, On> for Reader {
    fn event(
        reader: &mut Self,
        _: &ExtImageCopyCaptureCursorSessionV1,
        event: ext_image_copy_capture_cursor_session_v1::Event,
        on: &On,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use ext_image_copy_capture_cursor_session_v1::Event;
        let shared = Arc::clone(&reader.shared);
        let mut pointer = shared.pointer();
        let Some(track) = pointer.track(*on) else { return };
        match event {
            Event::Enter => {
                track.inside = true;
                track.ask(&shared);
            }
            Event::Leave => track.inside = false,
            Event::Hotspot { x, y } => track.hotspot = (x, y),
            Event::Position { x, y } if track.inside => {
                drop(pointer);
                reader.tell(WaylandEvent::Pointer { monitor: on.0, x, y });
            }
            _ => {}
        }
    }
}

impl Dispatch<ExtImageCopyCaptureSessionV1, On> for Reader {
    fn event(
        reader: &mut Self,
        _: &ExtImageCopyCaptureSessionV1,
        event: ext_image_copy_capture_session_v1::Event,
        on: &On,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use ext_image_copy_capture_session_v1::Event;
        let shared = Arc::clone(&reader.shared);
        let mut pointer = shared.pointer();
        let Some(track) = pointer.track(*on) else { return };
        match event {
            Event::BufferSize { width, height } => track.coming.size = Some((width, height)),
            Event::ShmFormat { format } => track.coming.add(number(format)),
            Event::Done => {
                let Constraints { size, formats, .. } = std::mem::take(&mut track.coming);
                let (width, height) = size.filter(|(w, h)| *w <= MAX_SIDE && *h <= MAX_SIDE).unwrap_or((0, 0));
                // shapes are nothing without their alpha; one without pixels is waited out
                track.form = Form::with_alpha(&formats, width, height).ok();
                track.fails = 0;
                track.ask(&shared);
            }
            Event::Stopped => track.fails = TRIES,
            _ => {}
        }
    }
}

impl Dispatch<ExtImageCopyCaptureFrameV1, On> for Reader {
    fn event(
        reader: &mut Self,
        frame: &ExtImageCopyCaptureFrameV1,
        event: ext_image_copy_capture_frame_v1::Event,
        on: &On,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use ext_image_copy_capture_frame_v1::Event;
        let shared = Arc::clone(&reader.shared);
        let mut pointer = shared.pointer();
        let Some(track) = pointer.track(*on).filter(|t| t.frame.as_ref() == Some(frame)) else { return };
        let ready = match event {
            Event::Ready => true,
            Event::Failed { .. } => false,
            _ => return,
        };
        track.frame = None;
        frame.destroy();
        track.fails = if ready { 0 } else { track.fails + 1 };
        let image = track.image().filter(|_| ready);
        track.ask(&shared);
        let news = image.and_then(|image| pointer.shape(image));
        drop(pointer);
        if let Some(image) = news {
            reader.tell(WaylandEvent::Cursor(image));
        }
    }
}

impl Reader {
    /// The pointer's shape comes apart from the pictures from now on, or no more: all pictures are asked for anew.
    pub(super) fn pointer_changed(&mut self, apart: bool) {
        if matches!(self.shared.route, Managers::Screencopy { .. }) {
            return;
        }
        self.shared.apart.store(apart, Ordering::Relaxed);
        for slot in self.shared.slots() {
            let mut grab = slot.grab();
            grab.again = true;
            slot.pump(&self.shared, &mut grab);
        }
        if !apart {
            let size = Size::new(0, 0);
            let none = CursorImage { size, hotspot: Point::new(0, 0), rgba: Vec::new(), serial: 0 };
            let news = self.shared.pointer().shape(none);
            if let Some(image) = news {
                self.tell(WaylandEvent::Cursor(image));
            }
        }
    }
}
