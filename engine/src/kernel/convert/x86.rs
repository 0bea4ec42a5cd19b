//! The kernel with AVX2: one shuffle for eight pixels.
#![allow(unsafe_code)]

use std::arch::x86_64::{__m256i, _mm256_add_epi32, _mm256_set1_epi32, _mm256_setr_epi32, _mm256_shuffle_epi8};

use super::scalar;
use crate::kernel::CpuLevel;

/// See [`scalar::swap`], whose work it is where the CPU lacks AVX2.
pub(super) fn swap(src: &[u32], dst: &mut [u32]) {
    if CpuLevel::detected() != CpuLevel::Avx2 {
        return scalar::swap(src, dst);
    }
    // SAFETY: the line above saw that the CPU has every feature of this level.
    unsafe { shuffled(src, dst) }
}

#[target_feature(enable = "avx2")]
fn shuffled(src: &[u32], dst: &mut [u32]) {
    // bytes 2, 1, 0 and a zero of each pixel; the shuffle works inside halves of 16 bytes
    let places = _mm256_setr_epi32(0, 0x0004_0404, 0x0008_0808, 0x000c_0c0c, 0, 0x0004_0404, 0x0008_0808, 0x000c_0c0c);
    let places = _mm256_add_epi32(places, _mm256_set1_epi32(0x8000_0102_u32 as i32));
    let (from, rest) = src.as_chunks::<8>();
    let (to, to_rest) = dst.as_chunks_mut::<8>();
    for (d, s) in to.iter_mut().zip(from) {
        store(d, _mm256_shuffle_epi8(load(s), places));
    }
    scalar::swap(rest, to_rest);
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
