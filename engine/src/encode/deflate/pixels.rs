//! Finding what stood earlier in the chunk: plain pixels, photographs mostly.
//!
//! ```text
//! for each batch of pixels:
//!     where did each pixel stand last, where each pair? which agrees farther?    (1)
//!     for each pixel: a match if it is cheaper than its literals                 (2)
//!         a long one: or the row above, if that agrees farther (not at low effort)
//!     no match in several batches: some are taken unseen                         (3)
//! ```
//! 1. No decision is taken here, so that the processor has many look-ups under way at once.
//! 2. A photograph's matches are short and a far one costs as much as three literals; the code lengths of the block before tell.
//! 3. Noise costs little more than its copy.

use std::ops::Range;

use super::block::FARTHEST;
use super::find::{Places, common, hash, load};
use super::writer::Writer;

const BATCH: usize = 64;
/// After so many batches in a row without a match, batches are taken as literals unseen.
const MISSES: usize = 4;
/// From one up to so many in turn: never as many twice in a row, so that what repeats is met sooner or later.
const MOST_SKIPPED: usize = 4;
/// This many bytes at the end begin no match.
const TAIL: usize = 16;

/// What a pixel's look-up found: bytes that agree, 8 for 8 and more.
#[derive(Clone, Copy, Default)]
struct Candidate {
    distance: u16,
    length: u8,
}

/// Takes pixels of `P` bytes, a section that starts with one of them; bytes before `counted` are counted already; `row` is the
/// length of a row, or 0. Returns up to where bytes were counted, the section's end or, where a match goes beyond it, farther.
pub(super) fn pixels<const P: usize, const PAIRS: bool>(
    data: &[u8],
    section: Range<usize>,
    counted: usize,
    row: usize,
    base: u32,
    places: &mut [Places; 2],
    writer: &mut Writer<'_>,
) -> usize {
    let [ones, twos] = places;
    let last = section.end.min(data.len().saturating_sub(TAIL));
    let mut found = [Candidate::default(); BATCH];
    // on to the first border of a pixel
    let first = section.start + (counted - section.start).next_multiple_of(P);
    let mut at = first.min(section.end.max(counted));
    writer.count(&data[counted..at]);
    let mut misses = 0;
    while at < last {
        if misses >= MISSES {
            let skipped = (1 + (misses - MISSES) % MOST_SKIPPED) * BATCH * P;
            let to = at + skipped.min((last - at).next_multiple_of(P));
            writer.count(&data[at..to]);
            at = to;
            writer.literals(data, at);
            if at >= last {
                break;
            }
        }
        misses += 1;
        let start = at;
        let count = (last - start).div_ceil(P).min(BATCH);
        for (i, candidate) in found[..count].iter_mut().enumerate() {
            let p = start + i * P;
            let word = load(data, p);
            let place = base + p as u32;
            let farthest = (p as u32).min(FARTHEST as u32 - 1);
            let agree = |distance: u32| {
                // PERF: all ones where the place is of this chunk and near enough; a branch would be mistaken for every second pixel
                let valid = 0u32.wrapping_sub(u32::from(distance - 1 < farthest));
                let differ = word ^ load(data, p - (distance & valid) as usize);
                ((differ.trailing_zeros() / 8) & valid, distance)
            };
            let one = agree(ones.swap(hash(word, P as u32), place));
            let (length, distance) = if PAIRS {
                let two = agree(twos.swap(hash(word, 2 * P as u32), place));
                if two.0 > one.0 { two } else { one }
            } else {
                one
            };
            *candidate = Candidate { distance: distance as u16, length: length as u8 };
        }
        // what is left of a section that ends inside a pixel has no candidate
        let end = (start + count * P).min(last);
        while at < end {
            let candidate = found[(at - start) / P % BATCH];
            let mut distance = usize::from(candidate.distance);
            let mut length = usize::from(candidate.length);
            if !writer.pays(load(data, at), length, distance) {
                writer.count(&data[at..at + P]);
                at += P;
                continue;
            }
            misses = 0;
            if length == 8 {
                length += common(data, at + 8, distance);
                if PAIRS && row > 0 && row <= at && row != distance && load(data, at) == load(data, at - row) {
                    let above = 8 + common(data, at + 8, row);
                    if above > length {
                        (length, distance) = (above, row);
                    }
                }
            }
            writer.matched(data, at, length, distance);
            // on to the next border of a pixel
            let border = (at + length.next_multiple_of(P)).min(section.end.max(at + length));
            writer.count(&data[at + length..border]);
            at = border;
        }
        writer.literals(data, at);
    }
    let end = section.end.max(at);
    writer.count(&data[at..end]);
    end
}
