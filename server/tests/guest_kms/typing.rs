//! What a viewer types and points at comes out of the kernel's input devices, which are there while somebody watches.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use farpane_engine::geometry::{Point, Size};
use farpane_test_support::PATIENCE;
use farpane_test_support::screens::Shown;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::room::{Helper, in_guest, painter, scene, share, shows, side_by_side, viewer};

const TWO: [(u16, u16); 2] = [(640, 480), (640, 480)];
/// `struct input_event`: two times of 64 bits, type, code, value.
const RECORD: usize = 24;

/// The event device of this name; none when there is none.
fn node(name: &str) -> Option<String> {
    let all = std::fs::read_dir("/sys/class/input").ok()?.flatten();
    let mut events = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    events.find(|node| {
        let named = std::fs::read_to_string(format!("/sys/class/input/{node}/device/name"));
        node.starts_with("event") && named.is_ok_and(|text| text.trim() == name)
    })
}

fn wait_for(name: &str, there: bool) -> Option<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = node(name);
        if found.is_some() == there {
            return found;
        }
        assert!(Instant::now() < end, "{name}: {found:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn open(name: &str) -> File {
    let node = wait_for(name, true).expect("is there");
    File::open(format!("/dev/input/{node}")).expect("opens")
}

/// The next so many events, as type, code and value.
fn events(device: &mut File, count: usize) -> Vec<(u16, u16, i32)> {
    let limit = Timespec::try_from(PATIENCE).expect("a time");
    let mut all = Vec::new();
    while all.len() < count {
        let ready = poll(&mut [PollFd::from_borrowed_fd(device.as_fd(), PollFlags::IN)], Some(&limit));
        assert_eq!(ready, Ok(1), "only {all:?}");
        let mut record = [0; RECORD];
        device.read_exact(&mut record).expect("an event");
        let short = |at| u16::from_le_bytes([record[at], record[at + 1]]);
        let value = i32::from_le_bytes([record[20], record[21], record[22], record[23]]);
        // what the kernel repeats is its own
        if (short(16), value) != (1, 2) {
            all.push((short(16), short(18), value));
        }
    }
    all
}

#[test]
fn keys_pointer_and_wheel_arrive_while_somebody_watches() {
    if !in_guest() {
        return;
    }
    let _painter = painter(&TWO);
    let helper = Helper::start(&["--allow", "root"]);
    let server = share(&helper, "kms");
    assert_eq!(node("farpane keyboard"), None, "nobody watches");
    let mut client = viewer(&server);
    shows(&server, &mut client, &side_by_side(&TWO, |i, x, y| scene(i as u32)(x, y)), "the first picture");
    let (mut keyboard, mut pointer) = (open("farpane keyboard"), open("farpane pointer"));
    client.key(0x61, true).expect("sent");
    client.key(0x61, false).expect("sent");
    let report = (0, 0, 0);
    assert_eq!(events(&mut keyboard, 4), [(1, 30, 1), report, (1, 30, 0), report]);
    // the middle of the canvas, which is the left edge of the second screen
    client.pointer(640, 240, 0).expect("sent");
    let at = events(&mut pointer, 3);
    assert_eq!(at[2], report);
    for ((kind, code, value), axis) in at[..2].iter().zip([0, 1]) {
        assert_eq!((*kind, *code), (3, axis));
        assert!((32_700..=32_900).contains(value), "{at:?}");
    }
    client.pointer(640, 240, 1).expect("sent");
    assert_eq!(events(&mut pointer, 2), [(1, 0x110, 1), report]);
    client.pointer(640, 240, 1 << 3).expect("sent");
    let turned = events(&mut pointer, 5);
    assert!(
        turned.contains(&(1, 0x110, 0)) && turned.contains(&(2, 8, 1)) && turned.contains(&(2, 11, 120)),
        "{turned:?}"
    );
    drop(client);
    wait_for("farpane keyboard", false);
    wait_for("farpane pointer", false);
}

#[test]
fn the_pixel_that_points_is_inferred_from_where_the_shape_goes() {
    if !in_guest() {
        return;
    }
    let painter = painter(&TWO[..1]);
    let mut beam = painter.canvas((64, 64), drm::buffer::DrmFourcc::Argb8888);
    painter.draw(&mut beam, |x, y| if x == 7 && y < 20 { 0xffff_ffff } else { 0 });
    let helper = Helper::start(&["--allow", "root"]);
    let server = share(&helper, "kms");
    let mut client = viewer(&server);
    shows(&server, &mut client, &side_by_side(&TWO[..1], |_, x, y| scene(0)(x, y)), "the first picture");
    wait_for("farpane pointer", true);
    let end = Instant::now() + PATIENCE;
    let mut step = 0;
    let seen = (Size::new(1, 20), Point::new(0, 10));
    // a desktop whose shape follows, with (7, 10) of it at the place that is pointed at; viewers are sent the column that can be seen
    while client.picture().cursor().map(|cursor| (cursor.size, cursor.hotspot)) != Some(seen) {
        assert!(Instant::now() < end, "{:?}; the server: {}", client.picture().cursor(), server.log());
        step += 1;
        let (x, y) = (100 + step * 29 % 211, 90 + step * 17 % 157);
        client.pointer(x, y, 0).expect("sent");
        let place = [i32::from(x) - 7, i32::from(y) - 10, 64, 64];
        let at = Shown { canvas: &beam, part: [0, 0, 64, 64], place, besides: &[] };
        painter.show(0, drm::control::PlaneType::Cursor, Some(at));
        client.pump(Instant::now() + Duration::from_millis(40)).expect("is there");
    }
}

#[test]
fn a_helper_without_input_is_said_to_have_none() {
    if !in_guest() {
        return;
    }
    let _painter = painter(&TWO[..1]);
    let helper = Helper::start(&["--allow", "root", "--no-input"]);
    let server = share(&helper, "kms");
    let mut client = viewer(&server);
    shows(&server, &mut client, &side_by_side(&TWO[..1], |_, x, y| scene(0)(x, y)), "the first picture");
    server.wait_for_log("nobody can type or point reason=\"the helper was started with --no-input\"");
    assert_eq!(node("farpane keyboard"), None);
    client.key(0x61, true).expect("sent");
    client.key(0x61, false).expect("sent");
    shows(&server, &mut client, &side_by_side(&TWO[..1], |_, x, y| scene(0)(x, y)), "the picture");
}
