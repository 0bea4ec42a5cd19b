//! The portal's backend against a headless mutter with the real portal, judged by programs that are not ours.

#![cfg(feature = "portal")]

mod clipboard;
mod ei;
mod eis;
mod fake;
mod input;
mod pictures;
mod sandboxed;
mod states;

use std::sync::Arc;
use std::time::{Duration, Instant};

use farpane_engine::capture::{Doorbell, Source, SourceEvent};
use farpane_engine::geometry::Size;
use farpane_server::backend::discover::Environment;
use farpane_server::backend::{Backend, BackendEvent, Layout, OpenError, OutputId, SourceSpec, open};
use farpane_server::helper::InProcess;
use farpane_server::input::{KeyInput, PointerInput};
use farpane_test_support::desktop::Desktop;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// mutter paints slowly without a GPU.
const PATIENCE: Duration = Duration::from_secs(60);

fn environment(desktop: &Desktop) -> Environment {
    let mut env = Environment::new(rustix::process::getuid().as_raw(), Arc::new(InProcess));
    env.runtime_dir = Some(desktop.dir());
    env.session_bus = desktop.get("DBUS_SESSION_BUS_ADDRESS").map(str::to_owned);
    env.wayland_display = desktop.get("WAYLAND_DISPLAY").map(str::to_owned);
    env.state = Some(desktop.dir().join("state"));
    env
}

/// An opened desktop and what it said.
struct Desk {
    // ends before the desktop
    backend: Arc<dyn Backend>,
    events: UnboundedReceiver<BackendEvent>,
    sources: Vec<(OutputId, Box<dyn Source>)>,
    layout: Layout,
    desktop: Desktop,
}

impl Desk {
    /// Opens a mutter's portal with these monitors.
    fn start(monitors: &[&str]) -> Option<Self> {
        Self::start_kind("mutter", monitors)
    }

    /// Opens the portal of another kind of desktop.
    fn start_kind(kind: &str, monitors: &[&str]) -> Option<Self> {
        let arguments: Vec<&str> = monitors.iter().flat_map(|m| ["--monitor", m]).collect();
        let desktop = Desktop::start(kind, &arguments)?;
        Some(Self::open(desktop).map_err(|(error, _)| error).expect("opens"))
    }

    fn open(desktop: Desktop) -> Result<Self, (OpenError, Box<Desktop>)> {
        let env = environment(&desktop);
        Self::open_in(desktop, &env)
    }

    fn open_in(desktop: Desktop, env: &Environment) -> Result<Self, (OpenError, Box<Desktop>)> {
        let (send, events) = unbounded_channel();
        match open(&SourceSpec::Portal, env, send) {
            Ok(backend) => {
                let mut desk = Self { backend, events, sources: Vec::new(), layout: Layout::default(), desktop };
                desk.wait("a layout", |e| matches!(e, BackendEvent::LayoutChanged(_)).then_some(()));
                Ok(desk)
            }
            Err(error) => Err((error, Box::new(desktop))),
        }
    }

    /// Waits for an event; sources and layouts that come before are kept.
    fn wait<T>(&mut self, what: &str, mut want: impl FnMut(&BackendEvent) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let Ok(event) = self.events.try_recv() else {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            };
            let found = want(&event);
            match event {
                BackendEvent::OutputAdded(id, source) => self.sources.push((id, source)),
                BackendEvent::OutputRemoved(id) => self.sources.retain(|(known, _)| *known != id),
                BackendEvent::LayoutChanged(layout) => self.layout = layout,
                _ => {}
            }
            if let Some(found) = found {
                return found;
            }
        }
        panic!("no event: {what}");
    }

    fn sizes(&self) -> Vec<Size> {
        self.layout.outputs.iter().map(|o| o.rect.size()).collect()
    }

    fn key(&self, down: bool, keysym: u32, scancode: Option<u32>) {
        self.backend.input().expect("takes input").key(KeyInput { down, keysym, scancode });
    }

    fn tap(&self, keysym: u32) {
        self.key(true, keysym, None);
        self.key(false, keysym, None);
    }

    fn point(&self, x: u16, y: u16, buttons: u16) {
        self.backend.input().expect("takes input").pointer(PointerInput { x, y, buttons });
    }

    /// Takes a source's pictures until one is what is waited for.
    fn picture(&mut self, i: usize, what: &str, mut is: impl FnMut(&farpane_engine::frame::Frame) -> bool) {
        let (_, source) = &mut self.sources[i];
        let bell = Doorbell::new();
        source.start(Arc::clone(&bell)).expect("starts");
        let end = Instant::now() + PATIENCE;
        let mut others = Vec::new();
        loop {
            match source.take(Instant::now()) {
                Some(SourceEvent::Frame(frame)) if is(&frame) => break,
                Some(SourceEvent::Frame(frame)) => others.push(frame.size),
                Some(SourceEvent::Lost(error)) => panic!("{what}: {error}"),
                Some(SourceEvent::Resized(_)) => {}
                None => {
                    assert!(Instant::now() < end, "no picture {what}, but {others:?}");
                    bell.wait(Some(Instant::now() + Duration::from_millis(100)));
                }
            }
        }
        source.stop();
    }
}

/// Asks until something is so.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
