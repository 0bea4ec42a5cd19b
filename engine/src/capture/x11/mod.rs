//! Capture from an X server: DAMAGE says where, GetImage through shared memory fetches only there.
//!
//! One [`X11Display`] owns one connection and its reader thread; it hands out an [`X11Source`] for each RandR monitor. The thread only
//! notes that something was damaged and rings the bells; a source asks where when it is asked for a picture, for all sources at
//! once. So a desktop that changes faster than clients can take costs the X server one event and no round trip.
//!
//! INVARIANT: damage is taken back (subtracted) before the pixels are fetched, on the same connection, so whatever is drawn after the
//! fetch is new damage. Layout changes and the pointer's shape go to the callback given to [`X11Display::new`].
//! Tested against a private Xvfb (`tests/x11.rs`).

pub mod auth;
mod connect;
mod framebuffer;
mod monitors;
mod reader;
mod setup;
mod shared;
mod source;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use connect::{connect, connect_over};
pub use source::X11Source;
use x11rb::connection::Connection;
use x11rb::protocol::xfixes::{self, CursorNotifyMask};
use x11rb::protocol::xproto;
use x11rb::rust_connection::RustConnection;

use crate::frame::CursorImage;
use crate::geometry::{Point, Rect, Size};

/// A RandR monitor, or the whole screen where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// Its RandR name; `screen` where there is none.
    pub name: String,
    /// Its place on the screen, clipped to it.
    pub rect: Rect,
    /// Whether it is the primary one.
    pub primary: bool,
}

/// What happens on a display besides pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum X11Event {
    /// Monitors came, went, moved or changed their size; the sources of those that stay follow by themselves.
    Layout {
        /// Size of the screen.
        size: Size,
        /// All monitors.
        monitors: Vec<Monitor>,
    },
    /// The pointer has another shape.
    Cursor(Arc<CursorImage>),
    /// The connection is gone, for good; why.
    Lost(String),
}

/// Why a display cannot be captured.
#[derive(Debug, thiserror::Error)]
pub enum X11Error {
    /// The display's name has another form.
    #[error("display {0:?} (expected [HOST]:NUMBER[.SCREEN], like :0)")]
    DisplayName(String),
    /// Nobody answers, or the server refuses.
    #[error("display {display} cannot be opened: {reason}")]
    Unreachable {
        /// The display's name.
        display: String,
        /// What the system or the server said.
        reason: String,
    },
    /// There is no such screen.
    #[error("screen {screen} (expected 0..={})", .screens.saturating_sub(1))]
    Screen {
        /// What was asked for.
        screen: usize,
        /// How many there are.
        screens: usize,
    },
    /// An extension is missing that capture needs.
    #[error("the X server has no {0} extension, without which changes cannot be followed")]
    Extension(&'static str),
    /// The pixels have a form that is not handled.
    #[error("{0}")]
    Pixels(String),
    /// The framebuffer file cannot be used.
    #[error("framebuffer file: {0}")]
    Framebuffer(String),
    /// The server went away or answered with an error.
    #[error("X server: {0}")]
    Server(String),
}

impl From<x11rb::errors::ConnectionError> for X11Error {
    fn from(error: x11rb::errors::ConnectionError) -> Self {
        Self::Server(error.to_string())
    }
}

impl From<x11rb::errors::ReplyError> for X11Error {
    fn from(error: x11rb::errors::ReplyError) -> Self {
        Self::Server(error.to_string())
    }
}

impl From<x11rb::errors::ReplyOrIdError> for X11Error {
    fn from(error: x11rb::errors::ReplyOrIdError) -> Self {
        Self::Server(error.to_string())
    }
}

/// How a display's pictures are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// Read in place out of the server's framebuffer file.
    Framebuffer,
    /// GetImage into shared memory.
    Shm,
    /// GetImage over the connection: the server is remote, or refuses shared memory.
    Plain,
}

/// An open display. Dropping it ends its thread; sources that are left say that the desktop is gone.
#[derive(Debug)]
pub struct X11Display {
    shared: Arc<shared::Shared>,
}

impl X11Display {
    /// Takes over a connection: checks what the server can do, learns its monitors and starts the reader thread, which calls `events`.
    ///
    /// With `framebuffer`, the file of an Xvfb's `-fbdir`, pictures are read in place. All events of the connection are consumed here; requests
    /// from other threads are welcome.
    ///
    /// # Errors
    /// When an extension is missing or the pixels have a form that is not handled; the text says which.
    pub fn new(
        connection: RustConnection,
        screen: usize,
        framebuffer: Option<OwnedFd>,
        events: Box<dyn Fn(X11Event) + Send>,
    ) -> Result<Self, X11Error> {
        let shared = Arc::new(setup::setup(connection, screen, framebuffer)?);
        let (reader, told) = (Arc::clone(&shared), shared.layout());
        std::thread::Builder::new()
            .name("x11-reader".to_owned())
            .spawn(move || reader::run(&reader, told, events.as_ref()))
            .map_err(|e| X11Error::Server(format!("no thread for its events: {e}")))?;
        Ok(Self { shared })
    }

    /// The monitors now.
    pub fn monitors(&self) -> Vec<Monitor> {
        self.shared.state().monitors.clone()
    }

    /// The screen's size now.
    pub fn size(&self) -> Size {
        self.shared.state().size
    }

    /// The screen's root window.
    pub fn root(&self) -> xproto::Window {
        self.shared.root
    }

    /// The connection, for requests; its events are consumed by the display's thread.
    pub fn connection(&self) -> Arc<RustConnection> {
        Arc::clone(&self.shared.connection)
    }

    /// A source for one of the monitors. It follows the monitor of that name through changes of the layout.
    pub fn source(&self, monitor: &Monitor) -> X11Source {
        X11Source::new(Arc::clone(&self.shared), monitor)
    }

    /// How pictures are fetched. Shared memory that the server refuses turns into [`Fetch::Plain`] at the first picture.
    pub fn fetch(&self) -> Fetch {
        self.shared.fetch()
    }

    /// Bytes of pixels asked of the server so far, by all sources.
    pub fn bytes_fetched(&self) -> u64 {
        self.shared.fetched.load(Ordering::Relaxed)
    }

    /// Has (or has no more) [`X11Event::Cursor`] sent when the pointer's shape changes. Off at first.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn watch_cursor(&self, watch: bool) -> Result<(), X11Error> {
        let mask = if watch { CursorNotifyMask::DISPLAY_CURSOR } else { CursorNotifyMask::from(0u8) };
        xfixes::select_cursor_input(&*self.shared.connection, self.shared.root, mask)?;
        Ok(self.shared.connection.flush()?)
    }

    /// The pointer's shape now, as far as the server tells it. One round trip.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn cursor(&self) -> Result<Option<Arc<CursorImage>>, X11Error> {
        self.shared.cursor()
    }

    /// Where the pointer is on the screen; none when it is on another one. One round trip.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn pointer(&self) -> Result<Option<Point>, X11Error> {
        let at = xproto::query_pointer(&*self.shared.connection, self.shared.root)?.reply()?;
        let side = |v: i16| u16::try_from(v).unwrap_or(0);
        Ok(at.same_screen.then(|| Point::new(side(at.root_x), side(at.root_y))))
    }
}

impl Drop for X11Display {
    fn drop(&mut self) {
        self.shared.close();
    }
}
