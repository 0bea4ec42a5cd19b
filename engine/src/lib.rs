//! farpane's engine: capture, damage detection and encoding of desktop pictures.
//!
//! It knows rectangles and encodings, not connections. The line is
//! `capture -> damage (+ mirror) -> pipeline fan-out -> encode`; `ARCHITECTURE.md` has the whole
//! design and who may import whom.

#![deny(unsafe_code)]

pub mod capture;
pub mod damage;
pub mod encode;
pub mod frame;
pub mod geometry;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod kernel;
pub mod pipeline;
pub mod pixel;
#[cfg(feature = "refdec")]
pub mod refdec;
pub mod tile;
