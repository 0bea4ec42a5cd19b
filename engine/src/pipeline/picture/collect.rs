//! What an update is made of: copies, pending blocks, refreshes, and the gaps between outputs.

use std::time::{Duration, Instant};

use super::super::blocks::{self, Cut};
use super::super::encode_blocks::Job;
use super::super::inbox::move_region;
use super::super::pacer::Small;
use super::super::urgent::urgent;
use super::{Buffers, ClientPicture, EncodedUpdate, to_canvas};
use crate::damage::{Mirror, MirrorData};
use crate::encode::{BLOCK, Params, encode_rect, number};
use crate::geometry::{Rect, Region, Size};
use crate::pixel::Layout;

impl ClientPicture {
    /// Copies (written at once) and pending blocks of one output; unless small changes come [`Small::First`], only those.
    /// Returns whether they leave others behind.
    #[expect(clippy::too_many_arguments, reason = "parts of one step, split for length")]
    pub(super) fn collect(
        &mut self,
        i: usize,
        data: &MirrorData,
        area: &Region,
        cut: Cut,
        small: Small,
        update: &mut EncodedUpdate,
        jobs: &mut Vec<Job>,
    ) -> bool {
        let a = &mut self.attached[i];
        let shown = data.size().rect().intersect(&a.size.rect());
        let mut inbox = a.subscription.subscriber.inbox();
        if std::mem::take(&mut inbox.replaced) {
            a.lossy.clear();
            a.filmed.clear();
        }
        if let Some(first) = inbox.copies.iter().position(|c| {
            let from = Rect::new(c.from.x, c.from.y, c.to.w, c.to.h);
            !area.contains_rect(&to_canvas(a.at, &c.to)) || !shown.contains(&c.to) || !shown.contains(&from)
        }) {
            inbox.give_up_copies(first);
        }
        for c in inbox.copies.drain(..) {
            move_region(&mut a.lossy, &c);
            move_region(&mut a.filmed, &c);
            let to = to_canvas(a.at, &c.to);
            for v in [to.x, to.y, to.w, to.h] {
                update.bytes.extend_from_slice(&v.to_be_bytes());
            }
            update.bytes.extend_from_slice(&number::COPY_RECT.to_be_bytes());
            update.bytes.extend_from_slice(&(c.from.x + a.at.x).to_be_bytes());
            update.bytes.extend_from_slice(&(c.from.y + a.at.y).to_be_bytes());
            update.rects += 1;
        }
        inbox.pending.intersect_rect(&shown);
        let Buffers { ready, wanted, rects, .. } = &mut self.buffers;
        ready.clone_from(&inbox.pending);
        drop(inbox);
        a.restrict(ready, area, &shown, wanted);
        ready.subtract(&a.held);
        rects.clear();
        if small == Small::First {
            blocks::cut(ready, cut.side, rects);
            if cut.joins {
                blocks::join(rects, cut.side);
            }
        } else {
            rects.extend(urgent(ready));
        }
        blocks::order(rects, |r| data.newest(r));
        jobs.extend(rects.iter().map(|&rect| Job { attached: i, rect, exact: false, turn: 0 }));
        small != Small::First && !rects.is_empty() && rects.len() < ready.rects().len()
    }

    /// Blocks of one output that were sent lossy and have been quiet, as far as they are not pending.
    #[expect(clippy::too_many_arguments, reason = "parts of one step, split for length")]
    pub(super) fn collect_refresh(
        &self,
        i: usize,
        data: &MirrorData,
        area: &Region,
        side: u16,
        quiet: Duration,
        now: Instant,
        jobs: &mut Vec<Job>,
    ) {
        let a = &self.attached[i];
        let mut due = Region::new();
        a.for_lossy(data, quiet, |rect, due_at| {
            if due_at <= now && area.overlaps_rect(&a.to_canvas(rect)) {
                due.add(rect);
            }
        });
        due.subtract(&a.subscription.subscriber.inbox().pending);
        let mut rects = Vec::new();
        blocks::cut(&due, side, &mut rects);
        jobs.extend(rects.into_iter().map(|rect| Job { attached: i, rect, exact: true, turn: 0 }));
    }

    pub(super) fn fill_gaps(&mut self, area: &Region, params: &Params, update: &mut EncodedUpdate) {
        if self.gaps.is_empty() {
            return;
        }
        let mut ready = self.gaps.clone();
        ready.intersect(area);
        if ready.is_empty() {
            return;
        }
        let black = Mirror::new(Size::new(BLOCK, BLOCK), Layout::BGRX, Instant::now());
        let black = black.read();
        let mut rects = Vec::new();
        blocks::cut(&ready, BLOCK, &mut rects);
        let mut encoded = Vec::new();
        for r in &rects {
            encoded.clear();
            encode_rect(&black, &r.size().rect(), None, &Params { jpeg: None, ..*params }, &mut encoded);
            for e in &encoded {
                self.streams.write_rect(e, r.origin(), &mut update.bytes);
                update.rects += 1;
            }
        }
        self.gaps.subtract(&ready);
    }
}

/// Leaves the first jobs that have at most so many pixels.
pub(super) fn bounded(jobs: &mut Vec<Job>, mut px: u64) {
    let fits = jobs.iter().take_while(|job| px.checked_sub(job.rect.area()).inspect(|left| px = *left).is_some());
    jobs.truncate(fits.count());
}

/// Calls `f` with the index of each cell that `marks` touch, and the part of them in it.
pub(super) fn for_cells(data: &MirrorData, marks: &Region, mut f: impl FnMut(usize, &Rect)) {
    for r in marks.rects() {
        let (cols, rows) = data.grid.cells(r);
        for row in rows {
            for col in cols.clone() {
                f(data.grid.index(col, row), &data.grid.rect(col, row).intersect(r));
            }
        }
    }
}
