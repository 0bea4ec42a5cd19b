//! A compositor of the tests' own: one client, outputs without hardware, ext-image-copy-capture or wlr-screencopy, and what lies it is told
//! to tell. Where it is honest it does the least that the protocol allows: it writes of a buffer only what has to be written.
// each test program uses some of it
#![allow(dead_code)]

mod dma_buf;
mod handle;
mod wire;

pub use dma_buf::{XR24, in_memory};
pub use handle::Fake;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farpane_engine::geometry::{Rect, Region, Size};
use wayland_protocols::ext::image_capture_source::v1::server::ext_image_capture_source_v1::{
    self as source, ExtImageCaptureSourceV1,
};
use wayland_protocols::ext::image_capture_source::v1::server::ext_output_image_capture_source_manager_v1::{
    self as sources, ExtOutputImageCaptureSourceManagerV1,
};
use wayland_protocols::ext::image_copy_capture::v1::server::ext_image_copy_capture_cursor_session_v1::{
    self as cursor, ExtImageCopyCaptureCursorSessionV1,
};
use wayland_protocols::ext::image_copy_capture::v1::server::ext_image_copy_capture_frame_v1::{
    self as frame, ExtImageCopyCaptureFrameV1, FailureReason,
};
use wayland_protocols::ext::image_copy_capture::v1::server::ext_image_copy_capture_manager_v1::{
    self as manager, ExtImageCopyCaptureManagerV1,
};
use wayland_protocols::ext::image_copy_capture::v1::server::ext_image_copy_capture_session_v1::{
    self as session, ExtImageCopyCaptureSessionV1,
};
use wayland_protocols_wlr::screencopy::v1::server::zwlr_screencopy_frame_v1::{
    self as wlr_frame, Flags, ZwlrScreencopyFrameV1,
};
use wayland_protocols_wlr::screencopy::v1::server::zwlr_screencopy_manager_v1::{self as wlr, ZwlrScreencopyManagerV1};
use wayland_server::backend::GlobalId;
use wayland_server::protocol::wl_buffer::{self, WlBuffer};
use wayland_server::protocol::wl_output::{self, Transform, WlOutput};
use wayland_server::protocol::wl_pointer::WlPointer;
use wayland_server::protocol::wl_seat::{self, WlSeat};
use wayland_server::protocol::wl_shm::{self, WlShm};
use wayland_server::protocol::wl_shm_pool::{self, WlShmPool};
use wayland_server::{
    Client, DataInit, Dispatch, Display, DisplayHandle, GlobalDispatch, ListeningSocket, New, Resource, WEnum,
};

/// What it does that it should not, or need not.
#[derive(Clone, Debug)]
pub struct Manners {
    /// The formats that it offers.
    pub formats: Vec<u32>,
    /// The size that it says instead of its own.
    pub size: Option<(u32, u32)>,
    /// wlr-screencopy: the stride that it says instead of the tightest.
    pub stride: Option<u32>,
    /// Whether it says that all constraints are told.
    pub done: bool,
    /// Whether pictures are written at all.
    pub answers: bool,
    /// Pictures that fail from here on, and how; wlr-screencopy knows one way.
    pub fails: (u32, Option<FailureReason>),
    /// Sessions that are stopped as soon as they begin.
    pub stops: u32,
    /// Damage that it tells instead of the true one.
    pub damage: Option<Vec<[i32; 4]>>,
    /// wlr-screencopy: pictures stand on their heads.
    pub inverted: bool,
    /// How the pictures are turned, which only the frames tell.
    pub transform: u32,
    /// dma-bufs are offered beside,
    pub dmabuf: bool,
    /// with these modifiers,
    pub modifiers: Vec<u64>,
    /// and are refused when they are told of, or not answered,
    pub refuses: bool,
    pub mute: bool,
    /// or taken, and every picture in them fails.
    pub spoils: Option<FailureReason>,
    /// The seat has a pointer.
    pub pointer: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            formats: vec![1],
            size: None,
            stride: None,
            done: true,
            answers: true,
            fails: (0, None),
            stops: 0,
            damage: None,
            inverted: false,
            transform: 0,
            dmabuf: false,
            modifiers: vec![0],
            refuses: false,
            mute: false,
            spoils: None,
            pointer: false,
        }
    }
}

