//! Compares a row of new pixels with the mirror's and brings the mirror up to date.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod cells;
pub mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use cells::diff_cells;

use super::CpuLevel;

/// What differed in one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowDiff {
    /// Index of the first pixel that differed.
    pub first: usize,
    /// One past the last pixel that differed.
    pub end: usize,
    /// Pixels that differed.
    pub count: usize,
}

/// Stores `new & mask` in `old` and says where they differed; `None` when nowhere.
///
/// Shape: two rows of the same length, any alignment; `old` has no bits outside `mask`.
///
/// # Panics
/// When the rows differ in length.
///
/// ```
/// use farpane_engine::kernel::{CpuLevel, tile_diff::diff_row};
/// let mut mirror = [1, 2, 3, 4];
/// let diff = diff_row(CpuLevel::current(), &[1, 9, 3, 8], &mut mirror, 0xff).expect("two pixels differ");
/// assert_eq!((diff.first, diff.end, diff.count), (1, 4, 2));
/// ```
#[inline]
pub fn diff_row(level: CpuLevel, new: &[u32], old: &mut [u32], mask: u32) -> Option<RowDiff> {
    assert_eq!(new.len(), old.len(), "rows of one length");
    match level.usable() {
        #[cfg(target_arch = "x86_64")]
        CpuLevel::Avx2 => x86::diff_row(new, old, mask),
        #[cfg(target_arch = "aarch64")]
        CpuLevel::Neon => aarch64::diff_row(new, old, mask),
        _ => scalar::diff_row(new, old, mask),
    }
}

/// Whether a row of new pixels differs from the mirror's, which is left alone.
///
/// Shape: as for [`diff_row`].
///
/// # Panics
/// When the rows differ in length.
#[inline]
pub fn rows_differ(new: &[u32], old: &[u32], mask: u32) -> bool {
    assert_eq!(new.len(), old.len(), "rows of one length");
    new.iter().zip(old).fold(0, |all, (n, o)| all | ((n & mask) ^ o)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const POISON: u32 = 0xdead_beef;

    /// Pixels with noise above the mask; about one of `every` differs from the other row.
    fn rows(len: usize, every: u32, seed: u32) -> (Vec<u32>, Vec<u32>) {
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        let old: Vec<u32> = (0..len).map(|_| next()).collect();
        let new = old.iter().map(|o| (o ^ u32::from(next() % every == 0)) | next() << 24).collect();
        (new, old)
    }

    #[test]
    fn every_level_finds_what_the_definition_finds_and_touches_nothing_else() {
        let widths = (0..=2 * 8 + 1).chain(61..=67).chain([127, 128, 129, 200]);
        for width in widths {
            for at in 0..9 {
                for every in [1, 2, 9, 70, u32::MAX] {
                    let (new, old) = rows(width, every, (width * 9 + at) as u32);
                    let mut want = old.clone();
                    let diff = scalar::diff_row(&new, &mut want, 0x00ff_ffff);
                    let mut from = vec![POISON; at];
                    from.extend(&new);
                    for level in CpuLevel::all() {
                        let mut to = vec![POISON; width + 20];
                        to[8 - at.min(8)..][..width].copy_from_slice(&old);
                        let mut whole = to.clone();
                        whole[8 - at.min(8)..][..width].copy_from_slice(&want);
                        let part = &mut to[8 - at.min(8)..][..width];
                        let got = diff_row(level, &from[at..], part, 0x00ff_ffff);
                        assert_eq!(got, diff, "{level:?}, {width} px at {at}");
                        assert_eq!(to, whole, "{level:?}, {width} px at {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_differing_pixel_is_found_wherever_it_is() {
        for level in CpuLevel::all() {
            for width in [1, 7, 8, 64, 65, 130] {
                for at in 0..width {
                    let mut old = vec![5; width];
                    let mut new = old.clone();
                    new[at] = 6;
                    let want = RowDiff { first: at, end: at + 1, count: 1 };
                    assert_eq!(diff_row(level, &new, &mut old, 7), Some(want), "{level:?}, {at} of {width}");
                    assert_eq!(diff_row(level, &new, &mut old, 7), None, "{level:?}");
                }
            }
        }
    }

    #[test]
    fn rows_differ_in_any_pixel_and_in_no_bit_above_the_mask() {
        for width in (0..=17).chain([64, 65, 130]) {
            let (mut new, old) = rows(width, u32::MAX, 3);
            assert!(!rows_differ(&new, &old, 0x00ff_ffff), "{width} px");
            for at in 0..width {
                new[at] ^= 0x0001_0000;
                assert!(rows_differ(&new, &old, 0x00ff_ffff), "{at} of {width}");
                new[at] ^= 0x0001_0000;
            }
        }
    }

    #[test]
    #[should_panic(expected = "rows of one length")]
    fn rows_of_different_length_are_refused() {
        diff_row(CpuLevel::current(), &[1, 2], &mut [1], 7);
    }
}
