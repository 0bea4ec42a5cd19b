//! Several desktops on one canvas: X servers beside each other, and one above a Wayland compositor.

use std::process::Command;
use std::time::Instant;

use farpane_engine::geometry::{Rect, Size};
use farpane_test_support::Server;
use farpane_test_support::xvfb::Xvfb;

use super::screen::Screen;
use super::{BINARY, PATIENCE, serve_in, views, watching};

const NEAR: Size = Size { w: 320, h: 240 };
const FAR: Size = Size { w: 400, h: 200 };

/// Pictures as RGB, each with its place, on a canvas that is black elsewhere.
fn joined(canvas: Size, parts: &[(Rect, Vec<u8>)]) -> Vec<u8> {
    let mut all = vec![0; usize::from(canvas.w) * usize::from(canvas.h) * 3];
    for (place, rgb) in parts {
        for (row, line) in rgb.chunks_exact(usize::from(place.w) * 3).enumerate() {
            let at = ((usize::from(place.y) + row) * usize::from(canvas.w) + usize::from(place.x)) * 3;
            all[at..][..line.len()].copy_from_slice(line);
        }
    }
    all
}

/// Two X servers, and a server of both with these lines of configuration.
struct Two {
    servers: [Xvfb; 2],
    screens: [Screen; 2],
    server: Server,
    _config: super::Config,
}

impl Two {
    fn start(config: &str) -> Option<Self> {
        let servers = [Xvfb::start(&NEAR.to_string())?, Xvfb::start(&FAR.to_string())?];
        let screens = [0, 1].map(|i: usize| Screen::open(&servers[i].display));
        let names = [0, 1].map(|i: usize| format!("\"x11:{}\"", servers[i].display)).join(", ");
        let (server, config) = serve_in(&[], &format!("source = [{names}]\n{config}"));
        for (screen, colour) in screens.iter().zip([0x0020_4060, 0x0060_2010]) {
            screen.fill(screen.size().rect(), colour);
            screen.put(Rect::new(3, 5, 60, 40), |x, y| u32::from(x) * 0x305 + u32::from(y) * 0x1_0107 + colour);
            screen.sync();
        }
        Some(Self { servers, screens, server, _config: config })
    }

    /// What is to be seen of one of them that lies there.
    fn part(&self, i: usize, at: (u16, u16)) -> (Rect, Vec<u8>) {
        let size = self.screens[i].size();
        (Rect::new(at.0, at.1, size.w, size.h), self.screens[i].rgb(size.rect()))
    }

    fn wait_for_pointer(&self, i: usize, there: (i16, i16)) {
        let end = Instant::now() + PATIENCE;
        while self.screens[i].pointer() != there {
            assert!(Instant::now() < end, "the pointer of {i} is at {:?}", self.screens[i].pointer());
            std::thread::yield_now();
        }
    }
}

#[test]
fn two_x_servers_lie_beside_each_other_and_are_pointed_at_and_resized_each() {
    let Some(two) = Two::start(&views(&["all", "screen@2"])) else { return };
    let (mut both, mut far) = (watching(&two.server.listeners()[0]), watching(&two.server.listeners()[1]));
    both.wait_for_picture(&joined(Size::new(720, 240), &[two.part(0, (0, 0)), two.part(1, (320, 0))])).expect("both");
    far.wait_for_picture(&two.part(1, (0, 0)).1).expect("the far one");

    both.pointer(319, 7, 0).expect("sent");
    two.wait_for_pointer(0, (319, 7));
    both.pointer(320 + 11, 13, 0).expect("sent");
    two.wait_for_pointer(1, (11, 13));
    far.pointer(21, 23, 0).expect("sent");
    two.wait_for_pointer(1, (21, 23));
    assert_eq!(two.screens[0].pointer(), (319, 7), "only the desktop that is pointed at");

    // the far one smaller, by the viewer of both: the near one stays
    let screens = both.picture().layout().to_vec();
    let wish = [(screens[0].id, NEAR.rect()), (screens[1].id, Rect::new(320, 0, 300, 150))];
    both.set_desktop_size(Size::new(620, 240), &wish).expect("sent");
    both.wait_until("the new canvas", |c| c.picture().size() == Size::new(620, 240)).expect("granted");
    assert_eq!((two.screens[0].size(), two.screens[1].size()), (NEAR, Size::new(300, 150)));
    two.screens[1].fill(Rect::new(0, 0, 300, 150), 0x0001_0203);
    two.screens[1].sync();
    both.wait_for_picture(&joined(Size::new(620, 240), &[two.part(0, (0, 0)), two.part(1, (320, 0))])).expect("both");
    far.wait_for_picture(&two.part(1, (0, 0)).1).expect("the far one");
    two.server.stop();
}

