//! What capture asks a graphics card, as a trait: tests put another card in its place.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How a plane stands among those of its CRTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaneKind {
    /// The picture itself.
    Primary,
    /// Something over (or under) it.
    Overlay,
    /// The pointer.
    Cursor,
}

/// A connector: a socket of the card, or something that is wired to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector {
    /// Its name as the system has it: `HDMI-A-1`.
    pub name: String,
    /// Whether a screen is plugged in; none where nobody has asked the screen yet.
    pub connected: Option<bool>,
    /// The CRTC whose picture it shows.
    pub crtc: Option<u32>,
}

/// A plane for as long as the card is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Its number.
    pub id: u32,
    /// Bit n: it can be shown by the nth CRTC.
    pub crtcs: u32,
    /// What it is for.
    pub kind: PlaneKind,
}

/// What a CRTC does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crtc {
    /// Width, height, and pictures in 1000 s; none where no mode is set.
    pub mode: Option<(u16, u16, u32)>,
    /// Whether it sends its picture to the screens: not while these are asleep.
    pub active: bool,
}

/// What a plane shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaneState {
    /// The framebuffer; 0 for none.
    pub framebuffer: u32,
    /// The CRTC; 0 for none.
    pub crtc: u32,
    /// The part of the framebuffer: left, top, width, height, in 1/65536 pixels.
    pub source: [u32; 4],
    /// Where on the CRTC it is shown: left, top.
    pub at: [i32; 2],
    /// Width and height there.
    pub size: [u32; 2],
    /// Its place in the stack, lowest first; none where the driver does not say.
    pub zpos: Option<u64>,
    /// `DRM_MODE_ROTATE_*` and `DRM_MODE_REFLECT_*`; 0 where the driver does not say.
    pub rotation: u32,
    /// Opacity of all of it: 0xffff is all.
    pub alpha: u16,
    /// How the alpha of its pixels is meant.
    pub blend: Blend,
    /// The pixel of a pointer that points, where the driver says so.
    pub hotspot: Option<[i32; 2]>,
    /// The blob of the rectangles that changed with this framebuffer; 0 for none.
    pub damage: u32,
}

/// How the alpha of a plane's pixels is meant (`pixel blend mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blend {
    /// Colours are multiplied by it already: what a driver that does not say means.
    #[default]
    Premultiplied,
    /// They are not.
    Coverage,
    /// It means nothing.
    None,
}

/// A framebuffer: a picture in the card's memory. Handles are ours to close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Framebuffer {
    /// Pixels of it.
    pub size: [u32; 2],
    /// Its DRM format code.
    pub fourcc: u32,
    /// Its modifier; none where the flag that says that there is one is not set.
    pub modifier: Option<u64>,
    /// The memory of each plane of pixels: 0 for none, or for one that we have no right to.
    pub handles: [u32; 4],
    /// Bytes from one row to the next.
    pub pitches: [u32; 4],
    /// Bytes before the first row.
    pub offsets: [u32; 4],
}

/// A vertical blank that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vblank {
    /// The index of its CRTC.
    pub crtc: u32,
    /// Its number.
    pub sequence: u32,
    /// When it was, on the monotonic clock.
    pub time: Duration,
}

/// A graphics card with screens.
pub trait Card: Send {
    /// Its name as the system has it: `card0`.
    fn name(&self) -> &str;

    /// The name of its driver.
    fn driver(&self) -> &str;

    /// Its CRTCs: each drives the screens of one picture.
    ///
    /// # Errors
    /// When the card is gone.
    fn crtcs(&self) -> io::Result<Vec<u32>>;

    /// Its connectors, without asking any screen.
    ///
    /// # Errors
    /// When the card is gone.
    fn connectors(&self) -> io::Result<Vec<Connector>>;

    /// Its planes.
    ///
    /// # Errors
    /// When the card is gone.
    fn planes(&self) -> io::Result<Vec<Plane>>;

    /// What a CRTC does.
    ///
    /// # Errors
    /// When there is none of this number.
    fn crtc(&self, id: u32) -> io::Result<Crtc>;

    /// What a plane shows.
    ///
    /// # Errors
    /// When there is none of this number.
    fn plane(&self, id: u32) -> io::Result<PlaneState>;

    /// A framebuffer. Its handles are new ones, and each of them is to be closed once.
    ///
    /// # Errors
    /// When it is gone.
    fn framebuffer(&self, id: u32) -> io::Result<Framebuffer>;

    /// A handle's memory as a dma-buf.
    ///
    /// # Errors
    /// When the driver hands none out.
    fn export(&self, handle: u32) -> io::Result<OwnedFd>;

    /// Closes a handle.
    ///
    /// # Errors
    /// When it is none.
    fn close(&self, handle: u32) -> io::Result<()>;

    /// The rectangles of a damage blob: left, top, right, bottom each.
    ///
    /// # Errors
    /// When it is gone.
    fn damage(&self, blob: u32) -> io::Result<Vec<[i32; 4]>>;

    /// Asks to be told of the next vertical blank of the CRTC of this index.
    ///
    /// # Errors
    /// `Unsupported` where the driver has none, another where the CRTC is off.
    fn ask_vblank(&self, crtc: u32) -> io::Result<()>;

    /// The vertical blanks that have come.
    ///
    /// # Errors
    /// When the card is gone.
    fn vblanks(&self) -> io::Result<Vec<Vblank>>;
}
