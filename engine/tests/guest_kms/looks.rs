//! What is shown is what is seen: pictures, planes, pointers, and how often the card is asked.

use std::time::{Duration, Instant};

use drm::buffer::DrmFourcc;
use drm::control::PlaneType;
use farpane_engine::capture::drm::{Wish, shape};
use farpane_engine::geometry::Size;
use farpane_test_support::screens::Shown;

use crate::guest_support::in_guest;
use crate::watcher::{Watcher, painter};

const THREE: [(u16, u16); 3] = [(800, 600), (1024, 768), (640, 480)];

/// A picture unlike its neighbours and unlike the next one.
fn scene(number: u32) -> impl Fn(u32, u32) -> u32 + Copy {
    move |x, y| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503) ^ number.wrapping_mul(0x9e37_79b9)) >> 4
}

#[test]
fn three_screens_are_seen_exactly_while_they_flip() {
    if !in_guest() {
        return;
    }
    let mut painter = painter(&THREE);
    let mut watchers: Vec<Watcher> = (0..3).map(Watcher::new).collect();
    for (watcher, (w, h)) in watchers.iter_mut().zip(THREE) {
        assert_eq!(watcher.screen.size, Size::new(w, h));
        watcher.look_now(true);
        watcher.take(Instant::now());
        watcher.assert_shows("black", |_, _| 0);
    }
    for number in 1..6 {
        for i in 0..3usize {
            painter.paint(i, scene(number * 3 + i as u32));
            let looked = watchers[i].look();
            assert!(looked, "a flip is seen at the next vertical blank");
            watchers[i].take(Instant::now());
            watchers[i].assert_shows(&format!("screen {i}, picture {number}"), scene(number * 3 + i as u32));
            let others = (0..3).filter(|o| *o != i).any(|o| watchers[o].look_now(false));
            assert!(!others, "a flip on one is nothing on the others");
        }
    }
    assert!(watchers.iter().all(|w| w.wishes().first() == Some(&Wish::Watch)));
}

#[test]
fn what_is_drawn_in_place_is_found_strip_by_strip() {
    if !in_guest() {
        return;
    }
    let mut painter = painter(&THREE[..1]);
    let mut watcher = Watcher::new(0);
    painter.paint(0, scene(1));
    watcher.look_now(true);
    let mut now = Instant::now();
    watcher.take(now);
    painter.paint_in_place(0, |x, y| if (x, y) == (799, 599) { 0xff } else { scene(1)(x, y) });
    assert!(!watcher.look(), "the buffer is the same");
    let drawn = now;
    let mut found = 0;
    while found == 0 {
        now = farpane_engine::capture::Source::next_due(&watcher.source).expect("strips are due");
        assert!(now - drawn < Duration::from_millis(2600), "later than four passes in ten seconds");
        found = watcher.take(now);
    }
    watcher.assert_shows("a pixel drawn in place", |x, y| if (x, y) == (799, 599) { 0xff } else { scene(1)(x, y) });
    // all of it changes: each strip is looked at within one pass at the rate of the screen
    painter.paint_in_place(0, scene(2));
    let drawn = now;
    for _ in 0..10 {
        now = farpane_engine::capture::Source::next_due(&watcher.source).expect("strips are due");
        watcher.take(now);
    }
    assert!(now - drawn < Duration::from_millis(250), "{:?}", now - drawn);
    watcher.assert_shows("all drawn in place", scene(2));
}

#[test]
fn overlays_lie_on_the_picture_plain_and_shining_through() {
    if !in_guest() {
        return;
    }
    let mut painter = painter(&THREE[..1]);
    painter.paint(0, scene(1));
    let mut plain = painter.canvas((200, 100), DrmFourcc::Xrgb8888);
    painter.draw(&mut plain, scene(7));
    let overlay = |canvas, besides| Shown { canvas, part: [10, 20, 150, 70], place: [-30, 300, 150, 70], besides };
    let inside = |x: u32, y: u32| x < 120 && (300..370).contains(&y);
    let mut watcher = Watcher::new(0);
    painter.show(0, PlaneType::Overlay, Some(overlay(&plain, &[])));
    watcher.look_now(true);
    watcher.take(Instant::now());
    let expected = |x, y| if inside(x, y) { scene(7)(x + 40, y - 280) } else { scene(1)(x, y) };
    watcher.assert_shows("an overlay from the beginning", expected);
    // another one on the way, drawn where it lies
    let staged = farpane_engine::capture::Source::staged_bytes(&watcher.source);
    let mut other = painter.canvas((200, 100), DrmFourcc::Xrgb8888);
    painter.draw(&mut other, scene(8));
    painter.show(0, PlaneType::Overlay, Some(overlay(&other, &[])));
    watcher.follow();
    watcher.assert_shows(
        "another overlay",
        |x, y| {
            if inside(x, y) { scene(8)(x + 40, y - 280) } else { scene(1)(x, y) }
        },
    );
    assert_eq!(farpane_engine::capture::Source::staged_bytes(&watcher.source), staged, "nothing was copied on the way");
    painter.show(0, PlaneType::Overlay, None);
    watcher.follow();
    watcher.assert_shows("no overlay", scene(1));
    // one that says of each pixel how much it covers
    let mut veil = painter.canvas((200, 100), DrmFourcc::Argb8888);
    painter.draw(&mut veil, |x, _| if x % 2 == 0 { 0 } else { 0xff00_00ff });
    painter.show(0, PlaneType::Overlay, Some(overlay(&veil, &[])));
    watcher.follow();
    watcher.assert_shows("every other column", |x, y| if inside(x, y) && x % 2 == 1 { 0xff } else { scene(1)(x, y) });
}

