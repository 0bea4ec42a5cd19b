//! Hashes of short runs of pixels, which vote for where a part of the picture has moved to.

pub mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::CpuLevel;

/// Pixels of a run.
pub const WINDOW: usize = 16;

/// The hash of the run at every position of a row; 0 where all its pixels are equal (and, rarely, elsewhere).
///
/// Shape: `out` gets `row.len() - WINDOW + 1` hashes, none when the row is shorter than a run.
///
/// Cost: no allocation once `out` has held a row as long.
pub fn window_hashes(level: CpuLevel, row: &[u32], out: &mut Vec<u32>) {
    match level.usable() {
        #[cfg(target_arch = "x86_64")]
        CpuLevel::Avx2 => x86::window_hashes(row, out),
        _ => scalar::window_hashes(row, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_finds_what_the_definition_finds() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        for width in (0..70).chain([200, 1000]) {
            for flat in [0, 9, 40] {
                let row: Vec<u32> = (0..width).map(|x| if x < flat { 7 } else { next() }).collect();
                let (mut want, mut out) = (Vec::new(), vec![1; 5]);
                scalar::window_hashes(&row, &mut want);
                for level in CpuLevel::all() {
                    for at in 0..width.min(9) {
                        window_hashes(level, &row[at..], &mut out);
                        assert_eq!(out, want.get(at..).unwrap_or(&[]), "{level:?}, {width} px from {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn equal_runs_hash_equally_wherever_they_start() {
        let level = CpuLevel::current();
        let row: Vec<u32> = (0..40u32).map(|i| i * i % 37).collect();
        let (mut one, mut other) = (Vec::new(), Vec::new());
        window_hashes(level, &row, &mut one);
        assert_eq!(one.len(), 25);
        for start in 0..row.len() {
            window_hashes(level, &row[start..], &mut other);
            assert_eq!(other, one.get(start..).unwrap_or(&[]));
        }
    }

    #[test]
    fn flat_runs_do_not_vote() {
        let level = CpuLevel::current();
        let mut row = vec![0x00ab_cdef; 40];
        row[20] = 1;
        let mut out = Vec::new();
        window_hashes(level, &row, &mut out);
        for (x, hash) in out.iter().enumerate() {
            assert_eq!(*hash == 0, !(x..x + WINDOW).contains(&20), "at {x}");
        }
    }

    #[test]
    fn one_pixel_changes_the_hash() {
        let level = CpuLevel::current();
        let row: Vec<u32> = (0..16).collect();
        let (mut one, mut other) = (Vec::new(), Vec::new());
        window_hashes(level, &row, &mut one);
        for i in 0..WINDOW {
            let mut wrong = row.clone();
            wrong[i] ^= 0x0080_0000;
            window_hashes(level, &wrong, &mut other);
            assert_ne!(one, other, "pixel {i}");
        }
    }
}
