//! The thread of one output: asks the source, has the damage found, tells the subscribers.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::output::{OutputEvent, Shared, layout_of};
use super::stats::Stats;
use super::urgent::MOST_PX;
use super::video::Finder;
use crate::capture::{Source, SourceError, SourceEvent};
use crate::damage::{CpuDamage, Damage, DamageEngine, DamageStats, GpuStats, Mirror, Progress, Ticket};
use crate::geometry::Size;

/// A source that failed is asked again after this long.
const RETRY: Duration = Duration::from_secs(1);

/// How long to wait before asking again after a ticket that is not done: about a fifth of a frame.
const POLL: Duration = Duration::from_millis(2);

/// A damage engine that takes longer than this for a frame has lost it.
const DAMAGE_LIMIT: Duration = Duration::from_secs(1);

/// Frames in flight in the damage engine.
const MAX_TICKETS: usize = 2;

pub(super) struct Worker {
    shared: Arc<Shared>,
    source: Box<dyn Source>,
    damage: Box<dyn DamageEngine>,
    events: Box<dyn Fn(OutputEvent) + Send>,
    tickets: VecDeque<(Ticket, Instant)>,
    /// What the damage engine had done when it was last asked.
    counted: DamageStats,
    /// Looks for films while somebody wants them.
    finder: Option<Finder>,
    started: bool,
    lost: bool,
    retry_at: Option<Instant>,
    backoff: Backoff,
    /// The source answered slowly and is left alone until then.
    rest_until: Option<Instant>,
}

impl Worker {
    pub fn new(
        shared: Arc<Shared>,
        source: Box<dyn Source>,
        damage: Box<dyn DamageEngine>,
        events: Box<dyn Fn(OutputEvent) + Send>,
    ) -> Self {
        let mut damage = damage;
        let bell = Arc::clone(&shared.bell);
        damage.set_ring(Arc::new(move || bell.ring()));
        Self {
            shared,
            source,
            damage,
            events,
            tickets: VecDeque::new(),
            counted: DamageStats::default(),
            finder: None,
            started: false,
            lost: false,
            retry_at: None,
            backoff: Backoff::default(),
            rest_until: None,
        }
    }

    pub fn run(mut self) {
        while !self.shared.stopping.load(Relaxed) {
            let now = Instant::now();
            let deadline = self.step(now);
            if deadline.is_none_or(|t| t > now) {
                self.shared.bell.wait(deadline);
            }
        }
        if self.started {
            self.source.stop();
        }
    }

