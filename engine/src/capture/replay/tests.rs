use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::wire::RecordKind;
use super::*;
use crate::capture::synthetic::{Scene, SyntheticSource, SyntheticSpec, picture};
use crate::capture::{Doorbell, Source, SourceEvent};
use crate::frame::{Frame, Hint};
use crate::geometry::{Region, Size};

const SIZE: Size = Size::new(160, 120);

fn spec(size: Size) -> SyntheticSpec {
    SyntheticSpec { size, fps: 10, scene: Scene::Desktop }
}

/// A trace of two scenes, ten pictures of each.
fn trace() -> Vec<u8> {
    let epoch = Instant::now();
    let mut writer: Option<TraceWriter<Vec<u8>>> = None;
    for (i, size) in [(0, SIZE), (1, Size::new(64, 80))] {
        let begun = epoch + Duration::from_secs(i);
        let mut source = SyntheticSource::new(spec(size), begun);
        source.start(Doorbell::new()).expect("a scene starts");
        let to = match writer.take() {
            None => TraceWriter::new(Vec::new(), &source.info()).expect("a trace"),
            Some(mut old) => {
                old.resize(size, begun).expect("a new size");
                old
            }
        };
        let to = writer.insert(to);
        for n in 0..10 {
            if let Some(SourceEvent::Frame(frame)) = source.take(begun + spec(size).due(n)) {
                to.frame(&frame).expect("recorded");
            }
        }
    }
    writer.expect("begun").finish(epoch + Duration::from_secs(2)).expect("ended")
}

/// A trace of some hundred bytes, with every kind of record.
fn small_trace() -> Vec<u8> {
    let spec = SyntheticSpec { size: Size::new(48, 40), fps: 10, scene: Scene::Typing };
    let epoch = Instant::now();
    let mut source = SyntheticSource::new(spec, epoch);
    source.start(Doorbell::new()).expect("a scene starts");
    let mut writer = TraceWriter::new(Vec::new(), &source.info()).expect("a trace");
    for n in 0..3 {
        if let Some(SourceEvent::Frame(frame)) = source.take(epoch + spec.due(n)) {
            writer.frame(&frame).expect("recorded");
        }
    }
    writer.resize(Size::new(20, 20), epoch + Duration::from_secs(1)).expect("a new size");
    let bytes = writer.finish(epoch + Duration::from_secs(1)).expect("ended");
    assert!(bytes.len() < 2_000);
    bytes
}

fn file(bytes: &[u8]) -> std::fs::File {
    let fd = rustix::fs::memfd_create("trace", rustix::fs::MemfdFlags::CLOEXEC).expect("memory");
    let mut file = std::fs::File::from(fd);
    file.write_all(bytes).expect("written");
    file.seek(SeekFrom::Start(0)).expect("rewound");
    file
}

fn show(frame: &Frame, px: &mut [u32]) {
    for piece in &frame.pieces {
        for y in 0..piece.rect.h {
            let at = usize::from(piece.rect.y + y) * usize::from(frame.size.w) + usize::from(piece.rect.x);
            let row = &mut px[at..at + usize::from(piece.rect.w)];
            assert!(frame.memory.read(piece.offset + usize::from(y) * piece.stride, row));
        }
    }
}

