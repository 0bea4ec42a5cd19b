//! The kernel with NEON: the bytes of four pixels backwards, then down by one.
#![allow(unsafe_code)]

use std::arch::aarch64::{uint32x4_t, vreinterpretq_u8_u32, vreinterpretq_u32_u8, vrev32q_u8, vshrq_n_u32};

use super::scalar;
use crate::kernel::CpuLevel;

/// See [`scalar::swap`], whose work it is where the CPU lacks NEON.
pub(super) fn swap(src: &[u32], dst: &mut [u32]) {
    if CpuLevel::detected() != CpuLevel::Neon {
        return scalar::swap(src, dst);
    }
    // SAFETY: the line above saw that the CPU has every feature of this level.
    unsafe { reversed(src, dst) }
}

#[target_feature(enable = "neon")]
fn reversed(src: &[u32], dst: &mut [u32]) {
    let (from, rest) = src.as_chunks::<4>();
    let (to, to_rest) = dst.as_chunks_mut::<4>();
    for (d, s) in to.iter_mut().zip(from) {
        let backwards = vreinterpretq_u32_u8(vrev32q_u8(vreinterpretq_u8_u32(load(s))));
        store(d, vshrq_n_u32::<8>(backwards));
    }
    scalar::swap(rest, to_rest);
}

#[inline]
#[target_feature(enable = "neon")]
fn load(pixels: &[u32; 4]) -> uint32x4_t {
    // SAFETY: 16 bytes of which every value is good for either type.
    unsafe { std::mem::transmute::<[u32; 4], uint32x4_t>(*pixels) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(pixels: &mut [u32; 4], value: uint32x4_t) {
    // SAFETY: 16 bytes of which every value is good for either type.
    *pixels = unsafe { std::mem::transmute::<uint32x4_t, [u32; 4]>(value) };
}
