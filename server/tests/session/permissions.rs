//! What each permission lets a client do, and what stays undone without it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::desk::Desk;
use super::{SCENE, own, settle, watching_as, wish};
use farpane_engine::geometry::Size;
use farpane_server::backend::BackendEvent;
use farpane_server::input::record::Recorded;
use farpane_server::net::ConnInfo;
use farpane_server::policy::Permission;
use farpane_server::session::{Described, EndKind, Ended, SessionLog, Settings, Verdict};
use farpane_test_support::{Client, ClientError, encoding};

const PLAIN: &[i32] = &[encoding::ZRLE, encoding::CURSOR, encoding::FENCE, encoding::EXTENDED_DESKTOP_SIZE];
const EXTENDED: &[i32] =
    &[encoding::ZRLE, encoding::CURSOR, encoding::FENCE, encoding::EXTENDED_DESKTOP_SIZE, encoding::EXTENDED_CLIPBOARD];

/// What can be tried from within a session.
const TRIED: [Permission; 5] =
    [Permission::Pointer, Permission::Keyboard, Permission::ClipIn, Permission::ClipOut, Permission::Resize];

/// Keeps what it is told.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl SessionLog for Log {
    fn started(&self, who: &Described) {
        self.push(format!("{} started", who.access.user));
    }
    fn denied(&self, who: &Described, permission: Permission) {
        self.push(format!("{} denied {permission}", who.access.user));
    }
    fn asked(&self, who: &Described) {
        self.push(format!("{} asked", who.access.user));
    }
    fn failed(&self, info: &ConnInfo, kind: EndKind, _: Duration) {
        self.push(format!("{} failed {kind:?}", info.peer));
    }
    fn gate(&self, who: &Described, verdict: &Verdict) {
        self.push(format!("{} gate {}", who.access.user, verdict.name()));
    }
    fn ended(&self, who: &Described, end: &Ended) {
        assert!(end.bytes_in > 0 && end.bytes_out > 0, "{end:?}");
        self.push(format!("{} ended: {}", who.access.user, end.reason));
    }
}

/// Tries everything twice and returns what came about.
fn came_about(desk: &Desk, client: &mut Client) -> Vec<Permission> {
    for n in 0..2u16 {
        client.key(0x61, true).expect("a key");
        client.key(0x61, false).expect("a key");
        client.pointer(10 + n, 11, 1).expect("a button");
        client.pointer(10 + n, 11, 0).expect("a button");
        client.send_text(&format!("from the client {n}")).expect("a text");
        wish(client, Size::new(50 + n, 50));
        settle(client);
    }
    desk.tell(BackendEvent::Clipboard("from the desktop".into()));
    super::settle_plain(desk, client);
    // an extended text comes with the second round trip
    settle(client);
    settle(client);
    client.wait_until("an answer to each wish", |c| own(c).len() == 2).expect("answers");
    assert_eq!(own(client), [1, 1], "this desktop refuses every wish, and so does the session");
    let input = desk.backend.input.all();
    let mut came = Vec::new();
    let mut note = |happened, permission| came.extend(Some(permission).filter(|_| happened));
    note(input.iter().any(|i| matches!(i, Recorded::Pointer(_))), Permission::Pointer);
    note(input.iter().any(|i| matches!(i, Recorded::Key(_))), Permission::Keyboard);
    note(!desk.backend.offers().is_empty(), Permission::ClipIn);
    note(!(client.clipboard.plain.is_empty() && client.clipboard.texts.is_empty()), Permission::ClipOut);
    note(!desk.backend.wishes().is_empty(), Permission::Resize);
    came
}

#[test]
fn each_permission_lets_do_its_own_and_nothing_else() {
    for list in [PLAIN, EXTENDED] {
        for one in TRIED {
            let desk = Desk::open(SCENE);
            let log = Arc::new(Log::default());
            desk.hub.set_log(Arc::clone(&log) as Arc<dyn SessionLog>);
            let mut client = watching_as(&desk, &format!("alice may view {one}"), list);
            assert_eq!(came_about(&desk, &mut client), [one]);
            drop(client);
            desk.wait_for("the end", || log.all().iter().any(|line| line == "alice ended: client left"));
            // nothing that a client does asks for what is copied on the desktop; each denial is told once
            let denied = TRIED.into_iter().filter(|p| *p != one && *p != Permission::ClipOut);
            let mut want: Vec<String> = denied.map(|p| format!("alice denied {p}")).collect();
            want.extend(["alice started".to_owned(), "alice ended: client left".to_owned()]);
            let mut got = log.all();
            want.sort();
            got.sort();
            assert_eq!(got, want);
        }
    }
}

#[test]
fn without_one_permission_everything_else_is_done() {
    for list in [PLAIN, EXTENDED] {
        for one in TRIED {
            let desk = Desk::open(SCENE);
            let rest: Vec<Permission> = TRIED.into_iter().filter(|p| *p != one).collect();
            let names: Vec<&str> = rest.iter().map(|p| p.name()).collect();
            let mut client = watching_as(&desk, &format!("alice may view {}", names.join(" ")), list);
            assert_eq!(came_about(&desk, &mut client), rest);
        }
    }
}

#[test]
fn view_only_settings_leave_seeing_and_what_is_copied_on_the_desktop() {
    let desk = Desk::with(SCENE, Settings { view_only: true, ..Settings::default() });
    let peer = "alice may view pointer keyboard clip-in clip-out resize disconnect-others";
    let mut client = watching_as(&desk, peer, PLAIN);
    assert_eq!(came_about(&desk, &mut client), [Permission::ClipOut]);
    let told = desk.hub.sessions(std::time::Instant::now());
    assert_eq!(told.iter().map(|s| s.permissions.join(",")).collect::<Vec<_>>(), ["view,clip-out"]);
}

#[test]
fn who_may_not_see_is_refused_with_words() {
    let desk = Desk::open(SCENE);
    let log = Arc::new(Log::default());
    desk.hub.set_log(Arc::clone(&log) as Arc<dyn SessionLog>);
    match desk.connect("alice may keyboard pointer", true) {
        Err(ClientError::Refused(reason)) => assert!(reason.contains("not permitted to see"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((desk.hub.clients(), log.all()), (0, vec!["alice denied view".to_owned()]));
}

#[test]
fn who_wants_to_be_alone_needs_the_permission_or_be_the_same_user() {
    for (first, second, takes_over) in [
        ("alice may view", "bob may view", false),
        ("alice may view", "bob may view keyboard pointer", false),
        ("alice may view", "bob may view disconnect-others", true),
        ("alice may view", "alice may view", true),
        ("viewer", "looks on", false),
        ("looks on", "viewer", true),
    ] {
        let desk = Desk::open(SCENE);
        let mut there = watching_as(&desk, first, PLAIN);
        let mut comes = desk.connect(second, false).expect("an init");
        if takes_over {
            there.raw().read_to_close().expect("a close");
            comes.set_encodings(PLAIN).expect("a list");
            comes.watch().expect("a request");
            settle(&mut comes);
        } else {
            let name = &comes.init().name;
            let who = first.split_once(" may").map_or("another client", |(user, _)| user);
            assert!(name.starts_with(&format!("Refused: {who} is connected")), "{name}");
            comes.raw().read_to_close().expect("a close");
            settle(&mut there);
        }
        // the one that was closed may not have left yet
        desk.wait_for("one client", || desk.hub.clients() == 1);
    }
}
