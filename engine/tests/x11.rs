//! Capture of a real X server, a private Xvfb for each test.
#![cfg(feature = "x11")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use farpane_engine::capture::x11::{Fetch, Monitor, X11Display, X11Error, X11Event, X11Source, connect};
use farpane_engine::capture::{Doorbell, Source, SourceEvent};
use farpane_engine::damage::CpuDamage;
use farpane_engine::frame::{Frame, Hint};
use farpane_engine::geometry::{Rect, Region, Size};
use farpane_engine::pipeline::{Output, Stats};
use farpane_test_support::xvfb::Xvfb;
use x11rb::connection::Connection;
use x11rb::protocol::randr::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{self, ConnectionExt as _, CreateGCAux, ImageFormat, Rectangle};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

const PATIENCE: Duration = Duration::from_secs(20);

/// Another client of the same server: it draws, and knows what the screen shows.
struct Painter {
    c: RustConnection,
    root: u32,
    gc: u32,
}

impl Painter {
    fn new(x: &Xvfb) -> Self {
        let (c, screen) = connect(&x.display, None).expect("a second connection");
        let root = c.setup().roots[screen].root;
        let gc = c.generate_id().expect("an id");
        c.create_gc(gc, root, &CreateGCAux::new()).expect("a gc");
        Self { c, root, gc }
    }

    fn fill(&self, r: Rect, colour: u32) {
        let at = Rectangle { x: r.x as i16, y: r.y as i16, width: r.w, height: r.h };
        self.c.change_gc(self.gc, &xproto::ChangeGCAux::new().foreground(colour)).expect("a colour");
        self.c.poly_fill_rectangle(self.root, self.gc, &[at]).expect("a rectangle");
        self.c.sync().expect("a round trip");
    }

    fn sees(&self, r: Rect) -> Vec<u32> {
        let image = self.c.get_image(ImageFormat::Z_PIXMAP, self.root, r.x as i16, r.y as i16, r.w, r.h, !0);
        let data = image.expect("a request").reply().expect("an image").data;
        data.chunks_exact(4).map(|p| u32::from_le_bytes([p[0], p[1], p[2], p[3]]) & 0xff_ffff).collect()
    }
}

/// Puts a source's frames together, believing every hint.
struct Viewer {
    source: X11Source,
    bell: Arc<Doorbell>,
    size: Size,
    px: Vec<u32>,
    last: Region,
}

impl Viewer {
    fn new(display: &X11Display, monitor: &Monitor) -> Self {
        let mut source = display.source(monitor);
        let bell = Doorbell::new();
        source.start(Arc::clone(&bell)).expect("capture starts");
        let size = source.info().size;
        let px = vec![0xdead_beef; size.area() as usize];
        Self { source, bell, size, px, last: Region::new() }
    }

    fn show(&mut self, frame: &Frame) {
        assert_eq!(frame.size, self.size);
        self.last.clear();
        for piece in &frame.pieces {
            let mut region = Region::from(piece.rect);
            if let Hint::Only(only) = &frame.hint {
                region.intersect(only);
            }
            self.last.union(&region);
            for r in region.rects() {
                for y in r.y..r.bottom() {
                    let from = piece.offset
                        + usize::from(y - piece.rect.y) * piece.stride
                        + usize::from(r.x - piece.rect.x) * 4;
                    let at = usize::from(y) * usize::from(self.size.w) + usize::from(r.x);
                    let row = &mut self.px[at..at + usize::from(r.w)];
                    assert!(frame.memory.read(from, row), "piece {piece:?} outside the memory");
                    row.iter_mut().for_each(|p| *p &= 0xff_ffff);
                }
            }
        }
    }

