//! PIXEL_FORMAT: how a client wants its pixels.

use thiserror::Error;

use crate::error::Fault;
use crate::wire::{Put, Reader};

/// Bytes of a PIXEL_FORMAT on the wire.
pub const PIXEL_FORMAT_LENGTH: usize = 16;

/// One colour channel of a true-colour format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Channel {
    /// Largest value, one less than a power of two.
    pub max: u16,
    /// Bits that the value is shifted left by.
    pub shift: u8,
}

/// The 16-byte PIXEL_FORMAT, RFC 6143 section 7.4, as it stands on the wire.
///
/// Any combination can be read; [`PixelFormat::validate`] says whether it makes sense.
///
/// ```
/// use farpane_rfb::PixelFormat;
/// let format = PixelFormat::BGRX;
/// assert!(format.validate().is_ok());
/// assert_eq!(format.bytes_per_pixel(), 4);
/// assert!(PixelFormat { bits_per_pixel: 24, ..format }.validate().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PixelFormat {
    /// Bits of one pixel: 8, 16 or 32.
    pub bits_per_pixel: u8,
    /// Bits of it that carry colour.
    pub depth: u8,
    /// Whether the most significant byte comes first.
    pub big_endian: bool,
    /// Channels by value; when false, pixels are indices into a colour map and the channels mean nothing.
    pub true_colour: bool,
    /// Red.
    pub red: Channel,
    /// Green.
    pub green: Channel,
    /// Blue.
    pub blue: Channel,
}

/// Why a pixel format cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PixelFormatError {
    /// A size of pixel that RFB does not have.
    #[error("{0} bits per pixel (expected 8, 16 or 32)")]
    BitsPerPixel(u8),
    /// More colour bits than bits.
    #[error("depth {depth} (expected 1..={bits_per_pixel})")]
    Depth {
        /// The depth.
        depth: u8,
        /// Bits of a pixel.
        bits_per_pixel: u8,
    },
    /// A maximum that is 0 or not one less than a power of two.
    #[error("channel maximum {0} (expected 1, 3, 7 and so on)")]
    Maximum(u16),
    /// A channel of more bits than are served.
    #[error("channel maximum {max} at {bits_per_pixel} bits per pixel (expected at most 255, or 1023 at 32)")]
    TooDeep {
        /// The maximum.
        max: u16,
        /// Bits of a pixel.
        bits_per_pixel: u8,
    },
    /// The channels need more bits than the depth has.
    #[error("channels of {bits} bits together (expected at most the depth {depth})")]
    TooManyBits {
        /// Bits of all channels.
        bits: u32,
        /// The depth.
        depth: u8,
    },
    /// A channel reaches beyond the pixel.
    #[error("channel shift {shift} with {bits} bits (expected to end at bit {bits_per_pixel})")]
    Shift {
        /// The shift.
        shift: u8,
        /// Bits of the channel.
        bits: u32,
        /// Bits of a pixel.
        bits_per_pixel: u8,
    },
    /// Two channels share bits.
    #[error("channel masks overlap")]
    Overlap,
    /// A colour map of another size than 8 bits.
    #[error("colour map at {bits_per_pixel} bits per pixel, depth {depth} (expected 8 and 8)")]
    ColourMap {
        /// Bits of a pixel.
        bits_per_pixel: u8,
        /// The depth.
        depth: u8,
    },
}

impl PixelFormatError {
    /// Whose fault it is: formats that RFB allows but this crate does not serve are incompatible, the rest is broken.
    pub fn fault(self) -> Fault {
        match self {
            Self::TooDeep { .. } | Self::ColourMap { .. } => Fault::PeerIncompatible,
            _ => Fault::PeerMisbehaved,
        }
    }
}

impl PixelFormat {
    /// 32 bits, depth 24, little-endian, blue in the lowest byte: what a server announces; every viewer copes.
    pub const BGRX: Self = Self {
        bits_per_pixel: 32,
        depth: 24,
        big_endian: false,
        true_colour: true,
        red: Channel { max: 255, shift: 16 },
        green: Channel { max: 255, shift: 8 },
        blue: Channel { max: 255, shift: 0 },
    };

