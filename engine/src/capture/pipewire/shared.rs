//! What the loop's thread and a source's thread know of one stream.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};

use super::ffi::Lent;
use super::format::Negotiated;
use super::place::Place;
use super::{StreamCounters, StreamEvent, StreamSpec};
use crate::capture::Doorbell;
use crate::frame::{CursorImage, DmaBuf, Mapping};
use crate::geometry::{Rect, Region, Size};

/// Rectangles of damage that are kept apart; more become their box.
const MOST_RECTS: usize = 64;
/// Pictures in a row that cannot be shown, until the stream is given up.
pub(super) const MOST_REFUSED: u32 = 8;

/// What is asked of the loop's thread.
pub(super) enum Command {
    /// A connection over this socket.
    Connect { socket: OwnedFd, remote: Arc<RemoteShared> },
    /// Takes a connection down.
    Disconnect(u64),
    /// A stream of a connection.
    Open { remote: u64, stream: Arc<Shared> },
    /// Pictures are wanted, or are not.
    Active(u64, bool),
    /// Pictures are wanted and none came: the source is to begin again.
    Nudge(u64),
    /// A buffer may be filled again.
    Requeue(u64, u64),
    /// A virtual monitor is to have another size.
    Resize(u64, Size),
    /// Pictures are to lie in shared memory from now on.
    LeaveDmaBufs(u64),
    /// Takes a stream down.
    Close(u64),
    /// The thread ends.
    End,
}

/// Commands on their way to the loop's thread.
pub(super) struct Commands {
    queue: Mutex<VecDeque<Command>>,
    wake: OwnedFd,
}

impl Commands {
    pub(super) fn new() -> std::io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { queue: Mutex::default(), wake })
    }

    /// Hands a command to the loop's thread, from any thread.
    pub(super) fn send(&self, command: Command) {
        locked(&self.queue).push_back(command);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// The oldest command; nothing is locked while it is carried out.
    pub(super) fn take(&self) -> Option<Command> {
        locked(&self.queue).pop_front()
    }

    /// What can be read when commands are there.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.wake
    }

    /// Makes the descriptor silent until the next command.
    pub(super) fn calm(&self) {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.wake, &mut count);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that no other connection, stream or pointer's shape has.
pub(super) fn fresh() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// A connection as both sides know it.
pub(super) struct RemoteShared {
    pub(super) id: u64,
    state: Mutex<RemoteState>,
    changed: Condvar,
    lost: Box<dyn Fn(String) + Send + Sync>,
}

#[derive(Default)]
pub(super) struct RemoteState {
    /// PipeWire has answered.
    pub(super) ready: bool,
    /// Why the connection is gone.
    pub(super) lost: Option<String>,
    /// Nodes that give pictures: number and name.
    pub(super) nodes: Vec<(u32, String)>,
    pub(super) streams: Vec<Weak<Shared>>,
}

