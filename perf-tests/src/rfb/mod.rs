//! A small viewer: it frames everything a server sends, keeps the bytes, and decodes nothing while it is timed.

mod client;
mod framing;

pub use client::{Client, Style, Update};
pub use framing::{Element, Frames, FramingError, PixelShape, RectHead};

/// Numbers of encodings and pseudo-encodings.
pub mod number {
    /// Plain pixels.
    pub const RAW: i32 = 0;
    /// A part of the picture copied.
    pub const COPY_RECT: i32 = 1;
    /// Background and rectangles.
    pub const RRE: i32 = 2;
    /// As RRE, in 8-bit coordinates.
    pub const CORRE: i32 = 4;
    /// Tiles of 16 pixels.
    pub const HEXTILE: i32 = 5;
    /// Plain pixels, deflated.
    pub const ZLIB: i32 = 6;
    /// Fill, palette, copy or JPEG.
    pub const TIGHT: i32 = 7;
    /// Tiles of 64 pixels, deflated.
    pub const ZRLE: i32 = 16;
    /// Pointer shape.
    pub const CURSOR: i32 = -239;
    /// Pointer shape in two colours.
    pub const X_CURSOR: i32 = -240;
    /// Pointer shape with alpha.
    pub const CURSOR_WITH_ALPHA: i32 = -314;
    /// VMware's pointer shape.
    pub const VMWARE_CURSOR: i32 = 0x574d_5664;
    /// New size of the picture.
    pub const DESKTOP_SIZE: i32 = -223;
    /// End of an update of unknown length.
    pub const LAST_RECT: i32 = -224;
    /// New name of the desktop.
    pub const DESKTOP_NAME: i32 = -307;
    /// New size and layout.
    pub const EXTENDED_DESKTOP_SIZE: i32 = -308;
    /// Fences.
    pub const FENCE: i32 = -312;
    /// Continuous updates.
    pub const CONTINUOUS_UPDATES: i32 = -313;
    /// Lock lights.
    pub const LED_STATE: i32 = -261;
    /// VMware's lock lights.
    pub const VMWARE_LED_STATE: i32 = 0x574d_5668;
    /// JPEG of quality 0; 9 higher is the best.
    pub const QUALITY_0: i32 = -32;
    /// Compression level 0; 9 higher is the smallest.
    pub const COMPRESS_0: i32 = -256;
}
