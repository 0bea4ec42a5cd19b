//! Sessions that end by the clock, and words for those who are in.

use std::time::{Duration, Instant};

use super::desk::Desk;
use super::{PLAIN, SCENE, settle, watching_as};
use farpane_server::session::{ClientId, Reached, Settings};
use farpane_test_support::encoding;

const NAMED: &[i32] = &[encoding::ZRLE, encoding::CURSOR, encoding::FENCE, encoding::DESKTOP_NAME];

#[test]
fn a_client_without_input_is_warned_and_closed_and_one_that_may_only_look_stays() {
    let idle_limit = Some(Duration::from_millis(1500));
    let desk = Desk::with(SCENE, Settings { name: "desk".into(), idle_limit, ..Settings::default() });
    let mut looks = watching_as(&desk, "looks on", PLAIN);
    let mut idle = watching_as(&desk, "viewer", NAMED);
    let warned = |name: Option<&str>| name.is_some_and(|n| n.starts_with("will be closed in ") && n.ends_with("desk"));
    idle.wait_until("the warning", |c| warned(c.picture().name())).expect("a warning");
    idle.raw().read_to_close().expect("a close");
    desk.wait_for("the end", || desk.hub.clients() == 1);
    super::settle_plain(&desk, &mut looks);
}

#[test]
fn who_only_looks_is_closed_where_the_settings_say_so() {
    let idle_limit = Some(Duration::from_millis(500));
    let desk = Desk::with(SCENE, Settings { idle_limit, idle_view_only: true, ..Settings::default() });
    desk.client("looks on").raw().read_to_close().expect("a close");
}

#[test]
fn who_takes_nothing_of_what_it_is_sent_is_closed() {
    let stall_limit = Duration::from_millis(500);
    let desk = Desk::with("1920x1080:still", Settings { stall_limit, ..Settings::default() });
    // more than any buffer in between holds
    let mut stuck = desk.client("stuck");
    stuck.set_encodings(&[encoding::RAW]).expect("a list");
    stuck.watch().expect("a request");
    desk.wait_for("the end", || desk.hub.clients() == 0);
    stuck.raw().read_to_close().expect("a close");
}

#[test]
fn a_session_lasts_no_longer_than_allowed() {
    let time_limit = Some(Duration::from_millis(500));
    let desk = Desk::with(SCENE, Settings { time_limit, ..Settings::default() });
    desk.client("looks on").raw().read_to_close().expect("a close");
}

#[test]
fn a_message_rings_and_stands_before_the_name_where_that_is_shown() {
    let desk = Desk::with(SCENE, Settings { name: "desk".into(), ..Settings::default() });
    let mut named = watching_as(&desk, "alice may view", NAMED);
    let mut plain = watching_as(&desk, "bob may view", PLAIN);
    assert_eq!(desk.hub.message(None, "lunch\nat 12"), Reached { shown: 1, rung: 1 });
    named.wait_until("the message", |c| c.picture().name() == Some("lunch at 12 - desk")).expect("a message");
    for client in [&mut named, &mut plain] {
        client.wait_until("the bell", |c| c.traffic.bells == 1).expect("a bell");
    }
    let bob = desk.hub.sessions(Instant::now()).iter().find(|s| s.user == "bob").expect("he is there").id;
    assert_eq!(desk.hub.message(Some(ClientId(bob)), "you"), Reached { shown: 0, rung: 1 });
    assert_eq!(desk.hub.message(Some(ClientId(999)), "nobody"), Reached::default());
    plain.wait_until("the bell", |c| c.traffic.bells == 2).expect("a bell");
    settle(&mut named);
    assert_eq!(named.traffic.bells, 1);
}

#[test]
fn one_client_is_kicked_and_the_others_stay() {
    let desk = Desk::open(SCENE);
    let mut alice = watching_as(&desk, "alice may view", NAMED);
    let mut bob = watching_as(&desk, "bob may view", NAMED);
    let list = desk.hub.sessions(Instant::now());
    let id = list.iter().find(|s| s.user == "bob").expect("he is there").id;
    assert!(!desk.hub.kick(ClientId(999), "no such client"));
    assert!(desk.hub.kick(ClientId(id), "time for lunch"));
    bob.raw().read_to_close().expect("a close");
    settle(&mut alice);
    desk.wait_for("the end", || desk.hub.clients() == 1);
}

#[test]
fn the_list_tells_who_is_there_and_what_went_through() {
    let desk = Desk::open(SCENE);
    let mut alice = watching_as(&desk, "alice may view keyboard", NAMED);
    settle(&mut alice);
    let list = desk.hub.sessions(Instant::now());
    assert_eq!(list.len(), 1);
    let told = &list[0];
    assert_eq!((told.user.as_str(), told.peer.as_str()), ("alice", "alice may view keyboard"));
    assert_eq!((told.listener.as_str(), told.security.as_str()), ("in process", "None (1)"));
    assert_eq!(told.encoding.as_deref(), Some("zrle, no h264: the viewer does not list it"));
    assert_eq!(told.permissions, ["view", "keyboard"]);
    // a request, a list of encodings and a fence at least; a picture of 96x64
    assert!(told.bytes_in >= 10 + 20 + 15, "{told:?}");
    assert!(told.bytes_out > 200 && told.bytes_out <= alice.traffic.bytes, "{told:?}, {}", alice.traffic.bytes);
}
