//! The plan from a mirror's pixels to a client's pixel values.

use super::{ClientFormat, Layout};

/// How one mirror pixel becomes one client value.
///
/// INVARIANT: for every pixel with zero padding, the result of each class equals
/// `format.value(layout.rgb(pixel))`, which [`Plan::value`] computes.
#[derive(Clone, Debug)]
pub struct Plan {
    layout: Layout,
    format: ClientFormat,
    class: PlanClass,
}

/// The three costs of a conversion.
#[derive(Clone, Debug)]
pub enum PlanClass {
    /// The words are the values already.
    Same,
    /// Red and blue change places.
    Swap,
    /// One table per channel (red, green, blue), from its upper eight bits to its bits of the value.
    Tables(Box<[[u32; 256]; 3]>),
}

impl Plan {
    /// The plan for a mirror of this layout and a client of this format.
    pub fn new(layout: Layout, format: &ClientFormat) -> Self {
        let full = |f: &ClientFormat| f.r_max == 255 && f.g_max == 255 && f.b_max == 255;
        let shifts = (format.r_shift, format.g_shift, format.b_shift);
        let class = if full(format) && layout.bits == 8 && shifts == (layout.r_shift, layout.g_shift, layout.b_shift) {
            PlanClass::Same
        } else if full(format)
            && layout.bits == 8
            && layout.g_shift == 8
            && shifts == (layout.b_shift, layout.g_shift, layout.r_shift)
        {
            PlanClass::Swap
        } else {
            let mut tables = Box::new([[0; 256]; 3]);
            for v in 0..=255u8 {
                tables[0][usize::from(v)] = format.value([v, 0, 0]);
                tables[1][usize::from(v)] = format.value([0, v, 0]);
                tables[2][usize::from(v)] = format.value([0, 0, v]);
            }
            PlanClass::Tables(tables)
        };
        Self { layout, format: *format, class }
    }

    /// Whether this is the plan for these two.
    pub fn is_for(&self, layout: Layout, format: &ClientFormat) -> bool {
        self.layout == layout && self.format == *format
    }

    /// The mirror's layout.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// How the conversion is done.
    pub const fn class(&self) -> &PlanClass {
        &self.class
    }

    /// The definition of the conversion, for one pixel.
    pub fn value(&self, pixel: u32) -> u32 {
        self.format.value(self.layout.rgb(pixel))
    }
}

/// How a pixel value is written into a byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelBytes {
    /// One byte.
    One,
    /// Two bytes; true means the high one first.
    Two(bool),
    /// Three bytes, each the eight bits of the value from the given bit up.
    Three([u8; 3]),
    /// Four bytes; true means the high one first.
    Four(bool),
}

impl PixelBytes {
    /// PIXEL: as the client's format says.
    pub const fn pixel(format: &ClientFormat) -> Self {
        match format.bpp {
            8 => Self::One,
            16 => Self::Two(format.big_endian),
            _ => Self::Four(format.big_endian),
        }
    }

    /// ZRLE's CPIXEL: three bytes when all colour bits lie in the low or the high three of four.
    ///
    /// Source: RFC 6143 section 7.7.5; the depth is not looked at, as deployed encoders and decoders do.
    pub const fn cpixel(format: &ClientFormat) -> Self {
        if format.bpp != 32 || !format.true_colour {
            return Self::pixel(format);
        }
        match (format.mask() & 0xff00_0000 == 0, format.mask() & 0xff == 0, format.big_endian) {
            (true, _, false) => Self::Three([0, 8, 16]),
            (true, _, true) => Self::Three([16, 8, 0]),
            (false, true, false) => Self::Three([8, 16, 24]),
            (false, true, true) => Self::Three([24, 16, 8]),
            (false, false, _) => Self::Four(format.big_endian),
        }
    }