#[test]
fn a_recording_plays_the_pictures_that_were_recorded() {
    let mut source = ReplaySource::new(file(&trace()), Playback::Once).expect("a trace");
    assert_eq!((source.info().size, source.info().name.as_str()), (SIZE, "synthetic"));
    source.start(Doorbell::new()).expect("plays");
    let begun = Instant::now();
    let mut px = vec![0; SIZE.area() as usize];
    for (i, size) in [(0u64, SIZE), (1, Size::new(64, 80))] {
        for n in 0..10 {
            let now = begun + Duration::from_secs(i) + spec(size).due(n);
            loop {
                match source.take(now) {
                    Some(SourceEvent::Frame(frame)) => {
                        assert_eq!(frame.size, size);
                        assert_eq!(n == 0, frame.hint == Hint::Everything);
                        show(&frame, &mut px);
                    }
                    Some(SourceEvent::Resized(new)) => {
                        assert_eq!((new, n), (size, 0));
                        px = vec![0; size.area() as usize];
                    }
                    Some(SourceEvent::Lost(error)) => panic!("{error}"),
                    None => break,
                }
            }
            assert_eq!(px, picture(&spec(size), n), "second {i} picture {n}");
        }
    }
    assert!(source.take(begun + Duration::from_secs(60)).is_none());
    assert_eq!(source.next_due(), None, "the end was reached");
    px[0] ^= 1;
    assert_ne!(px, picture(&spec(Size::new(64, 80)), 9), "a wrong pixel is seen");
}

#[test]
fn a_looped_trace_begins_again_and_late_takers_get_one_frame() {
    let mut source = ReplaySource::new(file(&trace()), Playback::Loop).expect("a trace");
    source.start(Doorbell::new()).expect("plays");
    let begun = Instant::now();
    let mut px = vec![0; SIZE.area() as usize];
    let mut sizes = Vec::new();
    for turn in 0..3u64 {
        let now = begun + Duration::from_secs(2 * turn) + Duration::from_millis(950);
        while let Some(event) = source.take(now) {
            match event {
                SourceEvent::Resized(size) => {
                    sizes.push(size);
                    px = vec![0; size.area() as usize];
                }
                SourceEvent::Frame(frame) => show(&frame, &mut px),
                SourceEvent::Lost(error) => panic!("{error}"),
            }
        }
        assert_eq!(px, picture(&spec(SIZE), 9), "turn {turn}");
    }
    assert_eq!(sizes.last(), Some(&SIZE));
}

#[test]
fn only_what_changed_is_recorded() {
    let typing = SyntheticSpec { size: Size::new(640, 480), fps: 10, scene: Scene::Typing };
    let epoch = Instant::now();
    let mut source = SyntheticSource::new(typing, epoch);
    source.start(Doorbell::new()).expect("a scene starts");
    let mut writer = TraceWriter::new(Vec::new(), &source.info()).expect("a trace");
    for n in 0..20 {
        let Some(SourceEvent::Frame(mut frame)) = source.take(epoch + typing.due(n)) else { panic!("no frame {n}") };
        // even when the source says nothing
        frame.hint = Hint::Everything;
        assert!(writer.frame(&frame).expect("recorded"));
        assert!(!writer.frame(&frame).expect("left out"));
    }
    let bytes = writer.finish(epoch).expect("ended");
    let mut reader = TraceReader::new(&bytes[..]).expect("a trace");
    let mut areas = Vec::new();
    while let Some(record) = reader.next_record().expect("whole") {
        if let RecordKind::Frame { rects, .. } = record.kind {
            let mut region = Region::new();
            rects.iter().for_each(|r| region.add(r));
            areas.push(region.area());
        }
    }
    assert_eq!((areas.len(), areas[0]), (20, 640 * 480));
    assert!(areas[1..].iter().all(|a| (1..=200).contains(a)), "{areas:?}");
}

#[test]
fn a_trace_cut_at_any_byte_says_so() {
    let whole = small_trace();
    for end in 0..whole.len() {
        let mut reader = match TraceReader::new(&whole[..end]) {
            Ok(reader) => reader,
            Err(TraceError::Cut { .. }) => continue,
            Err(other) => panic!("cut at {end}: {other}"),
        };
        let error = loop {
            match reader.next_record() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("cut at {end} went unnoticed"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, TraceError::Cut { at, .. } if at <= end as u64), "cut at {end}: {error}");
        assert!(reader.next_record().expect("after the fault").is_none());
    }
}

#[test]
fn a_damaged_byte_never_harms_the_reader() {
    let whole = small_trace();
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let Ok(mut reader) = TraceReader::new(&bytes[..]) else { continue };
            while let Ok(Some(_)) = reader.next_record() {}
        }
    }
}

