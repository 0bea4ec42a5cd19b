//! The pointer's shape out of its plane.

use super::compose::is_readable;
use super::feed::Feed;
use super::picture::{Area, Pointer};
use super::turn::{swaps, upright};
use crate::frame::{CursorImage, Memory};
use crate::geometry::{Point, Size};

/// A pointer is at most this wide and high.
const MOST: u16 = 1024;

/// The shape of a pointer as it stands on the picture; none while its buffer cannot be read.
pub fn shape(feed: &Feed, pointer: &Pointer, serial: u64) -> Option<CursorImage> {
    let held = feed.state().buffers.get(&pointer.layer.buffer)?.as_ref().ok()?.clone();
    let source = pointer.layer.source;
    let (layout, plane) = (held.fourcc.layout()?, held.memory.planes().first().copied()?);
    if !is_readable(&held) || source.is_empty() || source.w > MOST || source.h > MOST {
        return None;
    }
    let size = if swaps(pointer.turned) { Size::new(source.h, source.w) } else { source.size() };
    let memory = Memory::DmaBuf(held.memory);
    let mut rgba = vec![0; usize::from(size.w) * usize::from(size.h) * 4];
    let mut row = vec![0u32; source.w.into()];
    for y in 0..source.h {
        let line = usize::from(source.y) + usize::from(y);
        let offset = plane.offset as usize + line * plane.stride as usize + usize::from(source.x) * 4;
        if !memory.read(offset, &mut row) {
            return None;
        }
        for (x, pixel) in (0i32..).zip(&row) {
            let to = upright(Area { x, y: y.into(), w: 1, h: 1 }, size.w.into(), size.h.into(), pointer.turned);
            let at = (to.y as usize * usize::from(size.w) + to.x as usize) * 4;
            let [r, g, b] = layout.rgb(*pixel);
            rgba.get_mut(at..at + 4)?.copy_from_slice(&[r, g, b, (pixel >> 24) as u8]);
        }
    }
    let inside = |v: i32, most: u16| v.clamp(0, i32::from(most) - 1) as u16;
    let [x, y] = pointer.hotspot.unwrap_or_default();
    let at = upright(Area { x, y, w: 1, h: 1 }, size.w.into(), size.h.into(), pointer.turned);
    let hotspot = Point::new(inside(at.x, size.w), inside(at.y, size.h));
    Some(CursorImage { size, hotspot, rgba, serial })
}
