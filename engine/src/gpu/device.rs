//! An opened device and how it was chosen.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use farpane_shaders::{COMPACT, IMAGE_DIFF, PALETTE_COUNT, TILE_DIFF};

use super::program::Program;
use super::trial::try_out;
use super::vulkan::{Paths, Vulkan, Wait, open, paths};
use crate::frame::DmaBuf;
use crate::geometry::Size;
use crate::pixel::{Fourcc, Modifier};

/// How often the thread that waits for the GPU looks whether that is lost.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long whoever lets go of a lost device waits for the threads that still hold it: one that hangs is left to them.
const FAREWELL: Duration = Duration::from_millis(100);

/// Which devices will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Graphics hardware: a discrete card before one that is part of the processor, before one that a hypervisor gives.
    Hardware,
    /// The same, and where there is none a program that plays a device. It is never fast.
    Any,
}

/// What kind of device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A card with memory of its own.
    Discrete,
    /// A part of the processor.
    Integrated,
    /// A hypervisor's.
    Virtual,
    /// A program on the processor.
    Software,
    /// Something else.
    Other,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Software => "software",
            Self::Other => "other",
        })
    }
}

/// A device as its driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// The driver's name and version.
    pub driver: String,
    /// In which ways it reads memory of others where it lies.
    pub paths: Paths,
}

impl std::fmt::Display for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}; {})", self.name, self.kind, self.driver)
    }
}

/// Why there is no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// Vulkan has no device at all, or is not installed.
    #[error("no Vulkan device; is a driver installed (Debian: mesa-vulkan-drivers, or the card maker's)?")]
    None,
    /// There are programs that play one only.
    #[error("no graphics hardware with Vulkan, only software: {0}")]
    SoftwareOnly(String),
    /// It lacks what is needed.
    #[error("{0} will not do: {1}")]
    Unfit(String, String),
    /// It has not enough memory, or what it was asked for is too much for it.
    #[error("{0} has no room for a picture of {1}: {2}")]
    Room(String, Size, String),
}

/// An opened device with its programs.
pub struct Device {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) tile_diff: Program,
    pub(super) image_diff: Program,
    pub(super) palette_count: Program,
    pub(super) compact: Program,
    pub(super) vulkan: Arc<Vulkan>,
    /// Held from the first thing that the next submission is to wait for until that.
    submitting: Mutex<()>,
    adapter: Adapter,
    lost: Arc<AtomicBool>,
    /// What is to be waited for; closed when nothing is any more.
    watch: Option<mpsc::Sender<wgpu::SubmissionIndex>>,
    /// One for each thread that holds the device: closed once that has let go of it.
    held: Mutex<Vec<mpsc::Receiver<()>>>,
}

