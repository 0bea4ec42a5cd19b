use super::*;

fn spec(w: u16, h: u16, fps: u16, scene: Scene) -> SyntheticSpec {
    SyntheticSpec { size: Size::new(w, h), fps, scene }
}

/// The first pixel outside `hint` where the two pictures differ.
fn dishonest(size: Size, before: &[u32], after: &[u32], hint: &Region) -> Option<Point> {
    let at = |i: usize| Point::new((i % usize::from(size.w)) as u16, (i / usize::from(size.w)) as u16);
    (0..before.len()).filter(|&i| before[i] != after[i]).map(at).find(|p| !hint.contains_point(*p))
}

fn pixels(frame: &Frame) -> &[u32] {
    match &frame.memory {
        Memory::Heap(px) => px,
        _ => panic!("a synthetic frame lies on the heap"),
    }
}

fn frame(event: Option<SourceEvent>) -> Frame {
    match event {
        Some(SourceEvent::Frame(frame)) => frame,
        other => panic!("expected a frame, got {other:?}"),
    }
}

#[test]
fn specifications_are_read_and_printed_alike() {
    assert_eq!(parse(""), Ok(SyntheticSpec::default()));
    assert_eq!(parse("16x16384@240:noise"), Ok(spec(16, 16_384, 240, Scene::Noise)));
    assert_eq!(parse("640x480@1"), Ok(spec(640, 480, 1, Scene::Desktop)));
    for scene in Scene::ALL {
        let one = spec(100, 90, 7, scene);
        assert_eq!(parse(&one.to_string()), Ok(one));
    }
}

