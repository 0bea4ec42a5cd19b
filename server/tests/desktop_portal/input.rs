//! Keys and the pointer, as a terminal sees them.

use std::time::Duration;

use super::{Desk, until};
use farpane_engine::geometry::Size;
use farpane_test_support::xvfb::skip;

/// A terminal that writes every line that is typed into it to a file of the desktop's folder.
fn terminal(desk: &Desk) -> Option<std::process::Child> {
    let script = "while read -r line; do echo \"$line\" >>$DESKTOP_DIR/typed; done";
    match desk.desktop.command("foot").args(["sh", "-c", script]).spawn() {
        Ok(child) => Some(child),
        Err(error) => {
            skip(&format!("foot: {error}"));
            None
        }
    }
}

fn typed(desk: &Desk) -> String {
    std::fs::read_to_string(desk.desktop.dir().join("typed")).unwrap_or_default()
}

#[test]
fn typed_text_arrives_by_keysym_and_by_scan_code() {
    let Some(mut desk) = Desk::start(&["1024x768"]) else { return };
    assert_eq!(desk.sizes(), [Size::new(1024, 768)]);
    let Some(mut foot) = terminal(&desk) else { return };
    // until the terminal has the keyboard, lines go nowhere
    until("the terminal reads", || {
        desk.tap(u32::from(b'x'));
        desk.tap(0xff0d);
        std::thread::sleep(Duration::from_millis(200));
        typed(&desk).contains('x')
    });
    let line = |want: &str, keys: &dyn Fn()| {
        desk.tap(0xff0d);
        keys();
        desk.tap(0xff0d);
        until(want, || typed(&desk).lines().last() == Some(want));
    };
    // faster than anybody types: each key in its turn, and none is lost
    let pangram = "The quick brown fox jumps over the lazy dog; 0123456789 (and BACK)!";
    for _ in 0..5 {
        line(pangram, &|| pangram.chars().for_each(|ch| desk.tap(ch as u32)));
    }
    // the keys of q, Shift and w on a PC keyboard, whatever their keysyms say
    let keys = [(true, 0x10), (false, 0x10), (true, 0x2a), (true, 0x11), (false, 0x11), (false, 0x2a)];
    line("qW", &|| keys.into_iter().for_each(|(down, scan)| desk.key(down, 0x416, Some(scan))));
    desk.picture(0, "the terminal", |frame| frame.size == Size::new(1024, 768));
    let _ = foot.kill();
    let _ = foot.wait();
}
