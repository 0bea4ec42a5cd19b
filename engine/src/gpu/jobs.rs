//! Which parts of which cells are compared, and where their new pixels lie.

use farpane_shaders::Job;

use crate::geometry::{Rect, Region, Size};
use crate::tile::Grid;

/// How the pixels of a picture lie in memory that is read word by word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Word at which the picture's top left pixel is or would be, modulo 2^32.
    pub origin: u32,
    /// Words from one row to the next.
    pub stride: u32,
}

impl Rows {
    /// Those of a picture without gaps.
    pub fn packed(size: Size) -> Self {
        Self { origin: 0, stride: size.w.into() }
    }

    /// Those of memory in which the pixels of `rect` begin at byte `offset`; none when these are no whole words.
    pub fn of_piece(rect: &Rect, offset: usize, stride: usize) -> Option<Self> {
        if !offset.is_multiple_of(4) || !stride.is_multiple_of(4) {
            return None;
        }
        let (offset, stride) = (u32::try_from(offset / 4).ok()?, u32::try_from(stride / 4).ok()?);
        let before = u32::from(rect.y).wrapping_mul(stride).wrapping_add(rect.x.into());
        Some(Self { origin: offset.wrapping_sub(before), stride })
    }
}

/// Adds the parts of cells that a region has. Regions that are added one after the other must not overlap.
pub fn add_jobs(region: &Region, grid: &Grid, rows: Rows, jobs: &mut Vec<Job>) {
    for rect in region.rects() {
        let (cols, lines) = grid.cells(rect);
        for line in lines {
            for col in cols.clone() {
                let cell = grid.rect(col, line);
                let part: Rect = rect.intersect(&cell);
                let clip = [part.x - cell.x, part.y - cell.y, part.right() - cell.x, part.bottom() - cell.y];
                let down = u32::from(cell.y).wrapping_mul(rows.stride);
                jobs.push(Job {
                    cell: grid.index(col, line) as u32,
                    clip: u32::from_le_bytes(clip.map(|v| v as u8)),
                    base: rows.origin.wrapping_add(down).wrapping_add(cell.x.into()),
                    stride: rows.stride,
                });
            }
        }
    }
}

/// A whole picture without gaps, cell by cell.
pub fn whole(size: Size) -> Vec<Job> {
    let mut jobs = Vec::new();
    add_jobs(&Region::from(size.rect()), &Grid::new(size), Rows::packed(size), &mut jobs);
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_leads_to_its_pixels_wherever_a_piece_lies() {
        let grid = Grid::new(Size::new(200, 130));
        let rect = Rect::new(70, 66, 100, 60);
        // the piece's first pixel is word 5, and rows are 103 words
        let rows = Rows::of_piece(&rect, 20, 412).expect("whole words");
        let mut jobs = Vec::new();
        add_jobs(&Region::from(rect), &grid, rows, &mut jobs);
        assert_eq!(jobs.len(), 2);
        for job in jobs {
            let [x0, y0, x1, y1] = job.clip.to_le_bytes().map(u32::from);
            let (left, top) = (job.cell % 4 * 64, job.cell / 4 * 64);
            for (x, y) in [(x0, y0), (x1 - 1, y1 - 1)] {
                let word = job.base.wrapping_add(y * job.stride + x);
                assert_eq!(word, 5 + (top + y - 66) * 103 + (left + x - 70), "{job:?}");
            }
        }
        assert_eq!(Rows::of_piece(&rect, 2, 412), None);
        assert_eq!(Rows::of_piece(&rect, 0, 401), None);
    }
}
