//! Sessions over a pair of sockets in one process: a scripted desktop on one side, strict viewers on the other.

mod desk;

use std::sync::Arc;
use std::time::{Duration, Instant};

use desk::{Desk, Script, layout, picture_of};
use farpane_engine::frame::CursorImage;
use farpane_engine::geometry::{Point, Rect, Size};
use farpane_engine::pixel::ClientFormat;
use farpane_server::backend::{BackendEvent, ResizeAnswer};
use farpane_server::input::record::Recorded;
use farpane_server::input::{KeyInput, PointerInput};
use farpane_server::session::{Settings, SharedPolicy};
use farpane_test_support::{Client, ClientError, PATIENCE, encoding};

const SCENE: &str = "96x64:still";
const OTHER: &str = "80x96:still";

const SIZES: &[i32] = &[encoding::ZRLE, encoding::CURSOR, encoding::EXTENDED_DESKTOP_SIZE];

/// A client that lists `encodings` and shows the scene already.
fn watching(desk: &Desk, encodings: &[i32]) -> Client {
    let mut client = desk.client("viewer");
    client.set_encodings(encodings).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&picture_of(SCENE)).expect("the scene");
    client
}

fn wish(client: &mut Client, size: Size) {
    client.set_desktop_size(size, &[(0, size.rect())]).expect("a wish");
}

/// The answers that a client got to its own wishes: reason 1.
fn own(client: &Client) -> Vec<u16> {
    client.picture().resize_answers().iter().filter(|(reason, _)| *reason == 1).map(|(_, status)| *status).collect()
}

/// Whether a client was told a layout for this reason.
fn told(client: &Client, reason: u16) -> bool {
    client.picture().resize_answers().iter().any(|(r, _)| *r == reason)
}

/// Sends a fence and waits for its answer: all sent before it has been carried out, and an update begun if one was due.
fn settle(client: &mut Client) {
    let before = client.traffic.pongs.len();
    client.send_fence(0, b"settle").expect("a fence");
    client.wait_until("the fence's answer", |c| c.traffic.pongs.len() > before).expect("an answer");
}

// ---- SetDesktopSize ----

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

// ---- layout changes ----

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

/// Waits until the hub has taken in what it was told so far, and the client lives.
fn settle_plain(desk: &Desk, client: &mut Client) {
    desk.tell(BackendEvent::Bell);
    let before = client.traffic.bells;
    client.wait_until("the bell", |c| c.traffic.bells > before).expect("a bell");
}

// ---- pointer, lock keys, bell ----

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

// ---- clipboard ----

const PLAIN: &[i32] = &[encoding::ZRLE, encoding::CURSOR];
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

// ---- input ----

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

// ---- who may be there ----

#[test]
fn a_client_that_does_not_share_ends_the_others_as_the_policy_says() {
    for (policy, shared, stays) in [
        (SharedPolicy::AsAsked, true, true),
        (SharedPolicy::AsAsked, false, false),
        (SharedPolicy::Always, false, true),
        (SharedPolicy::Never, true, false),
    ] {
        let desk = Desk::with(SCENE, Settings { shared: policy, ..Settings::default() });
        let mut first = desk.client("first");
        let mut second = desk.connect("second", shared).expect("a client");
        second.set_encodings(PLAIN).expect("a list");
        second.watch().expect("a request");
        second.wait_for_picture(&picture_of(SCENE)).expect("the scene");
        if stays {
            assert_eq!(desk.hub.clients(), 2, "{policy:?}");
        } else {
            first.raw().read_to_close().expect("a close");
        }
    }
}

#[test]
fn one_client_more_than_allowed_is_refused_with_a_reason_until_one_leaves() {
    let desk = Desk::with(SCENE, Settings { max_clients: 64, ..Settings::default() });
    let mut clients: Vec<Client> = (0..64).map(|n| desk.client(&format!("client {n}"))).collect();
    desk.wait_for("64 clients", || desk.hub.clients() == 64);
    let mut raw = desk.raw("one more");
    // the refusal speaks version 3.3: no type, a reason
    assert_eq!(raw.read(12).expect("a banner"), b"RFB 003.003\n");
    match raw.imposed_type() {
        Err(ClientError::Refused(reason)) => assert!(reason.contains("64"), "{reason}"),
        other => panic!("{other:?}"),
    }
    raw.read_to_close().expect("a close");
    clients.truncate(63);
    desk.wait_for("a place", || desk.hub.clients() == 63);
    watching(&desk, PLAIN);
}

