//! A thread's buffers, and the picture of one rectangle in them.

use std::cell::RefCell;

use super::compress::Compressors;
use super::deflate::Section;
use super::{Overlay, Params};
use crate::damage::MirrorData;
use crate::geometry::Rect;
use crate::kernel::convert::convert;
use crate::kernel::{CpuLevel, Palette};
use crate::pixel::{ClientFormat, Layout, PixelBytes, Plan};

/// Buffers that live as long as their thread.
#[derive(Default)]
pub(super) struct Scratch {
    /// The rectangle's mirror words, pointer drawn in; rows without padding.
    pub(super) words: Vec<u32>,
    /// The client's values of them, when they differ.
    pub(super) values: Vec<u32>,
    pub(super) tools: Tools,
    plan: Option<Plan>,
}

/// What encoders work with besides pixels.
#[derive(Default)]
pub(super) struct Tools {
    pub(super) compressors: Compressors,
    pub(super) palette: Palette,
    pub(super) indices: Vec<u8>,
    pub(super) bytes: Vec<u8>,
    /// What is known of stretches of `bytes`.
    pub(super) sections: Vec<Section>,
    #[cfg(feature = "jpeg")]
    pub(super) jpeg: super::jpeg::Jpeg,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// Runs `work` with this thread's buffers.
pub(super) fn with<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => work(&mut scratch),
        // an encode inside an encode cannot happen today; fresh buffers would do
        Err(_) => work(&mut Scratch::default()),
    })
}

/// Pixel values of a rectangle.
#[derive(Clone, Copy)]
pub(super) struct Picture<'a> {
    /// Where it lies on the output.
    pub(super) rect: Rect,
    /// The values from the rectangle's first to its last, rows `stride` apart.
    pub(super) values: &'a [u32],
    /// Values from one row to the next.
    pub(super) stride: usize,
}

impl<'a> Picture<'a> {
    /// Of `w * h` values, rows without padding.
    pub(super) fn packed(rect: Rect, values: &'a [u32]) -> Self {
        Self { rect, values, stride: rect.w.into() }
    }

    /// Of a mirror's words where they lie; the rectangle is not empty and inside the mirror.
    pub(super) fn of_mirror(mirror: &'a MirrorData, rect: Rect) -> Self {
        let stride = usize::from(mirror.size().w);
        let start = usize::from(rect.y) * stride + usize::from(rect.x);
        let len = (usize::from(rect.h) - 1) * stride + usize::from(rect.w);
        Self { rect, values: &mirror.pixels[start..start + len], stride }
    }

    /// The values from the first to the last of a part of it, rows `stride` apart; not empty and inside `rect`.
    #[cfg(feature = "jpeg")]
    pub(super) fn part(self, part: &Rect) -> &'a [u32] {
        let start = usize::from(part.y - self.rect.y) * self.stride + usize::from(part.x - self.rect.x);
        &self.values[start..start + (usize::from(part.h) - 1) * self.stride + usize::from(part.w)]
    }

    /// The rows of a part of it, given in the output's coordinates and inside `rect`.
    pub(super) fn rows(self, part: &Rect) -> impl Iterator<Item = &'a [u32]> + use<'a> {
        let left = usize::from(part.x - self.rect.x);
        let width = usize::from(part.w);
        let top = usize::from(part.y - self.rect.y);
        // the last row may end where the rectangle does
        self.values
            .chunks(self.stride.max(1))
            .skip(top)
            .take(usize::from(part.h))
            .map(move |row| &row[left..left + width])
    }
}

impl Scratch {
    /// Copies a rectangle out of the mirror and draws the pointer into it.
    pub(super) fn load(&mut self, mirror: &MirrorData, rect: &Rect, overlay: Option<&Overlay<'_>>) {
        self.words.clear();
        for y in rect.y..rect.bottom() {
            self.words.extend_from_slice(mirror.row(rect, y));
        }
        if let Some(overlay) = overlay {
            composite(&mut self.words, rect, mirror.layout, overlay);
        }
    }

