//! Rectangles that carry no pixels of the picture.

use crate::encoding::Encoding;
use crate::error::ProtocolError;
use crate::ext::desktop_size::{Layout, Reason, Status};
use crate::ext::led::LedState;
use crate::limits;
use crate::wire::{Area, Put, Reader};

/// The 12 bytes before each rectangle of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RectHeader {
    /// Where it goes; pseudo-encodings use the fields for other things.
    pub area: Area,
    /// How its body is to be read.
    pub encoding: Encoding,
}

impl RectHeader {
    /// Bytes of a header.
    pub const LENGTH: usize = 12;

    /// Writes the header.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_area(self.area);
        out.put_i32(self.encoding.0);
    }

    /// Reads a header from the start of `input`; `None` when incomplete.
    pub fn parse(input: &[u8]) -> Option<Self> {
        let mut r = Reader::new(input);
        Some(Self { area: r.area()?, encoding: Encoding(r.i32()?) })
    }
}

/// A pointer's picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Column of the picture that points.
    pub hot_x: u16,
    /// Row of the picture that points.
    pub hot_y: u16,
    /// Columns; 0 hides the pointer.
    pub width: u16,
    /// Rows; 0 hides the pointer.
    pub height: u16,
    /// The pixels.
    pub picture: CursorPicture,
}

/// Pixels of a pointer, in one of the forms that clients know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorPicture {
    /// -239: pixels in the client's format; mask rows padded to bytes, most significant bit left, 1 opaque.
    Pixels {
        /// `width * height` pixels.
        pixels: Vec<u8>,
        /// `ceil(width / 8) * height` bytes.
        mask: Vec<u8>,
    },
    /// -240: two colours (red, green, blue) and two masks as above.
    TwoColour {
        /// Where the bitmap is 1.
        foreground: [u8; 3],
        /// Where it is 0.
        background: [u8; 3],
        /// `ceil(width / 8) * height` bytes.
        bitmap: Vec<u8>,
        /// `ceil(width / 8) * height` bytes.
        mask: Vec<u8>,
    },
    /// -314: red, green, blue and alpha, premultiplied; always sent as Raw.
    Premultiplied(Vec<u8>),
    /// VMware's number: red, green, blue and alpha, not premultiplied.
    Straight(Vec<u8>),
    /// VMware's number: AND and XOR masks in the client's pixels.
    AndXor {
        /// `width * height` pixels.
        and: Vec<u8>,
        /// `width * height` pixels.
        xor: Vec<u8>,
    },
}

/// A rectangle of a pseudo-encoding. Send each only to clients that listed its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PseudoRect {
    /// -224: the update ends here.
    LastRect,
    /// -223: the framebuffer has this size now; alone in its update.
    DesktopSize {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// -308: the framebuffer and its screens.
    ExtendedDesktopSize {
        /// Who changed it.
        reason: Reason,
        /// What became of a request.
        status: Status,
        /// The layout.
        layout: Layout,
    },
    /// -307: the desktop's name.
    DesktopName(String),
    /// -232: where the pointer is.
    PointerPos {
        /// Column.
        x: u16,
        /// Row.
        y: u16,
    },
    /// VMware's number: where the pointer is.
    VmwareCursorPosition {
        /// Column.
        x: u16,
        /// Row.
        y: u16,
    },
    /// -257: whether positions are absolute.
    QemuPointerMode {
        /// Absolute; otherwise deltas.
        absolute: bool,
    },
    /// -258: QEMU key events are understood.
    QemuKeyAck,
    /// -259: sound can be asked for.
    QemuAudioAck,
    /// -316: pointer events may have a second byte of buttons.
    ExtendedMouseButtonsAck,
    /// -261: the keyboard's lights.
    Led(LedState),
    /// VMware's number: the keyboard's lights.
    VmwareLed(LedState),
    /// A pointer's picture.
    Cursor(Cursor),
}

