//! What a CRTC shows, taken apart: buffers, and how they lie one over the other.

use std::os::fd::OwnedFd;

use super::card::Blend;
use crate::geometry::{Rect, Size};

/// Names a buffer between the one who finds it and the one who reads it.
pub type BufferId = u32;

/// A dma-buf and the picture in it.
#[derive(Debug)]
pub struct Buffer {
    /// The memory.
    pub fd: OwnedFd,
    /// Pixels of it.
    pub size: [u32; 2],
    /// Its DRM format code.
    pub fourcc: u32,
    /// Its modifier; none where nobody has said which.
    pub modifier: Option<u64>,
    /// Bytes before the first row and from one row to the next, of each plane of pixels.
    pub planes: Vec<[u32; 2]>,
}

/// A rectangle on a picture, which may reach past its edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Area {
    /// Left edge.
    pub x: i32,
    /// Upper edge.
    pub y: i32,
    /// Width.
    pub w: u32,
    /// Height.
    pub h: u32,
}

/// A buffer on a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Which.
    pub buffer: BufferId,
    /// The part of the buffer that is shown.
    pub source: Rect,
    /// Where it is shown, upright.
    pub to: Area,
    /// Opacity of all of it: 0xffff is all.
    pub alpha: u16,
    /// How the alpha of its pixels is meant.
    pub blend: Blend,
}

/// What a CRTC shows besides the pointer, upright: as the desktop drew it, whichever way the screen hangs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// Its size.
    pub size: Size,
    /// From the lowest to the topmost; none while the screen is dark.
    pub layers: Vec<Layer>,
    /// What changed in the lowest layer since the picture before; none where nobody says.
    pub damage: Option<Vec<Rect>>,
}

/// The pointer on a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// Its shape.
    pub layer: Layer,
    /// The pixel of the shape that points, where the driver says so.
    pub hotspot: Option<[i32; 2]>,
    /// How the shape is turned against the picture: `DRM_MODE_ROTATE_*` and `DRM_MODE_REFLECT_*`.
    pub turned: u32,
    /// Counts up each time that the driver is given a shape, the same one too.
    pub serial: u32,
}
