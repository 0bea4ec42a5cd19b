//! Other sizes of the desktop: wished by a client, come by themselves, and a desktop that goes and comes back.

use std::time::Duration;

use super::desk::{Desk, Script, picture_of};
use super::{SCENE, own, watching, wish};
use farpane_engine::geometry::{Rect, Size};
use farpane_server::backend::{BackendEvent, ResizeAnswer};
use farpane_test_support::{Client, encoding};

const OTHER: &str = "80x96:still";

const SIZES: &[i32] = &[encoding::ZRLE, encoding::CURSOR, encoding::EXTENDED_DESKTOP_SIZE];

/// Whether a client was told a layout for this reason.
fn told(client: &Client, reason: u16) -> bool {
    client.picture().resize_answers().iter().any(|(r, _)| *r == reason)
}

#[test]
fn each_refusal_has_its_status_and_answers_come_in_order() {
    let desk = Desk::open(SCENE);
    let refusals = [ResizeAnswer::OutOfResources, ResizeAnswer::Prohibited, ResizeAnswer::InvalidLayout];
    desk.backend.script(refusals.map(Script::Answer));
    let mut client = watching(&desk, SIZES);
    for w in [100, 200, 300] {
        wish(&mut client, Size::new(w, 64));
    }
    client.wait_until("three answers", |c| own(c).len() == 3).expect("answers");
    assert_eq!(own(&client), [2, 1, 3]);
    let wished: Vec<u16> = desk.backend.wishes().iter().map(|l| l.size.w).collect();
    assert_eq!(wished, [100, 200, 300]);
    assert_eq!(client.picture().size(), Size::new(96, 64), "a refusal changes nothing");
}

#[test]
fn a_wish_that_contradicts_itself_never_reaches_the_desktop() {
    let desk = Desk::open(SCENE);
    let mut client = watching(&desk, SIZES);
    client.set_desktop_size(Size::new(50, 50), &[(0, Rect::new(0, 0, 60, 50))]).expect("a wish");
    client.set_desktop_size(Size::new(50, 50), &[]).expect("a wish");
    client.wait_until("two answers", |c| own(c).len() == 2).expect("answers");
    assert_eq!(own(&client), [3, 3]);
    assert_eq!(desk.backend.wishes(), []);
}

#[test]
fn a_wish_that_is_carried_out_shows_the_new_picture_and_the_others_are_told_why() {
    for script in [Script::Before(OTHER), Script::After(OTHER)] {
        let desk = Desk::open(SCENE);
        desk.backend.script([script]);
        let (mut asks, mut watches) = (watching(&desk, SIZES), watching(&desk, SIZES));
        wish(&mut asks, Size::new(80, 96));
        asks.wait_for_picture(&picture_of(OTHER)).expect("the new picture");
        watches.wait_for_picture(&picture_of(OTHER)).expect("the new picture");
        asks.wait_until("the answer", |c| !own(c).is_empty()).expect("an answer");
        assert!(told(&watches, 2) && own(&watches).is_empty(), "{:?}", watches.picture().resize_answers());
        // past the time that an agreed layout is given to show: no second answer
        asks.bytes_within(Duration::from_millis(1500)).expect("quiet");
        assert_eq!(own(&asks), [0], "{script:?}: one wish, one answer");
        assert!(!told(&asks, 2), "its own wish is not another client's");
    }
}

#[test]
fn wishes_that_follow_each_other_are_all_carried_out() {
    let desk = Desk::open(SCENE);
    desk.backend.script([
        Script::Before(OTHER),
        Script::Answer(ResizeAnswer::Prohibited),
        Script::After("64x64:still"),
    ]);
    let mut client = watching(&desk, SIZES);
    wish(&mut client, Size::new(80, 96));
    wish(&mut client, Size::new(1, 1));
    wish(&mut client, Size::new(64, 64));
    client.wait_for_picture(&picture_of("64x64:still")).expect("the last wish");
    client.wait_until("three answers", |c| own(c).len() == 3).expect("answers");
    assert_eq!(own(&client), [0, 1, 0]);
}

#[test]
fn a_wish_for_what_is_there_does_not_claim_the_next_change() {
    let desk = Desk::open(SCENE);
    desk.backend.script([Script::Answer(ResizeAnswer::Done)]);
    let (mut asks, mut watches) = (watching(&desk, SIZES), watching(&desk, SIZES));
    wish(&mut asks, Size::new(96, 64));
    asks.wait_until("the answer", |c| own(c) == [0]).expect("an answer");
    desk.show(OTHER);
    for client in [&mut asks, &mut watches] {
        client.wait_for_picture(&picture_of(OTHER)).expect("the new picture");
        assert!(!told(client, 2), "the desktop changed by itself");
    }
    assert_eq!(own(&asks), [0]);
}

#[test]
fn more_wishes_than_may_wait_are_refused_and_not_kept() {
    let desk = Desk::open(SCENE);
    let gate = desk.backend.script_held();
    let mut client = watching(&desk, SIZES);
    for w in 1..=40 {
        wish(&mut client, Size::new(w, 1));
    }
    client.wait_until("refusals", |c| own(c).len() >= 31).expect("answers");
    drop(gate);
    client.wait_until("all answers", |c| own(c).len() == 40).expect("answers");
    assert!(own(&client).iter().all(|status| *status == 2), "{:?}", own(&client));
    let asked = desk.backend.wishes().len();
    assert!(matches!(asked, 8 | 9), "{asked} wishes reached the desktop: one at work and eight that wait");
}

#[test]
fn a_new_layout_reaches_every_kind_of_client() {
    let desk = Desk::open(SCENE);
    let mut extended = watching(&desk, SIZES);
    let mut plain = watching(&desk, &[encoding::ZRLE, encoding::CURSOR, encoding::DESKTOP_SIZE]);
    let mut neither = watching(&desk, &[encoding::ZRLE, encoding::CURSOR]);
    desk.show(OTHER);
    let want = picture_of(OTHER);
    extended.wait_for_picture(&want).expect("the new picture");
    plain.wait_for_picture(&want).expect("the new picture");
    assert_eq!(extended.picture().layout().len(), 1);
    assert!(told(&extended, 0));
    // its canvas stays: new picture as far as both go, black where there is none any more
    let (new_w, common) = (80, 64);
    let mut kept = vec![0; 96 * 64 * 3];
    for y in 0..common {
        kept[y * 96 * 3..][..new_w * 3].copy_from_slice(&want[y * new_w * 3..][..new_w * 3]);
    }
    neither.wait_for_picture(&kept).expect("what fits of the new picture");
    // a client that learns of sizes later is told then
    neither.set_encodings(&[encoding::ZRLE, encoding::CURSOR, encoding::DESKTOP_SIZE]).expect("a list");
    neither.wait_for_picture(&want).expect("the new picture");
}

#[test]
fn a_desktop_that_is_lost_and_comes_back_keeps_its_clients() {
    let desk = Desk::open(SCENE);
    let list = [SIZES, &[encoding::DESKTOP_NAME]].concat();
    let mut client = watching(&desk, &list);
    desk.tell(BackendEvent::Lost("the test says no".into()));
    let told = |c: &Client| c.picture().name().is_some_and(|name| name.contains("gone: the test says no"));
    client.wait_until("word of the loss", told).expect("a name");
    assert!(desk.hub.desktop().lost.is_some());
    desk.show(OTHER);
    desk.tell(BackendEvent::Back);
    client.wait_for_picture(&picture_of(OTHER)).expect("the new picture");
    client.wait_until("the old name", |c| c.picture().name() == Some("farpane")).expect("a name");
}
