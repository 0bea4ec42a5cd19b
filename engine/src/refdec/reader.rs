//! Reading numbers and pixels from bytes that may end anywhere.

use super::DecodeError;
use crate::pixel::ClientFormat;

/// A cursor over bytes.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Set inside a chunk of known length: then running out is the peer's fault.
    chunk: Option<&'static str>,
}

impl<'a> Reader<'a> {
    /// Reads a stream; running out is [`DecodeError::Short`].
    pub(super) fn stream(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, chunk: None }
    }

    /// Reads a chunk of known length; running out is [`DecodeError::Truncated`].
    pub(super) fn chunk(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, at: 0, chunk: Some(what) }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The bytes not yet read.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Fails unless every byte was read.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            bytes => Err(DecodeError::Trailing { what: self.chunk.unwrap_or("the rectangle"), bytes }),
        }
    }

    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let have = self.bytes.len() - self.at;
        if n > have {
            return Err(match self.chunk {
                Some(what) => DecodeError::Truncated { what, need: n, have },
                None => DecodeError::Short { need: n, have },
            });
        }
        let out = &self.bytes[self.at..self.at + n];
        self.at += n;
        Ok(out)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// A PIXEL.
    pub(super) fn pixel(&mut self, f: &ClientFormat) -> Result<u32, DecodeError> {
        Ok(value(self.take(f.bytes())?, f.big_endian))
    }

    /// A CPIXEL of ZRLE: 3 bytes when the masks leave the top or the bottom byte of 32 empty.
    pub(super) fn cpixel(&mut self, f: &ClientFormat) -> Result<u32, DecodeError> {
        let raw = value(self.take(cpixel_bytes(f))?, f.big_endian);
        Ok(if cpixel_kind(f) == Cpixel::High { raw << 8 } else { raw })
    }

    /// A TPIXEL of Tight: R, G, B for 32-bit pixels of depth 24.
    pub(super) fn tpixel(&mut self, f: &ClientFormat) -> Result<u32, DecodeError> {
        if f.tpixel_is_rgb() {
            let [r, g, b] = self.array()?;
            return Ok(u32::from(r) << f.r_shift | u32::from(g) << f.g_shift | u32::from(b) << f.b_shift);
        }
        self.pixel(f)
    }
}

fn value(bytes: &[u8], big_endian: bool) -> u32 {
    let push = |v: u32, &b: &u8| v << 8 | u32::from(b);
    if big_endian { bytes.iter().fold(0, push) } else { bytes.iter().rev().fold(0, push) }
}

#[derive(PartialEq, Eq)]
enum Cpixel {
    Whole,
    Low,
    High,
}

fn cpixel_kind(f: &ClientFormat) -> Cpixel {
    let mask = f.mask();
    if f.bpp != 32 || !f.true_colour {
        Cpixel::Whole
    } else if mask >> 24 == 0 {
        Cpixel::Low
    } else if mask & 0xff == 0 {
        Cpixel::High
    } else {
        Cpixel::Whole
    }
}

/// Bytes of a CPIXEL.
fn cpixel_bytes(f: &ClientFormat) -> usize {
    if cpixel_kind(f) == Cpixel::Whole { f.bytes() } else { 3 }
}

/// Bytes of a TPIXEL.
pub(super) fn tpixel_bytes(f: &ClientFormat) -> usize {
    if f.tpixel_is_rgb() { 3 } else { f.bytes() }
}
