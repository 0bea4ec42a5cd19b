//! Keys and buttons, and what is let go when a client goes.

use std::sync::Arc;

use super::desk::Desk;
use super::{SCENE, own, settle, watching, wish};
use farpane_engine::geometry::{Point, Size};
use farpane_server::backend::BackendEvent;
use farpane_server::input::record::Recorded;
use farpane_server::input::{KeyInput, PointerInput};
use farpane_server::session::Settings;
use farpane_test_support::encoding;

fn key(down: bool, keysym: u32) -> Recorded {
    Recorded::Key(KeyInput { down, keysym, scancode: None })
}

#[test]
fn keys_and_buttons_are_released_when_a_client_vanishes() {
    for reset in [false, true] {
        let desk = Desk::open(SCENE);
        let mut client = watching(&desk, &[encoding::ZRLE, encoding::CURSOR, encoding::FENCE]);
        client.key(0xffe1, true).expect("a key");
        client.key(0x41, true).expect("a key");
        client.key(0x41, false).expect("a key");
        client.pointer(5, 6, 1).expect("a button");
        settle(&mut client);
        if reset {
            // bytes that nobody reads turn the close into a reset
            desk.tell(BackendEvent::Bell);
            desk.tell(BackendEvent::Clipboard("unread".into()));
        }
        drop(client);
        desk.wait_for("the client to be gone", || desk.hub.clients() == 0);
        desk.wait_for("the release", || desk.backend.input.len() >= 6);
        let pointer = |buttons| Recorded::Pointer(PointerInput { x: 5, y: 6, buttons });
        let want = [key(true, 0xffe1), key(true, 0x41), key(false, 0x41), pointer(1), key(false, 0xffe1), pointer(0)];
        assert_eq!(desk.backend.input.all(), want, "reset: {reset}");
    }
}

#[test]
fn keys_are_released_when_the_server_ends() {
    let desk = Desk::open(SCENE);
    let mut client = watching(&desk, &[encoding::ZRLE, encoding::CURSOR, encoding::FENCE]);
    client.key(0xffe1, true).expect("a key");
    settle(&mut client);
    let input = Arc::clone(&desk.backend.input);
    drop(desk);
    assert_eq!(input.all(), [key(true, 0xffe1), key(false, 0xffe1)]);
}

#[test]
fn a_client_that_only_looks_on_touches_nothing() {
    let everybody = Settings { view_only: true, ..Settings::default() };
    for (desk, peer) in [(Desk::open(SCENE), "looks on"), (Desk::with(SCENE, everybody), "viewer")] {
        let mut client = desk.client(peer);
        client.set_encodings(&[encoding::FENCE, encoding::EXTENDED_DESKTOP_SIZE, encoding::ZRLE]).expect("a list");
        client.watch().expect("a request");
        client.key(0x61, true).expect("a key");
        client.pointer(1, 1, 1).expect("a button");
        client.send_text("text").expect("a text");
        wish(&mut client, Size::new(10, 10));
        client.wait_until("the refusal", |c| own(c) == [1]).expect("an answer");
        settle(&mut client);
        assert_eq!(desk.backend.input.all(), []);
        assert_eq!(desk.backend.offers(), Vec::<Arc<str>>::new());
        assert_eq!(desk.backend.wishes(), []);
        assert_eq!(desk.hub.desktop().pointer, Point::new(0, 0), "others would see its pointer");
    }
}
