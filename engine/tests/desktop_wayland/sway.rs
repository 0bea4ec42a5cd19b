//! A real compositor with wlr-screencopy.

use std::time::{Duration, Instant};

use farpane_engine::capture::Source;
use farpane_engine::capture::wayland::{Route, WaylandEvent};
use farpane_engine::geometry::{Rect, Size};
use farpane_test_support::painter::Painter;
use farpane_test_support::sway::Sway;

use super::PATIENCE;
use super::viewer::{Desk, Viewer};

/// How long stillness is looked at.
const WATCHED: Duration = Duration::from_secs(2);

fn noise(x: u16, y: u16) -> u32 {
    (u32::from(x).wrapping_mul(2_654_435_761) ^ u32::from(y).wrapping_mul(40_503)).wrapping_mul(0x9e37_79b1) >> 8
}

fn scribble(painter: &mut Painter, viewer: &mut Viewer) {
    let bounds = painter.size.rect();
    let mut seed = 12_345u32;
    for i in 0..40u32 {
        let mut next = |n: u16| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as u16 % n
        };
        let r = Rect::new(next(bounds.w), next(bounds.h), 1 + next(200), 1 + next(100)).intersect(&bounds);
        painter.paint(r, |_, _| 0x01_0203 * (i + 1));
        if i % 4 == 0 {
            viewer.until_it_shows(&painter.px);
        }
    }
    viewer.until_it_shows(&painter.px);
}

/// Takes what there is until nothing comes for a while.
fn settle(viewer: &mut Viewer) {
    let end = Instant::now() + PATIENCE;
    let mut quiet = Instant::now();
    while quiet.elapsed() < Duration::from_millis(300) {
        if viewer.take() {
            quiet = Instant::now();
        }
        viewer.bell.wait(Some(Instant::now() + Duration::from_millis(50)));
        assert!(Instant::now() < end, "never still");
    }
}

#[test]
fn the_picture_is_what_the_client_painted_and_what_grim_sees() {
    let Some(sway) = Sway::start(&["640x480"]) else { return };
    let mut painter = Painter::open(&sway.socket(), "HEADLESS-1");
    assert_eq!(painter.size, Size::new(640, 480));
    let desk = Desk::open(&sway.socket());
    assert_eq!(desk.display.route(), Route::Screencopy);
    let mut viewer = Viewer::new(&desk, "HEADLESS-1");
    viewer.until_it_shows(&painter.px);
    painter.paint(painter.size.rect(), noise);
    viewer.until_it_shows(&painter.px);
    scribble(&mut painter, &mut viewer);
    let Some((size, px)) = sway.grim("HEADLESS-1") else { return };
    assert_eq!((size, &px), (viewer.size, &viewer.px));
    assert_eq!(viewer.source.staged_bytes(), 0);
    // the comparison itself: one wrong pixel is seen
    viewer.px[7] ^= 1;
    assert_ne!(px, viewer.px);
}

#[test]
fn a_still_desktop_makes_no_pictures_and_one_line_makes_one_with_its_place() {
    let Some(sway) = Sway::start(&["3840x2160"]) else { return };
    let mut painter = Painter::open(&sway.socket(), "HEADLESS-1");
    painter.paint(painter.size.rect(), noise);
    let desk = Desk::open(&sway.socket());
    let mut viewer = Viewer::new(&desk, "HEADLESS-1");
    viewer.until_it_shows(&painter.px);
    settle(&mut viewer);
    let (pictures, frames) = (desk.display.pictures(), viewer.frames);
    let end = Instant::now() + WATCHED;
    while Instant::now() < end {
        assert!(!viewer.take(), "a still desktop has nothing to tell");
        viewer.bell.wait(Some(end));
    }
    assert_eq!((desk.display.pictures(), viewer.frames), (pictures, frames));
    let line = Rect::new(100, 700, 800, 20);
    painter.paint(line, |x, y| !noise(x, y));
    viewer.until_it_shows(&painter.px);
    assert_eq!(viewer.last.bounds(), line);
    settle(&mut viewer);
    assert!(viewer.frames - frames <= 2, "{} frames for one line", viewer.frames - frames);
}

