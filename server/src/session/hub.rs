//! The desktop as all sessions share it: one backend, its outputs' pipelines, what it last said, and who is connected.
//!
//! The hub listens to the backend and tells every session what changed. It keeps the last of everything, so a session that
//! joins starts from the same state as those already there.

mod follow;
mod wake;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use farpane_engine::damage::DamageEngine;
use farpane_engine::frame::CursorImage;
use farpane_engine::geometry::{Point, Size};
use farpane_engine::pipeline::{Lanes, Output, RateShare, TotalRate, View, ViewOutput};
use tokio::sync::mpsc;

use super::ScaleSpec;
use super::gate::Gate;
use super::lighting::Lamps;
use super::log::{EndKind, Goodbye, SessionLog};
use super::notice::one_line;
use super::roster::{Described, Entry, NotJoined, SessionSummary};
use super::smaller::Smaller;
use super::view::{Part, Seen, ViewSpec};
use super::{Exclusive, Sharing};
use crate::backend::{Backend, BackendEvent, Layout, OutputId, ResizeAnswer};
pub use wake::WAKE_LIMIT;
use wake::Waking;

/// Names one client for as long as the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

impl std::fmt::Display for ClientId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What the hub tells a session.
#[derive(Clone)]
pub enum HubEvent {
    /// The canvas or its monitors changed. Carries the client whose wish it was.
    Layout(Option<ClientId>),
    /// The pointer has another shape.
    Cursor(Arc<CursorImage>),
    /// The pointer is elsewhere; moved by this client, or by nobody of ours.
    Pointer(Point, Option<ClientId>),
    /// Text was copied: on the desktop, or by this other client.
    Clipboard(Arc<str>, Option<ClientId>),
    /// Lock keys changed.
    Leds(u8),
    /// The bell rang.
    Bell,
    /// The desktop went, or is back.
    Presence,
    /// Words for the client.
    Message(Arc<str>),
    /// Nobody's input reaches the desktop until further notice: what is held down is let go.
    InputHeld,
    /// The session has to end, and why.
    Close(Goodbye),
}

/// The desktop's last known state.
#[derive(Clone, Default)]
pub struct DesktopState {
    /// Canvas and monitors.
    pub layout: Layout,
    /// The pointer's shape, once known.
    pub cursor: Option<Arc<CursorImage>>,
    /// Where the pointer is.
    pub pointer: Point,
    /// Lock keys, as the RFB LED state has them.
    pub leds: u8,
    /// Text last copied on the desktop.
    pub clipboard: Option<Arc<str>>,
    /// Why the desktop is gone, while it is.
    pub lost: Option<String>,
}

#[derive(Default)]
struct State {
    desktop: DesktopState,
    outputs: BTreeMap<OutputId, Arc<Output>>,
    smaller: Smaller,
    clients: BTreeMap<ClientId, Member>,
    /// Who asked for another layout: the change that follows is their doing.
    resizing: Option<ClientId>,
}

struct Member {
    tx: mpsc::UnboundedSender<HubEvent>,
    entry: Arc<Entry>,
}

/// What a message reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Clients that show it, as part of the desktop's name.
    pub shown: usize,
    /// Clients that only rang their bell.
    pub rung: usize,
}

/// The shared desktop.
pub struct Hub {
    backend: Arc<dyn Backend>,
    state: Mutex<State>,
    last_id: AtomicU64,
    gate: Gate,
    waking: Waking,
    log: OnceLock<Arc<dyn SessionLog>>,
    lamps: Lamps,
    lanes: Arc<Lanes>,
    total_rate: Option<Arc<TotalRate>>,
    stage: Stage,
}

/// Makes the damage stage of a new output.
pub type Stage = Box<dyn Fn() -> Box<dyn DamageEngine> + Send + Sync>;

/// A session's place at the hub; dropping it leaves.
pub struct Membership {
    /// The client.
    pub entry: Arc<Entry>,
    /// What the hub tells.
    pub events: mpsc::UnboundedReceiver<HubEvent>,
    hub: Arc<Hub>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        state.clients.remove(&self.entry.who.id);
        state.resizing.take_if(|id| *id == self.entry.who.id);
        if state.clients.is_empty() {
            self.hub.backend.watch(false);
        }
        drop(state);
        self.hub.relight();
    }
}

