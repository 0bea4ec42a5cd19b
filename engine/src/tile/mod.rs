//! The 64-px grid fixed to an output: cells, sets of cells, changed extents inside them.

mod grid;

pub use grid::{CELL, Grid};
