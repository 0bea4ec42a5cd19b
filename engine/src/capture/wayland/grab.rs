//! One output's pictures under way: which buffer is whose, and what of them is new.
//!
//! A source and the reader thread share it under a lock. At most one picture is asked for at a time, and only when the one before was
//! taken and another is wanted:
//!
//! ```text
//! idle buffer --pump--> copying (the compositor writes) --arrived--> ready --take--> lent to a frame --dropped--> idle
//! ```

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wayland_client::protocol::wl_buffer::WlBuffer;

use super::Monitor;
use super::form::Form;
use super::image_copy::ImageCopy;
use super::screencopy::Screencopy;
use super::shared::{Managers, Shared, Slot};
use super::turn::Turn;
use crate::capture::{Doorbell, SourceError};
use crate::frame::{Hint, Mapping};
use crate::geometry::{Rect, Region, Size};

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
    pub(super) memory: Arc<Mapping>,
    pub(super) form: Form,
    /// What changed since this buffer was last written; everything where none.
    pub(super) stale: Option<Region>,
}

impl Buffer {
    pub(super) fn new(shared: &Shared, form: Form) -> Result<Self, SourceError> {
        let len = form.bytes();
        let failed = |source| SourceError::Io { what: format!("{len} bytes of memory for the compositor"), source };
        let size = i32::try_from(len).map_err(|_| failed(std::io::ErrorKind::OutOfMemory.into()))?;
        let (memory, fd) = Mapping::anonymous(len).map_err(failed)?;
        let pool = shared.shm.create_pool(fd.as_fd(), size, &shared.queue, ());
        let (w, h) = (i32::from(form.size.w), i32::from(form.size.h));
        // the stride is at most the bytes of the whole, which fit
        let wl = pool.create_buffer(0, w, h, form.stride as i32, form.format, &shared.queue, ());
        pool.destroy();
        Ok(Self { wl, memory: Arc::new(memory), form, stale: None })
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
        self.fails = 0;
        self.lost = None;
    }

    /// Nobody watches any more: all that was made for it goes.
    pub(super) fn stop(&mut self) {
        self.bell = None;
        self.drop_route();
        self.idle.clear();
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

    /// Takes a buffer of that form for the next picture; false when frames still show all that there may be.
    pub(super) fn pick(&mut self, shared: &Shared, form: Form) -> Result<bool, SourceError> {
        self.idle.retain(|b| b.form == form);
        let free = self.idle.iter().position(|b| Arc::strong_count(&b.memory) == 1);
        let buffer = match free {
            Some(index) => self.idle.remove(index),
            None if self.idle.len() + usize::from(self.ready.is_some()) < MOST => Buffer::new(shared, form)?,
            None => return Ok(false),
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

    /// The picture under way is there; returns its upright size.
    pub(super) fn arrived(&mut self, shared: &Shared, turn: Turn) -> Option<Size> {
        let mut buffer = self.copying.take()?;
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
    pub(super) fn failed(&mut self, why: &str) {
        if let Some(mut buffer) = self.copying.take() {
            buffer.stale = None;
            self.idle.push(buffer);
        }
        self.whole = self.whole.max(1);
        self.fails += 1;
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
        if grab.copying.is_some() || grab.ready.is_some() {
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
    }
}
