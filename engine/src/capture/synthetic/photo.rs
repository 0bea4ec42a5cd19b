//! A landscape that compresses like a photograph: gradients, clouds, ridges, water and film grain.
//!
//! Only additions, multiplications, divisions and square roots, so that every machine makes the same picture.

use rayon::prelude::*;

use super::paint::hash;

/// A picture that joins its own left edge at its right edge.
pub(super) struct Photo {
    /// Columns.
    pub(super) w: usize,
    /// Rows.
    pub(super) h: usize,
    px: Vec<u32>,
}

impl Photo {
    /// The landscape in the given size, made on all cores.
    pub(super) fn new(w: usize, h: usize) -> Self {
        let mut px = vec![0; w * h];
        let ridges: Vec<[f32; 3]> = (0..w).map(|x| ridge_heights(x as f32 / w as f32)).collect();
        px.par_chunks_mut(w.max(1)).enumerate().for_each(|(y, row)| {
            for (x, (pixel, ridge)) in row.iter_mut().zip(&ridges).enumerate() {
                *pixel = shade(x as f32 / w as f32, y as f32 / h as f32, ridge, hash((y * w + x) as u32));
            }
        });
        Self { w, h, px }
    }

    /// Copies a row, starting at column `x` and wrapping round.
    pub(super) fn copy_row(&self, x: usize, y: usize, out: &mut [u32]) {
        let row = &self.px[y % self.h * self.w..][..self.w];
        let mut x = x % self.w;
        let mut out = out;
        while !out.is_empty() {
            let n = out.len().min(self.w - x);
            let (now, rest) = out.split_at_mut(n);
            now.copy_from_slice(&row[x..x + n]);
            out = rest;
            x = 0;
        }
    }
}

/// Smooth noise in 0..1 that repeats every `period` columns.
fn noise(x: f32, y: f32, period: u32, seed: u32) -> f32 {
    let (xi, yi) = (x.floor(), y.floor());
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v) = (smooth(x - xi), smooth(y - yi));
    let corner = |dx: u32, dy: u32| {
        let cx = (xi as u32 + dx) % period.max(1);
        let cy = (yi as i32 as u32).wrapping_add(dy);
        (hash(cx.wrapping_mul(7919) ^ cy.wrapping_mul(104_729) ^ seed) & 0xffff) as f32 / 65_535.0
    };
    let top = corner(0, 0) * (1.0 - u) + corner(1, 0) * u;
    let bottom = corner(0, 1) * (1.0 - u) + corner(1, 1) * u;
    top * (1.0 - v) + bottom * v
}

/// Noise of several sizes on top of each other, in 0..1; `u` in 0..1 goes once round.
fn cloudy(u: f32, v: f32, cells: u32, octaves: u32, seed: u32) -> f32 {
    let (mut sum, mut weight, mut total, mut n) = (0.0, 0.5, 0.0, cells);
    for octave in 0..octaves {
        sum += weight * noise(u * n as f32, v * n as f32, n, seed.wrapping_add(octave * 31));
        total += weight;
        weight *= 0.5;
        n *= 2;
    }
    sum / total
}

fn ridge_heights(u: f32) -> [f32; 3] {
    [
        0.44 - 0.22 * cloudy(u, 0.5, 5, 6, 11),
        0.56 - 0.22 * cloudy(u, 0.5, 7, 6, 23),
        0.70 - 0.22 * cloudy(u, 0.5, 11, 7, 47),
    ]
}

fn lerp(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    let t = t.clamp(0.0, 1.0);
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * t)
}

fn sky(u: f32, v: f32) -> [f32; 3] {
    let mut c = lerp([58.0, 104.0, 176.0], [250.0, 196.0, 148.0], v / 0.5);
    let (du, dv) = (((u - 0.30).abs().min((u - 1.30).abs())) * 1.6, v - 0.27);
    let far = (du * du + dv * dv).sqrt();
    c = lerp(c, [255.0, 236.0, 190.0], (0.030 / (far + 0.012)).min(1.0) - 0.06);
    let cloud = cloudy(u, v * 2.2, 6, 6, 5);
    lerp(c, [255.0, 246.0, 238.0], (cloud - 0.50) * 3.0 * (1.0 - v))
}

fn land(u: f32, v: f32, ridge: &[f32; 3]) -> [f32; 3] {
    let base = [[118.0, 122.0, 158.0], [70.0, 92.0, 110.0], [34.0, 62.0, 48.0]];
    let foot = [[178.0, 160.0, 168.0], [104.0, 124.0, 122.0], [66.0, 96.0, 52.0]];
    // the nearest ridge hides what is behind it
    let Some(i) = (0..3).rev().find(|&i| v > ridge[i]) else { return sky(u, v) };
    let grain = cloudy(u, v, 48 << i, 4, 100 + i as u32) - 0.5;
    let height = 0.35 - ridge[0] - (v - ridge[0]) * 0.5 + grain * 0.06;
    let snow = if i == 0 { (height * 40.0).clamp(0.0, 0.85) } else { 0.0 };
    let c = lerp(base[i], foot[i], (v - ridge[i]) / 0.18 + grain * 0.9);
    lerp(c, [240.0, 240.0, 248.0], snow + grain * snow * 2.0)
}

fn shade(u: f32, v: f32, ridge: &[f32; 3], grain: u32) -> u32 {
    const SHORE: f32 = 0.74;
    let mut c = if v < SHORE {
        land(u, v, ridge)
    } else {
        let ripple = (cloudy(u, v * 9.0, 40, 3, 77) - 0.5) * 0.06 * (v - SHORE + 0.05) / 0.3;
        let mirrored = (SHORE - (v - SHORE) * 1.6 + ripple).clamp(0.0, 1.0);
        let shine = cloudy(u, v * 14.0, 64, 3, 91);
        let deep = lerp(land(u, mirrored, ridge), [24.0, 58.0, 84.0], 0.30 + (v - SHORE));
        lerp(deep, [255.0, 240.0, 214.0], (shine - 0.62) * 2.2)
    };
    for (i, channel) in c.iter_mut().enumerate() {
        let speck = ((grain >> (8 * i)) & 0xff) as f32 / 255.0 - 0.5;
        *channel = (*channel + speck * 9.0).clamp(0.0, 255.0);
    }
    (c[0] as u32) << 16 | (c[1] as u32) << 8 | c[2] as u32
}
