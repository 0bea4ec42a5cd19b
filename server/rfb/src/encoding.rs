//! Encoding and pseudo-encoding numbers.

/// The number of an encoding or pseudo-encoding. Compared as signed: UltraVNC's `0xffff....` numbers are negative.
///
/// ```
/// use farpane_rfb::Encoding;
/// assert_eq!(Encoding(16), Encoding::ZRLE);
/// assert_eq!(Encoding(-308).to_string(), "ExtendedDesktopSize (-308)");
/// assert_eq!(Encoding(4711).to_string(), "unknown (4711)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Encoding(pub i32);

macro_rules! encodings {
    ($($name:ident = $number:expr, $text:literal, $doc:literal;)*) => {
        impl Encoding {
            $(#[doc = $doc] pub const $name: Self = Self($number);)*

            /// The encoding's name; `None` for a number that is not in the table.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    Self(-32..=-23) => Some("JpegQuality"),
                    Self(-256..=-247) => Some("Compression"),
                    Self(-512..=-412) => Some("FineJpegQuality"),
                    Self(-768..=-763) => Some("Subsampling"),
                    Self(_) => None,
                }
            }
        }
    };
}

encodings! {
    RAW = 0, "Raw", "Pixels as they are.";
    COPY_RECT = 1, "CopyRect", "Pixels that the client already shows elsewhere.";
    RRE = 2, "Rre", "Background and solid rectangles.";
    CO_RRE = 4, "CoRre", "RRE with one-byte coordinates.";
    HEXTILE = 5, "Hextile", "16-px tiles of solid rectangles.";
    ZLIB = 6, "Zlib", "Raw pixels in one zlib stream.";
    TIGHT = 7, "Tight", "Fill, palette, gradient, copy or JPEG in four zlib streams.";
    ZLIB_HEX = 8, "ZlibHex", "Hextile with zlib.";
    ULTRA = 9, "Ultra", "UltraVNC's LZO.";
    ULTRA2 = 10, "Ultra2", "UltraVNC's second LZO.";
    TRLE = 15, "Trle", "16-px tiles of palettes and runs, uncompressed.";
    ZRLE = 16, "Zrle", "64-px tiles of palettes and runs in one zlib stream.";
    ZYWRLE = 17, "Zywrle", "ZRLE after a wavelet.";
    H264_REALVNC = 20, "H264RealVnc", "RealVNC's H.264; known by number only.";
    JPEG = 21, "Jpeg", "A bare JPEG as rectangle.";
    JRLE = 22, "Jrle", "RealVNC's JPEG runs; known by number only.";
    ZSTD = 25, "Zstd", "Raw pixels in zstd (UltraVNC).";
    TIGHT_ZSTD = 26, "TightZstd", "Tight with zstd (UltraVNC, bVNC).";
    ZSTD_HEX = 27, "ZstdHex", "Hextile with zstd (UltraVNC).";
    ZSTD_RLE = 28, "ZstdRle", "ZRLE with zstd (UltraVNC).";
    ZSTD_YWRLE = 29, "ZstdYwrle", "ZYWRLE with zstd (UltraVNC).";
    OPEN_H264 = 50, "OpenH264", "H.264 in Annex-B, one context for each rectangle.";
    TIGHT_PNG = -260, "TightPng", "Tight with PNG in place of zlib.";
    TIGHT_WITHOUT_ZLIB = -317, "TightWithoutZlib", "Tight may send uncompressed data.";

    DESKTOP_SIZE = -223, "DesktopSize", "The framebuffer has a new size.";
    LAST_RECT = -224, "LastRect", "The update ends here.";
    POINTER_POS = -232, "PointerPos", "Where the pointer is.";
    CURSOR = -239, "Cursor", "Cursor picture in the client's pixels with a mask.";
    X_CURSOR = -240, "XCursor", "Two-colour cursor picture.";
    QEMU_POINTER_MODE = -257, "QemuPointerMode", "Pointer moves by absolute or relative positions.";
    QEMU_KEY = -258, "QemuKey", "Key events with scan codes.";
    QEMU_AUDIO = -259, "QemuAudio", "Sound.";
    LED_STATE = -261, "LedState", "State of the keyboard's lights (QEMU).";
    GII = -305, "Gii", "Generic input devices.";
    POPA = -306, "Popa", "Known by number only.";
    DESKTOP_NAME = -307, "DesktopName", "The desktop has a new name.";
    EXTENDED_DESKTOP_SIZE = -308, "ExtendedDesktopSize", "Size and screens, and requests for them.";
    XVP = -309, "Xvp", "Shut down, reboot or reset.";
    FENCE = -312, "Fence", "Marks in both streams.";
    CONTINUOUS_UPDATES = -313, "ContinuousUpdates", "Updates without requests.";
    CURSOR_WITH_ALPHA = -314, "CursorWithAlpha", "Cursor picture with premultiplied alpha.";
    EXTENDED_MOUSE_BUTTONS = -316, "ExtendedMouseButtons", "Pointer events with more than eight buttons.";
    EXTENDED_CLIPBOARD = -1_063_131_698, "ExtendedClipboard", "Clipboard with UTF-8 text and requests (0xc0a1e5ce).";
    VMWARE_CURSOR = 0x574d_5664, "VmwareCursor", "Cursor picture with plain alpha or AND and XOR masks.";
    VMWARE_CURSOR_POSITION = 0x574d_5666, "VmwareCursorPosition", "Where the pointer is.";
    VMWARE_LED_STATE = 0x574d_5668, "VmwareLedState", "State of the keyboard's lights (VMware).";
    LIBVNC_KEYBOARD_LED = -131_072, "KeyboardLedState", "State of the keyboard's lights (LibVNCServer).";
    SUPPORTED_MESSAGES = -131_071, "SupportedMessages", "Which messages the server knows (LibVNCServer).";
    SUPPORTED_ENCODINGS = -131_070, "SupportedEncodings", "Which encodings the server knows (LibVNCServer).";
    SERVER_IDENTITY = -131_069, "ServerIdentity", "The server's name and version (LibVNCServer).";
}

