//! A virtual desktop that its supervisor starts when the first client has been let in, and again after it ended.
//!
//! One thread asks the supervisor, waits for its word, opens the desktop as any other and waits for its end. It sleeps in one call all
//! the while. Where the desktop will be is known beforehand, so that the opener's list can be complete before anybody connects.

use std::io::Read;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::{
    Backend, BackendEvent, Came, Events, Found, Layout, OnDemand, OpenError, ResizeAnswer, SourceSpec, Sources,
};
use crate::clipboard::Clipboard;
use crate::helper::{OpenRequest, Opener};
use crate::input::InputSink;

/// The longest line that a supervisor says.
const MOST_SAID: usize = 1024;

/// Where a desktop will be, and who starts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// The supervisor's socket.
    pub door: PathBuf,
    /// The display server's.
    pub display: PathBuf,
    /// An X server's authority file.
    pub authority: PathBuf,
    /// An X server's framebuffer file.
    pub framebuffer: PathBuf,
}

impl Found {
    /// A desktop that is not there yet. Nothing is looked for.
    ///
    /// # Errors
    /// When the source is none that virtual desktops are shown by, or not in this build.
    pub fn on_demand(source: &Sources, at: Awaited) -> Result<Self, OpenError> {
        let [one] = source.all() else {
            let all: Vec<String> = source.all().iter().map(ToString::to_string).collect();
            return Err(OpenError::NotOnDemand(all.join(" and ")));
        };
        let door = at.door.clone();
        let desktop = match one {
            #[cfg(feature = "x11")]
            SourceSpec::X11(_) => Ok(Found::X11(super::x11::Target {
                name: at.display.display().to_string(),
                address: crate::helper::DisplayAddress::Unix(at.display),
                // its cookie fits any
                number: 0,
                screen: 0,
                authority: Some(at.authority),
                framebuffer: Some(at.framebuffer),
            })),
            #[cfg(feature = "wayland")]
            SourceSpec::Wlroots => Ok(Found::Wlroots(super::wlroots::Target {
                name: at.display.display().to_string(),
                socket: at.display,
            })),
            // in a build with both nothing is left
            #[allow(unreachable_patterns)]
            SourceSpec::X11(_) | SourceSpec::Wlroots => Err(OpenError::NotBuilt(one.clone())),
            other => Err(OpenError::NotOnDemand(other.to_string())),
        };
        Ok(Found::OnDemand(Box::new(desktop?), door))
    }

    /// Whether it is there only once it was asked for.
    pub fn is_on_demand(&self) -> bool {
        matches!(self, Found::OnDemand(..))
    }
}

/// A desktop that comes when it is asked for.
pub struct OnDemandBackend {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    asked: Condvar,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// The connection to the supervisor, while there is one.
    line: Option<Arc<UnixStream>>,
    watched: bool,
    /// The backend is no longer needed.
    over: bool,
}

#[derive(Default)]
enum Phase {
    /// Nobody has asked for it.
    #[default]
    Asleep,
    /// Somebody has.
    Asked,
    Up(Arc<dyn Backend>),
}

impl OnDemandBackend {
    /// Starts the thread. `open` opens the desktop once the supervisor behind `door` has said that it is up.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(
        door: PathBuf,
        opener: Arc<dyn Opener>,
        events: Events,
        open: impl Fn() -> Result<Arc<dyn Backend>, OpenError> + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let asker = Asker { door: OpenRequest::Supervisor(door), opener, events, shared: Arc::clone(&shared), open };
        let thread = std::thread::Builder::new().name("on-demand".into()).spawn(move || asker.run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    fn desktop(&self) -> Option<Arc<dyn Backend>> {
        match &self.shared.lock().phase {
            Phase::Up(desktop) => Some(Arc::clone(desktop)),
            Phase::Asleep | Phase::Asked => None,
        }
    }
}

impl Backend for OnDemandBackend {
    fn name(&self) -> String {
        "desktop on demand".into()
    }

    fn input(&self) -> Option<Arc<dyn InputSink>> {
        self.desktop()?.input()
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        self.desktop()?.clipboard()
    }

    fn resize(&self, layout: &Layout) -> ResizeAnswer {
        self.desktop().map_or(ResizeAnswer::Prohibited, |desktop| desktop.resize(layout))
    }

