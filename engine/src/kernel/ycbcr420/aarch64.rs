//! The kernel with NEON.
//!
//! ```text
//! for each 16 columns of both rows:
//!     channels of eight words as eight numbers of 16 bits                     (1)
//!     luma of a row: channels times weights, added in 32 bits, shifted        (2)
//!     channels of both rows added, then of neighbours: the sums of blocks
//!     Cb and Cr of the sums: as luma
//! columns that are left over: the scalar twin
//! ```
//!
//! 1. Two vectors' lower halves of words are one vector, and their upper halves another; a byte of each is a channel.
//! 2. The shifts round, which is what the definition adds before them.
#![allow(unsafe_code)]

use std::arch::aarch64::{
    int16x8_t, uint8x8_t, uint8x16_t, uint16x8_t, uint32x4_t, vaddq_s16, vaddq_u16, vandq_u16, vcombine_s16,
    vcombine_u8, vcombine_u16, vdupq_n_s16, vdupq_n_u16, vget_high_s16, vget_high_u16, vget_low_s16, vget_low_u16,
    vmlal_n_s16, vmlal_n_u16, vmovn_s32, vmovn_u16, vmull_n_s16, vmull_n_u16, vpaddq_u16, vqmovun_s16,
    vreinterpretq_s16_u16, vreinterpretq_u16_u32, vrshrn_n_u32, vrshrq_n_s32, vshrq_n_u16, vuzp1q_u16, vuzp2q_u16,
};

use super::{Order, Rows, scalar};
use crate::kernel::CpuLevel;

/// Columns of a step.
const STEP: usize = 16;

/// See [`super::ycbcr420`]; the scalar twin's work where the CPU lacks NEON.
pub(super) fn ycbcr420(order: Order, rows: [&[u32]; 2], out: Rows<'_>) {
    if CpuLevel::detected() != CpuLevel::Neon {
        return scalar::ycbcr420(order, rows, out);
    }
    // SAFETY: the line above saw that the CPU has every feature of this level.
    unsafe { whole_steps(order, rows, out) }
}

#[target_feature(enable = "neon")]
fn whole_steps(order: Order, rows: [&[u32]; 2], out: Rows<'_>) {
    let [(above, above_rest), (below, below_rest)] = rows.map(<[u32]>::as_chunks::<STEP>);
    // an odd column more makes one of luma more: the steps are the words', not the outputs'
    let columns = above.len() * STEP;
    let [(y_above, y_above_rest), (y_below, y_below_rest)] = out.luma.map(|luma| luma.split_at_mut(columns));
    let [(u, u_rest), (v, v_rest)] = [out.cb, out.cr].map(|chroma| chroma.split_at_mut(columns / 2));
    let ys = y_above.as_chunks_mut::<STEP>().0.iter_mut().zip(y_below.as_chunks_mut::<STEP>().0);
    let uvs = u.as_chunks_mut::<{ STEP / 2 }>().0.iter_mut().zip(v.as_chunks_mut::<{ STEP / 2 }>().0);
    for (((above, below), (y_above, y_below)), (u, v)) in above.iter().zip(below).zip(ys).zip(uvs) {
        let (above, below) = (channels(order, above), channels(order, below));
        *y_above = store(vcombine_u8(luma(above[0]), luma(above[1])));
        *y_below = store(vcombine_u8(luma(below[0]), luma(below[1])));
        // sums of four bytes: far from the sign
        let [r, g, b] = [0, 1, 2].map(|channel| {
            let [left, right] = [0, 1].map(|half| vaddq_u16(above[half][channel], below[half][channel]));
            vreinterpretq_s16_u16(vpaddq_u16(left, right))
        });
        *u = store_half(chroma([r, g, b], [-3298, -11094, 14392]));
        *v = store_half(chroma([r, g, b], [14392, -13073, -1319]));
    }
    let rest = Rows { luma: [y_above_rest, y_below_rest], cb: u_rest, cr: v_rest };
    scalar::ycbcr420(order, [above_rest, below_rest], rest);
}

/// Red, green and blue of the first eight words and of the others.
#[inline]
#[target_feature(enable = "neon")]
fn channels(order: Order, words: &[u32; STEP]) -> [[uint16x8_t; 3]; 2] {
    let byte = vdupq_n_u16(0xff);
    let [a, b, c, d] = load(words).map(|words| vreinterpretq_u16_u32(words));
    [(a, b), (c, d)].map(|(a, b)| {
        let lower = vuzp1q_u16(a, b);
        let [low, green, high] = [vandq_u16(lower, byte), vshrq_n_u16::<8>(lower), vandq_u16(vuzp2q_u16(a, b), byte)];
        match order {
            Order::Bgrx => [high, green, low],
            Order::Rgbx => [low, green, high],
        }
    })
}

#[inline]
#[target_feature(enable = "neon")]
fn luma([r, g, b]: [uint16x8_t; 3]) -> uint8x8_t {
    let low = vmull_n_u16(vget_low_u16(r), 5983);
    let low = vmlal_n_u16(vmlal_n_u16(low, vget_low_u16(g), 20127), vget_low_u16(b), 2032);
    let high = vmull_n_u16(vget_high_u16(r), 5983);
    let high = vmlal_n_u16(vmlal_n_u16(high, vget_high_u16(g), 20127), vget_high_u16(b), 2032);
    let shifted = vcombine_u16(vrshrn_n_u32::<15>(low), vrshrn_n_u32::<15>(high));
    vmovn_u16(vaddq_u16(shifted, vdupq_n_u16(16)))
}

/// Eight blocks' Cb or Cr, by the weights of their sums.
#[inline]
#[target_feature(enable = "neon")]
fn chroma([r, g, b]: [int16x8_t; 3], [of_r, of_g, of_b]: [i16; 3]) -> uint8x8_t {
    let low = vmull_n_s16(vget_low_s16(r), of_r);
    let low = vmlal_n_s16(vmlal_n_s16(low, vget_low_s16(g), of_g), vget_low_s16(b), of_b);
    let high = vmull_n_s16(vget_high_s16(r), of_r);
    let high = vmlal_n_s16(vmlal_n_s16(high, vget_high_s16(g), of_g), vget_high_s16(b), of_b);
    let shifted = vcombine_s16(vmovn_s32(vrshrq_n_s32::<17>(low)), vmovn_s32(vrshrq_n_s32::<17>(high)));
    vqmovun_s16(vaddq_s16(shifted, vdupq_n_s16(128)))
}

#[inline]
#[target_feature(enable = "neon")]
fn load(words: &[u32; STEP]) -> [uint32x4_t; 4] {
    // SAFETY: 64 bytes of which every value is good for either type.
    unsafe { std::mem::transmute::<[u32; STEP], [uint32x4_t; 4]>(*words) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(value: uint8x16_t) -> [u8; STEP] {
    // SAFETY: 16 bytes of which every value is good for either type.
    unsafe { std::mem::transmute::<uint8x16_t, [u8; STEP]>(value) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store_half(value: uint8x8_t) -> [u8; STEP / 2] {
    // SAFETY: 8 bytes of which every value is good for either type.
    unsafe { std::mem::transmute::<uint8x8_t, [u8; STEP / 2]>(value) }
}
