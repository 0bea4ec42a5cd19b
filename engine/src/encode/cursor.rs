//! Bodies of the pointer shape's pseudo-rectangles.
//!
//! The rectangle's header has the hotspot as x and y and the size as w and h; the functions here make what follows. Images go
//! through [`fit`] first: clients refuse more than 256x256 pixels.

use std::borrow::Cow;

use crate::frame::CursorImage;
use crate::geometry::{Point, Rect, Size};
use crate::pixel::{ClientFormat, PixelBytes};

/// The largest width and height that clients take.
pub const MAX_SIDE: u16 = 256;
/// A pixel at least this opaque is shown by clients that know no alpha.
const OPAQUE: u8 = 128;

/// Pseudo-encoding numbers of pointer shapes.
pub mod number {
    /// Pixels in the client's format and a mask.
    pub const RICH: i32 = -239;
    /// Two colours and two bitmaps.
    pub const X: i32 = -240;
    /// Premultiplied RGBA inside an encoding, always Raw here.
    pub const ALPHA: i32 = -314;
    /// VMware's: RGBA, not premultiplied.
    pub const VMWARE: i32 = 0x574d_5664;
}

/// The image cut down to its visible part and to [`MAX_SIDE`]; the hotspot moves along and stays inside.
///
/// An image without a visible pixel becomes one of 0x0 pixels, which hides the pointer.
pub fn fit(image: &CursorImage) -> Cow<'_, CursorImage> {
    let size = Size::new(image.size.w, image.size.h);
    let whole = size.rect();
    let visible = visible(image);
    let spot = image.hotspot;
    // where clients would cut: keep the part that holds the hotspot
    let window = |lo: u16, hi: u16, spot: u16| {
        if hi - lo <= MAX_SIDE {
            (lo, hi)
        } else {
            let start = spot.saturating_sub(MAX_SIDE / 2).clamp(lo, hi - MAX_SIDE);
            (start, start + MAX_SIDE)
        }
    };
    let (x0, x1) = window(visible.x, visible.right(), spot.x);
    let (y0, y1) = window(visible.y, visible.bottom(), spot.y);
    let part = Rect::from_corners(x0, y0, x1, y1);
    if part == whole && image.rgba.len() as u64 == size.area() * 4 {
        return Cow::Borrowed(image);
    }
    let mut rgba = Vec::with_capacity(part.area() as usize * 4);
    for y in part.y..part.bottom() {
        let start = (usize::from(y) * usize::from(size.w) + usize::from(part.x)) * 4;
        rgba.extend_from_slice(image.rgba.get(start..start + usize::from(part.w) * 4).unwrap_or_default());
    }
    let inside = |spot: u16, lo: u16, len: u16| spot.saturating_sub(lo).min(len.saturating_sub(1));
    Cow::Owned(CursorImage {
        size: part.size(),
        hotspot: Point::new(inside(spot.x, part.x, part.w), inside(spot.y, part.y, part.h)),
        rgba,
        serial: image.serial,
    })
}

/// The box of the pixels that are not wholly transparent, stretched to hold the hotspot, as long as that lies inside; empty when there are none.
fn visible(image: &CursorImage) -> Rect {
    let width = usize::from(image.size.w);
    if width == 0 || image.rgba.len() as u64 != image.size.area() * 4 {
        return Rect::default();
    }
    let (mut x0, mut y0, mut x1, mut y1) = (usize::MAX, usize::MAX, 0, 0);
    for (i, pixel) in image.rgba.chunks_exact(4).enumerate() {
        if pixel[3] != 0 {
            let (x, y) = (i % width, i / width);
            (x0, y0, x1, y1) = (x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1));
        }
    }
    if x0 == usize::MAX {
        return Rect::default();
    }
    let (sx, sy) = (usize::from(image.hotspot.x), usize::from(image.hotspot.y));
    if sx < width && sy < usize::from(image.size.h) {
        (x0, y0, x1, y1) = (x0.min(sx), y0.min(sy), x1.max(sx + 1), y1.max(sy + 1));
    }
    Rect::from_corners(x0 as u16, y0 as u16, x1 as u16, y1 as u16)
}

fn pixels(image: &CursorImage) -> impl Iterator<Item = [u8; 4]> + '_ {
    image.rgba.as_chunks::<4>().0.iter().copied()
}

/// The colour before it was multiplied by alpha.
fn straight([r, g, b, a]: [u8; 4]) -> [u8; 4] {
    let half = u32::from(a) / 2;
    let c = |v: u8| (u32::from(v) * 255 + half).checked_div(a.into()).map_or(0, |v| v.min(255) as u8);
    [c(r), c(g), c(b), a]
}

/// One bit per pixel, rows filled up to bytes, the first pixel in the highest bit.
fn bitmap(image: &CursorImage, set: impl Fn([u8; 4]) -> bool, out: &mut Vec<u8>) {
    let width = usize::from(image.size.w);
    if width == 0 {
        return;
    }
    for row in image.rgba.chunks_exact(width * 4) {
        for group in row.as_chunks::<4>().0.chunks(8) {
            let byte = group.iter().fold(0u8, |b, p| b << 1 | u8::from(set(*p)));
            out.push(byte << (8 - group.len()));
        }
    }
}

