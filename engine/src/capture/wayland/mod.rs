//! Capture from a Wayland compositor that shows its outputs: ext-image-copy-capture-v1, else wlr-screencopy v3.
//!
//! One [`WaylandDisplay`] owns one connection and the thread that reads its events; it hands out a [`WaylandSource`] for each output. A
//! source asks for the next picture when some client wants one, and the compositor answers when something changed, and never by a
//! clock: a desktop that stands still makes no event, and one that changes faster than clients can take makes no picture in vain.
//!
//! The compositor writes into memory that we made, sealed and mapped once, or into dma-bufs of the device that takes the pictures (`dma_buf`);
//! frames show it where it lies, and another buffer is made only while one is held.
//! The only copy of ours is that of outputs which are turned (`turn`), and of the part that changed.
//!
//! INVARIANT: a hint holds what changed since the frame that was handed out before. Compositors tell what changed since the picture before;
//! where one of these was not handed out, the next frame says [`Hint::Everything`](crate::frame::Hint::Everything).
//! Tested against private compositors (`tests/desktop_wayland`), and against one of the tests' own that tells lies.

mod connect;
mod dma_buf;
mod form;
mod grab;
mod image_copy;
mod outputs;
mod pointer;
mod reader;
mod screencopy;
mod shared;
mod source;
mod turn;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use connect::{connect_over, offers};
pub use source::WaylandSource;
pub use wayland_client::Connection;

use crate::frame::{CursorImage, DmaBufs};
use crate::geometry::Size;

/// An output of the compositor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// The compositor's number for it, never used twice.
    pub id: u32,
    /// Its name, `DP-1`.
    pub name: String,
    /// Its picture's size in its own pixels, the way it is looked at.
    pub size: Size,
    /// How the hardware's picture is turned against that, as `wl_output.transform` says.
    pub transform: u32,
    /// Its place in the compositor's own coordinates, which scale divides.
    pub logical: Logical,
}

/// A place in a compositor's own coordinates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logical {
    /// Left edge.
    pub x: i32,
    /// Top edge.
    pub y: i32,
    /// Width.
    pub w: i32,
    /// Height.
    pub h: i32,
}

/// What happens on a display besides pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaylandEvent {
    /// Outputs came, went, moved, turned or changed their size; the sources of those that stay follow by themselves.
    Layout(Vec<Monitor>),
    /// The pointer has another shape; 0x0 when it is hidden or painted into the pictures.
    Cursor(Arc<CursorImage>),
    /// The pointer is there, in the upright pixels of an output; it may be over an edge.
    Pointer {
        /// The compositor's number for the output.
        monitor: u32,
        /// From its left edge.
        x: i32,
        /// From its top edge.
        y: i32,
    },
    /// The connection is gone, for good; why.
    Lost(String),
}

/// How pictures are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// ext-image-copy-capture-v1 with ext-image-capture-source-v1.
    ImageCopy,
    /// wlr-screencopy-unstable-v1 from version 3 on.
    Screencopy,
}

impl Route {
    /// The name of its protocol.
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::ImageCopy => "ext-image-copy-capture-v1",
            Self::Screencopy => "wlr-screencopy-unstable-v1",
        }
    }
}

/// What a compositor offers: the version of each interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// Versions by interface, as in `wl_output`.
    pub interfaces: BTreeMap<String, u32>,
}

/// Interfaces that every route needs.
const BASE: [(&str, u32); 2] = [("wl_shm", 1), ("wl_output", 2)];
/// What ext-image-copy-capture is made of.
const IMAGE_COPY: [(&str, u32); 2] =
    [("ext_image_copy_capture_manager_v1", 1), ("ext_output_image_capture_source_manager_v1", 1)];
/// wlr-screencopy, from the version on that tells of damage and of every kind of buffer.
const SCREENCOPY: (&str, u32) = ("zwlr_screencopy_manager_v1", 3);

impl Offers {
    /// The version of an interface; 0 where it is not offered.
    pub fn version(&self, interface: &str) -> u32 {
        self.interfaces.get(interface).copied().unwrap_or(0)
    }

    /// The best way to its pictures.
    ///
    /// # Errors
    /// When there is none; the text names what is missing.
    pub fn route(&self) -> Result<Route, WaylandError> {
        let has = |(interface, least): &(&str, u32)| self.version(interface) >= *least;
        if let Some((interface, least)) = BASE.iter().find(|base| !has(base)) {
            return Err(WaylandError::Missing(format!("{interface} {least}")));
        }
        if IMAGE_COPY.iter().all(has) {
            return Ok(Route::ImageCopy);
        }
        if has(&SCREENCOPY) {
            return Ok(Route::Screencopy);
        }
        let version = self.version(SCREENCOPY.0);
        Err(if version > 0 { WaylandError::Old(version) } else { WaylandError::NoCapture })
    }
}

