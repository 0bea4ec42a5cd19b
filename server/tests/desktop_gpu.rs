//! The built server with its damage stage on a GPU, a program that plays one where there is no other: what a viewer decodes is what is on
//! the screen, and what came back from the GPU is what changed. The sandbox is on.

#![cfg(all(feature = "gpu", feature = "wayland", feature = "x11"))]

use std::time::{Duration, Instant};

use farpane_engine::geometry::{Rect, Size};
use farpane_test_support::painter::Painter;
use farpane_test_support::sway::Sway;
use farpane_test_support::xvfb::{Xvfb, skip};
use farpane_test_support::{Client, PATIENCE, Server, encoding};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ChangeGCAux, ConnectionExt as _, CreateGCAux, ImageFormat, Rectangle};
use x11rb::wrapper::ConnectionExt as _;

const FARPANE: &str = env!("CARGO_BIN_EXE_farpane");

/// What comes back of every frame, and of every changed cell beside.
const HEAD: u64 = 16;
const CELL: u64 = 24 + 64 * 64 * 4;

/// A server that compares on a GPU; none where there is no GPU of any kind.
fn share(source: &str, variables: &[(&str, &str)]) -> Option<Server> {
    if let Err(error) = farpane_engine::gpu::Gpu::open(farpane_engine::gpu::Choice::Any) {
        skip(&error.to_string());
        return None;
    }
    let words = ["serve", "--source", source, "--gpu", "force", "--listen", "127.0.0.1:0", "--security", "none"];
    let server = Server::start_in(FARPANE, &[&words[..], &["--log-level", "debug"]].concat(), variables);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("runs");
    assert!(status.lines().any(|l| l.starts_with("Seccomp:") && l.ends_with('2')), "{status}");
    Some(server)
}

fn viewer(server: &Server) -> Client {
    let mut client = server.client().expect("is let in");
    client.set_encodings(&[encoding::ZRLE, encoding::CURSOR, encoding::LAST_RECT]).expect("a list");
    client.watch().expect("asks");
    client
}

