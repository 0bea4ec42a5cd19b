//! Views that show the desktop smaller than it is: what they show after changes, and where their pointers go.

use std::time::Instant;

use farpane_engine::geometry::{Rect, Scale, Size};
use farpane_engine::kernel::CpuLevel;
use farpane_engine::kernel::downscale::{Axis, Picture, Sums, downscale};
use farpane_engine::pixel::Layout;
use farpane_test_support::xvfb::Xvfb;

use super::screen::Screen;
use super::{PATIENCE, serve, watching};

const MOST: Size = Size { w: 1280, h: 720 };

/// Listeners without security with these lines.
fn listeners(all: &[&str]) -> String {
    let listener = |lines: &&str| format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{lines}\n");
    format!("security = \"none\"\n{}", all.iter().map(listener).collect::<String>())
}

/// What the screen shows, made smaller.
fn smaller(screen: &Screen, scale: Scale) -> Vec<u8> {
    let (from, to) = (screen.size(), scale.size(screen.size()));
    let rgb = screen.rgb(from.rect());
    let pixels: Vec<u32> = rgb.chunks_exact(3).map(|p| u32::from_be_bytes([0, p[0], p[1], p[2]])).collect();
    let mut out = vec![0; usize::from(to.w) * usize::from(to.h)];
    let picture = Picture { pixels: &pixels, stride: usize::from(from.w), layout: Layout::BGRX };
    let axes = [Axis::new(from.w, to.w), Axis::new(from.h, to.h)];
    downscale(CpuLevel::Scalar, picture, axes, 0..to.w, 0..to.h, &mut Sums::default(), &mut out);
    out.iter().flat_map(|px| Layout::BGRX.rgb(*px)).collect()
}

#[test]
fn a_smaller_view_follows_what_is_painted_and_every_size_of_the_screen() {
    let Some(x) = Xvfb::start(&MOST.to_string()) else { return };
    let screen = Screen::open(&x.display);
    let (server, _config) = serve(&x.display, &listeners(&["scale = \"50%\"", "scale = \"300x300\""]));
    let [mut half, mut fitted] = [0, 1].map(|i| watching(&server.listeners()[i]));
    for (i, size) in [MOST, Size::new(601, 333), Size::new(200, 150), Size::new(1279, 719)].into_iter().enumerate() {
        screen.set_size(size);
        screen.put(size.rect().intersect(&Rect::new(0, 0, 600, 150)), |x, y| {
            u32::from(x) * 0x305 + u32::from(y) * 0x1_0107
        });
        screen.fill(Rect::new(31 + i as u16, 21, 67, 45), 0x00f0_c020 >> i);
        screen.sync();
        half.wait_for_picture(&smaller(&screen, Scale::new(1, 2))).expect("half as large");
        let fits = Scale::fitting(size, Size::new(300, 300));
        fitted.wait_for_picture(&smaller(&screen, fits)).expect("what fits");
    }
    server.stop();
}

#[test]
fn three_monitors_are_pointed_at_where_they_are_shown_at_every_scale() {
    let Some(x) = Xvfb::start(&MOST.to_string()) else { return };
    let screen = Screen::open(&x.display);
    screen.set_monitor("m0", Rect::new(0, 0, 300, 720), true);
    screen.set_monitor("m1", Rect::new(300, 0, 500, 720), false);
    screen.set_monitor("m2", Rect::new(800, 0, 480, 720), false);
    let views = ["scale = \"100%\"", "view = \"m1\"", "view = \"m2\"\nscale = \"50%\"", "scale = \"640x640\""];
    let (server, _config) = serve(&x.display, &listeners(&views));
    // listener, where on its canvas, and where on the desktop: the middle of what the pixel shows
    for (listener, at, there) in [
        (0, (299, 5), (299, 5)),
        (0, (800, 719), (800, 719)),
        (1, (0, 0), (300, 0)),
        (1, (499, 300), (799, 300)),
        (2, (0, 0), (801, 1)),
        (2, (239, 359), (1279, 719)),
        (3, (149, 10), (299, 21)),
        (3, (150, 10), (301, 21)),
        (3, (639, 359), (1279, 719)),
    ] {
        let mut client = watching(&server.listeners()[listener]);
        client.pointer(at.0, at.1, 0).expect("sent");
        let end = Instant::now() + PATIENCE;
        while screen.pointer() != there {
            assert!(
                Instant::now() < end,
                "{at:?} of listener {listener} is {:?} instead of {there:?}",
                screen.pointer()
            );
            std::thread::yield_now();
        }
    }
    server.stop();
}
