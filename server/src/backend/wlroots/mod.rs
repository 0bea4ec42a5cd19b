//! A Wayland desktop by the wlroots family's own protocols: outputs from the engine's capture, a virtual keyboard and pointer, data control,
//! output management.
//!
//! Pictures, input, the clipboard and each change of outputs have a connection of their own: none waits for another, and a compositor that
//! ends one for a request that it does not like leaves the others. When the compositor goes, [`BackendEvent::Lost`](crate::backend::BackendEvent::Lost) is told once and the
//! watching thread tries again, at most a second apart, until it can tell `Back` with fresh outputs.
//! Tested against private compositors in `tests/desktop_wayland.rs`.

mod clipboard;
mod connect;
mod input;
mod keyboard;
mod layout;
mod lights;
mod places;
mod pointer;
mod probe;
mod resize;
mod side_car;
mod watch;
mod wire;

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use farpane_engine::frame::DmaBufs;

use clipboard::Selections;
pub use connect::{ConnectError, Target};
use input::Input;
pub use lights::WaylandLights;
use places::Places;
pub use probe::details;
pub use side_car::SwaySideCar;
use watch::{Command, Desk};

use super::{Backend, Events, Layout, ResizeAnswer};
use crate::clipboard::{Clipboard, ClipboardOptions};
use crate::helper::Opener;
use crate::input::InputSink;

/// Why a Wayland desktop cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum WlrootsOpenError {
    /// There is no Wayland session.
    #[error("no Wayland session found; set WAYLAND_DISPLAY to its compositor's socket")]
    NoSession,
    /// The compositor cannot be reached or captured.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The system refused a thread or a descriptor.
    #[error("no resources for the Wayland backend: {0}")]
    System(#[from] std::io::Error),
}

/// A compositor's desktop.
pub struct WlrootsBackend {
    name: String,
    target: Target,
    opener: Arc<dyn Opener>,
    parts: Parts,
    resizes: bool,
    commands: Sender<Command>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// A compositor, and who opens its socket.
type Reach = (Target, Arc<dyn Opener>);

/// What a desktop has besides pictures; each on a thread of its own.
#[derive(Clone)]
struct Parts {
    places: Arc<Places>,
    input: Option<Arc<Input>>,
    clipboard: Option<Arc<Selections>>,
    dma_bufs: DmaBufs,
}

impl Parts {
    /// The compositor was lost, or is there anew.
    fn reset(&self) {
        self.input.iter().for_each(|input| input.reset());
        self.clipboard.iter().for_each(|clipboard| clipboard.reset());
    }
}

impl WlrootsBackend {
    /// Connects, and starts following the compositor; the first events tell its outputs.
    ///
    /// # Errors
    /// When the compositor cannot be reached or captured; later losses are events.
    pub fn open(
        target: Target,
        opener: Arc<dyn Opener>,
        options: ClipboardOptions,
        dma_bufs: DmaBufs,
        events: Events,
    ) -> Result<Self, WlrootsOpenError> {
        let (commands, inbox) = channel();
        let name = format!("wlroots {}", target.name);
        let offers = target.look(&*opener)?;
        let offered = |list: &[&str]| list.iter().any(|interface| offers.version(interface) > 0);
        let (places, with) = (Arc::new(Places::default()), (target.clone(), Arc::clone(&opener)));
        let input = match offered(&["zwp_virtual_keyboard_manager_v1", "zwlr_virtual_pointer_manager_v1"]) {
            true => Some(Arc::new(Input::start(with.clone(), Arc::clone(&places), events.clone())?)),
            false => None,
        };
        let clipboard = match offered(&["ext_data_control_manager_v1", "zwlr_data_control_manager_v1"]) {
            true => Some(Arc::new(Selections::start(with, options, events.clone())?)),
            false => None,
        };
        let parts = Parts { places, input, clipboard, dma_bufs };
        let mut desk = Desk::new(target.clone(), Arc::clone(&opener), events, commands.clone(), inbox, parts.clone());
        let first = desk.open()?;
        let thread = std::thread::Builder::new().name("wayland-watch".into()).spawn(move || desk.run(first))?;
        let resizes = offered(&["zwlr_output_manager_v1"]);
        Ok(Self { name, target, opener, parts, resizes, commands, thread: Mutex::new(Some(thread)) })
    }
}

impl Backend for WlrootsBackend {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn input(&self) -> Option<Arc<dyn InputSink>> {
        Some(Arc::clone(self.parts.input.as_ref()?) as Arc<dyn InputSink>)
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        Some(Arc::clone(self.parts.clipboard.as_ref()?) as Arc<dyn Clipboard>)
    }

    fn resize(&self, layout: &Layout) -> ResizeAnswer {
        if self.resizes {
            resize::apply(&self.target, &self.opener, &self.parts.places, layout)
        } else {
            ResizeAnswer::Prohibited
        }
    }

    /// Sources that nobody watches ask for nothing by themselves; beside them there is the pointer.
    fn watch(&self, watched: bool) {
        self.parts.clipboard.iter().for_each(|clipboard| clipboard.watch(watched));
        // where nobody receives any more, the thread has ended
        let _ = self.commands.send(Command::Watch(watched));
    }
}

impl Drop for WlrootsBackend {
    fn drop(&mut self) {
        // where nobody receives any more, the thread has ended
        let _ = self.commands.send(Command::End);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}
