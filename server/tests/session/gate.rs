//! The person at the desktop is asked before a client gets in.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::desk::Desk;
use super::{PLAIN, SCENE, settle, watching_as};
use farpane_engine::geometry::Point;
use farpane_server::input::record::Recorded;
use farpane_server::input::{KeyInput, PointerInput};
use farpane_server::session::{
    Asking, ClientId, Doorkeeper, Exclusive, GateRules, Hub, Knock, Said, Settings, SharedPolicy, Standing,
};
use farpane_test_support::{Client, ClientError, encoding};

const FENCED: &[i32] = &[encoding::ZRLE, encoding::CURSOR, encoding::FENCE];

/// Says what it was told to say, and keeps what it was asked; without a word it thinks for ever.
#[derive(Default)]
struct Keeper {
    word: Mutex<Option<Said>>,
    asked: Mutex<Vec<Knock>>,
    /// Questions that are open.
    open: AtomicUsize,
}

struct Thinking<'a>(&'a Keeper);

impl Drop for Thinking<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Doorkeeper for Keeper {
    fn ask<'a>(&'a self, knock: &'a Knock) -> Asking<'a> {
        self.asked.lock().unwrap().push(knock.clone());
        self.open.fetch_add(1, Ordering::SeqCst);
        let thinking = Thinking(self);
        let word = *self.word.lock().unwrap();
        Box::pin(async move {
            let _thinking = thinking;
            match word {
                Some(said) => Ok(said),
                None => std::future::pending().await,
            }
        })
    }
}

fn desk(gate: GateRules) -> Desk {
    Desk::with(SCENE, Settings { gate, ..Settings::default() })
}

const ASK: GateRules = GateRules { ask: true, limit: Duration::from_secs(30), allow_if_nobody: false };

fn keeper(hub: &Hub, word: Option<Said>) -> Arc<Keeper> {
    let keeper = Arc::new(Keeper { word: Mutex::new(word), ..Keeper::default() });
    hub.set_doorkeeper(Arc::clone(&keeper) as Arc<dyn Doorkeeper>);
    keeper
}