    /// Takes events until `done` or the patience is over.
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self, Option<&SourceEvent>) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let event = self.source.take(Instant::now());
            match &event {
                Some(SourceEvent::Frame(frame)) => self.show(frame),
                Some(SourceEvent::Resized(size)) => {
                    self.size = *size;
                    self.px = vec![0xdead_beef; size.area() as usize];
                }
                _ => {}
            }
            if done(self, event.as_ref()) {
                return;
            }
            if event.is_none() {
                assert!(self.bell.wait(Some(end)), "waited too long for {what}");
            }
        }
    }

    /// Takes events until the picture is what the other client sees.
    fn catch_up(&mut self, painter: &Painter) {
        let info = self.source.info();
        let place = Rect::new(info.position.x, info.position.y, info.size.w, info.size.h);
        self.until("the picture", |me, _| me.px == painter.sees(place));
    }
}

fn display(x: &Xvfb, framebuffer: bool) -> (X11Display, Receiver<X11Event>) {
    let (connection, screen) = connect(&x.display, None).expect("the display opens");
    let file =
        framebuffer.then(|| std::fs::File::open(x.dir.join("Xvfb_screen0")).expect("the framebuffer file").into());
    let (tx, rx) = channel();
    let send = Box::new(move |event| drop(tx.send(event)));
    (X11Display::new(connection, screen, file, send).expect("capture is possible"), rx)
}

fn scribble(painter: &Painter, viewer: &mut Viewer, bounds: Rect) {
    let mut seed = 12_345u32;
    for i in 0..40u32 {
        let mut next = |n: u16| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as u16 % n
        };
        let r = Rect::new(next(bounds.w), next(bounds.h), 1 + next(200), 1 + next(100)).intersect(&bounds);
        painter.fill(r, 0x01_0203 * (i + 1));
        if i % 4 == 0 {
            viewer.catch_up(painter);
        }
    }
    viewer.catch_up(painter);
}

#[test]
fn every_way_of_fetching_shows_what_the_server_shows() {
    for (more, framebuffer, fetch) in [
        (&[][..], false, Fetch::Shm),
        (&["-extension", "MIT-SHM"][..], false, Fetch::Plain),
        (&["-fbdir", "{dir}"][..], true, Fetch::Framebuffer),
    ] {
        let Some(x) = Xvfb::with("640x480", more) else { return };
        let painter = Painter::new(&x);
        painter.fill(Rect::new(0, 0, 640, 480), 0x20_4060);
        let (display, _events) = display(&x, framebuffer);
        assert_eq!(display.fetch(), fetch);
        let monitors = display.monitors();
        assert_eq!((monitors.len(), monitors[0].rect), (1, Rect::new(0, 0, 640, 480)));
        let mut viewer = Viewer::new(&display, &monitors[0]);
        viewer.catch_up(&painter);
        scribble(&painter, &mut viewer, Rect::new(0, 0, 640, 480));
        assert_eq!(display.fetch(), fetch);
        assert_eq!(display.bytes_fetched() == 0, framebuffer);
        // the comparison itself: one wrong pixel is seen
        viewer.px[7] ^= 1;
        assert_ne!(viewer.px, painter.sees(Rect::new(0, 0, 640, 480)));
    }
}

fn three_monitors(painter: &Painter, height: u16, widths: [u16; 3]) {
    let (c, root) = (&painter.c, painter.root);
    let output = c.randr_get_screen_resources(root).expect("request").reply().expect("resources").outputs[0];
    let mut x = 0;
    for (i, w) in widths.into_iter().enumerate() {
        let name = c.intern_atom(false, format!("mon{i}").as_bytes()).expect("request").reply().expect("atom").atom;
        let info = randr::MonitorInfo {
            name,
            primary: i == 1,
            automatic: false,
            x,
            y: 0,
            width: w,
            height,
            width_in_millimeters: 100,
            height_in_millimeters: 100,
            outputs: if i == 0 { vec![output] } else { Vec::new() },
        };
        c.randr_set_monitor(root, info).expect("request").check().expect("a monitor");
        x += w as i16;
    }
}

