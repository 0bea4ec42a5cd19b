//! A Wayland desktop by its portal: what GNOME and KDE give to programs that the person at the desktop lets in.
//!
//! One thread with a runtime of its own speaks to the portal (`desk`); pictures come over a PipeWire connection that the portal
//! hands out; texts go both ways where the portal has a clipboard and the person allows it. Both sockets, and the file that the restore
//! token is kept in, come from the opener, so a shut-in server finds a desktop again that went and came back. When the person stops the
//! sharing it stays stopped: nobody is asked twice.
//! Tested against a headless mutter with the real portal, and a portal of the test's own that answers nonsense
//! (`tests/desktop_portal`).

mod bus;
mod clipboard;
mod desk;
mod ei;
mod input;
mod layout;
mod live;
mod queue;
mod session;
mod token;
mod way;

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farpane_engine::frame::DmaBufs;

pub use bus::address;
pub use session::{Abilities, probe};

use clipboard::Selections;
use desk::Desk;
use queue::{Command, Queue};

use super::{Backend, Events, Layout, ResizeAnswer};
use crate::clipboard::{Clipboard, ClipboardOptions};
use crate::helper::{OpenRequest, Opener};
use crate::input::{InputSink, KeyInput, PointerInput};

/// How long a client's wish for another size may take.
const RESIZE: Duration = Duration::from_secs(7);

/// The portal of a session, and where its restore token is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The session bus' socket; `@` before a name without a file.
    pub bus: PathBuf,
    /// The file for the restore token; none where there is no place for one.
    pub token: Option<PathBuf>,
}

impl Target {
    /// Everything that the backend asks its opener for.
    pub fn requests(&self) -> Vec<OpenRequest> {
        let token = self.token.clone().map(OpenRequest::State);
        std::iter::once(OpenRequest::Bus(self.bus.clone())).chain(token).collect()
    }
}

/// Why a desktop cannot be shared through its portal.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    /// Nobody listens, or lets us in.
    #[error("no session bus at {bus}: {reason}; run farpane in the session, or set DBUS_SESSION_BUS_ADDRESS")]
    NoBus {
        /// The bus' socket.
        bus: String,
        /// Why.
        reason: String,
    },
    /// There is no portal, or it does not do what is needed.
    #[error(
        "no desktop portal that shares screens: {0}; install xdg-desktop-portal and the part of it for this desktop"
    )]
    NoPortal(String),
    /// The person at the desktop said no.
    #[error("the person at the desktop refused to share it; start farpane again and allow it in the dialog")]
    Denied,
    /// The portal gave up.
    #[error("the desktop portal ended {method} with {code}: the compositor may not let itself be shared, see its log")]
    Failed {
        /// What was asked.
        method: &'static str,
        /// The portal's number.
        code: u32,
    },
    /// Nobody answered.
    #[error("the desktop portal did not finish {method} within {seconds} s; is somebody there to answer its dialog?")]
    Late {
        /// What was asked.
        method: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// What it answers cannot be.
    #[error("the desktop portal answers nonsense to {0}: {1}")]
    Nonsense(String, String),
    /// It is gone.
    #[error("the desktop portal is gone: {0}")]
    Lost(String),
    /// Pictures cannot be had.
    #[error(transparent)]
    PipeWire(#[from] farpane_engine::capture::pipewire::PipeWireError),
    /// The system refused something.
    #[error("no resources for the portal: {0}")]
    System(#[from] std::io::Error),
}

impl PortalError {
    /// A call that was refused.
    fn call(method: &str, error: &zbus::Error) -> Self {
        match error {
            zbus::Error::MethodError(name, text, _)
                if name.as_str().ends_with("ServiceUnknown") || name.as_str().ends_with("UnknownMethod") =>
            {
                Self::NoPortal(text.clone().unwrap_or_else(|| name.to_string()).replace('\n', " "))
            }
            zbus::Error::MethodError(name, text, _) => {
                let text = text.clone().unwrap_or_else(|| name.to_string());
                Self::Lost(format!("{method}: {}", text.replace('\n', " ")))
            }
            error => Self::Lost(format!("{method}: {error}")),
        }
    }

    fn nonsense(what: &str, error: &dyn std::fmt::Display) -> Self {
        Self::Nonsense(what.to_owned(), error.to_string().replace('\n', " "))
    }
}

/// A desktop by its portal.
pub struct PortalBackend {
    queue: Arc<Queue>,
    clipboard: Arc<Selections>,
    takes_input: bool,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl PortalBackend {
    /// Asks the portal, which may ask the person at the desktop, and waits for the outcome.
    ///
    /// # Errors
    /// When there is no portal, it refuses or nobody answers; later losses are events.
    pub fn open(
        target: Target,
        dma_bufs: DmaBufs,
        opener: Arc<dyn Opener>,
        options: ClipboardOptions,
        events: Events,
    ) -> Result<Self, PortalError> {
        let queue = Arc::new(Queue::default());
        let clipboard = Arc::new(Selections::new(options, events.clone()));
        let (tell, told) = sync_channel(1);
        let desk = Desk::new(target, dma_bufs, opener, events, Arc::clone(&queue), Arc::clone(&clipboard))?;
        let thread = std::thread::Builder::new().name("portal".into()).spawn(move || desk.run(&tell))?;
        let ended = || PortalError::Lost("its thread ended".into());
        let takes_input = told.recv().map_err(|_| ended())??;
        Ok(Self { queue, clipboard, takes_input, thread: Mutex::new(Some(thread)) })
    }
}

impl Backend for PortalBackend {
    fn name(&self) -> String {
        "portal".into()
    }

    fn input(&self) -> Option<Arc<dyn InputSink>> {
        self.takes_input.then(|| Arc::new(Hands(Arc::clone(&self.queue))) as Arc<dyn InputSink>)
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        self.clipboard.is_enabled().then(|| Arc::clone(&self.clipboard) as Arc<dyn Clipboard>)
    }

    fn resize(&self, layout: &Layout) -> ResizeAnswer {
        let (tell, told) = sync_channel(1);
        self.queue.push(Command::Resize(layout.clone(), tell));
        told.recv_timeout(RESIZE).unwrap_or(ResizeAnswer::OutOfResources)
    }

    /// Streams stop by themselves when nobody takes their pictures.
    fn watch(&self, watched: bool) {
        self.clipboard.watch(watched);
    }
}

impl Drop for PortalBackend {
    fn drop(&mut self) {
        self.queue.push(Command::End);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

/// Hands input to the thread.
struct Hands(Arc<Queue>);

impl InputSink for Hands {
    fn key(&self, key: KeyInput) {
        self.0.push(Command::Key(key));
    }

    fn pointer(&self, pointer: PointerInput) {
        self.0.push(Command::Pointer(pointer));
    }
}
