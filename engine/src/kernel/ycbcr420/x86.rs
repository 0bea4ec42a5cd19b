//! The kernel with AVX2.
//!
//! ```text
//! for each 32 columns of both rows:
//!     a word is two pairs of 16 bits: lowest and highest channel; green and the upper byte       (1)
//!     luma of a row's words: pairs times weights, added, shifted, packed                         (2)
//!     pairs of both rows added, then of neighbours: the sums of blocks, pairs as the words were  (3)
//!     Cb and Cr of the sums: as luma
//! columns that are left over: the scalar twin
//! ```
//!
//! 1. One multiplication takes a pair to its part of the sum, in 32 bits as the definition has it. Either order of the channels is a
//!    matter of the weights, and the upper byte's is zero.
//! 2. What the definition adds after the shift is part of what is added before it. Packing works inside halves of 16 bytes: one
//!    permutation at the end puts the groups of four in order.
//! 3. Four bytes fit 16 bits: a pair is added like one number, and four times an upper byte too, so nothing needs a mask but the outer
//!    pair.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256, _mm256_hadd_epi32, _mm256_madd_epi16,
    _mm256_packs_epi32, _mm256_packus_epi16, _mm256_permute4x64_epi64, _mm256_permutevar8x32_epi32, _mm256_set1_epi32,
    _mm256_setr_epi8, _mm256_setr_epi32, _mm256_shuffle_epi8, _mm256_srai_epi32, _mm256_srli_epi16,
};

use super::{Order, Rows, scalar};
use crate::kernel::CpuLevel;

/// Columns of a step.
const STEP: usize = 32;

/// See [`super::ycbcr420`]; the scalar twin's work where the CPU lacks AVX2.
pub(super) fn ycbcr420(order: Order, rows: [&[u32]; 2], out: Rows<'_>) {
    if CpuLevel::detected() != CpuLevel::Avx2 {
        return scalar::ycbcr420(order, rows, out);
    }
    // SAFETY: the line above saw that the CPU has every feature of this level.
    unsafe { whole_steps(order, rows, out) }
}

#[target_feature(enable = "avx2")]
fn whole_steps(order: Order, rows: [&[u32]; 2], out: Rows<'_>) {
    let luma = Weights::new(order, [5983, 20127, 2032], (16 << 15) + 0x4000);
    let cb = Weights::new(order, [-3298, -11094, 14392], (128 << 17) + 0x1_0000);
    let cr = Weights::new(order, [14392, -13073, -1319], (128 << 17) + 0x1_0000);
    let [(above, above_rest), (below, below_rest)] = rows.map(<[u32]>::as_chunks::<STEP>);
    // an odd column more makes one of luma more: the steps are the words', not the outputs'
    let columns = above.len() * STEP;
    let [(y_above, y_above_rest), (y_below, y_below_rest)] = out.luma.map(|luma| luma.split_at_mut(columns));
    let [(u, u_rest), (v, v_rest)] = [out.cb, out.cr].map(|chroma| chroma.split_at_mut(columns / 2));
    let ys = y_above.as_chunks_mut::<STEP>().0.iter_mut().zip(y_below.as_chunks_mut::<STEP>().0);
    let uvs = u.as_chunks_mut::<{ STEP / 2 }>().0.iter_mut().zip(v.as_chunks_mut::<{ STEP / 2 }>().0);
    for (((above, below), (y_above, y_below)), (u, v)) in above.iter().zip(below).zip(ys).zip(uvs) {
        let (above, below) = (load(above).map(|words| pairs(words)), load(below).map(|words| pairs(words)));
        *y_above = luma_bytes(above.map(|p| luma.sum::<15>(p)));
        *y_below = luma_bytes(below.map(|p| luma.sum::<15>(p)));
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| above[i].plus(below[i]));
        let blocks = [a.neighbours(b), c.neighbours(d)];
        [*u, *v] = chroma_bytes(blocks.map(|p| cb.sum::<17>(p)), blocks.map(|p| cr.sum::<17>(p)));
    }
    let rest = Rows { luma: [y_above_rest, y_below_rest], cb: u_rest, cr: v_rest };
    scalar::ycbcr420(order, [above_rest, below_rest], rest);
}

