//! The kernel with AVX2: the definition, compiled for it. What it gains is a multiplication of 32 bits, which SSE2 lacks.
#![allow(unsafe_code)]

use super::scalar;
use crate::kernel::CpuLevel;
use crate::pixel::Layout;

/// See [`scalar::add_row`], whose work it is where the CPU lacks AVX2.
pub(super) fn add_row(row: &[u32], layout: Layout, weight: u32, sums: [&mut [u32]; 3]) {
    if CpuLevel::detected() != CpuLevel::Avx2 {
        return scalar::add_row(row, layout, weight, sums);
    }
    // SAFETY: the line above saw that the CPU has every feature of this level.
    unsafe { wide(row, layout, weight, sums) }
}

#[target_feature(enable = "avx2")]
fn wide(row: &[u32], layout: Layout, weight: u32, sums: [&mut [u32]; 3]) {
    scalar::add_row(row, layout, weight, sums);
}
