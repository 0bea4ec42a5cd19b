//! The same for parts of cells, with what is gathered of each: the twin of the shader `tile_diff`.

use farpane_shaders::{CELL, Job, Picture, Record};

use super::diff_row;
use crate::kernel::CpuLevel;

/// Side of the squares of which a record says whether anything differs in them.
const SQUARE: usize = 16;

/// Brings the resident picture up to date with the jobs' pixels and gathers what differed, cell by cell.
///
/// Shape: `resident` is a picture without gaps, no bits outside the mask; `fresh` holds the pixels that the jobs name; `records` has one for
/// each cell, zero before.
///
/// # Panics
/// When a job lies outside the picture, or its pixels outside `fresh`.
pub fn diff_cells(
    level: CpuLevel,
    picture: &Picture,
    jobs: &[Job],
    fresh: &[u32],
    resident: &mut [u32],
    records: &mut [Record],
) {
    let width = picture.width as usize;
    for job in jobs {
        let [x0, y0, x1, y1] = job.clip.to_le_bytes().map(usize::from);
        let (left, top) = (job.cell % picture.cols * CELL, job.cell / picture.cols * CELL);
        let origin = top as usize * width + left as usize;
        let record = &mut records[job.cell as usize];
        for y in y0..y1 {
            let row = job.base.wrapping_add(y as u32 * job.stride);
            let mut x = x0;
            while x < x1 {
                let end = x1.min((x / SQUARE + 1) * SQUARE);
                let from = row.wrapping_add(x as u32) as usize;
                let to = origin + y * width + x;
                let new = &fresh[from..from + end - x];
                if let Some(diff) = diff_row(level, new, &mut resident[to..to + end - x], picture.mask) {
                    record.squares |= 1 << (y / SQUARE * 4 + x / SQUARE);
                    record.left = record.left.max(CELL - (x + diff.first) as u32);
                    record.top = record.top.max(CELL - y as u32);
                    record.right = record.right.max((x + diff.end) as u32);
                    record.bottom = record.bottom.max(y as u32 + 1);
                    record.count += diff.count as u32;
                }
                x = end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_gathered_and_what_is_outside_the_clip_is_left_alone() {
        let picture = Picture { width: 70, height: 65, cols: 2, mask: 0xff_ffff, jobs: 1, texel: 0 };
        let fresh = vec![0xaa00_0007; 70 * 65];
        for level in CpuLevel::all() {
            let mut resident = vec![0; 70 * 65];
            let mut records = vec![Record::default(); 4];
            // the last six columns, rows 3 to 17
            let job = Job { cell: 1, clip: u32::from_le_bytes([2, 3, 6, 18]), base: 64, stride: 70 };
            diff_cells(level, &picture, &[job], &fresh, &mut resident, &mut records);
            let want = Record { squares: 0b1_0001, left: 62, top: 61, right: 6, bottom: 18, count: 4 * 15 };
            assert_eq!(records, [Record::default(), want, Record::default(), Record::default()], "{level:?}");
            assert_eq!(resident.iter().filter(|p| **p == 7).count(), 60);
            assert_eq!((resident[3 * 70 + 66], resident[3 * 70 + 65], resident[18 * 70 + 66]), (7, 0, 0));
            let mut again = vec![Record::default(); 4];
            diff_cells(level, &picture, &[job], &fresh, &mut resident, &mut again);
            assert_eq!(again, vec![Record::default(); 4]);
        }
    }
}
