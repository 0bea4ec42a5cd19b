//! Memory of others as a device reads it.

mod ffi;

pub(super) use ffi::{Foreign, Image, Owner};
