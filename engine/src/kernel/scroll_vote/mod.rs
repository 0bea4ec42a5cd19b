//! Hashes of short runs of pixels, which vote for where a part of the picture has moved to.

pub mod scalar;

/// Pixels of a run.
pub const WINDOW: usize = 16;

/// The hash of the run at every position of a row; 0 where all its pixels are equal (and, rarely, elsewhere).
///
/// Shape: `out` gets `row.len() - WINDOW + 1` hashes, none when the row is shorter than a run.
///
/// Cost: no allocation once `out` has held a row as long.
pub fn window_hashes(row: &[u32], out: &mut Vec<u32>) {
    scalar::window_hashes(row, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_runs_hash_equally_wherever_they_start() {
        let row: Vec<u32> = (0..40u32).map(|i| i * i % 37).collect();
        let (mut one, mut other) = (Vec::new(), Vec::new());
        window_hashes(&row, &mut one);
        assert_eq!(one.len(), 25);
        for start in 0..row.len() {
            window_hashes(&row[start..], &mut other);
            assert_eq!(other, one.get(start..).unwrap_or(&[]));
        }
    }

    #[test]
    fn flat_runs_do_not_vote() {
        let mut row = vec![0x00ab_cdef; 40];
        row[20] = 1;
        let mut out = Vec::new();
        window_hashes(&row, &mut out);
        for (x, hash) in out.iter().enumerate() {
            assert_eq!(*hash == 0, !(x..x + WINDOW).contains(&20), "at {x}");
        }
    }

    #[test]
    fn one_pixel_changes_the_hash() {
        let row: Vec<u32> = (0..16).collect();
        let (mut one, mut other) = (Vec::new(), Vec::new());
        window_hashes(&row, &mut one);
        for i in 0..WINDOW {
            let mut wrong = row.clone();
            wrong[i] ^= 0x0080_0000;
            window_hashes(&wrong, &mut other);
            assert_ne!(one, other, "pixel {i}");
        }
    }
}
