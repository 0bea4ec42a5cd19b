//! What a display, its reader thread and its sources have in common.
//!
//! Locks are taken in the order state, then output; neither is held while a callback runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::xproto::{self, ClientMessageEvent, EventMask};
use x11rb::protocol::{ErrorKind, damage, xfixes};
use x11rb::rust_connection::RustConnection;

use super::framebuffer::Framebuffer;
use super::{Fetch, Monitor, X11Error, monitors};
use crate::capture::Doorbell;
use crate::frame::CursorImage;
use crate::geometry::{Point, Rect, Region, Size};
use crate::pixel::Fourcc;

/// One connection and what is known of its screen.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) connection: Arc<RustConnection>,
    pub(super) root: u32,
    /// The server's region that damage is moved to.
    pub(super) region: u32,
    /// The window whose messages wake the reader.
    pub(super) wake: u32,
    pub(super) fourcc: Fourcc,
    pub(super) randr: bool,
    pub(super) framebuffer: Option<Framebuffer>,
    pub(super) shm: AtomicBool,
    pub(super) fetched: AtomicU64,
    /// The server has damage that was not asked for yet.
    pub(super) dirty: AtomicBool,
    pub(super) closing: AtomicBool,
    pub(super) lost: Mutex<Option<String>>,
    pub(super) cursor: Mutex<Option<Arc<CursorImage>>>,
    pub(super) state: Mutex<State>,
}

/// What changes with the layout and with who watches.
#[derive(Debug)]
pub(super) struct State {
    pub(super) size: Size,
    pub(super) monitors: Vec<Monitor>,
    pub(super) outputs: Vec<Weak<Output>>,
    /// Started sources.
    pub(super) watching: u32,
    /// The damage object, while somebody watches.
    pub(super) damage: Option<u32>,
}

/// What a source and the rest have in common.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) state: Mutex<OutputState>,
}

/// One output's part of what happens.
#[derive(Debug)]
pub(super) struct OutputState {
    pub(super) name: String,
    pub(super) place: Rect,
    pub(super) bell: Option<Arc<Doorbell>>,
    /// Damage of this output, in its own pixels.
    pub(super) pending: Region,
    /// Everything has to be fetched.
    pub(super) whole: bool,
    pub(super) resized: bool,
    /// The monitor is no longer there.
    pub(super) gone: bool,
}