/// Eight words, or sums of words, in pairs of 16 bits.
#[derive(Clone, Copy)]
struct Pairs {
    /// The lowest channel and the third.
    outer: __m256i,
    /// Green and what does not count.
    green: __m256i,
}

#[inline]
#[target_feature(enable = "avx2")]
fn pairs(words: __m256i) -> Pairs {
    Pairs { outer: _mm256_and_si256(words, _mm256_set1_epi32(0x00ff_00ff)), green: _mm256_srli_epi16::<8>(words) }
}

impl Pairs {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn plus(self, other: Self) -> Self {
        Self { outer: _mm256_add_epi16(self.outer, other.outer), green: _mm256_add_epi16(self.green, other.green) }
    }

    /// Words 0 + 1, 2 + 3, both of `other`; then the same of 4 to 7.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn neighbours(self, other: Self) -> Self {
        Self { outer: _mm256_hadd_epi32(self.outer, other.outer), green: _mm256_hadd_epi32(self.green, other.green) }
    }
}

/// What the pairs of a word are multiplied with, and what is added.
struct Weights {
    outer: __m256i,
    green: __m256i,
    bias: __m256i,
}

impl Weights {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(order: Order, [r, g, b]: [i16; 3], bias: i32) -> Self {
        let [low, high] = match order {
            Order::Bgrx => [b, r],
            Order::Rgbx => [r, b],
        };
        let pair = |low: i16, high: i16| _mm256_set1_epi32(i32::from(high) << 16 | i32::from(low as u16));
        Self { outer: pair(low, high), green: pair(g, 0), bias: _mm256_set1_epi32(bias) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn sum<const SHIFT: i32>(&self, pairs: Pairs) -> __m256i {
        let outer = _mm256_add_epi32(_mm256_madd_epi16(pairs.outer, self.outer), self.bias);
        _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(outer, _mm256_madd_epi16(pairs.green, self.green)))
    }
}

/// The bytes of 32 columns.
#[inline]
#[target_feature(enable = "avx2")]
fn luma_bytes([a, b, c, d]: [__m256i; 4]) -> [u8; STEP] {
    let groups = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    store(_mm256_permutevar8x32_epi32(groups, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)))
}

/// The bytes of 16 blocks, in the order that [`Pairs::neighbours`] leaves.
#[inline]
#[target_feature(enable = "avx2")]
fn chroma_bytes([cb_a, cb_b]: [__m256i; 2], [cr_a, cr_b]: [__m256i; 2]) -> [[u8; STEP / 2]; 2] {
    // each half: the blocks 0, 1, 4, 5, 8, 9, 12, 13 of Cb, then of Cr; in the upper half those between
    let halves = _mm256_packus_epi16(_mm256_packs_epi32(cb_a, cb_b), _mm256_packs_epi32(cr_a, cr_b));
    let planes = _mm256_permute4x64_epi64::<0b11_01_10_00>(halves);
    #[rustfmt::skip]
    let places = _mm256_setr_epi8(
        0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,
        0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,
    );
    store_halves(_mm256_shuffle_epi8(planes, places))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(words: &[u32; STEP]) -> [__m256i; 4] {
    // SAFETY: 128 bytes of which every value is good for either type.
    unsafe { std::mem::transmute::<[u32; STEP], [__m256i; 4]>(*words) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(value: __m256i) -> [u8; STEP] {
    // SAFETY: 32 bytes of which every value is good for either type.
    unsafe { std::mem::transmute::<__m256i, [u8; STEP]>(value) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_halves(value: __m256i) -> [[u8; STEP / 2]; 2] {
    // SAFETY: 32 bytes of which every value is good for either type.
    unsafe { std::mem::transmute::<__m256i, [[u8; STEP / 2]; 2]>(value) }
}
