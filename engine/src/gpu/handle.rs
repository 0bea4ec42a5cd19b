//! The device that all outputs share, opened anew when it is lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::device::{Adapter, Choice, Device, GpuError};

/// A lost device is opened again no sooner than this after the last time.
const AGAIN: Duration = Duration::from_secs(2);

enum State {
    Open(Arc<Device>),
    /// Lost, and since when it has been tried to open it.
    Lost(Option<Instant>),
}

/// The device that outputs share.
pub struct Gpu {
    choice: Choice,
    adapter: Adapter,
    state: Arc<Mutex<State>>,
    losses: AtomicU64,
}

impl Gpu {
    /// Opens a device.
    ///
    /// # Errors
    /// When there is none that will do.
    pub fn open(choice: Choice) -> Result<Arc<Self>, GpuError> {
        let device = Device::open(choice)?;
        let (adapter, state) = (device.adapter().clone(), Arc::new(Mutex::new(State::Open(device))));
        Ok(Arc::new(Self { choice, adapter, state, losses: AtomicU64::new(0) }))
    }

    /// What was opened first.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// How often it was lost.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// The device, unless it is lost: then it is opened anew in the background.
    pub fn device(&self, now: Instant) -> Option<Arc<Device>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Open(device) = &*state {
            if !device.is_lost() {
                return Some(Arc::clone(device));
            }
            self.losses.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(gpu = %self.adapter, "GPU lost: the processor takes over until it is back");
            *state = State::Lost(None);
        }
        let State::Lost(tried) = &mut *state else { return None };
        if tried.is_some_and(|at| now.saturating_duration_since(at) < AGAIN) {
            return None;
        }
        *tried = Some(now);
        let (choice, state) = (self.choice, Arc::clone(&self.state));
        let open = move || match Device::open(choice) {
            Ok(device) => {
                tracing::info!(gpu = %device.adapter(), "GPU back");
                *state.lock().unwrap_or_else(PoisonError::into_inner) = State::Open(device);
            }
            Err(error) => tracing::debug!(%error, "GPU not back"),
        };
        let _ = std::thread::Builder::new().name("gpu-again".into()).spawn(open);
        None
    }
}
