//! Where messages and rectangles end, found without decoding a pixel.

use super::number as n;
use thiserror::Error;

/// Bytes that a pixel takes in different places; only framing's share of a pixel format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelShape {
    /// Bytes of a plain pixel.
    pub bytes: usize,
    /// Bytes of a pixel of Tight.
    pub tight: usize,
}

impl PixelShape {
    /// 32 bits a pixel with 24 bits of colour, as `compare` asks for.
    pub const BGRX: PixelShape = PixelShape { bytes: 4, tight: 3 };
}

/// The bytes make no sense as RFB, or say something that was not asked for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FramingError {
    /// No message has this number.
    #[error("message type {0} (expected 0 to 3, 150 or 248)")]
    Message(u8),
    /// A rectangle in an encoding that cannot be framed.
    #[error("rectangle in encoding {0}, which was not asked for")]
    Encoding(i32),
    /// A rectangle of Tight that no viewer understands.
    #[error("Tight control byte {0:#04x} (expected at most 0x9f)")]
    Tight(u8),
    /// A length that no server may send.
    #[error("{what} of {bytes} bytes (expected at most {most})")]
    TooLong {
        /// Of what.
        what: &'static str,
        /// How long it claims to be.
        bytes: u64,
        /// How long it may be.
        most: u64,
    },
}

/// The twelve bytes before a rectangle's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RectHead {
    /// Left column.
    pub x: u16,
    /// Top row.
    pub y: u16,
    /// Columns.
    pub w: u16,
    /// Rows.
    pub h: u16,
    /// The encoding's number.
    pub encoding: i32,
}

impl RectHead {
    /// Pixels that it carries: none for copies and pseudo-encodings.
    pub fn sent_px(&self) -> u64 {
        let carries = (n::RAW..=n::ZRLE).contains(&self.encoding) && self.encoding != n::COPY_RECT;
        if carries { u64::from(self.w) * u64::from(self.h) } else { 0 }
    }
}

/// A piece of the server's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// An update begins.
    UpdateBegins,
    /// A rectangle of it: its head, and how many bytes it took with it.
    Rect(RectHead, usize),
    /// The update's last byte was the one before.
    UpdateEnds,
    /// A fence: its flags and what an answer repeats.
    Fence(u32, Vec<u8>),
    /// Continuous updates can be had, or have ended.
    EndOfContinuousUpdates,
    /// Bell, clipboard or colours: of no interest here.
    Other,
}

/// Longest thing that is believed.
const LONGEST: u64 = 256 << 20;

/// Cuts a stream.
#[derive(Debug)]
pub struct Frames {
    shape: PixelShape,
    /// Rectangles still to come; none between messages.
    left: Option<u16>,
    ended: bool,
}

/// Reads numbers; `None` when the bytes end.
struct Bytes<'a>(&'a [u8], usize);

impl Bytes<'_> {
    fn skip(&mut self, count: usize) -> Option<()> {
        self.1 = self.1.checked_add(count)?;
        (self.1 <= self.0.len()).then_some(())
    }

    fn u8(&mut self) -> Option<u8> {
        let byte = *self.0.get(self.1)?;
        self.1 += 1;
        Some(byte)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }
}

type Cut<T> = Result<Option<T>, FramingError>;

/// Leaves the function with `Ok(None)` when the bytes end.
macro_rules! more {
    ($e:expr) => {
        match $e {
            Some(value) => value,
            None => return Ok(None),
        }
    };
}

impl Frames {
    /// At the first message after ServerInit.
    pub fn new(shape: PixelShape) -> Self {
        Self { shape, left: None, ended: false }
    }

    /// The next piece of the stream and its length, when all of it is there.
    ///
    /// # Errors
    /// When the bytes make no sense.
    pub fn next(&mut self, bytes: &[u8]) -> Cut<(Element, usize)> {
        if std::mem::take(&mut self.ended) {
            return Ok(Some((Element::UpdateEnds, 0)));
        }
        let mut b = Bytes(bytes, 0);
        let element = match self.left {
            Some(_) => self.rect(&mut b)?,
            None => self.message(&mut b)?,
        };
        Ok(element.map(|e| (e, b.1)))
    }

    fn message(&mut self, b: &mut Bytes<'_>) -> Cut<Element> {
        Ok(Some(match more!(b.u8()) {
            0 => {
                more!(b.skip(1));
                let count = more!(b.u16());
                self.left = (count > 0).then_some(count);
                self.ended = count == 0;
                Element::UpdateBegins
            }
            1 => {
                more!(b.skip(3));
                let count = more!(b.u16());
                more!(b.skip(usize::from(count) * 6));
                Element::Other
            }
            2 => Element::Other,
            3 => {
                more!(b.skip(3));
                let length = (more!(b.u32()) as i32).unsigned_abs();
                more!(b.skip(believed("clipboard", length)?));
                Element::Other
            }
            150 => Element::EndOfContinuousUpdates,
            248 => {
                more!(b.skip(3));
                let flags = more!(b.u32());
                let length = usize::from(more!(b.u8()));
                let from = b.1;
                more!(b.skip(length));
                Element::Fence(flags, b.0[from..from + length].to_vec())
            }
            other => return Err(FramingError::Message(other)),
        }))
    }

