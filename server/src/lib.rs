//! The farpane server as a library: what the binary is made of.

#![forbid(unsafe_code)]

pub mod backend;
pub mod clipboard;
pub mod helper;
pub mod input;
pub mod net;
pub mod session;
