//! Where runs of equal bytes begin, 64 bytes at a time.
//!
//! ```text
//! for each 8 bytes: as a word, against the same one byte earlier; a bit for each byte that differs    (1)
//! ```
//! 1. Runs of a page of text are one to three pixels long: a loop with a branch a pixel is mispredicted at every end.
//!
//! Words of eight bytes are the definition and all there is: no level, and nothing unsafe.

/// The most bytes of a call.
pub const MOST: usize = 64;

/// A bit for each byte, the first lowest, that differs from the byte before it; `before` is what stands before the first.
///
/// # Panics
/// When there are more than [`MOST`] bytes.
///
/// ```
/// use farpane_engine::kernel::run_length::starts;
/// assert_eq!(starts(&[7, 7, 9, 9, 9, 7], 7), 0b10_0100);
/// ```
pub fn starts(bytes: &[u8], before: u8) -> u64 {
    assert!(bytes.len() <= MOST, "{} bytes (expected at most 64)", bytes.len());
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = u64::from(before);
    let (mut bits, mut at) = (0, 0);
    for word in words {
        let word = u64::from_le_bytes(*word);
        bits |= differing(word ^ (word << 8 | last)) << at;
        last = word >> 56;
        at += 8;
    }
    for byte in rest {
        bits |= u64::from(u64::from(*byte) != last) << at;
        last = u64::from(*byte);
        at += 1;
    }
    bits
}

/// A bit for each byte that is not zero.
fn differing(word: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let high = (((word & LOW) + LOW) | word) & !LOW;
    // brings the eight bits, eight apart, together at the top
    (high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bit_stands_where_a_byte_differs_from_the_one_before(
            bytes in proptest::collection::vec(prop_oneof![Just(0u8), Just(0x80), Just(0xff), Just(1)], 0..=MOST),
            before in any::<u8>(),
        ) {
            let mut last = before;
            let mut want = 0;
            for (i, byte) in bytes.iter().enumerate() {
                want |= u64::from(*byte != last) << i;
                last = *byte;
            }
            prop_assert_eq!(starts(&bytes, before), want);
        }
    }

    #[test]
    #[should_panic(expected = "65 bytes")]
    fn too_many_are_refused() {
        starts(&[0; 65], 0);
    }
}
