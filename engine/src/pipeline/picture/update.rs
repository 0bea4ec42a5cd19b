//! The encoding of one client's updates: what of which output, in which order, and how much at once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLockReadGuard};
use std::time::{Duration, Instant};

use super::super::blocks::Cut;
use super::super::encode_blocks::{Job, Place, encode_blocks};
use super::super::lanes::{INLINE_PX, Lanes, QUICK_PX};
use super::super::output::{Current, Shared};
use super::super::pacer::{Grant, Small};
use super::super::urgent::urgent;
use super::collect::bounded;
use super::{Attached, Buffers, ClientPicture};
use crate::damage::{MirrorData, MirrorGuard};
use crate::encode::{BLOCK, Codec, Encoded, Params};
use crate::geometry::Region;

/// Below this budget in bytes blocks are half as wide and high or smaller: an update may exceed its budget by one block.
const SMALL_BUDGET: usize = 512 * 1024;

/// While much changes all the time, so many pixels of those that were sent lossy and are quiet go along with an update, as far as they leave
/// half its budget free.
const ALONG_PX: u64 = 256 * 256;

/// How much an update may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Encoded bytes, about, at most.
    pub bytes: usize,
    /// What small changes get of it.
    pub small: Small,
    /// Ends early when something small comes meanwhile, so that this need not wait for the end of what is large.
    pub yields: bool,
}

impl From<usize> for Budget {
    fn from(bytes: usize) -> Self {
        Self { bytes, small: Small::First, yields: false }
    }
}

impl From<Grant> for Budget {
    fn from(grant: Grant) -> Self {
        Self { bytes: grant.bytes, small: grant.small, yields: false }
    }
}

/// Rectangles of one update, ready for the wire behind a FramebufferUpdate header.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EncodedUpdate {
    /// How many rectangles.
    pub rects: u16,
    /// Their bytes.
    pub bytes: Vec<u8>,
    /// About how many bytes the pixels will take that were ready and had to be left for the next update; none where that says
    /// nothing of the link, because small changes went alone.
    pub left_waiting: Option<u64>,
}

/// The outputs that an update takes something of: each waits with its next frame until it is let go.
struct Locks<'a> {
    shared: &'a [Option<Arc<Shared>>],
    current: &'a [Option<Current>],
    gates: Vec<Option<RwLockReadGuard<'a, Current>>>,
    mirrors: Vec<Option<MirrorGuard<'a>>>,
}

impl Locks<'_> {
    /// An output that has a picture.
    fn open(&self, i: usize) -> Option<(&MirrorData, &Arc<Shared>)> {
        let open = self.mirrors[i].as_deref().zip(self.shared[i].as_ref());
        open.filter(|(_, shared)| shared.is_valid())
    }

    /// Lets go of outputs that none of these is of.
    fn keep(&mut self, jobs: &[Job]) {
        for i in 0..self.mirrors.len() {
            if self.mirrors[i].is_some() && !jobs.iter().any(|job| job.attached == i) {
                self.mirrors[i] = None;
                self.gates[i] = None;
            }
        }
    }
}

impl ClientPicture {
    /// Whether [`ClientPicture::encode`] with this would send small changes alone. Those are few enough to be encoded on the
    /// caller's own thread.
    pub fn goes_ahead(&mut self, area: &Region, small: Small) -> bool {
        if small == Small::First || (small == Small::Ahead && self.went_ahead) {
            return false;
        }
        let Buffers { ready, wanted, .. } = &mut self.buffers;
        self.attached.iter().any(|a| {
            ready.clone_from(&a.subscription.subscriber.inbox().pending);
            a.restrict(ready, area, &a.size.rect(), wanted);
            a.subscription.shared.is_valid() && urgent(ready).next().is_some()
        })
    }

    /// What is wanted while an update is made: nothing, or what happens on outputs of which that holds nothing, because the user has just
    /// done something.
    pub fn wait_for_small(&self, wants: bool) {
        for a in &self.attached {
            a.subscription.set_wants(wants && !a.has_something());
        }
    }

