//! What a client looks at: outputs on a canvas, and a pointer drawn on top where the client cannot show one.

use std::sync::Arc;

use super::output::Output;
use crate::frame::CursorImage;
use crate::geometry::{Point, Rect, Size};

/// One output on a client's canvas.
#[derive(Clone)]
pub struct ViewOutput {
    /// The output's pipeline.
    pub output: Arc<Output>,
    /// Where its top left corner lies on the canvas.
    pub at: Point,
    /// Its size in the layout; pixels of the mirror beyond it are not shown.
    pub size: Size,
}

/// The outputs that a client sees, on one canvas.
#[derive(Clone, Default)]
pub struct View {
    /// Size of the canvas; what no output covers is black.
    pub canvas: Size,
    /// The outputs.
    pub outputs: Vec<ViewOutput>,
}

/// The pointer, for a client that has to have it drawn into the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// The shape.
    pub image: Arc<CursorImage>,
    /// Where its hotspot is on the canvas.
    pub at: Point,
}

impl Pointer {
    /// The pixels of the canvas that it covers.
    pub(super) fn rect(&self) -> Rect {
        self.image.size.rect().translate(
            i32::from(self.at.x) - i32::from(self.image.hotspot.x),
            i32::from(self.at.y) - i32::from(self.image.hotspot.y),
        )
    }
}
