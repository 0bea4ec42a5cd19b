//! One block: what was found in a stretch of data, counted, and written in the cheapest of the three forms.
//!
//! ```text
//! finder: (literals, match)* -> sequences and counts
//! block:  counts -> code lengths -> exact size of each form -> stored, fixed or dynamic
//! ```
//! Source: RFC 1951 sections 3.2.3 to 3.2.7.

use super::bits::Bits;
use super::costs::Costs;
use super::header::Header;
use super::huffman;

/// The shortest match.
pub(super) const SHORTEST: usize = 3;
/// The longest match.
pub(super) const LONGEST: usize = 258;
/// The farthest match.
pub(super) const FARTHEST: usize = 32_768;

/// Literals and lengths, with the two symbols that only fixed codes have.
pub(super) const LITERALS: usize = 288;
/// Distances, with the two symbols that only fixed codes have.
pub(super) const DISTANCES: usize = 32;
pub(super) const END: usize = 256;
/// Bound of literal and length codes: four literals fit between two flushes.
const LITERAL_BITS: usize = 13;
const DISTANCE_BITS: usize = 15;

/// Base and extra bits of each length code, from 257 on.
const LENGTHS: [(u16, u8); 29] = {
    let mut table = [(0, 0); 29];
    let mut code = 0;
    let mut base = 3;
    while code < 28 {
        let extra = if code < 8 { 0 } else { code / 4 - 1 };
        table[code] = (base, extra as u8);
        base += 1 << extra;
        code += 1;
    }
    table[28] = (258, 0);
    table
};

/// The length code of each length, less 257.
const LENGTH_CODE: [u8; LONGEST + 1] = {
    let mut table = [0; LONGEST + 1];
    let mut code = 0;
    while code < 29 {
        let (base, extra) = LENGTHS[code];
        let mut i = 0;
        while i < 1 << extra && base as usize + i <= LONGEST {
            table[base as usize + i] = code as u8;
            i += 1;
        }
        code += 1;
    }
    table
};

/// The number of extra bits of a distance code.
pub(super) const fn extra_distance_bits(slot: usize) -> u8 {
    (slot as u8 / 2).saturating_sub(1)
}

/// The distance code and the number of extra bits of a distance less one.
#[inline(always)]
pub(super) fn distance_code(d: u32) -> (usize, u32) {
    let extra = (d | 2).ilog2() - 1;
    let slot = if d < 2 { d } else { 2 * (extra + 1) + (d >> extra & 1) };
    (slot as usize & 31, extra)
}

/// Literals and the match that follows them; a length of 0 is no match.
#[derive(Clone, Copy, Default)]
struct Sequence {
    literals: u32,
    length: u16,
    /// Less one.
    distance: u16,
}

/// The most sequences of a block.
pub(super) const SEQUENCES: usize = 6_000;

/// A block in the making, and the room to make it in.
pub(super) struct Block {
    sequences: Vec<Sequence>,
    /// Two halves of the same counts: the same byte twice in a row does not wait for itself.
    literals: [[u32; LITERALS]; 2],
    distances: [u32; DISTANCES],
    extra_bits: usize,
    /// What the block before took.
    pub(super) costs: Costs,
}

impl Default for Block {
    fn default() -> Self {
        Self {
            sequences: Vec::with_capacity(SEQUENCES),
            literals: [[0; LITERALS]; 2],
            distances: [0; DISTANCES],
            extra_bits: 0,
            costs: Costs::GUESS,
        }
    }
}

impl Block {
    /// Forgets everything but the costs.
    pub(super) fn start(&mut self) {
        self.sequences.clear();
        self.literals = [[0; LITERALS]; 2];
        self.distances = [0; DISTANCES];
        self.extra_bits = 0;
    }

    /// How many sequences it has.
    pub(super) fn sequences(&self) -> usize {
        self.sequences.len()
    }

    /// Counts literals.
    #[inline(always)]
    pub(super) fn count(&mut self, literals: &[u8]) {
        let [a, b] = &mut self.literals;
        let (pairs, rest) = literals.as_chunks::<2>();
        for [x, y] in pairs {
            a[usize::from(*x)] += 1;
            b[usize::from(*y)] += 1;
        }
        for x in rest {
            a[usize::from(*x)] += 1;
        }
    }

    /// Takes literals, which have been counted, and a match after them if its length is not 0.
    #[inline(always)]
    pub(super) fn push(&mut self, literals: usize, length: usize, distance: usize) {
        if length > 0 {
            let code = usize::from(LENGTH_CODE[length]);
            self.literals[0][END + 1 + code] += 1;
            let (slot, extra) = distance_code(distance as u32 - 1);
            self.distances[slot] += 1;
            self.extra_bits += (u32::from(LENGTHS[code].1) + extra) as usize;
        }
        let distance = distance.wrapping_sub(1) as u16;
        self.sequences.push(Sequence { literals: literals as u32, length: length as u16, distance });
    }

