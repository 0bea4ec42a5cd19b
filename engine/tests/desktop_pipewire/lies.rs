//! What a source says of its pictures, true or not: each is shown as it is meant or refused, and nothing is read outside.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::producer::{Plan, Producer, Shown};
use super::{Opened, Session, Viewer};
use farpane_engine::capture::pipewire::StreamEvent;
use farpane_engine::capture::{Source, SourceEvent};
use farpane_engine::frame::{DmaBufs, Hint, Importer, Memory, Plane};
use farpane_engine::geometry::{Rect, Region, Size};
use farpane_engine::pixel::{Fourcc, Modifier};
use pipewire::spa::sys as spa;
use pipewire::stream::StreamState;
use rustix::fs::SealFlags;

/// A source of this plan, linked with a stream of ours that somebody watches.
fn linked(session: &Session, name: &str, plan: Plan) -> (Producer, Opened, Viewer) {
    let producer = Producer::start(&session.desktop, name, plan);
    let opened = session.open(session.node(name), if plan.modifier.is_some() { DmaBufs::Plain } else { DmaBufs::None });
    assert_eq!(opened.stream.wait(Duration::from_secs(20)).expect("a size"), plan.size);
    let viewer = Viewer::new(&opened.stream);
    producer.until(&StreamState::Streaming);
    (producer, opened, viewer)
}

/// Buffers that came, of whatever kind.
fn came(opened: &Opened) -> u64 {
    let c = opened.stream.counters();
    c.pictures + c.pointer_only + c.refused
}

