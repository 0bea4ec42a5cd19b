//! What a peer can do wrong, sorted by whose fault it is.

use thiserror::Error;

use crate::ext::clipboard::ClipboardError;
use crate::pixel_format::PixelFormatError;

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The peer broke the protocol.
    PeerMisbehaved,
    /// The peer keeps to the protocol but needs what is not offered here.
    PeerIncompatible,
    /// Our own code called things in an order that makes no sense.
    Internal,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PeerMisbehaved => "peer misbehaved",
            Self::PeerIncompatible => "peer incompatible",
            Self::Internal => "internal",
        })
    }
}

/// A message that cannot be accepted. The stream is out of step afterwards: close the connection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A client sent a message type that nobody knows the size of.
    #[error("unknown client message type {0}")]
    UnknownClientMessage(u8),
    /// A server sent a message type that was not negotiated.
    #[error("unknown server message type {0}")]
    UnknownServerMessage(u8),
    /// A QEMU message (type 255) with an unknown sub-type.
    #[error("unknown qemu sub-message {sub} operation {operation}")]
    UnknownQemuMessage {
        /// The sub-type.
        sub: u8,
        /// The operation, 0 where the sub-type has none.
        operation: u16,
    },
    /// SetPixelFormat or ServerInit with a format that cannot be used.
    #[error("pixel format: {0}")]
    PixelFormat(#[from] PixelFormatError),
    /// A body too long even to be read and dropped.
    #[error("{what} of {length} bytes (expected 0..={max})", max = crate::limits::SKIPPED_BODY)]
    BodyTooLong {
        /// Which body.
        what: &'static str,
        /// Its announced length.
        length: u32,
    },
    /// A negative cut text length although the extended clipboard was not negotiated, or one that has no opposite.
    #[error("cut text length {0} (expected 0..=2147483647 without the extended clipboard)")]
    CutTextLength(i32),
    /// A broken extended clipboard message.
    #[error("extended clipboard: {0}")]
    Clipboard(#[from] ClipboardError),
    /// A fence with too long a payload.
    #[error("fence payload of {0} bytes (expected 0..=64)")]
    FencePayload(u8),
    /// Audio in a format that does not exist.
    #[error("audio format {format} with {channels} channels at {hz} Hz (expected 0..=5, 1..=2, 1..=384000)")]
    AudioFormat {
        /// Sample format number.
        format: u8,
        /// Channels.
        channels: u8,
        /// Samples per second.
        hz: u32,
    },
    /// A name or reason that is too long.
    #[error("text of {length} bytes (expected 0..={max})", max = crate::limits::TEXT_WIRE)]
    TextTooLong {
        /// Its announced length.
        length: u32,
    },
    /// A framebuffer size outside what is supported.
    #[error("framebuffer of {width}x{height} (expected 1..={max} a side)", max = crate::limits::FRAMEBUFFER_SIDE)]
    FramebufferSize {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// A cursor picture that is too large.
    #[error("cursor of {width}x{height} (expected 0..={max} a side)", max = crate::limits::CURSOR_SIDE)]
    CursorSize {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// A field that holds a value without meaning.
    #[error("{field} {value} (expected {expected})")]
    BadField {
        /// Which field.
        field: &'static str,
        /// What it held.
        value: u32,
        /// What would be right.
        expected: &'static str,
    },
}

impl ProtocolError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::PixelFormat(error) => error.fault(),
            Self::FramebufferSize { .. } | Self::CursorSize { .. } => Fault::PeerIncompatible,
            _ => Fault::PeerMisbehaved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rfb_allows_but_is_not_served_is_no_misbehaviour() {
        let deep = PixelFormatError::TooDeep { max: 2047, bits_per_pixel: 32 };
        assert_eq!(ProtocolError::PixelFormat(deep).fault(), Fault::PeerIncompatible);
        assert_eq!(ProtocolError::PixelFormat(PixelFormatError::Overlap).fault(), Fault::PeerMisbehaved);
        assert_eq!(ProtocolError::UnknownClientMessage(99).fault(), Fault::PeerMisbehaved);
        assert_eq!(ProtocolError::FramebufferSize { width: 20_000, height: 1 }.fault(), Fault::PeerIncompatible);
    }

    #[test]
    fn errors_name_the_value_and_what_was_expected() {
        let texts = [
            ProtocolError::FencePayload(65).to_string(),
            ProtocolError::CutTextLength(-1).to_string(),
            ProtocolError::TextTooLong { length: 70_000 }.to_string(),
            ProtocolError::PixelFormat(PixelFormatError::BitsPerPixel(24)).to_string(),
        ];
        assert_eq!(
            texts,
            [
                "fence payload of 65 bytes (expected 0..=64)",
                "cut text length -1 (expected 0..=2147483647 without the extended clipboard)",
                "text of 70000 bytes (expected 0..=65536)",
                "pixel format: 24 bits per pixel (expected 8, 16 or 32)",
            ]
        );
    }
}
