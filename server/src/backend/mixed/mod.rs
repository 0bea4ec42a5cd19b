//! Several desktops on one canvas, each opened as by itself.
//!
//! Each part tells on a channel of its own, and a thread hands that on: ids, places and names as they are on the whole canvas
//! ([`canvas`]), what concerns the pointer only from the part that it is on (`joint`). Input takes the other way ([`route`]).
//! Where one part is lost the others go on, and clients are told only when all are. The desktop is known once each part has told
//! its first layout.
//! Tested in pieces here, with scripted parts in `tests/session/mixed.rs` and with X servers and a compositor in
//! `tests/x11_views/mixed.rs`.

pub mod canvas;
mod joint;
pub mod route;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farpane_engine::frame::DmaBufs;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use self::joint::Joint;
use self::route::Routed;
use super::{Arrange, Backend, BackendEvent, Events, Found, Layout, OpenError, ResizeAnswer, SourceSpec};
use crate::clipboard::{Clipboard, ClipboardOptions};
use crate::helper::Opener;
use crate::input::{InputSink, KeyInput, PointerInput};

/// One of the desktops, opened.
pub struct Part {
    /// What it is called in the log.
    pub name: String,
    /// It.
    pub backend: Arc<dyn Backend>,
    /// What it tells.
    pub told: UnboundedReceiver<BackendEvent>,
}

/// Several desktops as one.
pub struct MixedBackend {
    parts: Vec<Arc<dyn Backend>>,
    input: Option<Arc<Hands>>,
    shared: Arc<Shared>,
}

/// What the parts' threads and input share.
struct Shared {
    joint: Mutex<Joint>,
    events: Events,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Joint> {
        self.joint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: BackendEvent) {
        let _ = self.events.send(event);
    }
}

impl MixedBackend {
    /// Opens all parts, one after the other.
    ///
    /// # Errors
    /// When one cannot be opened; it is named.
    pub fn open(
        parts: Vec<(SourceSpec, Found)>,
        arrange: Arrange,
        opener: &Arc<dyn Opener>,
        clipboard: ClipboardOptions,
        dma_bufs: &DmaBufs,
        events: Events,
    ) -> Result<Self, OpenError> {
        let open = |(source, found): (SourceSpec, Found)| {
            let (tell, told) = unbounded_channel();
            let opened = found.open(Arc::clone(opener), clipboard, dma_bufs.clone(), tell);
            let backend = opened.map_err(|error| error.of(&source))?;
            Ok(Part { name: source.to_string(), backend, told })
        };
        let parts = parts.into_iter().map(open).collect::<Result<Vec<_>, OpenError>>()?;
        Ok(Self::join(parts, arrange, events)?)
    }

    /// Joins desktops that are open.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn join(parts: Vec<Part>, arrange: Arrange, events: Events) -> std::io::Result<Self> {
        let names = parts.iter().map(|part| part.name.clone()).collect();
        let shared = Arc::new(Shared { joint: Mutex::new(Joint::new(arrange, names)), events });
        let sinks: Vec<_> = parts.iter().map(|part| part.backend.input()).collect();
        let takes_input = sinks.iter().any(Option::is_some);
        let input = takes_input.then(|| Arc::new(Hands { shared: Arc::clone(&shared), sinks }));
        let mut backends = Vec::new();
        for (n, Part { backend, told, .. }) in parts.into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("mixed-{n}")).spawn(move || follow(n, told, &shared))?;
            backends.push(backend);
        }
        Ok(Self { parts: backends, input, shared })
    }
}

/// Hands on what one part tells, until it is gone for good. Holds no input of it: who drops that waits until all is let go.
fn follow(n: usize, mut told: UnboundedReceiver<BackendEvent>, shared: &Shared) {
    while let Some(event) = told.blocking_recv() {
        if shared.events.is_closed() {
            return;
        }
        // told under the lock, so that no two parts' changes overtake each other
        shared.lock().on_event(n, event, &mut |event| shared.tell(event));
    }
}

impl Backend for MixedBackend {
    fn name(&self) -> String {
        let names: Vec<String> = self.parts.iter().map(|part| part.name()).collect();
        names.join(" + ")
    }

    fn input(&self) -> Option<Arc<dyn InputSink>> {
        self.input.clone().map(|hands| hands as Arc<dyn InputSink>)
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        let all: Vec<_> = self.parts.iter().filter_map(|part| part.clipboard()).collect();
        (!all.is_empty()).then(|| Arc::new(All(all)) as Arc<dyn Clipboard>)
    }

    fn resize(&self, layout: &Layout) -> ResizeAnswer {
        // the part tells its new layout through the lock, before it answers
        let wish = self.shared.lock().canvas.wish(layout);
        match wish {
            Ok(Some((part, wish))) => self.parts.get(part).map_or(ResizeAnswer::Prohibited, |part| part.resize(&wish)),
            Ok(None) => ResizeAnswer::Done,
            Err(answer) => answer,
        }
    }

    fn watch(&self, watched: bool) {
        self.parts.iter().for_each(|part| part.watch(watched));
    }
}

/// Offers a text to every part.
struct All(Vec<Arc<dyn Clipboard>>);

impl Clipboard for All {
    fn offer(&self, text: Arc<str>) {
        self.0.iter().for_each(|part| part.offer(Arc::clone(&text)));
    }
}

/// Input of all parts.
struct Hands {
    shared: Arc<Shared>,
    /// By part; none for one that takes none.
    sinks: Vec<Option<Arc<dyn InputSink>>>,
}

impl Hands {
    fn send(&self, part: usize, routed: Routed) {
        match (self.sinks.get(part), routed) {
            (Some(Some(sink)), Routed::Key(key)) => sink.key(key),
            (Some(Some(sink)), Routed::Pointer(pointer)) => sink.pointer(pointer),
            _ => {}
        }
    }
}

impl InputSink for Hands {
    // sent under the lock: what two clients do must reach a part in the order in which it was decided on, and no sink waits
    fn key(&self, key: KeyInput) {
        self.shared.lock().router.key(key, &mut |part, routed| self.send(part, routed));
    }

    fn pointer(&self, pointer: PointerInput) {
        let mut joint = self.shared.lock();
        let before = joint.router.focus();
        joint.router.pointer(pointer, &mut |part, routed| self.send(part, routed));
        joint.refocus(before, &mut |event| self.shared.tell(event));
    }
}