    /// As [`PixelFormat::BGRX`] with red in the lowest byte: what noVNC asks for.
    pub const RGBX: Self =
        Self { red: Channel { max: 255, shift: 0 }, blue: Channel { max: 255, shift: 16 }, ..Self::BGRX };

    /// Reads 16 bytes without judging them; `None` when they are incomplete.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut body = Reader::new(reader.take(PIXEL_FORMAT_LENGTH)?);
        let (bits_per_pixel, depth) = (body.u8()?, body.u8()?);
        let (big_endian, true_colour) = (body.u8()? != 0, body.u8()? != 0);
        let [red, green, blue] = [body.u16()?, body.u16()?, body.u16()?];
        let channel = |max, shift| Channel { max, shift };
        Some(Self {
            bits_per_pixel,
            depth,
            big_endian,
            true_colour,
            red: channel(red, body.u8()?),
            green: channel(green, body.u8()?),
            blue: channel(blue, body.u8()?),
        })
    }

    /// Writes the 16 bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put(&[self.bits_per_pixel, self.depth, u8::from(self.big_endian), u8::from(self.true_colour)]);
        for channel in self.channels() {
            out.put_u16(channel.max);
        }
        for channel in self.channels() {
            out.put_u8(channel.shift);
        }
        out.put(&[0; 3]);
    }

    /// Red, green and blue.
    pub fn channels(&self) -> [Channel; 3] {
        [self.red, self.green, self.blue]
    }

    /// Bytes of one pixel.
    pub fn bytes_per_pixel(&self) -> usize {
        usize::from(self.bits_per_pixel / 8)
    }

    /// Whether pixels in this format can be made: sizes of RFB, maxima 2ⁿ−1 and not zero, channels inside depth and pixel,
    /// disjoint; at most 8 bits a channel, 10 at 32 bits per pixel; a colour map only at 8 bits and depth 8.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), PixelFormatError> {
        let (bits_per_pixel, depth) = (self.bits_per_pixel, self.depth);
        if !matches!(bits_per_pixel, 8 | 16 | 32) {
            return Err(PixelFormatError::BitsPerPixel(bits_per_pixel));
        }
        if depth == 0 || depth > bits_per_pixel {
            return Err(PixelFormatError::Depth { depth, bits_per_pixel });
        }
        if !self.true_colour {
            let fine = bits_per_pixel == 8 && depth == 8;
            return if fine { Ok(()) } else { Err(PixelFormatError::ColourMap { bits_per_pixel, depth }) };
        }
        let (mut all_bits, mut taken) = (0_u32, 0_u64);
        for Channel { max, shift } in self.channels() {
            if max == 0 || max & max.wrapping_add(1) != 0 {
                return Err(PixelFormatError::Maximum(max));
            }
            if max > if bits_per_pixel == 32 { 1023 } else { 255 } {
                return Err(PixelFormatError::TooDeep { max, bits_per_pixel });
            }
            let bits = max.count_ones();
            all_bits = all_bits.saturating_add(bits);
            if bits.saturating_add(u32::from(shift)) > u32::from(bits_per_pixel) {
                return Err(PixelFormatError::Shift { shift, bits, bits_per_pixel });
            }
            let mask = u64::from(max).checked_shl(u32::from(shift)).unwrap_or(0);
            if taken & mask != 0 {
                return Err(PixelFormatError::Overlap);
            }
            taken |= mask;
        }
        if all_bits > u32::from(depth) {
            return Err(PixelFormatError::TooManyBits { bits: all_bits, depth });
        }
        Ok(())
    }
}

