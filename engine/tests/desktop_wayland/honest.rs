//! ext-image-copy-capture from a compositor that does the least that it may, and changes its mind.

use std::time::{Duration, Instant};

use farpane_engine::capture::Source;
use farpane_engine::capture::wayland::{Route, WaylandEvent};
use farpane_engine::geometry::{Point, Rect, Size};
use farpane_engine::pixel::Fourcc;
use wayland_protocols::ext::image_copy_capture::v1::server::ext_image_copy_capture_frame_v1::FailureReason;

use super::fake::{Fake, Manners};
use super::viewer::{Desk, Viewer};

const SIZE: Size = Size::new(320, 200);

fn open(manners: Manners, ext: bool) -> (Fake, Desk, Viewer) {
    let fake = Fake::start(SIZE, ext, manners);
    let desk = Desk::open(&fake.socket());
    assert_eq!(desk.display.route(), if ext { Route::ImageCopy } else { Route::Screencopy });
    let viewer = Viewer::new(&desk, "FAKE-0");
    (fake, desk, viewer)
}

fn catch_up(fake: &Fake, viewer: &mut Viewer) {
    let px = fake.with(|state| state.px(0));
    viewer.until_it_shows(&px);
}

#[test]
fn buffers_of_which_only_the_new_is_written_show_the_whole() {
    let (fake, _desk, mut viewer) = open(Manners::default(), true);
    catch_up(&fake, &mut viewer);
    let mut seed = 7u32;
    let mut next = move |n: u16| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as u16 % n
    };
    let before = fake.with(|state| state.written);
    let mut painted = 0;
    for i in 0..60u32 {
        let part = Rect::new(next(SIZE.w), next(SIZE.h), 1 + next(40), 1 + next(30)).intersect(&SIZE.rect());
        painted += part.area() * 4;
        fake.with(move |state| state.paint(0, part, |x, y| u32::from(x) * 31 + u32::from(y) * 7 + i * 1_000));
        match i % 3 {
            0 => catch_up(&fake, &mut viewer),
            // a picture that waits while more is painted
            1 => std::thread::yield_now(),
            _ => while viewer.take() {},
        }
    }
    catch_up(&fake, &mut viewer);
    let written = fake.with(|state| state.written) - before;
    // each change is written into every buffer once, and no more
    assert!(written <= 3 * painted + 3 * SIZE.area() * 4, "{written} bytes written for {painted} painted");
    assert_eq!(viewer.source.staged_bytes(), 0);
}

#[test]
fn a_still_output_makes_no_pictures() {
    let (fake, desk, mut viewer) = open(Manners::default(), true);
    catch_up(&fake, &mut viewer);
    let (pictures, end) = (desk.display.pictures(), Instant::now() + Duration::from_secs(1));
    while Instant::now() < end {
        assert!(!viewer.take());
        viewer.bell.wait(Some(end));
    }
    assert_eq!((desk.display.pictures(), fake.with(|state| state.pictures)), (pictures, pictures));
}

#[test]
fn another_size_midway_is_followed() {
    let (fake, _desk, mut viewer) = open(Manners::default(), true);
    catch_up(&fake, &mut viewer);
    for (w, h, colour) in [(100, 300, 0xff_0000), (640, 480, 0x00_ff00), (1, 1, 0x12_3456)] {
        fake.with(move |state| state.resize(0, Size::new(w, h), colour));
        viewer.until("the new size", |me| me.size == Size::new(w, h));
        catch_up(&fake, &mut viewer);
    }
}

#[test]
fn another_format_midway_is_followed() {
    let (fake, _desk, mut viewer) = open(Manners::default(), true);
    catch_up(&fake, &mut viewer);
    assert_eq!(viewer.source.info().fourcc, Fourcc::XRGB8888);
    fake.with(|state| {
        state.manners.formats = vec![u32::from_le_bytes(*b"XB24")];
        state.paint(0, SIZE.rect(), |x, y| u32::from(x) << 8 | u32::from(y));
    });
    catch_up(&fake, &mut viewer);
    fake.with(|state| state.paint(0, Rect::new(3, 4, 5, 6), |_, _| 0xff_00ff));
    catch_up(&fake, &mut viewer);
    assert_eq!(viewer.source.info().fourcc, Fourcc::XBGR8888);
}

