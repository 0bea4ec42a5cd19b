//! What can be wrong with a server's bytes.

use crate::geometry::Size;

/// A fault in what the server sent, or too few bytes to tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends before the rectangle or message does; more bytes may follow.
    #[error("{have} bytes left where {need} are needed")]
    Short {
        /// Bytes asked for.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// A chunk of known length ends before its content does.
    #[error("{what} ends early: {have} bytes left where {need} are needed")]
    Truncated {
        /// What was cut off.
        what: &'static str,
        /// Bytes asked for.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// A chunk of known length goes on after its content.
    #[error("{bytes} bytes left over after {what}")]
    Trailing {
        /// What should have been used up.
        what: &'static str,
        /// Bytes left.
        bytes: usize,
    },
    /// A video stream that cannot be decoded, or breaks a rule of viewers.
    #[error("h264: {0}")]
    H264(String),
    /// A rectangle reaches outside what it belongs to.
    #[error("{what} {w}x{h}+{x}+{y} outside {size}")]
    Outside {
        /// The rectangle's role.
        what: &'static str,
        /// Left column.
        x: u32,
        /// Top row.
        y: u32,
        /// Columns.
        w: u32,
        /// Rows.
        h: u32,
        /// What it should lie in.
        size: Size,
    },
    /// A number is out of its range.
    #[error("{what} {value} (expected {min}..={max})")]
    Range {
        /// What the number says.
        what: &'static str,
        /// Its value.
        value: u64,
        /// Smallest value allowed.
        min: u64,
        /// Largest value allowed.
        max: u64,
    },
    /// A rule that is not about a number is broken.
    #[error("{0}")]
    Rule(&'static str),
    /// A chunk does not inflate.
    #[error("{stream}: {fault}")]
    Inflate {
        /// Which stream.
        stream: &'static str,
        /// The inflater's words.
        fault: String,
    },
    /// A JPEG does not decode.
    #[error("jpeg: {0}")]
    Jpeg(String),
    /// An encoding that this decoder does not know.
    #[error("encoding {0} is unknown")]
    UnknownEncoding(i32),
    /// An encoding or message that the client did not list.
    #[error("encoding {0} was not listed by the client")]
    NotListed(i32),
    /// A message type that this decoder does not know.
    #[error("message type {0} is unknown")]
    UnknownMessage(u8),
}

impl DecodeError {
    /// Whether more input could cure it.
    pub fn is_short(&self) -> bool {
        matches!(self, Self::Short { .. })
    }
}
