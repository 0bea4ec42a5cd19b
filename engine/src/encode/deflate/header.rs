//! The description of dynamic codes at a block's start: code lengths in runs, coded themselves.
//!
//! Source: RFC 1951 section 3.2.7.

use super::bits::Bits;
use super::block::{DISTANCES, LITERALS};
use super::huffman;

/// The order in which the header has the lengths of its own codes.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The description of dynamic codes: code lengths in runs, coded themselves.
pub(super) struct Header {
    /// Symbol, value of its extra bits.
    items: [(u8, u8); LITERALS + DISTANCES],
    used: usize,
    lengths: [u8; 19],
    literals: usize,
    distances: usize,
    order: usize,
    /// Its size.
    pub(super) bits: usize,
}

const EXTRA: [u8; 19] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 7];

impl Header {
    pub(super) fn new(lengths: &[u8; LITERALS], distance_lengths: &[u8; DISTANCES]) -> Self {
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

    pub(super) fn write(&self, bits: &mut Bits<'_>) {
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
