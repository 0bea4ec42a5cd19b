//! Damage on the CPU: done when `submit` returns. One pass compares and copies; where moves may be found, a look and the search go before it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Instant;

#[cfg(feature = "gpu")]
use farpane_shaders::CELL_WORDS;
use rustix::event::{PollFd, PollFlags, Timespec};

use super::answers::Answers;
use super::compare::{Compare, PARALLEL_PX};
#[cfg(feature = "gpu")]
use super::packed::Packed;
use super::scroll::{Scroll, carry_out};
use super::source::Pixels;
use super::{Damage, DamageEngine, FrameError, Mirror, MirrorData, Progress, Ticket};
use crate::frame::Frame;
use crate::geometry::Rect;
#[cfg(feature = "gpu")]
use crate::gpu::PackedCells;
use crate::tile::Coalesce;

/// What an engine has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DamageStats {
    /// Frames brought into the mirror.
    pub frames: u64,
    /// Frames handed back.
    pub failed: u64,
    /// Pixels compared with the mirror.
    pub compared_px: u64,
    /// Pixels that differed, once what moved had been moved.
    pub changed_px: u64,
    /// Bytes of these pixels in source memory. A search for moves reads some of them again.
    pub source_bytes: u64,
    /// Copies found.
    pub copies: u64,
    /// What a GPU did of it.
    pub gpu: GpuStats,
}

/// What a GPU has done for an engine, and what it did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpuStats {
    /// Frames that it compared.
    pub frames: u64,
    /// Frames that the CPU compared in its place.
    pub cpu_frames: u64,
    /// Changed cells that came back.
    pub cells: u64,
    /// Bytes that came back: changed cells, where they belong and how many they are.
    pub read_bytes: u64,
    /// Frames that it read where their source had put them.
    pub imported: u64,
    /// Bytes put into memory that it reads.
    pub upload_bytes: u64,
}

/// Damage engine that reads linear frames with the CPU.
///
/// A frame without an acquire fence is done when [`DamageEngine::submit`] returns; one with a fence waits in `poll`
/// until that has signalled, and later ones wait behind it.
///
/// The result holds every pixel that differs, and outside these at most what [`Coalesce`] allows.
///
/// Cost: reads each pixel that the frame has inside its hint once, and those that differ in large frames up to three times where moves are
/// wanted; large frames on several cores. Allocates
/// nothing from the second frame of a size on, as long as the reader gives each [`Damage`] back through
/// [`DamageEngine::recycle`]; without that, one small `Vec` a frame.
#[derive(Default)]
pub struct CpuDamage {
    waiting: VecDeque<(Ticket, Frame)>,
    answers: Answers,
    compare: Compare,
    coalesce: Coalesce,
    scroll: Option<Box<Scroll>>,
    #[cfg(feature = "gpu")]
    packed: Packed,
    spare: Vec<Damage>,
    stats: DamageStats,
}

impl CpuDamage {
    /// An engine that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Works off the frames that may be read, oldest first.
    fn advance(&mut self, mirror: &Mirror, now: Instant) {
        while let Some((_, frame)) = self.waiting.front() {
            let result = match readable(frame) {
                Ok(false) => return,
                Ok(true) => self.process(mirror, now),
                Err(error) => Err(error),
            };
            let Some((ticket, frame)) = self.waiting.pop_front() else { return };
            let progress = match result {
                Ok(damage) => {
                    drop(frame);
                    self.stats.frames += 1;
                    Progress::Done(damage)
                }
                Err(error) => {
                    tracing::debug!(seq = frame.seq, %error, "frame refused");
                    self.stats.failed += 1;
                    Progress::Failed(frame)
                }
            };
            self.answers.put(ticket, progress);
        }
    }

    /// Brings the oldest waiting frame into the mirror.
    fn process(&mut self, mirror: &Mirror, now: Instant) -> Result<Damage, FrameError> {
        let mut damage = self.spare.pop().unwrap_or_default();
        damage.clear();
        let mut guard = mirror.write();
        let data = &mut *guard;
        damage.seq = data.seq;
        let Some((_, frame)) = self.waiting.front() else { return Ok(damage) };
        let compared = self.compare.begin(frame, data)?;
        self.stats.compared_px += compared;
        self.stats.source_bytes += compared * 4;
        let pixels = Pixels::of(frame)?;
        let Self { compare, coalesce, scroll, .. } = self;
        let seq = data.seq + 1;
        let changed = match scroll.as_mut().filter(|scroll| scroll.wants(frame, data)) {
            Some(scroll) => {
                let found = &mut damage;
                on_cores(compared, move || {
                    compare.look(&pixels, data);
                    with_moves(&pixels, data, now, compare, coalesce, scroll, found)
                })
            }
            None => {
                let changed = compare.run(&pixels, data);
                mark(data, compare, now, &mut damage.cells);
                coalesce.run(&data.grid, &compare.map, &compare.extents, &mut damage.changed);
                if let Some(scroll) = scroll {
                    scroll.let_by(damage.changed.area());
                }
                changed
            }
        };
        self.stats.changed_px += changed;
        self.stats.copies += damage.copied.len() as u64;
        if !damage.changed.is_empty() || !damage.copied.is_empty() {
            guard.seq = seq;
            damage.seq = seq;
        }
        Ok(damage)
    }

