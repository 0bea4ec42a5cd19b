//! A desktop of an X server: outputs and pointer shape from the engine's capture, input by XTEST, selections, XKB, RandR.
//!
//! Three connections: the capturing display's, one that the watching thread owns, one that the input thread owns. None
//! waits for another. When the server goes, [`BackendEvent::Lost`](crate::backend::BackendEvent::Lost) is told once and
//! the watching thread tries again, at most a second apart, until it can tell `Back` with fresh outputs.
//! Tested against private Xvfb servers in `tests/x11.rs`.

mod clipboard;
mod connect;
mod input;
mod keyboard;
mod lights;
mod monitors;
mod resize;
mod side_car;
mod watch;
mod xi2;

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use connect::{ConnectError, Target};
use input::XInput;
pub use lights::XLights;
pub use resize::set_size;
use watch::{Command, Desk, Mailbox};

use super::{Backend, Events, Layout, ResizeAnswer};
use crate::clipboard::{Clipboard, ClipboardOptions};
use crate::helper::Opener;
use crate::input::InputSink;

/// How long a client's wish for another size may take.
const RESIZE: Duration = Duration::from_secs(5);

/// Why an X desktop cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum X11OpenError {
    /// The server cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The system refused a thread or a descriptor.
    #[error("no resources for the X11 backend: {0}")]
    System(#[from] std::io::Error),
}

/// An X server's desktop.
pub struct X11Backend {
    name: String,
    mailbox: Arc<Mailbox>,
    input: Arc<XInput>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl X11Backend {
    /// Connects, and starts following the server; the first events tell its outputs.
    ///
    /// # Errors
    /// When the server cannot be reached; later losses are events.
    pub fn open(
        target: Target,
        opener: Arc<dyn Opener>,
        options: ClipboardOptions,
        events: Events,
    ) -> Result<Self, X11OpenError> {
        let first = target.connect(&*opener)?;
        let mailbox = Arc::new(Mailbox::new()?);
        let input = Arc::new(XInput::start(target.clone(), Arc::clone(&opener))?);
        let name = format!("x11 {}", target.name);
        let (box_, hands) = (Arc::clone(&mailbox), Arc::clone(&input));
        let desk = Desk { target, opener, options, events, mailbox: box_, input: hands };
        let thread = std::thread::Builder::new().name("x11-watch".into()).spawn(move || desk.run(first))?;
        Ok(Self { name, mailbox, input, thread: Mutex::new(Some(thread)) })
    }
}

impl Backend for X11Backend {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn input(&self) -> Option<Arc<dyn InputSink>> {
        Some(Arc::clone(&self.input) as Arc<dyn InputSink>)
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        Some(Arc::new(Offers(Arc::clone(&self.mailbox))))
    }

    fn resize(&self, layout: &Layout) -> ResizeAnswer {
        let (tell, told) = sync_channel(1);
        self.mailbox.send(Command::Resize(layout.clone(), tell));
        told.recv_timeout(RESIZE).unwrap_or(ResizeAnswer::OutOfResources)
    }

    fn watch(&self, watched: bool) {
        self.mailbox.send(Command::Watch(watched));
    }
}

impl Drop for X11Backend {
    fn drop(&mut self) {
        self.mailbox.send(Command::End);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

/// Hands texts to the watching thread.
struct Offers(Arc<Mailbox>);

impl Clipboard for Offers {
    fn offer(&self, text: Arc<str>) {
        self.0.send(Command::Offer(text));
    }
}
