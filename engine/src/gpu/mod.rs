//! Compute on the GPU, by Vulkan: a device that all outputs share, and an output's picture that stays in its memory.
//!
//! A new picture is compared where it lies and only what changed comes back. Nothing here waits for the GPU: work is handed over and
//! asked after. A device that is lost, or too slow, is left, and opened anew in the background.

mod device;
mod handle;
mod measure;
mod picture;
mod program;
mod trial;

pub use device::{Adapter, Choice, Device, GpuError, Kind, adapters};
pub use handle::Gpu;
pub use measure::{GpuTimes, measure};
pub use picture::{Answer, GpuPicture, Upload};

/// Told once a piece of work is done.
pub type Ring = std::sync::Arc<dyn Fn() + Send + Sync>;
