//! One monitor looked at and the others dark: on Xorg with three outputs.

use std::process::Command;
use std::time::Instant;

use farpane_engine::geometry::{Rect, Size};
use farpane_test_support::desktop::Desktop;
use farpane_test_support::{Client, Server, helper, kill};

use super::screen::Screen;
use super::{BINARY, Config, PATIENCE, serve, watching};

const MONITORS: [&str; 6] = ["--monitor", "640x480", "--monitor", "800x600", "--monitor", "320x240"];
const ROW: [(&str, Rect); 3] = [
    ("DUMMY0", Rect { x: 0, y: 0, w: 640, h: 480 }),
    ("DUMMY1", Rect { x: 640, y: 0, w: 800, h: 600 }),
    ("DUMMY2", Rect { x: 1440, y: 0, w: 320, h: 240 }),
];

/// Three outputs, and a server whose listeners show all, the second alone, the third alone, and the first with the others as they are.
struct Room {
    desktop: Desktop,
    screen: Screen,
    running: Option<(Server, Config)>,
}

impl Room {
    fn start(more: &str) -> Option<Self> {
        let desktop = Desktop::start("xorg", &MONITORS)?;
        let screen = Screen::open(desktop.get("DISPLAY").expect("a display"));
        let running = Some(share(&desktop, more));
        let room = Self { desktop, screen, running };
        room.paint(1);
        assert_eq!(room.lit(), ROW.map(|(name, rect)| (name.to_owned(), rect)), "a row at first");
        Some(room)
    }

    fn server(&self) -> &Server {
        &self.running.as_ref().expect("runs").0
    }

    fn stop(mut self) {
        self.running.take().expect("runs").0.stop();
    }

    /// Starts another server once this one has ended so.
    fn again(&mut self, ended: fn(Server)) {
        if let Some((server, _config)) = self.running.take() {
            ended(server);
        }
        self.running = Some(share(&self.desktop, ""));
    }

    /// The monitors that are on, by name.
    fn lit(&self) -> Vec<(String, Rect)> {
        let mut all = self.screen.monitors();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }

    fn paint(&self, seed: u32) {
        for (n, (_, rect)) in ROW.iter().enumerate() {
            let seed = seed.wrapping_mul(0x3_0711).wrapping_add(n as u32 * 0x55_5555);
            let strips = (0..rect.h).step_by(60).map(|y| Rect::new(rect.x, y, rect.w, 60));
            strips.for_each(|strip| self.screen.put(strip, |x, y| (u32::from(x) << 9) ^ (u32::from(y) * 0x305) ^ seed));
        }
        self.screen.sync();
    }

    fn view(&self, listener: usize) -> Client {
        watching(&self.server().listeners()[listener])
    }

