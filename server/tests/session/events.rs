//! What the desktop tells: its pointer, its lock keys, its bell.

use std::sync::Arc;
use std::time::Duration;

use super::desk::{Desk, picture_of};
use super::{PLAIN, SCENE, settle_plain, watching};
use farpane_engine::frame::CursorImage;
use farpane_engine::geometry::{Point, Size};
use farpane_server::backend::BackendEvent;
use farpane_test_support::encoding;

fn shape() -> CursorImage {
    CursorImage { size: Size::new(2, 2), hotspot: Point::new(0, 0), rgba: [10, 20, 30, 255].repeat(4), serial: 77 }
}

fn with_pointer(at: usize) -> Vec<u8> {
    let mut want = picture_of(SCENE);
    for row in 0..2 {
        want[3 * (at + row * 96)..][..6].copy_from_slice(&[10, 20, 30, 10, 20, 30]);
    }
    want
}

#[test]
fn a_pointer_moved_by_somebody_else_is_shown_to_each_as_it_can() {
    let desk = Desk::open(SCENE);
    let mut places = watching(&desk, &[encoding::ZRLE, encoding::CURSOR, encoding::POINTER_POS]);
    let mut vmware = watching(&desk, &[encoding::ZRLE, encoding::CURSOR, encoding::VMWARE_CURSOR_POSITION]);
    let mut drawn = watching(&desk, &[encoding::ZRLE]);
    desk.tell(BackendEvent::Cursor(Arc::new(shape())));
    desk.tell(BackendEvent::PointerMoved(Point::new(7, 9)));
    for client in [&mut places, &mut vmware] {
        client.wait_until("the place", |c| c.picture().pointer() == Some(Point::new(7, 9))).expect("a place");
    }
    drawn.wait_for_picture(&with_pointer(9 * 96 + 7)).expect("the pointer in the picture");
    // now one of the clients moves it: it is not told, the others are
    places.pointer(20, 30, 0).expect("a move");
    vmware.wait_until("the place", |c| c.picture().pointer() == Some(Point::new(20, 30))).expect("a place");
    drawn.wait_for_picture(&with_pointer(30 * 96 + 20)).expect("the pointer in the picture");
    settle_plain(&desk, &mut places);
    assert_eq!(places.picture().pointer(), Some(Point::new(7, 9)), "its own move comes back");
    // the desktop confirms that very move: still nothing to tell
    desk.tell(BackendEvent::PointerMoved(Point::new(20, 30)));
    settle_plain(&desk, &mut places);
    assert_eq!(places.picture().pointer(), Some(Point::new(7, 9)), "its own move comes back by the desktop");
}

#[test]
fn lock_keys_and_the_bell_reach_those_who_listed_them() {
    let desk = Desk::open(SCENE);
    let mut leds = watching(&desk, &[encoding::ZRLE, encoding::CURSOR, encoding::LED_STATE]);
    let mut vmware = watching(&desk, &[encoding::ZRLE, encoding::CURSOR, encoding::VMWARE_LED_STATE]);
    let mut neither = watching(&desk, &[encoding::ZRLE, encoding::CURSOR]);
    desk.tell(BackendEvent::Leds(5));
    leds.wait_until("the lights", |c| c.picture().led_state() == Some(5)).expect("lights");
    vmware.wait_until("the lights", |c| c.picture().led_state() == Some(5)).expect("lights");
    settle_plain(&desk, &mut neither);
    assert_eq!((neither.traffic.bells, neither.picture().led_state()), (1, None));
}

#[test]
fn a_pointer_whose_shape_nobody_knows_costs_no_updates() {
    let desk = Desk::open(SCENE);
    let mut client = watching(&desk, PLAIN);
    let before = client.traffic.updates.len();
    client.bytes_within(Duration::from_millis(300)).expect("quiet");
    assert_eq!(client.traffic.updates.len(), before, "updates without rectangles");
    desk.tell(BackendEvent::Cursor(Arc::new(shape())));
    client.wait_until("the shape", |c| c.picture().cursor().is_some()).expect("a shape");
}
