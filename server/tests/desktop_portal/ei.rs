//! Input by libei, as a desktop that offers it hears it, and what becomes of it where that fails.

use std::io::Write;
use std::sync::{Mutex, Once};

use super::eis::{Eis, FILE, Manner, Order};
use super::fake::{Fake, noted};
use super::{Desk, until};
use farpane_engine::geometry::Size;
use farpane_server::backend::{BackendEvent, Layout, ResizeAnswer};

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct ToLog;

impl Write for ToLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().expect("whole").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the tests of this process have logged so far.
fn logged() -> String {
    String::from_utf8_lossy(&LOG.lock().expect("whole")).into_owned()
}

fn keep_the_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let kept = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false);
        tracing::subscriber::set_global_default(kept.with_writer(|| ToLog).finish()).expect("the only one");
    });
}

/// A desktop with a server for its input.
fn start(manner: Manner) -> Option<(Fake, Eis)> {
    keep_the_log();
    let fake = Fake::start()?;
    let eis = Eis::start(&fake.desktop.as_ref().expect("is here").dir(), manner);
    Some((fake, eis))
}

/// Starts a second source beside the first; the first ends with what is returned.
fn second(fake: &mut Fake) -> (Ended, u32) {
    let first = (Ended(fake.gst.take().expect("runs")), fake.node);
    assert!(fake.new_source());
    first
}

struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the server was told, once there are this many lines.
fn told(eis: &Eis, lines: usize) -> Vec<String> {
    let mut all = Vec::new();
    until(&format!("{lines} lines"), || {
        all.extend(eis.take());
        all.len() >= lines
    });
    all
}

