//! Monitors that are made for viewers: on Xorg, which has outputs to spare.

use std::process::Command;
use std::time::{Duration, Instant};

use farpane_engine::geometry::{Rect, Size};
use farpane_test_support::desktop::Desktop;
use farpane_test_support::{Client, Raw, Security, Server, helper, kill};

use super::screen::Screen;
use super::{BINARY, Config, PATIENCE, serve, watching};

const ROW: [(&str, Rect); 2] =
    [("DUMMY0", Rect { x: 0, y: 0, w: 640, h: 480 }), ("DUMMY1", Rect { x: 640, y: 0, w: 800, h: 600 })];
const CAR: (&str, Rect) = ("DUMMY2", Rect { x: 1440, y: 0, w: 500, h: 400 });

/// Two outputs, and a server whose listeners show all, a side-car, another one with all others dark, and the second output.
struct Room {
    desktop: Desktop,
    screen: Screen,
    running: Option<(Server, Config)>,
}

impl Room {
    fn start() -> Option<Self> {
        let desktop = Desktop::start("xorg", &["--monitor", "640x480", "--monitor", "800x600"])?;
        let screen = Screen::open(desktop.get("DISPLAY").expect("a display"));
        let running = Some(share(&desktop));
        let room = Self { desktop, screen, running };
        assert_eq!(room.lit(), named(&ROW));
        Some(room)
    }

    fn server(&self) -> &Server {
        &self.running.as_ref().expect("runs").0
    }

    /// Starts another server once this one has ended so.
    fn again(&mut self, ended: fn(Server)) {
        if let Some((server, _config)) = self.running.take() {
            ended(server);
        }
        self.running = Some(share(&self.desktop));
    }

    fn lit(&self) -> Vec<(String, Rect)> {
        let mut all = self.screen.monitors();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }

