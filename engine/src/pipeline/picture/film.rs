//! The films in a client's picture: which it watches, what of them goes with an update, and which pixels wait for one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::lanes::Lanes;
use super::super::output::Shared;
use super::super::video::{Stand, Watch};
use super::{Attached, ClientPicture, EncodedUpdate, to_canvas};
use crate::damage::MirrorData;
use crate::encode::h264::VideoStep;
use crate::geometry::{Rect, Region};

/// A film that has been still for so long is sent exactly, if the client's other lossy pixels are not sooner.
const FILM_QUIET: Duration = Duration::from_millis(500);

/// What a client wants of films.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FilmWish {
    /// The finest quality that it gets.
    pub ceiling: VideoStep,
    /// Bytes a second that its link carries, as far as measured.
    pub link: Option<f64>,
}

/// A moving region that a client watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Film {
    /// Its place on the canvas.
    pub rect: Rect,
    /// It goes as H.264; otherwise its encoder failed, and it goes as everything else does.
    pub is_video: bool,
}

impl ClientPicture {
    /// Whether moving regions go as H.264, and how; the client must have listed Open H.264.
    pub fn set_films(&mut self, wish: Option<FilmWish>) {
        self.films = wish;
        for a in &mut self.attached {
            a.subscription.set_wants_films(wish.is_some());
            if wish.is_none() {
                a.watching.clear();
            }
        }
    }

    /// The films that are shown now.
    pub fn films(&self) -> impl Iterator<Item = Film> + '_ {
        let of =
            |a: &Attached, w: &Watch| Film { rect: a.to_canvas(&w.moving.rect), is_video: w.stand() != Stand::Failed };
        self.attached.iter().flat_map(move |a| a.watching.iter().map(move |w| of(a, w)))
    }

    /// Sends what is ready of output `i`'s films and begins the next pictures; what waits for a picture is left in `held`, in the
    /// output's pixels.
    #[expect(clippy::too_many_arguments, reason = "parts of one step, split for length")]
    pub(super) fn show_films(
        &mut self,
        i: usize,
        data: &MirrorData,
        shared: &Arc<Shared>,
        area: &Region,
        lanes: &Lanes,
        now: Instant,
        update: &mut EncodedUpdate,
    ) {
        let a = &mut self.attached[i];
        a.held.clear();
        let Some(wish) = self.films else { return };
        a.follow_regions(shared, area, wish.ceiling, now);
        let mut begin_anew = false;
        for at in 0..a.watching.len() {
            let w = &mut a.watching[at];
            w.adjust(&shared.films, wish.ceiling);
            let rect = w.moving.rect;
            let place = to_canvas(a.at, &rect);
            let ready = w.write(place, &mut self.contexts, wish.link, now, &mut update.bytes);
            let mut inbox = a.subscription.subscriber.inbox();
            if let Some(taken) = ready {
                update.rects += taken.rects;
                begin_anew |= taken.reset_all;
                inbox.pending.subtract_rect(&rect);
                add_newer(data, &rect, taken.seq, &mut inbox.pending);
                inbox.pending.union(&w.moving.exact);
                a.lossy.add(&rect);
                a.filmed.add(&rect);
                if begin_anew {
                    drop(inbox);
                    let this = w.moving.id;
                    a.watching.iter_mut().filter(|w| w.moving.id != this).for_each(|w| w.next = None);
                }
                continue;
            }
            if !inbox.pending.overlaps_rect(&rect) {
                continue;
            }
            drop(inbox);
            if w.stream.begin(data, w.next, shared, lanes.films(), now) {
                a.held.add(&rect);
                a.held.subtract(&w.moving.exact);
            }
        }
        if begin_anew {
            for (_, other) in self.attached.iter_mut().enumerate().filter(|(other, _)| *other != i) {
                other.watching.iter_mut().for_each(|w| w.next = None);
            }
        }
    }

    /// Every film begins anew: after another list of encodings.
    pub fn restart_all_films(&mut self) {
        self.restart_films(&self.canvas.rect());
    }

    /// What its viewer has of these canvas pixels is not relied on any more: films there begin anew.
    pub(super) fn restart_films(&mut self, rect: &Rect) {
        for a in &mut self.attached {
            let part = a.to_output(rect);
            a.watching.iter_mut().filter(|w| w.moving.rect.overlaps(&part)).for_each(|w| w.next = None);
        }
    }
}

