//! Memory shared with whoever draws: made here and passed on, or a file of theirs.

mod ffi;

pub(super) use ffi::Mapping;