#[test]
fn bad_specifications_are_refused_with_the_accepted_range() {
    for (text, part) in [
        ("15x100", "width \"15\" of a synthetic source (expected 16..=16384)"),
        ("100x16385", "height \"16385\""),
        ("+100x100", "width \"+100\""),
        ("100x", "height \"\""),
        ("100", "expected WxH"),
        ("100x100@0", "\"0\" pictures a second (expected 1..=240)"),
        ("100x100@241", "\"241\""),
        ("100x100@", "\"\""),
        ("100x100:films", "scene \"films\" (expected one of desktop, still"),
        ("100x100:noise@30", "scene \"noise@30\""),
        ("99999999999999999999x1", "width"),
    ] {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn frames_equal_the_pure_pictures_and_hints_cover_every_difference() {
    for scene in Scene::ALL {
        for (w, h) in [(16, 16), (64, 80), (333, 211)] {
            let spec = spec(w, h, 30, scene);
            let epoch = Instant::now();
            let mut source = SyntheticSource::new(spec, epoch);
            source.start(Doorbell::new()).expect("a scene starts");
            let mut shown: Option<(u64, Vec<u32>)> = None;
            let mut held = Vec::new();
            for n in [0, 1, 2, 5, 6, 31, 32, 33, 90, 91] {
                let Some(event) = source.take(epoch + spec.due(n)) else {
                    if let Some((last, px)) = &shown {
                        assert_eq!(&picture(&spec, n), px, "{spec}: {n} differs from {last} but no frame came");
                    }
                    continue;
                };
                let frame = frame(Some(event));
                assert_eq!(pixels(&frame), picture(&spec, n), "{spec} picture {n}");
                match (&frame.hint, &shown) {
                    (Hint::Everything, None) => {}
                    (Hint::Only(hint), Some((_, before))) => {
                        assert_eq!(dishonest(spec.size, before, pixels(&frame), hint), None, "{spec} picture {n}");
                        assert!(hint.rects().iter().all(|r| spec.size.rect().contains(r)));
                    }
                    (hint, _) => panic!("{spec} picture {n}: hint {hint:?}"),
                }
                shown = Some((n, pixels(&frame).to_vec()));
                // keep one older frame alive, so that buffers with older pictures are used again
                held.push(frame);
                if held.len() > 2 {
                    held.remove(0);
                }
            }
        }
    }
}

#[test]
fn a_hint_that_leaves_out_a_pixel_is_caught() {
    let spec = spec(64, 64, 30, Scene::Noise);
    let (a, b) = (picture(&spec, 0), picture(&spec, 1));
    let mut hint = Region::from(spec.size.rect());
    assert_eq!(dishonest(spec.size, &a, &b, &hint), None);
    hint.subtract_rect(&Rect::new(63, 63, 1, 1));
    assert_eq!(dishonest(spec.size, &a, &b, &hint), Some(Point::new(63, 63)));
}

#[test]
fn slow_takers_get_the_newest_picture() {
    let spec = spec(64, 48, 30, Scene::Noise);
    let epoch = Instant::now();
    let mut source = SyntheticSource::new(spec, epoch);
    source.start(Doorbell::new()).expect("a scene starts");
    assert_eq!(source.next_due(), Some(epoch));
    drop(source.take(epoch));
    assert_eq!(source.next_due(), Some(epoch + spec.due(1)));
    assert!(source.take(epoch + spec.due(1) - Duration::from_nanos(1)).is_none());
    let late = frame(source.take(epoch + Duration::from_secs(2)));
    assert_eq!((pixels(&late).to_vec(), late.seq), (picture(&spec, 60), 2));
}

#[test]
fn a_still_scene_has_one_picture_and_no_timer() {
    let epoch = Instant::now();
    let mut source = SyntheticSource::new(spec(64, 48, 30, Scene::Still), epoch);
    assert!(source.take(epoch).is_none(), "nothing before the start");
    assert_eq!(source.next_due(), None);
    source.start(Doorbell::new()).expect("a scene starts");
    drop(frame(source.take(epoch)));
    assert_eq!(source.next_due(), None);
    assert!(source.take(epoch + Duration::from_secs(9)).is_none());
    source.stop();
    assert!(source.take(epoch + Duration::from_secs(10)).is_none());
    source.start(Doorbell::new()).expect("a scene starts");
    assert_eq!(frame(source.take(epoch)).hint, Hint::Everything);
}

#[test]
fn a_typed_letter_changes_at_most_its_own_cell() {
    let spec = spec(640, 480, 60, Scene::Typing);
    let epoch = Instant::now();
    let mut source = SyntheticSource::new(spec, epoch);
    source.start(Doorbell::new()).expect("a scene starts");
    drop(source.take(epoch));
    for _ in 0..120 {
        let due = source.next_due().expect("typing goes on");
        let Hint::Only(hint) = frame(source.take(due)).hint.clone() else { panic!("no hint") };
        assert_eq!((hint.rects().len(), hint.area()), (1, 200));
    }
}

#[test]
fn frames_that_nobody_gives_back_stop_the_source_without_a_lie() {
    let spec = spec(32, 32, 30, Scene::Noise);
    let epoch = Instant::now();
    let mut source = SyntheticSource::new(spec, epoch);
    source.start(Doorbell::new()).expect("a scene starts");
    let mut held: Vec<_> = (0..3).map(|n| frame(source.take(epoch + spec.due(n)))).collect();
    assert!(source.take(epoch + spec.due(3)).is_none());
    held.clear();
    let next = frame(source.take(epoch + spec.due(4)));
    assert_eq!(pixels(&next), picture(&spec, 4));
}

#[test]
fn the_pointer_stays_on_the_screen() {
    for (w, h) in [(16, 16), (3840, 2160), (16_384, 16_384)] {
        let spec = spec(w, h, 30, Scene::Desktop);
        for n in (0..4_000).step_by(7) {
            let p = spec.pointer(n);
            assert!(p.x < w && p.y < h);
        }
        assert_ne!(spec.pointer(0), spec.pointer(40));
    }
    let image = pointer_image();
    assert_eq!(image.rgba.len() as u64, image.size.area() * 4);
}
