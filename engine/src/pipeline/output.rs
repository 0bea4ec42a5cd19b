//! One output: its mirror, its subscribers, and the handle on its thread.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Instant;

use super::cache::Cache;
use super::inbox::Inbox;
use super::stats::Stats;
use super::video::Films;
use super::worker;
use crate::capture::{Doorbell, OutputInfo, Source, SourceError};
use crate::damage::{DamageEngine, Mirror};
use crate::encode::h264::MakeEncoder;
use crate::geometry::Size;
use crate::pixel::Layout;

/// Bytes of encoded rectangles kept for sharing, per output.
const CACHE_BYTES: usize = 4 << 20;

/// What an output's thread tells its owner.
#[derive(Debug)]
pub enum OutputEvent {
    /// The picture has another size from now on.
    Resized(Size),
    /// The source cannot go on (it is tried again once a second while watched).
    Lost(SourceError),
    /// Frames come again after [`OutputEvent::Lost`].
    Back,
}

/// The mirror that is current, and its number.
#[derive(Clone)]
pub(super) struct Current {
    pub mirror: Arc<Mirror>,
    pub epoch: u64,
}

/// What the thread, the subscribers and the handle share.
pub(super) struct Shared {
    pub bell: Arc<Doorbell>,
    /// Held for writing while the mirror and the inboxes change together, for reading while a client encodes.
    pub gate: RwLock<Current>,
    pub subscribers: Mutex<Vec<Weak<Subscriber>>>,
    pub stopping: AtomicBool,
    /// The mirror holds a picture that was taken since somebody watches. Changed with the gate held for writing.
    pub valid: AtomicBool,
    pub cache: Cache,
    pub films: Films,
    pub stats: Stats,
}

/// One client's end of an output.
pub(super) struct Subscriber {
    pub inbox: Mutex<Inbox>,
    /// Something small came since an update of this client was last begun.
    pub small_came: AtomicBool,
    /// The client can take an update.
    pub wants: AtomicBool,
    pub can_copy: AtomicBool,
    /// Moving regions are worth looking for.
    pub wants_films: AtomicBool,
    pub notify: Box<dyn Fn() + Send + Sync>,
}

impl Subscriber {
    pub fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// The subscribers that still live.
    pub fn live(&self) -> Vec<Arc<Subscriber>> {
        let mut list = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|s| s.strong_count() > 0);
        list.iter().filter_map(Weak::upgrade).collect()
    }

    pub fn current(&self) -> Current {
        self.gate.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_valid(&self) -> bool {
        self.valid.load(Relaxed)
    }

    pub fn count_clients(&self) -> usize {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|s| s.strong_count() > 0).count()
    }
}

/// One monitor's pipeline. Dropping it ends its thread.
pub struct Output {
    pub(super) shared: Arc<Shared>,
    info: OutputInfo,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Output {
    /// Starts the thread; nothing is captured until somebody subscribes.
    ///
    /// `damage` finds damage for this output; `events` is called from the output's thread and must not wait.
    ///
    /// # Errors
    /// When the source's format has no 32-bit layout that a mirror can hold, or no thread can be started.
    pub fn spawn(
        source: Box<dyn Source>,
        damage: Box<dyn DamageEngine>,
        events: Box<dyn Fn(OutputEvent) + Send>,
        now: Instant,
    ) -> Result<Self, SourceError> {
        let info = source.info();
        let layout = layout_of(&info)?;
        let shared = Arc::new(Shared {
            bell: Doorbell::new(),
            gate: RwLock::new(Current { mirror: Arc::new(Mirror::new(info.size, layout, now)), epoch: 0 }),
            subscribers: Mutex::default(),
            stopping: AtomicBool::new(false),
            valid: AtomicBool::new(false),
            cache: Cache::new(CACHE_BYTES),
            films: Films::default(),
            stats: Stats::default(),
        });
        let thread = std::thread::Builder::new()
            .name(format!("output {}", info.name))
            .spawn({
                let shared = Arc::clone(&shared);
                move || worker::Worker::new(shared, source, damage, events).run()
            })
            .map_err(|source| SourceError::Io { what: "starting a capture thread".into(), source })?;
        Ok(Self { shared, info, thread: Some(thread) })
    }

    /// What the source said of itself when the output was made.
    pub fn info(&self) -> &OutputInfo {
        &self.info
    }

    /// The picture's size now.
    pub fn size(&self) -> Size {
        self.shared.gate.read().unwrap_or_else(PoisonError::into_inner).mirror.read().size()
    }

    /// Counters since the output was made.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Films that begin from now on are encoded by what `make` makes; by software until this is called.
    pub fn set_video_encoder(&self, make: Arc<MakeEncoder>) {
        self.shared.films.set_encoder(make);
    }

    /// Subscribes a client: it starts with everything pending. `notify` is called, from the output's thread, whenever there is
    /// something new for a subscriber that wants it; it must not wait.
    pub fn subscribe(&self, notify: impl Fn() + Send + Sync + 'static) -> Subscription {
        let gate = self.shared.gate.write().unwrap_or_else(PoisonError::into_inner);
        let mut inbox = Inbox::default();
        inbox.replace(&gate.mirror.read().size().rect());
        let subscriber = Arc::new(Subscriber {
            inbox: Mutex::new(inbox),
            small_came: AtomicBool::new(false),
            wants: AtomicBool::new(false),
            can_copy: AtomicBool::new(false),
            wants_films: AtomicBool::new(false),
            notify: Box::new(notify),
        });
        self.shared.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&subscriber));
        drop(gate);
        self.shared.bell.ring();
        Subscription { shared: Arc::clone(&self.shared), subscriber }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Relaxed);
        self.shared.bell.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A client's subscription to an output; dropping it ends it.
pub struct Subscription {
    pub(super) shared: Arc<Shared>,
    pub(super) subscriber: Arc<Subscriber>,
}

impl Subscription {
    /// Says whether the client can take an update: its request is there and its link has room. While no client can,
    /// nothing is captured.
    pub fn set_wants(&self, wants: bool) {
        if self.subscriber.wants.swap(wants, Relaxed) != wants && wants {
            self.shared.bell.ring();
        }
    }

    /// Says whether the client shows moving regions as films.
    pub fn set_wants_films(&self, wants: bool) {
        self.subscriber.wants_films.store(wants, Relaxed);
    }

    /// Says whether the client can carry out CopyRect.
    pub fn set_can_copy(&self, can: bool) {
        self.subscriber.can_copy.store(can, Relaxed);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Off the list before the bell: the thread that wakes must not count it any more.
        let mine = Arc::downgrade(&self.subscriber);
        self.shared.subscribers.lock().unwrap_or_else(PoisonError::into_inner).retain(|s| !s.ptr_eq(&mine));
        self.shared.bell.ring();
    }
}

pub(super) fn layout_of(info: &OutputInfo) -> Result<Layout, SourceError> {
    info.fourcc.layout().ok_or_else(|| {
        SourceError::Unsupported(format!("pixel format {:?} (expected a 32-bit RGB format)", info.fourcc))
    })
}
