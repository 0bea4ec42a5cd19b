//! The device that all outputs share, opened anew when it is lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use farpane_shaders::{Job, Place};

use super::device::{Adapter, Choice, Device, GpuError};
use super::picture::{Answer, GpuPicture};
use crate::geometry::Size;

/// A lost device is opened again no sooner than this after the last time.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a device may take to show that it can compare.
const TRIAL: Duration = Duration::from_secs(10);
/// How long the thread that waits for the GPU stays with one piece of work.
const PATIENCE: Duration = Duration::from_secs(1);

/// Told once a piece of work is done.
pub type Ring = Arc<dyn Fn() + Send + Sync>;

/// A piece of work of a device.
struct Watched(Arc<Device>, wgpu::SubmissionIndex);

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
    watch: mpsc::Sender<Watched>,
}

impl Gpu {
    /// Opens a device.
    ///
    /// # Errors
    /// When there is none that will do.
    pub fn open(choice: Choice) -> Result<Arc<Self>, GpuError> {
        let device = Device::open(choice)?;
        let (watch, watched) = mpsc::channel::<Watched>();
        // ends when the last handle is gone
        let run = move || {
            while let Ok(Watched(device, index)) = watched.recv() {
                device.wait(index, PATIENCE);
            }
        };
        let started = std::thread::Builder::new().name("gpu".into()).spawn(run);
        let adapter = device.adapter().clone();
        started.map_err(|error| GpuError::Unfit(adapter.to_string(), error.to_string()))?;
        let state = Arc::new(Mutex::new(State::Open(Arc::clone(&device))));
        let gpu = Self { choice, adapter, state, losses: AtomicU64::new(0), watch };
        gpu.try_out(device)?;
        Ok(Arc::new(gpu))
    }

    /// Has a device compare two small pictures of which the answer is known. Drivers compile what they still have to at this.
    fn try_out(&self, device: Arc<Device>) -> Result<(), GpuError> {
        let unfit = |why: &str| GpuError::Unfit(self.adapter.to_string(), why.to_owned());
        let size = Size::new(100, 70);
        let mut picture = GpuPicture::new(device, size, 0x00ff_ffff)?;
        picture.set(&[5; 7000]);
        let mut fresh = [0x1200_0005u32; 7000];
        fresh[66 * 100 + 99] = 7;
        let (tell, told) = mpsc::channel();
        let ring: Ring = Arc::new(move || {
            let _ = tell.send(());
        });
        let mut upload = picture.begin().ok_or_else(|| unfit("it maps no memory"))?;
        upload.write(0, &fresh);
        // the lower right cell and the one above it
        let jobs = [(3, [0, 0, 36, 6], 64 * 100 + 64), (1, [0, 0, 36, 64], 64)];
        let jobs = jobs.map(|(cell, clip, base)| Job { cell, clip: u32::from_le_bytes(clip), base, stride: 100 });
        picture.submit(upload, &jobs, self, &ring);
        let end = Instant::now() + TRIAL;
        let mut right = false;
        let answer = loop {
            let _ = told.recv_timeout(Duration::from_millis(20));
            let answer = picture.poll(|places, tiles| {
                let place = Place { cell: 3, squares: 1 << 2, extent: u32::from_le_bytes([35, 2, 36, 3]), count: 1 };
                let want = |i: usize| u32::from(i < 6 * 64 && i % 64 < 36) * if i == 2 * 64 + 35 { 7 } else { 5 };
                right = places == [place] && tiles.iter().enumerate().all(|(i, pixel)| *pixel == want(i));
            });
            if answer != Answer::Pending || Instant::now() >= end {
                break answer;
            }
        };
        match answer {
            Answer::Done { .. } if right => Ok(()),
            Answer::Done { .. } => Err(unfit("it compares wrongly")),
            Answer::Pending | Answer::Lost => Err(unfit("it answers nothing")),
        }
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

    /// Waits for a device to do its work up to here, off the threads that have other things to do: whoever waits for that work's memory is
    /// told by this.
    pub(super) fn watch(&self, device: &Arc<Device>, index: wgpu::SubmissionIndex) {
        let _ = self.watch.send(Watched(Arc::clone(device), index));
    }
}
