use std::sync::Arc;
use std::time::{Duration, Instant};

use farpane_engine::pipeline::Lanes;
use farpane_rfb::ClientMessage;
use farpane_rfb::encoding::Encoding;
use farpane_rfb::ext::fence::{Fence, FenceFlags};
use farpane_rfb::wire::Area;
use tokio::sync::mpsc::unbounded_channel;

use super::link_desktop_tests::Desktop;
use super::state::{Session, SessionError};
use super::{Access, Described, Hub, HubEvent, Membership, Settings, Sharing};
use crate::net::ConnInfo;
use crate::policy::{Permission, Permissions};

/// One session whose clock is the test's.
struct Simulated {
    session: Session,
    began: Instant,
    hub: Arc<Hub>,
    _member: Membership,
    _runtime: tokio::runtime::Runtime,
}

impl Simulated {
    fn new(permissions: Permissions, settings: Settings) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (_, events) = unbounded_channel();
        let hub = {
            let _inside = runtime.enter();
            Hub::start(
                Arc::new(Desktop),
                events,
                Arc::new(Lanes::new(1, 0).expect("threads")),
                None,
                Box::new(|| Box::new(farpane_engine::damage::CpuDamage::new())),
            )
        };
        let began = Instant::now();
        let access = Access { permissions, ..Access::default() };
        let who = Described::new(hub.new_id(), access, &ConnInfo::in_process("test"), "None (1)".into(), began);
        let member = hub.join(who, Sharing::Shared, 1).expect("a place");
        let session = Session::new(Arc::clone(&member.entry), Arc::clone(&hub), Arc::new(settings), Arc::new(|| {}));
        Simulated { session, began, hub, _member: member, _runtime: runtime }
    }

    fn at(&self, s: u64) -> Instant {
        self.began + Duration::from_secs(s)
    }

    /// The client says something; the session lives on.
    fn says(&mut self, s: u64, message: ClientMessage) {
        let now = self.at(s);
        assert!(self.session.on_message(message, now).is_ok());
        assert!(self.session.pump(now).is_ok(), "closed at {s} s");
    }

    /// Why it is closed then, if it is.
    fn closed(&mut self, s: u64) -> Option<String> {
        match self.session.pump(self.at(s)) {
            Ok(_) => None,
            Err(SessionError::Closed(reason)) => Some(reason.to_string()),
            Err(other) => panic!("{other}"),
        }
    }

    fn name(&self) -> String {
        self.session.notices.before("desk")
    }
}

fn hour() -> Settings {
    Settings { idle_limit: Some(Duration::from_secs(3600)), ..Settings::default() }
}

fn key() -> ClientMessage {
    ClientMessage::KeyEvent { down: true, keysym: 0x61 }
}

#[test]
fn typing_pointing_and_copying_are_input() {
    let messages = [
        key(),
        ClientMessage::QemuKey { down: true, keysym: 0x61, keycode: 30 },
        ClientMessage::PointerEvent { buttons: 0, x: 1, y: 1 },
        ClientMessage::CutText(b"text".to_vec()),
    ];
    for message in messages {
        let mut sim = Simulated::new(Permissions::ALL, hour());
        sim.says(3599, message.clone());
        assert_eq!(sim.closed(3599 + 3599), None, "{message:?}");
        assert!(sim.closed(3599 + 3600).is_some_and(|r| r.contains("idle_timeout_s")), "{message:?}");
    }
}

#[test]
fn requests_answers_and_lists_are_not() {
    let area = Area { x: 0, y: 0, width: 1, height: 1 };
    let fence = |flags| ClientMessage::Fence(Fence::new(flags, b"x").expect("a fence"));
    let messages = [
        ClientMessage::FramebufferUpdateRequest { incremental: true, area },
        ClientMessage::SetEncodings { encodings: vec![Encoding(16)], listed: 1 },
        fence(FenceFlags::REQUEST),
        fence(FenceFlags::BLOCK_BEFORE),
        ClientMessage::EnableContinuousUpdates { on: true, area },
    ];
    for message in messages {
        let mut sim = Simulated::new(Permissions::ALL, hour());
        sim.says(3599, message.clone());
        assert!(sim.closed(3600).is_some(), "{message:?}");
    }
}

#[test]
fn what_is_not_permitted_keeps_nobody_in() {
    let pointer_only = Permissions::NONE.with(Permission::View).with(Permission::Pointer);
    let mut sim = Simulated::new(pointer_only, hour());
    sim.says(3599, key());
    assert!(sim.closed(3600).is_some());
}

#[test]
fn who_may_neither_type_nor_point_is_idle_only_by_request() {
    let mut sim = Simulated::new(Permissions::VIEW_ONLY, hour());
    assert_eq!((sim.closed(1 << 20), sim.session.wake_at()), (None, None));
    let mut sim = Simulated::new(Permissions::VIEW_ONLY, Settings { idle_view_only: true, ..hour() });
    assert_eq!(sim.closed(3599), None);
    assert!(sim.closed(3600).is_some());
}

#[test]
fn the_warning_stands_in_the_name_and_goes_with_the_next_key() {
    let mut sim = Simulated::new(Permissions::ALL, hour());
    assert_eq!(sim.closed(3539), None);
    assert_eq!((sim.name(), sim.session.wake_at()), ("desk".into(), Some(sim.at(3540))));
    assert_eq!(sim.closed(3540), None);
    assert_eq!(
        (sim.name(), sim.session.wake_at()),
        ("will be closed in 60 s: no input - desk".into(), Some(sim.at(3600)))
    );
    sim.says(3550, key());
    assert_eq!(sim.name(), "desk");
}

#[test]
fn the_whole_time_is_over_whatever_is_typed() {
    let mut sim = Simulated::new(Permissions::ALL, Settings { time_limit: Some(Duration::from_secs(7200)), ..hour() });
    for s in (100..=7100).step_by(100).chain([7139]) {
        sim.says(s, key());
        assert_eq!(sim.name(), "desk", "{s}");
    }
    sim.says(7140, key());
    assert_eq!(sim.name(), "will be closed in 60 s: time is up - desk");
    sim.says(7199, key());
    assert!(sim.closed(7200).is_some_and(|r| r.contains("max_time_s")));
}

#[test]
fn a_message_goes_after_half_a_minute() {
    let mut sim = Simulated::new(Permissions::ALL, Settings::default());
    assert!(sim.session.on_hub(HubEvent::Message("lunch".into()), sim.at(10)).is_ok());
    assert_eq!((sim.name(), sim.session.wake_at()), ("lunch - desk".into(), Some(sim.at(40))));
    assert_eq!(sim.closed(39), None);
    assert_eq!(sim.name(), "lunch - desk");
    assert_eq!(sim.closed(40), None);
    assert_eq!(sim.name(), "desk");
    assert_eq!(sim.hub.sessions(sim.at(40))[0].idle_s, 40, "words for a client are no input of its own");
}
