//! The exact comparison of a displacement, block by block, and the best rectangle of blocks.

use rayon::prelude::*;

use super::scene::Scene;
use crate::damage::Copied;
use crate::damage::compare::PARALLEL_PX;
use crate::damage::source::SEGMENT;
use crate::geometry::Rect;
use crate::tile::CELL;

/// Side of a block; a cell holds whole blocks.
pub(super) const BLOCK: u16 = 16;

const SIDE: usize = BLOCK as usize;
const _: () = assert!(CELL.is_multiple_of(BLOCK) && SEGMENT.is_multiple_of(SIDE));

/// Which blocks of an area moved, and what it would save not to send them.
#[derive(Default)]
pub(super) struct Blocks {
    area: Rect,
    /// The first block's column and row in the picture.
    first: (u16, u16),
    cols: usize,
    rows: usize,
    /// 0 for a block that did not move, else one more than its pixels in what changed.
    worth: Vec<u16>,
    /// What is saved, summed up from the top left; one row and column more than blocks.
    sums: Vec<u64>,
    heights: Vec<u16>,
    stack: Vec<u16>,
}

impl Blocks {
    /// Compares all blocks of `area` with the old picture at the displacement, whose pixels must lie inside the picture; those
    /// that meet a target already taken count as different.
    pub(super) fn verify(&mut self, scene: &Scene<'_>, area: Rect, moved: (i32, i32), taken: &[Copied]) {
        self.area = area;
        self.first = (area.x / BLOCK, area.y / BLOCK);
        self.cols = usize::from(area.right().div_ceil(BLOCK) - self.first.0);
        self.rows = usize::from(area.bottom().div_ceil(BLOCK) - self.first.1);
        self.worth.clear();
        self.worth.resize(if area.is_empty() { 0 } else { self.cols * self.rows }, 1);
        let row = |(i, worth): (usize, &mut [u16])| row(scene, &area, self.first.1 + i as u16, moved, worth);
        if area.area() >= PARALLEL_PX {
            self.worth.par_chunks_mut(self.cols).enumerate().for_each(row);
        } else {
            self.worth.chunks_mut(self.cols.max(1)).enumerate().for_each(row);
        }
        taken.iter().for_each(|c| self.forget(&c.to));
    }

    /// A block in the picture, cut off at the area.
    fn rect(&self, col: usize, row: usize) -> Rect {
        Rect::new((self.first.0 + col as u16) * BLOCK, (self.first.1 + row as u16) * BLOCK, BLOCK, BLOCK)
            .intersect(&self.area)
    }

    /// Blocks that meet `rect` count as different from here on.
    pub(super) fn forget(&mut self, rect: &Rect) {
        let rect = rect.intersect(&self.area);
        if rect.is_empty() {
            return;
        }
        let cols = usize::from(rect.x / BLOCK - self.first.0)..usize::from(rect.right().div_ceil(BLOCK) - self.first.0);
        for row in rect.y / BLOCK - self.first.1..rect.bottom().div_ceil(BLOCK) - self.first.1 {
            self.worth[usize::from(row) * self.cols..][cols.clone()].fill(0);
        }
    }

    /// Of all rectangles of moved blocks the one that saves most, and how much.
    ///
    /// Row by row, the run of moved blocks above each column makes a histogram; every largest rectangle under it is
    /// looked at once (a stack of rising heights).
    pub(super) fn best(&mut self) -> Option<(Rect, u64)> {
        if self.worth.is_empty() {
            return None;
        }
        self.sum_up();
        let pitch = self.cols + 1;
        self.heights.clear();
        self.heights.resize(pitch, 0);
        let mut best = None;
        let mut most = 0;
        for (row, worth) in self.worth.chunks(self.cols).enumerate() {
            self.stack.clear();
            for col in 0..=self.cols {
                let on = worth.get(col).is_some_and(|&w| w > 0);
                self.heights[col] = if on { self.heights[col] + 1 } else { 0 };
                while let Some(&top) = self.stack.last() {
                    let height = self.heights[usize::from(top)];
                    if height < self.heights[col] {
                        break;
                    }
                    self.stack.pop();
                    let left = self.stack.last().map_or(0, |&l| usize::from(l) + 1);
                    let above = row + 1 - usize::from(height);
                    let at = |col: usize, row: usize| self.sums[row * pitch + col];
                    let gain = at(col, row + 1) + at(left, above) - at(col, above) - at(left, row + 1);
                    if gain > most {
                        most = gain;
                        best = Some((left, above, col, row));
                    }
                }
                self.stack.push(col as u16);
            }
        }
        let (left, top, right, bottom) = best?;
        Some((self.rect(left, top).bounds_with(&self.rect(right - 1, bottom)), most))
    }

    fn sum_up(&mut self) {
        let pitch = self.cols + 1;
        self.sums.clear();
        self.sums.resize(pitch, 0);
        for worth in self.worth.chunks(self.cols) {
            let above = self.sums.len() - pitch;
            let mut sum = 0;
            self.sums.push(0);
            for (col, &worth) in worth.iter().enumerate() {
                sum += u64::from(worth.saturating_sub(1));
                self.sums.push(self.sums[above + col + 1] + sum);
            }
        }
    }
}

