//! What the built server costs on a real X desktop, in counts: a still screen costs nothing, one letter costs a letter
//! whatever the size of the screen. Seconds are nobody's business here: this machine may be busy.

#![cfg(feature = "x11")]

use farpane_engine::geometry::Rect;
use farpane_test_support::xvfb::{Xvfb, skip};
use farpane_test_support::{Client, PATIENCE, Server, encoding};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use x11rb::COPY_DEPTH_FROM_PARENT;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    ConnectionExt as _, CreateGCAux, CreateWindowAux, EventMask, ImageFormat, InputFocus, WindowClass,
};
use x11rb::wrapper::ConnectionExt as _;

const FARPANE: &str = env!("CARGO_BIN_EXE_farpane");
/// How long stillness is looked at.
const WATCHED: Duration = Duration::from_secs(2);
/// Times that the threads of a server on a still screen may go to sleep in that time: two of its idle threads may end.
const FEW_SLEEPS: u64 = 10;
/// Frames for one viewer of a still screen: the first one, and one if the screen told of itself meanwhile.
const FEW_FRAMES: u64 = 3;
/// The pseudo-encoding that asks for JPEG quality 8.
const QUALITY_8: i32 = -24;
const LETTERS: u16 = 5;
const LETTER_W: u16 = 10;
const LETTER_H: u16 = 20;

/// Where letter number `n` is drawn.
fn place(n: u16) -> (u16, u16) {
    (43 + 14 * n, 61)
}

/// One letter's pixels: two strokes with smooth edges on white, no two letters alike.
fn letter(n: u16) -> Vec<u8> {
    let grey = |x: u16, y: u16| match (x + n) % 7 {
        0 | 1 => 0u8,
        2 => 96 + 8 * (y % 3) as u8,
        _ if y == 9 + n % 3 => 0,
        _ => 255,
    };
    let rows = 0..LETTER_H;
    rows.flat_map(|y| (0..LETTER_W).flat_map(move |x| [grey(x, y), grey(x, y), grey(x, y), 0])).collect()
}

/// A white window over the whole screen that has the keyboard; each key that goes down draws the next letter in it.
///
/// Its thread ends when the X server does.
fn typewriter(x: &Xvfb) {
    let (c, screen) = x11rb::connect(Some(&x.display)).expect("connects");
    let screen = c.setup().roots[screen].clone();
    let (window, pen) = (c.generate_id().expect("an id"), c.generate_id().expect("an id"));
    let look = CreateWindowAux::new()
        .background_pixel(screen.white_pixel)
        .override_redirect(1)
        .event_mask(EventMask::KEY_PRESS);
    let (w, h) = (screen.width_in_pixels, screen.height_in_pixels);
    c.create_window(COPY_DEPTH_FROM_PARENT, window, screen.root, 0, 0, w, h, 0, WindowClass::INPUT_OUTPUT, 0, &look)
        .expect("asks");
    c.create_gc(pen, window, &CreateGCAux::new()).expect("asks");
    c.map_window(window).expect("asks");
    // the keyboard goes to a window that is shown
    c.sync().expect("a round trip");
    c.set_input_focus(InputFocus::POINTER_ROOT, window, x11rb::CURRENT_TIME).expect("asks");
    c.sync().expect("a round trip");
    std::thread::spawn(move || {
        let mut n = 0;
        while let Ok(event) = c.wait_for_event() {
            if matches!(event, Event::KeyPress(_)) {
                let (x, y) = (place(n).0 as i16, place(n).1 as i16);
                let (format, pixels) = (ImageFormat::Z_PIXMAP, letter(n));
                if c.put_image(format, window, pen, LETTER_W, LETTER_H, x, y, 0, screen.root_depth, &pixels).is_err() {
                    return;
                }
                n += 1;
                if c.flush().is_err() {
                    return;
                }
            }
        }
    });
}

