//! One server, one workload, one encoding: checked, then measured.

mod cell;
mod check;
mod encoder;
mod encodings;
mod host;
mod keys;
mod plan;
mod sway;

pub use cell::{Cell, Sample, Window};
pub use check::{Quality, WrongPicture};
pub use encodings::{ALL, Encoding};
pub use host::{Host, Programs};
pub use plan::{Outcome, Plan, Row, run};
