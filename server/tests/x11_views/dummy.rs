//! Xorg with three outputs that come, go, move and change their modes.

use std::time::Instant;

use farpane_engine::geometry::Rect;
use farpane_test_support::crowd::{Crowd, Kind};
use farpane_test_support::desktop::Desktop;

use super::screen::Screen;
use super::{PATIENCE, serve, views};

/// Has xrandr do something; whether it did.
fn xrandr(desktop: &Desktop, words: &str) -> bool {
    let done = desktop.command("xrandr").args(words.split(' ')).output().expect("xrandr runs");
    done.status.success()
}

/// Something that tells each place from every other.
fn paint(screen: &Screen, seed: u32) {
    let size = screen.size();
    // in strips: a request may not be as long as a screen
    for y in (0..size.h).step_by(64) {
        let strip = Rect::new(0, y, size.w, 64.min(size.h - y));
        screen.put(strip, |x, y| (u32::from(x) << 9) ^ (u32::from(y) * 0x305) ^ seed);
    }
    screen.sync();
}

#[test]
fn three_outputs_of_xorg_are_followed_by_name_as_they_move_change_and_go() {
    let monitors = ["--monitor", "640x480", "--monitor", "800x600", "--monitor", "320x240"];
    let Some(desktop) = Desktop::start("xorg", &monitors) else { return };
    let display = desktop.get("DISPLAY").expect("a display").to_owned();
    let screen = Screen::open(&display);
    paint(&screen, 0);
    let (server, _config) = serve(&display, &views(&["all", "DUMMY1"]));
    let listeners = server.listeners();
    let mut crowd = Crowd::join(&listeners[0], (&listeners[1], "DUMMY1"));
    crowd.until_right("three outputs in a row", || screen.shown());
    let places = |screen: &Screen| {
        let mut all = screen.monitors();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all.into_iter().map(|(_, rect)| rect).collect::<Vec<_>>()
    };
    let row = [Rect::new(0, 0, 640, 480), Rect::new(640, 0, 800, 600), Rect::new(1440, 0, 320, 240)];
    assert_eq!(places(&screen), row);

    let steps = [
        // another mode, moved along with it
        (
            "--output DUMMY1 --mode m320x240 --right-of DUMMY0",
            vec![(0, 0, 640, 480), (640, 0, 320, 240), (1440, 0, 320, 240)],
        ),
        (
            "--output DUMMY1 --mode m640x480 --below DUMMY0",
            vec![(0, 0, 640, 480), (0, 480, 640, 480), (1440, 0, 320, 240)],
        ),
        ("--output DUMMY0 --off", vec![(0, 480, 640, 480), (1440, 0, 320, 240)]),
        // onto each other; xrandr moves all into the corner
        ("--output DUMMY2 --pos 100x500", vec![(0, 0, 640, 480), (100, 20, 320, 240)]),
        (
            "--output DUMMY0 --mode m800x600 --pos 700x0",
            vec![(700, 0, 800, 600), (0, 0, 640, 480), (100, 20, 320, 240)],
        ),
        ("--output DUMMY2 --off", vec![(700, 0, 800, 600), (0, 0, 640, 480)]),
    ];
    for (n, (words, want)) in steps.into_iter().enumerate() {
        if words.contains("DUMMY0 --mode m800x600") {
            assert!(xrandr(&desktop, "--addmode DUMMY0 m800x600"), "a mode for DUMMY0");
        }
        for mode in ["m320x240", "m640x480"] {
            assert!(xrandr(&desktop, &format!("--addmode DUMMY1 {mode}")), "{mode} for DUMMY1");
        }
        assert!(xrandr(&desktop, words), "{words}");
        let want: Vec<Rect> = want.into_iter().map(|(x, y, w, h)| Rect::new(x, y, w, h)).collect();
        assert_eq!(places(&screen), want, "{words}");
        crowd.until_right(words, || screen.shown());
        paint(&screen, 0x01_0101 * n as u32);
        crowd.until_right(&format!("painted after {words}"), || screen.shown());
    }
    // the dummy driver turns nothing: what it refuses changes nothing
    let before = places(&screen);
    for turn in ["left", "inverted"] {
        if !xrandr(&desktop, &format!("--output DUMMY1 --rotate {turn}")) {
            assert_eq!(places(&screen), before, "{turn}");
        }
        crowd.until_right(turn, || screen.shown());
    }
    // off, and on again where it was: whoever looks at it alone keeps its picture meanwhile
    assert!(xrandr(&desktop, "--output DUMMY1 --off"));
    let all = crowd.client(Kind::Extended);
    all.wait_until("one output", |c| c.picture().layout().len() == 1).expect("a layout");
    assert!(xrandr(&desktop, "--output DUMMY1 --mode m640x480 --pos 0x480"));
    crowd.until_right("on again", || screen.shown());
    // the pointer is where it is shown
    crowd.client(Kind::One).pointer(33, 44, 0).expect("a move");
    let end = Instant::now() + PATIENCE;
    while screen.pointer() != (33, 480 + 44) {
        assert!(Instant::now() < end, "the pointer is at {:?}", screen.pointer());
        crowd.turn();
    }
    let log = server.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    drop(crowd);
    server.stop();
}
