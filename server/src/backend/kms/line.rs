//! The way to the helper, for all that asks it for something.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use farpane_engine::capture::drm::Feed;
use farpane_engine::geometry::{Point, Size};

use super::hotspot::Hotspots;

use crate::helper::kms::Ask;
use crate::helper::uinput::DeviceEvent;
use crate::helper::wire::Sender;

/// Where questions go; nowhere while the helper is not there.
#[derive(Default)]
pub(super) struct Line {
    sender: Mutex<Option<Sender>>,
    watched: AtomicBool,
    over: AtomicBool,
    feeds: Mutex<Vec<Weak<Feed>>>,
    /// The canvas that is pointed at.
    canvas: Mutex<Size>,
    hotspots: Mutex<Hotspots>,
}

impl Line {
    fn sender(&self) -> MutexGuard<'_, Option<Sender>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The helper is there, or gone.
    pub(super) fn set(&self, sender: Option<Sender>) {
        *self.sender() = sender;
    }

    /// Asks; what cannot be sent is lost with the helper, which the reading thread hears.
    pub(super) fn ask(&self, ask: &Ask) {
        let mut sender = self.sender();
        if let Some(line) = sender.as_mut()
            && let Err(error) = line.send(ask, &[])
        {
            tracing::debug!(%error, "the helper takes nothing");
            *sender = None;
        }
    }

    /// What is shown by these may change when somebody types.
    pub(super) fn follow(&self, feed: &Arc<Feed>) {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|feed| feed.strong_count() > 0);
        feeds.push(Arc::downgrade(feed));
    }

    /// The canvas has another size.
    pub(super) fn set_canvas(&self, size: Size) {
        *self.canvas.lock().unwrap_or_else(PoisonError::into_inner) = size;
    }

    /// What is known of where shapes point.
    pub(super) fn hotspots(&self) -> MutexGuard<'_, Hotspots> {
        self.hotspots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody types or points.
    pub(super) fn input(&self, batch: &[DeviceEvent]) {
        self.ask(&Ask::Events(batch.to_vec()));
        for event in batch {
            if let DeviceEvent::PointerTo { x, y } = event {
                let canvas = *self.canvas.lock().unwrap_or_else(PoisonError::into_inner);
                let pixel = |value: u32, length: u16| (u64::from(value) * u64::from(length) / 65_536) as u16;
                self.hotspots().pointed(Point::new(pixel(*x, canvas.w), pixel(*y, canvas.h)), Instant::now());
            }
        }
        let feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.iter().filter_map(Weak::upgrade).for_each(|feed| feed.stir());
    }

    /// Somebody watches the desktop, or nobody does: input devices are there for as long.
    pub(super) fn watch(&self, watched: bool) {
        self.watched.store(watched, Ordering::Release);
        self.ask(&Ask::Input(watched));
    }

    /// Whether somebody watches.
    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Acquire)
    }

    /// No more questions: the helper's end closes, and the reading thread ends.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
        if let Some(sender) = self.sender().take() {
            sender.close();
        }
    }

    /// Whether that was said.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}