    /// Writes the block, which holds what `data` is, in its cheapest form.
    pub(super) fn write(&mut self, data: &[u8], bits: &mut Bits<'_>) {
        let [counts, more] = &mut self.literals;
        counts.iter_mut().zip(more).for_each(|(a, b)| *a += *b);
        counts[END] += 1;
        let counts = &self.literals[0];
        let mut lengths = [0u8; LITERALS];
        let mut distance_lengths = [0u8; DISTANCES];
        huffman::lengths(counts, LITERAL_BITS, &mut lengths);
        huffman::lengths(&self.distances, DISTANCE_BITS, &mut distance_lengths);
        self.costs.learn(&lengths, &distance_lengths);
        let header = Header::new(&lengths, &distance_lengths);
        let sum = |counts: &[u32], lengths: &[u8]| -> usize {
            counts.iter().zip(lengths).map(|(c, l)| *c as usize * usize::from(*l)).sum()
        };
        let dynamic = header.bits + sum(counts, &lengths) + sum(&self.distances, &distance_lengths) + self.extra_bits;
        let fixed = sum(counts, &FIXED) + sum(&self.distances, &[5; DISTANCES]) + self.extra_bits;
        let stored = stored_bits(data.len(), bits.held_bits());
        if stored < 3 + dynamic.min(fixed) {
            return store(data, bits);
        }
        let (lengths, distance_lengths) = if fixed <= dynamic {
            bits.put(0b010, 3);
            bits.flush();
            (FIXED, [5; DISTANCES])
        } else {
            bits.put(0b100, 3);
            header.write(bits);
            (lengths, distance_lengths)
        };
        let mut codes = [0u32; LITERALS];
        let mut distance_codes = [0u32; DISTANCES];
        huffman::codes(&lengths, &mut codes);
        huffman::codes(&distance_lengths, &mut distance_codes);
        self.write_sequences(data, &codes, &distance_codes, bits);
    }

    fn write_sequences(
        &self,
        data: &[u8],
        codes: &[u32; LITERALS],
        distance_codes: &[u32; DISTANCES],
        bits: &mut Bits<'_>,
    ) {
        let mut rest = data;
        for sequence in &self.sequences {
            let literals = sequence.literals as usize;
            write_literals(rest, literals, codes, bits);
            let after = &rest[literals..];
            let length = usize::from(sequence.length);
            if length == 0 {
                rest = after;
                continue;
            }
            rest = &after[length..];
            let slot = usize::from(LENGTH_CODE[length]);
            let (base, extra) = LENGTHS[slot];
            let code = codes[END + 1 + slot];
            bits.put(u64::from(code >> 8), code & 255);
            bits.put((length as u64).wrapping_sub(base.into()), extra.into());
            let d = u32::from(sequence.distance);
            let (slot, extra) = distance_code(d);
            let code = distance_codes[slot];
            bits.put(u64::from(code >> 8), code & 255);
            bits.put(u64::from(d & ((1 << extra) - 1)), extra);
            bits.flush();
        }
        let code = codes[END];
        bits.put(u64::from(code >> 8), code & 255);
        bits.flush();
    }
}

/// Writes the first `count` bytes of `data`.
#[inline(always)]
fn write_literals(data: &[u8], count: usize, codes: &[u32; LITERALS], bits: &mut Bits<'_>) {
    let (literals, after) = data.split_at(count & !3);
    for four in literals.as_chunks::<4>().0 {
        for literal in four {
            let code = codes[usize::from(*literal)];
            bits.put(u64::from(code >> 8), code & 255);
        }
        bits.flush();
    }
    if let Some([a, b, c, _]) = after.first_chunk::<4>() {
        // PERF: how many are left is anybody's guess, so no branch asks
        for (i, literal) in [a, b, c].into_iter().enumerate() {
            let code = if i < count & 3 { codes[usize::from(*literal)] } else { 0 };
            bits.put(u64::from(code >> 8), code & 255);
        }
    } else {
        for literal in &after[..count & 3] {
            let code = codes[usize::from(*literal)];
            bits.put(u64::from(code >> 8), code & 255);
        }
    }
    bits.flush();
}

/// The lengths of the fixed codes.
const FIXED: [u8; LITERALS] = {
    let mut lengths = [8; LITERALS];
    let mut symbol = 144;
    while symbol < 280 {
        lengths[symbol] = if symbol < 256 { 9 } else { 7 };
        symbol += 1;
    }
    lengths
};

/// What a stored block's length may be.
const MOST_STORED: usize = 0xffff;

/// The size of stored blocks that start after `held` bits of a byte.
fn stored_bits(len: usize, held: u32) -> usize {
    let first = (3 + held).next_multiple_of(8) - held;
    first as usize + 32 + 40 * (len.div_ceil(MOST_STORED).max(1) - 1) + 8 * len
}

fn store(data: &[u8], bits: &mut Bits<'_>) {
    for piece in data.chunks(MOST_STORED) {
        stored_header(piece.len() as u16, bits);
        bits.bytes(piece);
    }
}

/// Header of a stored block, at whose end the stream is at a border.
pub(super) fn stored_header(len: u16, bits: &mut Bits<'_>) {
    bits.put(0, 3);
    bits.flush();
    bits.align();
    bits.put(u64::from(len) | u64::from(!len) << 16, 32);
    bits.flush();
}
