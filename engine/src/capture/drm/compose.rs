//! Layers laid over each other by the processor: where one lets the one below shine through, or is shown at another size.

use super::card::Blend;
use super::feed::Held;
use super::picture::{Area, Layer};
use crate::frame::Memory;
use crate::geometry::Rect;
use crate::pixel::{Fourcc, Modifier};

/// Whether the pixels of a format say how much they cover.
const fn has_alpha(fourcc: Fourcc) -> bool {
    matches!(fourcc, Fourcc::ARGB8888 | Fourcc::ABGR8888)
}

/// The part of a layer that lies on a picture whose pixels are `picture`.
pub(super) fn visible(to: &Area, picture: &Rect) -> Rect {
    let side = |v: i64| v.clamp(0, i64::from(u16::MAX)) as u16;
    let (x, y) = (i64::from(to.x), i64::from(to.y));
    Rect::from_corners(side(x), side(y), side(x + i64::from(to.w)), side(y + i64::from(to.h))).intersect(picture)
}

/// Whether a layer can be shown as its buffer has it: nothing shines through and no pixel is stretched.
pub(super) fn is_plain(layer: &Layer, held: &Held) -> bool {
    let opaque = layer.alpha == u16::MAX && (layer.blend == Blend::None || !has_alpha(held.fourcc));
    opaque && (u32::from(layer.source.w), u32::from(layer.source.h)) == (layer.to.w, layer.to.h)
}

/// Whether the processor can read a layer.
pub(super) fn is_readable(held: &Held) -> bool {
    held.modifier == Modifier::LINEAR && held.fourcc.layout().is_some_and(|layout| layout.bits == 8)
}

/// The pixels of a part of a picture, without gaps, each as its layers make it. Layers that cannot be read are left out.
pub(super) fn compose(rect: &Rect, layers: &[(Layer, Held)], fourcc: Fourcc) -> Vec<u32> {
    let width = usize::from(rect.w);
    let mut out = vec![0u32; width * usize::from(rect.h)];
    let Some(layout) = fourcc.layout() else { return out };
    let mut row = Vec::new();
    for (layer, held) in layers.iter().filter(|(_, held)| is_readable(held)) {
        let part = visible(&layer.to, rect);
        let (Some(from), Some(plane)) = (held.fourcc.layout(), held.memory.planes().first()) else { continue };
        let memory = Memory::DmaBuf(std::sync::Arc::clone(&held.memory));
        let along = |at: u16, to: i32, length: u32, source: u16| {
            let inside = (i64::from(at) - i64::from(to)) * i64::from(source);
            usize::try_from(inside.checked_div(length.into()).unwrap_or(0)).unwrap_or(0)
        };
        row.resize(usize::from(layer.source.w), 0u32);
        let mut read = None;
        for y in part.y..part.bottom() {
            let line = usize::from(layer.source.y) + along(y, layer.to.y, layer.to.h, layer.source.h);
            if read != Some(line) {
                let offset = plane.offset as usize + line * plane.stride as usize + usize::from(layer.source.x) * 4;
                if !memory.read(offset, &mut row) {
                    break;
                }
                read = Some(line);
            }
            let start = usize::from(y - rect.y) * width + usize::from(part.x - rect.x);
            for (x, below) in (part.x..part.right()).zip(&mut out[start..]) {
                let pixel = row.get(along(x, layer.to.x, layer.to.w, layer.source.w)).copied().unwrap_or(0);
                let cover = if has_alpha(held.fourcc) && layer.blend != Blend::None { pixel >> 24 } else { 255 };
                let colour = over(from.rgb(pixel), layout.rgb(*below), cover, layer);
                *below = layout.pixel(colour);
            }
        }
    }
    out
}

/// A pixel that covers so much of 255 laid over another.
///
/// SOURCE: the kernel's "pixel blend mode": a plane's alpha multiplies that of its pixels.
fn over(above: [u8; 3], below: [u8; 3], cover: u32, layer: &Layer) -> [u8; 3] {
    let all = u64::from(layer.alpha);
    // of 255 * 65535
    let whole = 255 * 65_535;
    let covered = u64::from(cover) * all;
    let strength = match layer.blend {
        Blend::Coverage => covered,
        Blend::Premultiplied | Blend::None => 255 * all,
    };
    [0, 1, 2].map(|i| {
        let mixed = u64::from(above[i]) * strength + u64::from(below[i]) * (whole - covered);
        ((mixed + whole / 2) / whole).min(255) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(alpha: u16, blend: Blend) -> Layer {
        let source = Rect::new(0, 0, 2, 2);
        Layer { buffer: 0, source, to: Area { x: 0, y: 0, w: 2, h: 2 }, alpha, blend }
    }

    #[test]
    fn pixels_cover_as_much_as_they_and_their_plane_say() {
        let (above, below) = ([200, 100, 0], [100, 100, 100]);
        let all = layer(u16::MAX, Blend::Premultiplied);
        assert_eq!(over(above, below, 255, &all), above);
        assert_eq!(over([0, 0, 0], below, 0, &all), below);
        assert_eq!(over([100, 50, 0], below, 128, &all), [150, 100, 50], "premultiplied");
        assert_eq!(over(above, below, 128, &layer(u16::MAX, Blend::Coverage)), [150, 100, 50]);
        assert_eq!(over(above, below, 255, &layer(0x8000, Blend::None)), [150, 100, 50]);
        assert_eq!(over(above, below, 255, &layer(0, Blend::None)), below);
        assert_eq!(over([255; 3], [255; 3], 0, &all), [255; 3], "light that adds up stays white");
    }

    #[test]
    fn what_hangs_over_an_edge_is_cut() {
        let picture = Rect::new(0, 0, 100, 50);
        let area = |x, y, w, h| Area { x, y, w, h };
        assert_eq!(visible(&area(-10, 40, 20, 20), &picture), Rect::new(0, 40, 10, 10));
        assert!(visible(&area(100, 0, 20, 20), &picture).is_empty());
        assert!(visible(&area(i32::MIN, 0, 20, 20), &picture).is_empty());
        assert_eq!(visible(&area(0, 0, u32::MAX, u32::MAX), &picture), picture);
    }
}