fn by_eis(more: &str) -> String {
    format!(r#", "eis": "{FILE}"{more}"#)
}

#[test]
fn ei_keys_go_as_keys_of_the_desktop_s_own_keyboard() {
    let Some((mut fake, eis)) = start(Manner::Good(false)) else { return };
    let mut desk = fake.open(&by_eis("")).expect("is allowed");
    let mut first = told(&eis, 5);
    first[2..].sort();
    assert_eq!(first, ["farpane Sender", "bound", "keyboard starts", "left starts", "right starts"]);
    // whatever its keysym: the layout decides
    desk.key(true, 0x416, Some(0x1e));
    desk.key(true, 0x416, Some(0x1e));
    desk.key(false, 0x416, Some(0x1e));
    assert_eq!(told(&eis, 2), ["key 30 Press", "key 30 Released"], "the desktop repeats it");
    for (sym, want) in [
        (0x61, vec!["key 30 Press", "key 30 Released"]),
        (0x41, vec!["key 42 Press", "key 30 Press", "key 42 Released", "key 30 Released"]),
        (0x20ac, vec!["key 100 Press", "key 18 Press", "key 100 Released", "key 18 Released"]),
    ] {
        desk.tap(sym);
        assert_eq!(told(&eis, want.len()), want, "{sym:#x}");
    }
    // in no level; said once
    for _ in 0..3 {
        desk.tap(0x6c1);
    }
    desk.tap(0x62);
    assert_eq!(told(&eis, 2), ["key 48 Press", "key 48 Released"]);
    assert_eq!(logged().matches("U+0430 is in no level of the desktop's layout").count(), 1, "{}", logged());
    // the desktop's own Caps Lock
    eis.order(Order::Lock(2));
    desk.wait("the light", |e| matches!(e, BackendEvent::Leds(4)).then_some(()));
    desk.tap(0x41);
    assert_eq!(told(&eis, 2), ["key 30 Press", "key 30 Released"]);
    // what is held at the end is let go, and the portal is told of nothing
    desk.key(true, 0xffe1, Some(0x2a));
    desk.key(true, 0x63, None);
    desk.point(5, 5, 1);
    let held = told(&eis, 4);
    assert_eq!(held[..2], ["key 42 Press", "key 46 Press"]);
    let Desk { backend, desktop, .. } = desk;
    drop(backend);
    until("the farewell", || eis.has("gone"));
    let end = eis.take();
    for line in ["key 42 Released", "key 46 Released", "right button 272 Released", "keyboard stops", "farewell"] {
        assert!(end.iter().any(|l| l == line), "{line}: {end:?}");
    }
    assert_eq!(end[end.len() - 2..], ["farewell", "gone"]);
    assert_eq!(noted(&desktop), ["asked"]);
}

#[test]
fn ei_pointers_are_told_in_units_of_the_region_that_shows_the_monitor() {
    let Some((mut fake, eis)) = start(Manner::Good(true)) else { return };
    let (_first, left) = second(&mut fake);
    let right = std::mem::replace(&mut fake.node, left);
    // a monitor of scale 2, and one of scale 1 to the right of it
    let more = format!(
        r#", "size": [160, 120], "mapping": "left", "more": [{{"node": {right}, "position": [160, 0], "size": [320, 240], "mapping": "right"}}]"#
    );
    let mut desk = fake.open(&by_eis(&more)).expect("is allowed");
    assert_eq!(desk.sizes(), [Size::new(320, 240), Size::new(320, 240)]);
    told(&eis, 6);
    desk.point(100, 50, 1);
    desk.point(330, 20, 0);
    desk.point(330, 20, 1 << 2);
    desk.point(330, 20, 1 << 4);
    desk.point(330, 20, 1 << 5);
    let want = [
        "left at 1050 525",
        "left button 272 Press",
        "right at 170 20",
        // where it went down
        "left button 272 Released",
        "right at 170 20",
        "right button 273 Press",
        "right at 170 20",
        "right button 273 Released",
        "right wheel 0 120",
        "right at 170 20",
        "right wheel -120 0",
    ];
    assert_eq!(told(&eis, want.len()), want);
    // a desktop that takes keysyms types what its layout lacks
    desk.tap(0x6c1);
    assert_eq!(told(&eis, 2), ["text 0x6c1 Press", "text 0x6c1 Released"]);
    // devices that are paused are told nothing; what was held on them is let go by the desktop
    desk.point(100, 50, 1);
    desk.key(true, 0x61, None);
    told(&eis, 3);
    eis.order(Order::Lock(2));
    desk.wait("the light", |e| matches!(e, BackendEvent::Leds(4)).then_some(()));
    eis.order(Order::Pause);
    desk.wait("no light: a pause forgets", |e| matches!(e, BackendEvent::Leds(0)).then_some(()));
    desk.key(false, 0x61, None);
    desk.tap(0x62);
    desk.point(102, 50, 0);
    // nothing of it waits for the desktop's return: a wish is answered after what came before it
    assert_eq!(desk.backend.resize(&Layout::default()), ResizeAnswer::Prohibited);
    eis.order(Order::Resume);
    let mut again = told(&eis, 4);
    again.sort();
    assert_eq!(again, ["keyboard starts", "left starts", "right starts", "text starts"]);
    desk.point(104, 50, 1);
    desk.tap(0x64);
    let want = ["left at 1052 525", "left button 272 Press", "key 32 Press", "key 32 Released"];
    assert_eq!(told(&eis, want.len()), want);
}

/// Opens a desktop whose first session has input that does not do: the second shows another source. On a busy machine GStreamer's
/// sink now and then gives nobody anything: all is started anew then.
fn opened_again(manner: &Manner) -> Option<((Fake, Ended), Desk, Eis)> {
    for _ in 0..5 {
        let (mut fake, eis) = start(manner.clone())?;
        let (first, node) = second(&mut fake);
        let more = format!(r#", "nodes": [{node}, {}]"#, fake.node);
        match fake.open(&by_eis(&more)) {
            Ok(desk) => return Some(((fake, first), desk, eis)),
            Err(error) => assert!(error.contains("agreed on no picture format"), "{error}"),
        }
    }
    panic!("no picture of five sources");
}

#[test]
fn ei_servers_that_give_nothing_are_left_for_the_portal() {
    let nonsense = vec![0x5a; 64];
    for (manner, why) in [
        (Manner::Silent, "the desktop did not finish its greeting within 5 s"),
        (Manner::Bare, "the desktop gave no keyboard or pointer within 3 s"),
        (Manner::Nonsense(nonsense), "the desktop speaks nonsense: "),
    ] {
        let Some((_sources, desk, eis)) = opened_again(&manner) else { return };
        assert!(logged().contains(why), "{why}: {}", logged());
        until("it is left", || eis.has("gone"));
        desk.tap(0x61);
        let want = ["asked", "restored token-1", "keycode 42 1", "keycode 42 0", "keysym 97 1", "keysym 97 0"];
        until("the portal is told", || noted(&desk.desktop).len() >= want.len());
        assert_eq!(noted(&desk.desktop), want);
    }
}

#[test]
fn ei_servers_that_end_or_lose_their_minds_are_followed_by_the_portal() {
    let wrong = [[0u8; 16], [0xff; 16]].concat();
    for (order, why) in [(Order::End, "the desktop ended it: Error: out of order"), (Order::Say(wrong), "nonsense")] {
        let Some((mut fake, eis)) = start(Manner::Good(false)) else { return };
        let (_first, node) = second(&mut fake);
        let more = format!(r#", "nodes": [{node}, {}]"#, fake.node);
        let mut desk = fake.open(&by_eis(&more)).expect("is allowed");
        told(&eis, 5);
        desk.key(true, 0x61, None);
        told(&eis, 1);
        eis.order(order);
        let lost = desk.wait("the loss", |e| if let BackendEvent::Lost(why) = e { Some(why.clone()) } else { None });
        assert!(lost.starts_with("input by libei: ") && lost.contains(why) && !lost.contains('\n'), "{lost}");
        desk.wait("the return", |e| matches!(e, BackendEvent::Back).then_some(()));
        desk.tap(0x62);
        until("the portal is told", || noted(&desk.desktop).last().is_some_and(|l| l == "keysym 98 0"));
        assert!(eis.has("gone"));
    }
}
