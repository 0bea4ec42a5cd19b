//! Compares a row of new pixels with the mirror's and brings the mirror up to date.

pub mod scalar;

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
pub fn diff_row(new: &[u32], old: &mut [u32], mask: u32) -> Option<RowDiff> {
    assert_eq!(new.len(), old.len(), "rows of one length");
    scalar::diff_row(new, old, mask)
}
