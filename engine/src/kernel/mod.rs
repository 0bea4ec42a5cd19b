//! Hot loops, each with a scalar twin that defines it.

mod convert;
mod level;
mod palette_count;

pub use convert::convert;
pub use level::CpuLevel;
pub mod scroll_vote;
pub mod tile_diff;
pub use palette_count::Palette;
