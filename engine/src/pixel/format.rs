//! The pixel format a client asked for.

/// How a client wants its pixels (RFB section 7.4, PIXEL_FORMAT), already checked.
///
/// A colour-mapped client (`true_colour == false`, 8 bpp) is served BGR233 values and a fixed colour
/// map, so its shifts and maxima are those of [`ClientFormat::COLOUR_MAP`].
///
/// INVARIANT: `bpp` is 8, 16 or 32; every max is `2^n - 1` and at most 255, or 1023 at 32 bpp; masks do not
/// overlap and fit in `bpp` bits. The RFB crate checks what a peer sends; [`ClientFormat::is_valid`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientFormat {
    /// Bits a pixel takes on the wire: 8, 16 or 32.
    pub bpp: u8,
    /// Significant bits, as the client said; only Tight's TPIXEL looks at it.
    pub depth: u8,
    /// Byte order of 16- and 32-bit pixels.
    pub big_endian: bool,
    /// False: values are indices into the fixed colour map.
    pub true_colour: bool,
    /// Largest red value.
    pub r_max: u16,
    /// Largest green value.
    pub g_max: u16,
    /// Largest blue value.
    pub b_max: u16,
    /// Lowest bit of red.
    pub r_shift: u8,
    /// Lowest bit of green.
    pub g_shift: u8,
    /// Lowest bit of blue.
    pub b_shift: u8,
}

impl ClientFormat {
    /// What the server announces: 32 bpp, depth 24, little endian, blue lowest.
    pub const BGRX: Self = Self {
        bpp: 32,
        depth: 24,
        big_endian: false,
        true_colour: true,
        r_max: 255,
        g_max: 255,
        b_max: 255,
        r_shift: 16,
        g_shift: 8,
        b_shift: 0,
    };

    /// As [`ClientFormat::BGRX`] with red lowest, which noVNC asks for.
    pub const RGBX: Self = Self { r_shift: 0, b_shift: 16, ..Self::BGRX };

    /// What a colour-mapped client gets: BGR233 indices.
    pub const COLOUR_MAP: Self = Self {
        bpp: 8,
        depth: 8,
        big_endian: false,
        true_colour: false,
        r_max: 7,
        g_max: 7,
        b_max: 3,
        r_shift: 0,
        g_shift: 3,
        b_shift: 6,
    };

    /// Bytes of a PIXEL.
    pub const fn bytes(&self) -> usize {
        self.bpp as usize / 8
    }

    /// The bits that carry colour.
    pub const fn mask(&self) -> u32 {
        ((self.r_max as u32) << self.r_shift)
            | ((self.g_max as u32) << self.g_shift)
            | ((self.b_max as u32) << self.b_shift)
    }

    /// Whether Tight sends a pixel as three bytes R, G, B (TPIXEL).
    pub const fn tpixel_is_rgb(&self) -> bool {
        self.true_colour
            && self.bpp == 32
            && self.depth == 24
            && self.r_max == 255
            && self.g_max == 255
            && self.b_max == 255
    }

    /// The value of an 8-bit colour in this format: each channel rounded to its nearest level.
    ///
    /// Source: `RFB` section 7.5.1; the rounding is TigerVNC's (error at most half a step).
    pub const fn value(&self, [r, g, b]: [u8; 3]) -> u32 {
        const fn level(v: u8, max: u16) -> u32 {
            (v as u32 * max as u32 + 127) / 255
        }
        (level(r, self.r_max) << self.r_shift)
            | (level(g, self.g_max) << self.g_shift)
            | (level(b, self.b_max) << self.b_shift)
    }

    /// The 8-bit colour of a value, each channel scaled up to 255.
    pub const fn rgb(&self, value: u32) -> [u8; 3] {
        const fn scale(v: u32, max: u16) -> u8 {
            if max == 0 { 0 } else { ((v * 255 + max as u32 / 2) / max as u32) as u8 }
        }
        [
            scale((value >> self.r_shift) & self.r_max as u32, self.r_max),
            scale((value >> self.g_shift) & self.g_max as u32, self.g_max),
            scale((value >> self.b_shift) & self.b_max as u32, self.b_max),
        ]
    }

    /// Whether the fields keep the type's invariant.
    pub fn is_valid(&self) -> bool {
        let maxes = [(self.r_max, self.r_shift), (self.g_max, self.g_shift), (self.b_max, self.b_shift)];
        let limit = if self.bpp == 32 { 1023 } else { 255 };
        let mut seen = 0u32;
        let mut bits = 0u32;
        for (max, shift) in maxes {
            let width = max.count_ones();
            if u32::from(max).wrapping_add(1).count_ones() != 1 || max > limit {
                return false;
            }
            if u32::from(shift) + width > u32::from(self.bpp) {
                return false;
            }
            let mask = if max == 0 { 0 } else { u32::from(max) << shift };
            if seen & mask != 0 {
                return false;
            }
            seen |= mask;
            bits += width;
        }
        matches!(self.bpp, 8 | 16 | 32)
            && self.depth <= self.bpp
            && bits <= u32::from(self.depth)
            && (self.true_colour || *self == Self { depth: self.depth, ..Self::COLOUR_MAP })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_and_crooked_masks_are_refused() {
        assert!(ClientFormat::BGRX.is_valid());
        assert!(ClientFormat::COLOUR_MAP.is_valid());
        assert!(!ClientFormat { r_shift: 8, ..ClientFormat::BGRX }.is_valid());
        assert!(!ClientFormat { g_max: 254, ..ClientFormat::BGRX }.is_valid());
        assert!(!ClientFormat { r_shift: 30, ..ClientFormat::BGRX }.is_valid());
        assert!(!ClientFormat { bpp: 24, ..ClientFormat::BGRX }.is_valid());
    }

    #[test]
    fn levels_round_to_nearest() {
        let f = ClientFormat {
            bpp: 16,
            depth: 16,
            r_max: 31,
            g_max: 63,
            b_max: 31,
            r_shift: 11,
            g_shift: 5,
            ..ClientFormat::BGRX
        };
        for v in 0..=255u8 {
            let back = f.rgb(f.value([v, v, v]));
            assert!(back[0].abs_diff(v) <= 5 && back[1].abs_diff(v) <= 3, "{v} came back as {back:?}");
        }
    }
}
