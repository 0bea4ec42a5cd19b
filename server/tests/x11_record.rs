//! Recordings of private X servers by the built binary.

#![cfg(feature = "x11")]

use std::path::{Path, PathBuf};

use farpane_engine::capture::replay::{RecordKind, TraceReader};
use farpane_engine::geometry::{Rect, Size};
use farpane_test_support::xvfb::{Xvfb, skip};
use farpane_test_support::{PATIENCE, Server};

const BINARY: &str = env!("CARGO_BIN_EXE_farpane");
const SIZE: Size = Size::new(320, 200);

/// A file that goes with the value.
struct Kept(PathBuf);

impl Kept {
    fn new(name: &str) -> Self {
        Kept(std::env::temp_dir().join(format!("farpane-x11-record-{}-{name}", std::process::id())))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Fills the screen with one colour; false when that cannot be done here.
fn paint(server: &Xvfb, colour: &str) -> bool {
    match server.command("xsetroot").args(["-solid", colour]).status() {
        Ok(status) => {
            assert!(status.success(), "xsetroot: {status}");
            true
        }
        Err(error) => {
            skip(&format!("xsetroot: {error}"));
            false
        }
    }
}

fn record(server: &Xvfb, file: &Kept, more: &[&str]) -> Server {
    let source = format!("x11:{}", server.display);
    let path = file.0.to_str().expect("a path of text");
    let recorder = Server::spawn(BINARY, &[&["record", "--source", &source, path], more].concat());
    recorder.wait_for_log("recording");
    recorder
}

/// The colours of the pictures, each all over, and whether the trace ended in order.
fn colours(file: &Path) -> (Vec<u32>, bool) {
    let bytes = std::fs::read(file).expect("a file");
    let mut reader = TraceReader::new(&bytes[..]).expect("a trace");
    assert_eq!(reader.info().size, SIZE);
    let (mut colours, mut ended) = (Vec::new(), false);
    while let Some(record) = reader.next_record().expect("a whole trace") {
        match record.kind {
            RecordKind::Frame { rects, pixels } => {
                assert_eq!(rects.iter().map(Rect::area).sum::<u64>(), SIZE.area());
                assert!(pixels.iter().all(|p| *p == pixels[0]), "one colour");
                colours.push(pixels[0]);
            }
            RecordKind::Resize(size) => panic!("resized to {size}"),
            RecordKind::End => ended = true,
        }
    }
    (colours, ended)
}

#[test]
fn a_desktop_is_recorded_without_any_viewer() {
    let Some(server) = Xvfb::start("320x200") else { return };
    if !paint(&server, "#336699") {
        return;
    }
    let file = Kept::new("two");
    let mut recorder = record(&server, &file, &["--frames", "2"]);
    assert!(paint(&server, "#ffcc00"));
    let status = recorder.wait_for_end(PATIENCE);
    assert_eq!(status.code(), Some(0), "{}", recorder.log());
    assert_eq!(colours(&file.0), (vec![0x33_66_99, 0xff_cc_00], true));
}

#[test]
fn a_server_that_goes_ends_the_recording_with_what_is_there_and_status_1() {
    let Some(mut server) = Xvfb::start("320x200") else { return };
    if !paint(&server, "#102030") {
        return;
    }
    let file = Kept::new("gone");
    let mut recorder = record(&server, &file, &[]);
    server.kill();
    let status = recorder.wait_for_end(PATIENCE);
    assert_eq!(status.code(), Some(1), "{}", recorder.log());
    assert!(recorder.log().contains("what was recorded until then plays"), "{}", recorder.log());
    assert_eq!(colours(&file.0), (vec![0x10_20_30], true));
}
