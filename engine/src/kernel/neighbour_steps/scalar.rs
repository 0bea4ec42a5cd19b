//! The definition of the kernel.

use super::{CELL, Steps};

/// See [`super::count_row`].
pub fn count_row(row: &[u32], mask: u32, step: u8, cells: &mut [Steps]) {
    for (pixels, cell) in row.chunks(CELL).zip(cells) {
        count_cell(pixels, mask, step, cell);
    }
}

/// Adds a cell's row of any width.
pub(super) fn count_cell(pixels: &[u32], mask: u32, step: u8, cell: &mut Steps) {
    for pair in pixels.array_windows::<2>() {
        let [a, b] = pair.map(|v| (v & mask).to_le_bytes());
        let d = a.iter().zip(b).fold(0, |d, (a, b)| d.max(a.abs_diff(b)));
        cell.changed += u32::from(d != 0);
        cell.much += u32::from(d > step);
    }
    cell.seen += pixels.len().saturating_sub(1) as u32;
}
