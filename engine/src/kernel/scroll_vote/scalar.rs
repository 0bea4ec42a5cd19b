//! The definition of the kernel.

use super::WINDOW;

/// Odd factors, one for each doubling of the run.
const FACTORS: [u32; 4] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f];

/// What a run of `WINDOW` equal pixels multiplies its pixel by.
const FLAT: u32 = {
    let mut product = 1u32;
    let mut i = 0;
    while i < FACTORS.len() {
        product = product.wrapping_mul(FACTORS[i].wrapping_add(1));
        i += 1;
    }
    product
};

/// See [`super::window_hashes`].
///
/// A run of `2n` is `hash(first n) * factor + hash(last n)`: four passes give all runs of 16.
#[inline(always)] // compiled once more for each SIMD level
pub fn window_hashes(row: &[u32], out: &mut Vec<u32>) {
    out.clear();
    if row.len() < WINDOW {
        return;
    }
    out.extend_from_slice(row);
    let mut len = row.len();
    for (step, factor) in FACTORS.into_iter().enumerate() {
        let half = 1 << step;
        len -= half;
        for x in 0..len {
            out[x] = out[x].wrapping_mul(factor).wrapping_add(out[x + half]);
        }
    }
    out.truncate(len);
    for (hash, pixel) in out.iter_mut().zip(row) {
        if *hash == pixel.wrapping_mul(FLAT) {
            *hash = 0;
        }
    }
}
