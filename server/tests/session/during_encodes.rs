//! What arrives while an update is being encoded.

use super::desk::{Desk, picture_of};
use super::settle;
use farpane_engine::geometry::Rect;
use farpane_engine::pixel::ClientFormat;
use farpane_server::session::Settings;
use farpane_test_support::{Client, encoding};

const LARGE: &str = "320x240:still";
const WHOLE: Rect = Rect { x: 0, y: 0, w: 320, h: 240 };

/// A desktop that bounds no rate, and a client that shows it and has the fences that tell how far the server is.
fn large() -> (Desk, Client) {
    let desk = Desk::with(LARGE, Settings { max_fps: 0, ..Settings::default() });
    let client = looking(&desk);
    (desk, client)
}

fn looking(desk: &Desk) -> Client {
    let mut client = desk.client("viewer");
    client.set_encodings(&[encoding::ZRLE, encoding::CURSOR, encoding::FENCE]).expect("a list");
    client.wait_until("fences", |c| c.traffic.fences > 0).expect("fences");
    client.request(false, WHOLE).expect("a request");
    client.wait_for_picture(&picture_of(LARGE)).expect("the scene");
    client
}

#[test]
fn a_format_asked_for_during_an_encode_holds_from_the_next_update_on() {
    let (desk, mut client) = large();
    for round in 0..6 {
        let busy = desk.occupy_encoders();
        let before = client.traffic.updates.len();
        client.request(false, WHOLE).expect("a request");
        settle(&mut client);
        let format = if round % 2 == 0 { ClientFormat { bpp: 16, ..rgb565() } } else { ClientFormat::BGRX };
        client.set_format(format).expect("a format");
        client.request(false, WHOLE).expect("a request");
        assert_eq!(client.traffic.updates.len(), before, "the encoders were not occupied");
        drop(busy);
        let done = |c: &Client| c.traffic.updates.len() >= before + 2 && c.picture().format() == format;
        client.wait_until("both updates", done).expect("updates");
        client.wait_for_picture(&picture_of(LARGE)).unwrap_or_else(|e| panic!("round {round}: {e}"));
    }
}

fn rgb565() -> ClientFormat {
    ClientFormat {
        depth: 16,
        r_max: 31,
        g_max: 63,
        b_max: 31,
        r_shift: 11,
        g_shift: 5,
        b_shift: 0,
        ..ClientFormat::BGRX
    }
}

#[test]
fn a_request_that_comes_during_an_encode_gets_an_update_of_its_own() {
    let (desk, mut client) = large();
    let busy = desk.occupy_encoders();
    let before = client.traffic.updates.len();
    client.request(false, WHOLE).expect("a request");
    settle(&mut client);
    client.request(false, Rect::new(0, 0, 100, 100)).expect("a request");
    settle(&mut client);
    drop(busy);
    client.wait_until("both updates", |c| c.traffic.updates.len() == before + 2).expect("updates");
    let again = client.traffic.updates[before + 1].update.rects.iter().any(|r| r.head.encoding == encoding::ZRLE);
    assert!(again, "the pixels asked for were not sent again");
}

#[test]
fn a_small_update_goes_out_while_every_bulk_thread_is_held() {
    let (desk, mut bulk) = large();
    let mut small = looking(&desk);
    let held = desk.occupy_encoders();
    let before = bulk.traffic.updates.len();
    bulk.request(false, WHOLE).expect("a request");
    settle(&mut bulk);
    // a letter, a line of text, a menu of 200x200 px
    for (w, h) in [(10, 20), (400, 18), (200, 200)] {
        let before = small.traffic.updates.len();
        small.request(false, Rect::new(100, 100, w, h)).expect("a request");
        small.wait_until("the small update", |c| c.traffic.updates.len() > before).expect("an update");
    }
    settle(&mut bulk);
    assert_eq!(bulk.traffic.updates.len(), before, "the bulk threads were not held");
    drop(held);
    bulk.wait_until("the large update", |c| c.traffic.updates.len() > before).expect("an update");
}
