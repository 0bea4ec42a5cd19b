//! The device that all outputs share, opened anew when it is lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::device::{Adapter, Choice, Device, GpuError};
use crate::frame::{DmaBuf, Importer};
use crate::geometry::Size;
use crate::pixel::{Fourcc, Modifier};

/// A lost device is opened again no sooner than this after the last time,
const AGAIN: Duration = Duration::from_secs(2);
/// after twice as long each time that it is lost soon after,
const SOON: Duration = Duration::from_secs(60);
/// up to this many times.
const MOST_DOUBLED: u32 = 8;

enum State {
    /// Open since then, after so many losses that came soon one after the other.
    Open(Arc<Device>, Instant, u32),
    /// Lost, when it was last tried to open it, and after how many such losses.
    Lost(Option<Instant>, u32),
}

/// The device that outputs share.
pub struct Gpu {
    choice: Choice,
    adapter: Adapter,
    state: Arc<Mutex<State>>,
    /// What takes the place of the first that is lost.
    spare: Mutex<Option<Arc<Device>>>,
    losses: AtomicU64,
}

impl Importer for Gpu {
    fn modifiers(&self, fourcc: Fourcc) -> Vec<Modifier> {
        let Some(device) = self.device(Instant::now()) else { return Vec::new() };
        // rows are taken as buffers by devices that know no other form
        let rows = device.adapter().paths.dma_buf.then_some(Modifier::LINEAR);
        let images = device.modifiers(fourcc).into_iter().filter(|modifier| Some(*modifier) != rows);
        images.chain(rows).collect()
    }

    fn allocate(&self, size: Size, fourcc: Fourcc, among: &[Modifier]) -> Result<(DmaBuf, Modifier), String> {
        let device = self.device(Instant::now()).ok_or("no device")?;
        device.allocate(size, fourcc, among)
    }
}

impl Gpu {
    /// Opens a device.
    ///
    /// # Errors
    /// When there is none that will do.
    pub fn open(choice: Choice) -> Result<Arc<Self>, GpuError> {
        let device = Device::open(choice)?;
        let (adapter, state) = (device.adapter().clone(), Arc::new(Mutex::new(State::Open(device, Instant::now(), 0))));
        Ok(Arc::new(Self { choice, adapter, state, spare: Mutex::default(), losses: AtomicU64::new(0) }))
    }

    /// Opens a second device, which takes the place of the first one that is lost: for processes that can open none later. It is as ready for
    /// work as the first: drivers have compiled what they compile.
    ///
    /// # Errors
    /// When the device is not to be had twice.
    pub fn keep_spare(&self) -> Result<(), GpuError> {
        let spare = Device::open(self.choice)?;
        if spare.adapter() != &self.adapter {
            return Err(GpuError::Unfit(spare.adapter().to_string(), "it is another device".into()));
        }
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(spare);
        Ok(())
    }

    /// What was opened first.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// How often it was lost.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// The device, unless it is lost: then the spare one, or it is opened anew in the background.
    pub fn device(&self, now: Instant) -> Option<Arc<Device>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Open(device, since, doubled) = &*state {
            if !device.is_lost() {
                return Some(Arc::clone(device));
            }
            self.losses.fetch_add(1, Ordering::Relaxed);
            let soon = now.saturating_duration_since(*since) < SOON;
            let doubled = if soon { doubled + 1 } else { 0 };
            let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(spare) = spare.filter(|spare| !spare.is_lost()) {
                tracing::warn!(gpu = %self.adapter, "GPU lost: the spare one takes its place");
                *state = State::Open(Arc::clone(&spare), now, doubled);
                return Some(spare);
            }
            tracing::warn!(gpu = %self.adapter, "GPU lost: the processor takes over until it is back");
            *state = State::Lost(None, doubled);
        }
        let State::Lost(tried, doubled) = &mut *state else { return None };
        // the first loss is made good at once
        let again = AGAIN * 2u32.pow(doubled.saturating_sub(2).min(MOST_DOUBLED));
        if tried.is_some_and(|at| now.saturating_duration_since(at) < again) {
            return None;
        }
        let (first, doubled) = (tried.replace(now).is_none(), *doubled);
        if first && doubled > 1 {
            return None;
        }
        let (choice, state) = (self.choice, Arc::clone(&self.state));
        let open = move || match Device::open(choice) {
            Ok(device) => {
                tracing::info!(gpu = %device.adapter(), "GPU back");
                let opened = State::Open(device, Instant::now(), doubled);
                *state.lock().unwrap_or_else(PoisonError::into_inner) = opened;
            }
            Err(error) => tracing::debug!(%error, "GPU not back"),
        };
        let _ = std::thread::Builder::new().name("gpu-again".into()).spawn(open);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_lost_again_and_again_is_opened_ever_later() {
        let Ok(gpu) = Gpu::open(Choice::Any) else { return };
        let mut now = Instant::now();
        let opened = |gpu: &Gpu, now: Instant| {
            let end = Instant::now() + Duration::from_secs(60);
            while !matches!(&*gpu.state.lock().expect("nobody panics"), State::Open(..)) {
                assert!(Instant::now() < end, "it does not come back");
                std::thread::sleep(Duration::from_millis(5));
            }
            gpu.device(now).expect("a device")
        };
        opened(&gpu, now).give_up();
        assert!(gpu.device(now).is_none(), "opened in the background, at once");
        opened(&gpu, now).give_up();
        assert!(gpu.device(now).is_none());
        for wait in [2, 4, 8] {
            now += Duration::from_millis(wait * 1000 - 1);
            assert!(gpu.device(now).is_none());
            let state = gpu.state.lock().expect("nobody panics");
            assert!(matches!(&*state, State::Lost(..)), "not before {wait} s have passed");
            drop(state);
            now += Duration::from_millis(1);
            assert!(gpu.device(now).is_none());
            opened(&gpu, now).give_up();
            assert!(gpu.device(now).is_none());
        }
        assert_eq!(gpu.losses(), 5);
    }
}