#[test]
fn a_frame_that_says_it_is_turned_arrives_upright() {
    let (fake, _desk, mut viewer) = open(Manners { transform: 1, ..Manners::default() }, true);
    let scanned = fake.with(|state| {
        state.paint(0, SIZE.rect(), |x, y| u32::from(x) << 8 | u32::from(y));
        state.px(0)
    });
    // counter-clockwise leads from the upright picture to the buffer
    let (w, h) = (usize::from(SIZE.w), usize::from(SIZE.h));
    let upright: Vec<u32> =
        (0..w).flat_map(|y| (0..h).map(move |x| (x, y))).map(|(x, y)| scanned[(h - 1 - x) * w + y]).collect();
    viewer.until("its size", |me| me.size == Size::new(SIZE.h, SIZE.w));
    viewer.until_it_shows(&upright);
}

#[test]
fn failures_and_stopped_sessions_that_end_are_survived() {
    for (fails, stops) in
        [((2, None), 0), ((1, Some(FailureReason::Stopped)), 0), ((0, None), 2), ((1, Some(FailureReason::Unknown)), 1)]
    {
        let (fake, _desk, mut viewer) = open(Manners { fails, stops, ..Manners::default() }, true);
        catch_up(&fake, &mut viewer);
        fake.with(move |state| {
            state.manners.fails = fails;
            state.paint(0, Rect::new(9, 9, 20, 20), |_, _| 0xab_cdef);
        });
        catch_up(&fake, &mut viewer);
        assert_eq!(viewer.lost, None);
    }
}

#[test]
fn damage_that_lies_outside_or_is_not_told_hides_nothing() {
    for lie in [
        vec![],
        vec![[5_000, 5_000, 10, 10]],
        vec![[-50, -50, 10, 10]],
        vec![[i32::MAX, i32::MAX, i32::MAX, i32::MAX]],
        vec![[i32::MIN, i32::MIN, i32::MAX, i32::MAX]],
        vec![[0, 0, -5, 7]],
        // reaches over every edge
        vec![[-1_000, -1_000, 100_000, 100_000]],
    ] {
        let (fake, _desk, mut viewer) = open(Manners { damage: Some(lie), ..Manners::default() }, true);
        for i in 0..4u16 {
            fake.with(move |state| state.paint(0, Rect::new(i * 20, 10, 15, 15), |x, y| u32::from(x * y)));
            catch_up(&fake, &mut viewer);
        }
    }
}

#[test]
fn many_small_changes_are_all_told() {
    let (fake, _desk, mut viewer) = open(Manners::default(), true);
    catch_up(&fake, &mut viewer);
    fake.with(|state| {
        for i in 0..200u16 {
            state.paint(0, Rect::new((i * 13) % SIZE.w, (i * 29) % SIZE.h, 1, 1), |_, _| 0xff_ffff - u32::from(i));
        }
    });
    catch_up(&fake, &mut viewer);
}

#[test]
fn outputs_that_are_unplugged_and_plugged_in_again_are_others() {
    let (fake, desk, mut viewer) = open(Manners::default(), true);
    catch_up(&fake, &mut viewer);
    let first = desk.monitor("FAKE-0").id;
    fake.with(|state| state.add_output(Size::new(64, 48)));
    desk.layout("two outputs", |all| all.len() == 2);
    fake.with(|state| state.unplug(0));
    desk.layout("one output", |all| all.len() == 1);
    assert_eq!(viewer.until_lost(), "output FAKE-0 is gone");
    let second = desk.monitor("FAKE-1");
    assert_ne!(second.id, first);
    let mut viewer = Viewer::new(&desk, "FAKE-1");
    let px = fake.with(|state| state.px(1));
    viewer.until_it_shows(&px);
}

#[test]
fn a_picture_whose_size_is_not_that_of_its_output_is_told_as_it_is() {
    let (fake, desk, mut viewer) = open(Manners::default(), true);
    catch_up(&fake, &mut viewer);
    // frames say that they are turned, the output does not
    fake.with(|state| {
        state.manners.transform = 3;
        state.paint(0, SIZE.rect(), |_, _| 0x77_7777);
    });
    viewer.until("the turned size", |me| me.size == Size::new(SIZE.h, SIZE.w));
    desk.layout("the turned size", |all| all.iter().all(|m| m.size == Size::new(SIZE.h, SIZE.w)));
}