/// What the log counts of the GPU once nobody watches: frames, frames of the CPU, cells and bytes that came back.
fn counts(server: &Server) -> [u64; 4] {
    let end = Instant::now() + PATIENCE;
    loop {
        let log = server.log();
        if let Some(line) = log.lines().find(|line| line.contains("compared on the GPU frames")) {
            let number = |name: &str| {
                let (_, rest) = line.split_once(&format!(" {name}=")).expect("is counted");
                rest.split(' ').next().and_then(|n| n.parse().ok()).expect("a number")
            };
            return ["frames", "cpu_frames", "cells", "read_bytes"].map(number);
        }
        assert!(Instant::now() < end, "nothing is counted: {log}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Demands that all was compared on the GPU, and that no more came back than what changed.
fn assert_counted(server: &Server, most_cells: u64) {
    let [frames, cpu_frames, cells, bytes] = counts(server);
    assert!(frames > 0 && cells <= most_cells, "{frames} frames, {cells} cells (at most {most_cells})");
    assert_eq!(bytes, frames * HEAD + cells * CELL);
    assert_eq!(cpu_frames, 0);
}

fn noise(x: u16, y: u16) -> u32 {
    (u32::from(x).wrapping_mul(2_654_435_761) ^ u32::from(y).wrapping_mul(40_503)).wrapping_mul(0x9e37_79b1) >> 8
}

fn rgb(pixels: &[u32]) -> Vec<u8> {
    pixels.iter().flat_map(|p| p.to_be_bytes().into_iter().skip(1)).collect()
}

#[test]
fn a_viewer_of_an_x_server_shows_what_it_shows() {
    let Some(x) = Xvfb::start("400x300x24") else { return };
    let (c, screen) = x11rb::connect(Some(&x.display)).expect("connects");
    let screen = c.setup().roots[screen].clone();
    let pen = c.generate_id().expect("an id");
    c.create_gc(pen, screen.root, &CreateGCAux::new()).expect("asks");
    let mut shown = vec![0u32; 400 * 300];
    let mut paint = |part: Rect, salt: u32| {
        let mut bytes = Vec::new();
        for y in part.y..part.bottom() {
            for x in part.x..part.right() {
                let pixel = noise(x, y) ^ salt;
                shown[usize::from(y) * 400 + usize::from(x)] = pixel;
                bytes.extend(pixel.to_le_bytes());
            }
        }
        let (w, h, x, y) = (part.w, part.h, part.x as i16, part.y as i16);
        let format = ImageFormat::Z_PIXMAP;
        c.put_image(format, screen.root, pen, w, h, x, y, 0, screen.root_depth, &bytes).expect("asks");
        c.sync().expect("a round trip");
        rgb(&shown)
    };
    let first = paint(Size::new(400, 300).rect(), 0);
    let Some(server) = share("x11", &[("DISPLAY", &x.display)]) else { return };
    let mut client = viewer(&server);
    client.wait_for_picture(&first).expect("the first picture");
    // three inside one cell, one across two, one across four
    for (i, at) in [(0, 10), (70, 70), (200, 140), (330, 250), (120, 120)].into_iter().enumerate() {
        let want = paint(Rect::new(at.0, at.1, 16, 16), 0x33_0000 + i as u32);
        client.wait_for_picture(&want).expect("what was painted");
    }
    drop(client);
    assert_counted(&server, 7 * 5 + 3 + 2 + 4);
}

#[test]
fn what_is_scrolled_on_an_x_server_reaches_a_viewer_as_copies() {
    let Some(x) = Xvfb::start("400x300x24") else { return };
    let (c, screen) = x11rb::connect(Some(&x.display)).expect("connects");
    let screen = c.setup().roots[screen].clone();
    let pen = c.generate_id().expect("an id");
    c.create_gc(pen, screen.root, &CreateGCAux::new()).expect("asks");
    // a page that is taller than the screen: its rows from `top` on, put at `y`
    let put = |top: u16, y: u16, rows: u16| {
        let bytes: Vec<u8> =
            (top..top + rows).flat_map(|y| (0..400).flat_map(move |x| noise(x, y).to_le_bytes())).collect();
        let (format, depth) = (ImageFormat::Z_PIXMAP, screen.root_depth);
        c.put_image(format, screen.root, pen, 400, rows, 0, y as i16, 0, depth, &bytes).expect("asks");
    };
    let shown = |top: u16| rgb(&(top..top + 300).flat_map(|y| (0..400).map(move |x| noise(x, y))).collect::<Vec<_>>());
    put(0, 0, 300);
    c.sync().expect("a round trip");
    let Some(server) = share("x11", &[("DISPLAY", &x.display)]) else { return };
    let mut client = server.client().expect("is let in");
    let encodings = [encoding::COPY_RECT, encoding::ZRLE, encoding::CURSOR, encoding::LAST_RECT];
    client.set_encodings(&encodings).expect("a list");
    client.watch().expect("asks");
    client.wait_for_picture(&shown(0)).expect("the first picture");
    for top in [17, 34, 51, 68] {
        c.copy_area(screen.root, screen.root, pen, 0, 17, 0, 0, 400, 283).expect("asks");
        put(top + 283, 283, 17);
        c.sync().expect("a round trip");
        client.wait_for_picture(&shown(top)).expect("what was scrolled");
    }
    let copies = client.picture().count("copyrect");
    assert!(copies >= 4, "{:?}", client.picture().counts());
    drop(client);
    let [frames, cpu_frames, ..] = counts(&server);
    assert!(frames > 4 && cpu_frames == 0, "{frames} frames, {cpu_frames} of the processor");
}

#[test]
fn a_viewer_of_a_wayland_output_shows_what_it_shows() {
    let Some(sway) = Sway::start(&["640x480"]) else { return };
    let mut painter = Painter::open(&sway.socket(), "HEADLESS-1");
    painter.paint(painter.size.rect(), noise);
    let environment = sway.environment();
    let mut variables: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.push(("DISPLAY", ""));
    let Some(server) = share("wlroots", &variables) else { return };
    let mut client = viewer(&server);
    client.wait_for_picture(&rgb(&painter.px)).expect("the first picture");
    for i in 0..4 {
        painter.paint(Rect::new(70 + 130 * i, 70, 20, 20), |x, y| noise(x, y) ^ 0x0055_aa00);
        client.wait_for_picture(&rgb(&painter.px)).expect("what was painted");
    }
    drop(client);
    assert_counted(&server, 80 + 2 * 4);
}

#[test]
fn a_gpu_that_is_lost_inside_the_sandbox_is_replaced_once() {
    let Some(x) = Xvfb::start("1280x720x24") else { return };
    let (c, screen) = x11rb::connect(Some(&x.display)).expect("connects");
    let screen = c.setup().roots[screen].clone();
    let pen = c.generate_id().expect("an id");
    c.create_gc(pen, screen.root, &CreateGCAux::new()).expect("asks");
    let paint = |colour: u32| {
        c.change_gc(pen, &ChangeGCAux::new().foreground(colour)).expect("asks");
        c.poly_fill_rectangle(screen.root, pen, &[Rectangle { x: 0, y: 0, width: 1280, height: 720 }]).expect("asks");
        c.sync().expect("a round trip");
        rgb(&vec![colour; 1280 * 720])
    };
    let first = paint(1);
    let Some(server) = share("x11", &[("DISPLAY", &x.display)]) else { return };
    let mut client = viewer(&server);
    client.wait_for_picture(&first).expect("the first picture");
    let pid = rustix::process::Pid::from_raw(server.pid().cast_signed()).expect("runs");
    let order = |signal| rustix::process::kill_process(pid, signal).expect("is ours");
    let end = Instant::now() + PATIENCE;
    let mut colour = 2;
    // a process that is stopped in the midst of a frame finds that the frame took too long
    while !server.log().contains("the spare one takes its place") {
        assert!(Instant::now() < end, "it is never lost: {}", server.log());
        let want = paint(colour);
        std::thread::sleep(Duration::from_millis(u64::from(colour) * 7 % 40));
        order(rustix::process::Signal::STOP);
        std::thread::sleep(Duration::from_millis(700));
        order(rustix::process::Signal::CONT);
        client.wait_for_picture(&want).expect("what was painted");
        // whether it is lost is seen with the next frame
        client.wait_for_picture(&paint(colour + 1)).expect("what was painted");
        colour += 2;
    }
    for colour in colour..colour + 3 {
        client.wait_for_picture(&paint(colour)).expect("what was painted");
    }
    drop(client);
    let [frames, cpu_frames, ..] = counts(&server);
    let log = server.log();
    assert_eq!(log.matches("GPU lost: ").count(), 1, "{log}");
    assert!(frames > 3 && cpu_frames <= 2, "{frames} frames, {cpu_frames} of the processor: {log}");
}

#[test]
fn a_gpu_that_is_not_there_is_said_before_anything_is_served() {
    let nowhere = [("VK_DRIVER_FILES", "/nonexistent"), ("VK_ICD_FILENAMES", "/nonexistent")];
    let mut command = std::process::Command::new(FARPANE);
    command.args(["serve", "--source", "synthetic", "--gpu", "force", "--listen", "127.0.0.1:0"]).envs(nowhere);
    let said = command.output().expect("runs");
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success() && text.contains("no Vulkan device"), "{}: {text}", said.status);
    let said = std::process::Command::new(FARPANE).args(["serve", "--gpu", "yes"]).output().expect("runs");
    assert!(String::from_utf8_lossy(&said.stderr).contains("expected auto, off or force"));
}

#[test]
fn what_it_costs_is_measured_beside_the_processor_and_a_program_is_called_one() {
    let gpu = match farpane_engine::gpu::Gpu::open(farpane_engine::gpu::Choice::Any) {
        Ok(gpu) => gpu,
        Err(error) => return skip(&error.to_string()),
    };
    let said = std::process::Command::new(FARPANE).args(["bench", "gpu", "--seconds", "1", "--json"]).output();
    let said = said.expect("runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let report: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
    assert_eq!(report["device"], gpu.adapter().to_string());
    assert_eq!(report["software"], gpu.adapter().kind == farpane_engine::gpu::Kind::Software);
    let rows = report["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 15, "{}", report["missing"]);
    for row in rows {
        let number = |name: &str| row[name].as_f64().expect("a number");
        let cells = (number("width") / 64.0).ceil() * (number("height") / 64.0).ceil();
        let share = number("cells") * 100.0 / cells;
        assert!((share - number("changed_percent")).abs() < 1.0, "{row}");
        for name in ["upload_ms", "compare_host_ms", "compare_ms", "compact_ms", "copy_ms", "cpu_ms"] {
            assert!(number(name) > 0.0, "{name} of {row}");
        }
    }
}
