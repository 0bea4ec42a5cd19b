//! An output made smaller, as a source of its own: what changes on it is scaled once for all who look at it at that scale.
//!
//! It subscribes to the output as a client does, so nothing is captured for it that nobody asks for, and scales what is pending out
//! of the output's mirror. INVARIANT: the pixels that it hands out are those of the whole mirror, scaled; how the mirror came to
//! be what it is shows nowhere.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Instant;

use super::output::{Output, Subscription};
use crate::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use crate::damage::MirrorData;
use crate::frame::{Frame, Hint, Memory, Piece, Pool};
use crate::geometry::{Point, Rect, Region, Scale, Size};
use crate::kernel::CpuLevel;
use crate::kernel::downscale::{Axis, Picture, Sums, downscale};
use crate::pixel::{Fourcc, Modifier};

/// Frames that may be alive at once.
const BUFFERS: usize = 3;

/// The source that shows an output smaller than it is.
pub struct ScaledSource {
    base: Weak<Output>,
    name: String,
    scale: Scale,
    /// The base's size and format, as they were last told.
    whole: Size,
    fourcc: Fourcc,
    subscription: Option<Subscription>,
    pending: Region,
    sums: Sums,
    pool: Pool<()>,
    seq: u64,
}

impl ScaledSource {
    /// `base` at this scale, for as long as somebody else keeps `base`.
    pub fn new(base: &Arc<Output>, scale: Scale) -> Self {
        Self {
            base: Arc::downgrade(base),
            name: base.info().name.clone(),
            scale,
            whole: base.size(),
            fourcc: base.info().fourcc,
            subscription: None,
            pending: Region::new(),
            sums: Sums::default(),
            pool: Pool::new(BUFFERS),
            seq: 0,
        }
    }

    /// What is pending, smaller; none when no buffer is free.
    fn frame(&mut self, data: &MirrorData, now: Instant) -> Option<Frame> {
        let size = self.scale.size(self.whole);
        let axes = [Axis::new(self.whole.w, size.w), Axis::new(self.whole.h, size.h)];
        let mut region = Region::new();
        for rect in self.pending.rects() {
            let columns = axes[0].reached(rect.x..rect.right());
            let rows = axes[1].reached(rect.y..rect.bottom());
            region.add(&Rect::from_corners(columns.start, rows.start, columns.end, rows.end));
        }
        let px: u64 = region.rects().iter().map(Rect::area).sum();
        // few sizes, so that buffers serve again
        let words = usize::try_from(px).ok()?.next_power_of_two();
        let mut pieces = Vec::with_capacity(region.rects().len());
        let picture = Picture { pixels: &data.pixels, stride: usize::from(self.whole.w), layout: data.layout };
        let sums = &mut self.sums;
        let memory = self.pool.fill(words, |_, mut rest| {
            let mut offset = 0;
            for rect in region.rects() {
                let (out, later) = std::mem::take(&mut rest).split_at_mut(usize::from(rect.w) * usize::from(rect.h));
                rest = later;
                let (columns, rows) = (rect.x..rect.right(), rect.y..rect.bottom());
                downscale(CpuLevel::current(), picture, axes, columns, rows, sums, out);
                pieces.push(Piece { rect: *rect, offset, stride: usize::from(rect.w) * 4 });
                offset += out.len() * 4;
            }
        });
        self.seq += 1;
        Some(Frame {
            size,
            fourcc: self.fourcc,
            modifier: Modifier::LINEAR,
            pieces,
            memory: Memory::Heap(memory.ok()?),
            hint: Hint::Everything,
            acquire: None,
            seq: self.seq,
            captured_at: now,
            release: None,
        })
    }
}

impl Source for ScaledSource {
    fn info(&self) -> OutputInfo {
        let size = self.scale.size(self.whole);
        OutputInfo { name: self.name.clone(), position: Point::default(), size, fourcc: self.fourcc }
    }

    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError> {
        let base = self.base.upgrade().ok_or_else(|| SourceError::Gone(format!("{} is gone", self.name)))?;
        // it starts with everything pending
        self.subscription = Some(base.subscribe(move || bell.ring()));
        Ok(())
    }

    fn stop(&mut self) {
        self.subscription = None;
        self.pool.clear();
    }

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        let subscription = self.subscription.take()?;
        subscription.set_wants(true);
        let shared = Arc::clone(&subscription.shared);
        let gate = shared.gate.read().unwrap_or_else(PoisonError::into_inner);
        let data = gate.mirror.read();
        let event = if !shared.is_valid() {
            None
        } else if data.size() != self.whole {
            self.whole = data.size();
            Some(SourceEvent::Resized(self.scale.size(self.whole)))
        } else {
            self.fourcc = data.layout.fourcc().unwrap_or(self.fourcc);
            let mut inbox = subscription.subscriber.inbox();
            inbox.give_up_copies(0);
            inbox.replaced = false;
            std::mem::swap(&mut self.pending, &mut inbox.pending);
            inbox.pending.clear();
            drop(inbox);
            let frame = if self.pending.is_empty() { None } else { self.frame(&data, now) };
            if frame.is_none() {
                // no buffer was free: the next time
                subscription.subscriber.inbox().pending.union(&self.pending);
            } else {
                // the next picture is captured when somebody asks for it
                subscription.set_wants(false);
            }
            frame.map(SourceEvent::Frame)
        };
        self.subscription = Some(subscription);
        event
    }
}