/// -239: pixels in the client's format, then the mask. For images after [`fit`].
pub fn rich(image: &CursorImage, format: &ClientFormat) -> Vec<u8> {
    let form = PixelBytes::pixel(format);
    let mut out = Vec::with_capacity(image.rgba.len() / 4 * (form.len() + 1));
    for pixel in pixels(image) {
        let [r, g, b, _] = straight(pixel);
        form.push(format.value([r, g, b]), &mut out);
    }
    bitmap(image, |p| p[3] >= OPAQUE, &mut out);
    out
}

/// -240: the two colours, which pixels have the first, the mask. For images after [`fit`].
///
/// The darker half of the image's opaque pixels takes the mean of that half, the brighter half its own mean.
pub fn x(image: &CursorImage) -> Vec<u8> {
    if image.rgba.is_empty() {
        return Vec::new();
    }
    let light = |p: [u8; 4]| {
        let [r, g, b, _] = straight(p);
        2 * u32::from(r) + 5 * u32::from(g) + u32::from(b)
    };
    let opaque = || pixels(image).filter(|p| p[3] >= OPAQUE);
    let (low, high) = opaque().fold((u32::MAX, 0), |(lo, hi), p| (lo.min(light(p)), hi.max(light(p))));
    let middle = low.min(high).midpoint(high);
    // one colour only: it is the foreground
    let first = |p: [u8; 4]| light(p) <= middle;
    let mean = |which: bool| {
        let (mut sums, mut n) = ([0u32; 3], 0u32);
        for p in opaque().filter(|p| first(*p) == which) {
            let colour = straight(p);
            sums.iter_mut().zip(colour).for_each(|(s, c)| *s += u32::from(c));
            n += 1;
        }
        sums.map(|s| s.checked_div(n).map_or(255, |v| v as u8))
    };
    let mut out = Vec::new();
    out.extend_from_slice(&mean(true));
    out.extend_from_slice(&mean(false));
    bitmap(image, |p| p[3] >= OPAQUE && first(p), &mut out);
    bitmap(image, |p| p[3] >= OPAQUE, &mut out);
    out
}

/// -314: the encoding Raw, then premultiplied RGBA. For images after [`fit`].
pub fn alpha(image: &CursorImage) -> Vec<u8> {
    [&0i32.to_be_bytes()[..], &image.rgba].concat()
}

/// VMware's: type 1, then RGBA that is not premultiplied. For images after [`fit`].
pub fn vmware(image: &CursorImage) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + image.rgba.len());
    out.extend_from_slice(&[1, 0]);
    pixels(image).for_each(|p| out.extend_from_slice(&straight(p)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(w: u16, h: u16, spot: (u16, u16), at: impl Fn(u16, u16) -> [u8; 4]) -> CursorImage {
        let rgba = (0..h).flat_map(|y| (0..w).map(move |x| (x, y))).flat_map(|(x, y)| at(x, y)).collect();
        CursorImage { size: Size::new(w, h), hotspot: Point::new(spot.0, spot.1), rgba, serial: 3 }
    }

    #[test]
    fn transparent_borders_are_cut_off_but_not_the_hotspot() {
        let i = image(8, 8, (1, 4), |x, y| if (3..5).contains(&x) && y == 4 { [9, 9, 9, 255] } else { [0; 4] });
        let f = fit(&i);
        assert_eq!((f.size, f.hotspot), (Size::new(4, 1), Point::new(0, 0)));
        assert_eq!(f.rgba[8..], [9, 9, 9, 255, 9, 9, 9, 255]);
        assert_eq!(fit(&f), f);
    }

    #[test]
    fn an_image_without_a_visible_pixel_hides_the_pointer() {
        let f = image(5, 5, (2, 2), |_, _| [0; 4]);
        let f = fit(&f);
        assert_eq!((f.size, f.rgba.len()), (Size::new(0, 0), 0));
        assert!(x(&f).is_empty() && rich(&f, &ClientFormat::BGRX).is_empty());
    }

    #[test]
    fn no_image_is_larger_than_clients_take() {
        let i = image(300, 257, (290, 3), |_, _| [1, 2, 3, 255]);
        let f = fit(&i);
        assert_eq!((f.size, f.hotspot), (Size::new(256, 256), Point::new(246, 3)));
        assert_eq!(f.rgba.len(), 256 * 256 * 4);
    }

    #[test]
    fn an_image_of_the_wrong_length_is_no_image() {
        let mut i = image(4, 4, (0, 0), |_, _| [255; 4]);
        i.rgba.pop();
        assert!(fit(&i).size.area() == 0);
    }

    #[test]
    fn the_bodies_have_their_layouts() {
        let i = image(9, 1, (0, 0), |x, _| match x {
            0 => [128, 64, 0, 128],
            1 => [0; 4],
            _ => [10, 20, 30, 255],
        });
        assert_eq!(alpha(&i)[..8], [0, 0, 0, 0, 128, 64, 0, 128]);
        assert_eq!(vmware(&i)[..6], [1, 0, 255, 128, 0, 128]);
        let rich = rich(&i, &ClientFormat::BGRX);
        assert_eq!(rich[..4], [0, 128, 255, 0]);
        assert_eq!(rich[36..], [0b1011_1111, 0b1000_0000]);
        let x = x(&i);
        assert_eq!(x[..6], [10, 20, 30, 255, 128, 0]);
        assert_eq!(x[6..], [0b0011_1111, 0b1000_0000, 0b1011_1111, 0b1000_0000]);
    }
}