struct Monitor {
    global: GlobalId,
    bound: Vec<WlOutput>,
    size: Size,
    /// What the hardware scans.
    px: Vec<u32>,
}

struct Session {
    resource: ExtImageCopyCaptureSessionV1,
    output: usize,
    /// What changed since its last picture; everything where none.
    dirty: Option<Region>,
    /// Its buffers were asked for in this form.
    told: (u32, u32, Vec<u32>),
}

struct Frame {
    resource: ExtImageCopyCaptureFrameV1,
    session: ExtImageCopyCaptureSessionV1,
    buffer: Option<WlBuffer>,
    stale: Region,
    asked: bool,
}

/// The session that shows the pointer's shape on one output.
struct Shape {
    cursor: ExtImageCopyCaptureCursorSessionV1,
    session: Option<ExtImageCopyCaptureSessionV1>,
    output: usize,
    told: Option<(u32, u32)>,
    new: bool,
}

struct Copy {
    resource: ZwlrScreencopyFrameV1,
    output: usize,
    /// The buffer, and whether a change is waited for.
    buffer: Option<(WlBuffer, bool)>,
}

/// What is known inside.
pub struct State {
    display: DisplayHandle,
    monitors: Vec<Option<Monitor>>,
    sessions: Vec<Session>,
    frames: Vec<Frame>,
    copies: Vec<Copy>,
    shapes: Vec<Shape>,
    /// The pointer's shape: size, premultiplied ARGB, hotspot.
    shape: ((u32, u32), Vec<u32>, (i32, i32)),
    seats: Vec<WlSeat>,
    /// The options of every session that was made.
    pub painted: Vec<bool>,
    /// wlr-screencopy: what changed since the last picture of each output.
    dirty: Vec<Region>,
    pub manners: Manners,
    /// Bytes written into the client's buffers.
    pub written: u64,
    pub pictures: u64,
    /// dma-bufs that it took, and pictures in them.
    pub taken: u64,
    pub drawn: u64,
    /// How it reaches the memory of a dma-buf.
    pub reach: Reach,
}

/// Puts rows, each at its byte, into memory.
pub type Draw = Box<dyn Fn(&[(u64, Vec<u8>)]) + Send + Sync>;
pub type Reach = fn(OwnedFd) -> Draw;

struct Shm {
    draw: Arc<Draw>,
}

struct Buffer {
    draw: Arc<Draw>,
    /// The modifier of a dma-buf.
    modifier: Option<u64>,
    offset: i32,
    size: (i32, i32),
    stride: i32,
    format: u32,
}

impl Buffer {
    fn write(&self, px: &[u32], size: Size, part: &Rect) -> u64 {
        let swap = self.format == u32::from(wl_shm::Format::Xbgr8888);
        let rows: Vec<(u64, Vec<u8>)> = (part.y..part.bottom())
            .map(|y| {
                let at = usize::from(y) * usize::from(size.w) + usize::from(part.x);
                let row = &px[at..at + usize::from(part.w)];
                let bytes = row
                    .iter()
                    .flat_map(|p| if swap { (p.swap_bytes() >> 8).to_le_bytes() } else { p.to_le_bytes() })
                    .collect();
                (self.offset as u64 + u64::from(y) * self.stride as u64 + u64::from(part.x) * 4, bytes)
            })
            .collect();
        (self.draw)(&rows);
        part.area() * 4
    }
}