impl Encoding {
    /// The pseudo-encoding of JPEG quality `level`, 0 to 9; higher levels count as 9.
    pub fn jpeg_quality(level: u8) -> Self {
        Self((-32_i32).saturating_add(i32::from(level.min(9))))
    }

    /// The pseudo-encoding of compression `level`, 0 to 9; higher levels count as 9.
    pub fn compression(level: u8) -> Self {
        Self((-256_i32).saturating_add(i32::from(level.min(9))))
    }
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name().unwrap_or("unknown"), self.0)
    }
}

/// Chroma subsampling of JPEG that a client asks for (TurboVNC's pseudo-encodings).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subsampling {
    /// No subsampling, 4:4:4.
    None,
    /// 4:2:0.
    Half2x2,
    /// 4:2:2.
    Half2x1,
    /// Grey only.
    Grey,
    /// One chroma sample for 8 px.
    Eighth,
    /// One chroma sample for 16 px.
    Sixteenth,
}

/// The wishes about quality in a list of encodings. Of several of one kind the last wins.
///
/// ```
/// use farpane_rfb::encoding::{Encoding, Hints};
/// let hints = Hints::of(&[Encoding(-26), Encoding::TIGHT, Encoding(-254)]);
/// assert_eq!((hints.jpeg_quality, hints.compression), (Some(6), Some(2)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// JPEG quality, 0 to 9; without it and without the fine one no JPEG may be sent in Tight.
    pub jpeg_quality: Option<u8>,
    /// JPEG quality in percent; overrides the coarse one.
    pub fine_jpeg_quality: Option<u8>,
    /// Subsampling; overrides what the coarse quality implies.
    pub subsampling: Option<Subsampling>,
    /// Compression level, 0 to 9.
    pub compression: Option<u8>,
}

impl Hints {
    /// The hints in `list`.
    pub fn of(list: &[Encoding]) -> Self {
        let mut hints = Self::default();
        for encoding in list {
            let above = |base: i32| u8::try_from(encoding.0.saturating_sub(base)).ok();
            match encoding.0 {
                -32..=-23 => hints.jpeg_quality = above(-32),
                -256..=-247 => hints.compression = above(-256),
                -512..=-412 => hints.fine_jpeg_quality = above(-512),
                -768 => hints.subsampling = Some(Subsampling::None),
                -767 => hints.subsampling = Some(Subsampling::Half2x2),
                -766 => hints.subsampling = Some(Subsampling::Half2x1),
                -765 => hints.subsampling = Some(Subsampling::Grey),
                -764 => hints.subsampling = Some(Subsampling::Eighth),
                -763 => hints.subsampling = Some(Subsampling::Sixteenth),
                _ => {}
            }
        }
        hints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_the_top_bit_are_the_published_ones() {
        assert_eq!(Encoding::EXTENDED_CLIPBOARD.0.cast_unsigned(), 0xc0a1_e5ce);
        assert_eq!(Encoding::LIBVNC_KEYBOARD_LED.0.cast_unsigned(), 0xfffe_0000);
        assert_eq!(Encoding::SERVER_IDENTITY.0.cast_unsigned(), 0xfffe_0003);
    }

    #[test]
    fn the_last_hint_of_a_kind_wins() {
        let list = [-23, -30, -247, -256, -412, -512, -763, -766].map(Encoding);
        let hints = Hints::of(&list);
        assert_eq!(hints.jpeg_quality, Some(2));
        assert_eq!(hints.compression, Some(0));
        assert_eq!(hints.fine_jpeg_quality, Some(0));
        assert_eq!(hints.subsampling, Some(Subsampling::Half2x1));
        assert_eq!(Hints::of(&[Encoding(-33), Encoding(-22), Encoding(-769)]), Hints::default());
    }

    #[test]
    fn levels_become_the_numbers_that_are_read_back() {
        for level in 0..=9 {
            let hints = Hints::of(&[Encoding::jpeg_quality(level), Encoding::compression(level)]);
            assert_eq!((hints.jpeg_quality, hints.compression), (Some(level), Some(level)));
        }
    }
}
