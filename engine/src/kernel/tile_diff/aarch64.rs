//! The kernel with NEON: as `x86.rs`, whose numbered reasons hold here too.
//!
//! ```text
//! for each 64 pixels: any lane different? else done               (1)
//!     for each 16 pixels: a byte of its bit's weight for each; store
//!     three rounds of adding neighbours make the 64 bytes one word of 64 bits
//!     first, end and count are its trailing and leading zeros and its ones
//! fewer than 64 that are left over: the scalar twin
//! ```
#![allow(unsafe_code)]

use std::arch::aarch64::{
    uint8x16_t, uint32x4_t, vandq_u32, vbicq_u8, vceqq_u32, vdupq_n_u8, vdupq_n_u32, vdupq_n_u64, veorq_u32,
    vgetq_lane_u64, vmaxvq_u32, vorrq_u32, vpaddq_u8, vreinterpretq_u8_u16, vreinterpretq_u8_u64,
    vreinterpretq_u16_u32, vreinterpretq_u64_u8, vuzp1q_u8, vuzp1q_u16,
};

use super::{RowDiff, scalar};
use crate::kernel::CpuLevel;

/// Pixels of a block: the bits of a word.
const BLOCK: usize = 64;

/// See [`super::diff_row`]; the scalar twin's work where the CPU lacks NEON.
pub(super) fn diff_row(new: &[u32], old: &mut [u32], mask: u32) -> Option<RowDiff> {
    if CpuLevel::detected() != CpuLevel::Neon {
        return scalar::diff_row(new, old, mask);
    }
    // SAFETY: the line above saw that the CPU has every feature of this level.
    unsafe { row(new, old, mask) }
}

#[target_feature(enable = "neon")]
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
#[target_feature(enable = "neon")]
fn block(new: &[u32; BLOCK], old: &mut [u32; BLOCK], mask: u32) -> u64 {
    let masks = vdupq_n_u32(mask);
    let (new, _) = new.as_chunks::<16>();
    let (old, _) = old.as_chunks_mut::<16>();
    let mut differs = vdupq_n_u32(0);
    for (n, o) in new.iter().zip(&*old) {
        for (n, o) in load(n).into_iter().zip(load(o)) {
            differs = vorrq_u32(differs, veorq_u32(vandq_u32(n, masks), o));
        }
    }
    if vmaxvq_u32(differs) == 0 {
        return 0;
    }
    let mut weights = [vdupq_n_u8(0); BLOCK / 16];
    for ((n, o), weights) in new.iter().zip(old).zip(&mut weights) {
        let [a, b, c, d] = load(n);
        let masked = [vandq_u32(a, masks), vandq_u32(b, masks), vandq_u32(c, masks), vandq_u32(d, masks)];
        *weights = weights_of_unequal(masked, load(o));
        store(o, masked);
    }
    let [a, b, c, d] = weights;
    let pairs = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
    vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(pairs, pairs)))
}

/// A byte for each of 16 pixels: its bit's weight in a byte of eight where the two differ, else zero.
#[inline]
#[target_feature(enable = "neon")]
fn weights_of_unequal(new: [uint32x4_t; 4], old: [uint32x4_t; 4]) -> uint8x16_t {
    let equal = |n, o| vreinterpretq_u16_u32(vceqq_u32(n, o));
    let [n0, n1, n2, n3] = new;
    let [o0, o1, o2, o3] = old;
    let low = vuzp1q_u16(equal(n0, o0), equal(n1, o1));
    let high = vuzp1q_u16(equal(n2, o2), equal(n3, o3));
    let equal = vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
    vbicq_u8(vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201)), equal)
}

#[inline]
#[target_feature(enable = "neon")]
fn load(pixels: &[u32; 16]) -> [uint32x4_t; 4] {
    // SAFETY: 64 bytes of which every value is good for either type.
    unsafe { std::mem::transmute::<[u32; 16], [uint32x4_t; 4]>(*pixels) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(pixels: &mut [u32; 16], value: [uint32x4_t; 4]) {
    // SAFETY: 64 bytes of which every value is good for either type.
    *pixels = unsafe { std::mem::transmute::<[uint32x4_t; 4], [u32; 16]>(value) };
}
