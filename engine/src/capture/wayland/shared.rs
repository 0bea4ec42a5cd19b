//! What a display, its reader thread and its sources have in common.
//!
//! Locks are taken in the order pointer, then state, then slot; none is held while a callback runs.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use wayland_client::protocol::wl_output::WlOutput;
use wayland_client::protocol::wl_registry::WlRegistry;
use wayland_client::protocol::wl_shm::WlShm;
use wayland_client::{Connection, QueueHandle};
use wayland_protocols::ext::image_capture_source::v1::client::ext_output_image_capture_source_manager_v1::ExtOutputImageCaptureSourceManagerV1;
use wayland_protocols::ext::image_copy_capture::v1::client::ext_image_copy_capture_manager_v1::ExtImageCopyCaptureManagerV1;

use super::dma_buf::LinuxDmabuf;
use super::grab::Grab;
use super::pointer::Pointer;
use super::reader::Reader;
use super::{Monitor, Route};
use crate::frame::DmaBufs;
use crate::geometry::Size;

/// The objects of the route that was taken.
#[derive(Debug)]
pub(super) enum Managers {
    ImageCopy {
        capture: ExtImageCopyCaptureManagerV1,
        sources: ExtOutputImageCaptureSourceManagerV1,
    },
    /// The number of the global: each start of a source binds a manager of its own, because damage is counted by manager.
    Screencopy {
        registry: WlRegistry,
        global: u32,
        version: u32,
    },
}

impl Managers {
    pub(super) const fn name(&self) -> Route {
        match self {
            Self::ImageCopy { .. } => Route::ImageCopy,
            Self::Screencopy { .. } => Route::Screencopy,
        }
    }
}

/// One connection and what is known of its outputs.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) connection: Connection,
    pub(super) queue: QueueHandle<Reader>,
    /// The connection's socket: shutting it down wakes the reader.
    pub(super) socket: UnixStream,
    pub(super) shm: WlShm,
    pub(super) dma_bufs: DmaBufs,
    /// None where dma-bufs are not made, or not taken.
    pub(super) dmabuf: Option<LinuxDmabuf>,
    pub(super) route: Managers,
    pub(super) pictures: AtomicU64,
    /// Whether it was said that dma-bufs are not used.
    pub(super) dmabuf_told: AtomicBool,
    /// The pointer's shape comes apart from the pictures.
    pub(super) apart: AtomicBool,
    pub(super) closing: AtomicBool,
    pointer: Mutex<Pointer>,
    lost: Mutex<Option<String>>,
    state: Mutex<State>,
}

/// What changes with the layout.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) monitors: Vec<Monitor>,
    /// Outputs by the compositor's number.
    pub(super) outputs: BTreeMap<u32, WlOutput>,
    /// Sizes that pictures turned out to have, where outputs say otherwise.
    pub(super) seen: BTreeMap<u32, Size>,
    pub(super) slots: Vec<Weak<Slot>>,
}

/// One source's part of what happens.
#[derive(Debug)]
pub(super) struct Slot {
    /// The compositor's number for the output.
    pub(super) id: u32,
    pub(super) output: WlOutput,
    grab: Mutex<Grab>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    pub(super) fn new(id: u32, output: WlOutput, grab: Grab) -> Self {
        Self { id, output, grab: Mutex::new(grab) }
    }

    pub(super) fn grab(&self) -> MutexGuard<'_, Grab> {
        locked(&self.grab)
    }
}

impl Shared {
    pub(super) fn new(
        connection: Connection,
        queue: QueueHandle<Reader>,
        socket: UnixStream,
        shm: WlShm,
        (dma_bufs, dmabuf): (DmaBufs, Option<LinuxDmabuf>),
        route: Managers,
    ) -> Self {
        Self {
            connection,
            queue,
            socket,
            shm,
            dma_bufs,
            dmabuf,
            route,
            pictures: AtomicU64::new(0),
            dmabuf_told: AtomicBool::new(false),
            apart: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            pointer: Mutex::default(),
            lost: Mutex::default(),
            state: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    pub(super) fn pointer(&self) -> MutexGuard<'_, Pointer> {
        locked(&self.pointer)
    }

    /// Why the connection is gone, if it is.
    pub(super) fn lost(&self) -> Option<String> {
        locked(&self.lost).clone()
    }

    /// Sends what was asked. What goes wrong here the reader sees as well.
    pub(super) fn flush(&self) {
        let _ = self.connection.flush();
    }

    /// The sources that live.
    pub(super) fn slots(&self) -> Vec<Arc<Slot>> {
        let mut state = self.state();
        state.slots.retain(|slot| slot.strong_count() > 0);
        state.slots.iter().filter_map(Weak::upgrade).collect()
    }

    /// Notes that the connection is gone and tells every source. Returns whether that is news.
    pub(super) fn lose(&self, reason: &str) -> bool {
        let news = locked(&self.lost).is_none();
        if news {
            *locked(&self.lost) = Some(reason.to_owned());
            self.slots().iter().for_each(|slot| slot.grab().ring());
        }
        news
    }

    /// Says once that dma-bufs are offered and not used.
    pub(super) fn dmabuf_seen(&self) {
        if !self.dmabuf_told.swap(true, Ordering::Relaxed) {
            tracing::info!("the compositor offers dma-bufs, which are not used: pictures come through shared memory");
        }
    }

    /// Ends the reader thread.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.lose("the display was closed");
        // a socket that is gone already has woken the reader
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}
