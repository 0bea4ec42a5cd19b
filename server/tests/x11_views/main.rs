//! The binary on private X desktops of several monitors: views per listener, pointer coordinates, wishes for other sizes, storms of
//! changes, the X server's end.

#![cfg(feature = "x11")]

mod dummy;
mod mixed;
mod others;
mod pointing;
mod scaled;
mod screen;
mod side_car;
mod storm;
mod wishes;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use farpane_engine::geometry::{Rect, Size};
use farpane_test_support::xvfb::Xvfb;
use farpane_test_support::{Client, Raw, Security, Server};

use screen::Screen;

const BINARY: &str = env!("CARGO_BIN_EXE_farpane");
const PATIENCE: Duration = Duration::from_secs(30);
const W: u16 = 640;
const H: u16 = 240;

/// A desktop of two monitors side by side, and a server with a listener for each and one for both.
struct Desk {
    x: Xvfb,
    server: Server,
    screen: Screen,
    _config: Config,
}

/// A configuration file that goes with the test.
struct Config(std::path::PathBuf);

impl Drop for Config {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listeners without security for these views.
fn views(views: &[&str]) -> String {
    let listener = |view: &&str| format!("[[listener]]\naddress = \"127.0.0.1:0\"\nview = \"{view}\"\n");
    format!("security = \"none\"\n{}", views.iter().map(listener).collect::<String>())
}

/// A server of an X display, configured so, that listens already.
fn serve(display: &str, config: &str) -> (Server, Config) {
    serve_in(&[], &format!("source = \"x11:{display}\"\n{config}"))
}

/// A server that is configured so, in this environment, that listens already.
fn serve_in(environment: &[(&str, &str)], config: &str) -> (Server, Config) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("farpane-views-{}-{}.toml", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let file = Config(std::env::temp_dir().join(name));
    std::fs::write(&file.0, config).expect("a temporary file");
    let path = file.0.to_string_lossy().into_owned();
    let server = Server::spawn_in(BINARY, &["serve", "--config", &path], environment);
    server.wait_for_listeners(config.matches("[[listener]]").count());
    (server, file)
}

fn watching(listener: &str) -> Client {
    let raw = Raw::connect(listener, PATIENCE).expect("a connection");
    let mut client = Client::handshake(raw, "RFB 003.008\n", Security::None, true).expect("let in");
    client.set_encodings(&[16, 1, -239, -223, -307, -308]).expect("sent");
    client.watch().expect("sent");
    client
}

impl Desk {
    fn start() -> Option<Self> {
        let x = Xvfb::start(&format!("{W}x{H}"))?;
        for (monitor, place, output) in
            [("left", "320/100x240/80+0+0", "screen"), ("right", "320/100x240/80+320+0", "none")]
        {
            let done = x.command("xrandr").args(["--setmonitor", monitor, place, output]).status();
            assert!(done.expect("xrandr runs").success(), "no monitor {monitor}");
        }
        let (server, file) = serve(&x.display, &views(&["all", "left", "right"]));
        let screen = Screen::open(&x.display);
        Some(Self { x, server, screen, _config: file })
    }

    fn client(&self, listener: usize) -> Client {
        watching(&self.server.listeners()[listener])
    }

    fn fill(&self, rect: Rect, colour: u32) {
        self.screen.fill(rect, colour);
    }

    /// What the X server shows in a part of its screen, as RGB.
    fn rgb(&self, r: Rect) -> Vec<u8> {
        self.screen.rgb(r)
    }
}

const LEFT: Rect = Rect { x: 0, y: 0, w: 320, h: H };
const RIGHT: Rect = Rect { x: 320, y: 0, w: 320, h: H };

#[test]
fn each_listener_shows_its_own_monitor_and_takes_its_pointer() {
    let Some(desk) = Desk::start() else { return };
    let mut both = desk.client(0);
    let mut left = desk.client(1);
    let mut right = desk.client(2);
    assert_eq!((both.init().size, right.init().size), (Size::new(W, H), Size::new(320, H)));
    desk.fill(Rect::new(0, 0, W, H), 0x0010_2030);
    desk.fill(Rect::new(300, 50, 40, 60), 0x00ff_8000);
    both.wait_for_picture(&desk.rgb(Rect::new(0, 0, W, H))).expect("both monitors");
    left.wait_for_picture(&desk.rgb(LEFT)).expect("the left one");
    right.wait_for_picture(&desk.rgb(RIGHT)).expect("the right one");

    // the same place on the right canvas lies elsewhere on the desktop
    right.pointer(10, 20, 0).expect("sent");
    let end = Instant::now() + PATIENCE;
    while desk.screen.pointer() != (330, 20) {
        assert!(Instant::now() < end, "the pointer is at {:?}", desk.screen.pointer());
        std::thread::yield_now();
    }

    // damage on one monitor reaches the other's client as nothing
    let before = left.traffic.updates.len();
    desk.fill(Rect::new(400, 100, 50, 50), 0x0000_ff00);
    right.wait_for_picture(&desk.rgb(RIGHT)).expect("the right one");
    both.wait_for_picture(&desk.rgb(Rect::new(0, 0, W, H))).expect("both monitors");
    left.wait_for_picture(&desk.rgb(LEFT)).expect("the left one");
    assert_eq!(left.traffic.updates.len(), before, "the left client was sent something");
    desk.server.stop();
}

#[test]
fn clients_are_told_when_the_x_server_goes_and_see_it_when_it_is_back() {
    let Some(mut desk) = Desk::start() else { return };
    let mut client = desk.client(0);
    desk.fill(Rect::new(0, 0, W, H), 0x0012_3456);
    let last = desk.rgb(Rect::new(0, 0, W, H));
    client.wait_for_picture(&last).expect("the desktop");
    desk.x.kill();
    client
        .wait_until("the name tells", |c| c.picture().name().is_some_and(|n| n.contains("desktop is gone")))
        .expect("clients are told");
    assert_eq!(client.first_difference(&last), None, "the last picture stays");
    desk.server.wait_for_log("desktop is gone");

    // the same display comes back: the client it had goes on where it was
    let Some(again) = Xvfb::again(&desk.x.display, &format!("{W}x{H}")) else { return };
    desk.screen = Screen::open(&again.display);
    desk.fill(Rect::new(0, 0, W, H), 0x0065_4321);
    desk.fill(Rect::new(20, 30, 100, 50), 0x00ab_cdef);
    let whole = desk.rgb(Rect::new(0, 0, W, H));
    client.wait_for_picture(&whole).expect("capture resumes");
    client
        .wait_until("the name is the old one", |c| c.picture().name().is_some_and(|n| !n.contains("gone")))
        .expect("clients are told");
    desk.x = again;
    desk.server.stop();
}