impl PseudoRect {
    /// The number it is sent under.
    pub fn encoding(&self) -> Encoding {
        match self {
            Self::LastRect => Encoding::LAST_RECT,
            Self::DesktopSize { .. } => Encoding::DESKTOP_SIZE,
            Self::ExtendedDesktopSize { .. } => Encoding::EXTENDED_DESKTOP_SIZE,
            Self::DesktopName(_) => Encoding::DESKTOP_NAME,
            Self::PointerPos { .. } => Encoding::POINTER_POS,
            Self::VmwareCursorPosition { .. } => Encoding::VMWARE_CURSOR_POSITION,
            Self::QemuPointerMode { .. } => Encoding::QEMU_POINTER_MODE,
            Self::QemuKeyAck => Encoding::QEMU_KEY,
            Self::QemuAudioAck => Encoding::QEMU_AUDIO,
            Self::ExtendedMouseButtonsAck => Encoding::EXTENDED_MOUSE_BUTTONS,
            Self::Led(_) => Encoding::LED_STATE,
            Self::VmwareLed(_) => Encoding::VMWARE_LED_STATE,
            Self::Cursor(cursor) => match cursor.picture {
                CursorPicture::Pixels { .. } => Encoding::CURSOR,
                CursorPicture::TwoColour { .. } => Encoding::X_CURSOR,
                CursorPicture::Premultiplied(_) => Encoding::CURSOR_WITH_ALPHA,
                CursorPicture::Straight(_) | CursorPicture::AndXor { .. } => Encoding::VMWARE_CURSOR,
            },
        }
    }

    fn area(&self) -> Area {
        match self {
            Self::DesktopSize { width, height } => Area::whole(*width, *height),
            Self::ExtendedDesktopSize { reason, status, layout } => {
                Area { x: reason.number(), y: status.number(), width: layout.width, height: layout.height }
            }
            Self::PointerPos { x, y } | Self::VmwareCursorPosition { x, y } => Area { x: *x, y: *y, ..Area::default() },
            Self::QemuPointerMode { absolute } => Area { x: u16::from(*absolute), ..Area::default() },
            Self::Cursor(c) => Area { x: c.hot_x, y: c.hot_y, width: c.width, height: c.height },
            _ => Area::default(),
        }
    }

    /// Writes header and body.
    ///
    /// ```
    /// use farpane_rfb::server_msg::PseudoRect;
    /// let mut out = Vec::new();
    /// PseudoRect::LastRect.write(&mut out);
    /// assert_eq!(out, [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x20]);
    /// ```
    pub fn write(&self, out: &mut Vec<u8>) {
        RectHeader { area: self.area(), encoding: self.encoding() }.write(out);
        match self {
            Self::ExtendedDesktopSize { layout, .. } => layout.write_screens(3, out),
            Self::DesktopName(name) => out.put_text(name),
            Self::Led(state) => out.put_u8(state.0),
            Self::VmwareLed(state) => out.put_u32(u32::from(state.0)),
            Self::Cursor(cursor) => cursor.write_body(out),
            _ => {}
        }
    }

    /// Reads the body of the rectangle that `header` announces from the start of `input`, with the size of the client's
    /// pixels in bytes, and says how many bytes it took; `None` when incomplete.
    ///
    /// Returns `Ok(Some((None, 0)))` for an encoding that is no pseudo-encoding known here: the body is the caller's.
    ///
    /// # Errors
    ///
    /// Sizes above their caps and fields without meaning.
    pub fn parse(
        header: RectHeader,
        bytes_per_pixel: usize,
        input: &[u8],
    ) -> Result<Option<(Option<Self>, usize)>, ProtocolError> {
        let Area { x, y, width, height } = header.area;
        let mut r = Reader::new(input);
        let rect = match header.encoding {
            Encoding::LAST_RECT => Some(Self::LastRect),
            Encoding::DESKTOP_SIZE => {
                framebuffer_size(width, height)?;
                Some(Self::DesktopSize { width, height })
            }
            Encoding::EXTENDED_DESKTOP_SIZE => {
                framebuffer_size(width, height)?;
                Layout::read_screens(&mut r, 3).map(|screens| Self::ExtendedDesktopSize {
                    reason: Reason::from_number(x),
                    status: Status::from_number(y),
                    layout: Layout { width, height, screens },
                })
            }
            Encoding::DESKTOP_NAME => r.text()?.map(Self::DesktopName),
            Encoding::POINTER_POS => Some(Self::PointerPos { x, y }),
            Encoding::VMWARE_CURSOR_POSITION => Some(Self::VmwareCursorPosition { x, y }),
            Encoding::QEMU_POINTER_MODE => Some(Self::QemuPointerMode { absolute: x != 0 }),
            Encoding::QEMU_KEY => Some(Self::QemuKeyAck),
            Encoding::QEMU_AUDIO => Some(Self::QemuAudioAck),
            Encoding::EXTENDED_MOUSE_BUTTONS => Some(Self::ExtendedMouseButtonsAck),
            Encoding::LED_STATE => r.u8().map(|bits| Self::Led(LedState(bits))),
            Encoding::VMWARE_LED_STATE => r.u32().map(|bits| Self::VmwareLed(LedState(bits.to_be_bytes()[3]))),
            Encoding::CURSOR | Encoding::X_CURSOR | Encoding::CURSOR_WITH_ALPHA | Encoding::VMWARE_CURSOR => {
                Cursor::read(header, bytes_per_pixel, &mut r)?.map(Self::Cursor)
            }
            _ => return Ok(Some((None, 0))),
        };
        Ok(rect.map(|rect| (Some(rect), r.used())))
    }
}

