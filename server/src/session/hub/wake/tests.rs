use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use farpane_engine::damage::CpuDamage;
use farpane_engine::geometry::Size;
use farpane_engine::pipeline::Lanes;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::*;
use crate::backend::{Backend, BackendEvent, Layout, LayoutOutput, OnDemand, OutputId, ResizeAnswer};
use crate::clipboard::Clipboard;
use crate::input::InputSink;
use crate::net::ConnInfo;
use crate::session::{Access, Described, Sharing};

const PATIENCE: Duration = Duration::from_secs(20);

/// A desktop that comes when the test says so.
#[derive(Default)]
struct Sleeper {
    asked: AtomicUsize,
    up: AtomicBool,
}

impl OnDemand for Sleeper {
    fn is_up(&self) -> bool {
        self.up.load(Ordering::SeqCst)
    }
    fn wake(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
    }
}

impl Backend for Sleeper {
    fn name(&self) -> String {
        "sleeper".into()
    }
    fn input(&self) -> Option<Arc<dyn InputSink>> {
        None
    }
    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        None
    }
    fn resize(&self, _: &Layout) -> ResizeAnswer {
        ResizeAnswer::Prohibited
    }
    fn watch(&self, _: bool) {}
    fn on_demand(&self) -> Option<&dyn OnDemand> {
        Some(self)
    }
}

fn hub() -> (Arc<Hub>, Arc<Sleeper>, UnboundedSender<BackendEvent>) {
    let (send, events) = unbounded_channel();
    let desktop = Arc::new(Sleeper::default());
    let lanes = Arc::new(Lanes::new(1, 0).expect("threads"));
    let backend = Arc::clone(&desktop) as Arc<dyn Backend>;
    (Hub::start(backend, events, lanes, None, Box::new(|| Box::new(CpuDamage::new()))), desktop, send)
}

fn layout() -> BackendEvent {
    let size = Size::new(64, 48);
    let output = LayoutOutput { id: OutputId(0), name: "screen".into(), rect: size.rect() };
    BackendEvent::LayoutChanged(Layout { size, outputs: vec![output] })
}

async fn until(what: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !what() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn told(events: &UnboundedSender<BackendEvent>, event: BackendEvent) {
    events.send(event).expect("the hub listens");
}

#[tokio::test]
async fn who_waits_goes_on_when_it_is_up_and_its_monitors_are_known() {
    for layout_first in [true, false] {
        let (hub, desktop, events) = hub();
        assert!(hub.sleeps());
        let waiting = tokio::spawn({
            let hub = Arc::clone(&hub);
            async move { hub.wake_within(PATIENCE).await }
        });
        until(|| desktop.asked.load(Ordering::SeqCst) > 0).await;
        let up = || {
            desktop.up.store(true, Ordering::SeqCst);
            told(&events, BackendEvent::OnDemand(Came::Up));
        };
        if layout_first {
            told(&events, layout())
        } else {
            up()
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(hub.sleeps() && !waiting.is_finished());
        if layout_first {
            up()
        } else {
            told(&events, layout())
        }
        assert_eq!(waiting.await.expect("no panic"), Ok(()));
        assert!(!hub.sleeps());
    }
}

#[tokio::test]
async fn who_waits_is_told_why_there_is_none_or_that_none_came_in_time() {
    let (hub, desktop, events) = hub();
    let waiting = tokio::spawn({
        let hub = Arc::clone(&hub);
        async move { hub.wake_within(PATIENCE).await }
    });
    until(|| desktop.asked.load(Ordering::SeqCst) > 0).await;
    told(&events, BackendEvent::OnDemand(Came::NotUp("it ended with status 3 at once".into())));
    let said = waiting.await.expect("no panic").expect_err("there is none");
    assert_eq!(said, "the desktop did not start: it ended with status 3 at once");
    // what was said to one is not said to the next
    let late = hub.wake_within(Duration::from_millis(50)).await.expect_err("there is none");
    assert_eq!(late, "the desktop was not there within 50ms; try again later");
    assert_eq!(desktop.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_end_of_a_desktop_ends_sessions_and_leaves_nothing_of_it() {
    let (hub, desktop, events) = hub();
    desktop.up.store(true, Ordering::SeqCst);
    told(&events, layout());
    told(&events, BackendEvent::Clipboard("secret".into()));
    until(|| hub.desktop().clipboard.is_some()).await;
    let info = ConnInfo::in_process("viewer");
    let who = Described::new(hub.new_id(), Access::anonymous(false), &info, "none".into(), Instant::now());
    let mut member = hub.join(who, Sharing::Shared, 9).expect("there is room");
    desktop.up.store(false, Ordering::SeqCst);
    told(&events, BackendEvent::OnDemand(Came::Ended));
    let goodbye = loop {
        if let HubEvent::Close(goodbye) = member.events.recv().await.expect("the hub is there") {
            break goodbye;
        }
    };
    assert_eq!(goodbye, Goodbye::new(EndKind::ServerEnds, "the desktop has ended"));
    assert!(hub.sleeps() && hub.desktop().clipboard.is_none() && hub.desktop().layout.outputs.is_empty());
}
