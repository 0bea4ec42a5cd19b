//! What is opened, connected or started after the server listens.

pub mod opener;
pub mod private;

pub use opener::{DisplayAddress, InProcess, OpenRequest, Opener, OpenerError};
