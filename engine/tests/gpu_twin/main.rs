//! Shaders against their scalar twins, bit for bit, and the damage engine that runs them against a plain model. Any Vulkan device will do, a
//! program that plays one too. `FARPANE_REQUIRE_GPU=1`, or `FARPANE_REQUIRE_ALL=1`, makes a failure of a machine without any.
#![cfg(feature = "gpu")]

mod desk;
mod frames;
mod images;
mod imports;
mod kernels;
mod moves;