    /// Bytes of one pixel.
    pub const fn len(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two(_) => 2,
            Self::Three(_) => 3,
            Self::Four(_) => 4,
        }
    }

    /// Never: a pixel has at least one byte.
    pub const fn is_empty(self) -> bool {
        false
    }

    /// Appends one pixel.
    pub fn push(self, value: u32, out: &mut Vec<u8>) {
        match self {
            Self::One => out.push(value as u8),
            Self::Two(false) => out.extend_from_slice(&(value as u16).to_le_bytes()),
            Self::Two(true) => out.extend_from_slice(&(value as u16).to_be_bytes()),
            Self::Three(s) => out.extend_from_slice(&s.map(|s| (value >> s) as u8)),
            Self::Four(false) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Four(true) => out.extend_from_slice(&value.to_be_bytes()),
        }
    }

    /// Appends a row of pixels.
    pub fn push_row(self, row: &[u32], out: &mut Vec<u8>) {
        fn each<const N: usize>(row: &[u32], out: &mut Vec<u8>, f: impl Fn(u32) -> [u8; N]) {
            let start = out.len();
            out.resize(start + row.len() * N, 0);
            for (dst, v) in out[start..].as_chunks_mut::<N>().0.iter_mut().zip(row) {
                *dst = f(*v);
            }
        }
        /// Four pixels are three words; `low` brings a pixel's three bytes, in their order, to the low end.
        fn three(row: &[u32], out: &mut Vec<u8>, low: impl Fn(u32) -> u32) {
            let start = out.len();
            out.resize(start + row.len() * 3, 0);
            let (fours, rest) = row.as_chunks::<4>();
            let (to, rest_to) = out[start..].as_chunks_mut::<12>();
            for (dst, four) in to.iter_mut().zip(fours) {
                let [a, b, c, d] = four.map(&low).map(|v| u128::from(v & 0x00ff_ffff));
                let bytes = (a | b << 24 | c << 48 | d << 72).to_le_bytes();
                dst.copy_from_slice(&bytes[..12]);
            }
            for (dst, v) in rest_to.as_chunks_mut::<3>().0.iter_mut().zip(rest) {
                let [a, b, c, _] = low(*v).to_le_bytes();
                *dst = [a, b, c];
            }
        }
        match self {
            Self::One => each(row, out, |v| [v as u8]),
            Self::Two(false) => each(row, out, |v| (v as u16).to_le_bytes()),
            Self::Two(true) => each(row, out, |v| (v as u16).to_be_bytes()),
            Self::Three([0, 8, 16]) => three(row, out, |v| v),
            Self::Three([8, 16, 24]) => three(row, out, |v| v >> 8),
            Self::Three([16, 8, 0]) => three(row, out, |v| v.swap_bytes() >> 8),
            Self::Three([24, 16, 8]) => three(row, out, u32::swap_bytes),
            Self::Three([a, b, c]) => each(row, out, |v| [(v >> a) as u8, (v >> b) as u8, (v >> c) as u8]),
            Self::Four(false) => each(row, out, u32::to_le_bytes),
            Self::Four(true) => each(row, out, u32::to_be_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpixel_drops_the_byte_that_is_always_zero() {
        let low = ClientFormat { depth: 32, ..ClientFormat::BGRX };
        let high = ClientFormat { r_shift: 24, g_shift: 16, b_shift: 8, ..low };
        let wide = ClientFormat { r_shift: 24, ..low };
        let form = |f: ClientFormat, big_endian| {
            let mut out = Vec::new();
            PixelBytes::cpixel(&ClientFormat { big_endian, ..f }).push(f.value([1, 2, 3]), &mut out);
            out
        };
        assert_eq!(form(low, false), [3, 2, 1]);
        assert_eq!(form(low, true), [1, 2, 3]);
        assert_eq!(form(high, false), [3, 2, 1]);
        assert_eq!(form(high, true), [1, 2, 3]);
        assert_eq!(form(wide, false), [3, 2, 0, 1]);
    }

    #[test]
    fn a_row_is_its_pixels() {
        let row = [0x0102_0304, 0xf5f6_f7f8, 9, 0x8090_a0b0, 0x7060_5040, 1, 2];
        for bytes in [
            PixelBytes::One,
            PixelBytes::Two(false),
            PixelBytes::Two(true),
            PixelBytes::Three([16, 8, 0]),
            PixelBytes::Three([0, 8, 16]),
            PixelBytes::Three([24, 16, 8]),
            PixelBytes::Three([8, 16, 24]),
            PixelBytes::Three([0, 16, 8]),
            PixelBytes::Four(false),
            PixelBytes::Four(true),
        ] {
            let mut whole = vec![7];
            bytes.push_row(&row, &mut whole);
            let mut single = vec![7];
            row.iter().for_each(|v| bytes.push(*v, &mut single));
            assert_eq!(whole, single, "{bytes:?}");
            assert_eq!(whole.len(), 1 + row.len() * bytes.len());
        }
    }
}
