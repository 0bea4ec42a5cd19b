//! What symbols are expected to take, learnt from the block before.

use super::block::{DISTANCES, END, LITERALS, SHORTEST, distance_code, extra_distance_bits};

/// Bits of each literal beyond three, near enough.
const FURTHER: i32 = 6;

/// Bits that symbols are expected to take.
pub(super) struct Costs {
    literals: [u8; 256],
    /// By length; 0 to 2 are no lengths.
    lengths: [u8; 8],
    /// By distance code, with its extra bits.
    distances: [u8; 32],
}

impl Costs {
    /// Before there is a block to learn from.
    pub(super) const GUESS: Self = {
        let mut distances = [0; 32];
        let mut slot = 0;
        while slot < 32 {
            distances[slot] = 4 + extra_distance_bits(slot);
            slot += 1;
        }
        Self { literals: [7; 256], lengths: [5; 8], distances }
    };

    /// Takes the lengths of a block's codes; a symbol that had none would get a long one.
    pub(super) fn learn(&mut self, lengths: &[u8; LITERALS], distances: &[u8; DISTANCES]) {
        let known = |length: u8, otherwise: u8| if length == 0 { otherwise } else { length };
        for (cost, length) in self.literals.iter_mut().zip(lengths) {
            *cost = known(*length, 12);
        }
        for (cost, length) in self.lengths[SHORTEST..].iter_mut().zip(&lengths[END + 1..]) {
            *cost = known(*length, 10);
        }
        for (slot, (cost, length)) in self.distances.iter_mut().zip(distances).enumerate() {
            *cost = known(*length, 8) + extra_distance_bits(slot);
        }
    }

    /// The bits that a match of 3 to 7 bytes is expected to save against the literals of these bytes; below 0 when it costs more.
    #[inline(always)]
    pub(super) fn saved(&self, word: u64, length: usize, distance: usize) -> i32 {
        let [a, b, c, ..] = word.to_le_bytes().map(|b| i32::from(self.literals[usize::from(b)]));
        let literals = a + b + c + FURTHER * (length - SHORTEST) as i32;
        let slot = distance_code(distance as u32 - 1).0;
        literals - i32::from(self.lengths[length % 8]) - i32::from(self.distances[slot])
    }
}
