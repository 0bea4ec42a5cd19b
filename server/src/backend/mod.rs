//! One opened desktop: its outputs, input, clipboard and layout, all on one connection.

pub mod discover;
#[cfg(feature = "kms")]
pub mod kms;
pub mod lights;
pub mod mixed;
pub mod on_demand;
mod open;
#[cfg(feature = "pipewire")]
pub mod pipewire;
#[cfg(feature = "portal")]
pub mod portal;
pub mod replay;
pub mod side_car;
mod source;
mod sources;
pub mod synthetic;
#[cfg(any(feature = "x11", feature = "wayland"))]
mod wish;
#[cfg(feature = "wayland")]
pub mod wlroots;
#[cfg(feature = "x11")]
pub mod x11;

use std::sync::Arc;

use farpane_engine::capture::Source;
use farpane_engine::frame::CursorImage;
use farpane_engine::geometry::{Point, Rect, Size};

use crate::clipboard::Clipboard;
use crate::input::InputSink;

pub use open::{Found, OpenError, find, find_all, open};
pub use source::{KmsTarget, SourceParseError, SourceSpec, SyntheticSpec};
pub use sources::{Arrange, MOST_SOURCES, Sources, SourcesError};

/// Names an output of a backend for as long as the backend lives; also the RFB screen id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutputId(pub u32);

/// One monitor in a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutOutput {
    /// Which.
    pub id: OutputId,
    /// The name users know it by.
    pub name: String,
    /// Its place on the canvas.
    pub rect: Rect,
}

/// All monitors on one canvas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Size of the canvas.
    pub size: Size,
    /// Monitors, by id; their rectangles lie inside the canvas.
    pub outputs: Vec<LayoutOutput>,
}

/// What happens on a desktop.
pub enum BackendEvent {
    /// A monitor appeared, with its source. A [`BackendEvent::LayoutChanged`] follows.
    OutputAdded(OutputId, Box<dyn Source>),
    /// A monitor went. A [`BackendEvent::LayoutChanged`] follows.
    OutputRemoved(OutputId),
    /// Monitors moved, changed size, came or went: one event for each change as a whole.
    LayoutChanged(Layout),
    /// The pointer has another shape.
    Cursor(Arc<CursorImage>),
    /// The pointer is elsewhere (canvas pixels), whoever moved it.
    PointerMoved(Point),
    /// Text was copied on the desktop.
    Clipboard(Arc<str>),
    /// Lock keys: bit 0 scroll, 1 num, 2 caps, as the RFB LED state has them.
    Leds(u8),
    /// The bell rang.
    Bell,
    /// The desktop is gone; why. The backend keeps trying to reach it.
    Lost(String),
    /// It is back.
    Back,
    /// What became of a desktop on demand.
    OnDemand(Came),
}

/// What became of a desktop that is started on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// It is there.
    Up,
    /// It did not come up, and why. It can be asked for again.
    NotUp(String),
    /// It has ended, with its outputs and all that it said. It can be asked for again.
    Ended,
}

/// What starts a desktop on demand.
pub trait OnDemand: Send + Sync {
    /// Whether the desktop is there.
    fn is_up(&self) -> bool;
    /// Has it started if it is not, and is not on its way; [`BackendEvent::OnDemand`] tells what came of it. Does not wait.
    fn wake(&self);
}

/// How a desktop answers a wish for another layout (the status of ExtendedDesktopSize).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeAnswer {
    /// Done; a [`BackendEvent::LayoutChanged`] tells the result.
    Done,
    /// Status 1: this desktop does not let clients change it.
    Prohibited,
    /// Status 2: too large or out of memory.
    OutOfResources,
    /// Status 3: overlapping or outside its canvas.
    InvalidLayout,
}

/// An opened desktop.
///
/// Events come through the channel handed to the backend when it was opened; the first ones tell the outputs
/// (`OutputAdded` for each, then `LayoutChanged`), the pointer's shape and the lock keys.
pub trait Backend: Send + Sync {
    /// What this is, for the log and the desktop's name: `x11 :0`, `synthetic 3840x2160`.
    fn name(&self) -> String;
    /// Where input goes; none when the desktop takes none.
    fn input(&self) -> Option<Arc<dyn InputSink>>;
    /// The clipboard; none when the desktop has none.
    fn clipboard(&self) -> Option<Arc<dyn Clipboard>>;
    /// Asks for another canvas and monitors (ids, places). May take a moment: call it off the network threads.
    fn resize(&self, layout: &Layout) -> ResizeAnswer;
    /// Somebody is (or nobody is any more) connected: with nobody, the backend asks the desktop for no pointer, clipboard or
    /// damage events.
    fn watch(&self, watched: bool);
    /// What starts the desktop; none for one that need not be started.
    fn on_demand(&self) -> Option<&dyn OnDemand> {
        None
    }
}

/// The channel on which a backend tells what happens.
pub type Events = tokio::sync::mpsc::UnboundedSender<BackendEvent>;
