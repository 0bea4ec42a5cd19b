//! Texts both ways, plain and extended.

use std::sync::Arc;

use super::desk::Desk;
use super::{PLAIN, SCENE, settle, settle_plain, watching};
use farpane_server::backend::BackendEvent;
use farpane_server::session::Settings;
use farpane_test_support::{Client, encoding};

const EXTENDED: &[i32] = &[encoding::ZRLE, encoding::CURSOR, encoding::EXTENDED_CLIPBOARD, encoding::FENCE];

fn extended(desk: &Desk) -> Client {
    let mut client = watching(desk, EXTENDED);
    client.wait_until("the server's capabilities", |c| c.clipboard.extended).expect("capabilities");
    // and its own have arrived
    settle(&mut client);
    client
}

#[test]
fn texts_go_both_ways_plain_and_extended() {
    let desk = Desk::open(SCENE);
    let (mut plain, mut rich) = (watching(&desk, PLAIN), extended(&desk));
    desk.tell(BackendEvent::Clipboard("Grüße, 5 €\n2".into()));
    rich.wait_until("a text", |c| c.clipboard.texts == ["Grüße, 5 €\n2"]).expect("a text");
    plain.wait_until("a text", |c| c.clipboard.plain.len() == 1).expect("a text");
    assert!(plain.clipboard.plain[0].starts_with("Grüße, 5 "), "{:?}", plain.clipboard.plain);

    rich.send_text("from the ривер\nend").expect("a text");
    desk.backend.wait_for_offers(&mut rich, 1);
    assert_eq!(*desk.backend.offers()[0], *"from the ривер\nend");
    plain.wait_until("the other client's text", |c| c.clipboard.plain.len() == 2).expect("a text");

    plain.send_text("caf\u{e9}").expect("a text");
    desk.backend.wait_for_offers(&mut plain, 2);
    assert_eq!(*desk.backend.offers()[1], *"caf\u{e9}");
    rich.wait_until("the other client's text", |c| c.clipboard.texts.len() == 2).expect("a text");
    assert_eq!(rich.clipboard.texts[1], "caf\u{e9}", "and not its own");
}

#[test]
fn clients_that_echo_every_text_do_not_chase_it_round() {
    let desk = Desk::open(SCENE);
    let (mut plain, mut rich) = (watching(&desk, PLAIN), extended(&desk));
    desk.tell(BackendEvent::Clipboard("5 € each".into()));
    rich.wait_until("a text", |c| c.clipboard.texts.len() == 1).expect("a text");
    plain.wait_until("a text", |c| c.clipboard.plain.len() == 1).expect("a text");
    let poor = plain.clipboard.plain[0].clone();
    rich.send_text("5 € each").expect("an echo");
    plain.send_text(&poor).expect("an echo, without what Latin-1 lacks");
    for client in [&mut plain, &mut rich] {
        settle_plain(&desk, client);
        settle_plain(&desk, client);
    }
    assert_eq!(desk.backend.offers(), Vec::<Arc<str>>::new(), "echoes reach the desktop");
    assert_eq!((plain.clipboard.plain.len(), rich.clipboard.texts.len()), (1, 1), "echoes reach the other client");
    plain.send_text("new").expect("a text");
    desk.backend.wait_for_offers(&mut plain, 1);
    assert_eq!(*desk.backend.offers()[0], *"new");
}

#[test]
fn texts_above_the_cap_are_dropped_and_the_client_stays() {
    let settings = Settings { clipboard_max_bytes: 1000, ..Settings::default() };
    let desk = Desk::with(SCENE, settings);
    let (mut plain, mut rich) = (watching(&desk, PLAIN), extended(&desk));
    for client in [&mut plain, &mut rich] {
        client.send_text(&"x".repeat(1001)).expect("a text");
        client.send_text(&"y".repeat(300_000)).expect("a text");
        settle_plain(&desk, client);
        settle_plain(&desk, client);
    }
    assert_eq!(desk.backend.offers(), Vec::<Arc<str>>::new());
    plain.send_text(&"z".repeat(1000)).expect("a text");
    desk.backend.wait_for_offers(&mut plain, 1);
}

#[test]
fn a_closed_clipboard_lets_nothing_through() {
    let settings = Settings { clipboard_in: false, clipboard_out: false, ..Settings::default() };
    let desk = Desk::with(SCENE, settings);
    let (mut plain, mut rich) = (watching(&desk, PLAIN), extended(&desk));
    desk.tell(BackendEvent::Clipboard("secret".into()));
    for client in [&mut plain, &mut rich] {
        client.send_text("mine").expect("a text");
        settle_plain(&desk, client);
        settle_plain(&desk, client);
        assert_eq!((client.clipboard.plain.len(), client.clipboard.texts.len()), (0, 0));
    }
    assert_eq!(desk.backend.offers(), Vec::<Arc<str>>::new());
}