    /// Waits until these are on, where they always are.
    fn until_lit(&self, which: &[usize], why: &str, clients: &mut [&mut Client]) {
        let want: Vec<(String, Rect)> = which.iter().map(|n| (ROW[*n].0.to_owned(), ROW[*n].1)).collect();
        let end = Instant::now() + PATIENCE;
        while self.lit() != want {
            assert!(Instant::now() < end, "{why}: {:?}\n{}", self.lit(), self.server().log());
            clients.iter_mut().for_each(|c| drop(c.pump(Instant::now() + std::time::Duration::from_millis(5))));
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    fn primary(&self) -> String {
        let told = self.desktop.command("xrandr").output().expect("xrandr runs");
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        let line = text.lines().find(|line| line.contains(" primary ")).unwrap_or_default();
        line.split(' ').next().unwrap_or_default().to_owned()
    }
}

fn share(desktop: &Desktop, more: &str) -> (Server, Config) {
    let listener =
        |view: &str, more: &str| format!("[[listener]]\naddress = \"127.0.0.1:0\"\nview = \"{view}\"\n{more}");
    let off = "others = \"off\"\n";
    let listeners =
        [("all", ""), ("DUMMY1", off), ("DUMMY2", off), ("DUMMY0", "")].map(|(v, m)| listener(v, m)).concat();
    let config = format!("security = \"none\"\n{more}{listeners}");
    serve(desktop.get("DISPLAY").expect("a display"), &config)
}

#[test]
fn who_looks_at_one_monitor_may_have_the_others_dark_meanwhile() {
    let Some(room) = Room::start("") else { return };
    assert!(room.desktop.command("xrandr").args(["--output", "DUMMY2", "--primary"]).status().expect("runs").success());
    assert_eq!(room.primary(), "DUMMY2");
    let mut all = room.view(0);
    all.wait_until("three screens", |c| c.picture().layout().len() == 3).expect("told");

    let mut second = room.view(1);
    room.until_lit(&[1], "the second alone", &mut [&mut all, &mut second]);
    room.paint(2);
    second.wait_for_picture(&room.screen.rgb(ROW[1].1)).expect("its own monitor");
    all.wait_until("one screen", |c| c.picture().layout().len() == 1).expect("told");

    // alone as it is now, it is still one of three that their owner has set up
    let id = second.picture().layout()[0].id;
    second.set_desktop_size(Size::new(820, 640), &[(id, Rect::new(0, 0, 820, 640))]).expect("sent");
    second.wait_until("an answer", |c| c.picture().resize_answers().contains(&(1, 1))).expect("prohibited");
    assert_eq!(room.lit(), [(ROW[1].0.to_owned(), ROW[1].1)]);

    // one who comes for a dark monitor has it lit, before he is told its size
    let mut third = room.view(2);
    assert_eq!(third.init().size, ROW[2].1.size());
    room.until_lit(&[1, 2], "both that are looked at", &mut [&mut all, &mut second]);
    room.paint(3);
    third.wait_for_picture(&room.screen.rgb(ROW[2].1)).expect("its own monitor");
    second.wait_for_picture(&room.screen.rgb(ROW[1].1)).expect("its own monitor");
    // and so has one who does not mind the others
    let first = room.view(3);
    room.until_lit(&[0, 1, 2], "all that are looked at", &mut [&mut all, &mut second]);

    drop(second);
    room.until_lit(&[0, 2], "without the second", &mut [&mut all]);
    drop(first);
    room.until_lit(&[2], "without the first", &mut [&mut all]);
    drop(third);
    room.until_lit(&[0, 1, 2], "as it was", &mut [&mut all]);
    assert_eq!(room.primary(), "DUMMY2");
    room.paint(4);
    all.wait_until("three screens", |c| c.picture().layout().len() == 3).expect("told");
    all.wait_for_picture(&room.screen.rgb(room.screen.size().rect())).expect("all");
    room.stop();
}

#[test]
fn monitors_that_were_switched_off_are_lit_however_the_server_ends() {
    let Some(mut room) = Room::start("") else { return };
    // by a signal
    let client = room.view(1);
    room.until_lit(&[1], "the second alone", &mut []);
    room.again(Server::stop);
    room.until_lit(&[0, 1, 2], "after the end", &mut []);
    drop(client);

    // killed
    let client = room.view(1);
    room.until_lit(&[1], "the second alone", &mut []);
    kill(room.server().pid());
    room.until_lit(&[0, 1, 2], "after the server was killed", &mut []);
    drop(client);

    // its helper killed: another one lights all and does as it was asked
    room.again(drop);
    let client = room.view(1);
    room.until_lit(&[1], "the second alone", &mut []);
    let before = helper(room.server().pid(), "farpane-lights").expect("is there");
    kill(before);
    let end = Instant::now() + PATIENCE;
    while helper(room.server().pid(), "farpane-lights").is_none_or(|pid| pid == before) {
        assert!(Instant::now() < end, "no other helper");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    room.until_lit(&[1], "the second alone still", &mut []);
    drop(client);
    room.until_lit(&[0, 1, 2], "by the other helper", &mut []);

    // both killed: the next server finds what is dark
    let client = room.view(1);
    room.until_lit(&[1], "the second alone", &mut []);
    let pid = room.server().pid();
    // the starter first, which would start another switch
    let all = ["farpane-start", "farpane-lights"].map(|name| helper(pid, name).expect("is there"));
    all.into_iter().chain([pid]).for_each(kill);
    drop(client);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(room.lit().len(), 1, "nobody is left to light them");
    room.again(drop);
    room.until_lit(&[0, 1, 2], "by the next server", &mut []);
}

#[test]
fn without_the_sandbox_they_are_lit_too() {
    let Some(room) = Room::start("sandbox = \"off\"\n") else { return };
    let _client = room.view(2);
    room.until_lit(&[2], "the third alone", &mut []);
    kill(room.server().pid());
    room.until_lit(&[0, 1, 2], "after the server was killed", &mut []);
}

#[test]
fn one_that_somebody_else_lights_is_switched_off_again_but_not_for_ever() {
    let Some(room) = Room::start("") else { return };
    let _client = room.view(1);
    room.until_lit(&[1], "the second alone", &mut []);
    for _ in 0..3 {
        let on = ["--output", "DUMMY0", "--auto", "--pos", "0x0"];
        assert!(room.desktop.command("xrandr").args(on).status().expect("runs").success());
        room.until_lit(&[1], "switched off again", &mut []);
    }
    let on = ["--output", "DUMMY0", "--auto", "--pos", "0x0"];
    assert!(room.desktop.command("xrandr").args(on).status().expect("runs").success());
    room.server().wait_for_log("the other monitors are switched on by somebody else and left so");
    assert_eq!(room.lit().len(), 2);
    room.stop();
}

#[test]
fn what_cannot_be_dark_is_one_clear_line_before_anybody_connects() {
    let refused = |source: &str, view: &str| {
        let path = std::env::temp_dir().join(format!("farpane-others-{}.toml", std::process::id()));
        let text = format!(
            "source = \"{source}\"\nsecurity = \"none\"\n[[listener]]\naddress = \"127.0.0.1:0\"\nview = \"{view}\"\nothers = \"off\"\n"
        );
        std::fs::write(&path, text).expect("a temporary file");
        let said = Command::new(BINARY).args(["serve", "--config"]).arg(&path).output().expect("runs");
        std::fs::remove_file(path).expect("is there");
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("farpane: ")).collect();
        assert!(!said.status.success() && said.stdout.is_empty() && errors.len() == 1, "{text}");
        errors[0].to_owned()
    };
    assert!(refused("synthetic", "all").contains("shows all monitors, so that there are no others to switch off"));
    assert!(refused("synthetic", "screen").contains("does not let its monitors be switched off"));
}
