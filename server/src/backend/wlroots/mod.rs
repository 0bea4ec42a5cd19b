//! A Wayland desktop by the wlroots family's own protocols: outputs from the engine's capture.
//!
//! Pictures have a connection of their own; what else the desktop gives gets its own through [`Target::connect`], so that nothing waits
//! for pictures. When the compositor goes, [`BackendEvent::Lost`](crate::backend::BackendEvent::Lost) is told once and the
//! watching thread tries again, at most a second apart, until it can tell `Back` with fresh outputs.
//! Tested against private compositors in `tests/desktop_wayland.rs`.

mod connect;
mod layout;
mod probe;
mod watch;

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

pub use connect::{ConnectError, Target};
pub use probe::details;
use watch::{Command, Desk};

use super::{Backend, Events, Layout, ResizeAnswer};
use crate::clipboard::Clipboard;
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
    /// The system refused a thread.
    #[error("no resources for the Wayland backend: {0}")]
    System(#[from] std::io::Error),
}

/// A compositor's desktop.
pub struct WlrootsBackend {
    name: String,
    commands: Sender<Command>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl WlrootsBackend {
    /// Connects, and starts following the compositor; the first events tell its outputs.
    ///
    /// # Errors
    /// When the compositor cannot be reached or captured; later losses are events.
    pub fn open(target: Target, opener: Arc<dyn Opener>, events: Events) -> Result<Self, WlrootsOpenError> {
        let (commands, inbox) = channel();
        let name = format!("wlroots {}", target.name);
        let mut desk = Desk::new(target, opener, events, commands.clone(), inbox);
        let first = desk.open()?;
        let thread = std::thread::Builder::new().name("wayland-watch".into()).spawn(move || desk.run(first))?;
        Ok(Self { name, commands, thread: Mutex::new(Some(thread)) })
    }
}

impl Backend for WlrootsBackend {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn input(&self) -> Option<Arc<dyn InputSink>> {
        None
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        None
    }

    fn resize(&self, _layout: &Layout) -> ResizeAnswer {
        ResizeAnswer::Prohibited
    }

    /// Sources that nobody watches ask for nothing by themselves; beside them there is the pointer.
    fn watch(&self, watched: bool) {
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
