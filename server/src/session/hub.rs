//! The desktop as all sessions share it: one backend, its outputs' pipelines, what it last said, and who is connected.
//!
//! The hub listens to the backend and tells every session what changed. It keeps the last of everything, so a session that
//! joins starts from the same state as those already there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use farpane_engine::damage::CpuDamage;
use farpane_engine::frame::CursorImage;
use farpane_engine::geometry::Point;
use farpane_engine::pipeline::{Lanes, Output, OutputEvent, RateShare, TotalRate, View, ViewOutput};
use tokio::sync::mpsc;

use super::view::{self, Part, Seen, ViewSpec};
use crate::backend::{Backend, BackendEvent, Layout, OutputId, ResizeAnswer};

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
    /// The session has to end, and why.
    Close(&'static str),
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
    clients: HashMap<ClientId, mpsc::UnboundedSender<HubEvent>>,
    next_client: u64,
    /// Who asked for another layout: the change that follows is their doing.
    resizing: Option<ClientId>,
}

/// The shared desktop.
pub struct Hub {
    backend: Arc<dyn Backend>,
    state: Mutex<State>,
    lanes: Arc<Lanes>,
    total_rate: Option<Arc<TotalRate>>,
}

/// A session's place at the hub; dropping it leaves.
pub struct Membership {
    /// The client's name.
    pub id: ClientId,
    /// What the hub tells.
    pub events: mpsc::UnboundedReceiver<HubEvent>,
    hub: Arc<Hub>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        state.clients.remove(&self.id);
        state.resizing.take_if(|id| *id == self.id);
        if state.clients.is_empty() {
            self.hub.backend.watch(false);
        }
    }
}

impl Hub {
    /// A hub over an opened backend, fed by its events. `lanes` encode for all clients; `total_rate` bounds the bytes a second of
    /// all of them together.
    ///
    /// Must be called within a tokio runtime; the task it starts ends when the backend's channel closes or the hub goes.
    pub fn start(
        backend: Arc<dyn Backend>,
        mut events: mpsc::UnboundedReceiver<BackendEvent>,
        lanes: Arc<Lanes>,
        total_rate: Option<u64>,
    ) -> Arc<Self> {
        let total_rate = total_rate.map(TotalRate::new);
        let hub = Arc::new(Hub { backend, state: Mutex::default(), lanes, total_rate });
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
        self.lock().tell(HubEvent::Close(reason), None);
    }

    /// How many clients are connected.
    pub fn clients(&self) -> usize {
        self.lock().clients.len()
    }

    /// The desktop as clients of this view see it; none when the view's monitor is not there.
    pub fn seen(&self, spec: &ViewSpec) -> Option<Seen> {
        let state = self.lock();
        let desktop = &state.desktop;
        let Part { layout, origin } = spec.part_of(&desktop.layout)?;
        let outputs = layout.outputs.iter().filter_map(|o| {
            let output = Arc::clone(state.outputs.get(&o.id)?);
            Some(ViewOutput { output, at: o.rect.origin(), size: o.rect.size() })
        });
        Some(Seen {
            view: View { canvas: layout.size, outputs: outputs.collect() },
            origin,
            cursor: desktop.cursor.clone(),
            pointer: view::inside(desktop.pointer, origin, layout.size),
            leds: desktop.leds,
            lost: desktop.lost.clone(),
            layout,
        })
    }

    /// Joins, unless `most` are there already. A client that does not share disconnects all others.
    pub fn join(self: &Arc<Self>, shared: bool, most: usize) -> Option<Membership> {
        let (tx, events) = mpsc::unbounded_channel();
        let mut state = self.lock();
        if state.clients.len() >= most {
            return None;
        }
        if !shared {
            for other in state.clients.values() {
                let _ = other.send(HubEvent::Close("another client asked for the desktop alone"));
            }
        }
        if state.clients.is_empty() {
            self.backend.watch(true);
        }
        state.next_client += 1;
        let id = ClientId(state.next_client);
        state.clients.insert(id, tx);
        drop(state);
        Some(Membership { id, events, hub: Arc::clone(self) })
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
        let answer = self.backend.resize(layout);
        if answer != ResizeAnswer::Done {
            self.lock().resizing = None;
        }
        answer
    }

    /// A layout that the desktop agreed to has not shown, and nothing is left to show: the next change is nobody's wish.
    pub fn settled(&self, id: ClientId) {
        self.lock().resizing.take_if(|by| *by == id);
    }

    fn on_backend(self: &Arc<Self>, event: BackendEvent, weak: &Weak<Hub>) {
        match event {
            BackendEvent::OutputAdded(id, source) => {
                let name = source.info().name;
                let weak = Weak::clone(weak);
                let events = Box::new(move |event| {
                    if let Some(hub) = weak.upgrade() {
                        hub.on_output(id, event);
                    }
                });
                match Output::spawn(source, Box::new(CpuDamage::new()), events, Instant::now()) {
                    Ok(output) => {
                        // the one it replaces is dropped after the lock: that waits for its thread
                        let old = self.lock().outputs.insert(id, Arc::new(output));
                        drop(old);
                        tracing::info!(output = %name, "output added");
                    }
                    Err(error) => tracing::warn!(output = %name, %error, "output cannot be shown"),
                }
            }
            BackendEvent::OutputRemoved(id) => {
                let old = self.lock().outputs.remove(&id);
                drop(old);
                tracing::info!(output = id.0, "output removed");
            }
            BackendEvent::LayoutChanged(layout) => {
                let mut state = self.lock();
                let by = state.resizing.take();
                state.desktop.layout = layout;
                state.tell(HubEvent::Layout(by), None);
            }
            BackendEvent::Cursor(image) => {
                let mut state = self.lock();
                state.desktop.cursor = Some(Arc::clone(&image));
                state.tell(HubEvent::Cursor(image), None);
            }
            BackendEvent::PointerMoved(at) => {
                let mut state = self.lock();
                if state.desktop.pointer != at {
                    state.desktop.pointer = at;
                    state.tell(HubEvent::Pointer(at, None), None);
                }
            }
            BackendEvent::Clipboard(text) => {
                let mut state = self.lock();
                state.desktop.clipboard = Some(Arc::clone(&text));
                state.tell(HubEvent::Clipboard(text, None), None);
            }
            BackendEvent::Leds(leds) => {
                let mut state = self.lock();
                state.desktop.leds = leds;
                state.tell(HubEvent::Leds(leds), None);
            }
            BackendEvent::Bell => self.lock().tell(HubEvent::Bell, None),
            BackendEvent::Lost(reason) => {
                tracing::warn!(%reason, "desktop is gone; clients keep its last picture until it is back");
                let mut state = self.lock();
                state.desktop.lost = Some(reason);
                state.tell(HubEvent::Presence, None);
            }
            BackendEvent::Back => {
                tracing::info!("desktop is back");
                let mut state = self.lock();
                state.desktop.lost = None;
                state.tell(HubEvent::Presence, None);
            }
        }
    }

    fn on_output(&self, id: OutputId, event: OutputEvent) {
        match event {
            OutputEvent::Resized(size) => tracing::info!(output = id.0, %size, "output has another size"),
            OutputEvent::Lost(error) => {
                tracing::warn!(output = id.0, %error, "capture stopped; trying again every second")
            }
            OutputEvent::Back => tracing::info!(output = id.0, "capture goes on"),
        }
    }
}

impl State {
    fn tell(&mut self, event: HubEvent, but: Option<ClientId>) {
        for (id, tx) in &self.clients {
            if Some(*id) != but {
                let _ = tx.send(event.clone());
            }
        }
    }
}
