//! What was found, in order, on its way through blocks into the stream.

use super::bits::Bits;
use super::block::{Block, LONGEST, SEQUENCES, SHORTEST, stored_header};
use super::costs::Costs;

/// The most symbols of a block: the next one's codes suit what comes there.
pub(super) const SYMBOLS: usize = 12_000;
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
    margin_bits: i32,
}

impl<'a> Writer<'a> {
    /// A writer at a chunk's start. `out` must hold [`bound`] bytes; a short match must save more than `margin_bits`.
    pub(super) fn new(block: &'a mut Block, out: &'a mut [u8], margin_bits: i32) -> Self {
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
        let sequences = self.block.sequences();
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
        self.block.costs.saved(word, length, distance) > self.margin_bits
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
