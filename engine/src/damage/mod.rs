//! Damage: what differs between a frame and the output's last picture, and that picture, the mirror.

mod answers;
mod check;
mod compare;
mod cpu;
pub mod delayed;
#[cfg(feature = "gpu")]
mod gpu;
mod live;
mod mirror;
#[cfg(feature = "gpu")]
mod packed;
mod scroll;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

pub use check::FrameError;
pub use cpu::{CpuDamage, DamageStats, GpuStats};
#[cfg(feature = "gpu")]
pub use gpu::{GpuDamage, Takes};
pub use mirror::{Mirror, MirrorData, MirrorGuard};

use crate::frame::Frame;
use crate::geometry::{Point, Rect, Region};

/// A rectangle of the new picture that stood elsewhere in the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Where it is now.
    pub to: Rect,
    /// Where its top left corner was.
    pub from: Point,
}

impl Copied {
    /// Where it was.
    pub const fn source(&self) -> Rect {
        Rect { x: self.from.x, y: self.from.y, ..self.to }
    }
}

/// What changed between two pictures of one output.
///
/// First the copies, then the pixels: together they hold every pixel that differs. All copies refer to the old picture,
/// and are listed so that carrying them out one after the other, each on the result of the one before, gives the same.
/// They are exact, `new(to + d) == old(from + d)`, but for pixels that the source wrote while it was looked at: those
/// are in `changed` as well. Otherwise `changed` and the targets are disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// The mirror's content sequence once this is in it.
    pub seq: u64,
    /// Pixels that differ once the copies have been carried out.
    pub changed: Region,
    /// Pixels that moved.
    pub copied: Vec<Copied>,
    /// Boxes of the pixels in `changed`, none across two cells, without what `changed` joins for the sake of few rectangles.
    pub cells: Vec<Rect>,
}

impl Damage {
    fn clear(&mut self) {
        self.changed.clear();
        self.copied.clear();
        self.cells.clear();
    }
}

/// Names one submitted frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// How far a submitted frame is.
#[derive(Debug)]
pub enum Progress {
    /// Not done; ask again.
    Pending,
    /// In the mirror; the frame's buffer has been given back.
    Done(Damage),
    /// This engine cannot do it; here is the frame for another.
    Failed(Frame),
}

/// Finds damage and brings the mirror up to date, in two steps, so that a GPU can do it in its own time.
///
/// Up to two tickets may be in flight; they complete in order.
pub trait DamageEngine: Send {
    /// Hands a frame over.
    fn submit(&mut self, frame: Frame, mirror: &Mirror, now: Instant) -> Ticket;

    /// Asks after a ticket. Each is answered with `Done` or `Failed` once.
    fn poll(&mut self, ticket: Ticket, mirror: &Mirror, now: Instant) -> Progress;

    /// Forgets what is in flight: nobody will ask after it, and none of it may reach the mirror any more.
    fn abandon(&mut self);

    /// Whom to tell when a ticket in flight is worth asking after; an engine that is done at once tells nobody.
    fn set_ring(&mut self, ring: Arc<dyn Fn() + Send + Sync>) {
        drop(ring);
    }

    /// Whether anybody can make use of [`Damage::copied`]; without, an engine need not look for moves.
    fn set_scroll(&mut self, wanted: bool) {
        let _ = wanted;
    }

    /// What it has done so far; an engine that does not count says nothing.
    fn stats(&self) -> DamageStats {
        DamageStats::default()
    }

    /// Takes a damage back whose reader is done with it, so that its buffers serve a later frame.
    fn recycle(&mut self, damage: Damage) {
        drop(damage);
    }
}