    fn rect(&mut self, b: &mut Bytes<'_>) -> Cut<Element> {
        let (x, y, w, h) = (more!(b.u16()), more!(b.u16()), more!(b.u16()), more!(b.u16()));
        let head = RectHead { x, y, w, h, encoding: more!(b.u32()) as i32 };
        if head.encoding == n::LAST_RECT {
            self.left = None;
            self.ended = true;
        } else {
            more!(self.body(b, &head)?);
            // 65535 stands for a number not known beforehand
            let left = self.left.map_or(0, |left| if left == u16::MAX { left } else { left - 1 });
            self.left = (left > 0).then_some(left);
            self.ended = left == 0;
        }
        Ok(Some(Element::Rect(head, b.1)))
    }

    fn body(&self, b: &mut Bytes<'_>, head: &RectHead) -> Cut<()> {
        let pixel = self.shape.bytes;
        let (w, h) = (usize::from(head.w), usize::from(head.h));
        let mask = w.div_ceil(8) * h;
        match head.encoding {
            n::RAW => more!(b.skip(w * h * pixel)),
            n::COPY_RECT => more!(b.skip(4)),
            n::RRE | n::CORRE => {
                let parts = more!(b.u32());
                let place = if head.encoding == n::RRE { 8 } else { 4 };
                more!(b.skip(pixel));
                let length = u64::from(parts) * (pixel as u64 + place);
                more!(b.skip(believed("RRE", u32::try_from(length).unwrap_or(u32::MAX))?));
            }
            n::HEXTILE => return self.hextile(b, w, h),
            n::ZLIB | n::ZRLE => {
                let length = more!(b.u32());
                more!(b.skip(believed("compressed rectangle", length)?));
            }
            n::TIGHT => return self.tight(b, w, h),
            n::CURSOR => more!(b.skip(w * h * pixel + mask)),
            n::X_CURSOR => more!(b.skip(if w * h > 0 { 6 + 2 * mask } else { 0 })),
            n::CURSOR_WITH_ALPHA => more!(b.skip(4 + w * h * 4)),
            n::VMWARE_CURSOR => {
                let kind = more!(b.u8());
                more!(b.skip(1 + w * h * if kind == 0 { 2 * pixel } else { 4 }));
            }
            n::DESKTOP_NAME => {
                let length = more!(b.u32());
                more!(b.skip(believed("desktop name", length)?));
            }
            n::EXTENDED_DESKTOP_SIZE => {
                let screens = usize::from(more!(b.u8()));
                more!(b.skip(3 + 16 * screens));
            }
            n::LED_STATE => more!(b.skip(1)),
            n::VMWARE_LED_STATE => more!(b.skip(4)),
            // pointer positions, sizes and acknowledgements: a head alone
            n::DESKTOP_SIZE | 0x574d_5666 | -232 | -257 | -258 | -259 | -316 => {}
            other => return Err(FramingError::Encoding(other)),
        }
        Ok(Some(()))
    }

    fn hextile(&self, b: &mut Bytes<'_>, w: usize, h: usize) -> Cut<()> {
        let pixel = self.shape.bytes;
        for top in (0..h).step_by(16) {
            for left in (0..w).step_by(16) {
                let mask = more!(b.u8());
                if mask & 1 != 0 {
                    more!(b.skip(16.min(w - left) * 16.min(h - top) * pixel));
                    continue;
                }
                more!(b.skip(pixel * (usize::from(mask >> 1 & 1) + usize::from(mask >> 2 & 1))));
                if mask & 8 != 0 {
                    let parts = usize::from(more!(b.u8()));
                    more!(b.skip(parts * (2 + if mask & 16 != 0 { pixel } else { 0 })));
                }
            }
        }
        Ok(Some(()))
    }

    fn tight(&self, b: &mut Bytes<'_>, w: usize, h: usize) -> Cut<()> {
        let pixel = self.shape.tight;
        let control = more!(b.u8());
        let length = match control >> 4 {
            8 => pixel,
            9 => more!(compact(b)),
            kind @ 0..=7 => {
                let mut plain = w * h * pixel;
                if kind & 4 != 0 && more!(b.u8()) == 1 {
                    let colours = usize::from(more!(b.u8())) + 1;
                    more!(b.skip(colours * pixel));
                    plain = if colours == 2 { w.div_ceil(8) * h } else { w * h };
                }
                // fewer than 12 bytes go as they are
                if plain < 12 { plain } else { more!(compact(b)) }
            }
            _ => return Err(FramingError::Tight(control)),
        };
        more!(b.skip(length));
        Ok(Some(()))
    }
}

fn believed(what: &'static str, bytes: u32) -> Result<usize, FramingError> {
    if u64::from(bytes) > LONGEST {
        return Err(FramingError::TooLong { what, bytes: bytes.into(), most: LONGEST });
    }
    Ok(bytes as usize)
}

/// A length of Tight: 7, 7 and 8 bits, low ones first.
fn compact(b: &mut Bytes<'_>) -> Option<usize> {
    let mut value = 0;
    for (i, shift) in [0, 7, 14].into_iter().enumerate() {
        let byte = usize::from(b.u8()?);
        value |= (if i < 2 { byte & 0x7f } else { byte }) << shift;
        if byte < 0x80 {
            break;
        }
    }
    Some(value)
}
