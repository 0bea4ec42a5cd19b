//! The kernel with AVX2: the 15 neighbours of a cell's row as two overlapping groups of eight.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm256_and_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_movemask_ps, _mm256_or_si256,
    _mm256_set1_epi8, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_subs_epu8,
};

use super::{CELL, Steps, scalar};
use crate::kernel::CpuLevel;

/// See [`super::count_row`]; the scalar twin's work where the CPU lacks AVX2.
pub(super) fn count_row(row: &[u32], mask: u32, step: u8, cells: &mut [Steps]) {
    if CpuLevel::detected() != CpuLevel::Avx2 {
        return scalar::count_row(row, mask, step, cells);
    }
    // SAFETY: the line above saw that the CPU has every feature of this level.
    unsafe { whole_cells(row, mask, step, cells) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn whole_cells(row: &[u32], mask: u32, step: u8, cells: &mut [Steps]) {
    let (pixels, rest) = row.as_chunks::<CELL>();
    for (pixels, cell) in pixels.iter().zip(&mut *cells) {
        let (c0, m0) = differences(eight::<0>(pixels), eight::<1>(pixels), mask, step);
        let (c1, m1) = differences(eight::<7>(pixels), eight::<8>(pixels), mask, step);
        // the neighbours 7 and 8 are in both groups: once is enough
        cell.seen += CELL as u32 - 1;
        cell.changed += (c0 | (c1 & 0xfe) << 8).count_ones();
        cell.much += (m0 | (m1 & 0xfe) << 8).count_ones();
    }
    if let Some(cell) = cells.get_mut(pixels.len()) {
        scalar::count_cell(rest, mask, step, cell);
    }
}

/// Eight pixels of a cell from a place on.
#[target_feature(enable = "avx2")]
fn eight<const FROM: usize>(cell: &[u32; CELL]) -> __m256i {
    const { assert!(FROM + 8 <= CELL) };
    cell[FROM..].first_chunk::<8>().map_or(_mm256_setzero_si256(), |p| load(p))
}

/// A bit for each lane that differs, and for each that has a channel which differs by more than `step`.
#[target_feature(enable = "avx2")]
fn differences(a: __m256i, b: __m256i, mask: u32, step: u8) -> (u32, u32) {
    let masks = _mm256_set1_epi32(mask as i32);
    let (a, b) = (_mm256_and_si256(a, masks), _mm256_and_si256(b, masks));
    // one of the two saturates to zero
    let d = _mm256_or_si256(_mm256_subs_epu8(a, b), _mm256_subs_epu8(b, a));
    let over = _mm256_subs_epu8(d, _mm256_set1_epi8(step as i8));
    (lanes(d), lanes(over))
}

/// A bit for each lane that is not zero.
#[target_feature(enable = "avx2")]
fn lanes(v: __m256i) -> u32 {
    let zero = _mm256_cmpeq_epi32(v, _mm256_setzero_si256());
    (_mm256_movemask_ps(_mm256_castsi256_ps(zero)) ^ 0xff) as u32
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(pixels: &[u32; 8]) -> __m256i {
    // SAFETY: 32 bytes of which every value is good for either type.
    unsafe { std::mem::transmute::<[u32; 8], __m256i>(*pixels) }
}