fn share(x: &Xvfb) -> Server {
    let source = format!("x11:{}", x.display);
    let arguments =
        ["serve", "--source", &source, "--listen", "127.0.0.1:0", "--security", "none", "--log-level", "debug"];
    Server::start(FARPANE, &arguments)
}

/// A viewer with continuous updates that shows the whole picture, the exact pixels after JPEG included.
fn settled(server: &Server, codec: i32) -> Client {
    let mut client = server.client().expect("a client");
    let list = [codec, encoding::CURSOR, encoding::LAST_RECT, encoding::FENCE, encoding::CONTINUOUS_UPDATES];
    client.set_encodings(&list).expect("a list");
    client.wait_until("continuous updates offered", |c| c.traffic.ends > 0).expect("an offer");
    client.watch_continuously().expect("asks");
    client.wait_until("a picture", |c| !c.traffic.updates.is_empty()).expect("a picture");
    let end = Instant::now() + PATIENCE;
    while client.bytes_within(Duration::from_millis(1_500)).expect("goes on") > 0 {
        assert!(Instant::now() < end, "the server never stops sending");
    }
    client
}

/// How often each thread of a process went to sleep by itself.
fn sleeps(pid: u32) -> HashMap<String, u64> {
    let mut counts = HashMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process").flatten() {
        // a thread may end between the listing and the reading
        let Ok(status) = std::fs::read_to_string(task.path().join("status")) else { continue };
        let count = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
        let count = count.and_then(|n| n.trim().parse().ok()).expect("a count");
        counts.insert(task.file_name().to_string_lossy().into_owned(), count);
    }
    counts
}

/// What the server did while `client` only watched: bytes, updates, and sleeps of its threads.
fn cost_of_watching(server: &Server, client: &mut Client) -> (u64, usize, u64) {
    let (before, updates) = (sleeps(server.pid()), client.traffic.updates.len());
    let bytes = client.bytes_within(WATCHED).expect("goes on");
    let slept = sleeps(server.pid()).iter().map(|(task, n)| n - before.get(task).copied().unwrap_or(0)).sum();
    (bytes, client.traffic.updates.len() - updates, slept)
}

