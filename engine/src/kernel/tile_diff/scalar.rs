//! The definition of the kernel.

use super::RowDiff;

/// See [`super::diff_row`]; rows of different length are compared as far as both go.
pub fn diff_row(new: &[u32], old: &mut [u32], mask: u32) -> Option<RowDiff> {
    // Almost all rows of almost all frames are equal: one pass without branches tells.
    let differs = new.iter().zip(&*old).fold(0, |acc, (n, o)| acc | ((n & mask) ^ o));
    if differs == 0 {
        return None;
    }
    let unequal = |(n, o): (&u32, &u32)| n & mask != *o;
    let first = new.iter().zip(&*old).position(unequal)?;
    let end = new.iter().zip(&*old).rposition(unequal)? + 1;
    let mut count = 0;
    for (n, o) in new[first..end].iter().zip(&mut old[first..end]) {
        count += usize::from(n & mask != *o);
        *o = n & mask;
    }
    Some(RowDiff { first, end, count })
}
