//! One block: what was found in a stretch of data, counted, and written in the cheapest of the three forms.
//!
//! ```text
//! finder: (literals, match)* -> sequences and counts
//! block:  counts -> code lengths -> exact size of each form -> stored, fixed or dynamic
//! ```
//! Source: RFC 1951 sections 3.2.3 to 3.2.7.

use super::bits::Bits;
use super::huffman;

/// The shortest match.
pub(super) const SHORTEST: usize = 3;
/// The longest match.
const LONGEST: usize = 258;
/// The farthest match.
pub(super) const FARTHEST: usize = 32_768;

/// Literals and lengths, with the two symbols that only fixed codes have.
const LITERALS: usize = 288;
/// Distances, with the two symbols that only fixed codes have.
const DISTANCES: usize = 32;
const END: usize = 256;
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
const fn extra_distance_bits(slot: usize) -> u8 {
    (slot as u8 / 2).saturating_sub(1)
}

/// The distance code and the number of extra bits of a distance less one.
#[inline(always)]
fn distance_code(d: u32) -> (usize, u32) {
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
const SEQUENCES: usize = 6_000;

/// A block in the making, and the room to make it in.
pub(super) struct Block {
    sequences: Vec<Sequence>,
    /// Two halves of the same counts: the same byte twice in a row does not wait for itself.
    literals: [[u32; LITERALS]; 2],
    distances: [u32; DISTANCES],
    extra_bits: usize,
    costs: Costs,
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

/// Bits that symbols are expected to take.
struct Costs {
    literals: [u8; 256],
    /// By length; 0 to 2 are no lengths.
    lengths: [u8; 8],
    /// By distance code, with its extra bits.
    distances: [u8; 32],
}

impl Costs {
    /// Before there is a block to learn from.
    const GUESS: Self = {
        let mut distances = [0; 32];
        let mut slot = 0;
        while slot < 32 {
            distances[slot] = 4 + extra_distance_bits(slot);
            slot += 1;
        }
        Self { literals: [7; 256], lengths: [5; 8], distances }
    };

    /// Takes the lengths of a block's codes; a symbol that had none would get a long one.
    fn learn(&mut self, lengths: &[u8; LITERALS], distances: &[u8; DISTANCES]) {
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
}

impl Block {
    fn start(&mut self) {
        self.sequences.clear();
        self.literals = [[0; LITERALS]; 2];
        self.distances = [0; DISTANCES];
        self.extra_bits = 0;
    }

    /// Counts literals.
    #[inline(always)]
    fn count(&mut self, literals: &[u8]) {
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
    fn push(&mut self, literals: usize, length: usize, distance: usize) {
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
    fn write(&mut self, data: &[u8], bits: &mut Bits<'_>) {
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

/// The order in which the header has the lengths of its own codes.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The description of dynamic codes: code lengths in runs, coded themselves.
struct Header {
    /// Symbol, value of its extra bits.
    items: [(u8, u8); LITERALS + DISTANCES],
    used: usize,
    lengths: [u8; 19],
    literals: usize,
    distances: usize,
    order: usize,
    bits: usize,
}

const EXTRA: [u8; 19] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 7];

impl Header {
    fn new(lengths: &[u8; LITERALS], distance_lengths: &[u8; DISTANCES]) -> Self {
        let last =
            |lengths: &[u8], least: usize| lengths.iter().rposition(|l| *l > 0).map_or(least, |i| least.max(i + 1));
        let literals = last(lengths, 257);
        let distances = last(distance_lengths, 1);
        let mut all = [0u8; LITERALS + DISTANCES];
        all[..literals].copy_from_slice(&lengths[..literals]);
        all[literals..literals + distances].copy_from_slice(&distance_lengths[..distances]);
        let mut header = Self {
            items: [(0, 0); LITERALS + DISTANCES],
            used: 0,
            lengths: [0; 19],
            literals,
            distances,
            order: 4,
            bits: 0,
        };
        let mut counts = [0u32; 19];
        let mut push = |symbol: u8, extra: usize| {
            header.items[header.used] = (symbol, extra as u8);
            header.used += 1;
            counts[usize::from(symbol)] += 1;
        };
        let mut rest = &all[..literals + distances];
        while let [length, ..] = rest {
            let run = rest.iter().take_while(|l| *l == length).take(if *length == 0 { 138 } else { 7 }).count();
            let taken = match (length, run) {
                (0, 11..) => {
                    push(18, run - 11);
                    run
                }
                (0, 3..) => {
                    push(17, run - 3);
                    run
                }
                (1.., 4..) => {
                    push(*length, 0);
                    push(16, run - 4);
                    run
                }
                _ => {
                    push(*length, 0);
                    1
                }
            };
            rest = &rest[taken..];
        }
        huffman::lengths(&counts, 7, &mut header.lengths);
        header.order = last(&ORDER.map(|s| header.lengths[s]), 4);
        let body: usize =
            counts.iter().zip(header.lengths).zip(EXTRA).map(|((c, l), e)| *c as usize * usize::from(l + e)).sum();
        header.bits = 14 + 3 * header.order + body;
        header
    }

    fn write(&self, bits: &mut Bits<'_>) {
        bits.put((self.literals - 257) as u64, 5);
        bits.put((self.distances - 1) as u64, 5);
        bits.put((self.order - 4) as u64, 4);
        bits.flush();
        for symbol in &ORDER[..self.order] {
            bits.put(self.lengths[*symbol].into(), 3);
            bits.flush();
        }
        let mut codes = [0u32; 19];
        huffman::codes(&self.lengths, &mut codes);
        for (symbol, extra) in &self.items[..self.used] {
            let code = codes[usize::from(*symbol)];
            bits.put(u64::from(code >> 8), code & 255);
            bits.put((*extra).into(), EXTRA[usize::from(*symbol)].into());
            bits.flush();
        }
    }
}

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

/// The most symbols of a block: the next one's codes suit what comes there.
const SYMBOLS: usize = 12_000;
/// The most bytes of a block.
const BLOCK_BYTES: usize = 1 << 17;

/// What was found, in order, on its way through blocks into the stream.
pub(super) struct Writer<'a> {
    block: &'a mut Block,
    bits: Bits<'a>,
    /// Where the block began.
    start: usize,
    /// Up to where there are sequences.
    at: usize,
    /// Literals of the block.
    literals: usize,
    margin_bits: u32,
}

impl<'a> Writer<'a> {
    /// A writer at a chunk's start. `out` must hold [`bound`] bytes; a short match must save more than `margin_bits`.
    pub(super) fn new(block: &'a mut Block, out: &'a mut [u8], margin_bits: u32) -> Self {
        block.start();
        block.costs = Costs::GUESS;
        Self { block, bits: Bits::new(out), start: 0, at: 0, literals: 0, margin_bits }
    }

    /// Up to where the data is taken.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Counts literals that a later call takes.
    #[inline(always)]
    pub(super) fn count(&mut self, literals: &[u8]) {
        self.block.count(literals);
    }

    /// Takes the bytes up to `at` as literals, which must have been counted, then a match of any length from 3 on.
    #[inline(always)]
    pub(super) fn matched(&mut self, data: &[u8], at: usize, length: usize, distance: usize) {
        let mut literals = at - self.at;
        self.literals += literals;
        let mut rest = length;
        while rest > LONGEST {
            // what is left over must be long enough, too
            let now = LONGEST.min(rest - SHORTEST);
            self.push(data, literals, now, distance);
            literals = 0;
            rest -= now;
        }
        self.push(data, literals, rest, distance);
    }

    #[inline(always)]
    fn push(&mut self, data: &[u8], literals: usize, length: usize, distance: usize) {
        self.block.push(literals, length, distance);
        self.at += literals + length;
        let sequences = self.block.sequences.len();
        if sequences >= SEQUENCES || self.literals + sequences >= SYMBOLS || self.at - self.start >= BLOCK_BYTES {
            self.end_block(data);
        }
    }

    /// Takes the bytes up to `to` as literals, which must have been counted, if there are enough of them for a block.
    #[inline(always)]
    pub(super) fn literals(&mut self, data: &[u8], to: usize) {
        if self.literals + to.saturating_sub(self.at) >= SYMBOLS {
            self.block.push(to - self.at, 0, 0);
            self.at = to;
            self.end_block(data);
        }
    }

    /// Takes what is left of `data` as literals, which must have been counted.
    pub(super) fn rest(&mut self, data: &[u8]) {
        self.block.push(data.len() - self.at, 0, 0);
        self.at = data.len();
    }

    fn end_block(&mut self, data: &[u8]) {
        self.block.write(&data[self.start..self.at], &mut self.bits);
        self.block.start();
        self.start = self.at;
        self.literals = 0;
    }

    /// Whether a match of these first bytes is expected to be cheaper than literals; a length of 8 is 8 and more.
    #[inline(always)]
    pub(super) fn pays(&self, word: u64, length: usize, distance: usize) -> bool {
        if !(SHORTEST..7).contains(&length) {
            return length >= SHORTEST;
        }
        let costs = &self.block.costs;
        let [a, b, c, ..] = word.to_le_bytes().map(|b| u32::from(costs.literals[usize::from(b)]));
        let literals = a + b + c + 6 * (length - SHORTEST) as u32;
        let slot = distance_code(distance as u32 - 1).0;
        literals > self.margin_bits + u32::from(costs.lengths[length % 8]) + u32::from(costs.distances[slot])
    }

    /// Ends the last block and goes to the border of a byte; returns the length of the chunk.
    pub(super) fn finish(mut self, data: &[u8]) -> usize {
        if self.start < data.len() {
            self.end_block(data);
        }
        stored_header(0, &mut self.bits);
        self.bits.len()
    }
}

/// The most bytes that a chunk of `len` bytes can take, with room for the writer's stores.
///
/// No block takes more than its stored form, which is a header of 5 bytes for each 65535; a block has 12000 bytes or more unless it is the last.
pub(super) const fn bound(len: usize) -> usize {
    len + 5 * (len / 0xffff + len / SYMBOLS + 2) + 16
}