    fn watch(&self, watched: bool) {
        let mut state = self.shared.lock();
        state.watched = watched;
        if let Phase::Up(desktop) = &state.phase {
            desktop.watch(watched);
        }
    }

    fn on_demand(&self) -> Option<&dyn OnDemand> {
        Some(&*self.shared)
    }
}

impl Drop for OnDemandBackend {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.over = true;
        if let Some(line) = &state.line {
            let _ = line.shutdown(Shutdown::Both);
        }
        drop(state);
        self.shared.asked.notify_all();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl OnDemand for Shared {
    fn is_up(&self) -> bool {
        matches!(self.lock().phase, Phase::Up(_))
    }

    fn wake(&self) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Asleep) {
            state.phase = Phase::Asked;
            self.asked.notify_all();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until somebody asks for the desktop; false when it is no longer needed.
    fn is_asked_for(&self) -> bool {
        let asleep = |state: &mut State| !state.over && matches!(state.phase, Phase::Asleep);
        let state = self.asked.wait_while(self.lock(), asleep).unwrap_or_else(PoisonError::into_inner);
        !state.over
    }

    /// Keeps the line, so that the end of the backend ends it too; false when that has come already.
    fn keeps(&self, line: &Arc<UnixStream>) -> bool {
        let mut state = self.lock();
        state.line = Some(Arc::clone(line));
        !state.over
    }

    fn is_there(&self, desktop: Arc<dyn Backend>) {
        let mut state = self.lock();
        if state.watched {
            desktop.watch(true);
        }
        state.phase = Phase::Up(desktop);
    }

    /// Forgets the desktop, which has said all that it says when this returns.
    fn sleeps(&self) {
        let mut state = self.lock();
        state.line = None;
        // asked for still, so that nobody asks for another one before the threads of this one have ended
        let gone = std::mem::replace(&mut state.phase, Phase::Asked);
        drop(state);
        drop(gone);
        self.lock().phase = Phase::Asleep;
    }
}

/// The thread.
struct Asker<F> {
    door: OpenRequest,
    opener: Arc<dyn Opener>,
    events: Events,
    shared: Arc<Shared>,
    open: F,
}

impl<F: Fn() -> Result<Arc<dyn Backend>, OpenError>> Asker<F> {
    fn run(self) {
        while self.shared.is_asked_for() {
            let came = match self.begin() {
                Ok(line) => {
                    self.tell(Came::Up);
                    wait_for_the_end(&line);
                    Came::Ended
                }
                Err(why) => Came::NotUp(why),
            };
            self.shared.sleeps();
            self.tell(came);
        }
    }

    fn tell(&self, came: Came) {
        let _ = self.events.send(BackendEvent::OnDemand(came));
    }

    /// Has the desktop started, and opens it.
    fn begin(&self) -> Result<Arc<UnixStream>, String> {
        let line = self.opener.open(&self.door).map_err(|error| {
            tracing::warn!(%error, "the desktop's supervisor cannot be reached");
            "its supervisor cannot be reached"
        })?;
        let line = Arc::new(UnixStream::from(line));
        if !self.shared.keeps(&line) {
            return Err("the server ends".into());
        }
        match said(&line) {
            Some(word) if word == "up" => {}
            Some(word) => return Err(word.strip_prefix("not up: ").unwrap_or("it says what is not understood").into()),
            None => return Err("its supervisor is gone".into()),
        }
        let desktop = (self.open)().map_err(|error| {
            tracing::warn!(%error, "the desktop was started and cannot be shared");
            "it cannot be shared"
        })?;
        self.shared.is_there(desktop);
        Ok(line)
    }
}

/// The first line that the supervisor says.
fn said(line: &UnixStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut more = [0; 256];
    while !bytes.contains(&b'\n') && bytes.len() < MOST_SAID {
        match (&*line).read(&mut more) {
            Ok(n @ 1..) => bytes.extend_from_slice(more.get(..n)?),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return None,
        }
    }
    let first = bytes.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(first).into_owned())
}

/// Waits until the supervisor closes the line.
fn wait_for_the_end(line: &UnixStream) {
    let mut waste = [0; 64];
    loop {
        match (&*line).read(&mut waste) {
            Ok(1..) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests;