#[test]
fn damage_across_the_seams_of_three_monitors_reaches_each() {
    let Some(x) = Xvfb::start("800x600") else { return };
    let painter = Painter::new(&x);
    three_monitors(&painter, 600, [300, 341, 159]);
    let (display, _events) = display(&x, false);
    let mut monitors = display.monitors();
    monitors.sort_by_key(|m| m.rect.x);
    let names: Vec<_> = monitors.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["mon0", "mon1", "mon2"]);
    assert!(monitors[1].primary);
    let mut viewers: Vec<_> = monitors.iter().map(|m| Viewer::new(&display, m)).collect();
    viewers.iter_mut().for_each(|v| v.catch_up(&painter));
    let before = display.bytes_fetched();
    painter.fill(Rect::new(290, 100, 360, 20), 0xaa_5500);
    viewers.iter_mut().rev().for_each(|v| v.catch_up(&painter));
    let fetched: Vec<_> = viewers.iter().map(|v| v.last.bounds()).collect();
    assert_eq!(fetched, [Rect::new(290, 100, 10, 20), Rect::new(0, 100, 341, 20), Rect::new(0, 100, 9, 20)]);
    assert_eq!(display.bytes_fetched() - before, 360 * 20 * 4);
    painter.fill(Rect::new(10, 10, 5, 5), 0x11_2233);
    viewers[0].catch_up(&painter);
    assert!(viewers[1].source.take(Instant::now()).is_none(), "nothing changed there");
}

#[test]
fn a_film_on_one_of_three_large_monitors_takes_no_frame_of_the_others() {
    let Some(x) = Xvfb::with("11520x2160", &["-fbdir", "{dir}"]) else { return };
    let painter = Painter::new(&x);
    three_monitors(&painter, 2160, [3840; 3]);
    let (display, _events) = display(&x, true);
    let mut monitors = display.monitors();
    monitors.sort_by_key(|m| m.rect.x);
    let spawn =
        |m| Output::spawn(Box::new(display.source(m)), Box::new(CpuDamage::new()), Box::new(|_| ()), Instant::now());
    let outputs: Vec<Output> = monitors.iter().map(|m| spawn(m).expect("a thread")).collect();
    let watched: Vec<_> = outputs.iter().map(|output| output.subscribe(|| ())).collect();
    watched.iter().for_each(|subscription| subscription.set_wants(true));
    let count =
        |what: fn(&Stats) -> &AtomicU64| outputs.iter().map(|o| what(o.stats()).load(SeqCst)).collect::<Vec<_>>();
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        let end = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < end, "waited too long for {what}: {:?}", count(|s| &s.frames));
            std::thread::yield_now();
        }
    };
    let whole = 3840 * 2160 * 4;
    wait("the first comparisons", &|| count(|s| &s.compared_bytes).iter().all(|bytes| *bytes >= whole));
    // what the X server told late about its start lies before these marks
    let first = count(|s| &s.frames);
    (0..3).for_each(|i| painter.fill(Rect::new(3840 * i + 8, 8, 8, 8), 0x0A_0B0C));
    wait("the marks", &|| count(|s| &s.frames).iter().zip(&first).all(|(now, first)| now > first));
    let (frames, bytes) = (count(|s| &s.frames), count(|s| &s.compared_bytes));
    for i in 1..=30 {
        painter.fill(Rect::new(3840 + 300, 500, 1280, 720), 0x03_0509 * i);
        wait("a frame of the film", &|| count(|s| &s.frames)[1] >= frames[1] + u64::from(i));
    }
    let (after, compared) = (count(|s| &s.frames), count(|s| &s.compared_bytes));
    assert_eq!([after[0], after[2]], [frames[0], frames[2]], "frames of monitors on which nothing happens");
    assert_eq!([compared[0], compared[2]], [bytes[0], bytes[2]], "bytes compared there");
    // and of the one it plays on what it covers, to whole tiles
    let film = (compared[1] - bytes[1]) / (after[1] - frames[1]);
    assert!(film <= 1408 * 832 * 4, "{film} bytes compared a frame");
}

