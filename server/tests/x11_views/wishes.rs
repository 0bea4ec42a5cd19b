//! Wishes for sizes that no desktop can have: each gets its answer, and nothing changes.

use farpane_engine::geometry::{Rect, Size};
use farpane_test_support::Client;
use farpane_test_support::xvfb::Xvfb;

use super::screen::Screen;
use super::{serve, views, watching};

const PROHIBITED: u16 = 1;
const OUT_OF_RESOURCES: u16 = 2;
const INVALID: u16 = 3;

/// The answers to its own wishes: reason 1.
fn own(client: &Client) -> Vec<u16> {
    client.picture().resize_answers().iter().filter(|(reason, _)| *reason == 1).map(|(_, status)| *status).collect()
}

/// Number and place of each.
type Screens = Vec<(u32, Rect)>;

fn row(count: u32, at: impl Fn(u16) -> Rect) -> Screens {
    (0..count).map(|id| (id, at(id as u16))).collect()
}

#[test]
fn each_impossible_wish_gets_its_status_and_nothing_changes() {
    let Some(x) = Xvfb::start("640x480") else { return };
    let screen = Screen::open(&x.display);
    screen.set_monitor("left", Rect::new(0, 0, 320, 480), true);
    screen.set_monitor("right", Rect::new(320, 0, 320, 480), false);
    screen.put(Rect::new(0, 0, 640, 480), |x, y| u32::from(x) * 400 + u32::from(y));
    let (server, _config) = serve(&x.display, &views(&["all", "left"]));
    let listeners = server.listeners();
    let mut other = watching(&listeners[0]);
    let mut client = watching(&listeners[0]);
    let shown = screen.rgb(screen.size().rect());
    client.wait_for_picture(&shown).expect("the desktop");
    let before = (screen.size(), screen.monitors());
    let canvas = Size::new(640, 480);
    let whole = canvas.rect();
    let one = |rect| vec![(0, rect)];
    let huge = Size::new(u16::MAX, u16::MAX);
    let wishes: [(&str, Size, Screens, u16); 16] = [
        ("no screen", canvas, vec![], INVALID),
        ("no size", Size::new(0, 0), one(whole), INVALID),
        ("no width", Size::new(0, 480), one(whole), INVALID),
        ("no size, and no screen's either", Size::new(0, 0), one(Rect::default()), INVALID),
        ("a screen without a size", canvas, one(Rect::new(10, 10, 0, 0)), INVALID),
        ("a screen beyond the canvas", canvas, one(Rect::new(0, 0, 641, 480)), INVALID),
        ("a canvas smaller than its screen", Size::new(639, 480), one(whole), INVALID),
        ("a screen at the far corner", canvas, one(Rect { x: 65_535, y: 65_535, w: 1, h: 1 }), INVALID),
        ("a screen that wraps round", canvas, one(Rect { x: 65_535, y: 0, w: 2, h: 480 }), INVALID),
        ("a screen from minus 320 on", canvas, one(Rect { x: 65_216, y: 0, w: 640, h: 480 }), INVALID),
        ("screens over each other", canvas, vec![(0, whole), (1, Rect::new(100, 100, 10, 10))], INVALID),
        ("two screens of one number", canvas, vec![(7, Rect::new(0, 0, 9, 9)), (7, Rect::new(9, 0, 9, 9))], INVALID),
        ("65535x65535", huge, one(huge.rect()), OUT_OF_RESOURCES),
        ("larger than the X server can", Size::new(16_000, 480), one(Rect::new(0, 0, 16_000, 480)), OUT_OF_RESOURCES),
        ("255 screens", canvas, row(255, |n| Rect::new(2 * n, 0, 2, 480)), OUT_OF_RESOURCES),
        ("65 screens over each other", canvas, row(65, |_| whole), OUT_OF_RESOURCES),
    ];
    for (n, (what, size, screens, status)) in wishes.iter().enumerate() {
        client.set_desktop_size(*size, screens).expect("a wish");
        client.wait_until(what, |c| own(c).len() > n).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(own(&client)[n], *status, "{what}");
        assert_eq!((screen.size(), screen.monitors()), before, "{what}");
    }
    // whoever sees one monitor of several has no say in the canvas
    let mut left = watching(&listeners[1]);
    left.set_desktop_size(Size::new(100, 100), &[(0, Rect::new(0, 0, 100, 100))]).expect("a wish");
    left.wait_until("an answer", |c| !own(c).is_empty()).expect("an answer");
    assert_eq!(own(&left), [PROHIBITED]);
    assert_eq!((screen.size(), screen.monitors()), before);
    // all that happened to the others is nothing
    for client in [&mut client, &mut other] {
        client.wait_for_picture(&shown).expect("the desktop as it was");
        assert_eq!(client.picture().layout().len(), 2);
    }
    assert!(own(&other).is_empty() && other.picture().resize_answers().iter().all(|(reason, _)| *reason != 2));
    server.stop();
}

#[test]
fn three_hundred_screens_after_a_count_of_one_byte_hurt_only_their_sender() {
    let Some(x) = Xvfb::start("320x240") else { return };
    let screen = Screen::open(&x.display);
    let (server, _config) = serve(&x.display, &views(&["all"]));
    let mut other = watching(&server.listener());
    let mut client = watching(&server.listener());
    // the count says 44; what follows is no message
    let screens: Vec<(u32, Rect)> = (0..300).map(|n| (0xff00_0000 + n, Rect::new(n as u16, 0, 1, 240))).collect();
    client.set_desktop_size(Size::new(320, 240), &screens).expect("a wish");
    client.raw().read_to_close().expect("is closed");
    screen.fill(Rect::new(20, 30, 50, 60), 0x12_3456);
    other.wait_for_picture(&screen.rgb(screen.size().rect())).expect("goes on");
    assert_eq!(other.picture().layout().len(), 1);
    assert_eq!(screen.size(), Size::new(320, 240));
    server.stop();
}