impl std::fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let endian = if self.big_endian { "be" } else { "le" };
        write!(f, "{} bpp depth {} {endian}", self.bits_per_pixel, self.depth)?;
        if !self.true_colour {
            return f.write_str(" colour map");
        }
        for (name, Channel { max, shift }) in ["r", "g", "b"].into_iter().zip(self.channels()) {
            write!(f, " {name}{max}<<{shift}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rgb(bits_per_pixel: u8, depth: u8, maxima: [u16; 3], shifts: [u8; 3]) -> PixelFormat {
        let c = |i: usize| Channel { max: maxima[i], shift: shifts[i] };
        PixelFormat { bits_per_pixel, depth, red: c(0), green: c(1), blue: c(2), ..PixelFormat::BGRX }
    }

    #[test]
    fn formats_seen_in_the_wild_are_accepted() {
        for format in [
            PixelFormat::BGRX,
            PixelFormat::RGBX,
            rgb(16, 16, [31, 63, 31], [11, 5, 0]),
            rgb(8, 8, [7, 7, 3], [5, 2, 0]),
            rgb(8, 8, [7, 7, 3], [0, 3, 6]),
            rgb(8, 6, [3, 3, 3], [4, 2, 0]),
            rgb(8, 3, [1, 1, 1], [2, 1, 0]),
            rgb(32, 15, [31, 31, 31], [10, 5, 0]),
            rgb(32, 32, [255, 255, 255], [24, 16, 8]),
            rgb(32, 30, [1023, 1023, 1023], [20, 10, 0]),
            PixelFormat { true_colour: false, ..rgb(8, 8, [0; 3], [0; 3]) },
        ] {
            assert_eq!(format.validate(), Ok(()), "{format}");
        }
    }

    #[test]
    fn each_rule_refuses_its_own_breach() {
        use PixelFormatError as E;
        for (format, error) in [
            (rgb(24, 24, [255; 3], [16, 8, 0]), E::BitsPerPixel(24)),
            (rgb(0, 0, [255; 3], [16, 8, 0]), E::BitsPerPixel(0)),
            (rgb(16, 17, [31; 3], [10, 5, 0]), E::Depth { depth: 17, bits_per_pixel: 16 }),
            (rgb(32, 0, [255; 3], [16, 8, 0]), E::Depth { depth: 0, bits_per_pixel: 32 }),
            (rgb(32, 24, [255, 254, 255], [16, 8, 0]), E::Maximum(254)),
            (rgb(32, 24, [0, 255, 255], [16, 8, 0]), E::Maximum(0)),
            (rgb(32, 32, [2047, 1023, 1023], [20, 10, 0]), E::TooDeep { max: 2047, bits_per_pixel: 32 }),
            (rgb(16, 16, [1023, 7, 7], [6, 3, 0]), E::TooDeep { max: 1023, bits_per_pixel: 16 }),
            (rgb(32, 32, [65535, 255, 255], [16, 8, 0]), E::TooDeep { max: 65535, bits_per_pixel: 32 }),
            (rgb(32, 24, [255; 3], [25, 8, 0]), E::Shift { shift: 25, bits: 8, bits_per_pixel: 32 }),
            (rgb(32, 24, [255; 3], [255, 8, 0]), E::Shift { shift: 255, bits: 8, bits_per_pixel: 32 }),
            (rgb(32, 24, [255; 3], [16, 8, 7]), E::Overlap),
            (rgb(32, 16, [255; 3], [16, 8, 0]), E::TooManyBits { bits: 24, depth: 16 }),
            (PixelFormat { true_colour: false, ..PixelFormat::BGRX }, E::ColourMap { bits_per_pixel: 32, depth: 24 }),
        ] {
            assert_eq!(format.validate(), Err(error), "{format}");
        }
    }

    #[test]
    fn bytes_are_those_of_a_real_server() {
        let golden = [0x20, 0x18, 0, 1, 0, 0xff, 0, 0xff, 0, 0xff, 0x10, 8, 0, 0, 0, 0];
        let mut out = Vec::new();
        PixelFormat::BGRX.write(&mut out);
        assert_eq!(out, golden);
        assert_eq!(PixelFormat::read(&mut Reader::new(&golden)), Some(PixelFormat::BGRX));
        assert_eq!(PixelFormat::read(&mut Reader::new(&golden[..15])), None);
    }

    #[test]
    fn any_flag_byte_but_zero_is_true() {
        let mut bytes = [0x20, 0x18, 0, 0x80, 0, 0xff, 0, 0xff, 0, 0xff, 0x10, 8, 0, 9, 9, 9];
        assert!(PixelFormat::read(&mut Reader::new(&bytes)).unwrap().true_colour);
        bytes[3] = 0;
        assert!(!PixelFormat::read(&mut Reader::new(&bytes)).unwrap().true_colour);
    }
}