    /// Does what can be done at `now`; returns when to look again if nobody rings.
    fn step(&mut self, now: Instant) -> Option<Instant> {
        let subscribers = self.shared.live();
        if subscribers.len() < 2 {
            self.shared.cache.clear();
        }
        if subscribers.is_empty() {
            if self.started {
                self.source.stop();
                self.started = false;
                self.forget();
                let stats = &self.shared.stats;
                let [frames, empty_frames, compared_bytes, copied_bytes, staged_bytes] = [
                    &stats.frames,
                    &stats.empty_frames,
                    &stats.compared_bytes,
                    &stats.copied_bytes,
                    &stats.staged_bytes,
                ]
                .map(|count| count.load(Relaxed));
                let gpu = self.damage.stats().gpu;
                if gpu != GpuStats::default() {
                    let GpuStats { frames, cpu_frames, imported, cells, read_bytes, upload_bytes } = gpu;
                    tracing::debug!(
                        frames,
                        cpu_frames,
                        imported,
                        cells,
                        read_bytes,
                        upload_bytes,
                        "compared on the GPU"
                    );
                }
                tracing::debug!(
                    frames,
                    empty_frames,
                    compared_bytes,
                    copied_bytes,
                    staged_bytes,
                    "nobody watches: capture stops"
                );
                // Nobody watches: what the mirror holds grows old from here.
                let _gate = self.shared.gate.write().unwrap_or_else(PoisonError::into_inner);
                self.shared.valid.store(false, Relaxed);
            }
            self.retry_at = None;
            return None;
        }
        if self.retry_at.is_some_and(|t| t > now) {
            return self.retry_at;
        }
        if !self.started {
            match self.source.start(Arc::clone(&self.shared.bell)) {
                Ok(()) => {
                    self.started = true;
                    self.retry_at = None;
                }
                Err(error) => return self.lose(error, now),
            }
        }

        self.collect(now);
        if !self.started {
            return Some(now);
        }
        let demand = subscribers.iter().any(|s| s.wants.load(Relaxed));
        if !demand || self.tickets.len() >= MAX_TICKETS {
            return self.poll_again(now);
        }
        if let Some(rest_until) = self.rest_until.filter(|t| *t > now) {
            return Some(self.poll_again(now).map_or(rest_until, |t| t.min(rest_until)));
        }
        let event = self.source.take(now);
        match event {
            None => match (self.source.next_due(), self.poll_again(now)) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            Some(SourceEvent::Frame(frame)) => {
                let stats = &self.shared.stats;
                Stats::count(&stats.frames, 1);
                let took = now.elapsed();
                stats.capture.add(took);
                stats.staged_bytes.store(self.source.staged_bytes(), Relaxed);
                let fetched = frame.pieces.iter().map(|p| p.rect.area()).sum();
                self.rest_until = Some(now + took + self.backoff.after(fetched, took));
                if self.lost {
                    self.lost = false;
                    (self.events)(OutputEvent::Back);
                }
                self.fit_mirror(frame.size, now);
                self.damage.set_scroll(subscribers.iter().any(|s| s.can_copy.load(Relaxed)));
                let mirror = Arc::clone(&self.gate_read().mirror);
                // The gate is taken first: from here to the publication no client may look at the mirror.
                let shared = Arc::clone(&self.shared);
                let gate = shared.gate.write().unwrap_or_else(PoisonError::into_inner);
                let ticket = self.damage.submit(frame, &mirror, now);
                self.tickets.push_back((ticket, now));
                self.drain(&mirror, now);
                drop(gate);
                self.notify();
                Some(now)
            }
            Some(SourceEvent::Resized(size)) => {
                self.fit_mirror(size, now);
                (self.events)(OutputEvent::Resized(size));
                self.notify();
                Some(now)
            }
            Some(SourceEvent::Lost(error)) => self.lose(error, now),
        }
    }

    fn lose(&mut self, error: SourceError, now: Instant) -> Option<Instant> {
        if self.started {
            self.source.stop();
            self.started = false;
        }
        self.forget();
        if !self.lost {
            self.lost = true;
            (self.events)(OutputEvent::Lost(error));
        }
        self.retry_at = Some(now + RETRY);
        self.retry_at
    }

    /// Leaves what is in flight.
    fn forget(&mut self) {
        if !self.tickets.is_empty() {
            self.tickets.clear();
            self.damage.abandon();
        }
    }

    fn gate_read(&self) -> std::sync::RwLockReadGuard<'_, super::output::Current> {
        self.shared.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_again(&self, now: Instant) -> Option<Instant> {
        (!self.tickets.is_empty()).then(|| now + POLL)
    }

    /// A mirror of the frame's size and format; a new one makes everything pending for everybody.
    fn fit_mirror(&mut self, size: Size, now: Instant) {
        let Ok(layout) = layout_of(&self.source.info()) else { return };
        let fits = |mirror: &Mirror| (mirror.read().size(), mirror.read().layout) == (size, layout);
        if fits(&self.gate_read().mirror) {
            return;
        }
        self.forget();
        let mut gate = self.shared.gate.write().unwrap_or_else(PoisonError::into_inner);
        gate.mirror = Arc::new(Mirror::new(size, layout, now));
        // black until the first frame: nobody is to be sent that
        self.shared.valid.store(false, Relaxed);
        self.finder = None;
        self.shared.films.publish(std::iter::empty());
        gate.epoch += 1;
        for s in self.shared.live() {
            s.inbox().replace(&size.rect());
        }
    }

