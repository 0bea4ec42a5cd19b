//! Two scripted desktops side by side, as their clients see and use them.

use std::sync::Arc;

use super::desk::{Desk, Script, picture_of};
use super::{own, settle};
use farpane_engine::geometry::{Point, Rect, Size};
use farpane_server::backend::{BackendEvent, ResizeAnswer};
use farpane_server::input::record::Recorded;
use farpane_server::input::{KeyInput, PointerInput};
use farpane_server::session::{Settings, ViewSpec};
use farpane_test_support::{Client, encoding};

const LEFT: &str = "96x64:still";
const RIGHT: &str = "80x96:still";

/// Pictures of scenes as they lie beside each other; black below the shorter ones.
fn beside(scenes: &[(&str, usize, usize)]) -> Vec<u8> {
    let (width, height) = (scenes.iter().map(|s| s.1).sum::<usize>(), scenes.iter().map(|s| s.2).max().unwrap_or(0));
    let mut all = vec![0; width * height * 3];
    let mut left = 0;
    for (scene, w, h) in scenes {
        let picture = picture_of(scene);
        for y in 0..*h {
            all[(y * width + left) * 3..][..w * 3].copy_from_slice(&picture[y * w * 3..][..w * 3]);
        }
        left += w;
    }
    all
}

fn both() -> Vec<u8> {
    beside(&[(LEFT, 96, 64), (RIGHT, 80, 96)])
}

fn desk() -> Desk {
    Desk::side_by_side(&[LEFT, RIGHT], Settings::default())
}

/// A client that shows both.
fn watching(desk: &Desk) -> Client {
    let mut client = desk.client("viewer");
    let list = [
        encoding::ZRLE,
        encoding::CURSOR,
        encoding::FENCE,
        encoding::EXTENDED_DESKTOP_SIZE,
        encoding::DESKTOP_NAME,
        encoding::LED_STATE,
    ];
    client.set_encodings(&list).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&both()).expect("both scenes");
    client
}

fn key(down: bool, keysym: u32) -> Recorded {
    Recorded::Key(KeyInput { down, keysym, scancode: None })
}

fn point(x: u16, y: u16, buttons: u16) -> Recorded {
    Recorded::Pointer(PointerInput { x, y, buttons })
}

#[test]
fn both_are_seen_as_two_screens_with_names_of_their_own() {
    let desk = desk();
    let client = watching(&desk);
    assert_eq!(client.init().size, Size::new(176, 96));
    let layout = desk.hub.desktop().layout;
    let names: Vec<&str> = layout.outputs.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["test", "test@2"]);
    let rects: Vec<Rect> = layout.outputs.iter().map(|o| o.rect).collect();
    assert_eq!(rects, [Rect::new(0, 0, 96, 64), Rect::new(96, 0, 80, 96)]);
    assert_ne!(layout.outputs[0].id, layout.outputs[1].id);
}

#[test]
fn a_listener_shows_one_of_them_by_its_name() {
    let view = ViewSpec::Output("test@2".into());
    let desk = Desk::side_by_side(&[LEFT, RIGHT], Settings { view, ..Settings::default() });
    let mut client = desk.client("viewer");
    client.set_encodings(&[encoding::ZRLE, encoding::CURSOR, encoding::FENCE]).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&picture_of(RIGHT)).expect("the right one");
    client.pointer(3, 4, 0).expect("sent");
    settle(&mut client);
    assert_eq!((desk.backend.input.all(), desk.beside[0].input.all()), (vec![], vec![point(3, 4, 0)]));
}

#[test]
fn input_reaches_the_desktop_under_the_pointer_and_nothing_stays_down() {
    let desk = desk();
    let mut client = watching(&desk);
    client.pointer(10, 20, 0).expect("sent");
    client.key(0xffe1, true).expect("sent");
    client.pointer(100, 20, 0).expect("sent");
    client.key(0x61, true).expect("sent");
    client.key(0x61, false).expect("sent");
    // a button that was pressed on the right one stays there
    client.pointer(100, 20, 1).expect("sent");
    client.pointer(20, 20, 1).expect("sent");
    settle(&mut client);
    let left = vec![point(10, 20, 0), key(true, 0xffe1), key(false, 0xffe1)];
    assert_eq!(desk.backend.input.all(), left);
    let mut right = vec![point(4, 20, 0), key(true, 0x61), key(false, 0x61), point(4, 20, 1), point(0, 20, 1)];
    assert_eq!(desk.beside[0].input.all(), right);
    client.key(0x62, true).expect("sent");
    settle(&mut client);
    drop(client);
    desk.wait_for("the client to be gone", || desk.hub.clients() == 0);
    desk.wait_for("the release", || desk.beside[0].input.len() >= 8);
    right.extend([key(true, 0x62), key(false, 0x62), point(0, 20, 0)]);
    assert_eq!(desk.beside[0].input.all(), right, "the vanished client's");
    assert_eq!(desk.backend.input.all()[3..], [point(20, 20, 0)], "where the pointer is now");
}