impl State {
    pub fn add_output(&mut self, size: Size) {
        let index = self.monitors.len();
        let global = self.display.create_global::<State, WlOutput, usize>(4, index);
        let px = vec![0x20_4060; size.area() as usize];
        self.monitors.push(Some(Monitor { global, bound: Vec::new(), size, px }));
        self.dirty.push(Region::from(size.rect()));
    }

    pub fn unplug(&mut self, index: usize) {
        let monitor = self.monitors[index].take().expect("is plugged in");
        self.display.disable_global::<State>(monitor.global.clone());
        self.display.remove_global::<State>(monitor.global);
        for session in self.sessions.iter().filter(|s| s.output == index) {
            session.resource.stopped();
        }
        self.sessions.retain(|s| s.output != index);
    }

    fn monitor(&self, index: usize) -> Option<&Monitor> {
        self.monitors.get(index)?.as_ref()
    }

    pub fn paint(&mut self, index: usize, part: Rect, mut colour: impl FnMut(u16, u16) -> u32) {
        let monitor = self.monitors[index].as_mut().expect("is plugged in");
        for y in part.y..part.bottom() {
            for x in part.x..part.right() {
                monitor.px[usize::from(y) * usize::from(monitor.size.w) + usize::from(x)] = colour(x, y) & 0xff_ffff;
            }
        }
        for session in self.sessions.iter_mut().filter(|s| s.output == index) {
            if let Some(dirty) = &mut session.dirty {
                dirty.add(&part);
            }
        }
        self.dirty[index].add(&part);
    }

    pub fn px(&self, index: usize) -> Vec<u32> {
        self.monitor(index).expect("is plugged in").px.clone()
    }

    pub fn resize(&mut self, index: usize, size: Size, colour: u32) {
        let monitor = self.monitors[index].as_mut().expect("is plugged in");
        monitor.size = size;
        monitor.px = vec![colour; size.area() as usize];
        let bound = monitor.bound.clone();
        bound.iter().for_each(|output| self.describe(output, index));
        for session in self.sessions.iter_mut().filter(|s| s.output == index) {
            session.dirty = None;
        }
        self.dirty[index] = Region::from(size.rect());
    }

    fn describe(&self, output: &WlOutput, index: usize) {
        let Some(monitor) = self.monitor(index) else { return };
        let (w, h) = (i32::from(monitor.size.w), i32::from(monitor.size.h));
        let none = wl_output::Subpixel::Unknown;
        output.geometry(0, 1000 * index as i32, 0, 0, none, "made".into(), "up".into(), Transform::Normal);
        output.mode(wl_output::Mode::Current, w, h, 60_000);
        output.name(format!("FAKE-{index}"));
        output.done();
    }

    fn constraints(&self, index: usize) -> (u32, u32, Vec<u32>) {
        let own = self.monitor(index).map_or(Size::default(), |m| m.size);
        let (w, h) = self.manners.size.unwrap_or((own.w.into(), own.h.into()));
        (w, h, self.manners.formats.clone())
    }

    /// Tells sessions what their buffers have to look like, where that is news.
    fn tell(&mut self) {
        for i in 0..self.sessions.len() {
            let new = self.constraints(self.sessions[i].output);
            let session = &mut self.sessions[i];
            if session.told == new {
                continue;
            }
            session.resource.buffer_size(new.0, new.1);
            for format in &new.2 {
                if let Ok(format) = wl_shm::Format::try_from(*format) {
                    session.resource.shm_format(format);
                }
            }
            if self.manners.dmabuf {
                let modifiers = self.manners.modifiers.iter().flat_map(|m| m.to_ne_bytes());
                session.resource.dmabuf_format(XR24, modifiers.collect());
            }
            if self.manners.done {
                session.resource.done();
            }
            session.told = new;
        }
    }

    /// Works off what was asked.
    fn work(&mut self) {
        if self.manners.answers {
            self.tell();
            self.point();
            for i in 0..self.frames.len() {
                self.capture(i);
            }
            self.frames.retain(|f| f.resource.is_alive() && (!f.asked || f.buffer.is_some()));
            for i in 0..self.copies.len() {
                self.copy(i);
            }
            self.copies.retain(|c| c.resource.is_alive());
        }
    }

