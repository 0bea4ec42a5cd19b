//! Keys, buttons and the pointer.

use super::xev::Xev;
use super::{Desk, sym};
use farpane_engine::geometry::Point;
use farpane_server::backend::BackendEvent;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::ConnectionExt as _;
use x11rb::protocol::xtest::ConnectionExt as _;

/// Keysyms are equal when they type the same character: programs may get a character's other name.
fn assert_typed(got: &[u32], want: &[u32]) {
    let ch = |s: &u32| xkeysym::Keysym::new(*s).key_char().ok_or(*s);
    assert_eq!(got.iter().map(ch).collect::<Vec<_>>(), want.iter().map(ch).collect::<Vec<_>>());
}

#[test]
fn typed_text_arrives_whatever_the_layout_has() {
    let Some(desk) = Desk::open("640x480") else { return };
    if !desk.run("setxkbmap", &["de"]) {
        return;
    }
    let Some(xev) = Xev::start(&desk) else { return };
    desk.point(300, 200, 0);
    // plain, Shift, AltGr, umlauts, a dead key, then what no German keyboard has
    let mut want: Vec<u32> = "azAZ09!\"/@{}\\|~äÖß€µжЖяλ中😀✓ő".chars().map(sym).collect();
    want.push(0xfe51);
    for s in &want {
        desk.tap(*s);
    }
    assert_typed(&xev.keysyms(want.len()), &want);
}

#[test]
fn fast_typing_of_many_foreign_letters_is_right() {
    let Some(desk) = Desk::open("640x480") else { return };
    let Some(xev) = Xev::start(&desk) else { return };
    desk.point(300, 200, 0);
    // Xlib reads its keyboard map at a program's first key and asks for news of it only after that: begin with two that it knows
    for ch in ['a', 'b'] {
        desk.tap(sym(ch));
        assert_typed(&xev.keysyms(1), &[sym(ch)]);
    }
    let want: Vec<u32> = (0x4e00..0x4e00 + 80).filter_map(char::from_u32).map(sym).collect();
    for s in &want {
        desk.tap(*s);
    }
    assert_typed(&xev.keysyms(want.len()), &want);
}

#[test]
fn keysyms_arrive_under_caps_lock_and_the_lamp_is_told() {
    let Some(mut desk) = Desk::watched("640x480") else { return };
    let Some(xev) = Xev::start(&desk) else { return };
    desk.point(300, 200, 0);
    desk.tap(0xffe5);
    desk.wait("Caps Lock is on", |e| matches!(e, BackendEvent::Leds(4)).then_some(()));
    let want: Vec<u32> = "aAzZ1!жЖ".chars().map(sym).collect();
    for s in &want {
        desk.tap(*s);
    }
    assert_typed(&xev.keysyms(want.len()), &want);
    desk.tap(0xffe5);
    desk.wait("Caps Lock is off", |e| matches!(e, BackendEvent::Leds(0)).then_some(()));
}

#[test]
fn temporary_bindings_and_held_keys_are_gone_at_the_end() {
    let Some(desk) = Desk::open("640x480") else { return };
    let Some(xev) = Xev::start(&desk) else { return };
    desk.point(300, 200, 0);
    let conn = x11rb::connect(Some(&desk.server.display)).expect("connects").0;
    let setup = conn.setup();
    let (first, count) = (setup.min_keycode, setup.max_keycode - setup.min_keycode + 1);
    let map = || conn.get_keyboard_mapping(first, count).expect("asks").reply().expect("answers").keysyms;
    let before = map();
    desk.key(true, sym('😀'));
    desk.key(true, 0xffe1);
    xev.keysyms(1);
    assert_ne!(map(), before);
    let Desk { backend, server: _server, .. } = desk;
    drop(backend);
    let bare = |keysyms: Vec<u32>| keysyms.into_iter().filter(|s| *s != 0).collect::<Vec<_>>();
    assert_eq!(bare(map()), bare(before));
    let down = conn.query_keymap().expect("asks").reply().expect("answers").keys;
    assert_eq!(down, [0; 32]);
}

#[test]
fn clicks_the_wheel_and_extra_buttons_arrive() {
    let Some(desk) = Desk::open("640x480") else { return };
    let Some(xev) = Xev::start(&desk) else { return };
    for bit in 0..9 {
        desk.point(100, 100, 1 << bit);
        desk.point(100, 100, 0);
    }
    let want: Vec<(bool, u8)> = (1..=9).flat_map(|n| [(true, n), (false, n)]).collect();
    assert_eq!(xev.buttons(want.len()), want);
}

#[test]
fn a_pointer_moved_by_someone_else_is_told() {
    let Some(mut desk) = Desk::watched("640x480") else { return };
    let (conn, screen) = x11rb::connect(Some(&desk.server.display)).expect("connects");
    let root = conn.setup().roots[screen].root;
    for (x, y) in [(17, 19), (600, 400)] {
        conn.xtest_fake_input(6, 0, 0, root, x, y, 0).expect("sends").check().expect("moves");
        let at = Point::new(x as u16, y as u16);
        desk.wait("the device moved", |e| matches!(e, BackendEvent::PointerMoved(p) if p == at).then_some(()));
    }
    conn.warp_pointer(x11rb::NONE, root, 0, 0, 0, 0, 33, 44).expect("sends").check().expect("moves");
    let at = Point::new(33, 44);
    desk.wait("a program moved it", |e| matches!(e, BackendEvent::PointerMoved(p) if p == at).then_some(()));
    conn.bell(0).expect("sends").check().expect("rings");
    desk.wait("the bell", |e| matches!(e, BackendEvent::Bell).then_some(()));
}