#[test]
fn new_monitors_are_told_and_old_sources_follow_or_end() {
    let Some(x) = Xvfb::start("800x600") else { return };
    let painter = Painter::new(&x);
    let (display, events) = display(&x, false);
    let mut viewer = Viewer::new(&display, &display.monitors()[0]);
    viewer.catch_up(&painter);
    three_monitors(&painter, 600, [300, 341, 159]);
    let end = Instant::now() + PATIENCE;
    loop {
        match events.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(X11Event::Layout { monitors, .. }) if monitors.len() == 3 => break,
            Ok(_) => {}
            Err(error) => panic!("no new layout: {error}"),
        }
    }
    viewer.until("the end of the old monitor", |_, e| matches!(e, Some(SourceEvent::Lost(_))));
}

fn resize(painter: &Painter, w: u16, h: u16) {
    let (c, root) = (&painter.c, painter.root);
    let resources = c.randr_get_screen_resources(root).expect("request").reply().expect("resources");
    let (crtc, output) = (resources.crtcs[0], resources.outputs[0]);
    let name = format!("{w}x{h}");
    let mode = randr::ModeInfo {
        id: 0,
        width: w,
        height: h,
        dot_clock: 60_000_000,
        hsync_start: w,
        hsync_end: w,
        htotal: w + 100,
        hskew: 0,
        vsync_start: h,
        vsync_end: h,
        vtotal: h + 10,
        name_len: name.len() as u16,
        mode_flags: randr::ModeFlag::from(0u32),
    };
    let mode = c.randr_create_mode(root, mode, name.as_bytes()).expect("request").reply().expect("a mode").mode;
    c.randr_add_output_mode(output, mode).expect("request").check().expect("its mode");
    let set = |mode: u32, outputs: &[u32]| {
        let request = c.randr_set_crtc_config(crtc, 0, 0, 0, 0, mode, randr::Rotation::ROTATE0, outputs);
        request.expect("request").reply().expect("a crtc");
    };
    set(0, &[]);
    c.randr_set_screen_size(root, w, h, 100, 100).expect("request").check().expect("a size");
    set(mode, &[output]);
    c.sync().expect("a round trip");
}

#[test]
fn a_new_size_while_running_gives_resized_and_then_a_whole_frame() {
    for framebuffer in [false, true] {
        let Some(x) = Xvfb::with("800x600", &["-fbdir", "{dir}"]) else { return };
        let painter = Painter::new(&x);
        painter.fill(Rect::new(0, 0, 800, 600), 0x66_2200);
        let (display, events) = display(&x, framebuffer);
        let mut viewer = Viewer::new(&display, &display.monitors()[0]);
        viewer.catch_up(&painter);
        for (w, h) in [(512, 300), (700, 600)] {
            resize(&painter, w, h);
            viewer.until("the new size", |_, e| matches!(e, Some(SourceEvent::Resized(s)) if *s == Size::new(w, h)));
            viewer.until("a frame", |_, e| matches!(e, Some(SourceEvent::Frame(_))));
            viewer.catch_up(&painter);
            painter.fill(Rect::new(w - 20, h - 20, 20, 20), 0x00_ff00);
            viewer.catch_up(&painter);
            assert_eq!(display.size(), Size::new(w, h));
        }
        assert!(events.try_iter().any(|e| matches!(e, X11Event::Layout { size, .. } if size == Size::new(700, 600))));
    }
}

