//! The built server on private sways, judged by grim: what a viewer decodes is what the compositor shows. The sandbox is on.

#![cfg(feature = "wayland")]

use std::process::Command;
use std::time::{Duration, Instant};

use farpane_engine::geometry::{Point, Rect, Size};
use farpane_test_support::painter::Painter;
use farpane_test_support::sway::Sway;
use farpane_test_support::{Client, PATIENCE, Server, encoding};

const FARPANE: &str = env!("CARGO_BIN_EXE_farpane");
/// How long stillness is looked at.
const WATCHED: Duration = Duration::from_secs(2);

fn share(sway: &Sway, source: &str) -> Server {
    let environment = sway.environment();
    let mut variables: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.push(("DISPLAY", ""));
    let arguments =
        ["serve", "--source", source, "--listen", "127.0.0.1:0", "--security", "none", "--log-level", "debug"];
    Server::start_in(FARPANE, &arguments, &variables)
}

fn viewer(server: &Server) -> Client {
    let mut client = server.client().expect("is let in");
    let list = [encoding::ZRLE, encoding::CURSOR, encoding::EXTENDED_DESKTOP_SIZE, encoding::LAST_RECT];
    client.set_encodings(&list).expect("a list");
    client.watch().expect("asks");
    client
}

/// Goes on until the viewer shows these outputs, each at its place, as grim sees them. False when there is no grim.
fn until_it_shows(client: &mut Client, sway: &Sway, what: &str, outputs: &[(&str, Point)]) -> bool {
    let end = Instant::now() + PATIENCE;
    let mut seen = String::new();
    while Instant::now() < end {
        client.pump(Instant::now() + Duration::from_millis(100)).expect("goes on");
        let mut all = true;
        for (name, at) in outputs {
            let Some((size, px)) = sway.grim(name) else { return false };
            let picture = client.picture();
            let canvas = picture.size();
            if u32::from(at.x) + u32::from(size.w) > canvas.w.into()
                || u32::from(at.y) + u32::from(size.h) > canvas.h.into()
            {
                (all, seen) = (false, format!("{name} of {size} on a canvas of {canvas}"));
                break;
            }
            let wrong = (0..size.h).flat_map(|y| (0..size.w).map(move |x| (x, y))).zip(&px).find(|((x, y), want)| {
                let [r, g, b] = picture.rgb_at(at.x + x, at.y + y);
                u32::from_be_bytes([0, r, g, b]) != **want
            });
            if let Some(((x, y), want)) = wrong {
                (all, seen) =
                    (false, format!("{name} at ({x}, {y}): {:?}, {want:06x}", picture.rgb_at(at.x + x, at.y + y)));
                break;
            }
        }
        if all {
            return true;
        }
    }
    let picture = client.picture();
    let (size, screens, updates) = (picture.size(), picture.layout(), client.traffic.updates.len());
    panic!("{what}: {seen}; {size} with {screens:?} after {updates} updates");
}

fn noise(x: u16, y: u16) -> u32 {
    (u32::from(x).wrapping_mul(2_654_435_761) ^ u32::from(y).wrapping_mul(40_503)).wrapping_mul(0x9e37_79b1) >> 8
}

fn assert_shut_in(pid: u32) {
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).expect("runs").flatten() {
        let Ok(status) = std::fs::read_to_string(task.path().join("status")) else { continue };
        assert!(status.lines().any(|l| l.starts_with("Seccomp:") && l.ends_with('2')), "{status}");
    }
}

#[test]
fn a_viewer_shows_what_grim_shows_on_two_outputs() {
    let Some(sway) = Sway::start(&["640x480", "800x600"]) else { return };
    let mut right = Painter::open(&sway.socket(), "HEADLESS-2");
    right.paint(right.size.rect(), noise);
    let server = share(&sway, "wlroots");
    assert_shut_in(server.pid());
    let mut client = viewer(&server);
    let both = [("HEADLESS-1", Point::new(0, 0)), ("HEADLESS-2", Point::new(640, 0))];
    if !until_it_shows(&mut client, &sway, "the first picture", &both) {
        return;
    }
    assert_eq!(client.picture().size(), Size::new(1440, 600));
    assert_eq!(client.picture().layout().len(), 2);
    assert_eq!(client.picture().cursor().map(|c| c.size), Some(Size::new(0, 0)), "the pointer is in the picture");
    for i in 0..5u16 {
        right.paint(Rect::new(100 * i, 50 * i, 120, 60), |x, y| noise(x, y) ^ 0x55_aa00);
        until_it_shows(&mut client, &sway, "what was painted", &both);
    }
}

