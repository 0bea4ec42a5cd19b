//! DRM pixel format codes and modifiers, and the channel layout of 32-bit formats.

/// A DRM format code (`drm_fourcc.h`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fourcc(pub u32);

const fn code(c: &[u8; 4]) -> Fourcc {
    Fourcc(u32::from_le_bytes(*c))
}

impl Fourcc {
    /// 32 bpp, blue in the low byte: the layout of most X servers and compositors.
    pub const XRGB8888: Self = code(b"XR24");
    /// As XRGB8888 with an alpha byte.
    pub const ARGB8888: Self = code(b"AR24");
    /// 32 bpp, red in the low byte.
    pub const XBGR8888: Self = code(b"XB24");
    /// As XBGR8888 with an alpha byte.
    pub const ABGR8888: Self = code(b"AB24");
    /// 32 bpp, 10 bits a channel, blue lowest.
    pub const XRGB2101010: Self = code(b"XR30");
    /// 32 bpp, 10 bits a channel, red lowest.
    pub const XBGR2101010: Self = code(b"XB30");

    /// Where the channels lie, for the 32-bit formats that a mirror can hold.
    pub const fn layout(self) -> Option<Layout> {
        match self {
            Self::XRGB8888 | Self::ARGB8888 => Some(Layout::BGRX),
            Self::XBGR8888 | Self::ABGR8888 => Some(Layout::RGBX),
            Self::XRGB2101010 => Some(Layout { r_shift: 20, g_shift: 10, b_shift: 0, bits: 10 }),
            Self::XBGR2101010 => Some(Layout { r_shift: 0, g_shift: 10, b_shift: 20, bits: 10 }),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Fourcc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.to_le_bytes().escape_ascii())
    }
}

/// A DRM format modifier: how the pixels of a buffer are tiled or compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Modifier(pub u64);

impl Modifier {
    /// Rows one after the other.
    pub const LINEAR: Self = Self(0);
}

/// Where the channels of a 32-bit source pixel lie.
///
/// Shape: a pixel is one little-endian `u32`; each channel has `bits` bits at its shift; the rest is padding
/// of unknown content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Lowest bit of red.
    pub r_shift: u8,
    /// Lowest bit of green.
    pub g_shift: u8,
    /// Lowest bit of blue.
    pub b_shift: u8,
    /// Bits of each channel: 8 or 10.
    pub bits: u8,
}

impl Layout {
    /// XRGB8888: bytes B, G, R, X in memory.
    pub const BGRX: Self = Self { r_shift: 16, g_shift: 8, b_shift: 0, bits: 8 };
    /// XBGR8888: bytes R, G, B, X in memory.
    pub const RGBX: Self = Self { r_shift: 0, g_shift: 8, b_shift: 16, bits: 8 };

    /// The bits that carry colour.
    pub const fn mask(self) -> u32 {
        let m = (1u32 << self.bits) - 1;
        (m << self.r_shift) | (m << self.g_shift) | (m << self.b_shift)
    }

    /// A format with the channels at these places; none when there is no such format.
    pub fn fourcc(self) -> Option<Fourcc> {
        let known = [Fourcc::XRGB8888, Fourcc::XBGR8888, Fourcc::XRGB2101010, Fourcc::XBGR2101010];
        known.into_iter().find(|fourcc| fourcc.layout() == Some(self))
    }

    /// Red, green and blue of a pixel, 8 bits each (10-bit channels lose their low bits).
    #[inline(always)]
    pub const fn rgb(self, pixel: u32) -> [u8; 3] {
        let drop = self.bits - 8;
        [
            (pixel >> (self.r_shift + drop)) as u8,
            (pixel >> (self.g_shift + drop)) as u8,
            (pixel >> (self.b_shift + drop)) as u8,
        ]
    }

    /// The pixel of an 8-bit colour (10-bit channels repeat their top bits), padding zero.
    pub const fn pixel(self, [r, g, b]: [u8; 3]) -> u32 {
        const fn widen(v: u8, bits: u8) -> u32 {
            let v = v as u32;
            if bits == 10 { (v << 2) | (v >> 6) } else { v }
        }
        (widen(r, self.bits) << self.r_shift)
            | (widen(g, self.bits) << self.g_shift)
            | (widen(b, self.bits) << self.b_shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_survive_every_layout() {
        for fourcc in [Fourcc::XRGB8888, Fourcc::XBGR8888, Fourcc::XRGB2101010, Fourcc::XBGR2101010] {
            let layout = fourcc.layout().expect("a 32-bit format");
            assert_eq!(layout.fourcc(), Some(fourcc));
            for rgb in [[0, 0, 0], [255, 255, 255], [1, 128, 254]] {
                assert_eq!(layout.rgb(layout.pixel(rgb)), rgb);
            }
        }
        assert_eq!(Layout::BGRX.mask(), 0x00ff_ffff);
    }
}
