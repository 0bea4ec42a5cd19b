//! What changed pixels were before the newest frame: kept by the compare, read by the search for moves.
//!
//! Shape: a picture as large as the mirror, of which only those rows of cells are ever written that changed while somebody
//! wanted to know. Memory that was never written takes no room, so there is no second picture while only
//! letters change. Everything that is not kept is still in the mirror.

use super::MirrorData;
use crate::tile::{CELL, Grid};

const SIDE: usize = CELL as usize;

// one bit for each row of a cell
const _: () = assert!(SIDE == u64::BITS as usize);

/// Old pixels of the cells that the newest frame changed.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) pixels: Vec<u32>,
    /// For each cell a bit for each of its rows that is kept.
    pub(super) rows: Vec<u64>,
}

impl Kept {
    /// Makes ready for a frame: nothing is kept.
    pub(super) fn reset(&mut self, grid: &Grid) {
        let size = grid.size();
        let len = usize::from(size.w) * usize::from(size.h);
        if self.pixels.len() != len {
            // fresh zeros come from the system untouched; growing would write them
            self.pixels = vec![0; len];
        }
        self.rows.clear();
        self.rows.resize(grid.len(), 0);
    }

    /// The picture before the frame whose changes are kept.
    pub(super) fn old<'a>(&'a self, data: &'a MirrorData) -> Old<'a> {
        Old {
            kept: &self.pixels,
            rows: &self.rows,
            mirror: &data.pixels,
            width: data.size().w.into(),
            cols: data.grid.cols().into(),
        }
    }
}

/// One row of cells of what is kept, for the core that compares it.
pub(super) struct KeptBand<'a> {
    pub(super) pixels: &'a mut [u32],
    pub(super) rows: &'a mut [u64],
}

impl KeptBand<'_> {
    /// Whether row `y` of the cell in column `col` is kept already; a later look at it sees new pixels.
    pub(super) fn has(&self, col: usize, y: usize) -> bool {
        self.rows[col] >> y & 1 == 1
    }

    /// Keeps row `y` of the cell in column `col` in a picture of `width`.
    pub(super) fn keep(&mut self, col: usize, y: usize, width: usize, before: &[u32]) {
        self.rows[col] |= 1 << y;
        let at = y * width + col * SIDE;
        self.pixels[at..at + before.len()].copy_from_slice(before);
    }
}

/// The picture before the newest frame.
#[derive(Clone, Copy)]
pub(super) struct Old<'a> {
    kept: &'a [u32],
    rows: &'a [u64],
    mirror: &'a [u32],
    width: usize,
    cols: usize,
}

impl<'a> Old<'a> {
    /// The pixels of row `y` from column `x` on, up to `end` or to where they lie elsewhere; at least one.
    pub(super) fn run(&self, y: usize, x: usize, end: usize) -> &'a [u32] {
        let rows = &self.rows[y / SIDE * self.cols..][..self.cols];
        let bit = 1 << (y % SIDE);
        let first = rows[x / SIDE] & bit;
        let mut stop = (x / SIDE + 1) * SIDE;
        while stop < end && rows[stop / SIDE] & bit == first {
            stop += SIDE;
        }
        let from = if first != 0 { self.kept } else { self.mirror };
        &from[y * self.width..][x..stop.min(end)]
    }

    /// The pixels of row `y` from column `x` on; `buffer`, of their number, is used when they do not lie together.
    pub(super) fn row<'b>(&self, y: usize, x: usize, buffer: &'b mut [u32]) -> &'b [u32]
    where
        'a: 'b,
    {
        let end = x + buffer.len();
        let whole = self.run(y, x, end);
        if whole.len() == buffer.len() {
            return whole;
        }
        let mut at = 0;
        while at < buffer.len() {
            let part = self.run(y, x + at, end);
            buffer[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        buffer
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::damage::Mirror;
    use crate::damage::compare::Compare;
    use crate::damage::tests::{Noise, frame, poisoned, random_rect};
    use crate::frame::Hint;
    use crate::geometry::{Region, Size};
    use crate::pixel::Layout;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_old_picture_can_be_read_whatever_the_frame_brought(
            w in 1u16..300, h in 1u16..200, seed in any::<u64>(), hinted in any::<bool>()
        ) {
            let size = Size::new(w, h);
            let mut noise = Noise(seed);
            let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
            let mut data = mirror.write();
            let (mut compare, mut kept) = (Compare::default(), Kept::default());
            for _ in 0..3 {
                let before = data.pixels.clone();
                let mut new = before.clone();
                for _ in 0..4 {
                    let r = random_rect(size, &mut noise);
                    for y in r.y..r.bottom() {
                        for x in r.x..r.right() {
                            new[usize::from(y) * usize::from(w) + usize::from(x)] = noise.next() & 0xff_ffff;
                        }
                    }
                }
                // pieces and parts of the hint meet and overlap, and the later ones bring other pixels
                let rects: Vec<_> = (0..3).map(|_| random_rect(size, &mut noise)).collect();
                let hint = Region::from(random_rect(size, &mut noise));
                let hint = if hinted { Hint::Only(hint) } else { Hint::Everything };
                let (pieces, memory) = poisoned(size, &rects, &new, &mut noise);
                kept.reset(&data.grid);
                compare.run(&frame(size, pieces, memory, hint), &mut data, Some(&mut kept)).expect("a frame");
                let old = kept.old(&data);
                for y in 0..usize::from(h) {
                    let x = noise.below(w.into());
                    let mut buffer = vec![0; noise.below(usize::from(w) - x) + 1];
                    let at = y * usize::from(w) + x;
                    let want = &before[at..at + buffer.len()];
                    prop_assert_eq!(old.row(y, x, &mut buffer), want);
                    let run = old.run(y, x, x + want.len());
                    prop_assert!(!run.is_empty() && *run == want[..run.len()]);
                }
            }
        }
    }

    #[test]
    fn what_was_overwritten_twice_is_kept_once() {
        let size = Size::new(100, 3);
        let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
        let mut data = mirror.write();
        data.pixels.fill(1);
        let mut kept = Kept::default();
        kept.reset(&data.grid);
        let pixels: Vec<u32> = (0..600).map(|i| if i < 300 { 2 } else { 3 }).collect();
        let piece = |offset| crate::frame::Piece { rect: size.rect(), offset, stride: 400 };
        let memory = crate::frame::Memory::Heap(pixels.into());
        let twice = frame(size, vec![piece(0), piece(1200)], memory, Hint::Everything);
        Compare::default().run(&twice, &mut data, Some(&mut kept)).expect("a frame");
        assert!(data.pixels.iter().all(|p| *p == 3));
        let mut buffer = [0; 100];
        assert!((0..3).all(|y| kept.old(&data).row(y, 0, &mut buffer) == [1; 100]));
    }
}