/// Frames that the server took from its source by the time that its last viewer left, the `nth` time it logged that.
fn frames_when_left(server: &Server, nth: usize) -> u64 {
    let end = Instant::now() + PATIENCE;
    loop {
        let log = server.log();
        let line = log.lines().filter(|l| l.contains("capture stops")).nth(nth);
        if let Some(frames) = line.and_then(|l| l.split("frames=").nth(1)) {
            return frames.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number");
        }
        assert!(Instant::now() < end, "capture does not stop\n{log}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_still_desktop_costs_nothing_and_without_a_viewer_nothing_is_captured() {
    let Some(x) = Xvfb::start("3840x2160") else { return };
    typewriter(&x);
    let server = share(&x);
    let mut client = settled(&server, encoding::TIGHT);
    let (bytes, updates, slept) = cost_of_watching(&server, &mut client);
    assert_eq!((bytes, updates), (0, 0), "bytes and updates of a still desktop");
    assert!(slept <= FEW_SLEEPS, "the server's threads woke {slept} times");
    drop(client);
    let first = frames_when_left(&server, 0);
    assert!((1..=FEW_FRAMES).contains(&first), "{first} frames of a still desktop");

    // the whole screen changes again and again, and nobody watches
    for colour in ["black", "white"].repeat(5) {
        let painted = x.command("xrefresh").args(["-solid", colour]).status();
        match painted {
            Ok(status) => assert!(status.success(), "xrefresh: {status}"),
            Err(error) => return skip(&format!("xrefresh: {error}")),
        }
    }
    let client = settled(&server, encoding::ZRLE);
    drop(client);
    let both = frames_when_left(&server, 1);
    assert!(both - first <= FEW_FRAMES, "{} frames for a second viewer", both - first);
}

#[test]
fn the_measures_of_stillness_see_a_scene_that_moves() {
    let server = Server::synthetic(FARPANE, "320x200@30:typing", &["--log-level", "debug"]);
    let mut client = server.client().expect("a client");
    client.set_encodings(&[encoding::ZRLE, encoding::LAST_RECT]).expect("a list");
    client.watch().expect("asks");
    let (bytes, updates, slept) = cost_of_watching(&server, &mut client);
    assert!(bytes > 0 && updates > 0);
    assert!(slept > FEW_SLEEPS, "only {slept} sleeps of a moving scene");
    drop(client);
    assert!(frames_when_left(&server, 0) > FEW_FRAMES);
}

#[test]
fn what_moves_is_not_taken_for_still_because_a_viewer_is_slow() {
    let server = Server::synthetic(FARPANE, "640x400@30:video", &[]);
    let mut client = server.client().expect("a client");
    client.set_encodings(&[encoding::TIGHT, QUALITY_8, encoding::LAST_RECT]).expect("a list");
    let everything = Rect::new(0, 0, 640, 400);
    client.request(false, everything).expect("asks");
    client.wait_until("a picture", |c| !c.traffic.updates.is_empty()).expect("a picture");
    // longer between two requests than lossy pixels have to be quiet to be sent again exactly
    let pause = Duration::from_millis(1_200);
    let mut costs = |requests: usize| -> Vec<u64> {
        let mut cost = || {
            client.bytes_within(pause).expect("goes on");
            let (before, updates) = (client.traffic.bytes, client.traffic.updates.len());
            client.request(true, everything).expect("asks");
            client.wait_until("an update", |c| c.traffic.updates.len() > updates).expect("an update");
            client.traffic.bytes - before
        };
        (0..requests).map(|_| cost()).collect()
    };
    // on a busy machine a frame may be late once
    let mut rounds = Vec::new();
    let photograph = 640 * 400 / 2;
    while rounds.last().is_none_or(|bytes: &Vec<u64>| bytes.iter().any(|b| *b > photograph)) {
        assert!(rounds.len() < 5, "bytes of updates of a moving photograph: {rounds:?}");
        rounds.push(costs(6));
    }
}

/// Bytes on the wire for each letter typed by the viewer itself, on a desktop of this size.
fn typed(screen: &str, codec: i32) -> Option<Vec<u64>> {
    let x = Xvfb::start(screen)?;
    typewriter(&x);
    let server = share(&x);
    let mut client = settled(&server, codec);
    let mut costs = Vec::new();
    for n in 0..LETTERS {
        let before = client.traffic.bytes;
        let key = 0x61 + u32::from(n);
        client.key(key, true).expect("sends");
        let (left, top) = place(n);
        let want = letter(n);
        let drawn = |c: &Client| {
            let mut spots = (0..LETTER_H).flat_map(|y| (0..LETTER_W).map(move |x| (x, y)));
            spots.all(|(x, y)| {
                let at = (usize::from(y) * usize::from(LETTER_W) + usize::from(x)) * 4;
                c.picture().rgb_at(left + x, top + y) == [want[at]; 3]
            })
        };
        client.wait_until("the letter", drawn).expect("the letter");
        client.key(key, false).expect("sends");
        client.bytes_within(Duration::from_millis(200)).expect("goes on");
        costs.push(client.traffic.bytes - before);
    }
    Some(costs)
}

#[test]
fn one_letter_costs_a_letter_at_any_size_of_the_screen() {
    for codec in [encoding::TIGHT, encoding::ZRLE] {
        let (Some(small), Some(large)) = (typed("1920x1080", codec), typed("3840x2160", codec)) else { return };
        assert!(small.iter().chain(&large).all(|b| *b < 700), "bytes of letters: {small:?} and {large:?}");
        let (small, large): (u64, u64) = (small.iter().sum(), large.iter().sum());
        assert!(large * 5 <= small * 6 && small * 5 <= large * 6, "{small} bytes at 1080p, {large} at 4K");
    }
}
