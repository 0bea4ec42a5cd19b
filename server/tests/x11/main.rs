//! The X11 backend against private X servers, judged by programs that are not ours: xev, xclip, xrandr, setxkbmap.

#![cfg(feature = "x11")]

mod clipboard;
mod input;
mod layouts;
mod server;
mod xev;

use std::sync::Arc;
use std::time::{Duration, Instant};

use farpane_engine::geometry::{Rect, Size};
use farpane_server::backend::discover::Environment;
use farpane_server::backend::{Backend, BackendEvent, Layout, LayoutOutput, OutputId, SourceSpec, open};
use farpane_server::helper::InProcess;
use farpane_server::input::{KeyInput, PointerInput};
use farpane_test_support::xvfb::{Xvfb, skip};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const PATIENCE: Duration = Duration::from_secs(20);

/// An opened desktop and what it said.
struct Desk {
    backend: Arc<dyn Backend>,
    events: UnboundedReceiver<BackendEvent>,
    server: Xvfb,
}

fn environment(server: &Xvfb) -> Environment {
    let mut env = Environment::new(rustix::process::getuid().as_raw(), Arc::new(InProcess));
    env.display = Some(server.display.clone());
    env
}

impl Desk {
    fn open(screen: &str) -> Option<Self> {
        Self::open_with(screen, false)
    }

    fn open_with(screen: &str, primary: bool) -> Option<Self> {
        let server = Xvfb::start(screen)?;
        let (send, events) = unbounded_channel();
        let spec = SourceSpec::X11(Some(server.display.clone()));
        let mut env = environment(&server);
        env.clipboard.primary = primary;
        let backend = open(&spec, &env, send).expect("opens");
        Some(Self { backend, events, server })
    }

    /// A watched desktop, its first events taken out.
    fn watched(screen: &str) -> Option<Self> {
        Self::open(screen)?.watch()
    }

    fn watch(mut self) -> Option<Self> {
        let desk = &mut self;
        desk.wait("lock keys", |e| matches!(e, BackendEvent::Leds(_)).then_some(()));
        desk.backend.watch(true);
        desk.wait("the pointer's place", |e| matches!(e, BackendEvent::PointerMoved(_)).then_some(()));
        Some(self)
    }

    /// Waits for an event; others before it are dropped.
    fn wait<T>(&mut self, what: &str, mut want: impl FnMut(BackendEvent) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.events.try_recv() {
                Ok(event) => {
                    if let Some(found) = want(event) {
                        return found;
                    }
                }
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        panic!("no event: {what}");
    }

    fn key(&self, down: bool, keysym: u32) {
        self.backend.input().expect("takes input").key(KeyInput { down, keysym, scancode: None });
    }

    fn tap(&self, keysym: u32) {
        self.key(true, keysym);
        self.key(false, keysym);
    }

    fn point(&self, x: u16, y: u16, buttons: u16) {
        self.backend.input().expect("takes input").pointer(PointerInput { x, y, buttons });
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        match self.server.command(program).args(arguments).status() {
            Ok(status) => {
                assert!(status.success(), "{program} {arguments:?}: {status}");
                true
            }
            Err(error) => {
                skip(&format!("{program}: {error}"));
                false
            }
        }
    }
}

fn sym(ch: char) -> u32 {
    xkeysym::Keysym::from_char(ch).raw()
}

fn wish(size: (u16, u16), rects: &[[u16; 4]]) -> Layout {
    let output = |(i, r): (usize, &[u16; 4])| LayoutOutput {
        id: OutputId(i as u32),
        name: String::new(),
        rect: Rect::new(r[0], r[1], r[2], r[3]),
    };
    Layout { size: Size::new(size.0, size.1), outputs: rects.iter().enumerate().map(output).collect() }
}