#[test]
fn one_letter_costs_little_and_stillness_or_stopping_nothing() {
    let Some(x) = Xvfb::start("3840x2160") else { return };
    let painter = Painter::new(&x);
    let (display, _events) = display(&x, false);
    let mut viewer = Viewer::new(&display, &display.monitors()[0]);
    viewer.until("the first frame", |_, e| matches!(e, Some(SourceEvent::Frame(_))));
    viewer.until("stillness", |_, e| e.is_none());
    let before = display.bytes_fetched();
    for i in 0..10u16 {
        let start = display.bytes_fetched();
        let letter = Rect::new(2_000 + 10 * i, 1_000, 10, 20);
        painter.fill(letter, 0xff_ffff);
        viewer.until("the letter", |me, e| matches!(e, Some(SourceEvent::Frame(_))) && me.last.contains_rect(&letter));
        assert!(display.bytes_fetched() - start <= 64 * 1024);
    }
    assert_eq!(display.bytes_fetched() - before, 10 * 800);

    let still = display.bytes_fetched();
    painter.c.sync().expect("a round trip");
    viewer.until("stillness", |_, e| e.is_none());
    assert_eq!(display.bytes_fetched(), still);

    viewer.source.stop();
    viewer.bell.wait(Some(Instant::now()));
    painter.fill(Rect::new(0, 0, 3_840, 2_160), 0x12_3456);
    display.connection().sync().expect("a round trip");
    assert!(!viewer.bell.wait(Some(Instant::now() + Duration::from_millis(50))), "the bell of a stopped source rang");
    assert!(viewer.source.take(Instant::now()).is_none());
    assert_eq!(display.bytes_fetched(), still);

    viewer.source.start(Arc::clone(&viewer.bell)).expect("capture starts again");
    viewer.catch_up(&painter);
}

#[test]
fn frames_kept_alive_are_never_written_over() {
    let Some(x) = Xvfb::start("320x200") else { return };
    let painter = Painter::new(&x);
    let (display, _events) = display(&x, false);
    let mut viewer = Viewer::new(&display, &display.monitors()[0]);
    viewer.until("stillness", |_, e| e.is_none());
    let mut kept = Vec::new();
    for i in 1..=6u32 {
        painter.fill(Rect::new(5, 5, 8, 8), i);
        let end = Instant::now() + PATIENCE;
        let frame = loop {
            match viewer.source.take(Instant::now()) {
                Some(SourceEvent::Frame(frame)) => break frame,
                Some(other) => panic!("{other:?}"),
                None => assert!(viewer.bell.wait(Some(end))),
            }
        };
        kept.push((frame, i));
    }
    for (frame, i) in kept {
        let mut px = [0];
        assert!(frame.memory.read(frame.pieces[0].offset, &mut px));
        assert_eq!(px[0] & 0xff_ffff, i);
    }
}

