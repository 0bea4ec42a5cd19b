//! Selections both ways.

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{Desk, PATIENCE};
use farpane_server::backend::BackendEvent;
use farpane_test_support::xvfb::skip;

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
    let started = desk.server.command("xclip").args(["-i", "-selection", selection]).stdin(Stdio::piped()).spawn();
    let Ok(mut child) = started else {
        skip("xclip does not start");
        return false;
    };
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("takes it");
    assert!(child.wait().expect("ends").success());
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