/// Why a compositor cannot be captured.
#[derive(Debug, thiserror::Error)]
pub enum WaylandError {
    /// The socket is no compositor's, or the compositor went.
    #[error("Wayland compositor: {0}")]
    Gone(String),
    /// The compositor took the connection and says nothing.
    #[error("the Wayland compositor does not answer within {} s", .0.as_secs())]
    Silent(std::time::Duration),
    /// An interface is missing that every route needs.
    #[error("the Wayland compositor has no {0} or newer")]
    Missing(String),
    /// The protocol is there in a version that does not tell of damage.
    #[error("the Wayland compositor has zwlr_screencopy_manager_v1 in version {0} (expected 3 or newer)")]
    Old(u32),
    /// It shows its outputs to nobody.
    #[error("the Wayland compositor has neither ext-image-copy-capture-v1 nor wlr-screencopy-unstable-v1")]
    NoCapture,
    /// The system refused.
    #[error("{what}: {source}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// Its error.
        source: std::io::Error,
    },
}

/// An open display. Dropping it ends its thread; sources that are left say that the desktop is gone.
#[derive(Debug)]
pub struct WaylandDisplay {
    shared: Arc<shared::Shared>,
}

impl WaylandDisplay {
    /// Takes over a connection: finds the best route, learns the outputs and starts the thread that reads events, which calls `events`.
    /// Where a device makes dma-bufs, the compositor draws into these; else, and where that fails, into shared memory.
    ///
    /// # Errors
    /// When the compositor lacks a protocol or does not answer; the text says which.
    pub fn new(
        connection: Connection,
        dma_bufs: DmaBufs,
        events: Box<dyn Fn(WaylandEvent) + Send>,
    ) -> Result<Self, WaylandError> {
        let (queue, reader) = reader::open(connection, dma_bufs, events)?;
        let shared = Arc::clone(&reader.shared);
        std::thread::Builder::new()
            .name("wayland-reader".to_owned())
            .spawn(move || reader.run(queue))
            .map_err(|source| WaylandError::System { what: "a thread for the compositor's events", source })?;
        Ok(Self { shared })
    }

    /// The outputs, in the order in which the compositor made them.
    pub fn monitors(&self) -> Vec<Monitor> {
        self.shared.state().monitors.clone()
    }

    /// How pictures are asked for.
    pub fn route(&self) -> Route {
        self.shared.route.name()
    }

    /// A source for one of the outputs. It follows that output through changes and ends with it.
    pub fn source(&self, monitor: &Monitor) -> WaylandSource {
        WaylandSource::new(Arc::clone(&self.shared), monitor)
    }

    /// Has (or has no more) [`WaylandEvent::Cursor`] and [`WaylandEvent::Pointer`] told. Off at first.
    pub fn watch_cursor(&self, watch: bool) {
        self.shared.pointer().watch(&self.shared, watch);
    }

    /// Whether the pointer's shape comes apart from the pictures; else it is painted into them.
    pub fn pointer_apart(&self) -> bool {
        self.shared.apart.load(Ordering::Relaxed)
    }

    /// Pictures that the compositor wrote for us so far, on all outputs.
    pub fn pictures(&self) -> u64 {
        self.shared.pictures.load(Ordering::Relaxed)
    }
}

impl Drop for WaylandDisplay {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(list: &[(&str, u32)]) -> Offers {
        Offers { interfaces: list.iter().map(|(name, version)| ((*name).to_owned(), *version)).collect() }
    }

    #[test]
    fn the_best_route_is_taken_and_what_is_missing_is_named() {
        let all = [&BASE[..], &IMAGE_COPY, &[SCREENCOPY]].concat();
        assert_eq!(offers(&all).route().ok(), Some(Route::ImageCopy));
        let without_source = [&BASE[..], &IMAGE_COPY[..1], &[SCREENCOPY]].concat();
        assert_eq!(offers(&without_source).route().ok(), Some(Route::Screencopy));
        let said = |list: &[(&str, u32)]| offers(list).route().expect_err("not enough").to_string();
        assert!(said(&[&BASE[..], &[(SCREENCOPY.0, 2)]].concat()).contains("in version 2 (expected 3 or newer)"));
        assert!(said(&BASE).contains("neither"));
        assert!(said(&all[1..]).contains("wl_shm 1"));
    }
}