#[test]
fn a_killed_server_is_told_once_by_source_and_display() {
    let Some(mut x) = Xvfb::start("320x200") else { return };
    let (display, events) = display(&x, false);
    let mut viewer = Viewer::new(&display, &display.monitors()[0]);
    viewer.until("the first frame", |_, e| matches!(e, Some(SourceEvent::Frame(_))));
    x.kill();
    viewer.until("the loss", |_, e| matches!(e, Some(SourceEvent::Lost(_))));
    assert!(viewer.source.take(Instant::now()).is_none(), "told twice");
    match events.recv_timeout(PATIENCE) {
        Ok(X11Event::Lost(reason)) => assert!(reason.contains("the X server is gone"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(viewer.source.start(Doorbell::new()).is_err());
}

#[test]
fn the_pointers_shape_is_told_when_watched() {
    let Some(x) = Xvfb::start("320x200") else { return };
    let painter = Painter::new(&x);
    let (display, events) = display(&x, false);
    let (c, root) = (&painter.c, painter.root);
    display.watch_cursor(true).expect("cursor events");
    let before = display.cursor().expect("the server lives").expect("a cursor");
    let bitmap = c.generate_id().expect("an id");
    c.create_pixmap(1, bitmap, root, 16, 12).expect("a bitmap");
    let gc = c.generate_id().expect("an id");
    c.create_gc(gc, bitmap, &CreateGCAux::new().foreground(1)).expect("a gc");
    c.poly_fill_rectangle(bitmap, gc, &[Rectangle { x: 0, y: 0, width: 16, height: 12 }]).expect("filled");
    let cursor = c.generate_id().expect("an id");
    c.create_cursor(cursor, bitmap, bitmap, 0xffff, 0, 0, 0, 0, 0, 3, 4).expect("a cursor");
    c.change_window_attributes(root, &xproto::ChangeWindowAttributesAux::new().cursor(cursor)).expect("set");
    c.sync().expect("a round trip");
    let end = Instant::now() + PATIENCE;
    loop {
        match events.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(X11Event::Cursor(image)) if image.size == Size::new(16, 12) => {
                assert_eq!((image.hotspot.x, image.hotspot.y), (3, 4));
                assert!(image.rgba.chunks(4).all(|p| p == [255, 0, 0, 255]));
                assert!(image.serial > before.serial);
                break;
            }
            Ok(_) => {}
            Err(error) => panic!("no cursor: {error}"),
        }
    }
    assert!(display.pointer().expect("a pointer").is_some());
    // the server gives nobody the shape of a client that has gone: what was known stays
    drop(painter);
    for _ in 0..30 {
        let known = display.cursor().expect("the server lives").expect("the last one");
        assert_eq!(known.size, Size::new(16, 12));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_cannot_be_captured_is_refused_with_the_reason() {
    let Some(x) = Xvfb::start("320x200x16") else { return };
    let (c, screen) = connect(&x.display, None).expect("the display opens");
    let error = X11Display::new(c, screen, None, Box::new(|_| {})).expect_err("16 bits");
    assert!(matches!(error, X11Error::Pixels(_)));
    assert!(error.to_string().contains("depth 16"), "{error}");
    let (c, _) = connect(&x.display, None).expect("the display opens");
    assert!(matches!(X11Display::new(c, 3, None, Box::new(|_| {})), Err(X11Error::Screen { screen: 3, screens: 1 })));
    drop(x);

    let Some(x) = Xvfb::with("320x200", &["-extension", "DAMAGE"]) else { return };
    let (c, screen) = connect(&x.display, None).expect("the display opens");
    let error = X11Display::new(c, screen, None, Box::new(|_| {})).expect_err("no DAMAGE");
    assert!(matches!(error, X11Error::Extension("DAMAGE")), "{error}");

    assert!(matches!(connect("nonsense", None), Err(X11Error::DisplayName(_))));
    let error = connect(":59", None).expect_err("nobody there").to_string();
    assert!(error.contains(":59 cannot be opened: /tmp/.X11-unix/X59"), "{error}");
}

#[test]
fn the_authority_files_cookie_opens_a_guarded_display() {
    let path = std::env::temp_dir().join(format!("farpane-xauth-{}", std::process::id()));
    let mut entry = vec![0xff, 0xff];
    for part in [&b""[..], b"", b"MIT-MAGIC-COOKIE-1", &[7u8; 16]] {
        entry.extend_from_slice(&(part.len() as u16).to_be_bytes());
        entry.extend_from_slice(part);
    }
    std::fs::write(&path, entry).expect("an authority file");
    let Some(x) = Xvfb::with("320x200", &["-auth", path.to_str().expect("a plain path")]) else { return };
    assert!(connect(&x.display, Some(&path)).is_ok());
    let error = connect(&x.display, None).expect_err("no cookie").to_string();
    assert!(error.contains(&x.display), "{error}");
    let _ = std::fs::remove_file(&path);
}

#[test]
fn a_closed_display_ends_its_sources() {
    let Some(x) = Xvfb::start("320x200") else { return };
    let (display, events) = display(&x, false);
    let mut viewer = Viewer::new(&display, &display.monitors()[0]);
    drop(display);
    viewer.until("the loss", |_, e| matches!(e, Some(SourceEvent::Lost(_))));
    assert!(!events.iter().any(|e| matches!(e, X11Event::Lost(_))), "its owner closed it");
}
