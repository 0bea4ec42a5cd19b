//! Damage on the CPU: compare and copy in one pass, done when `submit` returns.

use std::collections::VecDeque;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::compare::Compare;
use super::scroll::Scroll;
use super::{Damage, DamageEngine, FrameError, Mirror, Progress, Ticket};
use crate::frame::Frame;
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
    /// Pixels that differed.
    pub changed_px: u64,
    /// Bytes read from source memory; each at most once a frame and piece.
    pub source_bytes: u64,
    /// Copies found.
    pub copies: u64,
}

/// Damage engine that reads linear frames with the CPU.
///
/// A frame without an acquire fence is done when [`DamageEngine::submit`] returns; one with a fence waits in `poll`
/// until that has signalled, and later ones wait behind it.
///
/// The result holds every pixel that differs, and outside these at most what [`Coalesce`] allows.
///
/// Cost: reads each pixel that the frame has inside its hint once; large frames on several cores. Allocates
/// nothing from the second frame of a size on, as long as the reader gives each [`Damage`] back through
/// [`DamageEngine::recycle`]; without that, one small `Vec` a frame.
#[derive(Default)]
pub struct CpuDamage {
    next: u64,
    waiting: VecDeque<(Ticket, Frame)>,
    answers: VecDeque<(Ticket, Progress)>,
    compare: Compare,
    coalesce: Coalesce,
    scroll: Option<Box<Scroll>>,
    spare: Vec<Damage>,
    stats: DamageStats,
}

impl CpuDamage {
    /// An engine that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What it has done so far.
    pub fn stats(&self) -> DamageStats {
        self.stats
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
            self.answers.push_back((ticket, progress));
        }
    }

    /// Brings the oldest waiting frame into the mirror.
    fn process(&mut self, mirror: &Mirror, now: Instant) -> Result<Damage, FrameError> {
        let mut damage = self.spare.pop().unwrap_or_default();
        damage.changed.clear();
        damage.copied.clear();
        let mut guard = mirror.write();
        let data = &mut *guard;
        damage.seq = data.seq;
        let Some((_, frame)) = self.waiting.front() else { return Ok(damage) };
        let kept = self.scroll.as_mut().and_then(|scroll| scroll.before(frame, data));
        let counted = self.compare.run(frame, data, kept)?;
        self.stats.compared_px += counted.compared;
        self.stats.source_bytes += counted.compared * 4;
        self.stats.changed_px += counted.changed;
        if counted.changed == 0 {
            return Ok(damage);
        }
        data.seq += 1;
        damage.seq = data.seq;
        for (col, row) in self.compare.map.iter() {
            let cell = data.grid.index(col, row);
            data.cell_seq[cell] = data.seq;
            data.cell_at[cell] = now;
        }
        self.coalesce.run(&data.grid, &self.compare.map, &self.compare.extents, &mut damage.changed);
        if let Some(scroll) = &mut self.scroll {
            scroll.find(data, &self.compare.map, &self.compare.extents, &mut damage.changed, &mut damage.copied);
            self.stats.copies += damage.copied.len() as u64;
        }
        Ok(damage)
    }
}

/// Whether the frame's pixels may be read now.
fn readable(frame: &Frame) -> Result<bool, FrameError> {
    let Some(fence) = &frame.acquire else { return Ok(true) };
    let mut fds = [PollFd::new(fence, PollFlags::IN)];
    match rustix::event::poll(&mut fds, Some(&Timespec::default())) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(false),
        Ok(_) if fds[0].revents().contains(PollFlags::IN) => Ok(true),
        _ => Err(FrameError::Fence),
    }
}

impl DamageEngine for CpuDamage {
    fn submit(&mut self, frame: Frame, mirror: &Mirror, now: Instant) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.push_back((ticket, frame));
        self.advance(mirror, now);
        ticket
    }

    fn poll(&mut self, ticket: Ticket, mirror: &Mirror, now: Instant) -> Progress {
        self.advance(mirror, now);
        let answer = self.answers.iter().position(|(t, _)| *t == ticket);
        answer.and_then(|i| self.answers.remove(i)).map_or(Progress::Pending, |(_, progress)| progress)
    }

    fn set_scroll(&mut self, on: bool) {
        if on != self.scroll.is_some() {
            self.scroll = on.then(Box::default);
        }
    }

    fn recycle(&mut self, damage: Damage) {
        if self.spare.len() < 4 {
            self.spare.push(damage);
        }
    }
}
