//! One output's pictures.

use std::sync::Arc;
use std::time::Instant;

use super::Monitor;
use super::connect::PATIENCE;
use super::grab::{Grab, Ready, Routed};
use super::shared::{Shared, Slot};
use super::turn::Turn;
use crate::capture::bands::bands;
use crate::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use crate::frame::{Frame, Hint, Memory, Piece, Pool};
use crate::geometry::{Point, Rect, Size};
use crate::pixel::{Fourcc, Modifier};

/// Upright copies of turned pictures: as many frames can be alive at once.
const UPRIGHT: usize = 3;

/// Captures one output.
#[derive(Debug)]
pub struct WaylandSource {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    name: String,
    position: Point,
    size: Size,
    fourcc: Fourcc,
    /// Upright copies of what changed in turned pictures, each as large as the output.
    upright: Pool<u64>,
    parts: Vec<Rect>,
    staged: u64,
    seq: u64,
    /// Until when a first picture has to be there.
    first_by: Option<Instant>,
    waits: bool,
    told: bool,
}

impl WaylandSource {
    pub(super) fn new(shared: Arc<Shared>, monitor: &Monitor) -> Self {
        let mut state = shared.state();
        let output = state.outputs.get(&monitor.id).cloned();
        let mut grab = Grab::new(monitor);
        // it went between the layout and this
        grab.gone = output.is_none();
        let proxy = output.unwrap_or_else(|| wayland_client::Proxy::inert(shared.connection.backend().downgrade()));
        let slot = Arc::new(Slot::new(monitor.id, proxy, grab));
        state.slots.push(Arc::downgrade(&slot));
        drop(state);
        let side = |v: i32| v.clamp(0, i32::from(u16::MAX)) as u16;
        Self {
            shared,
            slot,
            name: monitor.name.clone(),
            position: Point::new(side(monitor.logical.x), side(monitor.logical.y)),
            size: monitor.size,
            fourcc: Fourcc::XRGB8888,
            upright: Pool::new(UPRIGHT),
            parts: Vec::new(),
            staged: 0,
            seq: 0,
            first_by: None,
            waits: false,
            told: false,
        }
    }

    /// The next thing to tell, or none; the errors end the source.
    fn next(&mut self, now: Instant) -> Result<Option<SourceEvent>, SourceError> {
        let slot = Arc::clone(&self.slot);
        let mut grab = slot.grab();
        if grab.gone {
            return Err(SourceError::Gone(format!("output {} is gone", self.name)));
        }
        if let Some(error) = grab.lost.take() {
            return Err(error);
        }
        let Some(ready) = grab.ready.take() else {
            slot.pump(&self.shared, &mut grab);
            if !self.waits && matches!(&grab.routed, Some(Routed::ImageCopy(route)) if route.unanswered()) {
                self.waits = true;
                self.first_by = None;
            }
            let end = *self.first_by.get_or_insert(now + PATIENCE);
            if self.waits && now >= end && grab.making.is_some() {
                grab.leave_dma_bufs(&self.shared, "the compositor says nothing of a buffer");
                self.first_by = Some(now + PATIENCE);
                slot.pump(&self.shared, &mut grab);
                return Ok(None);
            }
            if self.waits && now >= end {
                let limit = PATIENCE.as_secs();
                return Err(SourceError::Gone(format!(
                    "the compositor gives no picture of output {} within {limit} s; is it switched off?",
                    self.name
                )));
            }
            return Ok(None);
        };
        self.waits = false;
        self.fourcc = ready.buffer.form.fourcc;
        if ready.size() != self.size {
            self.size = ready.size();
            grab.ready = Some(ready);
            return Ok(Some(SourceEvent::Resized(self.size)));
        }
        let hint = Grab::hint(&ready);
        let Some((memory, pieces, modifier)) = self.pixels(&ready, &hint) else {
            grab.ready = Some(ready);
            return Ok(None);
        };
        // an upright copy has nothing of the buffer
        let release = (ready.turn == Turn::NONE).then(|| ready.buffer.loan.lend());
        // the next one is asked for when somebody wants it: one that waits for a slow client grows old
        grab.lent(ready.buffer);
        self.seq += 1;
        Ok(Some(SourceEvent::Frame(Frame {
            size: self.size,
            fourcc: self.fourcc,
            modifier,
            pieces,
            memory,
            hint,
            acquire: None,
            seq: self.seq,
            captured_at: now,
            release,
        })))
    }

    /// Where a picture's pixels lie: in the buffer itself, or upright in memory of ours. None while frames hold all of that.
    fn pixels(&mut self, ready: &Ready, hint: &Hint) -> Option<(Memory, Vec<Piece>, Modifier)> {
        let (written, turn) = (ready.buffer.form.size, ready.turn);
        let (buffer, offset, stride, modifier) = ready.buffer.memory();
        if turn == Turn::NONE {
            return Some((buffer, vec![Piece { rect: self.size.rect(), offset, stride }], modifier));
        }
        match hint {
            Hint::Everything => self.parts = vec![self.size.rect()],
            Hint::Only(region) => bands(region, &mut self.parts),
        }
        let (width, seq) = (usize::from(self.size.w), self.seq);
        let (parts, staged) = (&self.parts, &mut self.staged);
        let words = usize::try_from(self.size.area()).ok()?;
        let filled = self.upright.fill(words, |_, out| {
            *staged += parts.iter().map(|part| turn.copy(&buffer, stride, written, part, out)).sum::<u64>();
            seq
        });
        let pieces = self.parts.iter().map(|part| {
            let offset = (usize::from(part.y) * width + usize::from(part.x)) * 4;
            Piece { rect: *part, offset, stride: width * 4 }
        });
        Some((Memory::Heap(filled.ok()?), pieces.collect(), Modifier::LINEAR))
    }
}

impl Source for WaylandSource {
    fn info(&self) -> OutputInfo {
        OutputInfo { name: self.name.clone(), position: self.position, size: self.size, fourcc: self.fourcc }
    }

    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError> {
        if let Some(reason) = self.shared.lost() {
            return Err(SourceError::Gone(reason));
        }
        self.told = false;
        self.waits = true;
        self.first_by = None;
        let mut grab = self.slot.grab();
        grab.start(Arc::clone(&bell));
        self.slot.pump(&self.shared, &mut grab);
        bell.ring();
        Ok(())
    }

    fn stop(&mut self) {
        self.slot.grab().stop();
        self.shared.flush();
        self.upright.clear();
        self.waits = false;
    }

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        self.slot.grab().bell.as_ref()?;
        let error = match self.shared.lost() {
            Some(reason) => SourceError::Gone(reason),
            None => match self.next(now) {
                Ok(event) => {
                    self.told = false;
                    return event;
                }
                Err(error) => self.shared.lost().map_or(error, SourceError::Gone),
            },
        };
        (!std::mem::replace(&mut self.told, true)).then_some(SourceEvent::Lost(error))
    }

    fn unreadable(&mut self) {
        let mut grab = self.slot.grab();
        if grab.wants_dma_bufs(&self.shared) {
            grab.leave_dma_bufs(&self.shared, "a picture in one could be read by nobody");
        }
        // the first picture of a new session is whole
        grab.again = true;
        self.slot.pump(&self.shared, &mut grab);
    }

    fn next_due(&self) -> Option<Instant> {
        self.first_by.filter(|_| self.waits)
    }

    fn staged_bytes(&self) -> u64 {
        self.staged
    }
}

impl Drop for WaylandSource {
    fn drop(&mut self) {
        self.stop();
    }
}