    /// Encodes an update of what is pending within `area`, of about `budget` at most; the rest stays pending.
    ///
    /// Lossy pixels that have been quiet since before `now - quiet` are sent again exactly once nothing else waits. Returns no
    /// rectangles when nothing is pending. Takes the read side of each output's gate: not to be called from a worker of `lanes`.
    ///
    /// Cost: two allocations a rectangle, its bytes and the list it is in (Tight about four); besides these at most 16 for an
    /// update of one output. `tests/allocations.rs` counts.
    pub fn encode(
        &mut self,
        area: &Region,
        budget: impl Into<Budget>,
        params: &Params,
        quiet: Duration,
        lanes: &Lanes,
        now: Instant,
    ) -> EncodedUpdate {
        let Budget { bytes: budget, mut small, yields } = budget.into();
        let started = Instant::now();
        for a in &self.attached {
            a.subscription.subscriber.small_came.store(false, Relaxed);
        }
        // an output with nothing to send goes on while this encodes: none of its other clients waits
        let busy = |a: &Attached| a.has_something().then(|| Arc::clone(&a.subscription.shared));
        let shared: Vec<Option<Arc<Shared>>> = self.attached.iter().map(busy).collect();
        let gates = shared.iter().map(|s| Some(s.as_ref()?.gate.read().unwrap_or_else(PoisonError::into_inner)));
        let gates: Vec<_> = gates.collect();
        let current: Vec<Option<Current>> = gates.iter().map(|g| g.as_deref().cloned()).collect();
        let mirrors = current.iter().map(|c| c.as_ref().map(|c| c.mirror.read())).collect();
        let mut locks = Locks { shared: &shared, current: &current, gates, mirrors };
        let outputs = 0..self.attached.len();

        let side = block_side(budget, self.bytes_per_px);
        // without JPEG larger pieces cost a film more bytes than they save: 7 % in Tight
        let joins = params.jpeg.is_some() && matches!(params.codec, Codec::Tight | Codec::TightZstd);
        let cut = Cut { side, joins };
        let mut update = EncodedUpdate::default();
        let mut all = std::mem::take(&mut self.buffers.jobs);
        all.clear();
        if small == Small::Ahead && self.went_ahead {
            small = Small::First;
        }
        let mut more = false;
        if small != Small::Only {
            for i in outputs.clone() {
                if let Some((data, shared)) = locks.open(i) {
                    self.show_films(i, data, shared, area, lanes, now, &mut update);
                }
            }
        }
        let film_rects = update.rects;
        for small in [small, Small::First] {
            for i in outputs.clone() {
                if let Some((data, _)) = locks.open(i) {
                    more |= self.collect(i, data, area, cut, small, &mut update, &mut all);
                }
            }
            if !all.is_empty() || small != Small::Ahead {
                break;
            }
        }
        if small != Small::Only {
            self.went_ahead = more;
            self.fill_gaps(area, params, &mut update);
        }
        let few = self.turns.order(&mut all);
        let pending_px: u64 = all.iter().map(|job| job.rect.area()).sum();
        let is_along = pending_px > INLINE_PX || film_rects > 0;
        let is_idle = all.is_empty() && update.rects == 0;
        if small != Small::Only && !more && (is_idle || is_along) {
            let most = if is_along { ALONG_PX } else { u64::MAX };
            for i in outputs {
                if let Some((data, _)) = locks.open(i) {
                    self.collect_refresh(i, data, area, side, quiet, now, &mut all);
                }
            }
            bounded(&mut all, pending_px + most);
        }
        let mut jobs = &all[..];
        let (mut sent_px, mut left_px) = (0, 0);
        let begun = AtomicU64::new(0);
        while let Some(first) = jobs.first() {
            locks.keep(jobs);
            let most = if first.exact && is_along { budget / 2 } else { budget };
            if update.bytes.len() >= most {
                break;
            }
            let mut wave = self.wave(jobs, budget - update.bytes.len());
            if jobs.len() == all.len() && few > 0 {
                // their outputs need not wait for the others
                wave = wave.min(few);
            }
            let (now_jobs, later) = jobs.split_at(wave);
            jobs = later;
            let goes = |job: &Job| {
                let came = |a: &Attached| a.subscription.subscriber.small_came.load(Relaxed);
                begun.fetch_add(job.rect.area(), Relaxed) < QUICK_PX || !yields || !self.attached.iter().any(came)
            };
            let lane = lanes.lane(now_jobs.iter().map(|j| j.rect.area()).sum());
            let results = encode_blocks(now_jobs, &self.places(&locks), self.pointer.as_ref(), params, lane, &goes);
            let (mut wave_px, before) = (0u64, update.bytes.len());
            let wire: usize = results.iter().flatten().flat_map(|r| r.iter()).map(Encoded::wire_len).sum();
            // beside them at most five headers of streams that begin
            update.bytes.reserve(wire + 16);
            let mut ends = false;
            for (job, encoded) in now_jobs.iter().zip(&results) {
                let Some(data) = locks.mirrors[job.attached].as_deref() else { continue };
                let Some(encoded) = encoded else {
                    left_px += job.rect.area();
                    ends = true;
                    continue;
                };
                self.turns.sent(job);
                let a = &mut self.attached[job.attached];
                a.subscription.subscriber.inbox().pending.subtract_rect(&job.rect);
                wave_px += job.rect.area();
                for e in encoded.iter() {
                    a.mark(data, &e.rect, e.lossy, now);
                    self.streams.write_rect(e, a.at, &mut update.bytes);
                    update.rects += 1;
                }
            }
            if wave_px >= 4096 {
                let bpp = (update.bytes.len() - before) as f32 / wave_px as f32;
                // more than expected counts at once, less only by and by: budgets are bounds
                let weight = if bpp > self.bytes_per_px { 1.0 } else { 0.3 };
                self.bytes_per_px += (bpp - self.bytes_per_px) * weight;
            }
            sent_px += wave_px;
            if ends {
                break;
            }
        }
        let is_whole = left_px == 0 && !more && small != Small::Only;
        left_px += jobs.iter().filter(|j| !j.exact || !is_along).map(|j| j.rect.area()).sum::<u64>();
        let left = (left_px as f32 * self.bytes_per_px) as u64;
        update.left_waiting = (sent_px > 0 && is_whole).then_some(left);
        if let Some(output) = all.first().filter(|_| sent_px > 0).and_then(|job| shared[job.attached].as_ref()) {
            output.stats.encode.add(started.elapsed());
        }
        self.buffers.jobs = all;
        update
    }