impl Hub {
    /// A hub over an opened backend, fed by its events. `lanes` encode for all clients; `total_rate` bounds the bytes a second of
    /// all of them together, `stage` finds what changes on each output.
    ///
    /// Must be called within a tokio runtime; the task it starts ends when the backend's channel closes or the hub goes.
    pub fn start(
        backend: Arc<dyn Backend>,
        mut events: mpsc::UnboundedReceiver<BackendEvent>,
        lanes: Arc<Lanes>,
        total_rate: Option<u64>,
        stage: Stage,
    ) -> Arc<Self> {
        let total_rate = total_rate.map(TotalRate::new);
        let hub = Arc::new(Hub {
            backend,
            state: Mutex::default(),
            last_id: AtomicU64::new(0),
            gate: Gate::default(),
            waking: Waking::default(),
            log: OnceLock::new(),
            lamps: Lamps::default(),
            lanes,
            total_rate,
            stage,
        });
        let weak = Arc::downgrade(&hub);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let Some(hub) = weak.upgrade() else { break };
                hub.on_backend(event, &weak);
            }
        });
        hub
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// The threads that encode.
    pub fn lanes(&self) -> &Arc<Lanes> {
        &self.lanes
    }

    /// One more client's part of the bound on all clients' rate; none when there is no bound.
    pub fn rate_share(&self) -> Option<RateShare> {
        self.total_rate.as_ref().map(TotalRate::join)
    }

    /// The desktop's last known state.
    pub fn desktop(&self) -> DesktopState {
        self.lock().desktop.clone()
    }

    /// Whether the first layout has arrived.
    pub fn is_ready(&self) -> bool {
        !self.lock().desktop.layout.outputs.is_empty()
    }

    /// Ends all sessions.
    pub fn close_all(&self, reason: &'static str) {
        self.tell_all(HubEvent::Close(Goodbye::new(EndKind::ServerEnds, reason)));
    }

    /// How many clients are connected.
    pub fn clients(&self) -> usize {
        self.lock().clients.len()
    }

    /// What switches monitors.
    pub(super) fn lamps(&self) -> &Lamps {
        &self.lamps
    }

    /// Something of those who are there.
    pub(super) fn with_members<T>(&self, what: impl FnOnce(&mut dyn Iterator<Item = &Described>) -> T) -> T {
        what(&mut self.lock().clients.values().map(|member| &member.entry.who))
    }

    /// Whether the view's monitors are there.
    pub fn shows(&self, spec: &ViewSpec) -> bool {
        spec.is_there(&self.lock().desktop.layout)
    }

    /// How large the canvas of this view is now; none when its monitor is not there.
    pub fn canvas(&self, spec: &ViewSpec, scale: ScaleSpec) -> Option<Size> {
        Some(spec.part_of(&self.lock().desktop.layout, scale)?.layout.size)
    }

    /// The desktop as clients of this view see it; none when the view's monitor is not there.
    pub fn seen(&self, spec: &ViewSpec, scale: ScaleSpec) -> Option<Seen> {
        let mut state = self.lock();
        let Part { layout, scale, places } = spec.part_of(&state.desktop.layout, scale)?;
        let State { outputs, smaller, desktop, .. } = &mut *state;
        let outputs = layout.outputs.iter().filter_map(|o| {
            let output = smaller.output(o.id, outputs.get(&o.id)?, scale)?;
            Some(ViewOutput { output, at: o.rect.origin(), size: o.rect.size() })
        });
        Some(Seen {
            view: View { canvas: layout.size, outputs: outputs.collect() },
            cursor: desktop.cursor.clone(),
            pointer: places.to_view(desktop.pointer),
            places,
            leds: desktop.leds,
            lost: desktop.lost.clone(),
            layout,
        })
    }

    /// The name of a new client.
    pub fn new_id(&self) -> ClientId {
        ClientId(self.last_id.fetch_add(1, Ordering::Relaxed).saturating_add(1))
    }

    /// Joins, unless `most` are there already. A client that does not share disconnects all others that see something of what it sees, if it may.
    ///
    /// # Errors
    /// When no place is left, or those who are there stay.
    pub fn join(self: &Arc<Self>, who: Described, sharing: Sharing, most: usize) -> Result<Membership, NotJoined> {
        let (tx, events) = mpsc::unbounded_channel();
        let mut state = self.lock();
        if state.clients.len() >= most {
            return Err(NotJoined::Full(most));
        }
        let in_the_way = |member: &&Member| member.entry.who.sight.view.has_common(&who.sight.view);
        let others = || state.clients.values().filter(in_the_way).map(|member| &member.entry.who);
        let count = others().count();
        let may = match sharing {
            Sharing::Shared | Sharing::AloneByConsent => true,
            Sharing::Alone(Exclusive::Refuse) => false,
            Sharing::Alone(Exclusive::TakeOver | Exclusive::Ask) => who.may_take_over(others()),
        };
        if let (false, Some(first)) = (may, others().next()) {
            // where somebody comes from is not told to others
            let user = &first.access.user;
            let first = if user.is_empty() { "another client".to_owned() } else { user.clone() };
            return Err(NotJoined::Occupied { first, count });
        }
        if sharing != Sharing::Shared {
            let reason = format!("{} asked for the desktop alone", who.called());
            let close = HubEvent::Close(Goodbye::new(EndKind::TakenOver, reason));
            for member in state.clients.values().filter(in_the_way) {
                let _ = member.tx.send(close.clone());
            }
        }
        if state.clients.is_empty() {
            self.backend.watch(true);
        }
        let entry = Arc::new(Entry::new(who));
        state.clients.insert(entry.who.id, Member { tx, entry: Arc::clone(&entry) });
        drop(state);
        self.relight();
        Ok(Membership { entry, events, hub: Arc::clone(self) })
    }

    /// The questions that are open about clients that want in.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Tells this one of sessions from here on. The first to be set stays.
    pub fn set_log(&self, log: Arc<dyn SessionLog>) {
        let _ = self.log.set(log);
    }

    /// Who is told of sessions.
    pub fn log(&self) -> Option<&Arc<dyn SessionLog>> {
        self.log.get()
    }

    /// Everybody who is connected, then those who wait at the gate.
    pub fn sessions(&self, now: Instant) -> Vec<SessionSummary> {
        let mut all: Vec<_> = self.lock().clients.values().map(|member| member.entry.summary(now)).collect();
        all.extend(self.gate.waiting(now));
        all
    }

    /// Ends one session; false when there is none of that name.
    pub fn kick(&self, id: ClientId, reason: &str) -> bool {
        let state = self.lock();
        let Some(member) = state.clients.get(&id) else { return false };
        let reason = one_line(reason);
        let reason = if reason.is_empty() { "kicked".to_owned() } else { format!("kicked: {reason}") };
        member.tx.send(HubEvent::Close(Goodbye::new(EndKind::Kicked, reason))).is_ok()
    }

    /// Words for one client, or for all of them: a bell, and a while before the desktop's name where the client shows that.
    pub fn message(&self, to: Option<ClientId>, text: &str) -> Reached {
        let text: Arc<str> = one_line(text).into();
        let mut reached = Reached::default();
        for (id, member) in &self.lock().clients {
            if to.is_none_or(|to| to == *id) && member.tx.send(HubEvent::Message(Arc::clone(&text))).is_ok() {
                let count = if member.entry.shows_names() { &mut reached.shown } else { &mut reached.rung };
                *count = count.saturating_add(1);
            }
        }
        reached
    }

    pub(super) fn tell_all(&self, event: HubEvent) {
        self.lock().tell(event, None);
    }

    /// A client moved the pointer there: the others are told.
    pub fn pointer_moved_by(&self, id: ClientId, at: Point) {
        let mut state = self.lock();
        state.desktop.pointer = at;
        state.tell(HubEvent::Pointer(at, Some(id)), Some(id));
    }

    /// A client copied text: the desktop and the other clients get it.
    pub fn clipboard_from(&self, id: ClientId, text: Arc<str>) {
        if let Some(clipboard) = self.backend.clipboard() {
            clipboard.offer(Arc::clone(&text));
        }
        let mut state = self.lock();
        state.desktop.clipboard = Some(Arc::clone(&text));
        state.tell(HubEvent::Clipboard(text, Some(id)), Some(id));
    }

    /// A client asks for another layout. Waits for the desktop: to be called off the network threads.
    pub fn resize(&self, id: ClientId, layout: &Layout) -> ResizeAnswer {
        self.lock().resizing = Some(id);
        let own = self.resize_side_car(id, layout.size);
        let answer = own.unwrap_or_else(|| self.backend.resize(layout));
        if answer != ResizeAnswer::Done {
            self.lock().resizing = None;
        }
        answer
    }

    /// A layout that the desktop agreed to has not shown, and nothing is left to show: the next change is nobody's wish.
    pub fn settled(&self, id: ClientId) {
        self.lock().resizing.take_if(|by| *by == id);
    }
}

impl State {
    fn tell(&mut self, event: HubEvent, but: Option<ClientId>) {
        for (id, member) in &self.clients {
            if Some(*id) != but {
                let _ = member.tx.send(event.clone());
            }
        }
    }
}