#[test]
fn nobody_watching_means_no_pictures_and_a_new_start_shows_all() {
    let Some(sway) = Sway::start(&["640x480"]) else { return };
    let mut painter = Painter::open(&sway.socket(), "HEADLESS-1");
    let desk = Desk::open(&sway.socket());
    let mut viewer = Viewer::new(&desk, "HEADLESS-1");
    viewer.until_it_shows(&painter.px);
    viewer.source.stop();
    let pictures = desk.display.pictures();
    for i in 0..20 {
        painter.paint(Rect::new(i * 8, i * 8, 50, 50), |_, _| 0x1234 * u32::from(i));
    }
    assert!(!viewer.take());
    // had they been asked for, their answers would lie before this one's
    assert!(sway.grim("HEADLESS-1").is_some());
    assert_eq!(desk.display.pictures(), pictures);
    viewer.px.fill(0xdead_beef);
    viewer.source.start(std::sync::Arc::clone(&viewer.bell)).expect("starts again");
    viewer.until_it_shows(&painter.px);
}

#[test]
fn each_output_has_its_own_pictures_and_its_own_stillness() {
    let Some(sway) = Sway::start(&["640x480", "800x600"]) else { return };
    let mut left = Painter::open(&sway.socket(), "HEADLESS-1");
    let mut right = Painter::open(&sway.socket(), "HEADLESS-2");
    right.paint(right.size.rect(), noise);
    let desk = Desk::open(&sway.socket());
    let mut places: Vec<_> = desk.display.monitors().iter().map(|m| (m.name.clone(), m.logical.x, m.size)).collect();
    // told in any order
    places.sort_by_key(|place| place.1);
    let want = [("HEADLESS-1".into(), 0, Size::new(640, 480)), ("HEADLESS-2".into(), 640, Size::new(800, 600))];
    assert_eq!(places, want);
    let mut viewers = ["HEADLESS-1", "HEADLESS-2"].map(|name| Viewer::new(&desk, name));
    viewers[0].until_it_shows(&left.px);
    viewers[1].until_it_shows(&right.px);
    viewers.iter_mut().for_each(settle);
    let frames = viewers[1].frames;
    left.paint(Rect::new(600, 10, 40, 10), noise);
    viewers[0].until_it_shows(&left.px);
    settle(&mut viewers[1]);
    assert_eq!(viewers[1].frames, frames, "nothing changed there");
    right.paint(Rect::new(0, 10, 40, 10), |_, _| 0xff_0000);
    viewers[1].until_it_shows(&right.px);
}

#[test]
fn an_output_that_appears_is_told_and_shown() {
    let Some(sway) = Sway::start(&["640x480"]) else { return };
    let desk = Desk::open(&sway.socket());
    sway.tell("create_output");
    desk.layout("a second output", |all| all.len() == 2);
    sway.tell("output HEADLESS-2 resolution 800x600");
    desk.layout("its size", |all| all.iter().any(|m| m.name == "HEADLESS-2" && m.size == Size::new(800, 600)));
    let mut painter = Painter::open(&sway.socket(), "HEADLESS-2");
    let mut viewer = Viewer::new(&desk, "HEADLESS-2");
    viewer.until_it_shows(&painter.px);
    painter.paint(Rect::new(5, 5, 100, 100), noise);
    viewer.until_it_shows(&painter.px);
}