    /// How many of the first jobs are expected to fill `bytes`; at least one. Expects no miracles: what was flat may be noise
    /// now, and the next wave fills what is left.
    fn wave(&self, jobs: &[Job], bytes: usize) -> usize {
        let least = if bytes < SMALL_BUDGET { 2.0 } else { 0.5 };
        let mut px = bytes as f32 / self.bytes_per_px.max(least);
        let fits = jobs.iter().take_while(|j| {
            px -= j.rect.area() as f32;
            px >= 0.0
        });
        fits.count().max(1)
    }

    /// What encoding needs to know of each output.
    fn places<'a>(&'a self, locks: &'a Locks<'_>) -> Vec<Option<Place<'a>>> {
        let places = self.attached.iter().enumerate().map(|(i, a)| {
            Some(Place {
                shared: &a.subscription.shared,
                at: a.at,
                data: locks.mirrors[i].as_deref()?,
                epoch: locks.current[i].as_ref()?.epoch,
                sharing: a.subscription.shared.count_clients() > 1,
            })
        });
        places.collect()
    }
}

/// The side of the blocks that pending pixels are cut into: so small that one of them hardly fills the budget.
fn block_side(budget: usize, bytes_per_px: f32) -> u16 {
    let half = f32::from(BLOCK / 2).powi(2) * bytes_per_px;
    match budget {
        SMALL_BUDGET.. => BLOCK,
        _ if half * 2.0 <= budget as f32 => BLOCK / 2,
        _ => BLOCK / 4,
    }
}