#[test]
fn clients_that_shake_hands_at_once_do_not_exceed_the_bound() {
    let desk = Desk::with(SCENE, Settings { max_clients: 2, ..Settings::default() });
    // all pass the first look while nobody is in yet
    let mut waiting: Vec<_> = (0..6).map(|n| desk.raw(&format!("client {n}"))).collect();
    for raw in &mut waiting {
        raw.versions("RFB 003.008\n").expect("a version");
        raw.security_types().expect("types");
    }
    for raw in &mut waiting {
        raw.send(&[1]).expect("a choice");
        raw.security_result(true).expect("success");
        raw.send(&[1]).expect("an init");
    }
    let closed = waiting.iter_mut().filter_map(|raw| {
        let deadline = Instant::now() + Duration::from_millis(300);
        let mut block = [0; 256];
        loop {
            match raw.read_some(&mut block, deadline) {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(_) => return Some(()),
            }
        }
    });
    assert_eq!(closed.count(), 4);
    assert_eq!(desk.hub.clients(), 2);
}

// ---- clients that do not read ----

#[test]
fn a_client_that_asks_for_answers_and_never_reads_is_closed_and_the_others_go_on() {
    let desk = Desk::open("96x64@30:scroll");
    let mut other = desk.client("other");
    other.set_encodings(PLAIN).expect("a list");
    other.watch().expect("a request");
    let mut deaf = desk.client("deaf");
    deaf.set_encodings(&[encoding::RAW, encoding::FENCE]).expect("a list");
    let mut fences = Vec::new();
    for _ in 0..1000 {
        fences.extend([248, 0, 0, 0, 0x80, 0, 0, 0, 64]);
        fences.extend([7; 64]);
    }
    // answers of 4 MiB may wait, and what the socket holds; far more than that is never taken
    let end = Instant::now() + PATIENCE;
    let mut taken = 0;
    while deaf.raw().send(&fences).is_ok() {
        taken += fences.len();
        assert!(taken < 64 << 20 && Instant::now() < end, "{taken} bytes taken, and still connected");
    }
    desk.wait_for("the client to be gone", || desk.hub.clients() == 1);
    let before = other.traffic.updates.len();
    other.wait_until("more updates", |c| c.traffic.updates.len() > before + 3).expect("updates");
}

// ---- while an update is being encoded ----

const LARGE: &str = "320x240:still";
const WHOLE: Rect = Rect { x: 0, y: 0, w: 320, h: 240 };

/// A desktop that bounds no rate, and a client that shows it and has the fences that tell how far the server is.
fn large() -> (Desk, Client) {
    let desk = Desk::with(LARGE, Settings { max_fps: 0, ..Settings::default() });
    let mut client = desk.client("viewer");
    client.set_encodings(&[encoding::ZRLE, encoding::CURSOR, encoding::FENCE]).expect("a list");
    client.wait_until("fences", |c| c.traffic.fences > 0).expect("fences");
    client.request(false, WHOLE).expect("a request");
    client.wait_for_picture(&picture_of(LARGE)).expect("the scene");
    (desk, client)
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
fn the_comparison_sees_one_wrong_pixel() {
    let desk = Desk::open(SCENE);
    let client = watching(&desk, PLAIN);
    let mut want = picture_of(SCENE);
    want[3 * (20 * 96 + 30) + 1] ^= 1;
    let difference = client.first_difference(&want).expect("a difference");
    assert!(difference.contains("(30, 20)"), "{difference}");
    assert_eq!(layout(Size::new(96, 64)).size, desk.hub.desktop().layout.size);
}
