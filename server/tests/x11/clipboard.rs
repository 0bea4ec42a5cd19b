//! Selections both ways.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{Desk, PATIENCE};
use farpane_server::backend::BackendEvent;
use farpane_test_support::xvfb::skip;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt as _, EventMask, PropMode, SELECTION_NOTIFY_EVENT, SelectionNotifyEvent,
    SelectionRequestEvent, WindowClass,
};
use x11rb::wrapper::ConnectionExt as _;

/// Pastes until the selection has the wanted text, or the time is over.
fn paste(desk: &Desk, selection: &str, want: &str) -> Option<String> {
    let end = Instant::now() + PATIENCE;
    let mut got;
    loop {
        let out = desk.server.command("xclip").args(["-o", "-selection", selection, "-t", "UTF8_STRING"]).output();
        match out {
            Ok(out) => got = String::from_utf8_lossy(&out.stdout).into_owned(),
            Err(error) => {
                skip(&format!("xclip: {error}"));
                return None;
            }
        }
        if got == want || Instant::now() > end {
            return Some(got);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn copy(desk: &Desk, selection: &str, text: &str) -> bool {
    let (conn, _) = x11rb::connect(Some(&desk.server.display)).expect("connects");
    let atom =
        conn.intern_atom(false, selection.to_uppercase().as_bytes()).expect("sends").reply().expect("an atom").atom;
    let owner = || conn.get_selection_owner(atom).expect("sends").reply().expect("an owner").owner;
    let before = owner();
    let started = desk.server.command("xclip").args(["-i", "-selection", selection]).stdin(Stdio::piped()).spawn();
    let Ok(mut child) = started else {
        skip("xclip does not start");
        return false;
    };
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("takes it");
    assert!(child.wait().expect("ends").success());
    // it ends when its child is about to take the selection, not when it has: two copies could change places
    let end = Instant::now() + PATIENCE;
    while [before, x11rb::NONE].contains(&owner()) {
        assert!(Instant::now() < end, "xclip does not take the selection");
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

#[test]
fn texts_of_clients_can_be_pasted_small_and_in_pieces() {
    let Some(mut desk) = Desk::watched("640x480") else { return };
    let clipboard = desk.backend.clipboard().expect("has one");
    for text in ["plain", "äöü € 😀\nsecond line", &"0123456789abcdeé\n".repeat(40_000)] {
        clipboard.offer(text.into());
        let Some(got) = paste(&desk, "clipboard", text) else { return };
        assert!(got == text, "{} bytes instead of {}", got.len(), text.len());
    }
    let targets = desk.server.command("xclip").args(["-o", "-selection", "clipboard", "-t", "TARGETS"]).output();
    let targets = String::from_utf8(targets.expect("runs").stdout).expect("names");
    for name in ["TARGETS", "TIMESTAMP", "MULTIPLE", "UTF8_STRING", "STRING", "TEXT", "text/plain;charset=utf-8"] {
        assert!(targets.lines().any(|l| l == name), "{name} in {targets}");
    }
    // our own offers were not told as copies of the desktop: the first copy told is the desktop's
    assert!(copy(&desk, "clipboard", "from the desktop"));
    let text = desk.wait("a copy", |e| if let BackendEvent::Clipboard(t) = e { Some(t) } else { None });
    assert_eq!(&*text, "from the desktop");
}

#[test]
fn copies_of_the_desktop_are_told_up_to_the_cap() {
    let Some(mut desk) = Desk::watched("640x480") else { return };
    let large = "wörter mit Zeilen\r\n".repeat(40_000);
    let small = "a\r\nb\rc";
    for text in [small, &large] {
        if !copy(&desk, "clipboard", text) {
            return;
        }
        let got = desk.wait("a copy", |e| if let BackendEvent::Clipboard(t) = e { Some(t) } else { None });
        let want = text.replace("\r\n", "\n").replace('\r', "\n");
        assert!(*got == *want, "{} bytes instead of {}", got.len(), want.len());
    }
    copy(&desk, "clipboard", &"x".repeat((1 << 20) + 1));
    copy(&desk, "clipboard", "after it");
    let got = desk.wait("a copy", |e| if let BackendEvent::Clipboard(t) = e { Some(t) } else { None });
    assert_eq!(&*got, "after it", "what is past the cap is not told, and what follows is");
}

#[test]
fn what_the_mouse_selects_is_shared_when_asked_for() {
    let Some(mut desk) = Desk::open_with("640x480", true).and_then(Desk::watch) else { return };
    desk.backend.clipboard().expect("has one").offer("from a client".into());
    for selection in ["primary", "clipboard"] {
        let Some(got) = paste(&desk, selection, "from a client") else { return };
        assert_eq!(got, "from a client", "{selection}");
    }
    copy(&desk, "primary", "selected");
    let got = desk.wait("a selection", |e| if let BackendEvent::Clipboard(t) = e { Some(t) } else { None });
    assert_eq!(&*got, "selected");

    let Some(mut plain) = Desk::watched("640x480") else { return };
    copy(&plain, "primary", "selected");
    copy(&plain, "clipboard", "copied");
    let got = plain.wait("a copy", |e| if let BackendEvent::Clipboard(t) = e { Some(t) } else { None });
    assert_eq!(&*got, "copied", "PRIMARY is not shared unless asked for");
}

/// Owns CLIPBOARD with one window after the other. The second answers while the first still writes: the end of its
/// text, in pieces, lies in between the second's text and the news of it.
#[test]
fn a_copy_is_told_though_the_owner_before_it_is_still_writing() {
    let Some(mut desk) = Desk::watched("640x480") else { return };
    let (conn, screen) = x11rb::connect(Some(&desk.server.display)).expect("connects");
    let root = &conn.setup().roots[screen];
    let atom = |name: &str| conn.intern_atom(false, name.as_bytes()).expect("sends").reply().expect("an atom").atom;
    let (clipboard, utf8, incr) = (atom("CLIPBOARD"), atom("UTF8_STRING"), atom("INCR"));
    let own = || {
        let window = conn.generate_id().expect("an id");
        conn.create_window(0, window, root.root, 0, 0, 1, 1, 0, WindowClass::INPUT_ONLY, 0, &Default::default())
            .expect("sends");
        conn.set_selection_owner(window, clipboard, x11rb::CURRENT_TIME).expect("sends").check().expect("owns it");
    };
    let asked = || {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match conn.poll_for_event().expect("connected") {
                Some(Event::SelectionRequest(request)) => return request,
                Some(_) => {}
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        panic!("nobody asks for the copy");
    };
    let write = |request: &SelectionRequestEvent, kind: u32, text: &[u8]| {
        conn.change_property8(PropMode::REPLACE, request.requestor, request.property, kind, text).expect("sends");
    };
    let tell = |r: &SelectionRequestEvent| {
        let (time, requestor, selection, target, property) = (r.time, r.requestor, r.selection, r.target, r.property);
        let response_type = SELECTION_NOTIFY_EVENT;
        let told = SelectionNotifyEvent { response_type, sequence: 0, time, requestor, selection, target, property };
        conn.send_event(false, r.requestor, EventMask::NO_EVENT, told).expect("sends");
        conn.flush().expect("sends");
    };

    own();
    let first = asked();
    conn.change_property32(PropMode::REPLACE, first.requestor, first.property, incr, &[100]).expect("sends");
    tell(&first);
    own();
    let second = asked();
    write(&second, utf8, b"the second");
    write(&first, utf8, b"");
    tell(&second);
    let got = desk.wait("a copy", |e| if let BackendEvent::Clipboard(t) = e { Some(t) } else { None });
    assert_eq!(&*got, "the second");
    // what the first wrote is taken away, so that it can go on to its end
    let end = Instant::now() + PATIENCE;
    let left = || {
        let left = conn.get_property(false, first.requestor, first.property, AtomEnum::ANY, 0, 1).expect("sends");
        left.reply().expect("a property").type_
    };
    while left() != x11rb::NONE {
        assert!(Instant::now() < end, "the first text's property is still there");
        std::thread::sleep(Duration::from_millis(1));
    }
}
