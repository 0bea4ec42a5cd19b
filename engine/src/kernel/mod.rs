//! Hot loops, each with a scalar twin that defines it.

mod level;

pub use level::CpuLevel;
pub mod tile_diff;
