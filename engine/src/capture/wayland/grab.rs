//! One output's pictures under way: which buffer is whose, and what of them is new.
//!
//! A source and the reader thread share it under a lock. At most one picture is asked for at a time, and only when the one before was
//! taken and another is wanted:
//!
//! ```text
//! idle buffer --pump--> copying (the compositor writes) --arrived--> ready --take--> lent to a frame --dropped--> idle
//! ```
//!
//! A buffer of shared memory is there at once; of a dma-buf the compositor is told first, and it is idle when it says that it takes it.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::protocol::wl_shm;

use super::Monitor;
use super::dma_buf::Making;
use super::form::{Form, Kind};
use super::image_copy::ImageCopy;
use super::screencopy::Screencopy;
use super::shared::{Managers, Shared, Slot};
use super::turn::Turn;
use crate::capture::{Doorbell, SourceError};
use crate::frame::{DmaBuf, Hint, Loan, Mapping, Memory};
use crate::geometry::{Rect, Region, Size};
use crate::pixel::Modifier;

/// Buffers of one output: one in turn, and more while frames are held.
const MOST: usize = 3;
/// Tries until pictures that fail are given up for a while.
const TRIES: u32 = 4;
/// Rectangles of damage that are kept apart.
const MAX_RECTS: usize = 64;

/// Memory that the compositor writes to.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) wl: WlBuffer,
    pub(super) form: Form,
    pub(super) pixels: Pixels,
    /// What changed since this buffer was last written; everything where none.
    pub(super) stale: Option<Region>,
    pub(super) loan: Loan,
}

/// Where a buffer's pixels are.
#[derive(Debug)]
pub(super) enum Pixels {
    Shm(Arc<Mapping>),
    DmaBuf(Arc<DmaBuf>, Modifier),
}

impl Buffer {
    pub(super) fn new(wl: WlBuffer, form: Form, pixels: Pixels) -> Self {
        Self { wl, form, pixels, stale: None, loan: Loan::default() }
    }

    /// One of shared memory.
    pub(super) fn shm(shared: &Shared, form: &Form, stride: u32, format: wl_shm::Format) -> Result<Self, SourceError> {
        let len = stride as usize * usize::from(form.size.h);
        let failed = |source| SourceError::Io { what: format!("{len} bytes of memory for the compositor"), source };
        let size = i32::try_from(len).map_err(|_| failed(std::io::ErrorKind::OutOfMemory.into()))?;
        let (memory, fd) = Mapping::anonymous(len).map_err(failed)?;
        let pool = shared.shm.create_pool(fd.as_fd(), size, &shared.queue, ());
        let (w, h) = (i32::from(form.size.w), i32::from(form.size.h));
        // the stride is at most the bytes of the whole, which fit
        let wl = pool.create_buffer(0, w, h, stride as i32, format, &shared.queue, ());
        pool.destroy();
        Ok(Self::new(wl, form.clone(), Pixels::Shm(Arc::new(memory))))
    }

    fn is_dma_buf(&self) -> bool {
        matches!(self.pixels, Pixels::DmaBuf(..))
    }

    /// Its memory, at which byte of that its pixels begin, how far rows are apart, and what form they have.
    pub(super) fn memory(&self) -> (Memory, usize, usize, Modifier) {
        match &self.pixels {
            Pixels::Shm(mapping) => {
                let mapping: Arc<Mapping> = Arc::clone(mapping);
                let stride = match self.form.kind {
                    Kind::Shm { stride, .. } => stride as usize,
                    Kind::DmaBuf(_) => 0,
                };
                (Memory::Shared(mapping), 0, stride, Modifier::LINEAR)
            }
            Pixels::DmaBuf(buffer, modifier) => {
                // what does not fit is refused by whoever reads it
                let place = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
                let (offset, stride) = buffer.planes().first().map_or((0, 0), |p| (place(p.offset), place(p.stride)));
                (Memory::DmaBuf(Arc::clone(buffer)), offset, stride, *modifier)
            }
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.wl.destroy();
    }
}

/// A picture that was not taken yet.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) buffer: Buffer,
    pub(super) turn: Turn,
    /// What changed since the picture before, in the buffer's pixels; everything where none.
    damage: Option<Region>,
}

impl Ready {
    /// The upright picture's size.
    pub(super) fn size(&self) -> Size {
        self.turn.size(self.buffer.form.size)
    }
}

/// The objects of the route that was taken, while somebody watches.
#[derive(Debug)]
pub(super) enum Routed {
    ImageCopy(ImageCopy),
    Screencopy(Screencopy),
}