impl Attached {
    /// Watches what moves now and lies in what the client wants to see.
    fn follow_regions(&mut self, shared: &Shared, area: &Region, ceiling: VideoStep, now: Instant) {
        let regions = shared.films.regions();
        self.watching.retain_mut(|w| match regions.iter().find(|m| m.id == w.moving.id) {
            Some(moving) => {
                if moving.exact != w.moving.exact {
                    w.moving.exact.clone_from(&moving.exact);
                }
                true
            }
            None => false,
        });
        if self.watching.is_empty() {
            self.beside.clear();
        }
        for moving in regions.iter() {
            let shown = self.size.rect().contains(&moving.rect) && area.contains_rect(&self.to_canvas(&moving.rect));
            if shown && !self.watching.iter().any(|w| w.moving.id == moving.id) {
                self.watching.push(Watch::new(moving, &shared.films, ceiling, now));
            }
        }
    }

    /// What of its films is ready, and which pixels wait for a picture that is being made.
    pub(super) fn films_now(&self, held: &mut Region) -> bool {
        let mut ready = false;
        for w in &self.watching {
            match w.stand() {
                Stand::Ready => ready = true,
                Stand::Busy => {
                    held.add(&w.moving.rect);
                    held.subtract(&w.moving.exact);
                }
                Stand::Idle | Stand::Failed => {}
            }
        }
        ready
    }

    /// Pixels were sent, approximately or exactly.
    pub(super) fn mark(&mut self, data: &MirrorData, rect: &Rect, lossy: bool, now: Instant) {
        if !lossy {
            return self.lossy.subtract_rect(rect);
        }
        self.lossy.add(rect);
        for w in &self.watching {
            super::for_cells(data, &Region::from(*rect), |cell, part| {
                if data.grid.rect_of(cell).overlaps(&w.moving.rect) && !w.moving.rect.contains(part) {
                    self.beside.insert(cell, now);
                }
            });
        }
    }

    /// Calls `f` with each part that is shown only approximately, and when it will have been quiet for long enough.
    pub(super) fn for_lossy(&self, data: &MirrorData, quiet: Duration, mut f: impl FnMut(&Rect, Instant)) {
        let soon = quiet.min(FILM_QUIET);
        let quiet_of = |rect: &Rect| if self.filmed.overlaps_rect(rect) { soon } else { quiet };
        if self.watching.is_empty() {
            return super::for_cells(data, &self.lossy, |cell, part| f(part, data.cell_at[cell] + quiet_of(part)));
        }
        let mut beside = self.lossy.clone();
        for w in &self.watching {
            beside.subtract_rect(&w.moving.rect);
            // a film is quiet as a whole: what stands still in it would be sent exactly and painted over, again and again
            let mut of_film = self.lossy.clone();
            of_film.intersect_rect(&w.moving.rect);
            let newest = newest_in(data, &w.moving.rect);
            super::for_cells(data, &of_film, |cell, part| f(part, newest.unwrap_or(data.cell_at[cell]) + soon));
        }
        super::for_cells(data, &beside, |cell, part| {
            // in a cell that the film reaches into, its changes are not those of the film
            let film = self.watching.iter().find(|w| w.moving.rect.overlaps(&data.grid.rect_of(cell)));
            let at = film.map(|w| self.beside.get(&cell).map_or(w.since, |at| w.since.max(*at)));
            f(part, at.unwrap_or(data.cell_at[cell]) + quiet_of(part));
        });
    }
}

/// When something in `rect` changed last.
fn newest_in(data: &MirrorData, rect: &Rect) -> Option<Instant> {
    let mut newest = None;
    super::for_cells(data, &Region::from(*rect), |cell, _| newest = newest.max(Some(data.cell_at[cell])));
    newest
}

/// Adds the cells of `rect`, clipped to it, whose content is newer than `seq`.
fn add_newer(data: &MirrorData, rect: &Rect, seq: u64, pending: &mut Region) {
    let (cols, rows) = data.grid.cells(rect);
    for row in rows {
        for col in cols.clone() {
            if data.cell_seq[data.grid.index(col, row)] > seq {
                pending.add(&data.grid.rect(col, row).intersect(rect));
            }
        }
    }
}