/// Compares one row of blocks, the picture's `block_row`th.
///
/// ```text
/// for each row, from left to right, cut at the cells' edges
///   unless all blocks of the segment are known to differ
///     copy the segment out of the source, which is made for whole cells
///     compare it block by block, 16 pixels inline                          1
/// ```
/// 1. A call for every 64 bytes would cost more than comparing them.
fn row(scene: &Scene<'_>, area: &Rect, block_row: u16, (dx, dy): (i32, i32), worth: &mut [u16]) {
    let strip = Rect { y: block_row * BLOCK, h: BLOCK, ..*area }.intersect(area);
    let (left, right) = (usize::from(area.x), usize::from(area.right()));
    let mut buffer = [0; SEGMENT];
    let mut moved = worth.len();
    for y in strip.y..strip.bottom() {
        let from = (i32::from(y) - dy) as usize;
        let mut x = left;
        while x < right {
            let end = right.min((x / SEGMENT + 1) * SEGMENT);
            let blocks = x / SIDE - left / SIDE..(end - 1) / SIDE + 1 - left / SIDE;
            let worth = &mut worth[blocks];
            if worth.iter().any(|w| *w > 0) {
                let new = &mut buffer[..end - x];
                scene.new.read(y.into(), x, new);
                moved -= compare(new, scene.old(from, (x as i32 - dx) as usize, end - x), x, worth);
            }
            x = end;
        }
        if moved == 0 {
            return;
        }
    }
    for (i, worth) in worth.iter_mut().enumerate().filter(|(_, w)| **w > 0) {
        let block = Rect { x: (area.x / BLOCK + i as u16) * BLOCK, w: BLOCK, ..strip }.intersect(area);
        *worth += scene.extent(block.x / CELL, block.y / CELL).intersect(&block).area() as u16;
    }
}

/// Compares pixels that start at column `x` of the picture, in the first block of `worth`; returns how many blocks turned out
/// different that were not before.
fn compare(new: &[u32], old: &[u32], x: usize, worth: &mut [u16]) -> usize {
    let head = (SIDE - x % SIDE) % SIDE;
    let (new_head, new) = new.split_at(head.min(new.len()));
    let (old_head, old) = old.split_at(new_head.len());
    let (new, new_tail) = new.as_chunks::<SIDE>();
    let (old, old_tail) = old.as_chunks::<SIDE>();
    let mut lost = 0;
    let mut mark = |worth: &mut u16, differs: bool| {
        lost += usize::from(differs);
        *worth *= u16::from(!differs);
    };
    let mut rest = worth;
    if !new_head.is_empty() {
        let (first, behind) = rest.split_at_mut(1);
        if first[0] > 0 {
            mark(&mut first[0], differ(new_head, old_head));
        }
        rest = behind;
    }
    let (whole, behind) = rest.split_at_mut(new.len());
    for ((new, old), worth) in new.iter().zip(old).zip(whole) {
        if *worth > 0 {
            mark(worth, differ(new, old));
        }
    }
    if let (false, Some(last)) = (new_tail.is_empty(), behind.first_mut())
        && *last > 0
    {
        mark(last, differ(new_tail, old_tail));
    }
    lost
}

/// Whether two runs of the same length differ; without a branch, as they are short.
#[inline(always)] // a block's length is known where it is called
fn differ(new: &[u32], old: &[u32]) -> bool {
    new.iter().zip(old).fold(0, |all, (n, o)| all | (n ^ o)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_of_a_row_counts_for_its_block_alone() {
        let old: Vec<u32> = (0..80).collect();
        for start in 0..20usize {
            for len in 1..60usize {
                for at in 0..len {
                    let mut new = old[start..start + len].to_vec();
                    new[at] ^= 1;
                    let mut worth = vec![1; 6];
                    let lost = compare(&new, &old[start..start + len], start, &mut worth);
                    let block = (start + at) / SIDE - start / SIDE;
                    let want: Vec<u16> = (0..6).map(|i| u16::from(i != block)).collect();
                    assert_eq!((lost, &worth), (1, &want), "{len} from {start}, pixel {at}");
                    assert_eq!(compare(&new, &old[start..start + len], start, &mut worth), 0, "counted once");
                }
            }
        }
    }

    #[test]
    fn the_best_rectangle_is_the_one_that_saves_most() {
        let mut blocks = Blocks {
            area: Rect::new(3, 5, 16 * 6 - 3, 16 * 4 - 5),
            cols: 6,
            rows: 4,
            worth: vec![0; 24],
            ..Blocks::default()
        };
        assert_eq!(blocks.best(), None);
        // a tall one that saves little beside a small one that saves much
        for row in 0..4 {
            blocks.worth[row * 6] = 2;
        }
        for (i, worth) in [(8, 100), (9, 100), (14, 100), (15, 50)] {
            blocks.worth[i] = worth;
        }
        assert_eq!(blocks.best(), Some((Rect::new(32, 16, 32, 32), 99 * 3 + 49)));
        blocks.forget(&Rect::new(47, 31, 1, 1));
        assert_eq!(blocks.best(), Some((Rect::new(48, 16, 16, 32), 99 + 49)));
        blocks.forget(&Rect::new(48, 16, 16, 32));
        assert_eq!(blocks.best(), Some((Rect::new(32, 32, 16, 16), 99)));
        blocks.forget(&Rect::new(32, 32, 16, 16));
        assert_eq!(blocks.best(), Some((Rect::new(3, 5, 13, 59), 4)));
    }
}