#[test]
fn damaged_pixels_are_never_shown() {
    let whole = small_trace();
    let first = |bytes: &[u8]| TraceReader::new(bytes).expect("a header").next_record();
    let right = first(&whole).expect("whole");
    // past the header, the record's head, its one rectangle and the compressed length
    let begin = 22 + "synthetic".len() + 9 + 4 + 8 + 4;
    let len = u32::from_le_bytes(whole[begin - 4..begin].try_into().expect("four bytes")) as usize;
    let mut noticed = 0;
    for at in begin..begin + len {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x04;
        match first(&bytes) {
            Err(_) => noticed += 1,
            Ok(record) => assert_eq!(record, right, "byte {at}"),
        }
    }
    assert!(noticed * 2 > len, "{noticed} of {len}");
}

#[test]
fn absurd_values_are_refused_with_what_is_accepted() {
    let head = |fourcc: &[u8; 4], w: u16, h: u16, name: u16| {
        let mut b = b"FPTRACE\x01".to_vec();
        b.extend_from_slice(fourcc);
        [0, 0, w, h, name].iter().for_each(|v: &u16| b.extend_from_slice(&v.to_le_bytes()));
        b
    };
    let said = |bytes: &[u8]| match TraceReader::new(bytes) {
        Err(error) => error.to_string(),
        Ok(mut reader) => reader.next_record().expect_err("absurd").to_string(),
    };
    assert!(said(b"RIFF____________").contains("no farpane trace"));
    assert!(said(b"FPTRACE\x02________").contains("version 2 (expected 1)"));
    assert!(said(&head(b"RG16", 4, 4, 0)).contains("pixel format"));
    assert!(said(&head(b"XR24", 0, 4, 0)).contains("size 0x4"));
    assert!(said(&head(b"XR24", 65_535, 65_535, 0)).contains("size 65535x65535"));
    assert!(said(&head(b"XR24", 4, 4, 256)).contains("name of 256 bytes (expected at most 255)"));
    let with = |record: &[u8]| {
        let mut b = head(b"XR24", 4, 4, 0);
        b.extend_from_slice(record);
        said(&b)
    };
    let frame = |count: u32, rest: &[u8]| [&[1u8][..], &[0; 8], &count.to_le_bytes(), rest].concat();
    assert!(with(&[9, 0, 0, 0, 0, 0, 0, 0, 0]).contains("record kind 9 (expected 0..=2)"));
    assert!(with(&frame(u32::MAX, &[])).contains("rectangles (expected at most 65536)"));
    assert!(with(&frame(1, &[3, 0, 0, 0, 2, 0, 1, 0])).contains("rectangle 2x1+3+0 (expected inside 4x4)"));
    let full = [0, 0, 0, 0, 4, 0, 4, 0];
    assert!(
        with(&frame(2, &[full, full].concat())[..]).contains("cut off")
            || with(&frame(2, &[full, full].concat())).contains("32 pixels (expected at most 16)")
    );
    assert!(
        with(&frame(1, &[&full[..], &u32::MAX.to_le_bytes()].concat())).contains("compressed bytes (expected at most")
    );
    assert!(with(&frame(1, &[&full[..], &4u32.to_le_bytes(), b"junk"].concat())).contains("pixels:"));
}

#[test]
fn a_source_of_a_cut_trace_keeps_its_picture_and_tells_once() {
    let whole = trace();
    let mut source = ReplaySource::new(file(&whole[..whole.len() - 3]), Playback::Loop).expect("a header");
    source.start(Doorbell::new()).expect("plays");
    let now = Instant::now() + Duration::from_secs(10);
    let mut lost = 0;
    for _ in 0..50 {
        lost += u32::from(matches!(source.take(now), Some(SourceEvent::Lost(_))));
    }
    assert_eq!((lost, source.next_due()), (1, None));
    let bell: Arc<Doorbell> = Doorbell::new();
    assert!(source.start(bell).is_ok());
}
