//! Compute on the GPU, by Vulkan: a device that all outputs share, and an output's picture that stays in its memory.
//!
//! A new picture is compared where it lies, in the memory of its source too where the device can take that, and only what changed comes back. Nothing here waits for the GPU: work is handed over and
//! asked after. A device that is lost, or too slow, is left, and opened anew in the background.

mod allocate;
mod device;
mod foreign;
mod handle;
mod imports;
mod jobs;
mod measure;
mod packed;
mod picture;
mod program;
mod trial;
mod vulkan;

pub use device::{Adapter, Choice, Device, GpuError, Kind, adapters};
pub use handle::Gpu;
pub use imports::Import;
pub use jobs::{Rows, add_jobs, whole};
pub use measure::{GpuTimes, Rounds, measure};
pub use packed::PackedCells;
pub use picture::{Answer, GpuPicture, Upload};
pub use vulkan::Paths;

/// Told once a piece of work is done.
pub type Ring = std::sync::Arc<dyn Fn() + Send + Sync>;