/// Shows something until it has come: PipeWire drops what comes faster than it is taken.
fn bring(producer: &Producer, opened: &Opened, shown: &Shown) {
    let (before, end) = (came(opened), Instant::now() + super::PATIENCE);
    loop {
        producer.show(shown);
        let again = Instant::now() + Duration::from_secs(1);
        while Instant::now() < again {
            if came(opened) > before {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(Instant::now() < end, "nothing comes: {:?}", opened.stream.counters());
    }
}

/// Shows something again and again until the viewer sees what is wanted.
fn show_until(
    producer: &Producer,
    viewer: &mut Viewer,
    shown: &Shown,
    what: &str,
    mut done: impl FnMut(&Viewer) -> bool,
) {
    let end = Instant::now() + super::PATIENCE;
    loop {
        producer.show(shown);
        let again = Instant::now() + Duration::from_millis(500);
        while Instant::now() < again {
            match viewer.source.take(Instant::now()) {
                Some(SourceEvent::Frame(frame)) => viewer.show(&frame),
                Some(SourceEvent::Resized(size)) => {
                    viewer.size = size;
                    viewer.px = vec![0xdead_beef; size.area() as usize];
                    continue;
                }
                Some(SourceEvent::Lost(error)) => panic!("{what}: {error}"),
                None => {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                }
            }
            if done(viewer) {
                return;
            }
        }
        assert!(Instant::now() < end, "waited too long for {what}");
    }
}

#[test]
fn a_sealed_picture_is_read_where_it_lies_and_its_damage_narrows_what_is_looked_at() {
    let Some(session) = Session::start() else { return };
    let (producer, opened, mut viewer) =
        linked(&session, "honest", Plan { map_offset: 4096, ..Plan::honest(320, 200) });
    let plain = Shown { colour: 0x11_2233, ..Shown::default() };
    show_until(&producer, &mut viewer, &plain, "the first picture", |v| v.px.iter().all(|p| *p == 0x11_2233));
    assert_eq!(viewer.last.area(), 320 * 200, "the first is whole");
    let damage = vec![(spa::SPA_META_VideoDamage, vec![10, 20, 30, 40])];
    let patch = Some(([10, 20, 30, 40], 0x44_5566));
    let patched = Shown { colour: 0x11_2233, patch, meta: damage, ..Shown::default() };
    let narrow = Region::from(Rect::new(10, 20, 30, 40));
    show_until(&producer, &mut viewer, &patched, "the patch alone", |v| v.last == narrow);
    assert_eq!(viewer.px.iter().filter(|p| **p == 0x44_5566).count(), 30 * 40);
    let counted = opened.stream.counters();
    assert_eq!((counted.copied_bytes, counted.refused, viewer.source.staged_bytes()), (0, 0, 0));
}

#[test]
fn what_skipped_pictures_changed_is_not_forgotten() {
    let Some(session) = Session::start() else { return };
    let (producer, opened, mut viewer) = linked(&session, "skipping", Plan::honest(320, 200));
    show_until(&producer, &mut viewer, &Shown { colour: 1, ..Shown::default() }, "the first picture", |v| v.px[0] == 1);
    let before = opened.stream.counters();
    // nobody takes the first of these: more of them come than there are buffers
    for x in 0..8 {
        let meta = vec![(spa::SPA_META_VideoDamage, vec![x * 10, 0, 5, 5])];
        bring(&producer, &opened, &Shown { colour: 2, meta, ..Shown::default() });
    }
    let frames = viewer.frames;
    viewer.until("the last picture", |v, _| v.frames == frames + 1);
    for x in 0..8 {
        assert!(viewer.last.contains_rect(&Rect::new(x * 10, 0, 5, 5)), "{:?}", viewer.last);
    }
    assert!(opened.stream.counters().skipped >= before.skipped + 7);
}

#[test]
fn damage_of_pictures_that_are_not_numbered_in_a_row_is_not_believed() {
    let Some(session) = Session::start() else { return };
    let (producer, opened, mut viewer) = linked(&session, "gaps", Plan::honest(64, 48));
    show_until(&producer, &mut viewer, &Shown { colour: 1, ..Shown::default() }, "the first picture", |v| v.px[0] == 1);
    // one that is not counted stands for one that was lost on its way
    let lost = Shown { colour: 2, unnumbered: true, ..Shown::default() };
    bring(&producer, &opened, &lost);
    let meta = vec![(spa::SPA_META_VideoDamage, vec![0, 0, 1, 1])];
    bring(&producer, &opened, &Shown { colour: 3, meta, ..Shown::default() });
    let frames = viewer.frames;
    viewer.until("a picture", |v, _| v.frames > frames);
    assert!(viewer.px.iter().all(|p| *p == 3), "the whole picture was looked at");
}

#[test]
fn a_pointer_alone_never_touches_the_picture() {
    let Some(session) = Session::start() else { return };
    let (producer, opened, mut viewer) = linked(&session, "pointing", Plan::honest(64, 48));
    let mut image = vec![1, 0, 7, 9, 1, 0, 28, spa::SPA_VIDEO_FORMAT_RGBA as i32, 2, 1, 8, 20];
    image.extend([0x0403_0201, 0x0807_0605]);
    let pointer = |words: &[i32]| vec![(spa::SPA_META_Cursor, words.to_vec())];
    // before the first picture, with the shape; then by each of the ways that say "no picture"
    bring(
        &producer,
        &opened,
        &Shown { colour: 0xff, size: Some(0), flags: 1, meta: pointer(&image), ..Shown::default() },
    );
    bring(&producer, &opened, &Shown { colour: 0x10_2030, ..Shown::default() });
    viewer.until("the picture", |v, _| v.frames == 1);
    for (n, shown) in [
        Shown { size: Some(0), ..Shown::default() },
        Shown { flags: 1, ..Shown::default() },
        Shown { meta: vec![(spa::SPA_META_Header, vec![2])], ..Shown::default() },
    ]
    .into_iter()
    .enumerate()
    {
        let mut shown = Shown { colour: 0xff, ..shown };
        shown.meta.extend(pointer(&[1, 0, 20 + n as i32, 30, 0, 0, 0]));
        bring(&producer, &opened, &shown);
    }
    bring(&producer, &opened, &Shown { colour: 0x10_2031, ..Shown::default() });
    viewer.until("the next picture", |v, _| v.frames == 2);
    assert!(viewer.px.iter().all(|p| *p == 0x10_2031));
    assert!(opened.stream.counters().pointer_only >= 4);
    let events: Vec<StreamEvent> = opened.events.try_iter().collect();
    let shapes: Vec<_> =
        events.iter().filter_map(|e| if let StreamEvent::Cursor(c) = e { Some(c.clone()) } else { None }).collect();
    assert_eq!(shapes.len(), 1);
    assert_eq!((shapes[0].size, shapes[0].rgba.as_slice()), (Size::new(2, 1), &[1, 2, 3, 4, 5, 6, 7, 8][..]));
    let mut places: Vec<_> =
        events.iter().filter_map(|e| if let StreamEvent::Pointer(x, y) = e { Some((*x, *y)) } else { None }).collect();
    places.dedup();
    assert_eq!(places, [(7, 9), (20, 30), (21, 30), (22, 30)]);
}

#[test]
fn one_lie_is_left_out_and_the_next_true_picture_is_shown_whole() {
    let Some(session) = Session::start() else { return };
    let (producer, opened, mut viewer) = linked(&session, "once", Plan::honest(64, 48));
    show_until(&producer, &mut viewer, &Shown { colour: 1, ..Shown::default() }, "the first picture", |v| v.px[0] == 1);
    let lies = [
        Shown { stride: Some(-256), ..Shown::default() },
        Shown { stride: Some(255), ..Shown::default() },
        Shown { stride: Some(i32::MAX), ..Shown::default() },
        Shown { offset: 1, ..Shown::default() },
        Shown { offset: u32::MAX, ..Shown::default() },
        Shown { size: Some(64 * 48 * 4 - 1), ..Shown::default() },
        Shown { meta: vec![(spa::SPA_META_VideoCrop, vec![1, 0, 64, 48])], ..Shown::default() },
    ];
    let damage = (spa::SPA_META_VideoDamage, vec![0, 0, 1, 1]);
    for (n, lie) in lies.iter().enumerate() {
        let refused = opened.stream.counters().refused;
        bring(&producer, &opened, &Shown { colour: 0xbad, ..lie.clone() });
        assert!(opened.stream.counters().refused > refused, "lie {n}");
        let colour = 100 + n as u32;
        let meta = vec![damage.clone()];
        show_until(&producer, &mut viewer, &Shown { colour, meta, ..Shown::default() }, "the true picture", |v| {
            v.px[0] == colour
        });
        // the lie may have told of damage: nothing less than the whole picture will do
        assert!(viewer.px.iter().all(|p| *p == colour), "lie {n}");
    }
}

#[test]
fn a_source_that_only_lies_is_given_up_with_the_reason() {
    let Some(session) = Session::start() else { return };
    let honest = Plan::honest(64, 48);
    let bytes = 64 * 48 * 4;
    let turned = Shown { meta: vec![(spa::SPA_META_VideoTransform, vec![1])], ..Shown::default() };
    for (name, plan, shown, part) in [
        ("strided", honest, Shown { stride: Some(1), ..Shown::default() }, "stride 1 (expected at least 256"),
        ("short", Plan { file: Some(bytes - 1), ..honest }, Shown::default(), "12288 bytes in a file of 12287"),
        (
            "empty",
            Plan { file: Some(0), seals: SealFlags::empty(), ..honest },
            Shown::default(),
            "bytes in a file of 0",
        ),
        (
            "far",
            Plan { map_offset: 4096, file: Some(bytes), ..honest },
            Shown::default(),
            "16384 bytes in a file of 12288",
        ),
        ("small", Plan { max_size: Some(100), ..honest }, Shown::default(), "in a buffer of 100 bytes"),
        ("gpu", Plan { kind: spa::SPA_DATA_DmaBuf, ..honest }, Shown::default(), "a GPU's buffer"),
        ("turned", honest, turned, "set the monitor upright"),
    ] {
        let (producer, opened, mut viewer) = linked(&session, name, plan);
        for _ in 0..8 {
            bring(&producer, &opened, &shown);
        }
        let said = viewer.lost();
        assert!(said.contains(part), "{name}: {said}");
        assert!(viewer.frames == 0 && opened.stream.counters().refused >= 8, "{name}");
    }
}

#[test]
fn memory_that_could_be_cut_is_copied_and_cutting_it_ends_the_stream() {
    let Some(session) = Session::start() else { return };
    let plan = Plan { seals: SealFlags::empty(), map_offset: 4096, ..Plan::honest(64, 48) };
    let (producer, opened, mut viewer) = linked(&session, "cut", plan);
    bring(&producer, &opened, &Shown { colour: 5, stride: Some(256), ..Shown::default() });
    viewer.until("the picture", |v, _| v.frames == 1);
    assert!(viewer.px.iter().all(|p| *p == 5));
    assert_eq!(opened.stream.counters().copied_bytes, 64 * 48 * 4);
    let narrow = Region::from(Rect::new(1, 2, 3, 4));
    let mut before = 0;
    let patched = Shown { colour: 6, meta: vec![(spa::SPA_META_VideoDamage, vec![1, 2, 3, 4])], ..Shown::default() };
    show_until(&producer, &mut viewer, &patched, "the patch alone", |v| {
        let grown = opened.stream.counters().copied_bytes
            - std::mem::replace(&mut before, opened.stream.counters().copied_bytes);
        v.last == narrow && grown == 3 * 4 * 4
    });
    producer.shrink(0);
    // filling a file that was cut makes it longer again: it is cut once more when the picture is there
    bring(&producer, &opened, &Shown { colour: 7, ..Shown::default() });
    producer.shrink(0);
    let said = viewer.lost();
    assert!(said.contains("cut the memory"), "{said}");
}

#[test]
fn a_new_size_comes_as_a_change_and_then_whole() {
    let Some(session) = Session::start() else { return };
    let (producer, opened, mut viewer) = linked(&session, "sized", Plan::honest(64, 48));
    show_until(&producer, &mut viewer, &Shown { colour: 1, ..Shown::default() }, "the first picture", |_| true);
    for (w, h) in [(100, 30), (33, 77), (640, 480)] {
        let size = Size::new(w, h);
        producer.resize(size);
        let meta = vec![(spa::SPA_META_VideoDamage, vec![0, 0, 1, 1])];
        let shown = Shown { colour: w.into(), meta, ..Shown::default() };
        show_until(&producer, &mut viewer, &shown, "the new size", |v| v.size == size && v.px[0] == u32::from(w));
        assert!(viewer.px.iter().all(|p| *p == u32::from(w)));
    }
    let sizes: Vec<Size> =
        opened.events.try_iter().filter_map(|e| if let StreamEvent::Size(s) = e { Some(s) } else { None }).collect();
    assert_eq!(sizes.last(), Some(&Size::new(640, 480)));
}

#[test]
fn a_crop_is_the_picture() {
    let Some(session) = Session::start() else { return };
    let (producer, _opened, mut viewer) = linked(&session, "cropped", Plan::honest(64, 48));
    let crop = (spa::SPA_META_VideoCrop, vec![8, 4, 16, 12]);
    let patch = Some(([8, 4, 16, 12], 0x77));
    let shown = Shown { colour: 1, patch, meta: vec![crop], ..Shown::default() };
    show_until(&producer, &mut viewer, &shown, "the crop", |v| v.size == Size::new(16, 12));
    assert!(viewer.px.iter().all(|p| *p == 0x77));
}

/// No machine of ours has dma-bufs: sealed memory stands in for them.
fn graphics(w: u16, h: u16) -> Plan {
    Plan { kind: spa::SPA_DATA_DmaBuf, modifier: Some(0), ..Plan::honest(w, h) }
}

#[test]
fn a_dma_buf_of_plain_rows_is_read_where_it_lies() {
    let Some(session) = Session::start() else { return };
    let (producer, opened, mut viewer) = linked(&session, "graphics", graphics(64, 48));
    // what it says of its chunk's size means nothing
    let shown = Shown { colour: 9, size: Some(1), ..Shown::default() };
    show_until(&producer, &mut viewer, &shown, "the picture", |_| true);
    assert!(viewer.px.iter().all(|p| *p == 9));
    let counted = opened.stream.counters();
    assert_eq!((counted.refused, counted.copied_bytes), (0, 0));
}

const TILES: u64 = 0x0100_0000_0000_0002;

/// A device that takes tiles and rows, as far as it says.
struct Device;

impl Importer for Device {
    fn modifiers(&self, fourcc: Fourcc) -> Vec<Modifier> {
        if fourcc == Fourcc::XRGB8888 { vec![Modifier(TILES), Modifier::LINEAR] } else { Vec::new() }
    }
}

#[test]
fn tiles_are_handed_on_as_they_are_and_left_when_nobody_can_show_them() {
    let Some(session) = Session::start() else { return };
    let plan = Plan { modifier: Some(TILES as i64), memory_too: true, ..graphics(64, 48) };
    let producer = Producer::start(&session.desktop, "tiles", plan);
    let opened = session.open(session.node("tiles"), DmaBufs::Taken(Arc::new(Device)));
    opened.stream.wait(Duration::from_secs(20)).expect("a size");
    let mut viewer = Viewer::new(&opened.stream);
    producer.until(&StreamState::Streaming);
    let frame = |viewer: &mut Viewer| {
        let end = Instant::now() + super::PATIENCE;
        loop {
            producer.show(&Shown { colour: 5, ..Shown::default() });
            if let Some(SourceEvent::Frame(frame)) = viewer.source.take(Instant::now()) {
                return frame;
            }
            assert!(Instant::now() < end, "nothing comes");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let tiled = frame(&mut viewer);
    assert_eq!((tiled.modifier, tiled.fourcc), (Modifier(TILES), Fourcc::XRGB8888));
    let Memory::DmaBuf(buffer) = &tiled.memory else { panic!("no dma-buf") };
    assert_eq!(buffer.planes(), [Plane { offset: 0, stride: 256 }]);
    let again = frame(&mut viewer);
    assert_eq!(again.modifier, Modifier(TILES));
    drop((tiled, again));
    viewer.source.unreadable();
    let end = Instant::now() + super::PATIENCE;
    let rows = loop {
        let frame = frame(&mut viewer);
        if frame.modifier == Modifier::LINEAR {
            break frame;
        }
        assert!(Instant::now() < end, "tiles again and again");
    };
    assert!(matches!(rows.memory, Memory::Shared(_)), "shared memory");
    assert_eq!(rows.hint, Hint::Everything, "and all of it");
}

#[test]
fn what_only_claims_to_be_a_dma_buf_is_refused_and_whoever_has_none_gives_shared_memory() {
    let Some(session) = Session::start() else { return };
    let plan = Plan { seals: SealFlags::empty(), ..graphics(64, 48) };
    let (producer, _opened, mut viewer) = linked(&session, "claims", plan);
    let mut reason = String::new();
    let end = Instant::now() + super::PATIENCE;
    while reason.is_empty() {
        producer.show(&Shown { colour: 1, ..Shown::default() });
        if let Some(SourceEvent::Lost(error)) = viewer.source.take(Instant::now()) {
            reason = error.to_string();
        }
        assert!(Instant::now() < end, "it is believed");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(reason.contains("a dma-buf that cannot be read: it is none"), "{reason}");
    let producer = Producer::start(&session.desktop, "memory", Plan::honest(64, 48));
    let opened = session.open(session.node("memory"), DmaBufs::Plain);
    opened.stream.wait(Duration::from_secs(20)).expect("a size");
    let mut viewer = Viewer::new(&opened.stream);
    producer.until(&StreamState::Streaming);
    show_until(&producer, &mut viewer, &Shown { colour: 3, ..Shown::default() }, "the picture", |_| true);
    assert!(viewer.px.iter().all(|p| *p == 3));
}

#[test]
fn a_source_that_ends_and_a_pipewire_that_ends_are_told_apart() {
    let Some(mut session) = Session::start() else { return };
    let (producer, opened, mut viewer) = linked(&session, "ending", Plan::honest(64, 48));
    show_until(&producer, &mut viewer, &Shown { colour: 1, ..Shown::default() }, "the picture", |_| true);
    drop(producer);
    let said = viewer.lost();
    assert!(said.contains("its source"), "{said}");
    assert!(viewer.source.start(farpane_engine::capture::Doorbell::new()).is_err(), "it stays gone");
    drop(opened);
    let (producer, _opened, mut viewer) = linked(&session, "crashing", Plan::honest(64, 48));
    show_until(&producer, &mut viewer, &Shown { colour: 1, ..Shown::default() }, "the picture", |_| true);
    session.desktop.stop("pipewire");
    let said = viewer.lost();
    assert!(said.contains("PipeWire ended"), "{said}");
}

#[test]
fn nobody_watching_means_no_pictures() {
    let Some(session) = Session::start() else { return };
    let (producer, opened, mut viewer) = linked(&session, "unwatched", Plan::honest(64, 48));
    show_until(&producer, &mut viewer, &Shown { colour: 1, ..Shown::default() }, "the picture", |_| true);
    viewer.source.stop();
    producer.until(&StreamState::Paused);
    viewer.source.start(std::sync::Arc::clone(&viewer.bell)).expect("starts again");
    producer.until(&StreamState::Streaming);
    let damage = vec![(spa::SPA_META_VideoDamage, vec![0, 0, 1, 1])];
    show_until(
        &producer,
        &mut viewer,
        &Shown { colour: 2, meta: damage, ..Shown::default() },
        "the next picture",
        |_| true,
    );
    assert!(viewer.px.iter().all(|p| *p == 2), "whole");
    assert_eq!(opened.stream.counters().refused, 0);
}
