//! The GPU that compares pictures, where one is asked for.

use std::path::{Path, PathBuf};

use farpane_engine::damage::CpuDamage;

use super::AppError;
use crate::config::{GpuUse, LogSection};
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

/// What opening a GPU reads until the server is shut in wholly.
pub(super) fn read_early(gpu: GpuUse) -> Vec<PathBuf> {
    let wanted = gpu != GpuUse::Off;
    DRIVERS.iter().filter(|_| wanted).map(PathBuf::from).filter(|path| path.exists()).collect()
}

/// The devices that are then opened.
pub(super) fn devices(gpu: GpuUse) -> Vec<PathBuf> {
    if gpu == GpuUse::Off {
        return Vec::new();
    }
    let nvidia = std::fs::read_dir("/dev").into_iter().flatten().flatten().map(|entry| entry.path());
    let nvidia =
        nvidia.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("nvidia")));
    nvidia.chain([PathBuf::from("/dev/dri")]).filter(|path: &PathBuf| Path::exists(path)).collect()
}

/// Opens the GPU, if one is asked for, and says how outputs find what changed.
///
/// # Errors
/// When one is asked for and there is none.
#[cfg(feature = "gpu")]
pub(super) fn stage(gpu: GpuUse) -> Result<Stage, AppError> {
    use farpane_engine::damage::GpuDamage;
    use farpane_engine::gpu::{Choice, Gpu};

    match gpu {
        GpuUse::Off => Ok(on_cpu()),
        GpuUse::Force => {
            let gpu = Gpu::open(Choice::Any).map_err(AppError::failed)?;
            tracing::info!(gpu = %gpu.adapter(), "pictures are compared on the GPU");
            Ok(Box::new(move || Box::new(GpuDamage::new(std::sync::Arc::clone(&gpu)))))
        }
    }
}

/// The same in a build without.
#[cfg(not(feature = "gpu"))]
pub(super) fn stage(gpu: GpuUse) -> Result<Stage, AppError> {
    match gpu {
        GpuUse::Off => Ok(on_cpu()),
        GpuUse::Force => Err(AppError::Usage("this farpane was built without the feature gpu; leave --gpu out".into())),
    }
}

fn on_cpu() -> Stage {
    Box::new(|| Box::new(CpuDamage::new()))
}

/// Which GPUs there are, a line each.
pub(super) fn lines() -> Vec<String> {
    #[cfg(feature = "gpu")]
    {
        let all = farpane_engine::gpu::adapters();
        if all.is_empty() {
            return vec!["gpu: no Vulkan device; pictures are compared by the processor".into()];
        }
        all.iter().map(|adapter| format!("gpu: {adapter}; used with --gpu force")).collect()
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
