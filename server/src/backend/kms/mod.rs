//! Screens of graphics cards as a desktop: whatever shows there, a console, a login screen and a locked one too.
//!
//! `farpane kms-helper`, which has the rights, finds the screens and tells what each shows ([`helper::kms`](crate::helper::kms)); this end reads pictures where they
//! lie and sends what is typed. One thread reads what the helper tells. When the helper goes, so do the pictures; it is asked for again each half
//! second, and what was watched is watched again.

mod desk;
mod hotspot;
pub mod input;
mod keyboard;
pub mod layout;
mod line;
mod probe;

pub use probe::{cards, details};

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use desk::Desk;
use farpane_engine::capture::drm::Screen;
use farpane_engine::geometry::Size;
use input::Input;
use line::Line;

use super::{Backend, Events, KmsTarget, Layout, ResizeAnswer};
use crate::clipboard::Clipboard;
use crate::helper::uinput::DeviceEvent;
use crate::helper::wire::{Receiver, ends};
use crate::helper::{OpenRequest, Opener, OpenerError, kms};
use crate::input::InputSink;
use crate::input::xkb::XkbMap;

/// How long the helper may take to tell which screens there are.
const FIRST: Duration = Duration::from_secs(5);
/// Between two tries to reach it again.
const AGAIN: Duration = Duration::from_millis(500);

/// The helper, and what of the screens is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The helper's socket.
    pub socket: PathBuf,
    /// One screen; none for all.
    pub screen: Option<KmsTarget>,
    /// The keyboard that the desktop is taken to have.
    pub keyboard: Arc<XkbMap>,
}

/// Why no screen can be shared.
#[derive(Debug, thiserror::Error)]
pub enum KmsOpenError {
    /// The helper is not there.
    #[error("no helper at {0}; as root: farpane kms-helper --allow USER")]
    Helper(OpenerError),
    /// It went, or does not let us in.
    #[error("the helper at {socket} tells nothing: {1}; is user {2} among those of its --allow?", socket = .0.display())]
    Silent(PathBuf, String, u32),
    /// Nothing is lit.
    #[error("no screen is lit: no card has a mode set; see farpane probe")]
    Dark,
    /// The one that was named is not there.
    #[error("no screen {wanted}; there are: {there}")]
    Unknown {
        /// Which was named.
        wanted: String,
        /// Those that are there.
        there: String,
    },
    /// The keyboard's layout cannot be had.
    #[error(transparent)]
    Layout(#[from] layout::LayoutError),
    /// The system refused a thread.
    #[error("no resources for the screens: {0}")]
    System(#[from] std::io::Error),
}

/// The screens as a desktop.
pub struct KmsBackend {
    line: Arc<Line>,
    input: Arc<Input>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl KmsBackend {
    /// Connects to the helper; the first events tell the screens.
    ///
    /// # Errors
    /// When it is not there, or there is nothing to show.
    pub fn open(target: Target, opener: Arc<dyn Opener>, events: Events) -> Result<Self, KmsOpenError> {
        let line = Arc::new(Line::default());
        let (told, notes) = reach(&target.socket, &*opener, &line)?;
        let asks = Arc::clone(&line);
        let deliver = move |batch: &[DeviceEvent]| asks.input(batch);
        let map = XkbMap::clone(&target.keyboard);
        let input = Arc::new(Input::new(map, Size::default(), Box::new(deliver), events.clone()));
        let mut desk = Desk::new(target, Arc::clone(&line), Arc::clone(&input), events);
        desk.screens(notes)?;
        let thread = std::thread::Builder::new().name("kms-watch".into()).spawn(move || desk.run(told, &*opener))?;
        Ok(Self { line, input, thread: Mutex::new(Some(thread)) })
    }
}

/// Connects, and waits for the screens.
fn reach(path: &Path, opener: &dyn Opener, line: &Line) -> Result<(Receiver, Vec<kms::ScreenNote>), KmsOpenError> {
    let request = OpenRequest::KmsHelper(path.to_owned());
    let socket = opener.open(&request).map_err(KmsOpenError::Helper)?;
    let (sender, mut receiver) = ends(socket.into());
    line.set(Some(sender));
    let us = rustix::process::geteuid().as_raw();
    let silent = |why: String| KmsOpenError::Silent(path.to_owned(), why, us);
    match receiver.receive::<kms::Told>(Some(FIRST)) {
        Ok((kms::Told::Screens(notes), _)) => Ok((receiver, notes)),
        Ok(_) => Err(silent("it begins with something else".into())),
        Err(error) => Err(silent(error.to_string())),
    }
}

/// What the screens are called, each with its size and driver: for who lists what can be shared.
///
/// # Errors
/// When the helper is not there.
pub fn look(socket: &Path, opener: &dyn Opener) -> Result<Vec<Screen>, KmsOpenError> {
    let line = Line::default();
    let (_, notes) = reach(socket, opener, &line)?;
    Ok(notes.into_iter().map(kms::ScreenNote::screen).collect())
}

impl Backend for KmsBackend {
    fn name(&self) -> String {
        "kms".into()
    }

    fn input(&self) -> Option<Arc<dyn InputSink>> {
        Some(Arc::clone(&self.input) as Arc<dyn InputSink>)
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        None
    }

    fn resize(&self, _layout: &Layout) -> ResizeAnswer {
        ResizeAnswer::Prohibited
    }

    fn watch(&self, watched: bool) {
        self.line.watch(watched);
    }
}

impl Drop for KmsBackend {
    fn drop(&mut self) {
        self.line.end();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // a panic there was told already
            let _ = thread.join();
        }
    }
}
