//! The kernel with AVX2.
//!
//! ```text
//! for each 64 pixels: any lane different? else done               (1)
//!     for each 8 pixels: their bits of a word of 64; store         (2)
//!     first, end and count are its trailing and leading zeros and its ones
//! fewer than 64 that are left over: the scalar twin
//! ```
//! 1. Almost all rows of almost all frames are equal, and storing equal pixels would dirty their cache lines.
//! 2. The scalar twin looks for the first, the last and the count in three loops with a branch a pixel.
//!
//! PERF: `benches/kernels`, tile_diff.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm256_and_si256, _mm256_castsi256_ps, _mm256_cmpeq_epi32, _mm256_movemask_ps, _mm256_or_si256,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_testz_si256, _mm256_xor_si256,
};

use super::{RowDiff, scalar};
use crate::kernel::CpuLevel;

/// Pixels of a block: the bits of a word.
const BLOCK: usize = 64;

/// See [`super::diff_row`]; the scalar twin's work where the CPU lacks AVX2.
pub(super) fn diff_row(new: &[u32], old: &mut [u32], mask: u32) -> Option<RowDiff> {
    if CpuLevel::detected() != CpuLevel::Avx2 {
        return scalar::diff_row(new, old, mask);
    }
    // SAFETY: the line above saw that the CPU has every feature of this level.
    unsafe { row(new, old, mask) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn row(new: &[u32], old: &mut [u32], mask: u32) -> Option<RowDiff> {
    let (new, new_rest) = new.as_chunks::<BLOCK>();
    let (old, old_rest) = old.as_chunks_mut::<BLOCK>();
    let mut whole: Option<RowDiff> = None;
    let mut at = 0;
    for (n, o) in new.iter().zip(old) {
        let bits = block(n, o, mask);
        if bits != 0 {
            let first = at + bits.trailing_zeros() as usize;
            let diff = whole.get_or_insert(RowDiff { first, end: 0, count: 0 });
            diff.end = at + BLOCK - bits.leading_zeros() as usize;
            diff.count += bits.count_ones() as usize;
        }
        at += BLOCK;
    }
    if !new_rest.is_empty()
        && let Some(rest) = scalar::diff_row(new_rest, old_rest, mask)
    {
        let diff = whole.get_or_insert(RowDiff { first: at + rest.first, end: 0, count: 0 });
        diff.end = at + rest.end;
        diff.count += rest.count;
    }
    whole
}

/// Compares and stores 64 pixels; a bit for each that differed.
#[inline]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn block(new: &[u32; BLOCK], old: &mut [u32; BLOCK], mask: u32) -> u64 {
    let masks = _mm256_set1_epi32(mask as i32);
    let (new, _) = new.as_chunks::<8>();
    let (old, _) = old.as_chunks_mut::<8>();
    let mut differs = _mm256_setzero_si256();
    for (n, o) in new.iter().zip(&*old) {
        let n = _mm256_and_si256(load(n), masks);
        differs = _mm256_or_si256(differs, _mm256_xor_si256(n, load(o)));
    }
    if _mm256_testz_si256(differs, differs) == 1 {
        return 0;
    }
    let mut bits = 0;
    let mut at = 0;
    for (n, o) in new.iter().zip(old) {
        let n = _mm256_and_si256(load(n), masks);
        let equal = _mm256_cmpeq_epi32(n, load(o));
        bits |= u64::from(!_mm256_movemask_ps(_mm256_castsi256_ps(equal)) as u8) << at;
        store(o, n);
        at += 8;
    }
    bits
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(pixels: &[u32; 8]) -> __m256i {
    // SAFETY: 32 bytes of which every value is good for either type.
    unsafe { std::mem::transmute::<[u32; 8], __m256i>(*pixels) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(pixels: &mut [u32; 8], value: __m256i) {
    // SAFETY: 32 bytes of which every value is good for either type.
    *pixels = unsafe { std::mem::transmute::<__m256i, [u32; 8]>(value) };
}
