//! The kernel with NEON: a cell's row as four vectors, each compared with the same four pixels one place further.
#![allow(unsafe_code)]

use std::arch::aarch64::{
    uint32x4_t, vabdq_u8, vaddq_u32, vaddvq_u32, vandq_u32, vdupq_laneq_u32, vdupq_n_u8, vdupq_n_u32, vextq_u32,
    vqsubq_u8, vreinterpretq_u8_u32, vreinterpretq_u32_u8, vtstq_u32,
};

use super::{CELL, Steps, scalar};
use crate::kernel::CpuLevel;

/// See [`super::count_row`]; the scalar twin's work where the CPU lacks NEON.
pub(super) fn count_row(row: &[u32], mask: u32, step: u8, cells: &mut [Steps]) {
    if CpuLevel::detected() != CpuLevel::Neon {
        return scalar::count_row(row, mask, step, cells);
    }
    // SAFETY: the line above saw that the CPU has every feature of this level.
    unsafe { whole_cells(row, mask, step, cells) }
}

#[target_feature(enable = "neon")]
fn whole_cells(row: &[u32], mask: u32, step: u8, cells: &mut [Steps]) {
    let masks = vdupq_n_u32(mask);
    let steps = vdupq_n_u8(step);
    let (pixels, rest) = row.as_chunks::<CELL>();
    for (pixels, cell) in pixels.iter().zip(&mut *cells) {
        let [a, b, c, d] = load(pixels);
        let [a, b, c, d] = [vandq_u32(a, masks), vandq_u32(b, masks), vandq_u32(c, masks), vandq_u32(d, masks)];
        // the last pixel has no neighbour in the cell and is compared with itself
        let last = vdupq_laneq_u32::<3>(d);
        let pairs = [
            (a, vextq_u32::<1>(a, b)),
            (b, vextq_u32::<1>(b, c)),
            (c, vextq_u32::<1>(c, d)),
            (d, vextq_u32::<1>(d, last)),
        ];
        // a lane that counts is all ones, which is minus one
        let mut changed = vdupq_n_u32(0);
        let mut much = vdupq_n_u32(0);
        for (left, right) in pairs {
            let d = vabdq_u8(vreinterpretq_u8_u32(left), vreinterpretq_u8_u32(right));
            let over = vreinterpretq_u32_u8(vqsubq_u8(d, steps));
            let d = vreinterpretq_u32_u8(d);
            changed = vaddq_u32(changed, vtstq_u32(d, d));
            much = vaddq_u32(much, vtstq_u32(over, over));
        }
        cell.seen += CELL as u32 - 1;
        cell.changed += vaddvq_u32(changed).wrapping_neg();
        cell.much += vaddvq_u32(much).wrapping_neg();
    }
    if let Some(cell) = cells.get_mut(pixels.len()) {
        scalar::count_cell(rest, mask, step, cell);
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn load(pixels: &[u32; CELL]) -> [uint32x4_t; 4] {
    // SAFETY: 64 bytes of which every value is good for either type.
    unsafe { std::mem::transmute::<[u32; CELL], [uint32x4_t; 4]>(*pixels) }
}
