//! What becomes of a session: monitors, virtual ones, refusals, ends and returns.

use super::{Desk, PATIENCE};
use farpane_engine::geometry::{Rect, Size};
use farpane_server::backend::discover::{RouteState, choose_auto, probe};
use farpane_server::backend::{BackendEvent, Layout, LayoutOutput, OutputId, ResizeAnswer, SourceSpec};
use farpane_test_support::desktop::Desktop;

fn wish(w: u16, h: u16) -> Layout {
    let size = Size::new(w, h);
    Layout { size, outputs: vec![LayoutOutput { id: OutputId(0), name: String::new(), rect: size.rect() }] }
}

/// Says how the portal is to answer.
fn answers(desktop: &Desktop, json: &str) {
    std::fs::write(desktop.dir().join("portal.json"), json).expect("a file");
}

/// The person at the desktop stops the sharing.
fn close_all(desktop: &Desktop) {
    let done = desktop
        .command("gdbus")
        .args([
            "call",
            "--session",
            "-d",
            "org.freedesktop.impl.portal.desktop.test",
            "-o",
            "/org/freedesktop/portal/desktop",
        ])
        .args(["-m", "org.farpane.Test.CloseAll"])
        .output()
        .expect("gdbus runs");
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn monitors_lie_where_the_desktop_has_them_and_each_has_its_picture() {
    let Some(mut desk) = Desk::start(&["800x600", "640x480"]) else { return };
    let rects: Vec<Rect> = desk.layout.outputs.iter().map(|o| o.rect).collect();
    assert_eq!(rects, [Rect::new(0, 0, 800, 600), Rect::new(800, 0, 640, 480)]);
    assert_eq!(desk.backend.resize(&wish(1024, 768)), ResizeAnswer::Prohibited, "these are real");
    for (i, size) in [(0, Size::new(800, 600)), (1, Size::new(640, 480))] {
        desk.picture(i, "of a monitor", |frame| frame.size == size);
    }
}

#[test]
fn a_desktop_without_monitors_gets_a_virtual_one_that_clients_resize() {
    let Some(mut desk) = Desk::start(&["none"]) else { return };
    assert_eq!(desk.sizes(), [Size::new(1920, 1080)]);
    desk.picture(0, "of the virtual monitor", |frame| frame.size == Size::new(1920, 1080));
    for (w, h) in [(1024, 768), (1366, 768), (640, 480)] {
        assert_eq!(desk.backend.resize(&wish(w, h)), ResizeAnswer::Done, "{w}x{h}");
        let size = Size::new(w, h);
        if desk.sizes() != [size] {
            desk.wait("the new size", |e| matches!(e, BackendEvent::LayoutChanged(l) if l.size == size).then_some(()));
        }
        desk.picture(0, "of the new size", |frame| frame.size == size);
    }
    let mut two = wish(640, 480);
    two.outputs.push(LayoutOutput { id: OutputId(1), name: String::new(), rect: Rect::new(0, 0, 10, 10) });
    assert_eq!(desk.backend.resize(&two), ResizeAnswer::InvalidLayout);
    assert_eq!(desk.backend.resize(&wish(640, 480)), ResizeAnswer::Done, "as it is");
}

#[test]
fn a_slow_person_is_waited_for_and_one_that_refuses_is_believed() {
    let Some(desktop) = Desktop::start("mutter", &["--monitor", "640x480"]) else { return };
    answers(&desktop, r#"{"delay_ms": 2500}"#);
    let desk = Desk::open(desktop).map_err(|(error, _)| error).expect("opens in the end");
    let Desk { backend, desktop, .. } = desk;
    drop(backend);
    answers(&desktop, r#"{"deny": true}"#);
    let Err((error, desktop)) = Desk::open(desktop) else { panic!("was refused") };
    assert!(error.to_string().starts_with("the person at the desktop refused"), "{error}");
    answers(&desktop, r#"{"fail": true}"#);
    let Err((error, _)) = Desk::open(*desktop) else { panic!("has failed") };
    assert!(error.to_string().contains("ended Start with 2"), "{error}");
}

#[test]
fn a_compositor_that_crashes_and_comes_again_is_shared_again() {
    let Some(mut desk) = Desk::start(&["640x480"]) else { return };
    desk.picture(0, "before", |_| true);
    desk.desktop.stop("mutter");
    let reason =
        desk.wait("the loss", |e| if let BackendEvent::Lost(reason) = e { Some(reason.clone()) } else { None });
    assert!(!reason.contains('\n'), "{reason}");
    desk.desktop.again("mutter");
    desk.wait("the return", |e| matches!(e, BackendEvent::Back).then_some(()));
    assert_eq!(desk.sizes(), [Size::new(640, 480)]);
    assert_eq!(desk.sources.len(), 1);
    desk.picture(0, "after", |frame| frame.size == Size::new(640, 480));
}

#[test]
fn a_portal_that_ends_is_asked_again_when_it_is_back() {
    let Some(mut desk) = Desk::start(&["640x480"]) else { return };
    desk.desktop.stop("portal");
    desk.wait("the loss", |e| {
        matches!(e, BackendEvent::Lost(r) if r.contains("org.freedesktop.portal.Desktop ended")).then_some(())
    });
    desk.desktop.again("portal");
    desk.wait("the return", |e| matches!(e, BackendEvent::Back).then_some(()));
    desk.picture(0, "after", |_| true);
}

#[test]
fn sharing_that_the_person_stops_stays_stopped() {
    let Some(mut desk) = Desk::start(&["640x480"]) else { return };
    close_all(&desk.desktop);
    let reason =
        desk.wait("the loss", |e| if let BackendEvent::Lost(reason) = e { Some(reason.clone()) } else { None });
    assert!(reason.starts_with("sharing was stopped at the desktop"), "{reason}");
    // each attempt would show in the backend's log; there is time for several
    let log = || {
        let mut all = String::new();
        for entry in std::fs::read_dir(desk.desktop.dir()).expect("a folder").flatten() {
            if entry.file_name().to_string_lossy().starts_with("backend-") {
                all.push_str(&std::fs::read_to_string(entry.path()).unwrap_or_default());
            }
        }
        all.matches("asked").count()
    };
    assert_eq!(log(), 1);
    assert_eq!(desk.backend.resize(&wish(64, 48)), ResizeAnswer::Prohibited, "it still answers");
    assert_eq!(log(), 1);
}

#[test]
fn probing_tells_what_the_portal_can_do_and_auto_takes_it() {
    let Some(desktop) = Desktop::start("mutter", &["--monitor", "640x480"]) else { return };
    let mut env = super::environment(&desktop);
    // no display of this machine is to be found
    env.root = desktop.dir();
    let began = std::time::Instant::now();
    let routes = probe(&env);
    assert!(began.elapsed() < PATIENCE);
    let portal = routes.iter().find(|r| r.source == SourceSpec::Portal).expect("is listed");
    assert_eq!(portal.state, RouteState::Usable);
    for part in ["ScreenCast 4", "virtual monitors", "RemoteDesktop 1", "keyboard", "no libei", "no Clipboard"] {
        assert!(portal.what.contains(part), "{}", portal.what);
    }
    let pipewire = routes.iter().find(|r| r.source == SourceSpec::PipeWire(0)).expect("is listed");
    assert_eq!(pipewire.state, RouteState::Usable);
    let (chosen, why) = choose_auto(&routes).expect("one");
    assert_eq!((chosen, why.contains("WAYLAND_DISPLAY")), (SourceSpec::Portal, true), "{why}");
}
