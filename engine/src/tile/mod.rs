//! The 64-px grid fixed to an output: cells, sets of cells, changed extents inside them.

mod coalesce;
mod extent;
mod grid;
mod map;

pub use coalesce::{Coalesce, SLACK_PX, SLACK_SHARE};
pub use extent::Extent;
pub use grid::{CELL, Grid};
pub use map::{CellBits, CellMap};
