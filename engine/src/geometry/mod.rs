//! Pixel geometry: points, rectangles and regions.
//!
//! Coordinates are unsigned 16-bit pixels, as RFB has them; a rectangle is half open. Stands alone.

mod rect;
mod region;
mod scale;

pub use rect::{Point, Rect, Size};
pub use region::Region;
pub use scale::Scale;
