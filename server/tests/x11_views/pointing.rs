//! Where the pointer goes that viewers move over several monitors.

use std::time::{Duration, Instant};

use farpane_engine::geometry::Rect;
use farpane_test_support::Client;
use farpane_test_support::xvfb::Xvfb;

use super::screen::Screen;
use super::{PATIENCE, serve, views, watching};

/// Three monitors of different sizes, one below the others' upper edge, with a gap before the last.
const MONITORS: [(&str, Rect); 3] = [
    ("one", Rect { x: 0, y: 0, w: 320, h: 240 }),
    ("two", Rect { x: 320, y: 100, w: 300, h: 200 }),
    ("three", Rect { x: 700, y: 20, w: 240, h: 300 }),
];

fn until_at(screen: &Screen, client: &mut Client, want: (u16, u16), what: &str) {
    let end = Instant::now() + PATIENCE;
    let want = (want.0 as i16, want.1 as i16);
    while screen.pointer() != want {
        assert!(Instant::now() < end, "{what}: the pointer is at {:?} and not at {want:?}", screen.pointer());
        client.pump(Instant::now() + Duration::from_millis(1)).expect("goes on");
    }
}

#[test]
fn the_pointer_goes_where_each_monitor_shows_it_in_a_view_of_all_and_of_one() {
    let Some(x) = Xvfb::start("960x340") else { return };
    let screen = Screen::open(&x.display);
    for (n, (name, rect)) in MONITORS.into_iter().enumerate() {
        screen.set_monitor(name, rect, n == 0);
    }
    let (server, _config) = serve(&x.display, &views(&["all", "one", "two", "three"]));
    let listeners = server.listeners();
    let mut all = watching(&listeners[0]);
    all.wait_until("three screens", |c| c.picture().layout().len() == 3).expect("a layout");
    for (listener, (name, rect)) in listeners[1..].iter().zip(MONITORS) {
        let mut one = watching(listener);
        assert_eq!(one.init().size, rect.size(), "{name}");
        let (right, bottom) = (rect.w - 1, rect.h - 1);
        for (dx, dy) in [(0, 0), (right, 0), (0, bottom), (right, bottom), (rect.w / 2, rect.h / 3)] {
            let want = (rect.x + dx, rect.y + dy);
            one.pointer(dx, dy, 0).expect("a move");
            until_at(&screen, &mut one, want, &format!("{name} alone at ({dx}, {dy})"));
            // away from there first: a place that it is at already shows nothing
            all.pointer(650, 330, 0).expect("a move");
            until_at(&screen, &mut all, (650, 330), "between the monitors");
            all.pointer(want.0, want.1, 0).expect("a move");
            until_at(&screen, &mut all, want, &format!("{name} among all"));
        }
        // a click over the edge stays on the monitor that its viewer sees
        one.pointer(u16::MAX, u16::MAX, 0).expect("a move");
        until_at(&screen, &mut one, (rect.x + right, rect.y + bottom), &format!("{name}, over its edge"));
    }
    server.stop();
}
