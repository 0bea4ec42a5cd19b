//! Recorded traces: pictures of a real desktop, played again as a source.
//!
//! A trace holds only what changed from picture to picture, compressed; `docs/trace-format.md` has its layout. Traces come from
//! elsewhere, so a reader believes nothing: sizes are capped before memory is taken, and every fault has its place in the file.

mod source;
mod wire;
mod writer;

pub use source::{Playback, ReplaySource};
pub use wire::{MAX_PIXELS, MAX_RECORD, MAX_RECTS, Record, RecordKind, TraceReader};
pub use writer::TraceWriter;

/// Why a trace cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The system refused.
    #[error("trace: {0}")]
    Io(#[from] std::io::Error),
    /// The file ends in the middle of something.
    #[error("trace: cut off after {at} bytes, in {what}")]
    Cut {
        /// Bytes read until then.
        at: u64,
        /// What was being read.
        what: &'static str,
    },
    /// A value that cannot be.
    #[error("trace: byte {at}: {what}")]
    Value {
        /// Where the record or header begins.
        at: u64,
        /// The value and what is accepted.
        what: String,
    },
    /// The frame to be recorded has a form that is not handled.
    #[error("trace: frame of {0} cannot be recorded")]
    Frame(String),
}

#[cfg(test)]
mod tests;
