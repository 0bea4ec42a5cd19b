//! The definition.

use crate::pixel::Layout;

/// Adds a row of pixels, `weight` times, to the sums of its columns, which are as many. Sums wrap around.
#[inline]
pub fn add_row(row: &[u32], layout: Layout, weight: u32, sums: [&mut [u32]; 3]) {
    let mask = (1 << layout.bits) - 1;
    for (sums, shift) in sums.into_iter().zip([layout.r_shift, layout.g_shift, layout.b_shift]) {
        for (sum, px) in sums.iter_mut().zip(row) {
            *sum = sum.wrapping_add(((px >> shift) & mask).wrapping_mul(weight));
        }
    }
}
