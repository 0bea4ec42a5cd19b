//! Deflate of a few bytes: one block of fixed codes, made without a compressor's tables.
//!
//! A letter is one or two hundred bytes. Resetting a compressor clears 128 KiB and building codes of its own takes as long
//! again, for a block whose description of those codes is about what they save.
//!
//! ```text
//! at each byte: did its three bytes stand earlier? the match, as long as it goes; else the byte
//! ```
//! Source: RFC 1951 sections 3.2.5 and 3.2.6.

/// The most bytes that are worth it.
pub(super) const MOST: usize = 256;
/// The shortest match.
const SHORTEST: usize = 3;
/// The longest match: 258 has a code of its own, which is not needed.
const LONGEST: usize = 257;
const SLOTS: usize = 256;

/// Appends a block of fixed codes and a sync flush.
///
/// Cost: O(n), no allocation besides `out`.
pub(super) fn fixed(data: &[u8], out: &mut Vec<u8>) {
    let mut bits = Bits { out, word: 0, len: 0 };
    // not the last block, fixed codes
    bits.put(0b010, 3);
    // one past the place where a hash was seen last
    let mut seen = [0u16; SLOTS];
    let mut at = 0;
    while at < data.len() {
        let from = data.get(at..at + SHORTEST).and_then(|three| swap(&mut seen, three, at));
        let len = from.map_or(0, |from| common(&data[from..], &data[at..]));
        match from {
            Some(from) if len >= SHORTEST => {
                bits.length(len);
                bits.distance(at - from);
                for skipped in at + 1..at + len {
                    if let Some(three) = data.get(skipped..skipped + SHORTEST) {
                        swap(&mut seen, three, skipped);
                    }
                }
                at += len;
            }
            _ => {
                bits.symbol(data[at].into());
                at += 1;
            }
        }
    }
    bits.symbol(256);
    // an empty stored block ends at a byte's border
    bits.put(0, 3);
    bits.finish();
    out.extend_from_slice(&[0, 0, 0xff, 0xff]);
}

/// Puts a place into its slot and returns the one that was there.
fn swap(seen: &mut [u16; SLOTS], three: &[u8], at: usize) -> Option<usize> {
    let key = three.iter().fold(0u32, |k, b| k << 8 | u32::from(*b));
    let slot = &mut seen[(key.wrapping_mul(0x9e37_79b1) >> 24) as usize % SLOTS];
    usize::from(std::mem::replace(slot, at as u16 + 1)).checked_sub(1)
}

/// How far two pieces agree.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take(LONGEST).take_while(|(a, b)| a == b).count()
}

/// A stream of bits, the first in the lowest.
struct Bits<'a> {
    out: &'a mut Vec<u8>,
    word: u64,
    len: u32,
}

impl Bits<'_> {
    fn put(&mut self, value: usize, len: u32) {
        self.word |= (value as u64) << self.len;
        self.len += len;
        while self.len >= 8 {
            self.out.push(self.word as u8);
            self.word >>= 8;
            self.len -= 8;
        }
    }

    /// A code, which goes highest bit first.
    fn code(&mut self, code: usize, len: u32) {
        self.put(code.reverse_bits() >> (usize::BITS - len), len);
    }

    /// A literal, the end (256) or a length's symbol in fixed codes.
    fn symbol(&mut self, symbol: usize) {
        match symbol {
            0..=143 => self.code(0x30 + symbol, 8),
            144..=255 => self.code(0x190 + symbol - 144, 9),
            256..=279 => self.code(symbol - 256, 7),
            _ => self.code(0xc0 + symbol - 280, 8),
        }
    }

    fn length(&mut self, len: usize) {
        let l = len - SHORTEST;
        if l < 8 {
            return self.symbol(257 + l);
        }
        let extra = l.ilog2() - 2;
        self.symbol(257 + 4 * (extra as usize + 1) + (l >> extra & 3));
        self.put(l & ((1 << extra) - 1), extra);
    }

    fn distance(&mut self, distance: usize) {
        let d = distance - 1;
        if d < 4 {
            return self.code(d, 5);
        }
        let extra = d.ilog2() - 1;
        self.code(2 * (extra as usize + 1) + (d >> extra & 1), 5);
        self.put(d & ((1 << extra) - 1), extra);
    }

    /// Fills the last byte up with zeros.
    fn finish(self) {
        if self.len > 0 {
            self.out.push(self.word as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zlib_rs::{Inflate, InflateFlush, Status};

    fn inflate(chunk: &[u8], len: usize) -> Vec<u8> {
        let mut inflater = Inflate::new(false, 15);
        let mut out = vec![0; len + 1];
        let status = inflater.decompress(chunk, &mut out, InflateFlush::SyncFlush);
        assert_eq!(status, Ok(Status::Ok), "legal and not finished");
        assert_eq!(inflater.total_in() as usize, chunk.len());
        out.truncate(inflater.total_out() as usize);
        out
    }

    proptest! {
        #[test]
        fn runs_and_noise_come_back(
            runs in proptest::collection::vec((any::<u8>(), 1usize..90), 0..40),
            noise in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let mut data: Vec<u8> = runs.iter().flat_map(|(v, n)| std::iter::repeat_n(*v, *n)).collect();
            data.splice(data.len() / 2..data.len() / 2, noise);
            let mut out = Vec::new();
            fixed(&data, &mut out);
            prop_assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
            prop_assert_eq!(inflate(&out, data.len()), data);
        }
    }

    #[test]
    fn every_length_and_distance_comes_back() {
        for period in 1..=MOST {
            for len in [1, 2, 3, 4, 10, 11, 12, 18, 19, 34, 35, 66, 67, 130, 131, 226, 227, 256, 257, 258, 259, 300] {
                let data: Vec<u8> = (0..period + len).map(|i| (i % period * 89 % 251) as u8).collect();
                let mut out = Vec::new();
                fixed(&data, &mut out);
                assert_eq!(inflate(&out, data.len()), data, "{len} bytes, {period} apart");
            }
        }
    }

    #[test]
    fn a_run_is_a_match() {
        let mut out = Vec::new();
        fixed(&[7; 200], &mut out);
        assert!(out.len() <= 10, "{} bytes", out.len());
    }
}
