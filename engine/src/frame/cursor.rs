//! The pointer's shape.

use crate::geometry::{Point, Size};

/// A pointer shape: premultiplied RGBA and the pixel of it that points.
///
/// Shape: `size.w * size.h` pixels, rows without padding, each four bytes R, G, B, A with the colour already
/// multiplied by alpha.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorImage {
    /// Width and height; 0x0 means that no pointer is shown.
    pub size: Size,
    /// The pixel that points, inside the image.
    pub hotspot: Point,
    /// `size.w * size.h * 4` bytes R, G, B, A, premultiplied.
    pub rgba: Vec<u8>,
    /// Counts up with every new shape of a desktop; equal serials mean equal images.
    pub serial: u64,
}