    /// Asks after tickets in flight, with the gate held.
    fn collect(&mut self, now: Instant) {
        if self.tickets.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let gate = shared.gate.write().unwrap_or_else(PoisonError::into_inner);
        let mirror = Arc::clone(&gate.mirror);
        self.drain(&mirror, now);
        drop(gate);
        self.notify();
    }

    /// Publishes what is done, in order. The caller holds the gate for writing.
    fn drain(&mut self, mirror: &Mirror, now: Instant) {
        self.publish_done(mirror, now);
        let (done, before) = (self.damage.stats(), self.counted);
        let stats = &self.shared.stats;
        Stats::count(&stats.compared_bytes, done.source_bytes.saturating_sub(before.source_bytes));
        Stats::count(&stats.copied_bytes, done.changed_px.saturating_sub(before.changed_px) * 4);
        self.counted = done;
    }

    fn publish_done(&mut self, mirror: &Mirror, now: Instant) {
        while let Some(&(ticket, since)) = self.tickets.front() {
            match self.damage.poll(ticket, mirror, now) {
                Progress::Pending if now.saturating_duration_since(since) < DAMAGE_LIMIT => return,
                Progress::Pending => {
                    // Lost in the engine, and with it what it would have told: the next frame is compared whole.
                    tracing::error!(?ticket, "damage engine gave no answer within {DAMAGE_LIMIT:?}; back to the CPU");
                    self.damage = Box::new(CpuDamage::new());
                    self.counted = DamageStats::default();
                    self.forget();
                    self.source.stop();
                    self.started = false;
                    return;
                }
                Progress::Done(damage) => {
                    self.tickets.pop_front();
                    self.shared.stats.damage.add(since.elapsed());
                    self.source.compared(!damage.changed.is_empty() || !damage.copied.is_empty(), now);
                    self.publish(&damage, mirror, now);
                    self.damage.recycle(damage);
                }
                Progress::Failed(frame) => {
                    self.tickets.pop_front();
                    tracing::warn!(seq = frame.seq, "damage engine refused a frame; the CPU takes over");
                    let mut cpu = CpuDamage::new();
                    let again = cpu.submit(frame, mirror, now);
                    match cpu.poll(again, mirror, now) {
                        Progress::Done(damage) => self.publish(&damage, mirror, now),
                        Progress::Pending | Progress::Failed(_) => {
                            tracing::error!("a frame that cannot be read was dropped");
                            self.source.unreadable();
                        }
                    }
                }
            }
        }
    }

    fn publish(&mut self, damage: &Damage, mirror: &Mirror, now: Instant) {
        self.shared.valid.store(true, Relaxed);
        if damage.changed.is_empty() && damage.copied.is_empty() {
            Stats::count(&self.shared.stats.empty_frames, 1);
            return;
        }
        let subscribers = self.shared.live();
        let small = damage.copied.is_empty() && damage.changed.area() <= MOST_PX;
        for s in &subscribers {
            s.inbox().apply(damage, s.can_copy.load(Relaxed));
            if small {
                s.small_came.store(true, Relaxed);
            }
        }
        let wanted = subscribers.iter().any(|s| s.wants_films.load(Relaxed));
        self.find_films(wanted.then_some(damage), mirror, now);
    }

    /// Takes in what changed, and tells of other regions that move.
    fn find_films(&mut self, damage: Option<&Damage>, mirror: &Mirror, now: Instant) {
        let Some(damage) = damage else {
            if self.finder.take().is_some() {
                self.shared.films.publish(std::iter::empty());
            }
            return;
        };
        let mirror = mirror.read();
        let finder = self.finder.get_or_insert_with(|| Finder::new(mirror.grid, now));
        if finder.record(&damage.cells, now) && finder.look(&mirror) {
            self.shared.films.publish(finder.regions());
        }
    }

    fn notify(&self) {
        for s in self.shared.live() {
            if s.wants.load(Relaxed) && !s.inbox().is_empty() {
                (s.notify)();
            }
        }
    }
}