    /// Gives the pointer a shape.
    pub fn point_with(&mut self, size: (u32, u32), px: Vec<u32>, hotspot: (i32, i32)) {
        self.shape = (size, px, hotspot);
        self.shapes.iter_mut().for_each(|s| s.new = true);
    }

    /// Puts the pointer onto an output.
    pub fn point_at(&self, output: usize, x: i32, y: i32) {
        for shape in &self.shapes {
            if shape.output == output {
                shape.cursor.enter();
                shape.cursor.position(x, y);
            } else {
                shape.cursor.leave();
            }
        }
    }

    /// Plugs the pointer in or out.
    pub fn plug(&mut self, pointer: bool) {
        self.manners.pointer = pointer;
        let has = if pointer { wl_seat::Capability::Pointer } else { wl_seat::Capability::empty() };
        self.seats.iter().for_each(|seat| seat.capabilities(has));
    }

    /// Works off what was asked of the pointer.
    fn point(&mut self) {
        let ((w, h), px, hotspot) = &self.shape;
        for shape in &mut self.shapes {
            let Some(session) = &shape.session else { continue };
            if shape.told.replace((*w, *h)) != Some((*w, *h)) {
                session.buffer_size(*w, *h);
                session.shm_format(wl_shm::Format::Argb8888);
                session.done();
            }
            let asked = self.frames.iter_mut().find(|f| f.session == *session && f.asked && f.buffer.is_some());
            let Some(frame) = asked.filter(|_| shape.new) else { continue };
            let buffer = frame.buffer.take().expect("seen above");
            let data = buffer.data::<Buffer>().expect("made here");
            if (data.size.0, data.size.1) != (*w as i32, *h as i32) {
                frame.resource.failed(FailureReason::BufferConstraints);
                continue;
            }
            let size = Size::new(*w as u16, *h as u16);
            data.write(px, size, &size.rect());
            shape.cursor.hotspot(hotspot.0, hotspot.1);
            frame.resource.ready();
            shape.new = false;
        }
    }

    fn lying_damage(&self) -> Option<Vec<[i32; 4]>> {
        self.manners.damage.clone()
    }

    fn capture(&mut self, i: usize) {
        let frame = &self.frames[i];
        let Some(buffer) = frame.buffer.clone().filter(|_| frame.asked) else { return };
        let Some(at) = self.sessions.iter().position(|s| s.resource == frame.session) else { return };
        let resource = frame.resource.clone();
        let stale = frame.stale.clone();
        if self.manners.fails.0 > 0 {
            self.manners.fails.0 -= 1;
            resource.failed(self.manners.fails.1.unwrap_or(FailureReason::Unknown));
            self.frames[i].buffer = None;
            return;
        }
        let (output, told) = (self.sessions[at].output, self.sessions[at].told.clone());
        let data = buffer.data::<Buffer>().expect("made here");
        let Some(monitor) = self.monitor(output) else { return };
        let form = match data.modifier {
            Some(modifier) => self.manners.dmabuf && self.manners.modifiers.contains(&modifier),
            None => told.2.contains(&data.format),
        };
        if let Some(reason) = self.manners.spoils.filter(|_| data.modifier.is_some()) {
            resource.failed(reason);
            self.frames[i].buffer = None;
            return;
        }
        let fits = (data.size.0, data.size.1) == (told.0 as i32, told.1 as i32) && form;
        if !fits {
            resource.failed(FailureReason::BufferConstraints);
            self.frames[i].buffer = None;
            return;
        }
        let whole = monitor.size.rect();
        let dirty = self.sessions[at].dirty.clone();
        if dirty.as_ref().is_some_and(Region::is_empty) {
            return;
        }
        let damage = dirty.unwrap_or_else(|| Region::from(whole));
        let mut write = stale;
        write.union(&damage);
        write.intersect_rect(&whole);
        let written: u64 = write.rects().iter().map(|r| data.write(&monitor.px, monitor.size, r)).sum();
        if let Ok(transform) = Transform::try_from(self.manners.transform) {
            resource.transform(transform);
        }
        match self.lying_damage() {
            Some(lies) => lies.iter().for_each(|[x, y, w, h]| resource.damage(*x, *y, *w, *h)),
            None => damage.rects().iter().for_each(|r| resource.damage(r.x.into(), r.y.into(), r.w.into(), r.h.into())),
        }
        resource.presentation_time(0, 0, 0);
        resource.ready();
        self.drawn += u64::from(data.modifier.is_some());
        self.written += written;
        self.pictures += 1;
        self.sessions[at].dirty = Some(Region::new());
        self.frames[i].buffer = None;
    }

