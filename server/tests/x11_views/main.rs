//! The binary on a private X desktop of several monitors: views per listener, pointer coordinates, resizing, storms of changes, the X
//! server's end.

#![cfg(feature = "x11")]

mod storms;

use std::time::{Duration, Instant};

use farpane_engine::geometry::{Rect, Size};
use farpane_test_support::xvfb::Xvfb;
use farpane_test_support::{Client, Raw, Security, Server};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt as _, CreateGCAux, ImageFormat, Rectangle};
use x11rb::rust_connection::RustConnection;

const BINARY: &str = env!("CARGO_BIN_EXE_farpane");
const PATIENCE: Duration = Duration::from_secs(30);
const W: u16 = 640;
const H: u16 = 240;

/// A desktop and a server with some listeners.
struct Desk {
    x: Xvfb,
    server: Server,
    connection: RustConnection,
    root: u32,
    _config: Config,
}

/// A configuration file that goes with the test.
struct Config(std::path::PathBuf);

impl Drop for Config {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A configuration with these listeners, each given by what it has beside its address.
fn config(name: &str, listeners: &[&str]) -> Config {
    let path = std::env::temp_dir().join(format!("farpane-views-{}-{name}.toml", std::process::id()));
    let listeners = listeners.iter().map(|l| format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{l}\n"));
    std::fs::write(&path, format!("security = \"none\"\n{}", listeners.collect::<String>())).expect("a temporary file");
    Config(path)
}

impl Desk {
    /// Two monitors side by side, a listener for both and one for each.
    fn start(name: &str) -> Option<Self> {
        let two = [("left", "320/100x240/80+0+0", "screen"), ("right", "320/100x240/80+320+0", "none")];
        Self::with(name, Size::new(W, H), &two, &["view = \"all\"", "view = \"left\"", "view = \"right\""])
    }

    /// A screen with these monitors (name, place, output) and listeners.
    fn with(name: &str, size: Size, monitors: &[(&str, &str, &str)], listeners: &[&str]) -> Option<Self> {
        let x = Xvfb::start(&size.to_string())?;
        for (monitor, place, output) in monitors {
            let done = x.command("xrandr").args(["--setmonitor", monitor, place, output]).status();
            assert!(done.expect("xrandr runs").success(), "no monitor {monitor}");
        }
        let file = config(name, listeners);
        let source = format!("x11:{}", x.display);
        let path = file.0.to_string_lossy().into_owned();
        let server = Server::spawn(BINARY, &["serve", "--source", &source, "--config", &path]);
        let end = Instant::now() + PATIENCE;
        while server.listeners().len() < listeners.len() {
            assert!(Instant::now() < end, "not all listeners\n{}", server.log());
            std::thread::yield_now();
        }
        let (connection, screen) = RustConnection::connect(Some(&x.display)).expect("the desktop");
        let root = connection.setup().roots[screen].root;
        Some(Self { x, server, connection, root, _config: file })
    }

    fn client(&self, listener: usize) -> Client {
        self.client_with(listener, &[16, 1, -239, -223, -307, -308])
    }

    fn client_with(&self, listener: usize, encodings: &[i32]) -> Client {
        let raw = Raw::connect(&self.server.listeners()[listener], PATIENCE).expect("a connection");
        let mut client = Client::handshake(raw, "RFB 003.008\n", Security::None, true).expect("let in");
        client.set_encodings(encodings).expect("sent");
        client.watch().expect("sent");
        client
    }

    fn fill(&self, rect: Rect, colour: u32) {
        let gc = self.connection.generate_id().expect("an id");
        self.connection.create_gc(gc, self.root, &CreateGCAux::new().foreground(colour)).expect("sent");
        let r = Rectangle { x: rect.x as i16, y: rect.y as i16, width: rect.w, height: rect.h };
        self.connection.poly_fill_rectangle(self.root, gc, &[r]).expect("sent");
        self.connection.free_gc(gc).expect("sent");
        self.connection.flush().expect("sent");
    }

    /// What the X server shows in a part of its screen, as RGB.
    fn rgb(&self, r: Rect) -> Vec<u8> {
        let (x, y) = (r.x as i16, r.y as i16);
        let image = self.connection.get_image(ImageFormat::Z_PIXMAP, self.root, x, y, r.w, r.h, !0).expect("sent");
        let image = image.reply().expect("an image");
        image.data.chunks_exact(4).flat_map(|p| [p[2], p[1], p[0]]).collect()
    }

    fn pointer(&self) -> (i16, i16) {
        let reply = self.connection.query_pointer(self.root).expect("sent").reply().expect("a pointer");
        (reply.root_x, reply.root_y)
    }
}

const LEFT: Rect = Rect { x: 0, y: 0, w: 320, h: H };
const RIGHT: Rect = Rect { x: 320, y: 0, w: 320, h: H };

#[test]
fn each_listener_shows_its_own_monitor_and_takes_its_pointer() {
    let Some(desk) = Desk::start("own") else { return };
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
    while desk.pointer() != (330, 20) {
        assert!(Instant::now() < end, "the pointer is at {:?}", desk.pointer());
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
    let Some(mut desk) = Desk::start("goes") else { return };
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
    let (connection, screen) = RustConnection::connect(Some(&again.display)).expect("the desktop");
    desk.root = connection.setup().roots[screen].root;
    desk.connection = connection;
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