/// Something that is soon sent.
fn page(x: u16, y: u16) -> u32 {
    if (x / 100 + y / 60).is_multiple_of(3) { 0xff_ffff } else { 0x30_5070 }
}

/// What the log counts of a source when its last viewer left, the `nth` time.
fn counts(server: &Server, nth: usize) -> [u64; 4] {
    let end = Instant::now() + PATIENCE;
    loop {
        let log = server.log();
        if let Some(line) = log.lines().filter(|l| l.contains("capture stops")).nth(nth) {
            return ["frames=", "compared_bytes=", "copied_bytes=", "staged_bytes="].map(|name| {
                let at = line.split(&format!(" {name}")).nth(1).expect("a count");
                at.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
            });
        }
        assert!(Instant::now() < end, "capture does not stop\n{log}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn settled(server: &Server) -> Client {
    let mut client = viewer(server);
    client.wait_until("a picture", |c| !c.traffic.updates.is_empty()).expect("a picture");
    let end = Instant::now() + PATIENCE;
    while client.bytes_within(Duration::from_millis(1_000)).expect("goes on") > 0 {
        assert!(Instant::now() < end, "the server never stops sending");
    }
    client
}

#[test]
fn a_still_4k_desktop_costs_nothing_and_one_line_is_copied_once() {
    let Some(sway) = Sway::start(&["3840x2160"]) else { return };
    let mut painter = Painter::open(&sway.socket(), "HEADLESS-1");
    painter.paint(painter.size.rect(), page);
    let server = share(&sway, "wlroots");
    let mut client = settled(&server);
    let updates = client.traffic.updates.len();
    assert_eq!(client.bytes_within(WATCHED).expect("goes on"), 0, "bytes of a still desktop");
    assert_eq!(client.traffic.updates.len(), updates);
    drop(client);
    let [frames, _, first, _] = counts(&server, 0);
    assert!((1..=3).contains(&frames), "{frames} frames of a still desktop");
    assert!(first <= 3840 * 2160 * 4, "{first} bytes copied for a picture of {}", 3840 * 2160 * 4);

    // nobody watches: what changes costs nothing until somebody does
    painter.paint(Rect::new(0, 0, 64, 64), |_, _| 0);
    let mut client = settled(&server);
    let line = Rect::new(100, 700, 800, 20);
    let before = client.traffic.updates.len();
    painter.paint(line, |x, y| !page(x, y));
    client.wait_until("the line", |c| c.traffic.updates.len() > before).expect("an update");
    client.bytes_within(Duration::from_millis(500)).expect("goes on");
    drop(client);
    let [both, compared, copied, staged] = counts(&server, 1);
    assert_eq!(staged, 0);
    assert!(both - frames <= 5, "{} frames for a second viewer and a line", both - frames);
    let line_bytes = 800 * 20 * 4;
    let whole = 3840 * 2160 * 4;
    // each start looks at the whole picture, and copies of it what is new
    assert!(copied - first <= line_bytes + 64 * 64 * 4, "{} bytes copied for a line of {line_bytes}", copied - first);
    assert!(copied - first >= line_bytes, "{} bytes copied for a line of {line_bytes}", copied - first);
    assert!(compared <= 4 * whole + 4 * line_bytes, "{compared} bytes compared");
}

#[test]
fn outputs_that_appear_turn_scale_and_change_their_size_are_followed() {
    let Some(sway) = Sway::start(&["640x480"]) else { return };
    let mut painter = Painter::open(&sway.socket(), "HEADLESS-1");
    painter.paint(painter.size.rect(), noise);
    let server = share(&sway, "wlroots");
    let mut client = viewer(&server);
    let here = Point::new(0, 0);
    if !until_it_shows(&mut client, &sway, "the first picture", &[("HEADLESS-1", here)]) {
        return;
    }
    sway.tell("create_output");
    sway.tell("output HEADLESS-2 resolution 320x240 position 640 0");
    let both = |x| [("HEADLESS-1", here), ("HEADLESS-2", Point::new(x, 0))];
    until_it_shows(&mut client, &sway, "a second output", &both(640));
    client.wait_until("its screen", |c| c.picture().layout().len() == 2).expect("a layout");
    sway.tell("output HEADLESS-1 transform 90");
    painter.fit();
    painter.paint(painter.size.rect(), noise);
    // the compositor leaves the other where it is: a gap stays a gap
    until_it_shows(&mut client, &sway, "a turned output", &both(640));
    painter.paint(Rect::new(3, 5, 100, 70), |_, _| 0xff_00ff);
    until_it_shows(&mut client, &sway, "a part of it", &both(640));
    sway.tell("output HEADLESS-1 transform normal");
    painter.fit();
    sway.tell("output HEADLESS-1 scale 2");
    painter.fit();
    painter.paint(painter.size.rect(), noise);
    until_it_shows(&mut client, &sway, "a scaled output", &[("HEADLESS-1", here)]);
    sway.tell("output HEADLESS-1 resolution 1024x768");
    painter.fit();
    painter.paint(painter.size.rect(), noise);
    until_it_shows(&mut client, &sway, "a larger output", &[("HEADLESS-1", here)]);
}

#[test]
fn a_compositor_that_is_killed_and_started_again_is_served_again() {
    let Some(mut sway) = Sway::start(&["640x480"]) else { return };
    let server = share(&sway, "wlroots");
    let mut client = viewer(&server);
    client.wait_until("a picture", |c| !c.traffic.updates.is_empty()).expect("a picture");
    sway.kill();
    server.wait_for_log("desktop is gone");
    sway.again();
    server.wait_for_log("desktop is back");
    let mut painter = Painter::open(&sway.socket(), "HEADLESS-1");
    painter.paint(painter.size.rect(), noise);
    until_it_shows(&mut client, &sway, "the desktop that came back", &[("HEADLESS-1", Point::new(0, 0))]);
    assert_shut_in(server.pid());
}

#[test]
fn auto_takes_the_compositor_of_the_environment_and_probe_says_what_it_offers() {
    let Some(sway) = Sway::start(&["640x480"]) else { return };
    let server = share(&sway, "auto");
    server.wait_for_log("named by WAYLAND_DISPLAY");
    let output =
        Command::new(FARPANE).arg("probe").envs(sway.environment()).env_remove("DISPLAY").output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |start: &str| {
        let found = said.lines().find(|l| l.trim_start().starts_with(start));
        found.unwrap_or_else(|| panic!("no line {start:?}:\n{said}")).to_owned()
    };
    assert!(line("yes wlroots").contains("Wayland compositor at wayland-1"));
    assert!(line("pictures:").contains("ext_image_copy_capture_manager_v1 not offered"));
    assert!(line("pictures:").contains("zwlr_screencopy_manager_v1 3"));
    assert!(line("route:").contains("wlr-screencopy-unstable-v1"));
    assert!(line("auto takes wlroots").contains("named by WAYLAND_DISPLAY"));
}

#[test]
fn a_named_compositor_that_is_not_there_is_one_line_and_no_other_is_taken() {
    let Some(sway) = Sway::start(&["640x480"]) else { return };
    let output = Command::new(FARPANE)
        .args(["serve", "--source", "wlroots", "--listen", "127.0.0.1:0"])
        .envs(sway.environment())
        .env("WAYLAND_DISPLAY", "wayland-77")
        .env("STATE_DIRECTORY", Server::state_folder())
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains("no Wayland compositor at wayland-77") && said.contains("WAYLAND_DISPLAY"), "{said}");
}
