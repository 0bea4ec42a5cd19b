//! A stream of bits, the first in the lowest, into a buffer that is long enough.

/// Writes bits into a slice.
///
/// INVARIANT: fewer than 8 bits are held back between calls of [`Bits::flush`].
pub(super) struct Bits<'a> {
    out: &'a mut [u8],
    at: usize,
    word: u64,
    held_bits: u32,
}

impl<'a> Bits<'a> {
    /// Writes from the start of `out`, which must hold all that is written and 8 bytes more.
    pub(super) fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0, word: 0, held_bits: 0 }
    }

    /// Adds up to 56 bits since the last flush.
    #[inline(always)]
    pub(super) fn put(&mut self, value: u64, bits: u32) {
        self.word |= value << self.held_bits;
        self.held_bits += bits;
    }

    /// Stores the whole bytes.
    #[inline(always)]
    pub(super) fn flush(&mut self) {
        let end = self.at + 8;
        self.out[self.at..end].copy_from_slice(&self.word.to_le_bytes());
        self.at += (self.held_bits >> 3) as usize;
        self.word >>= self.held_bits & 0x38;
        self.held_bits &= 7;
    }

    /// Goes to the next border of a byte, leaving zeros; `flush` must have been called.
    pub(super) fn align(&mut self) {
        self.held_bits = self.held_bits.next_multiple_of(8);
        self.flush();
    }

    /// Copies whole bytes; the stream must be at a border.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        self.out[self.at..end].copy_from_slice(bytes);
        self.at = end;
    }

    /// How many bits the last byte has, 0 to 7.
    pub(super) fn held_bits(&self) -> u32 {
        self.held_bits
    }

    /// Bytes stored.
    pub(super) fn len(&self) -> usize {
        self.at
    }
}
