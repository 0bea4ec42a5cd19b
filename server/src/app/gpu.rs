//! The GPU that compares pictures, where one is asked for.

use std::path::{Path, PathBuf};

use farpane_engine::damage::CpuDamage;
use farpane_engine::frame::DmaBufs;

use super::AppError;
use crate::backend::Found;
use crate::config::{CaptureSection, DmaBufUse, GpuUse, LogSection};
use crate::session::Stage;

/// Where drivers and what describes them lie, and what they read of the machine.
const DRIVERS: [&str; 18] = [
    "/usr/lib",
    "/usr/local/lib",
    "/usr/share/vulkan",
    "/usr/local/share/vulkan",
    "/usr/share/glvnd",
    "/usr/share/drirc.d",
    "/usr/share/libdrm",
    "/usr/share/nvidia",
    "/etc/vulkan",
    "/etc/glvnd",
    "/etc/drirc",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/sys",
    "/proc/cpuinfo",
    "/proc/driver",
    "/proc/self",
];

/// Which GPUs would do for what is to be shared; none where none is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Graphics hardware, if there is any.
    Hardware,
    /// Any device, and one there must be.
    Any,
}

/// What is looked for.
pub(super) fn wanted(capture: &CaptureSection, desktop: &Found) -> Option<Wanted> {
    match capture.gpu {
        GpuUse::Off => None,
        GpuUse::Force => Some(Wanted::Any),
        // what lies in the processor's memory is compared there
        GpuUse::Auto => {
            let useful = desktop.gives_dma_bufs() && capture.dma_bufs != DmaBufUse::Off;
            (useful && !devices().is_empty()).then_some(Wanted::Hardware)
        }
    }
}

/// What opening a GPU reads until the server is shut in wholly.
pub(super) fn read_early() -> Vec<PathBuf> {
    DRIVERS.iter().map(PathBuf::from).filter(|path| path.exists()).collect()
}

/// The devices that are then opened.
pub(super) fn devices() -> Vec<PathBuf> {
    let nvidia = std::fs::read_dir("/dev").into_iter().flatten().flatten().map(|entry| entry.path());
    let nvidia =
        nvidia.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("nvidia")));
    nvidia.chain([PathBuf::from("/dev/dri")]).filter(|path: &PathBuf| Path::exists(path)).collect()
}

/// Opens the GPU that is wanted; says how outputs find what changed, and which dma-bufs are asked for. A `spare` device is opened beside it where
/// none can be opened later.
///
/// # Errors
/// When there has to be one and there is none.
#[cfg(feature = "gpu")]
pub(super) fn ready(
    capture: &CaptureSection,
    wanted: Option<Wanted>,
    spare: bool,
) -> Result<(Stage, DmaBufs), AppError> {
    use std::sync::Arc;

    use farpane_engine::damage::{GpuDamage, Takes};
    use farpane_engine::frame::Importer;
    use farpane_engine::gpu::{Choice, Gpu};

    let (choice, takes) = match wanted {
        None => return Ok((on_cpu(), without(capture))),
        Some(Wanted::Hardware) => (Choice::Hardware, Takes::DmaBufs),
        Some(Wanted::Any) => (Choice::Any, Takes::All),
    };
    let gpu = match Gpu::open(choice) {
        Ok(gpu) => gpu,
        Err(error) if wanted == Some(Wanted::Hardware) => {
            tracing::info!(%error, "pictures are compared by the processor");
            return Ok((on_cpu(), without(capture)));
        }
        Err(error) => return Err(AppError::failed(error)),
    };
    let paths = gpu.adapter().paths;
    let takes_dma_bufs = capture.dma_bufs != DmaBufUse::Off && (paths.dma_buf || paths.modifiers);
    let dma_bufs = match takes_dma_bufs {
        true => DmaBufs::Taken(Arc::clone(&gpu) as Arc<dyn Importer>),
        false => without(capture),
    };
    if takes == Takes::DmaBufs && !takes_dma_bufs {
        tracing::info!(gpu = %gpu.adapter(), "the GPU takes no dma-bufs: pictures are compared by the processor");
        return Ok((on_cpu(), dma_bufs));
    }
    if let Some(error) = spare.then(|| gpu.keep_spare().err()).flatten() {
        tracing::info!(%error, "there is no spare GPU: once the first is lost, the processor compares pictures");
    }
    match takes {
        Takes::All => tracing::info!(gpu = %gpu.adapter(), takes = %paths, "pictures are compared on the GPU"),
        Takes::DmaBufs => tracing::info!(gpu = %gpu.adapter(), "pictures in its memory are compared on the GPU"),
    }
    Ok((Box::new(move || Box::new(GpuDamage::new(Arc::clone(&gpu), takes))), dma_bufs))
}

/// The same in a build without.
#[cfg(not(feature = "gpu"))]
pub(super) fn ready(
    capture: &CaptureSection,
    wanted: Option<Wanted>,
    _spare: bool,
) -> Result<(Stage, DmaBufs), AppError> {
    match wanted {
        None | Some(Wanted::Hardware) => Ok((on_cpu(), without(capture))),
        Some(Wanted::Any) => {
            Err(AppError::Usage("this farpane was built without the feature gpu; leave --gpu out".into()))
        }
    }
}

/// The dma-bufs that are asked for without a GPU.
fn without(capture: &CaptureSection) -> DmaBufs {
    if capture.dma_bufs == DmaBufUse::On { DmaBufs::Plain } else { DmaBufs::None }
}

fn on_cpu() -> Stage {
    Box::new(|| Box::new(CpuDamage::new()))
}

/// Which GPUs there are, a line each.
pub(super) fn lines() -> Vec<String> {
    #[cfg(feature = "gpu")]
    {
        use farpane_engine::gpu::{Adapter, Kind};

        let all = farpane_engine::gpu::adapters();
        if all.is_empty() {
            return vec!["gpu: no Vulkan device; pictures are compared by the processor".into()];
        }
        let line = |adapter: &Adapter| {
            let paths = adapter.paths;
            let own = paths.dma_buf || paths.modifiers;
            let used = match adapter.kind {
                Kind::Discrete | Kind::Integrated | Kind::Virtual if own => "compares what lies in its memory",
                _ => "used with --gpu force",
            };
            format!("gpu: {adapter}; takes {paths}; {used}")
        };
        all.iter().map(line).collect()
    }
    #[cfg(not(feature = "gpu"))]
    vec!["gpu: not in this build".into()]
}

/// Measures the best device and the processor beside it, for about so many seconds; the table, or the JSON.
///
/// # Errors
/// When there is no device.
#[cfg(feature = "gpu")]
pub fn bench_gpu(seconds: u32, json: bool, log: LogSection) -> Result<String, AppError> {
    use farpane_engine::gpu::{Choice, Gpu};

    super::logging::start(log);
    let gpu = Gpu::open(Choice::Any).map_err(AppError::failed)?;
    let report = crate::bench::gpu::run(&gpu, std::time::Duration::from_secs(seconds.into()));
    if json { report.json().map_err(AppError::failed) } else { Ok(report.to_string()) }
}

/// The same in a build without.
///
/// # Errors
/// Always.
#[cfg(not(feature = "gpu"))]
pub fn bench_gpu(_seconds: u32, _json: bool, _log: LogSection) -> Result<String, AppError> {
    Err(AppError::Usage("this farpane was built without the feature gpu".into()))
}
