//! Pictures with the statistics of photographs: noise whose strength falls with frequency, hard edges, and grain.

use super::Picture;

/// Octaves of brightness: lattice step in px and amplitude (of 256). Equal steps down per octave give about a 1/f spectrum.
const LUMA: [(u32, i32); 8] = [(509, 150), (257, 96), (127, 62), (61, 40), (31, 25), (13, 15), (7, 9), (3, 6)];
/// Octaves of colour.
const CHROMA: [(u32, i32); 3] = [(401, 70), (151, 40), (47, 16)];

fn hash(seed: u32, x: u32, y: u32) -> i32 {
    let mut h = seed ^ x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    ((h ^ (h >> 15)) & 255) as i32 - 128
}

/// Adds one octave to a row: lattice values joined by straight lines.
fn add_octave(row: &mut [i32], y: u32, step: u32, amplitude: i32, seed: u32) {
    let (cell_y, fy) = (y / step, (y % step) as i32);
    let node = |cell: u32| {
        let (a, b) = (hash(seed, cell, cell_y), hash(seed, cell, cell_y + 1));
        (a * (step as i32 - fy) + b * fy) * amplitude / step as i32
    };
    let (mut cell, mut left, mut right) = (0, node(0), node(1));
    let (mut at, mut inside) = (0, 0);
    while at < row.len() {
        row[at] += left + (right - left) * inside / step as i32;
        (at, inside) = (at + 1, inside + 1);
        if inside == step as i32 {
            cell += 1;
            (left, right, inside) = (right, node(cell + 1), 0);
        }
    }
}

/// A photograph-like picture. `moment` is the place in a shot: the same scene, a little nearer, with new fine detail and
/// grain, so that no part of one moment is found again, moved, in the next.
pub fn photo(w: u32, h: u32, seed: u32, moment: u32) -> Picture {
    let mut out = Picture::new(w, h, 0);
    let columns = w as usize;
    let (mut luma, mut edges, mut red, mut blue) =
        (vec![0; columns], vec![0; columns], vec![0; columns], vec![0; columns]);
    for y in 0..h {
        for row in [&mut luma, &mut edges, &mut red, &mut blue] {
            row.fill(0);
        }
        let nearer = |step: u32| step + step * moment / 23;
        for (i, (step, amplitude)) in LUMA.iter().enumerate() {
            let seed = seed.wrapping_mul(31).wrapping_add(i as u32);
            // fine octaves have no room for a zoom: another pattern each moment
            let seed = if *step < 40 { seed.wrapping_add(moment.wrapping_mul(7919)) } else { seed };
            add_octave(&mut luma, y, nearer(*step), *amplitude, seed);
        }
        add_octave(&mut edges, y, nearer(311), 256, seed.wrapping_add(77));
        add_octave(&mut edges, y, nearer(67), 64, seed.wrapping_add(78));
        for (i, (step, amplitude)) in CHROMA.iter().enumerate() {
            add_octave(&mut red, y, nearer(*step), *amplitude, seed.wrapping_add(100 + i as u32));
            add_octave(&mut blue, y, nearer(*step), *amplitude, seed.wrapping_add(200 + i as u32));
        }
        let grain = seed.wrapping_add(moment.wrapping_mul(104_729)).wrapping_add(999);
        for (x, p) in out.row_mut(y).iter_mut().enumerate() {
            // bands of coarse noise with hard borders are the outlines of things
            let edge = if (edges[x] >> 13) & 1 == 0 { 22 } else { -22 };
            let l = 128 + (luma[x] >> 8) * 5 / 4 + edge + (hash(grain, x as u32, y) >> 6);
            let (r, b) = (red[x] >> 8, blue[x] >> 8);
            let byte = |v: i32| v.clamp(0, 255) as u32;
            *p = byte(l + r) << 16 | byte(l - (r + b) / 3) << 8 | byte(l + b);
        }
    }
    out
}