impl OutputState {
    fn ring(&self) {
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Output {
    pub(super) fn state(&self) -> MutexGuard<'_, OutputState> {
        locked(&self.state)
    }
}

impl State {
    fn each(&mut self, mut f: impl FnMut(&mut OutputState)) {
        self.outputs.retain(|o| o.upgrade().map(|o| f(&mut o.state())).is_some());
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    pub(super) fn fetch(&self) -> Fetch {
        match (&self.framebuffer, self.shm.load(Ordering::Relaxed)) {
            (Some(_), _) => Fetch::Framebuffer,
            (None, true) => Fetch::Shm,
            (None, false) => Fetch::Plain,
        }
    }

    /// Why the connection is gone, if it is.
    pub(super) fn lost(&self) -> Option<String> {
        locked(&self.lost).clone()
    }

    /// Notes that the connection is gone and tells every source. Returns whether that is news.
    pub(super) fn lose(&self, reason: &str) -> bool {
        let news = locked(&self.lost).is_none();
        if news {
            *locked(&self.lost) = Some(reason.to_owned());
            self.ring_all();
        }
        news
    }

    pub(super) fn ring_all(&self) {
        self.state().each(|o| o.ring());
    }

    /// One more source watches: the first one makes the damage object.
    pub(super) fn watch(&self) -> Result<(), X11Error> {
        let mut state = self.state();
        if state.damage.is_none() {
            let id = self.connection.generate_id()?;
            damage::create(&*self.connection, id, self.root, damage::ReportLevel::NON_EMPTY)?.check()?;
            // A new damage object may begin with the whole window in it, and with its event sent.
            self.dirty.store(true, Ordering::Release);
            state.damage = Some(id);
        }
        state.watching += 1;
        Ok(())
    }

    /// One source less: the last one takes the damage object with it.
    pub(super) fn unwatch(&self) {
        let mut state = self.state();
        state.watching = state.watching.saturating_sub(1);
        if state.watching == 0
            && let Some(id) = state.damage.take()
        {
            // Errors mean that the connection is gone, and the damage object with it.
            let _ = damage::destroy(&*self.connection, id).map(|cookie| cookie.ignore_error());
            let _ = self.connection.flush();
            self.dirty.store(false, Ordering::Release);
        }
    }

    /// Asks where the screen was damaged and hands each watching source its share. One round trip, and only when there is damage.
    pub(super) fn harvest(&self, asking: &Arc<Output>) -> Result<(), X11Error> {
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let mut state = self.state();
        let Some(id) = state.damage else { return Ok(()) };
        let c = &*self.connection;
        damage::subtract(c, id, x11rb::NONE, self.region)?;
        let found = xfixes::fetch_region(c, self.region)?.reply()?;
        let bounds = state.size.rect();
        let mut region = Region::new();
        for r in &found.rectangles {
            region.add(&monitors::clipped(r.x, r.y, r.width, r.height, bounds));
        }
        for output in state.outputs.iter().filter_map(Weak::upgrade) {
            let mut o = output.state();
            if o.bell.is_none() || !region.overlaps_rect(&o.place) {
                continue;
            }
            let mut share = region.clone();
            share.intersect_rect(&o.place);
            share.translate(-i32::from(o.place.x), -i32::from(o.place.y));
            o.pending.union(&share);
            if !Arc::ptr_eq(&output, asking) {
                o.ring();
            }
        }
        state.outputs.retain(|o| o.strong_count() > 0);
        Ok(())
    }

    /// The layout as it was last learnt.
    pub(super) fn layout(&self) -> (Size, Vec<Monitor>) {
        let state = self.state();
        (state.size, state.monitors.clone())
    }

    /// Learns the layout anew.
    pub(super) fn refresh_layout(&self) -> Result<(), X11Error> {
        let (size, monitors) = monitors::query(&self.connection, self.root, self.randr)?;
        let mut state = self.state();
        if state.size == size && state.monitors == monitors {
            return Ok(());
        }
        state.size = size;
        state.each(|o| {
            let now = monitors.iter().find(|m| m.name == o.name);
            o.gone = now.is_none();
            if let Some(m) = now.filter(|m| m.rect != o.place) {
                o.resized |= m.rect.size() != o.place.size();
                o.place = m.rect;
                o.pending.clear();
                o.whole = true;
            }
            o.ring();
        });
        state.monitors = monitors;
        Ok(())
    }

    /// The pointer's shape; the same image again when it has not changed, or is not told. None when it never was.
    pub(super) fn cursor(&self) -> Result<Option<Arc<CursorImage>>, X11Error> {
        let reply = match xfixes::get_cursor_image(&*self.connection)?.reply() {
            // servers with the SECURITY extension go on showing the shape of a client that has gone, and give it to nobody
            Err(ReplyError::X11Error(error)) if error.error_kind == ErrorKind::Access => {
                return Ok(locked(&self.cursor).clone());
            }
            reply => reply?,
        };
        let size = Size::new(reply.width, reply.height);
        let mut rgba = Vec::with_capacity(reply.cursor_image.len() * 4);
        for argb in &reply.cursor_image {
            let [b, g, r, a] = argb.to_le_bytes();
            rgba.extend_from_slice(&[r, g, b, a]);
        }
        if rgba.len() as u64 != size.area() * 4 {
            return Err(X11Error::Server(format!("a cursor of {size} with {} bytes", rgba.len())));
        }
        let hotspot = Point::new(reply.xhot.min(size.w.saturating_sub(1)), reply.yhot.min(size.h.saturating_sub(1)));
        let mut last = locked(&self.cursor);
        if let Some(known) = last.as_ref().filter(|k| k.size == size && k.hotspot == hotspot && k.rgba == rgba) {
            return Ok(Some(Arc::clone(known)));
        }
        let serial = last.as_ref().map_or(1, |k| k.serial + 1);
        let image = Arc::new(CursorImage { size, hotspot, rgba, serial });
        *last = Some(Arc::clone(&image));
        Ok(Some(image))
    }

    /// Ends the reader thread.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.lose("the display was closed");
        let message = ClientMessageEvent::new(32, self.wake, xproto::AtomEnum::STRING, [0u32; 5]);
        // Errors mean that the connection is gone, which wakes the thread as well.
        let _ = xproto::send_event(&*self.connection, false, self.wake, EventMask::NO_EVENT, message)
            .map(|c| c.ignore_error());
        let _ = self.connection.flush();
    }
}
