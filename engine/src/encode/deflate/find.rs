//! Finding what stood earlier in the chunk: bytes without a grid, such as palette indices, bitmaps and runs.
//!
//! ```text
//! at each byte:
//!     did its four bytes stand earlier? how far do they agree?      (1)
//!     do five agree with the row above, and farther?                (2)
//!     neither: a literal; long without a match, bytes are skipped   (3)
//!     the longer one, grown backwards into the literals
//! ```
//! 1. Only the last place of a hash is known: chains cost more than they save at the levels that come here.
//! 2. Costs a comparison and keeps distances few, so that their codes get short.
//! 3. Noise costs little more than its copy.

use std::ops::Range;

use super::block::{FARTHEST, SHORTEST};
use super::writer::{SYMBOLS, Writer};

const HASH_BITS: u32 = 13;
const SLOTS: usize = 1 << HASH_BITS;
/// This many bytes at the end begin no match, so that eight can be read anywhere before.
const TAIL: usize = 8;
/// Misses in a row for each byte more that is skipped.
const MISSES_BITS: u32 = 8;

/// Where each hash was seen last.
///
/// INVARIANT: a place is a position in the chunk above a base that grows with every chunk, so that whatever an earlier chunk left lies farther
/// away than the chunk's start and is never taken. Nothing is cleared between chunks.
pub(super) struct Places {
    slots: Box<[u32; SLOTS]>,
}

impl Default for Places {
    fn default() -> Self {
        Self { slots: Box::new([0; SLOTS]) }
    }
}

impl Places {
    /// Forgets every place.
    pub(super) fn clear(&mut self) {
        self.slots.fill(0);
    }

    /// Puts a place into its slot and returns how far before it lies the one that was there.
    #[inline(always)]
    pub(super) fn swap(&mut self, hash: u32, place: u32) -> u32 {
        place - std::mem::replace(&mut self.slots[(hash >> (32 - HASH_BITS)) as usize], place)
    }
}

/// A hash of the first `bytes` (1 to 8) of a word, best in its highest bits.
#[inline(always)]
pub(super) fn hash(word: u64, bytes: u32) -> u32 {
    ((word << (64 - 8 * bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// Eight bytes, the first in the lowest; zeros where there are none.
#[inline(always)]
pub(super) fn load(data: &[u8], at: usize) -> u64 {
    data.get(at..).and_then(|d| d.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

/// How far `data` from `at` on agrees with what stands `distance` earlier.
#[inline(always)]
pub(super) fn common(data: &[u8], at: usize, distance: usize) -> usize {
    let after = &data[at..];
    let before = &data[at - distance..][..after.len()];
    let mut n = 0;
    for (a, b) in after.as_chunks::<8>().0.iter().zip(before.as_chunks::<8>().0) {
        let differ = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differ != 0 {
            return n + (differ.trailing_zeros() / 8) as usize;
        }
        n += 8;
    }
    n + after[n..].iter().zip(&before[n..]).take_while(|(a, b)| a == b).count()
}

/// Takes the bytes of a section, in rows of `row` bytes if that is not 0; what lies before it is counted already. Returns up to where bytes were
/// counted, the section's end or, where a match goes beyond it, farther.
pub(super) fn bytes(
    data: &[u8],
    section: Range<usize>,
    row: usize,
    base: u32,
    places: &mut Places,
    writer: &mut Writer<'_>,
) -> usize {
    let last = section.end.min(data.len().saturating_sub(TAIL));
    let mut at = section.start;
    let mut counted = at;
    let mut misses = 0usize;
    while at < last {
        let word = load(data, at);
        let distance = places.swap(hash(word, 4), base + at as u32) as usize;
        let mut found = (0, 0);
        if distance - 1 < at.min(FARTHEST) && load(data, at - distance) as u32 == word as u32 {
            found = (4 + common(data, at + 4, distance), distance);
        }
        if row > 0 && row <= at && row != distance && (word ^ load(data, at - row)) << 24 == 0 {
            let length = 5 + common(data, at + 5, row);
            if length >= found.0 {
                found = (length, row);
            }
        }
        let (mut length, distance) = found;
        if length < SHORTEST {
            at += 1 + (misses >> MISSES_BITS);
            misses += 1;
            if at - writer.at() >= SYMBOLS && at < last {
                writer.count(&data[counted..at]);
                writer.literals(data, at);
                counted = at;
            }
            continue;
        }
        misses = 0;
        while at > counted && at > distance && data[at - 1] == data[at - 1 - distance] {
            at -= 1;
            length += 1;
        }
        writer.count(&data[counted..at]);
        writer.matched(data, at, length, distance);
        at = writer.at();
        counted = at;
        if at < last {
            for back in [3, 2, 1] {
                places.swap(hash(load(data, at - back), 4), base + (at - back) as u32);
            }
        }
    }
    let end = section.end.max(counted);
    writer.count(&data[counted..end]);
    end
}
