//! Every cap on what a peer may send, in one table.
//!
//! A number that arrives is compared with its cap before anything is allocated or skipped by it. This crate has no clock:
//! what a peer may take and how many there may be is in the server's `net::limits`.

/// Largest width and height of a framebuffer, in px. TigerVNC's viewer ends the session above it.
pub const FRAMEBUFFER_SIDE: u16 = 16_384;

/// Encodings of one SetEncodings that count; the rest of its up to 65,535 are read and ignored.
pub const ENCODINGS: usize = 1_024;

/// Longest plain cut text that is kept, in bytes (TigerVNC's default cap). A longer one is read and dropped.
pub const CUT_TEXT: usize = 256 * 1_024;

/// Longest extended clipboard body that is kept, in bytes on the wire. A longer one is read and dropped.
pub const EXTENDED_CLIPBOARD_WIRE: usize = 1_024 * 1_024 + 64 * 1_024;

/// Longest text of an extended clipboard message after inflation, in bytes with its NUL. A longer one is dropped.
pub const EXTENDED_CLIPBOARD_TEXT: usize = 1_024 * 1_024;

/// Largest body that is read and dropped, in bytes. A peer that announces more is disconnected.
pub const SKIPPED_BODY: u32 = 16 * 1_024 * 1_024;

/// Longest payload of a fence, in bytes.
pub const FENCE_PAYLOAD: usize = 64;

/// Most screens that a SetDesktopSize may ask for. More is answered with "out of resources".
pub const SCREENS: usize = 64;

/// Largest width and height of a cursor picture, in px.
pub const CURSOR_SIDE: u16 = 256;

/// Longest name or reason that is sent or shown, in bytes of UTF-8; longer ones are cut.
pub const TEXT: usize = 1_024;

/// Longest name or reason that a peer may send, in bytes; more is an error.
pub const TEXT_WIRE: usize = 64 * 1_024;

/// Most security types that are offered or accepted in an offer.
pub const SECURITY_TYPES: usize = 255;

/// Largest chunk of audio samples that a client accepts, in bytes.
pub const AUDIO_CHUNK: usize = 1_024 * 1_024;

/// Most bytes that [`ClientParser`](crate::ClientParser) needs to see at once to yield a message, with default limits. A
/// connection's read buffer never has to be larger.
pub const CLIENT_MESSAGE: usize = 8 + EXTENDED_CLIPBOARD_WIRE;
