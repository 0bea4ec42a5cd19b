//! Compute on the GPU, by Vulkan: a device that all outputs share, and an output's picture that stays in its memory.
//!
//! A new picture is compared where it lies and only what changed comes back. Nothing here waits for the GPU: work is handed over and
//! asked after. A device that is lost, or too slow, is left, and opened anew in the background.

mod device;
mod handle;
mod measure;
mod picture;
mod program;

pub use device::{Adapter, Choice, Device, GpuError, Kind, adapters};
pub use handle::{Gpu, Ring};
pub use measure::{GpuTimes, measure};
pub use picture::{Answer, GpuPicture, Upload};
