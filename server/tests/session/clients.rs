//! Who may be there, and those who do not read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::desk::{Desk, picture_of};
use super::{PLAIN, SCENE, watching};
use farpane_engine::capture::synthetic::{self, SyntheticSource};
use farpane_engine::geometry::{Rect, Size};
use farpane_server::backend::{BackendEvent, Layout, LayoutOutput, OutputId};
use farpane_server::session::{Settings, SharedPolicy, ViewSpec};
use farpane_test_support::{Client, ClientError, PATIENCE, Security, encoding};

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
fn who_wants_one_monitor_alone_leaves_those_of_others_in_peace() {
    let desk = Desk::open(SCENE);
    let source = || {
        let spec = synthetic::parse(SCENE).expect("a good scene");
        Box::new(SyntheticSource::new(spec, Instant::now()))
    };
    let output = |id: u16, name: &str| {
        let rect = Rect::new(id * 96, 0, 96, 64);
        LayoutOutput { id: OutputId(id.into()), name: name.into(), rect }
    };
    desk.tell(BackendEvent::OutputAdded(OutputId(1), source()));
    let outputs = vec![output(0, "left"), output(1, "right")];
    desk.tell(BackendEvent::LayoutChanged(Layout { size: Size::new(192, 64), outputs }));
    desk.wait_for("two monitors", || desk.hub.desktop().layout.outputs.len() == 2);
    let alone = |view: ViewSpec| {
        let settings = Arc::new(Settings { view, ..Settings::default() });
        let raw = desk.raw_to("viewer", &settings);
        Client::handshake(raw, "RFB 003.008\n", Security::None, false).expect("a client")
    };
    let [left, right] = ["left", "right"].map(|name| ViewSpec::Output(name.into()));
    let mut first = alone(left.clone());
    let mut beside = alone(right);
    beside.set_encodings(PLAIN).expect("a list");
    beside.watch().expect("a request");
    beside.wait_for_picture(&picture_of(SCENE)).expect("the right monitor");
    assert_eq!(desk.hub.clients(), 2);
    let mut second = alone(left);
    first.raw().read_to_close().expect("who saw the same monitor is closed");
    desk.wait_for("the first to be gone", || desk.hub.clients() == 2);
    let _all = alone(ViewSpec::All);
    for client in [&mut beside, &mut second] {
        client.raw().read_to_close().expect("who saw a part of all is closed");
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