    /// A frame that a GPU has compared went by without a search, and so much had changed.
    #[cfg(feature = "gpu")]
    pub(super) fn let_by(&mut self, changed_px: u64) {
        if let Some(scroll) = &mut self.scroll {
            scroll.let_by(changed_px);
        }
    }

    /// Looks for moves in the cells of a frame that a GPU has found changed and packed, and brings the mirror, which is still without them,
    /// up to date; returns the pixels that differed once what moved had been moved. None, and nothing done, where no search is due.
    #[cfg(feature = "gpu")]
    pub(super) fn search_packed(
        &mut self,
        frame: &Frame,
        cells: PackedCells<'_>,
        data: &mut MirrorData,
        now: Instant,
        found: &mut Damage,
    ) -> Option<u64> {
        let Self { compare, coalesce, scroll, packed, .. } = self;
        let scroll = scroll.as_mut().filter(|scroll| scroll.is_due(&frame.hint, data))?;
        let pixels = packed.list(&data.grid, cells);
        compare.take_over(frame, data, cells.places(), pixels.pieces);
        let px = cells.places().len() as u64 * u64::from(CELL_WORDS);
        Some(on_cores(px, move || with_moves(&pixels, data, now, compare, coalesce, scroll, found)))
    }
}

/// Works where so many pixels are looked at: among the cores when these are many, entered once, so that each step finds them awake.
fn on_cores<R: Send>(px: u64, work: impl FnOnce() -> R + Send) -> R {
    if px >= PARALLEL_PX { rayon::scope(|_| work()) } else { work() }
}

/// After a look: looks for moves, carries them out in the mirror and brings it up to date; returns the pixels that differed then.
fn with_moves(
    frame: &Pixels<'_>,
    data: &mut MirrorData,
    now: Instant,
    compare: &mut Compare,
    coalesce: &mut Coalesce,
    scroll: &mut Scroll,
    damage: &mut Damage,
) -> u64 {
    let Damage { changed, copied, cells, .. } = damage;
    scroll.find(frame, data, compare, coalesce, copied);
    carry_out(&mut data.pixels, data.grid.size().w.into(), copied);
    let mut count = compare.run_rest(frame, data, copied);
    mark(data, compare, now, cells);
    coalesce.run(&data.grid, &compare.map, &compare.extents, changed);
    if copied.is_empty() {
        return count;
    }
    // what was joined may reach over the targets, but what differs there is not known yet
    copied.iter().for_each(|c| changed.subtract_rect(&c.to));
    count += compare.run_targets(frame, data, copied);
    mark(data, compare, now, cells);
    copied.iter().for_each(|c| data.touch(&c.to, data.seq + 1, now));
    if !compare.map.is_empty() {
        coalesce.run(&data.grid, &compare.map, &compare.extents, scroll.buffer());
        changed.union(scroll.buffer());
    }
    count
}

/// Marks the cells that the last pass found changed as of the next sequence, and lists what changed in them.
fn mark(data: &mut MirrorData, compare: &Compare, now: Instant, cells: &mut Vec<Rect>) {
    let seq = data.seq + 1;
    for (col, row) in compare.map.iter() {
        let cell = data.grid.index(col, row);
        data.cell_seq[cell] = seq;
        data.cell_at[cell] = now;
        cells.push(compare.extents[cell].rect(col, row));
    }
}

/// Whether the frame's pixels may be read now.
fn readable(frame: &Frame) -> Result<bool, FrameError> {
    frame.acquire.as_ref().map_or(Ok(true), signalled)
}

/// Whether a fence has signalled.
#[cfg(feature = "gpu")]
pub(super) fn is_readable(fence: &OwnedFd) -> bool {
    signalled(fence).unwrap_or(false)
}

fn signalled(fence: &OwnedFd) -> Result<bool, FrameError> {
    let mut fds = [PollFd::new(fence, PollFlags::IN)];
    match rustix::event::poll(&mut fds, Some(&Timespec::default())) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(false),
        Ok(_) if fds[0].revents().contains(PollFlags::IN) => Ok(true),
        _ => Err(FrameError::Fence),
    }
}

impl DamageEngine for CpuDamage {
    fn submit(&mut self, frame: Frame, mirror: &Mirror, now: Instant) -> Ticket {
        let ticket = self.answers.ticket();
        self.waiting.push_back((ticket, frame));
        self.advance(mirror, now);
        ticket
    }

    fn poll(&mut self, ticket: Ticket, mirror: &Mirror, now: Instant) -> Progress {
        self.advance(mirror, now);
        self.answers.take(ticket)
    }

    fn abandon(&mut self) {
        self.waiting.clear();
        self.answers.clear();
    }

    fn set_scroll(&mut self, on: bool) {
        if on != self.scroll.is_some() {
            self.scroll = on.then(Box::default);
        }
    }

    fn stats(&self) -> DamageStats {
        self.stats
    }

    fn recycle(&mut self, damage: Damage) {
        if self.spare.len() < 4 {
            self.spare.push(damage);
        }
    }
}
