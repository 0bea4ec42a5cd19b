//! The encoders against the reference decoder.

mod exact;
mod support;
mod tight;
mod zrle;
mod zstd;
