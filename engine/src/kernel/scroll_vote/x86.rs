//! The kernel with AVX2: the scalar twin's own passes, eight runs at a time.
//!
//! Without this level the compiler has no multiplication of 32-bit lanes and must put one together.
//!
//! PERF: `benches/kernels`, scroll_vote.
#![allow(unsafe_code)]

use super::scalar;
use crate::kernel::CpuLevel;

/// See [`super::window_hashes`]; the scalar twin where the CPU lacks AVX2.
pub(super) fn window_hashes(row: &[u32], out: &mut Vec<u32>) {
    if CpuLevel::detected() != CpuLevel::Avx2 {
        return scalar::window_hashes(row, out);
    }
    // SAFETY: the line above saw that the CPU has every feature of this level.
    unsafe { hashes(row, out) }
}

#[target_feature(enable = "avx2")]
fn hashes(row: &[u32], out: &mut Vec<u32>) {
    scalar::window_hashes(row, out);
}