fn refused(result: Result<Client, ClientError>) -> String {
    match result {
        Err(ClientError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

/// Connects on a thread of its own, as it waits for an answer.
fn comes(desk: &Desk, peer: &str) -> std::thread::JoinHandle<Result<Client, ClientError>> {
    let raw = desk.raw(peer);
    std::thread::spawn(move || Client::handshake(raw, "RFB 003.008\n", farpane_test_support::Security::None, true))
}

/// The one who waits.
fn waiting(desk: &Desk) -> ClientId {
    let find = || desk.hub.sessions(Instant::now()).into_iter().find(|s| s.state == Standing::Waiting);
    desk.wait_for("somebody to wait", || find().is_some());
    ClientId(find().expect("somebody waits").id)
}

#[test]
fn the_doorkeeper_decides_and_is_told_who_comes() {
    for (said, allow_if_nobody, want) in [
        (Said::Accept, false, None),
        (Said::Refuse, true, Some("refused")),
        (Said::Nobody, true, None),
        (Said::Nobody, false, Some("Nobody is at the desktop")),
    ] {
        let desk = desk(GateRules { allow_if_nobody, ..ASK });
        let keeper = keeper(&desk.hub, Some(said));
        let came = desk.connect("alice may view", true);
        match want {
            None => {
                let mut client = came.expect("let in");
                client.set_encodings(FENCED).expect("a list");
                settle(&mut client);
            }
            Some(words) => {
                let reason = refused(came);
                assert!(reason.contains(words), "{reason}");
                assert_eq!(desk.hub.clients(), 0);
            }
        }
        let asked = keeper.asked.lock().unwrap();
        let told: Vec<_> = asked.iter().map(|k| (k.user.as_str(), k.peer.as_str(), k.disconnects)).collect();
        assert_eq!(told, [("alice", "alice may view", 0)]);
    }
}

#[test]
fn nobody_who_answers_in_time_is_a_no() {
    let desk = desk(GateRules { limit: Duration::from_millis(200), allow_if_nobody: true, ..ASK });
    let keeper = keeper(&desk.hub, None);
    let reason = refused(desk.connect("alice may view", true));
    assert!(reason.contains("in time"), "{reason}");
    desk.wait_for("the question to be taken back", || keeper.open.load(Ordering::SeqCst) == 0);
    assert!(!desk.hub.gate().is_asking());
    // and a while nobody is asked about the same user; another one is
    let reason = refused(desk.connect("alice may view", true));
    assert!(reason.contains("try again in"), "{reason}");
    assert_eq!(keeper.asked.lock().unwrap().len(), 1);
    *keeper.word.lock().unwrap() = Some(Said::Accept);
    desk.client("bob may view");
}

#[test]
fn without_a_doorkeeper_the_answer_comes_by_number() {
    let desk = desk(ASK);
    for (peer, accept) in [("alice may view", true), ("bob may view", false)] {
        let came = comes(&desk, peer);
        let id = waiting(&desk);
        assert!(!desk.hub.gate().answer(ClientId(999), true));
        assert!(desk.hub.gate().answer(id, accept));
        let came = came.join().expect("a thread");
        assert_eq!(came.is_ok(), accept, "{peer}");
        if let Ok(mut client) = came {
            client.set_encodings(FENCED).expect("a list");
            settle(&mut client);
            assert_eq!(desk.hub.sessions(Instant::now())[0].id, id.0, "it keeps its number");
        }
    }
}

#[test]
fn a_client_that_leaves_takes_its_question_along() {
    let desk = desk(ASK);
    let keeper = keeper(&desk.hub, None);
    let mut raw = desk.raw("alice may view");
    raw.versions("RFB 003.008\n").expect("a version");
    raw.security_types().expect("types");
    // its ClientInit comes early: that it leaves is seen all the same
    raw.send(&[1, 1]).expect("a choice");
    waiting(&desk);
    drop(raw);
    desk.wait_for("the question to be taken back", || {
        !desk.hub.gate().is_asking() && keeper.open.load(Ordering::SeqCst) == 0
    });
}

#[test]
fn what_a_client_sends_while_it_waits_is_carried_out_afterwards() {
    let desk = desk(ASK);
    let mut raw = desk.raw("alice may view keyboard");
    raw.versions("RFB 003.008\n").expect("a version");
    raw.security_types().expect("types");
    raw.send(&[1, 1, 4, 1, 0, 0, 0, 0, 0, 0x61]).expect("a choice, an init and a key");
    let id = waiting(&desk);
    assert!(desk.hub.gate().answer(id, true));
    desk.wait_for("the key", || desk.backend.input.len() == 1);
}

#[test]
fn while_a_question_is_open_nobody_presses_anything() {
    let desk = desk(ASK);
    let first = comes(&desk, "viewer");
    assert!(desk.hub.gate().answer(waiting(&desk), true));
    let mut inside = first.join().expect("a thread").expect("let in");
    inside.set_encodings(FENCED).expect("a list");
    inside.key(0xffe1, true).expect("a key");
    inside.pointer(5, 6, 1).expect("a button");
    settle(&mut inside);
    let second = comes(&desk, "bob may view");
    let id = waiting(&desk);
    // what it holds down is let go
    desk.wait_for("the release", || desk.backend.input.len() == 4);
    inside.key(0xff0d, true).expect("a key");
    inside.key(0xff0d, false).expect("a key");
    inside.pointer(50, 60, 1).expect("a button");
    inside.pointer(50, 60, 0).expect("a button");
    settle(&mut inside);
    assert!(desk.hub.gate().answer(id, false));
    assert!(second.join().expect("a thread").is_err());
    inside.key(0x62, true).expect("a key");
    settle(&mut inside);
    let key = |down, keysym| Recorded::Key(KeyInput { down, keysym, scancode: None });
    let pointer = |buttons| Recorded::Pointer(PointerInput { x: 5, y: 6, buttons });
    let want = [key(true, 0xffe1), pointer(1), key(false, 0xffe1), pointer(0), key(true, 0x62)];
    assert_eq!(desk.backend.input.all(), want);
    assert_eq!(desk.hub.desktop().pointer, Point::new(5, 6), "others would see its pointer");
}

#[test]
fn few_wait_at_once() {
    let desk = desk(ASK);
    let waiting: Vec<_> = (0..4).map(|n| comes(&desk, &format!("user{n} may view"))).collect();
    desk.wait_for("four to wait", || desk.hub.sessions(Instant::now()).len() == 4);
    let reason = refused(desk.connect("late may view", true));
    assert!(reason.contains("Others are waiting"), "{reason}");
    for told in desk.hub.sessions(Instant::now()) {
        assert!(desk.hub.gate().answer(ClientId(told.id), false));
    }
    for client in waiting {
        assert!(client.join().expect("a thread").is_err());
    }
}

#[test]
fn who_wants_to_be_alone_is_asked_about_where_the_rule_says_so() {
    for (exclusive, said, gets_in) in [
        (Exclusive::Ask, Said::Accept, true),
        (Exclusive::Ask, Said::Refuse, false),
        (Exclusive::Refuse, Said::Accept, false),
        (Exclusive::TakeOver, Said::Accept, false),
    ] {
        // nobody is asked about those who share
        let settings = Settings { exclusive, shared: SharedPolicy::AsAsked, ..Settings::default() };
        let desk = Desk::with(SCENE, settings);
        let keeper = keeper(&desk.hub, Some(said));
        let mut there = watching_as(&desk, "alice may view", PLAIN);
        let mut comes = desk.connect("bob may view", false).expect("an init");
        let asked: Vec<usize> = keeper.asked.lock().unwrap().iter().map(|k| k.disconnects).collect();
        assert_eq!(asked, if exclusive == Exclusive::Ask { vec![1] } else { vec![] });
        if gets_in {
            there.raw().read_to_close().expect("a close");
            comes.set_encodings(FENCED).expect("a list");
            settle(&mut comes);
        } else {
            assert!(comes.init().name.starts_with("Refused: "), "{}", comes.init().name);
            comes.raw().read_to_close().expect("a close");
            assert_eq!(desk.hub.clients(), 1);
        }
    }
}