#[test]
fn screencopy_with_padded_rows_and_on_its_head_shows_the_same() {
    for (stride, inverted) in [(None, false), (Some(320 * 4 + 12), false), (None, true), (Some(320 * 4 + 64), true)] {
        let (fake, _desk, mut viewer) = open(Manners { stride, inverted, dmabuf: true, ..Manners::default() }, false);
        catch_up(&fake, &mut viewer);
        for i in 0..8u16 {
            fake.with(move |state| {
                state.paint(0, Rect::new(i * 30, i * 20, 25, 15), |x, y| u32::from(x) * u32::from(y) + 1)
            });
            catch_up(&fake, &mut viewer);
        }
        assert_eq!(viewer.source.staged_bytes() > 0, inverted);
    }
}

#[test]
fn the_pointer_has_its_shape_apart_from_the_picture_as_long_as_somebody_watches() {
    let (fake, desk, mut viewer) = open(Manners { pointer: true, ..Manners::default() }, true);
    catch_up(&fake, &mut viewer);
    assert!(desk.display.pointer_apart());
    assert_eq!(fake.with(|state| state.painted.clone()), [false]);
    let cursor = |event| if let WaylandEvent::Cursor(image) = event { Some(image) } else { None };
    fake.with(|state| state.point_with((2, 1), vec![0xff11_2233, 0x8040_2010], (1, 0)));
    desk.display.watch_cursor(true);
    let image = desk.event("a shape", cursor);
    assert_eq!((image.size, image.hotspot), (Size::new(2, 1), Point::new(1, 0)));
    assert_eq!(image.rgba, [0x11, 0x22, 0x33, 0xff, 0x40, 0x20, 0x10, 0x80]);
    fake.with(|state| state.point_at(0, -3, 17));
    let at = desk.event("a place", |event| match event {
        WaylandEvent::Pointer { x, y, .. } => Some((x, y)),
        _ => None,
    });
    assert_eq!(at, (-3, 17));
    // another size needs another buffer
    fake.with(|state| state.point_with((3, 3), vec![0xffff_ffff; 9], (9, 9)));
    let image = desk.event("a larger shape", cursor);
    assert_eq!((image.size, image.hotspot, image.serial), (Size::new(3, 3), Point::new(2, 2), 2));
    desk.display.watch_cursor(false);
    fake.with(|state| state.point_with((1, 1), vec![0xff00_0000], (0, 0)));
    // what nobody asks for is not told: the answer to this comes after it would
    viewer.source.stop();
    viewer.source.start(std::sync::Arc::clone(&viewer.bell)).expect("starts again");
    catch_up(&fake, &mut viewer);
    assert!(desk.events.try_iter().all(|event| cursor(event).is_none()));
}

#[test]
fn a_seat_whose_pointer_comes_and_goes_has_it_painted_meanwhile() {
    let (fake, desk, mut viewer) = open(Manners::default(), true);
    catch_up(&fake, &mut viewer);
    assert!(!desk.display.pointer_apart());
    desk.display.watch_cursor(true);
    fake.with(|state| state.plug(true));
    desk.event("a shape", |event| if let WaylandEvent::Cursor(image) = event { Some(image) } else { None });
    catch_up(&fake, &mut viewer);
    fake.with(|state| state.plug(false));
    let image = desk.event("none", |event| if let WaylandEvent::Cursor(image) = event { Some(image) } else { None });
    assert_eq!(image.size, Size::new(0, 0));
    fake.with(|state| state.paint(0, Rect::new(0, 0, 9, 9), |_, _| 0x99_9999));
    catch_up(&fake, &mut viewer);
    assert_eq!(fake.with(|state| state.painted.clone()), [true, false, true]);
}

#[test]
fn a_display_that_is_dropped_ends_its_sources() {
    let (_fake, desk, mut viewer) = open(Manners::default(), true);
    viewer.until("a picture", |me| me.frames > 0);
    drop(desk);
    assert_eq!(viewer.until_lost(), "the display was closed");
}