    fn copy(&mut self, i: usize) {
        let Some((buffer, waits)) = self.copies[i].buffer.clone() else { return };
        let (output, resource) = (self.copies[i].output, self.copies[i].resource.clone());
        if self.manners.fails.0 > 0 {
            self.manners.fails.0 -= 1;
            self.copies[i].buffer = None;
            return resource.failed();
        }
        let Some(monitor) = self.monitor(output) else { return };
        if waits && self.dirty[output].is_empty() {
            return;
        }
        let data = buffer.data::<Buffer>().expect("made here");
        if self.manners.spoils.is_some() && data.modifier.is_some() {
            self.copies[i].buffer = None;
            return resource.failed();
        }
        let mut px = monitor.px.clone();
        if self.manners.inverted {
            px = px.chunks(usize::from(monitor.size.w)).rev().flatten().copied().collect();
        }
        let written = data.write(&px, monitor.size, &monitor.size.rect());
        resource.flags(if self.manners.inverted { Flags::YInvert } else { Flags::empty() });
        if waits {
            let b = self.dirty[output].bounds();
            let y = if self.manners.inverted { monitor.size.h - b.bottom() } else { b.y };
            resource.damage(b.x.into(), y.into(), b.w.into(), b.h.into());
        }
        resource.ready(0, 0, 0);
        self.dirty[output] = Region::new();
        self.drawn += u64::from(data.modifier.is_some());
        self.written += written;
        self.pictures += 1;
        self.copies[i].buffer = None;
    }
}

type Order = Box<dyn FnOnce(&mut State) + Send>;

struct Guest;

impl wayland_server::backend::ClientData for Guest {
    fn initialized(&self, _: wayland_server::backend::ClientId) {}
    fn disconnected(&self, _: wayland_server::backend::ClientId, _: wayland_server::backend::DisconnectReason) {}
}

fn run(display: &mut Display<State>, state: &mut State, listener: &ListeningSocket, inbox: &Receiver<Order>) {
    loop {
        // nobody gives orders any more: the test is over
        match inbox.recv_timeout(Duration::from_millis(1)) {
            Ok(order) => order(state),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
        }
        if let Some(stream) = listener.accept().expect("listens") {
            display.handle().insert_client(stream, Arc::new(Guest)).expect("a client");
        }
        display.dispatch_clients(state).expect("clients are read");
        state.work();
        // a client may have gone
        let _ = display.flush_clients();
    }
}

macro_rules! global {
    ($interface:ty) => {
        impl GlobalDispatch<$interface, ()> for State {
            fn bind(
                _: &mut Self,
                _: &DisplayHandle,
                _: &Client,
                resource: New<$interface>,
                (): &(),
                init: &mut DataInit<'_, Self>,
            ) {
                init.init(resource, ());
            }
        }
    };
}

global!(WlShm);
global!(ExtOutputImageCaptureSourceManagerV1);
global!(ExtImageCopyCaptureManagerV1);
global!(ZwlrScreencopyManagerV1);