impl RemoteShared {
    pub(super) fn new(lost: Box<dyn Fn(String) + Send + Sync>) -> Arc<Self> {
        Arc::new(Self { id: fresh(), state: Mutex::default(), changed: Condvar::new(), lost })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, RemoteState> {
        locked(&self.state)
    }

    pub(super) fn ready(&self) {
        self.state().ready = true;
        self.changed.notify_all();
    }

    /// The connection is gone, and all its streams.
    pub(super) fn lose(&self, reason: &str) {
        let mut state = self.state();
        if state.lost.is_some() {
            return;
        }
        state.lost = Some(reason.to_owned());
        let streams = std::mem::take(&mut state.streams);
        drop(state);
        self.changed.notify_all();
        streams.iter().filter_map(Weak::upgrade).for_each(|s| s.lose(reason));
        (self.lost)(reason.to_owned());
    }

    /// A node is gone, and the streams that show it.
    pub(super) fn node_gone(&self, node: u32) {
        let mut state = self.state();
        state.nodes.retain(|(id, _)| *id != node);
        let streams: Vec<Arc<Shared>> = state.streams.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        streams.iter().filter(|s| s.spec.node == node).for_each(|s| s.lose("its source is gone"));
    }

    /// Waits until PipeWire has answered, at most until `deadline`.
    pub(super) fn wait(&self, deadline: Instant) -> Result<(), String> {
        let mut state = self.state();
        loop {
            if let Some(reason) = &state.lost {
                return Err(reason.clone());
            }
            if state.ready {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("no answer".into());
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not linked with its source.
    #[default]
    Connecting,
    /// Linked; no pictures.
    Paused,
    /// Pictures come when there are any.
    Streaming,
}

/// What holds a buffer's bytes.
pub(super) enum Store {
    /// A sealed file, mapped: read where it lies.
    Mapped(Arc<Mapping>),
    /// A dma-buf, mapped: read where it lies, between the two ends of an access.
    DmaBuf(Arc<DmaBuf>),
    /// A file that could be cut under a mapping: what is wanted is copied out with `pread`, which then only comes up short.
    File(OwnedFd),
    /// Memory that libpipewire mapped: copied out while the buffer is there.
    Lent(Lent),
}

/// One buffer of a stream, by its number.
pub(super) struct Slot {
    pub(super) token: u64,
    /// Why it cannot be used, otherwise where its bytes are.
    pub(super) store: Result<Store, String>,
    /// Where in the store its area begins.
    pub(super) base: usize,
    /// The area's length.
    pub(super) max_size: usize,
}

/// A picture that nobody has taken.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    pub(super) token: u64,
    pub(super) place: Place,
    pub(super) at: Instant,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) bell: Option<Arc<Doorbell>>,
    pub(super) phase: Phase,
    pub(super) agreed: Option<Negotiated>,
    /// Size of the picture as it was last told.
    pub(super) size: Option<Size>,
    /// The size has changed since then.
    pub(super) resized: bool,
    /// Nobody watches, and pictures come only until another size is agreed on.
    pub(super) settling: bool,
    pub(super) slots: Vec<Slot>,
    pub(super) pending: Option<Pending>,
    /// What changed since the last picture that was taken; with `whole`, everything.
    pub(super) damage: Region,
    pub(super) whole: bool,
    /// The number of the last buffer that came, where its source counts.
    pub(super) number: Option<u64>,
    pub(super) refused: u32,
    pub(super) lost: Option<String>,
    pub(super) cursor: Option<Arc<CursorImage>>,
}

impl State {
    /// The whole picture counts as changed.
    pub(super) fn all_changed(&mut self) {
        self.whole = true;
        self.damage.clear();
    }

    /// Adds what a source says has changed; none means that it does not say.
    pub(super) fn add_damage(&mut self, damage: Option<&Region>) {
        match damage {
            _ if self.whole => {}
            None => self.all_changed(),
            Some(more) => {
                self.damage.union(more);
                if self.damage.rects().len() > MOST_RECTS {
                    self.damage = Region::from(self.damage.bounds());
                }
            }
        }
    }

    /// Takes what changed out, for a picture that is handed on: none means everything.
    pub(super) fn take_damage(&mut self, bounds: Rect) -> Option<Region> {
        let mut damage = std::mem::take(&mut self.damage);
        damage.intersect_rect(&bounds);
        (!std::mem::take(&mut self.whole)).then_some(damage)
    }
}

/// Counters of one stream; they only grow.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) pictures: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) pointer_only: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) copied_bytes: AtomicU64,
}

/// One stream as both sides know it.
pub(super) struct Shared {
    pub(super) id: u64,
    pub(super) spec: StreamSpec,
    pub(super) commands: Arc<Commands>,
    pub(super) counters: Counters,
    state: Mutex<State>,
    changed: Condvar,
    events: Box<dyn Fn(StreamEvent) + Send + Sync>,
}

impl Shared {
    pub(super) fn new(
        spec: StreamSpec,
        commands: Arc<Commands>,
        events: Box<dyn Fn(StreamEvent) + Send + Sync>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: fresh(),
            spec,
            commands,
            counters: Counters::default(),
            state: Mutex::new(State { whole: true, ..State::default() }),
            changed: Condvar::new(),
            events,
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Tells the stream's owner; never with the state locked.
    pub(super) fn tell(&self, event: StreamEvent) {
        (self.events)(event);
    }

    /// Wakes whoever waits for pictures or for the format.
    pub(super) fn wake(&self, state: &State) {
        if let Some(bell) = &state.bell {
            bell.ring();
        }
        self.changed.notify_all();
    }

    /// The stream cannot go on.
    pub(super) fn lose(&self, reason: &str) {
        let mut state = self.state();
        if state.lost.is_some() {
            return;
        }
        state.lost = Some(reason.to_owned());
        self.wake(&state);
        drop(state);
        self.tell(StreamEvent::Lost(reason.to_owned()));
    }

    /// Waits until the size of the picture is known, at most until `deadline`.
    pub(super) fn wait(&self, deadline: Instant) -> Result<Size, Option<String>> {
        let mut state = self.state();
        loop {
            if let Some(reason) = &state.lost {
                return Err(Some(reason.clone()));
            }
            if let Some(size) = state.size {
                return Ok(size);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(None);
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn counted(&self) -> StreamCounters {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        let c = &self.counters;
        StreamCounters {
            pictures: get(&c.pictures),
            skipped: get(&c.skipped),
            pointer_only: get(&c.pointer_only),
            refused: get(&c.refused),
            copied_bytes: get(&c.copied_bytes),
        }
    }
}

/// Adds to a counter.
pub(super) fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_of_skipped_pictures_is_united_and_silence_means_everything() {
        let bounds = Rect::new(0, 0, 100, 100);
        let mut state = State::default();
        state.add_damage(Some(&Region::from(Rect::new(0, 0, 10, 10))));
        state.add_damage(Some(&Region::from(Rect::new(90, 90, 20, 10))));
        let mut want = Region::from(Rect::new(0, 0, 10, 10));
        want.add(&Rect::new(90, 90, 10, 10));
        assert_eq!(state.take_damage(bounds), Some(want));
        assert_eq!(state.take_damage(bounds), Some(Region::new()), "taken once");
        state.add_damage(None);
        state.add_damage(Some(&Region::from(Rect::new(0, 0, 10, 10))));
        assert_eq!(state.take_damage(bounds), None, "everything");
        assert_eq!(state.take_damage(bounds), Some(Region::new()));
    }

    #[test]
    fn many_rectangles_become_their_box() {
        let mut state = State::default();
        for i in 0..100u16 {
            state.add_damage(Some(&Region::from(Rect::new(2 * i, 3 * i, 1, 1))));
        }
        assert!(state.damage.rects().len() <= MOST_RECTS);
        assert!((0..100).all(|i| state.damage.contains_rect(&Rect::new(2 * i, 3 * i, 1, 1))));
    }
}
