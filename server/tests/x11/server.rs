//! The X server itself: found, lost and found again; and what nobody looks at.

use std::time::{Duration, Instant};

use super::xev::Xev;
use super::{Desk, PATIENCE, environment, sym, wish};
use farpane_server::backend::discover::{RouteState, choose_auto, probe};
use farpane_server::backend::{BackendEvent, ResizeAnswer, SourceSpec};
use farpane_test_support::xvfb::Xvfb;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::ConnectionExt as _;
use x11rb::protocol::xtest::ConnectionExt as _;

#[test]
fn a_server_that_goes_and_comes_again_is_lost_and_back_with_fresh_outputs() {
    let Some(mut desk) = Desk::watched("640x480") else { return };
    desk.server.kill();
    desk.wait("lost", |e| matches!(e, BackendEvent::Lost(r) if !r.is_empty()).then_some(()));
    desk.tap(sym('a'));
    let display = desk.server.display.clone();
    desk.server = Xvfb::again(&display, "800x600").expect("starts again");
    let mut seen = Vec::new();
    desk.wait("back", |e| {
        match e {
            BackendEvent::OutputRemoved(id) => seen.push(format!("removed {}", id.0)),
            BackendEvent::OutputAdded(id, _) => seen.push(format!("added {}", id.0)),
            BackendEvent::LayoutChanged(l) => seen.push(format!("layout {}", l.size)),
            BackendEvent::Lost(_) => seen.push("lost again".into()),
            BackendEvent::Back => return Some(()),
            _ => {}
        }
        None
    });
    assert_eq!(seen, ["removed 0", "added 0", "layout 800x600"]);
    let Some(xev) = Xev::start(&desk) else { return };
    desk.point(300, 200, 0);
    // input is refused for a moment after a failed attempt: keep typing until it arrives
    let end = Instant::now() + PATIENCE;
    loop {
        desk.tap(sym('a'));
        if xev.lines.recv_timeout(Duration::from_millis(20)).is_ok_and(|l| l.starts_with("Key")) {
            break;
        }
        desk.point(300, 200, 0);
        assert!(Instant::now() < end, "no input after the server came back");
    }
}

#[test]
fn probing_finds_the_display_of_the_environment_and_auto_takes_it() {
    let Some(server) = Xvfb::start("640x480") else { return };
    let routes = probe(&environment(&server));
    let spec = SourceSpec::X11(Some(server.display.clone()));
    let route = routes.iter().find(|r| r.source == spec).expect("is listed");
    assert_eq!(route.state, RouteState::Usable);
    assert_eq!(choose_auto(&routes).map(|(s, _)| s), Some(spec.clone()));
    let mut env = environment(&server);
    env.display = None;
    assert!(probe(&env).iter().any(|r| r.source == spec && r.state == RouteState::Usable), "found by its socket");
}

#[test]
fn nobody_watching_means_no_events() {
    let Some(mut desk) = Desk::watched("640x480") else { return };
    desk.backend.watch(false);
    desk.backend.watch(true);
    desk.backend.watch(false);
    // one command after another: when this one is answered, the others are done
    assert_eq!(desk.backend.resize(&wish((1, 1), &[])), ResizeAnswer::InvalidLayout);
    while desk.events.try_recv().is_ok() {}
    let (conn, screen) = x11rb::connect(Some(&desk.server.display)).expect("connects");
    let root = conn.setup().roots[screen].root;
    conn.xtest_fake_input(6, 0, 0, root, 5, 5, 0).expect("sends").check().expect("moves");
    conn.bell(0).expect("sends").check().expect("rings");
    assert_eq!(desk.backend.resize(&wish((1, 1), &[])), ResizeAnswer::InvalidLayout);
    assert!(desk.events.try_recv().is_err());
}
