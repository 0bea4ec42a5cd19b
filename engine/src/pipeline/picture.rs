//! What one client shows of all outputs of its view, and the encoding of its updates.

mod collect;
mod film;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use collect::{bounded, for_cells};
pub use film::{Film, FilmWish};

use super::blocks::Cut;
use super::encode_blocks::{Job, Place, encode_blocks};
use super::lanes::{INLINE_PX, Lanes};
use super::output::{Current, Shared, Subscription};
use super::pacer::{Grant, Small};
use super::turns::Turns;
use super::urgent::urgent;
use super::video::{Contexts, Watch};
use super::view::{Pointer, View, ViewOutput};
use crate::damage::MirrorData;
use crate::encode::{BLOCK, Codec, Encoded, Params, Streams};
use crate::geometry::{Point, Rect, Region, Size};

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
}

impl From<usize> for Budget {
    fn from(bytes: usize) -> Self {
        Self { bytes, small: Small::First }
    }
}

impl From<Grant> for Budget {
    fn from(grant: Grant) -> Self {
        Self { bytes: grant.bytes, small: grant.small }
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

struct Attached {
    subscription: Subscription,
    at: Point,
    size: Size,
    /// Pixels that the client shows only approximately.
    lossy: Region,
    /// The films that it shows.
    watching: Vec<Watch>,
    /// Of `lossy`, what came from a film.
    filmed: Region,
    /// When something beside a film, in a cell that it reaches into, was last sent lossy.
    beside: HashMap<usize, Instant>,
    /// Pending pixels that wait for a picture of a film that is being made.
    held: Region,
}

/// What one client shows, as far as the server knows, and its compressed streams.
pub struct ClientPicture {
    canvas: Size,
    attached: Vec<Attached>,
    /// Canvas pixels that no output covers and that are to be sent black.
    gaps: Region,
    streams: Streams,
    pointer: Option<Pointer>,
    can_copy: bool,
    films: Option<FilmWish>,
    contexts: Contexts,
    /// Smoothed bytes per pixel of this client's updates: how many blocks fill a budget.
    bytes_per_px: f32,
    /// The update before held small changes alone: what else waits has its turn.
    went_ahead: bool,
    turns: Turns,
    buffers: Buffers,
}

/// Buffers that serve update after update.
#[derive(Default)]
struct Buffers {
    ready: Region,
    wanted: Region,
    rects: Vec<Rect>,
    jobs: Vec<Job>,
}

impl ClientPicture {
    /// A client that shows nothing yet, of no output.
    pub fn new() -> Self {
        Self {
            canvas: Size::default(),
            attached: Vec::new(),
            gaps: Region::new(),
            streams: Streams::new(),
            pointer: None,
            can_copy: false,
            films: None,
            contexts: Contexts::default(),
            bytes_per_px: 0.5,
            went_ahead: false,
            turns: Turns::default(),
            buffers: Buffers::default(),
        }
    }

    /// Shows these outputs from now on; everything becomes pending. `notify` as in [`Output::subscribe`](super::Output::subscribe).
    pub fn set_view(&mut self, view: &View, notify: &Arc<dyn Fn() + Send + Sync>) {
        self.canvas = view.canvas;
        self.gaps = Region::from(view.canvas.rect());
        self.attached.clear();
        self.turns.reset(view.outputs.len());
        for v in &view.outputs {
            let notify = Arc::clone(notify);
            let subscription = v.output.subscribe(move || notify());
            subscription.set_can_copy(self.can_copy && self.pointer.is_none());
            let place = Rect::new(v.at.x, v.at.y, v.size.w, v.size.h);
            self.gaps.subtract_rect(&place);
            subscription.set_wants_films(self.films.is_some());
            self.attached.push(Attached {
                subscription,
                at: v.at,
                size: v.size,
                lossy: Region::new(),
                watching: Vec::new(),
                filmed: Region::new(),
                beside: HashMap::new(),
                held: Region::new(),
            });
        }
    }

    /// Whether it shows these outputs, each at its place already: an output that was replaced by another of the same size is another.
    pub fn shows(&self, outputs: &[ViewOutput]) -> bool {
        let same = |(a, v): (&Attached, &ViewOutput)| {
            Arc::ptr_eq(&a.subscription.shared, &v.output.shared) && (a.at, a.size) == (v.at, v.size)
        };
        self.attached.len() == outputs.len() && self.attached.iter().zip(outputs).all(same)
    }

    /// The canvas that the client was told of.
    pub fn canvas(&self) -> Size {
        self.canvas
    }

    /// Whether the client listed CopyRect.
    pub fn set_can_copy(&mut self, can: bool) {
        self.can_copy = can;
        self.pass_on_copies();
    }

    /// Draws the pointer into the picture from now on, or no longer. Old and new place become pending. While a pointer is
    /// drawn, moved pixels are sent as pixels: a copy would take the pointer along.
    pub fn set_pointer(&mut self, pointer: Option<Pointer>) {
        if self.pointer == pointer {
            return;
        }
        for p in [self.pointer.as_ref(), pointer.as_ref()].into_iter().flatten() {
            let rect = p.rect();
            for a in &self.attached {
                let part = a.to_output(&rect);
                if !part.is_empty() {
                    a.subscription.subscriber.inbox().ask(&part);
                }
            }
        }
        self.pointer = pointer;
        self.pass_on_copies();
    }

    /// The user works at this place of the canvas, or nowhere: its output gets a larger part of what goes to this client.
    pub fn set_focus(&mut self, at: Option<Point>) {
        let under = |at: Point| self.attached.iter().position(|a| a.place().contains_point(at));
        self.turns.set_focus(at.and_then(under));
    }

    fn pass_on_copies(&self) {
        for a in &self.attached {
            a.subscription.set_can_copy(self.can_copy && self.pointer.is_none());
        }
    }

    /// The client asks for these canvas pixels whatever it shows.
    pub fn ask(&mut self, rect: &Rect) {
        let rect = rect.intersect(&self.canvas.rect());
        self.restart_films(&rect);
        let mut gaps = Region::from(rect);
        for a in &self.attached {
            gaps.subtract_rect(&a.place());
            let part = a.to_output(&rect);
            if !part.is_empty() {
                a.subscription.subscriber.inbox().ask(&part);
            }
        }
        self.gaps.union(&gaps);
    }

    /// Everything is to be sent again: after another pixel format.
    pub fn ask_all(&mut self) {
        self.ask(&self.canvas.rect());
    }

    /// Says whether the client can take an update; while no client can, nothing is captured.
    pub fn set_wants(&self, wants: bool) {
        for a in &self.attached {
            a.subscription.set_wants(wants);
        }
    }

    /// Whether something within `area` (canvas pixels) waits to be sent.
    pub fn has_pending(&self, area: &Region) -> bool {
        if self.gaps.rects().iter().any(|g| area.overlaps_rect(g)) {
            return true;
        }
        self.attached.iter().any(|a| {
            if !a.subscription.shared.is_valid() {
                return false;
            }
            let mut held = Region::new();
            if a.films_now(&mut held) {
                return true;
            }
            let inbox = a.subscription.subscriber.inbox();
            let waits = |r: &Rect| area.overlaps_rect(&a.to_canvas(r));
            if inbox.copies.iter().any(|c| waits(&c.to)) {
                return true;
            }
            if held.is_empty() {
                return inbox.pending.rects().iter().any(waits);
            }
            let mut pending = inbox.pending.clone();
            pending.subtract(&held);
            pending.rects().iter().any(waits)
        })
    }

    /// Pixels waiting within `area`: small amounts are worth encoding at once.
    pub fn pending_px(&self, area: &Region) -> u64 {
        let outputs = self.attached.iter().map(|a| {
            let inbox = a.subscription.subscriber.inbox();
            let of = |r: &Rect| area.rects().iter().map(|q| q.intersect(&a.to_canvas(r)).area()).sum::<u64>();
            inbox.pending.rects().iter().map(of).sum::<u64>()
        });
        outputs.sum::<u64>() + self.gaps.area()
    }

    /// Whether an update of `area` is small enough to be encoded on the caller's own thread.
    pub fn is_small(&self, area: &Region) -> bool {
        self.pending_px(area) <= INLINE_PX
    }

    /// When pixels that were sent lossy will have been quiet for `quiet`; none when everything shown is exact.
    ///
    /// Those that are due already become pending by [`ClientPicture::encode`].
    pub fn refresh_at(&self, quiet: Duration) -> Option<Instant> {
        let mut first: Option<Instant> = None;
        for a in &self.attached {
            let current = a.subscription.shared.current();
            let data = current.mirror.read();
            a.for_lossy(&data, quiet, |_, due| {
                first = Some(first.map_or(due, |f| f.min(due)));
            });
        }
        first
    }

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
        let Budget { bytes: budget, mut small } = budget.into();
        let started = Instant::now();
        // an output with nothing to send goes on while this encodes: none of its other clients waits
        let busy = |a: &Attached| a.has_something().then(|| Arc::clone(&a.subscription.shared));
        let shared: Vec<Option<Arc<Shared>>> = self.attached.iter().map(busy).collect();
        let gates = shared.iter().map(|s| Some(s.as_ref()?.gate.read().unwrap_or_else(PoisonError::into_inner)));
        let gates: Vec<_> = gates.collect();
        let mirrors: Vec<_> = gates.iter().map(|g| g.as_ref().map(|g| g.mirror.read())).collect();
        let open = |i: usize| mirrors[i].as_deref().zip(shared[i].as_ref()).filter(|(_, shared)| shared.is_valid());
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
                if let Some((data, shared)) = open(i) {
                    self.show_films(i, data, shared, area, lanes, now, &mut update);
                }
            }
        }
        let film_rects = update.rects;
        for small in [small, Small::First] {
            for i in outputs.clone() {
                if let Some((data, _)) = open(i) {
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
        self.turns.order(&mut all);
        let pending_px: u64 = all.iter().map(|job| job.rect.area()).sum();
        let is_along = pending_px > INLINE_PX || film_rects > 0;
        let is_idle = all.is_empty() && update.rects == 0;
        if small != Small::Only && !more && (is_idle || is_along) {
            let most = if is_along { ALONG_PX } else { u64::MAX };
            for i in outputs {
                if let Some((data, _)) = open(i) {
                    self.collect_refresh(i, data, area, side, quiet, now, &mut all);
                }
            }
            bounded(&mut all, pending_px + most);
        }
        let lane = lanes.lane(all.iter().map(|j| j.rect.area()).sum());
        let mut sent_px = 0u64;
        let mut jobs = &all[..];
        while let Some(first) = jobs.first() {
            let most = if first.exact && is_along { budget / 2 } else { budget };
            if update.bytes.len() >= most {
                break;
            }
            let wave = self.wave(jobs, budget - update.bytes.len());
            let (now_jobs, later) = jobs.split_at(wave);
            jobs = later;
            let results = encode_blocks(now_jobs, &self.places(&gates, &mirrors), self.pointer.as_ref(), params, lane);
            let (mut wave_px, before) = (0u64, update.bytes.len());
            let wire: usize = results.iter().flat_map(|r| r.iter()).map(Encoded::wire_len).sum();
            // beside them at most five headers of streams that begin
            update.bytes.reserve(wire + 16);
            for (job, encoded) in now_jobs.iter().zip(&results) {
                let Some(data) = mirrors[job.attached].as_deref() else { continue };
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
        }
        let left_px: u64 = jobs.iter().filter(|j| !j.exact || !is_along).map(|j| j.rect.area()).sum();
        let left = (left_px as f32 * self.bytes_per_px) as u64;
        update.left_waiting = (sent_px > 0 && !more && small != Small::Only).then_some(left);
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
    fn places<'a, G, M>(&'a self, gates: &[Option<G>], mirrors: &'a [Option<M>]) -> Vec<Option<Place<'a>>>
    where
        G: std::ops::Deref<Target = Current>,
        M: std::ops::Deref<Target = MirrorData>,
    {
        let places = self.attached.iter().zip(gates).zip(mirrors).map(|((a, gate), data)| {
            Some(Place {
                shared: &a.subscription.shared,
                at: a.at,
                data: data.as_deref()?,
                epoch: gate.as_ref()?.epoch,
                sharing: a.subscription.shared.count_clients() > 1,
            })
        });
        places.collect()
    }
}

impl Default for ClientPicture {
    fn default() -> Self {
        Self::new()
    }
}

impl Attached {
    fn place(&self) -> Rect {
        Rect::new(self.at.x, self.at.y, self.size.w, self.size.h)
    }

    /// The part of a canvas rectangle that lies on this output, in the output's own pixels.
    fn to_output(&self, rect: &Rect) -> Rect {
        rect.intersect(&self.place()).translate(-i32::from(self.at.x), -i32::from(self.at.y))
    }

    fn to_canvas(&self, rect: &Rect) -> Rect {
        to_canvas(self.at, rect)
    }

    /// Whether an update may have to hold something of it.
    fn has_something(&self) -> bool {
        let inbox = self.subscription.subscriber.inbox();
        !(inbox.pending.is_empty() && inbox.copies.is_empty() && self.lossy.is_empty() && self.watching.is_empty())
    }

    /// Takes from `ready`, in the output's own pixels, what lies outside of `area` on the canvas or is not `shown`.
    fn restrict(&self, ready: &mut Region, area: &Region, shown: &Rect, buffer: &mut Region) {
        buffer.clone_from(area);
        buffer.intersect_rect(&self.to_canvas(shown));
        buffer.translate(-i32::from(self.at.x), -i32::from(self.at.y));
        ready.intersect(buffer);
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

pub(super) fn to_canvas(at: Point, rect: &Rect) -> Rect {
    rect.translate(i32::from(at.x), i32::from(at.y))
}