    /// Turns the loaded words, already converted, into words of eight bits a channel and returns their layout.
    pub(super) fn narrow(&mut self, layout: Layout) -> Layout {
        for word in &mut self.words {
            *word = Layout::BGRX.pixel(layout.rgb(*word));
        }
        Layout::BGRX
    }

    /// Converts the loaded words for this client.
    pub(super) fn convert(&mut self, layout: Layout, format: &ClientFormat) {
        if !self.plan.as_ref().is_some_and(|p| p.is_for(layout, format)) {
            self.plan = Some(Plan::new(layout, format));
        }
        self.values.resize(self.words.len(), 0);
        if let Some(plan) = &self.plan {
            convert(CpuLevel::current(), plan, &self.words, &mut self.values);
        }
    }
}

/// How Tight writes pixels, and whether it can take them from the mirror's words without conversion.
pub(super) fn tpixel(layout: Layout, params: &Params) -> (PixelBytes, bool) {
    let f = &params.format;
    if !f.tpixel_is_rgb() {
        (PixelBytes::pixel(f), false)
    } else if layout.bits == 8 {
        (PixelBytes::Three([layout.r_shift, layout.g_shift, layout.b_shift]), true)
    } else {
        (PixelBytes::Three([f.r_shift, f.g_shift, f.b_shift]), false)
    }
}

/// Draws a premultiplied image over a rectangle's words.
fn composite(words: &mut [u32], rect: &Rect, layout: Layout, overlay: &Overlay<'_>) {
    let size = overlay.image.size;
    let (left, top) = (i64::from(overlay.x), i64::from(overlay.y));
    let columns = left.max(rect.x.into())..(left + i64::from(size.w)).min(rect.right().into());
    let rows = top.max(rect.y.into())..(top + i64::from(size.h)).min(rect.bottom().into());
    for y in rows {
        for x in columns.clone() {
            let at = ((y - top) * i64::from(size.w) + (x - left)) as usize * 4;
            let Some(&[r, g, b, a]) = overlay.image.rgba.get(at..at + 4).and_then(|p| p.as_array()) else { continue };
            if a == 0 {
                continue;
            }
            let word =
                &mut words[(y as usize - usize::from(rect.y)) * usize::from(rect.w) + x as usize - usize::from(rect.x)];
            let under = layout.rgb(*word);
            let over = |s: u8, d: u8| s.saturating_add(((u32::from(d) * u32::from(255 - a) + 127) / 255) as u8);
            *word = layout.pixel([over(r, under[0]), over(g, under[1]), over(b, under[2])]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::CursorImage;
    use crate::geometry::{Point, Size};

    #[test]
    fn the_pointer_is_drawn_clipped_and_blended() {
        let image = CursorImage {
            size: Size::new(2, 2),
            hotspot: Point::new(0, 0),
            rgba: vec![255, 0, 0, 255, 0, 0, 0, 0, 64, 64, 64, 128, 0, 0, 255, 255],
            serial: 1,
        };
        let rect = Rect::new(10, 10, 2, 2);
        let mut words = vec![0x0064_6464; 4];
        composite(&mut words, &rect, Layout::BGRX, &Overlay { image: &image, x: 10, y: 10 });
        assert_eq!(words, [0x00ff_0000, 0x0064_6464, 0x0072_7272, 0x0000_00ff]);
        let mut words = vec![0; 4];
        composite(&mut words, &rect, Layout::BGRX, &Overlay { image: &image, x: 9, y: 9 });
        assert_eq!(words, [0x0000_00ff, 0, 0, 0]);
        composite(&mut words, &rect, Layout::BGRX, &Overlay { image: &image, x: -5, y: i32::MAX });
        assert_eq!(words, [0x0000_00ff, 0, 0, 0]);
    }
}