/// One output's pictures under way.
#[derive(Debug)]
pub(super) struct Grab {
    pub(super) name: String,
    /// Rung when there is something to take; none while nobody watches.
    pub(super) bell: Option<Arc<Doorbell>>,
    pub(super) routed: Option<Routed>,
    idle: Vec<Buffer>,
    /// A dma-buf that the compositor was told of.
    pub(super) making: Option<Making>,
    /// Pictures come through shared memory until the next start, whatever the compositor offers.
    plain: bool,
    pub(super) copying: Option<Buffer>,
    pub(super) ready: Option<Ready>,
    /// Told of the picture under way.
    damage: Region,
    /// Pictures from here on whose damage does not follow on what was handed out.
    whole: u8,
    /// How the output is turned.
    pub(super) turn: Turn,
    /// The size that the compositor, or its last picture, says.
    size: Size,
    /// The route's objects have to be made anew.
    pub(super) again: bool,
    fails: u32,
    /// The output is no longer there.
    pub(super) gone: bool,
    /// Why nothing comes.
    pub(super) lost: Option<SourceError>,
}

impl Grab {
    pub(super) fn new(monitor: &Monitor) -> Self {
        Self {
            name: monitor.name.clone(),
            bell: None,
            routed: None,
            idle: Vec::new(),
            making: None,
            plain: false,
            copying: None,
            ready: None,
            damage: Region::new(),
            whole: 0,
            turn: Turn::of(monitor.transform),
            size: monitor.size,
            again: false,
            fails: 0,
            gone: false,
            lost: None,
        }
    }

    pub(super) fn ring(&self) {
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }

    /// Somebody watches from now on.
    pub(super) fn start(&mut self, bell: Arc<Doorbell>) {
        self.stop();
        self.bell = Some(bell);
        self.again = true;
        self.plain = false;
        self.fails = 0;
        self.lost = None;
    }

    /// Nobody watches any more: all that was made for it goes.
    pub(super) fn stop(&mut self) {
        self.bell = None;
        self.drop_route();
        self.making = None;
        self.idle.clear();
    }

    /// Whether dma-bufs may be asked for: pictures that have to be turned are turned by the processor.
    pub(super) fn wants_dma_bufs(&self, shared: &Shared) -> bool {
        shared.dmabuf.is_some() && !self.plain && self.turn == Turn::NONE
    }

    /// Has pictures come through shared memory from now on.
    pub(super) fn leave_dma_bufs(&mut self, shared: &Shared, why: &str) {
        tracing::info!(output = self.name, why, "no dma-bufs: pictures come through shared memory");
        self.plain = true;
        self.making = None;
        // a picture that was asked for may have been counted as shown
        self.again = true;
        shared.dmabuf_told.store(true, Ordering::Relaxed);
    }

    /// The compositor takes a buffer.
    pub(super) fn made(&mut self, buffer: Buffer) {
        self.idle.push(buffer);
    }

    fn drop_route(&mut self) {
        match self.routed.take() {
            Some(Routed::Screencopy(route)) => route.destroy(),
            Some(Routed::ImageCopy(route)) => route.destroy(),
            None => {}
        }
        // what the compositor wrote there is anybody's guess
        self.copying = None;
        self.ready = None;
    }

    /// What the compositor says of the output by now; none when it is gone.
    pub(super) fn layout(&mut self, monitor: Option<&Monitor>) {
        let Some(monitor) = monitor else {
            self.gone = true;
            return self.ring();
        };
        self.gone = false;
        let (turn, size) = (Turn::of(monitor.transform), monitor.size);
        // pictures may have been made the new way before this was told, and what is under way may never come
        self.again |= turn != std::mem::replace(&mut self.turn, turn);
        self.again |= size != std::mem::replace(&mut self.size, size);
    }

    /// Takes a buffer of that form for the next picture; false when frames still show all that there may be, or the compositor is
    /// told of one first.
    pub(super) fn pick(&mut self, slot: &Arc<Slot>, shared: &Shared, form: &Form) -> Result<bool, SourceError> {
        self.idle.retain(|b| b.form == *form);
        let free = self.idle.iter().position(|b| b.loan.is_free());
        let room = self.idle.len() + usize::from(self.ready.is_some()) < MOST && self.making.is_none();
        let buffer = match (free, &form.kind) {
            (Some(index), _) => self.idle.remove(index),
            (None, _) if !room => return Ok(false),
            (None, Kind::Shm { stride, format }) => Buffer::shm(shared, form, *stride, *format)?,
            (None, Kind::DmaBuf(among)) => {
                match Making::new(&Arc::downgrade(slot), shared, form, among) {
                    Ok(making) => self.making = Some(making),
                    Err(why) => self.leave_dma_bufs(shared, &why),
                }
                return Ok(false);
            }
        };
        self.damage.clear();
        self.copying = Some(buffer);
        Ok(true)
    }

