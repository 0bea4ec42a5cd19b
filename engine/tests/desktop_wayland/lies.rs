//! Compositors that lie or fall silent: refused in words, without a read outside the memory and without hanging.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

use farpane_engine::capture::Source;
use farpane_engine::capture::wayland::{WaylandDisplay, WaylandError, connect_over};
use farpane_engine::frame::DmaBufs;
use farpane_engine::geometry::Size;
use wayland_protocols::ext::image_copy_capture::v1::server::ext_image_copy_capture_frame_v1::FailureReason;

use super::fake::{Fake, Manners};
use super::viewer::{Desk, Viewer};

const SIZE: Size = Size::new(320, 200);
const RGB565: u32 = u32::from_le_bytes(*b"RG16");

/// What a source says of a compositor with these manners; and that it works once they are better.
fn said(ext: bool, manners: Manners) -> String {
    let fake = Fake::start(SIZE, ext, manners);
    let desk = Desk::open(&fake.socket());
    let mut viewer = Viewer::new(&desk, "FAKE-0");
    let said = viewer.until_lost();
    assert!(!viewer.take(), "told once");
    assert!(!said.contains('\n'), "{said}");
    // the pipeline stops a source that failed, and tries again
    fake.with(|state| state.manners = Manners::default());
    viewer.source.stop();
    viewer.source.start(std::sync::Arc::clone(&viewer.bell)).expect("starts again");
    let px = fake.with(|state| state.px(0));
    viewer.until_it_shows(&px);
    said
}

#[test]
fn forms_that_cannot_be_read_are_refused_in_words() {
    let honest = Manners::default;
    for (ext, manners, words) in [
        (true, Manners { formats: vec![RGB565], ..honest() }, "pixel formats RG16"),
        (true, Manners { formats: vec![], dmabuf: true, ..honest() }, "dma-bufs only"),
        (true, Manners { size: Some((0, 0)), ..honest() }, "its picture is 0x0"),
        (true, Manners { size: Some((u32::MAX, 1)), ..honest() }, "its picture is 4294967295x1"),
        (true, Manners { size: Some((16_385, 16_385)), ..honest() }, "16385x16385"),
        (false, Manners { formats: vec![RGB565], ..honest() }, "pixel formats RG16"),
        (false, Manners { formats: vec![], dmabuf: true, ..honest() }, "dma-bufs only"),
        (false, Manners { size: Some((0, 200)), ..honest() }, "its picture is 0x200"),
        (false, Manners { stride: Some(0), ..honest() }, "0 bytes apart"),
        (false, Manners { stride: Some(320 * 4 - 4), ..honest() }, "1276 bytes apart"),
        (false, Manners { stride: Some(320 * 4 + 2), ..honest() }, "1282 bytes apart"),
        (false, Manners { stride: Some(u32::MAX - 3), ..honest() }, "4294967292 bytes apart"),
    ] {
        let text = said(ext, manners);
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn failures_that_do_not_end_are_given_up() {
    for (ext, fails, words) in [
        (true, (u32::MAX, None), "it failed again and again"),
        (true, (u32::MAX, Some(FailureReason::Stopped)), "its session was stopped"),
        (false, (u32::MAX, None), "it failed again and again"),
    ] {
        let text = said(ext, Manners { fails, ..Manners::default() });
        assert!(text.contains("refuses to show output FAKE-0") && text.contains(words), "{text}");
    }
    let text = said(true, Manners { stops: u32::MAX, ..Manners::default() });
    assert!(text.contains("its session was stopped"), "{text}");
}

#[test]
fn constraints_that_are_refused_without_new_ones_do_not_hang() {
    let text = said(true, Manners { fails: (1, Some(FailureReason::BufferConstraints)), ..Manners::default() });
    assert!(text.contains("no picture of output FAKE-0 within 5 s"), "{text}");
}

#[test]
fn silence_is_told_after_a_while() {
    let silent = [
        (true, Manners { answers: false, ..Manners::default() }),
        (true, Manners { done: false, ..Manners::default() }),
        (false, Manners { done: false, ..Manners::default() }),
        (false, Manners { answers: false, ..Manners::default() }),
    ];
    let threads = silent.map(|(ext, manners)| std::thread::spawn(move || said(ext, manners)));
    for thread in threads {
        let text = thread.join().expect("no panic");
        assert!(text.contains("no picture of output FAKE-0 within 5 s"), "{text}");
    }
}

#[test]
fn a_socket_that_answers_nothing_or_nonsense_is_refused() {
    let dir = std::env::temp_dir().join(format!("farpane-silent-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a folder");
    for (name, nonsense) in [("silent", false), ("nonsense", true)] {
        let path = dir.join(name);
        let listener = UnixListener::bind(&path).expect("a socket");
        let guest = UnixStream::connect(&path).expect("listens");
        let (mut host, _) = listener.accept().expect("was connected");
        if nonsense {
            use std::io::Write;
            host.write_all(&[0xff; 64]).expect("room");
        }
        let connection = connect_over(OwnedFd::from(guest)).expect("a connection");
        let error = WaylandDisplay::new(connection, DmaBufs::None, Box::new(|_| ())).expect_err("no compositor");
        match nonsense {
            false => assert!(matches!(error, WaylandError::Silent(_)), "{error}"),
            true => assert!(matches!(error, WaylandError::Gone(_)), "{error}"),
        }
    }
    let _ = std::fs::remove_dir_all(&dir);
}
