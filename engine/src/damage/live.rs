//! The picture that a frame brings, read where it lies: the search for moves looks at it beside the mirror, which still holds the old one.
//!
//! What is read twice may be two things, as the source may be written to meanwhile: nothing that is learnt here is trusted.

use super::MirrorData;
use super::source::{Pixels, SEGMENT};
use crate::frame::Piece;

/// A frame over the mirror.
pub(super) struct Live<'a> {
    frame: &'a Pixels<'a>,
    mask: u32,
    mirror: &'a [u32],
    width: usize,
    cols: usize,
}

impl<'a> Live<'a> {
    /// A frame that has been checked against the mirror.
    pub(super) fn new(frame: &'a Pixels<'a>, data: &'a MirrorData) -> Self {
        let (width, cols) = (data.size().w.into(), data.grid.cols().into());
        Self { frame, mask: data.layout.mask(), mirror: &data.pixels, width, cols }
    }

    /// Fills `out` with the pixels of row `y` from column `x` on.
    #[inline]
    pub(super) fn read(&self, y: usize, x: usize, out: &mut [u32]) {
        let end = x + out.len();
        let mut at = 0;
        while at < out.len() {
            let (piece, stop) = self.piece(y, x + at, end);
            let part = &mut out[at..stop - x];
            if let Some(Piece { rect, offset, stride }) = piece {
                let row = offset + (y - usize::from(rect.y)) * stride;
                self.frame.source.read(row + (x + at - usize::from(rect.x)) * 4, part);
                part.iter_mut().for_each(|pixel| *pixel &= self.mask);
            } else {
                part.copy_from_slice(&self.mirror[y * self.width + x + at..][..part.len()]);
            }
            at = stop - x;
        }
    }

    /// The piece that has the pixel in row `y` and column `x`, if any, and how far to the right that holds. Of several the last one,
    /// as in the compare.
    fn piece(&self, y: usize, x: usize, end: usize) -> (Option<&Piece>, usize) {
        if let Some(by_cell) = self.frame.by_cell {
            let (col, row) = (x / SEGMENT, y / SEGMENT);
            let piece = by_cell[row * self.cols + col].checked_sub(1).map(|i| &self.frame.pieces[i as usize]);
            return (piece, end.min((col + 1) * SEGMENT));
        }
        let mut stop = end;
        for piece in self.frame.pieces.iter().rev() {
            let rect = &piece.rect;
            if !(usize::from(rect.y)..rect.bottom().into()).contains(&y) || usize::from(rect.right()) <= x {
                continue;
            }
            if usize::from(rect.x) <= x {
                return (Some(piece), stop.min(rect.right().into()));
            }
            stop = stop.min(rect.x.into());
        }
        (None, stop)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::damage::Mirror;
    use crate::damage::compare::Compare;
    use crate::damage::tests::{Noise, frame, random_rect};
    use crate::frame::{Hint, Memory};
    use crate::geometry::Size;
    use crate::pixel::Layout;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_read_is_what_the_mirror_will_hold(w in 1u16..200, h in 1u16..100, seed in any::<u64>()) {
            let size = Size::new(w, h);
            let mut noise = Noise(seed);
            let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
            let mut data = mirror.write();
            data.pixels.iter_mut().for_each(|pixel| *pixel = noise.next() & 0xff_ffff);
            // pieces that meet and overlap, each with pixels of its own
            let memory: Vec<u32> = (0..64 + (size.area() + u64::from(h) * 10) as usize).map(|_| noise.next()).collect();
            let pieces = (0..4).map(|_| {
                let rect = random_rect(size, &mut noise);
                Piece { rect, offset: noise.below(250), stride: usize::from(rect.w) * 4 + noise.below(40) }
            });
            let given = frame(size, pieces.collect(), Memory::Heap(memory.into()), Hint::Everything);
            let read: Vec<(usize, usize, Vec<u32>)> = (0..usize::from(h))
                .map(|y| {
                    let x = noise.below(w.into());
                    let mut out = vec![0; noise.below(usize::from(w) - x) + 1];
                    Live::new(&Pixels::of(&given).expect("ours"), &data).read(y, x, &mut out);
                    (y, x, out)
                })
                .collect();
            let mut compare = Compare::default();
            compare.begin(&given, &data).expect("a frame");
            compare.run(&Pixels::of(&given).expect("ours"), &mut data);
            for (y, x, out) in read {
                prop_assert_eq!(&data.pixels[y * usize::from(w) + x..][..out.len()], &out[..]);
            }
        }
    }
}
