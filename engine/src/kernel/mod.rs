//! Hot loops, each with a scalar twin that defines it.
//!
//! One folder a kernel: `mod.rs` the safe front, which checks shapes and takes the [`CpuLevel`] as an argument; `scalar.rs` the definition;
//! `x86.rs` a level that `benches/kernels` shows to be at least 1.3 times as fast; `aarch64.rs` its NEON twin, which `make aarch64` runs
//! under emulation. Every level is tested against the definition.

pub mod compact;
pub mod convert;
pub mod downscale;
mod level;
pub mod neighbour_steps;
pub mod palette_count;
pub mod run_length;
pub mod scroll_vote;
pub mod tile_diff;
pub mod ycbcr420;

pub use level::CpuLevel;
pub use palette_count::Palette;