    /// The compositor told where the picture under way is new. What lies outside of it is left out.
    pub(super) fn damaged(&mut self, [x, y, w, h]: [i64; 4]) {
        let Some(buffer) = &self.copying else { return };
        let size = buffer.form.size;
        let edge = |v: i64, most: u16| v.clamp(0, i64::from(most)) as u16;
        let (right, bottom) = (x.saturating_add(w), y.saturating_add(h));
        let part = Rect::from_corners(edge(x, size.w), edge(y, size.h), edge(right, size.w), edge(bottom, size.h));
        if !part.is_empty() {
            self.damage.add(&part);
            if self.damage.rects().len() > MAX_RECTS {
                self.damage = Region::from(self.damage.bounds());
            }
        }
    }

    /// The picture under way is there; returns its upright size, or none when it is of no use.
    pub(super) fn arrived(&mut self, shared: &Shared, turn: Turn) -> Option<Size> {
        let mut buffer = self.copying.take()?;
        if buffer.is_dma_buf() && turn != Turn::NONE {
            self.leave_dma_bufs(shared, "the picture is turned");
            return None;
        }
        shared.pictures.fetch_add(1, Ordering::Relaxed);
        // a picture that came although nothing changed is not believed
        let damage = Some(std::mem::take(&mut self.damage)).filter(|d| !d.is_empty());
        for other in &mut self.idle {
            match (&damage, &mut other.stale) {
                (Some(damage), Some(stale)) => stale.union(damage),
                (_, stale) => *stale = None,
            }
        }
        buffer.stale = Some(Region::new());
        let damage = damage.filter(|_| self.whole == 0);
        self.whole = self.whole.saturating_sub(1);
        self.fails = 0;
        let ready = Ready { buffer, turn, damage };
        let size = ready.size();
        self.size = size;
        self.ready = Some(ready);
        self.ring();
        Some(size)
    }

    /// The picture under way came to nothing.
    pub(super) fn failed(&mut self, shared: &Shared, why: &str) {
        let drawn = self.copying.as_ref().is_some_and(Buffer::is_dma_buf);
        if let Some(mut buffer) = self.copying.take() {
            buffer.stale = None;
            self.idle.push(buffer);
        }
        self.whole = self.whole.max(1);
        self.fails += 1;
        if drawn && self.fails >= TRIES / 2 {
            return self.leave_dma_bufs(shared, why);
        }
        if self.fails >= TRIES {
            self.give_up(SourceError::Gone(format!(
                "the compositor refuses to show output {} ({why}); is it switched off or locked?",
                self.name
            )));
        }
    }

    /// Nothing will come; why.
    pub(super) fn give_up(&mut self, why: SourceError) {
        self.lost = Some(why);
        self.ring();
    }

    /// What changed since the frame that was handed out before, upright.
    pub(super) fn hint(ready: &Ready) -> Hint {
        match &ready.damage {
            None => Hint::Everything,
            Some(damage) => Hint::Only(ready.turn.upright_region(damage, ready.buffer.form.size)),
        }
    }

    /// A frame shows the buffer now.
    pub(super) fn lent(&mut self, buffer: Buffer) {
        self.idle.push(buffer);
    }
}

impl Slot {
    /// Asks for the next picture, if somebody watches, none is under way and none waits.
    pub(super) fn pump(self: &Arc<Self>, shared: &Shared, grab: &mut Grab) {
        if grab.bell.is_none() || grab.lost.is_some() || grab.gone {
            return;
        }
        if std::mem::take(&mut grab.again) {
            grab.drop_route();
            let routed = match &shared.route {
                Managers::ImageCopy { capture, sources } => {
                    grab.whole = 1;
                    ImageCopy::new(self, shared, capture, sources).map(Routed::ImageCopy)
                }
                Managers::Screencopy { registry, global, version } => {
                    // a new manager counts everything as damage once more
                    grab.whole = 2;
                    Some(Routed::Screencopy(Screencopy::new(shared, registry, *global, *version)))
                }
            };
            if routed.is_none() {
                return grab.layout(None);
            }
            grab.routed = routed;
        }
        let awaited = grab.making.is_some() && !grab.idle.iter().any(|b| b.loan.is_free());
        if grab.copying.is_some() || grab.ready.is_some() || awaited {
            return;
        }
        match grab.routed.take() {
            Some(Routed::Screencopy(mut route)) => {
                route.ask(self, shared);
                grab.routed = Some(Routed::Screencopy(route));
            }
            Some(Routed::ImageCopy(mut route)) => {
                let asked = route.ask(self, shared, grab);
                grab.routed = Some(Routed::ImageCopy(route));
                if let Err(error) = asked {
                    grab.give_up(error);
                }
            }
            None => {}
        }
        shared.flush();
        if grab.again {
            self.pump(shared, grab);
        }
    }
}