#[test]
fn every_transform_resolution_and_scale_arrives_upright_in_physical_pixels() {
    let Some(sway) = Sway::start(&["640x400"]) else { return };
    let mut painter = Painter::open(&sway.socket(), "HEADLESS-1");
    painter.paint(painter.size.rect(), noise);
    let desk = Desk::open(&sway.socket());
    let mut viewer = Viewer::new(&desk, "HEADLESS-1");
    viewer.until_it_shows(&painter.px);
    let changes = [
        ("transform 90", Size::new(400, 640)),
        ("transform 180", Size::new(640, 400)),
        ("transform 270", Size::new(400, 640)),
        ("transform flipped", Size::new(640, 400)),
        ("transform flipped-90", Size::new(400, 640)),
        ("transform flipped-180", Size::new(640, 400)),
        ("transform flipped-270", Size::new(400, 640)),
        ("resolution 800x600", Size::new(600, 800)),
        ("transform normal", Size::new(800, 600)),
        ("scale 2", Size::new(800, 600)),
        ("scale 1", Size::new(800, 600)),
        ("resolution 320x200", Size::new(320, 200)),
    ];
    for (seed, (words, size)) in (1..).zip(changes) {
        sway.tell(&format!("output HEADLESS-1 {words}"));
        // the window gets another size, but for those changes that leave it as it is
        let before = painter.size;
        let wanted = {
            let all = desk.display.monitors();
            all.first().map(|m| Size::new(m.logical.w as u16, m.logical.h as u16))
        };
        if wanted.is_some_and(|size| size != before) {
            painter.fit();
        }
        painter.paint(painter.size.rect(), |x, y| noise(x + seed, y));
        let staged = viewer.source.staged_bytes();
        // what grim sees may be older than what is to come: look again until both agree
        let end = Instant::now() + PATIENCE;
        loop {
            while viewer.take() {}
            let Some((seen, px)) = sway.grim("HEADLESS-1") else { return };
            if seen == size && viewer.size == size && px == viewer.px {
                break;
            }
            assert!(Instant::now() < end, "{words}: not what grim sees ({seen} and {})", viewer.size);
        }
        // once it stands still a small part that changes is all that is turned
        settle(&mut viewer);
        let after_whole = viewer.source.staged_bytes();
        painter.paint(Rect::new(10, 20, 30, 10), |_, _| 0xff_8000 + u32::from(seed));
        let end = Instant::now() + PATIENCE;
        loop {
            while viewer.take() {}
            let Some((_, px)) = sway.grim("HEADLESS-1") else { return };
            if px == viewer.px {
                break;
            }
            assert!(Instant::now() < end, "{words}: the small part is not what grim sees");
        }
        let turned = words.starts_with("transform") && words != "transform normal";
        let cost = viewer.source.staged_bytes() - after_whole;
        assert!(cost <= 8 * 30 * 10 * 4, "{words}: {cost} bytes turned for a part of 300 pixels");
        assert_eq!(cost > 0, turned || words == "resolution 800x600", "{words}");
        assert_eq!(after_whole > staged, turned || words == "resolution 800x600", "{words}");
    }
}

#[test]
fn an_uneven_scale_leaves_the_pictures_size_as_it_is() {
    let Some(sway) = Sway::start(&["800x600"]) else { return };
    let desk = Desk::open(&sway.socket());
    sway.tell("output HEADLESS-1 scale 1.5");
    let all = desk.layout("its scale", |all| all.iter().all(|m| m.logical.w == 533));
    assert_eq!((all[0].size, all[0].logical.h), (Size::new(800, 600), 400));
    let mut viewer = Viewer::new(&desk, "HEADLESS-1");
    viewer.until("a picture", |me| me.frames > 0);
    assert_eq!(viewer.size, Size::new(800, 600));
}

#[test]
fn a_compositor_that_is_killed_is_lost_once_and_for_all() {
    let Some(mut sway) = Sway::start(&["640x480"]) else { return };
    let desk = Desk::open(&sway.socket());
    let mut viewer = Viewer::new(&desk, "HEADLESS-1");
    viewer.until("a picture", |me| me.frames > 0);
    sway.kill();
    let said = viewer.until_lost();
    assert!(said.starts_with("the Wayland compositor is gone: "), "{said}");
    let end = Instant::now() + PATIENCE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if let WaylandEvent::Lost(reason) = desk.events.recv_timeout(left).expect("told") {
            assert_eq!(reason, said);
            break;
        }
    }
    assert!(!viewer.take(), "told once");
    assert!(viewer.source.start(std::sync::Arc::clone(&viewer.bell)).is_err());
}
