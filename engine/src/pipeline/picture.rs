//! What one client shows of all outputs of its view.

mod collect;
mod film;
mod update;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use collect::for_cells;
pub use film::{Film, FilmWish};
pub use update::{Budget, EncodedUpdate};

use super::encode_blocks::Job;
use super::lanes::INLINE_PX;
use super::output::Subscription;
use super::turns::Turns;
use super::video::{Contexts, Watch};
use super::view::{Pointer, View, ViewOutput};
use crate::encode::Streams;
use crate::geometry::{Point, Rect, Region, Size};

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
    ///
    /// See [`ClientPicture::wait_for_small`] for the time while one is made.
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

pub(super) fn to_canvas(at: Point, rect: &Rect) -> Rect {
    rect.translate(i32::from(at.x), i32::from(at.y))
}
