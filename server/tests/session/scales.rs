//! The desktop seen smaller than it is.

use super::desk::{Desk, picture_of};
use super::{own, settle, wish};
use farpane_engine::capture::synthetic;
use farpane_engine::geometry::{Scale, Size};
use farpane_engine::kernel::CpuLevel;
use farpane_engine::kernel::downscale::{Axis, Picture, Sums, downscale};
use farpane_engine::pixel::Layout as Pixels;
use farpane_server::input::PointerInput;
use farpane_server::input::record::Recorded;
use farpane_server::session::{ScaleSpec, Settings};
use farpane_test_support::{Client, encoding};

const SCENE: &str = "96x64:still";
const WHOLE: Size = Size { w: 96, h: 64 };
const SIZES: &[i32] = &[encoding::ZRLE, encoding::CURSOR, encoding::EXTENDED_DESKTOP_SIZE, encoding::FENCE];

/// The scene at a scale, as bytes R, G, B.
fn smaller(scale: Scale) -> Vec<u8> {
    let pixels = synthetic::picture(&synthetic::parse(SCENE).expect("a good scene"), 0);
    let to = scale.size(WHOLE);
    let mut out = vec![0; usize::from(to.w) * usize::from(to.h)];
    let picture = Picture { pixels: &pixels, stride: usize::from(WHOLE.w), layout: Pixels::BGRX };
    let axes = [Axis::new(WHOLE.w, to.w), Axis::new(WHOLE.h, to.h)];
    downscale(CpuLevel::Scalar, picture, axes, 0..to.w, 0..to.h, &mut Sums::default(), &mut out);
    out.iter().flat_map(|px| Pixels::BGRX.rgb(*px)).collect()
}

fn watching(desk: &Desk, encodings: &[i32]) -> Client {
    let mut client = desk.client("viewer");
    client.set_encodings(encodings).expect("a list");
    client.watch().expect("a request");
    client
}

fn set_scale(client: &mut Client, kind: u8, parts: u8) {
    client.raw().send(&[kind, parts, 0, 0]).expect("a message");
}

#[test]
fn a_listener_shows_the_desktop_at_its_scale_and_takes_the_pointer_where_it_is_shown() {
    for (spec, scale) in [
        (ScaleSpec::Percent(50), Scale::new(1, 2)),
        (ScaleSpec::Percent(33), Scale::new(33, 100)),
        (ScaleSpec::Within(Size::new(64, 64)), Scale::new(2, 3)),
    ] {
        let desk = Desk::with(SCENE, Settings { scale: spec, ..Settings::default() });
        let mut client = watching(&desk, SIZES);
        let shown = client.init().size;
        assert_eq!(shown, scale.size(WHOLE), "{spec}");
        client.wait_for_picture(&smaller(scale)).expect("the scene, smaller");
        let (x, y) = (shown.w - 1, shown.h / 2);
        client.pointer(x, y, 1).expect("a button");
        settle(&mut client);
        let Some(Recorded::Pointer(PointerInput { x: at_x, y: at_y, .. })) = desk.backend.input.all().last().copied()
        else {
            panic!("{spec}: no pointer arrived")
        };
        // the middle of what the pixel shows
        let middle = |at: u16, of: u16, shown: u16| (f64::from(at) + 0.5) * f64::from(of) / f64::from(shown);
        let (mid_x, mid_y) = (middle(x, WHOLE.w, shown.w), middle(y, WHOLE.h, shown.h));
        assert!(
            (f64::from(at_x) - mid_x).abs() <= 1.0 && (f64::from(at_y) - mid_y).abs() <= 1.0,
            "{spec}: {at_x} {at_y}"
        );
        assert!(at_x < WHOLE.w && at_y < WHOLE.h);
    }
}

#[test]
fn a_client_that_asks_for_a_scale_gets_it_and_the_others_keep_theirs() {
    let desk = Desk::open(SCENE);
    let mut client = watching(&desk, SIZES);
    let mut other = watching(&desk, SIZES);
    let mut plain = watching(&desk, &[encoding::ZRLE, encoding::CURSOR, encoding::DESKTOP_SIZE]);
    for (kind, parts) in [(8, 2), (15, 3), (8, 1), (8, 4)] {
        set_scale(&mut client, kind, parts);
        client.wait_for_picture(&smaller(Scale::new(1, u16::from(parts)))).expect("the scene at that scale");
        set_scale(&mut plain, kind, parts);
        plain.wait_for_picture(&smaller(Scale::new(1, u16::from(parts)))).expect("the scene at that scale");
        other.wait_for_picture(&picture_of(SCENE)).expect("the scene as large as it is");
    }
    // a scale of nothing is none
    set_scale(&mut client, 8, 0);
    settle(&mut client);
    client.wait_for_picture(&smaller(Scale::new(1, 4))).expect("the scene as before");
}

#[test]
fn a_client_that_cannot_be_told_of_a_size_keeps_its_own() {
    let desk = Desk::open(SCENE);
    let mut client = watching(&desk, &[encoding::ZRLE, encoding::CURSOR, encoding::FENCE]);
    set_scale(&mut client, 8, 2);
    settle(&mut client);
    client.wait_for_picture(&picture_of(SCENE)).expect("the scene as large as it is");
}

#[test]
fn who_sees_the_desktop_smaller_does_not_change_its_size() {
    let desk = Desk::with(SCENE, Settings { scale: ScaleSpec::Percent(50), ..Settings::default() });
    let mut client = watching(&desk, SIZES);
    client.wait_for_picture(&smaller(Scale::new(1, 2))).expect("the scene, smaller");
    wish(&mut client, Size::new(30, 20));
    client.wait_until("the answer", |c| !own(c).is_empty()).expect("an answer");
    assert_eq!(own(&client), [1], "prohibited");
    assert_eq!(desk.backend.wishes(), []);
}

#[test]
fn a_desktop_of_another_size_is_another_size_of_what_is_seen() {
    let desk = Desk::with(SCENE, Settings { scale: ScaleSpec::Within(Size::new(48, 48)), ..Settings::default() });
    let mut client = watching(&desk, SIZES);
    client.wait_for_picture(&smaller(Scale::new(1, 2))).expect("the scene, smaller");
    desk.show("40x40:still");
    client.wait_for_picture(&picture_of("40x40:still")).expect("what fits as large as it is");
    desk.show(SCENE);
    client.wait_for_picture(&smaller(Scale::new(1, 2))).expect("the scene, smaller");
}
