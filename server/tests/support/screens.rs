//! A desktop of its own on a graphics card: sets modes, draws, flips, and moves a pointer, as a compositor does. Needs a card that nobody else uses.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use drm::buffer::{Buffer, DrmFourcc, DrmModifier, Handle, PlanarBuffer};
use drm::control::dumbbuffer::DumbBuffer;
use drm::control::{
    AtomicCommitFlags, Device as _, Event, Mode, PageFlipFlags, PlaneType, atomic, connector, crtc, framebuffer, plane,
    property,
};
use drm::{ClientCapability, Device as _};

/// A flip takes at most this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The card as its master.
struct Card(File);

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Card {}
impl drm::control::Device for Card {}

/// A picture in the card's memory.
pub struct Canvas {
    buffer: DumbBuffer,
    /// Its framebuffer.
    pub framebuffer: framebuffer::Handle,
}

/// A screen that is driven.
pub struct Output {
    /// The connector's name.
    pub name: String,
    connector: connector::Handle,
    crtc: crtc::Handle,
    mode: Mode,
    canvases: [Canvas; 2],
    shown: usize,
    planes: Vec<(plane::Handle, PlaneType)>,
}

impl Output {
    /// Width and height.
    pub fn size(&self) -> (u16, u16) {
        self.mode.size()
    }
}

/// The master of a card.
pub struct Painter {
    card: Card,
    /// Its screens.
    pub outputs: Vec<Output>,
}

impl Painter {
    /// Takes the card and lights its connectors with modes of these sizes, in order, all black.
    pub fn start(path: &str, sizes: &[(u16, u16)]) -> Self {
        let card = Card(File::options().read(true).write(true).open(path).unwrap_or_else(|e| panic!("{path}: {e}")));
        for capability in [ClientCapability::UniversalPlanes, ClientCapability::Atomic] {
            card.set_client_capability(capability, true).expect("a card with planes");
        }
        let resources = card.resource_handles().expect("its screens");
        for crtc in resources.crtcs() {
            // what an earlier master has left on
            card.set_crtc(*crtc, None, (0, 0), &[], None).expect("switches off");
        }
        let mut painter = Self { card, outputs: Vec::new() };
        for (i, &size) in sizes.iter().enumerate() {
            let handle = resources.connectors()[i];
            let info = painter.card.get_connector(handle, true).expect("a connector");
            let mode = *info.modes().iter().find(|mode| mode.size() == size).unwrap_or_else(|| {
                panic!("{info} has no {size:?}: {:?}", info.modes().iter().map(Mode::size).collect::<Vec<_>>())
            });
            let crtc = resources.crtcs()[i];
            let of_crtc = |handle: &plane::Handle| {
                let possible = painter.card.get_plane(*handle).expect("a plane").possible_crtcs();
                resources.filter_crtcs(possible).contains(&crtc)
            };
            let all = painter.card.plane_handles().expect("its planes");
            let planes: Vec<_> = all.into_iter().filter(of_crtc).map(|handle| (handle, painter.kind(handle))).collect();
            painter.straighten(&planes);
            let canvases = [painter.canvas(size, DrmFourcc::Xrgb8888), painter.canvas(size, DrmFourcc::Xrgb8888)];
            let output = Output { name: info.to_string(), connector: handle, crtc, mode, canvases, shown: 0, planes };
            painter.outputs.push(output);
            painter.light(i);
        }
        painter
    }

    /// Turns planes back that an earlier master has turned: the card keeps that.
    fn straighten(&self, planes: &[(plane::Handle, PlaneType)]) {
        let mut request = atomic::AtomicModeReq::new();
        for (plane, _) in planes {
            for (name, value) in [("rotation", 1), ("FB_ID", 0), ("CRTC_ID", 0)] {
                request.add_raw_property((*plane).into(), self.property(*plane, name).0, value);
            }
        }
        self.card.atomic_commit(AtomicCommitFlags::ALLOW_MODESET, request).expect("planes as they were");
    }

    fn property(&self, handle: impl drm::control::ResourceHandle, name: &str) -> (property::Handle, u64) {
        let values = self.card.get_properties(handle).expect("properties");
        let named = |(handle, _): &(&property::Handle, &u64)| {
            self.card.get_property(**handle).expect("a property").name().to_bytes() == name.as_bytes()
        };
        let (handle, value) = values.iter().find(named).unwrap_or_else(|| panic!("no property {name}"));
        (*handle, *value)
    }

    fn kind(&self, plane: plane::Handle) -> PlaneType {
        match self.property(plane, "type").1 as u32 {
            v if v == PlaneType::Primary as u32 => PlaneType::Primary,
            v if v == PlaneType::Cursor as u32 => PlaneType::Cursor,
            _ => PlaneType::Overlay,
        }
    }

    /// The framebuffer of the picture that a screen shows of its own.
    pub fn shown(&self, i: usize) -> framebuffer::Handle {
        self.outputs[i].canvases[self.outputs[i].shown].framebuffer
    }

    /// Sets the mode of a screen again.
    pub fn light(&self, i: usize) {
        let output = &self.outputs[i];
        let framebuffer = Some(output.canvases[output.shown].framebuffer);
        let wired = [output.connector];
        self.card.set_crtc(output.crtc, framebuffer, (0, 0), &wired, Some(output.mode)).expect("a mode");
    }

    /// Switches a screen off.
    pub fn darken(&self, i: usize) {
        self.card.set_crtc(self.outputs[i].crtc, None, (0, 0), &[], None).expect("switches off");
    }

