//! What integration tests share.

pub mod xvfb;