    fn until_lit(&self, want: &[(&str, Rect)], why: &str) {
        let (want, end) = (named(want), Instant::now() + PATIENCE);
        while self.lit() != want {
            assert!(Instant::now() < end, "{why}: {:?}\n{}", self.lit(), self.server().log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Something else on every monitor; between them nothing is ever shown.
    fn paint(&self, seed: u32) {
        for (_, rect) in self.lit() {
            for y in (rect.y..rect.bottom()).step_by(50) {
                let strip = Rect::new(rect.x, y, rect.w, 50.min(rect.bottom() - y));
                self.screen.put(strip, |x, y| (u32::from(x) << 9) ^ (u32::from(y) * 0x305) ^ seed);
            }
        }
        self.screen.sync();
    }

    fn view(&self, listener: usize) -> Client {
        watching(&self.server().listeners()[listener])
    }

    fn xrandr(&self) -> String {
        let told = self.desktop.command("xrandr").output().expect("xrandr runs");
        String::from_utf8_lossy(&told.stdout).into_owned()
    }
}

fn named(row: &[(&str, Rect)]) -> Vec<(String, Rect)> {
    row.iter().map(|(name, rect)| ((*name).to_owned(), *rect)).collect()
}

fn share(desktop: &Desktop) -> (Server, Config) {
    let listeners = [
        "view = \"all\"",
        "view = \"side-car\"\nsize = \"500x400\"",
        "view = \"side-car\"\nothers = \"off\"",
        "view = \"DUMMY1\"",
    ];
    let listeners = listeners.map(|view| format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{view}\n")).concat();
    serve(desktop.get("DISPLAY").expect("a display"), &format!("security = \"none\"\n{listeners}"))
}

#[test]
fn a_monitor_is_made_for_who_wants_one_and_goes_with_them() {
    let Some(room) = Room::start() else { return };
    let before = room.screen.size();
    let mut all = room.view(0);
    all.wait_until("two screens", |c| c.picture().layout().len() == 2).expect("told");

    let mut car = room.view(1);
    assert_eq!(car.init().size, CAR.1.size());
    room.until_lit(&[ROW[0], ROW[1], CAR], "one more");
    assert!(room.xrandr().contains("500x400_farpane"), "{}", room.xrandr());
    room.paint(1);
    car.wait_for_picture(&room.screen.rgb(CAR.1)).expect("its own monitor");
    all.wait_until("three screens", |c| c.picture().layout().len() == 3).expect("told");
    all.wait_for_picture(&room.screen.rgb(room.screen.size().rect())).expect("all");
    car.pointer(10, 20, 0).expect("sent");
    let end = Instant::now() + PATIENCE;
    while room.screen.pointer() != (1450, 20) {
        assert!(Instant::now() < end, "the pointer is at {:?}", room.screen.pointer());
        std::thread::sleep(Duration::from_millis(5));
    }

    // it is one for all who look there, and as large as one of them wishes
    let mut other = room.view(1);
    let id = car.picture().layout()[0].id;
    for (size, n) in [(Size::new(700, 300), 1), (Size::new(333, 777), 2)] {
        other.set_desktop_size(size, &[(id, size.rect())]).expect("sent");
        other.wait_until("the size", |c| c.picture().size() == size).expect("as wished");
        car.wait_until("the size of the other", |c| c.picture().size() == size).expect("it is one");
        let now = Rect::new(1440, 0, size.w, size.h);
        room.until_lit(&[ROW[0], ROW[1], (CAR.0, now)], "another size");
        assert_eq!(room.screen.size(), Size::new(1440 + size.w, size.h.max(600)));
        room.paint(n);
        car.wait_for_picture(&room.screen.rgb(now)).expect("its own monitor");
        other.wait_for_picture(&room.screen.rgb(now)).expect("its own monitor");
    }
    // what no monitor can be is refused, and so is one of others' monitors
    other.set_desktop_size(Size::new(20, 20), &[(id, Rect::new(0, 0, 20, 20))]).expect("sent");
    other.wait_until("an answer", |c| c.picture().resize_answers().contains(&(1, 2))).expect("out of resources");
    let two = [(id, Rect::new(0, 0, 300, 300)), (77, Rect::new(300, 0, 300, 300))];
    other.set_desktop_size(Size::new(600, 300), &two).expect("sent");
    other.wait_until("an answer", |c| c.picture().resize_answers().contains(&(1, 3))).expect("no layout of it");
    let mut second = room.view(3);
    second.set_desktop_size(Size::new(820, 640), &[(1, Rect::new(0, 0, 820, 640))]).expect("sent");
    second.wait_until("an answer", |c| c.picture().resize_answers().contains(&(1, 1))).expect("prohibited");

    drop(car);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(room.lit().len(), 3, "one looks still");
    drop(other);
    // whoever comes back in a moment finds it
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(room.lit().len(), 3);
    drop(room.view(1));
    room.until_lit(&ROW, "nobody looks");
    assert_eq!(room.screen.size(), before);
    assert!(!room.xrandr().contains("farpane"), "{}", room.xrandr());
    room.paint(4);
    all.wait_until("two screens", |c| c.picture().layout().len() == 2).expect("told");
    all.wait_for_picture(&room.screen.rgb(room.screen.size().rect())).expect("all");
}

#[test]
fn what_was_made_goes_however_the_server_ends() {
    let Some(mut room) = Room::start() else { return };
    let with = [ROW[0], ROW[1], CAR];
    let client = room.view(1);
    room.until_lit(&with, "made");
    room.again(Server::stop);
    room.until_lit(&ROW, "after the end");
    drop(client);

    let client = room.view(1);
    room.until_lit(&with, "made");
    kill(room.server().pid());
    room.until_lit(&ROW, "after the server was killed");
    drop(client);

    // its helper killed: another one makes it again, and the viewer goes on
    room.again(drop);
    let mut client = room.view(1);
    let before = helper(room.server().pid(), "farpane-lights").expect("is there");
    kill(before);
    let end = Instant::now() + PATIENCE;
    while helper(room.server().pid(), "farpane-lights").is_none_or(|pid| pid == before) {
        assert!(Instant::now() < end, "no other helper");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(500));
    room.until_lit(&with, "by the other helper");
    room.paint(7);
    client.wait_for_picture(&room.screen.rgb(CAR.1)).expect("its own monitor");

    // both killed: the next server takes it away
    let pid = room.server().pid();
    let all = ["farpane-start", "farpane-lights"].map(|name| helper(pid, name).expect("is there"));
    all.into_iter().chain([pid]).for_each(kill);
    drop(client);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(room.lit().len(), 3, "nobody is left to take it away");
    room.again(drop);
    room.until_lit(&ROW, "by the next server");
}

#[test]
fn it_may_be_the_only_one_that_is_on_and_there_may_be_two() {
    let Some(room) = Room::start() else { return };
    let alone = room.view(2);
    assert_eq!(alone.init().size, Size::new(1920, 1080));
    let its = Rect::new(1440, 0, 1920, 1080);
    room.until_lit(&[("DUMMY2", its)], "all others dark");
    let car = room.view(1);
    room.until_lit(&[("DUMMY2", its), ("DUMMY3", Rect::new(3360, 0, 500, 400))], "both");
    drop(alone);
    // the first goes, and the others come back
    room.until_lit(&[ROW[0], ROW[1], ("DUMMY3", Rect::new(3360, 0, 500, 400))], "the other alone");
    drop(car);
    room.until_lit(&ROW, "as it was");
}

#[test]
fn what_cannot_have_one_says_so_in_one_line() {
    let refused = |source: &str, listener: &str| {
        let path = std::env::temp_dir().join(format!("farpane-side-car-{}.toml", std::process::id()));
        let text = format!(
            "source = \"{source}\"\nsecurity = \"none\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n{listener}\n"
        );
        std::fs::write(&path, text).expect("a temporary file");
        let said = Command::new(BINARY).args(["serve", "--config"]).arg(&path).output().expect("runs");
        std::fs::remove_file(path).expect("is there");
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(!said.status.success() && said.stdout.is_empty(), "{text}");
        text
    };
    assert!(refused("synthetic", "view = \"side-car\"").contains("has no monitors made for viewers"));
    assert!(refused("synthetic", "size = \"800x600\"").contains("has a size and no side-car"));
    let odd = refused("synthetic", "view = \"side-car\"\nsize = \"800 x 600\"");
    assert!(odd.contains("size \"800 x 600\" (expected WIDTHxHEIGHT, 64x64 to 16384x16384)"), "{odd}");

    // Xvfb has one output, which is on
    let Some(x) = farpane_test_support::xvfb::Xvfb::start("640x480") else { return };
    let (server, _config) =
        serve(&x.display, "security = \"none\"\n[[listener]]\naddress = \"127.0.0.1:0\"\nview = \"side-car\"\n");
    let raw = Raw::connect(&server.listeners()[0], PATIENCE).expect("a connection");
    let client = Client::handshake(raw, "RFB 003.008\n", Security::None, true).expect("let in");
    let told = "Refused: no monitor could be made: the desktop refuses: it has no output that is off and has nothing plugged in";
    assert_eq!((client.init().name.as_str(), client.init().size), (told, Size::new(1, 1)));
}