#[test]
fn of_two_x_servers_one_may_go_and_come_back() {
    let Some(mut two) = Two::start(&format!("arrange = \"down\"\n{}", views(&["all"]))) else { return };
    let canvas = Size::new(400, 440);
    let mut both = watching(&two.server.listeners()[0]);
    let seen = joined(canvas, &[two.part(0, (0, 0)), two.part(1, (0, 240))]);
    both.wait_for_picture(&seen).expect("both");

    two.servers[0].kill();
    two.server.wait_for_log("one desktop is gone and keeps its last picture");
    two.screens[1].fill(Rect::new(50, 50, 90, 90), 0x00ff_ff00);
    two.screens[1].sync();
    let last = seen[..].chunks_exact(400 * 3).take(240).flat_map(|row| row[..320 * 3].to_vec()).collect();
    let half = joined(canvas, &[(NEAR.rect(), last), two.part(1, (0, 240))]);
    both.wait_for_picture(&half).expect("the one goes on, the other stays as it was");
    assert!(both.picture().name().is_none_or(|name| !name.contains("gone")), "{:?}", both.picture().name());

    let Some(again) = Xvfb::again(&two.servers[0].display, &NEAR.to_string()) else { return };
    two.screens[0] = Screen::open(&again.display);
    two.servers[0] = again;
    two.screens[0].fill(NEAR.rect(), 0x0000_80ff);
    two.screens[0].sync();
    both.wait_for_picture(&joined(canvas, &[two.part(0, (0, 0)), two.part(1, (0, 240))])).expect("both again");
    two.server.stop();
}

#[test]
fn desktops_that_cannot_be_shown_together_are_one_clear_line() {
    let Some(x) = Xvfb::start(&NEAR.to_string()) else { return };
    let name = format!("x11:{}", x.display);
    let unix = format!("x11:unix{}", x.display);
    for (sources, says) in [
        ([name.as_str(), name.as_str()], "is named twice"),
        ([name.as_str(), unix.as_str()], "are the same desktop"),
        ([name.as_str(), "auto"], "source auto cannot stand beside others"),
        ([name.as_str(), "x11::9876"], "source x11::9876: no X server"),
    ] {
        let words = ["serve", "--listen", "127.0.0.1:0", "--source", sources[0], "--source", sources[1]];
        let said = Command::new(BINARY).args(words).output().expect("runs");
        let text = String::from_utf8_lossy(&said.stderr);
        assert!(!said.status.success() && text.contains(says) && text.lines().count() == 1, "{sources:?}: {text}");
    }
}

#[test]
#[cfg(feature = "wayland")]
fn an_x_server_lies_beside_a_wayland_output() {
    use farpane_test_support::sway::Sway;
    let (Some(x), Some(sway)) = (Xvfb::start(&NEAR.to_string()), Sway::start(&["256x192"])) else { return };
    let environment = sway.environment();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let sources = format!("source = [\"x11:{}\", \"wlroots\"]\n{}", x.display, views(&["all"]));
    let (server, _config) = serve_in(&environment, &sources);
    let screen = Screen::open(&x.display);
    screen.put(NEAR.rect(), |x, y| u32::from(x) * 0x305 + u32::from(y) * 0x1_0107);
    screen.sync();
    let mut both = watching(&server.listener());
    assert_eq!(both.init().size, Size::new(576, 240));
    for colour in ["#204060", "#c0ff20"] {
        sway.tell(&format!("output * background {colour} solid_color"));
        let rgb: Vec<u8> = (1..7).step_by(2).map(|i| u8::from_str_radix(&colour[i..i + 2], 16).expect("hex")).collect();
        let wayland = rgb.repeat(256 * 192);
        let seen = [(NEAR.rect(), screen.rgb(NEAR.rect())), (Rect::new(320, 0, 256, 192), wayland)];
        both.wait_for_picture(&joined(Size::new(576, 240), &seen)).expect("both");
    }
    server.stop();
}