#[test]
fn pointer_lamps_and_texts_are_those_of_the_desktop_in_use() {
    let desk = desk();
    let mut client = watching(&desk);
    desk.backend.tell(BackendEvent::Leds(1));
    desk.beside[0].tell(BackendEvent::Leds(4));
    desk.wait_for("the left lamps", || desk.hub.desktop().leds == 1);
    client.pointer(100, 20, 0).expect("sent");
    desk.wait_for("the right lamps", || desk.hub.desktop().leds == 4);
    desk.beside[0].tell(BackendEvent::PointerMoved(Point::new(7, 8)));
    desk.wait_for("the right pointer", || desk.hub.desktop().pointer == Point::new(103, 8));

    desk.backend.tell(BackendEvent::Clipboard("from the left".into()));
    client.wait_until("a text", |c| c.clipboard.plain.len() == 1).expect("a text");
    client.send_text("for both").expect("sent");
    desk.backend.wait_for_offers(&mut client, 1);
    desk.beside[0].wait_for_offers(&mut client, 1);
    let text: Arc<str> = "for both".into();
    assert_eq!((desk.backend.offers(), desk.beside[0].offers()), (vec![Arc::clone(&text)], vec![text]));
}

#[test]
fn another_size_of_one_moves_the_other_and_both_stay_exact() {
    let desk = desk();
    let mut client = watching(&desk);
    desk.backend.show("120x100:still");
    let want = beside(&[("120x100:still", 120, 100), (RIGHT, 80, 96)]);
    client.wait_for_picture(&want).expect("the right one moved over");
    client.pointer(121, 5, 0).expect("sent");
    settle(&mut client);
    assert_eq!(desk.beside[0].input.all(), [point(1, 5, 0)]);
}

#[test]
fn a_wish_for_one_reaches_it_and_one_for_both_is_prohibited() {
    let desk = desk();
    let mut client = watching(&desk);
    let ids: Vec<u32> = desk.hub.desktop().layout.outputs.iter().map(|o| o.id.0).collect();
    let left = (ids[0], Rect::new(0, 0, 96, 64));
    desk.beside[0].script([Script::Before("200x40:still")]);
    client.set_desktop_size(Size::new(296, 64), &[left, (ids[1], Rect::new(96, 0, 200, 40))]).expect("sent");
    client
        .wait_for_picture(&beside(&[(LEFT, 96, 64), ("200x40:still", 200, 40)]))
        .expect("the right one in its new size");
    client.wait_until("the answer", |c| own(c) == [0]).expect("an answer");
    let wish = &desk.beside[0].wishes()[0];
    assert_eq!((wish.size, wish.outputs[0].rect), (Size::new(200, 40), Rect::new(0, 0, 200, 40)));
    assert_eq!((wish.outputs[0].id.0, wish.outputs[0].name.as_str()), (0, "test"), "in its own terms");

    client.set_desktop_size(Size::new(500, 500), &[(ids[0], Rect::new(0, 0, 500, 500))]).expect("sent");
    client.wait_until("the answer", |c| own(c) == [0, 1]).expect("an answer");
    desk.beside[0].script([Script::Answer(ResizeAnswer::OutOfResources)]);
    client.set_desktop_size(Size::new(196, 64), &[left, (ids[1], Rect::new(96, 0, 100, 40))]).expect("sent");
    client.wait_until("the answer", |c| own(c) == [0, 1, 2]).expect("an answer");
    assert_eq!((desk.backend.wishes().len(), desk.beside[0].wishes().len()), (0, 2));
}

#[test]
fn one_that_is_lost_keeps_its_picture_while_the_other_goes_on() {
    let desk = desk();
    let mut client = watching(&desk);
    desk.backend.tell(BackendEvent::Lost("the test says no".into()));
    desk.beside[0].show("80x90:still");
    client.wait_for_picture(&beside(&[(LEFT, 96, 64), ("80x90:still", 80, 90)])).expect("the right one goes on");
    assert_eq!(desk.hub.desktop().lost, None);
    desk.beside[0].tell(BackendEvent::Lost("nor here".into()));
    client
        .wait_until("word of the loss", |c| {
            c.picture().name().is_some_and(|name| name.contains("part-0: the test says no; part-1: nor here"))
        })
        .expect("a name");
    desk.backend.show("96x60:still");
    desk.backend.tell(BackendEvent::Back);
    client.wait_for_picture(&beside(&[("96x60:still", 96, 60), ("80x90:still", 80, 90)])).expect("it is back");
    client.wait_until("the old name", |c| c.picture().name() == Some("farpane")).expect("a name");
}
