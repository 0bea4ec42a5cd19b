//! Pictures of outputs that are turned or mirrored: compositors hand them out as the hardware scans them, clients get them upright.
//!
//! SOURCE: `wl_output.transform`: the flip comes before the rotation, which is counter-clockwise and leads from the upright
//! picture to the buffer.

use crate::frame::Memory;
use crate::geometry::{Rect, Region, Size};

/// Pixels of a row that are turned at a time: a column of that many targets stays in the nearest cache.
const SEGMENT: usize = 64;

/// Where an upright pixel lies in the buffer: sides exchanged first, then either axis counted from its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    swap: bool,
    from_right: bool,
    from_bottom: bool,
}

impl Turn {
    /// Nothing to do.
    pub(super) const NONE: Self = Self { swap: false, from_right: false, from_bottom: false };

    /// The turn that makes a buffer upright which has this `wl_output.transform`; numbers that are none are taken for 0.
    pub(super) const fn of(transform: u32) -> Self {
        let (swap, from_right, from_bottom) = match transform {
            1 => (true, false, true),
            2 => (false, true, true),
            3 => (true, true, false),
            4 => (false, true, false),
            5 => (true, false, false),
            6 => (false, false, true),
            7 => (true, true, true),
            _ => (false, false, false),
        };
        Self { swap, from_right, from_bottom }
    }

    /// The same for a buffer that stands on its head besides.
    pub(super) const fn inverted(self, yes: bool) -> Self {
        Self { from_bottom: self.from_bottom != yes, ..self }
    }

    /// The upright picture's size, or the buffer's from that of the picture.
    pub(super) const fn size(self, size: Size) -> Size {
        if self.swap { Size::new(size.h, size.w) } else { size }
    }

    /// Where a part of a buffer of that size lies upright.
    pub(super) fn upright(self, part: &Rect, buffer: Size) -> Rect {
        let part = part.intersect(&buffer.rect());
        let x = if self.from_right { buffer.w - part.right() } else { part.x };
        let y = if self.from_bottom { buffer.h - part.bottom() } else { part.y };
        if self.swap { Rect::new(y, x, part.h, part.w) } else { Rect::new(x, y, part.w, part.h) }
    }

    /// The same for many parts.
    pub(super) fn upright_region(self, parts: &Region, buffer: Size) -> Region {
        let mut out = Region::new();
        parts.rects().iter().for_each(|part| out.add(&self.upright(part, buffer)));
        out
    }

    /// The part of a buffer that shows an upright part; the reverse of [`Turn::upright`].
    fn in_buffer(self, part: &Rect, buffer: Size) -> Rect {
        let part = if self.swap { Rect::new(part.y, part.x, part.h, part.w) } else { *part };
        let x = if self.from_right { buffer.w - part.right() } else { part.x };
        let y = if self.from_bottom { buffer.h - part.bottom() } else { part.y };
        Rect::new(x, y, part.w, part.h)
    }

    /// Copies an upright part out of a buffer into a whole upright picture without padding, reading each pixel once. Returns the
    /// bytes copied; a part that does not lie inside both copies nothing.
    pub(super) fn copy(self, from: &Memory, stride: usize, buffer: Size, part: &Rect, out: &mut [u32]) -> u64 {
        let upright = self.size(buffer);
        if !upright.rect().contains(part) || (out.len() as u64) < upright.area() {
            return 0;
        }
        let source = self.in_buffer(part, buffer);
        let width = usize::from(upright.w);
        let mut segment = [0u32; SEGMENT];
        let mut copied = 0;
        for left in (usize::from(source.x)..usize::from(source.right())).step_by(SEGMENT) {
            let count = SEGMENT.min(usize::from(source.right()) - left);
            for row in usize::from(source.y)..usize::from(source.bottom()) {
                let words = &mut segment[..count];
                if !from.read(row * stride + left * 4, words) {
                    return copied;
                }
                let along = |i: usize| if self.from_right { usize::from(buffer.w) - 1 - (left + i) } else { left + i };
                let across = if self.from_bottom { usize::from(buffer.h) - 1 - row } else { row };
                for (i, word) in words.iter().enumerate() {
                    let at = if self.swap { along(i) * width + across } else { across * width + along(i) };
                    out[at] = *word;
                }
                copied += count as u64 * 4;
            }
        }
        copied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word for word: flip about the vertical axis, then turn counter-clockwise by quarters.
    fn buffer_of(upright: &[u32], size: Size, transform: u32) -> (Vec<u32>, Size) {
        let (mut px, mut w, mut h) = (upright.to_vec(), usize::from(size.w), usize::from(size.h));
        if transform >= 4 {
            px.chunks_mut(w).for_each(<[u32]>::reverse);
        }
        for _ in 0..transform % 4 {
            // the right column becomes the top row
            px = (0..w).rev().flat_map(|x| (0..h).map(move |y| (x, y))).map(|(x, y)| px[y * w + x]).collect();
            (w, h) = (h, w);
        }
        (px, Size::new(w as u16, h as u16))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn every_turn_of_every_part_is_upright_again(
            w in 1..150u16, h in 1..90u16, transform in 0..8u32, invert: bool, pad in 0..3usize,
            (x0, x1, y0, y1) in (0..1000u32, 0..1000u32, 0..1000u32, 0..1000u32),
        ) {
            let size = Size::new(w, h);
            let upright: Vec<u32> = (0..size.area() as u32).map(|i| i * 7 + 1).collect();
            let (mut px, buffer) = buffer_of(&upright, size, transform);
            let bw = usize::from(buffer.w);
            if invert {
                px = px.chunks(bw).rev().flatten().copied().collect();
            }
            let stride = (bw + pad) * 4;
            let padded: Vec<u32> =
                px.chunks(bw).flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0xdead_beef, pad))).collect();
            let turn = Turn::of(transform).inverted(invert);
            prop_assert_eq!(turn.size(buffer), size);
            let part = Rect::from_corners(
                (u32::from(w) * x0.min(x1) / 1000) as u16, (u32::from(h) * y0.min(y1) / 1000) as u16,
                (u32::from(w) * x0.max(x1) / 1000 + 1).min(w.into()) as u16, (u32::from(h) * y0.max(y1) / 1000 + 1).min(h.into()) as u16);
            let mut out = vec![0; size.area() as usize];
            let memory = Memory::Heap(padded.into());
            prop_assert_eq!(turn.copy(&memory, stride, buffer, &part, &mut out), part.area() * 4);
            for (i, (got, want)) in out.iter().zip(&upright).enumerate() {
                let inside = part.contains_point(crate::geometry::Point::new((i % usize::from(w)) as u16, (i / usize::from(w)) as u16));
                prop_assert_eq!(*got, if inside { *want } else { 0 });
            }
            prop_assert_eq!(turn.upright(&turn.in_buffer(&part, buffer), buffer), part);
        }
    }

    #[test]
    fn a_part_or_a_target_that_does_not_fit_copies_nothing() {
        let memory = Memory::Heap(vec![1; 12].into());
        let copy = |part: Rect, stride, len| {
            let mut out = vec![0; len];
            Turn::of(1).copy(&memory, stride, Size::new(4, 3), &part, &mut out)
        };
        assert_eq!(copy(Rect::new(0, 0, 3, 4), 16, 12), 48);
        assert_eq!(copy(Rect::new(0, 0, 4, 4), 16, 12), 0);
        assert_eq!(copy(Rect::new(0, 0, 3, 4), 16, 11), 0);
        assert!(copy(Rect::new(0, 0, 3, 4), 20, 12) < 48, "rows past the end of the memory are not read");
    }
}