fn framebuffer_size(width: u16, height: u16) -> Result<(), ProtocolError> {
    if width.min(height) == 0 || width.max(height) > limits::FRAMEBUFFER_SIDE {
        return Err(ProtocolError::FramebufferSize { width, height });
    }
    Ok(())
}

impl Cursor {
    fn write_body(&self, out: &mut Vec<u8>) {
        match &self.picture {
            CursorPicture::Pixels { pixels, mask } => {
                out.put(pixels);
                out.put(mask);
            }
            CursorPicture::TwoColour { .. } if self.width == 0 || self.height == 0 => {}
            CursorPicture::TwoColour { foreground, background, bitmap, mask } => {
                out.put(foreground);
                out.put(background);
                out.put(bitmap);
                out.put(mask);
            }
            CursorPicture::Premultiplied(pixels) => {
                out.put_i32(Encoding::RAW.0);
                out.put(pixels);
            }
            CursorPicture::Straight(pixels) => {
                out.put(&[1, 0]);
                out.put(pixels);
            }
            CursorPicture::AndXor { and, xor } => {
                out.put(&[0, 0]);
                out.put(and);
                out.put(xor);
            }
        }
    }

    fn read(header: RectHeader, bytes_per_pixel: usize, r: &mut Reader<'_>) -> Result<Option<Self>, ProtocolError> {
        let Area { x, y, width, height } = header.area;
        if width.max(height) > limits::CURSOR_SIDE {
            return Err(ProtocolError::CursorSize { width, height });
        }
        let count = usize::from(width).saturating_mul(usize::from(height));
        let pixels = count.saturating_mul(bytes_per_pixel);
        let mask = usize::from(width).div_ceil(8).saturating_mul(usize::from(height));
        let mut take = |n: usize| r.take(n).map(<[u8]>::to_vec);
        let picture = match header.encoding {
            Encoding::CURSOR => {
                two(take(pixels), take(mask)).map(|(pixels, mask)| CursorPicture::Pixels { pixels, mask })
            }
            Encoding::X_CURSOR if count == 0 => Some(CursorPicture::TwoColour {
                foreground: [0; 3],
                background: [0; 3],
                bitmap: Vec::new(),
                mask: Vec::new(),
            }),
            Encoding::X_CURSOR => two_colour(r, mask),
            Encoding::CURSOR_WITH_ALPHA => match r.i32() {
                None => None,
                Some(0) => r.take(count.saturating_mul(4)).map(|p| CursorPicture::Premultiplied(p.to_vec())),
                Some(other) => {
                    return Err(ProtocolError::BadField {
                        field: "encoding of a cursor with alpha",
                        value: other.cast_unsigned(),
                        expected: "0, raw",
                    });
                }
            },
            _ => match take(2).as_deref() {
                None => None,
                Some([1, _]) => take(count.saturating_mul(4)).map(CursorPicture::Straight),
                Some([0, _]) => two(take(pixels), take(pixels)).map(|(and, xor)| CursorPicture::AndXor { and, xor }),
                Some(other) => {
                    return Err(ProtocolError::BadField {
                        field: "type of a vmware cursor",
                        value: other.first().copied().map_or(0, u32::from),
                        expected: "0 or 1",
                    });
                }
            },
        };
        Ok(picture.map(|picture| Self { hot_x: x, hot_y: y, width, height, picture }))
    }
}

fn two<T>(first: Option<T>, second: Option<T>) -> Option<(T, T)> {
    Some((first?, second?))
}

fn two_colour(r: &mut Reader<'_>, mask: usize) -> Option<CursorPicture> {
    Some(CursorPicture::TwoColour {
        foreground: r.array()?,
        background: r.array()?,
        bitmap: r.take(mask)?.to_vec(),
        mask: r.take(mask)?.to_vec(),
    })
}