impl Device {
    /// Opens the best device that will do.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(choice: Choice) -> Result<Arc<Self>, GpuError> {
        let mut all = enumerate();
        all.sort_by_key(|adapter| kind(adapter.get_info().device_type));
        let mut unfit = None;
        let mut software = None;
        for adapter in all {
            let described = describe(&adapter);
            if choice == Choice::Hardware
                && !matches!(described.kind, Kind::Discrete | Kind::Integrated | Kind::Virtual)
            {
                software.get_or_insert(described.to_string());
                continue;
            }
            let opened = Self::with(&adapter, described).and_then(|device| {
                let device = Arc::new(device);
                try_out(&device).map(|()| device)
            });
            match opened {
                Ok(device) => return Ok(device),
                Err(error) => {
                    tracing::debug!(%error, "GPU left out");
                    unfit = unfit.or(Some(error));
                }
            }
        }
        Err(unfit.or(software.map(GpuError::SoftwareOnly)).unwrap_or(GpuError::None))
    }

    fn with(adapter: &wgpu::Adapter, described: Adapter) -> Result<Self, GpuError> {
        let unfit = |why: String| GpuError::Unfit(described.to_string(), why);
        let has = adapter.limits();
        let required_limits = wgpu::Limits {
            max_storage_buffer_binding_size: has.max_storage_buffer_binding_size,
            max_buffer_size: has.max_buffer_size,
            max_texture_dimension_2d: has.max_texture_dimension_2d,
            ..wgpu::Limits::downlevel_defaults()
        };
        let required_limits = wgpu::Limits { max_storage_buffers_per_shader_stage: 7, ..required_limits };
        let times =
            (wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS) & adapter.features();
        let asked = wgpu::DeviceDescriptor {
            label: Some("farpane"),
            // what comes back is written by the GPU where the processor reads it
            required_features: wgpu::Features::MAPPABLE_PRIMARY_BUFFERS | times,
            required_limits,
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue, vulkan) = open(adapter, &asked).map_err(unfit)?;
        let lost = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&lost);
        device.set_device_lost_callback(move |reason, message| {
            tracing::debug!(?reason, message, "GPU lost");
            flag.store(true, Ordering::Release);
        });
        let flag = Arc::clone(&lost);
        device.on_uncaptured_error(Arc::new(move |error| {
            tracing::warn!(error = one_line(&error), "GPU");
            flag.store(true, Ordering::Release);
        }));
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let [tile_diff, image_diff, palette_count, compact] =
            [&TILE_DIFF, &IMAGE_DIFF, &PALETTE_COUNT, &COMPACT].map(|shader| Program::new(&device, shader));
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(unfit(one_line(&error)));
        }
        let (watch, watched) = mpsc::channel::<wgpu::SubmissionIndex>();
        let (watcher, gone) = (device.clone(), Arc::clone(&lost));
        // ends with the device
        let run = move || {
            while let Ok(index) = watched.recv() {
                while !wait(&watcher, index.clone(), PATIENCE) && !gone.load(Ordering::Acquire) {}
            }
        };
        let held = holder("gpu", run).map_err(|error| unfit(error.to_string()))?;
        let submitting = Mutex::default();
        let vulkan = Arc::new(vulkan);
        Ok(Self {
            device,
            queue,
            tile_diff,
            image_diff,
            palette_count,
            compact,
            vulkan,
            submitting,
            adapter: described,
            lost,
            watch: Some(watch),
            held: Mutex::new(vec![held]),
        })
    }

    /// What it is.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// In which forms it takes pictures of a format, where it takes them in any.
    pub fn modifiers(&self, fourcc: Fourcc) -> Vec<Modifier> {
        self.vulkan.modifiers(fourcc)
    }

    /// Makes a dma-buf for a picture, in one of these forms that it takes; says in which.
    ///
    /// # Errors
    /// When it has no memory, knows none of the forms, or hands no memory out.
    pub fn allocate(&self, size: Size, fourcc: Fourcc, among: &[Modifier]) -> Result<(DmaBuf, Modifier), String> {
        self.vulkan.new_dma_buf(size, fourcc, among)
    }

    /// Hands work over, which begins once a fence has signalled.
    ///
    /// # Errors
    /// When the device cannot wait for that fence.
    pub(super) fn submit(
        &self,
        work: impl IntoIterator<Item = wgpu::CommandBuffer>,
        fence: Option<OwnedFd>,
    ) -> Result<(wgpu::SubmissionIndex, Option<Wait>), String> {
        let _alone = self.submitting.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = fence.map(|fence| self.vulkan.wait_for(&self.queue, fence)).transpose()?;
        Ok((self.queue.submit(work), wait))
    }

    /// Whether it says how long work takes it.
    pub(super) fn takes_times(&self) -> bool {
        self.device
            .features()
            .contains(wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS)
    }

    /// Whether it can do no more.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Waits until it has done its work up to here, or a time has passed.
    pub(super) fn wait(&self, index: wgpu::SubmissionIndex, limit: Duration) -> bool {
        wait(&self.device, index, limit)
    }

    /// Has a thread of its own wait for its work up to here: whoever waits for that work's memory is told by this.
    pub(super) fn watch(&self, index: wgpu::SubmissionIndex) {
        let _ = self.watch.as_ref().map(|watch| watch.send(index));
    }

    /// Gives it up: what it has in hand is lost.
    pub fn give_up(&self) {
        if self.lost.swap(true, Ordering::AcqRel) {
            return;
        }
        // whoever lets go of a device last waits for its work, which may never be done: this thread is the last one
        let (device, queue, vulkan) = (self.device.clone(), self.queue.clone(), Arc::clone(&self.vulkan));
        let gone = move || {
            let _ = device.poll(wgpu::PollType::wait_indefinitely());
            device.destroy();
            drop((queue, vulkan));
        };
        match holder("gpu-gone", gone) {
            Ok(held) => self.held.lock().unwrap_or_else(PoisonError::into_inner).push(held),
            Err(error) => tracing::warn!(%error, "a GPU that was given up is waited for"),
        }
    }
}

impl Drop for Device {
    /// Drivers are to be closed when it is gone: a process that ends while a thread still closes one may crash in the driver.
    fn drop(&mut self) {
        drop(self.watch.take());
        let limit = if self.is_lost() { FAREWELL } else { PATIENCE };
        let end = Instant::now() + limit;
        for held in self.held.get_mut().unwrap_or_else(PoisonError::into_inner) {
            // nothing is ever sent: it is closed, or its thread hangs
            let _ = held.recv_timeout(end.saturating_duration_since(Instant::now()));
        }
    }
}

/// Starts a thread that holds a device; what it returns is closed when it has let go of it.
fn holder(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<mpsc::Receiver<()>> {
    let (ended, held) = mpsc::channel::<()>();
    let run = move || {
        run();
        drop(ended);
    };
    std::thread::Builder::new().name(name.into()).spawn(run).map(|_| held)
}

/// All devices, best first.
pub fn adapters() -> Vec<Adapter> {
    let mut all: Vec<Adapter> = enumerate().iter().map(describe).collect();
    all.sort_by_key(|adapter| adapter.kind);
    all
}

/// Waits for work, at most for so long; returns false when it takes longer.
fn wait(device: &wgpu::Device, index: wgpu::SubmissionIndex, limit: Duration) -> bool {
    match device.poll(wgpu::PollType::Wait { submission_index: Some(index), timeout: Some(limit) }) {
        Ok(_) => true,
        Err(wgpu::PollError::Timeout) => false,
        Err(error) => {
            tracing::debug!(%error, "GPU");
            true
        }
    }
}

fn enumerate() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN;
    descriptor.flags = wgpu::InstanceFlags::empty();
    pollster::block_on(wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::VULKAN))
}

fn describe(adapter: &wgpu::Adapter) -> Adapter {
    let info = adapter.get_info();
    let driver =
        [info.driver, info.driver_info].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    Adapter { name: info.name, kind: kind(info.device_type), driver, paths: paths(adapter) }
}

const fn kind(kind: wgpu::DeviceType) -> Kind {
    match kind {
        wgpu::DeviceType::DiscreteGpu => Kind::Discrete,
        wgpu::DeviceType::IntegratedGpu => Kind::Integrated,
        wgpu::DeviceType::VirtualGpu => Kind::Virtual,
        wgpu::DeviceType::Cpu => Kind::Software,
        wgpu::DeviceType::Other => Kind::Other,
    }
}

/// An error in one line.
pub(super) fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