#[test]
fn a_pointer_is_a_shape_and_a_place() {
    if !in_guest() {
        return;
    }
    let mut painter = painter(&THREE[..1]);
    painter.paint(0, scene(1));
    let mut arrow = painter.canvas((64, 64), DrmFourcc::Argb8888);
    painter.draw(&mut arrow, |x, y| if x <= y { 0xff10_2030 } else { 0 });
    let at = |x, y| Shown { canvas: &arrow, part: [0, 0, 64, 64], place: [x, y, 64, 64], besides: &[] };
    painter.show(0, PlaneType::Cursor, Some(at(100, 50)));
    let mut watcher = Watcher::new(0);
    watcher.look_now(true);
    watcher.take(Instant::now());
    watcher.assert_shows("no pointer in the picture", scene(1));
    let pointer = watcher.pointer.expect("a pointer");
    assert_eq!((pointer.layer.to.x, pointer.layer.to.y), (100, 50));
    let image = shape(&watcher.feed, &pointer, 1).expect("a shape");
    assert_eq!(image.size, Size::new(64, 64));
    assert_eq!(&image.rgba[..4], [0x10, 0x20, 0x30, 0xff]);
    assert_eq!(&image.rgba[4..8], [0; 4]);
    painter.show(0, PlaneType::Cursor, Some(at(-5, 590)));
    assert!(!watcher.look(), "the picture is the same");
    let moved = watcher.pointer.expect("a pointer");
    assert_eq!((moved.layer.to.x, moved.layer.to.y, moved.serial), (-5, 590, pointer.serial));
    painter.show(0, PlaneType::Cursor, None);
    watcher.look();
    assert_eq!(watcher.pointer, None);
}

#[test]
fn screens_that_sleep_are_dark_and_come_back() {
    if !in_guest() {
        return;
    }
    let mut painter = painter(&THREE[..1]);
    painter.paint(0, scene(1));
    let mut watcher = Watcher::new(0);
    watcher.look_now(true);
    watcher.take(Instant::now());
    painter.sleep(0, true);
    assert!(watcher.look_now(true));
    watcher.take(Instant::now());
    watcher.assert_shows("asleep", |_, _| 0);
    painter.sleep(0, false);
    assert!(watcher.look_now(true));
    watcher.take(Instant::now());
    watcher.assert_shows("awake", scene(1));
}

#[test]
fn turned_pictures_are_seen_as_they_were_drawn() {
    if !in_guest() {
        return;
    }
    let painter = painter(&THREE[..1]);
    // drawn upright, 600 wide and 800 high, and turned by the plane on its way to a screen that stands on its side
    let mut upright = painter.canvas((600, 800), DrmFourcc::Xrgb8888);
    painter.draw(&mut upright, scene(3));
    let turned =
        Shown { canvas: &upright, part: [0, 0, 600, 800], place: [0, 0, 800, 600], besides: &[("rotation", 2)] };
    painter.show(0, PlaneType::Primary, Some(turned));
    // a pointer that is not turned by its plane was drawn turned
    let mut arrow = painter.canvas((64, 64), DrmFourcc::Argb8888);
    painter.draw(&mut arrow, |x, y| if (x, y) == (0, 0) { 0xffff_ffff } else { 0 });
    let at = Shown { canvas: &arrow, part: [0, 0, 64, 64], place: [10, 20, 64, 64], besides: &[] };
    painter.show(0, PlaneType::Cursor, Some(at));
    let mut watcher = Watcher::new(0);
    watcher.look_now(true);
    watcher.take(Instant::now());
    assert_eq!(watcher.size(), Size::new(600, 800));
    watcher.assert_shows("upright", scene(3));
    let pointer = watcher.pointer.expect("a pointer");
    // 90 degrees counter-clockwise: the screen's left edge is the picture's upper one, seen from the right
    assert_eq!((pointer.layer.to.x, pointer.layer.to.y), (600 - 20 - 64, 10));
    let image = shape(&watcher.feed, &pointer, 1).expect("a shape");
    let lit = image.rgba.chunks_exact(4).position(|pixel| pixel[3] != 0);
    assert_eq!(lit, Some(63), "its upper right corner");
}

#[test]
fn nothing_is_kept_of_frames_that_are_gone() {
    if !in_guest() {
        return;
    }
    let open = || std::fs::read_dir("/proc/self/fd").expect("ours").count();
    let mut painter = painter(&[(640, 480)]);
    let mut watcher = Watcher::new(0);
    watcher.look_now(true);
    watcher.take(Instant::now());
    let mut before = 0;
    for number in 0..60u32 {
        // buffers that are new each time, as of a desktop that makes them anew
        let mut canvas = painter.canvas((640, 480), DrmFourcc::Xrgb8888);
        painter.draw(&mut canvas, |x, _| x ^ number);
        let whole = Shown { canvas: &canvas, part: [0, 0, 640, 480], place: [0, 0, 640, 480], besides: &[] };
        painter.show(0, PlaneType::Primary, Some(whole));
        watcher.follow();
        watcher.assert_shows("a new buffer", |x, _| x ^ number);
        painter.paint(0, |_, _| number);
        watcher.follow();
        painter.forget(canvas);
        if number == 20 {
            before = open();
        }
    }
    assert_eq!(open(), before, "descriptors after 40 more frames");
    // every handle was closed: numbers of handles are given out from the lowest on
    let framebuffer = farpane_engine::capture::drm::Card::framebuffer(&watcher.device, u32::from(painter.shown(0)))
        .expect("is shown");
    assert_eq!(framebuffer.handles[0], 1, "no handle is open");
    farpane_engine::capture::drm::Card::close(&watcher.device, 1).expect("the one that was just made");
}
