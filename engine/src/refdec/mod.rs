//! A slow, plain decoder of every encoding: the oracle of tests. Shares no code with the encoders.
//!
//! [`Decoder`] holds a picture and decodes one rectangle at a time. [`Viewer`] cuts the server's byte stream, from
//! the first message after ServerInit on, into messages and feeds the rectangles to its decoder. Both are stricter
//! than real clients: whatever any known client drops the connection for is an error here, and so are bytes left
//! over where a chunk should have been used up.
//!
//! Invariants: a rectangle is decoded whole or not at all; no input makes it panic; nothing is allocated that the
//! input's length or a fixed limit does not bound.
//!
//! Tested by the golden transcripts of other servers (`tests/golden.rs`), whole, cut at every place and mutated.

mod decoder;
mod error;
#[cfg(feature = "h264")]
mod h264;
mod inflate;
mod pseudo;
mod reader;
mod simple;
mod tight;
mod tiles;
mod viewer;

pub use decoder::{CursorShape, Decoder, RectHeader, Screen};
pub use error::DecodeError;
pub use inflate::inflate_message;
pub use viewer::{RectInfo, ServerEvent, Update, Viewer};

/// Encoding and pseudo-encoding numbers that the decoder knows.
pub mod encoding {
    /// Plain pixels.
    pub const RAW: i32 = 0;
    /// A part of the picture copied.
    pub const COPY_RECT: i32 = 1;
    /// Background and rectangles.
    pub const RRE: i32 = 2;
    /// As RRE, with 8-bit coordinates.
    pub const CORRE: i32 = 4;
    /// 16-pixel tiles of background and rectangles.
    pub const HEXTILE: i32 = 5;
    /// Plain pixels, deflated.
    pub const ZLIB: i32 = 6;
    /// Fill, palette, gradient, copy or JPEG.
    pub const TIGHT: i32 = 7;
    /// 16-pixel tiles of palettes and runs.
    pub const TRLE: i32 = 15;
    /// 64-pixel tiles of palettes and runs, deflated.
    pub const ZRLE: i32 = 16;
    /// Plain pixels, each rectangle a zstd frame.
    pub const ZSTD: i32 = 25;
    /// As Tight, with zstd frames.
    pub const TIGHT_ZSTD: i32 = 26;
    /// As ZRLE, with zstd frames.
    pub const ZSTD_RLE: i32 = 28;
    /// Payloads of video streams, one for each rectangle.
    pub const H264: i32 = 50;
    /// Pointer shape in client pixels with a mask.
    pub const CURSOR: i32 = -239;
    /// Pointer shape in two colours.
    pub const X_CURSOR: i32 = -240;
    /// Pointer shape with premultiplied alpha.
    pub const CURSOR_WITH_ALPHA: i32 = -314;
    /// Pointer shape as VMware has it.
    pub const VMWARE_CURSOR: i32 = 0x574d_5664;
    /// Pointer position as VMware has it.
    pub const VMWARE_CURSOR_POSITION: i32 = 0x574d_5666;
    /// Lock lights as VMware has them.
    pub const VMWARE_LED_STATE: i32 = 0x574d_5668;
    /// Pointer position.
    pub const POINTER_POS: i32 = -232;
    /// New size of the picture.
    pub const DESKTOP_SIZE: i32 = -223;
    /// End of an update of unknown length.
    pub const LAST_RECT: i32 = -224;
    /// Absolute or relative pointer.
    pub const QEMU_POINTER_MODE: i32 = -257;
    /// The server takes QEMU key events.
    pub const QEMU_KEY: i32 = -258;
    /// The server can send sound.
    pub const QEMU_AUDIO: i32 = -259;
    /// Lock lights.
    pub const LED_STATE: i32 = -261;
    /// The desktop's name.
    pub const DESKTOP_NAME: i32 = -307;
    /// New size and screen layout.
    pub const EXTENDED_DESKTOP_SIZE: i32 = -308;
    /// Fences.
    pub const FENCE: i32 = -312;
    /// Continuous updates.
    pub const CONTINUOUS_UPDATES: i32 = -313;
    /// The server takes extended pointer events.
    pub const EXTENDED_MOUSE_BUTTONS: i32 = -316;
    /// Extended clipboard.
    pub const EXTENDED_CLIPBOARD: i32 = 0xc0a1_e5ce_u32 as i32;
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod zstd_tests;