    /// Puts a screen to sleep, or wakes it: the mode stays.
    pub fn sleep(&self, i: usize, asleep: bool) {
        let (active, _) = self.property(self.outputs[i].crtc, "ACTIVE");
        let mut request = atomic::AtomicModeReq::new();
        request.add_raw_property(self.outputs[i].crtc.into(), active, u64::from(!asleep));
        self.card.atomic_commit(AtomicCommitFlags::ALLOW_MODESET, request).expect("sleeps");
    }

    /// A picture, all zero.
    pub fn canvas(&self, (w, h): (u16, u16), format: DrmFourcc) -> Canvas {
        let buffer = self.card.create_dumb_buffer((w.into(), h.into()), format, 32).expect("memory");
        let flags = drm::control::FbCmd2Flags::empty();
        let framebuffer = self.card.add_planar_framebuffer(&Flat(&buffer), flags).expect("a framebuffer");
        Canvas { buffer, framebuffer }
    }

    /// Draws the next picture of a screen, shows it, and waits until it is shown.
    pub fn paint(&mut self, i: usize, pixel: impl Fn(u32, u32) -> u32) {
        let next = 1 - self.outputs[i].shown;
        self.redraw(i, next, pixel);
        let (crtc, framebuffer) = (self.outputs[i].crtc, self.outputs[i].canvases[next].framebuffer);
        self.card.page_flip(crtc, framebuffer, PageFlipFlags::EVENT, None).expect("flips");
        self.outputs[i].shown = next;
        let end = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < end, "no flip within {PATIENCE:?}");
            let events = self.card.receive_events().expect("events");
            if events.into_iter().any(|event| matches!(event, Event::PageFlip(flip) if flip.crtc == crtc)) {
                return;
            }
        }
    }

    /// Draws into the picture that a screen shows.
    pub fn paint_in_place(&mut self, i: usize, pixel: impl Fn(u32, u32) -> u32) {
        let shown = self.outputs[i].shown;
        self.redraw(i, shown, pixel);
    }

    fn redraw(&mut self, i: usize, canvas: usize, pixel: impl Fn(u32, u32) -> u32) {
        let Self { card, outputs } = self;
        draw(card, &mut outputs[i].canvases[canvas], pixel);
    }

    /// Draws all of a picture.
    pub fn draw(&self, canvas: &mut Canvas, pixel: impl Fn(u32, u32) -> u32) {
        draw(&self.card, canvas, pixel);
    }

    /// Shows a part of a picture on the screen's plane of a kind, at a place there, as the properties besides say; none hides the plane.
    ///
    /// `part` and `place` are left, top, width and height.
    pub fn show(&self, i: usize, kind: PlaneType, what: Option<Shown<'_>>) {
        let output = &self.outputs[i];
        let plane = output.planes.iter().find(|(_, k)| *k == kind).expect("a plane of the kind").0;
        let mut request = atomic::AtomicModeReq::new();
        let mut set = |name: &str, value: u64| {
            request.add_raw_property(plane.into(), self.property(plane, name).0, value);
        };
        match what {
            None => {
                set("FB_ID", 0);
                set("CRTC_ID", 0);
            }
            Some(Shown { canvas, part, place, besides }) => {
                set("FB_ID", u32::from(canvas.framebuffer).into());
                set("CRTC_ID", u32::from(output.crtc).into());
                for (name, value) in ["SRC_X", "SRC_Y", "SRC_W", "SRC_H"].iter().zip(part) {
                    set(name, u64::from(value) << 16);
                }
                for (name, value) in ["CRTC_X", "CRTC_Y", "CRTC_W", "CRTC_H"].iter().zip(place) {
                    set(name, i64::from(value) as u64);
                }
                besides.iter().for_each(|(name, value)| set(name, *value));
            }
        }
        self.card.atomic_commit(AtomicCommitFlags::empty(), request).expect("the planes are shown so");
    }

    /// Lets go of a picture that is not shown.
    pub fn forget(&self, canvas: Canvas) {
        self.card.destroy_framebuffer(canvas.framebuffer).expect("is not shown");
        self.card.destroy_dumb_buffer(canvas.buffer).expect("is there");
    }
}

/// What a plane is to show.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The picture.
    pub canvas: &'a Canvas,
    /// The part of it: left, top, width, height.
    pub part: [u32; 4],
    /// Where: left, top, width, height.
    pub place: [i32; 4],
    /// Further properties by name.
    pub besides: &'a [(&'a str, u64)],
}

fn draw(card: &Card, canvas: &mut Canvas, pixel: impl Fn(u32, u32) -> u32) {
    let ((w, _), pitch) = (canvas.buffer.size(), canvas.buffer.pitch() as usize);
    let mut mapping = card.map_dumb_buffer(&mut canvas.buffer).expect("maps");
    for (y, row) in (0u32..).zip(mapping.as_mut().chunks_exact_mut(pitch)) {
        for (x, out) in (0..w).zip(row.chunks_exact_mut(4)) {
            out.copy_from_slice(&pixel(x, y).to_le_bytes());
        }
    }
}

/// A dumb buffer as a framebuffer of one plane without a modifier.
struct Flat<'a>(&'a DumbBuffer);

impl PlanarBuffer for Flat<'_> {
    fn size(&self) -> (u32, u32) {
        self.0.size()
    }

    fn format(&self) -> DrmFourcc {
        self.0.format()
    }

    fn modifier(&self) -> Option<DrmModifier> {
        None
    }

    fn pitches(&self) -> [u32; 4] {
        [self.0.pitch(), 0, 0, 0]
    }

    fn handles(&self) -> [Option<Handle>; 4] {
        [Some(self.0.handle()), None, None, None]
    }

    fn offsets(&self) -> [u32; 4] {
        [0; 4]
    }
}
