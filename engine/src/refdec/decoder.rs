//! The picture, the streams and the dispatch by encoding.

use super::inflate::Inflater;
use super::reader::Reader;
use super::{DecodeError, encoding};
use crate::geometry::{Point, Size};
use crate::pixel::ClientFormat;
use std::collections::{BTreeMap, BTreeSet};

/// Largest width and height that every client takes.
const MAX_SIDE: u16 = 16_384;

/// The twelve bytes before a rectangle's body, as they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RectHeader {
    /// Left column, or what the pseudo-encoding puts there.
    pub x: u16,
    /// Top row, or what the pseudo-encoding puts there.
    pub y: u16,
    /// Columns.
    pub w: u16,
    /// Rows.
    pub h: u16,
    /// The encoding's number.
    pub encoding: i32,
}

impl RectHeader {
    pub(super) fn area(&self) -> usize {
        usize::from(self.w) * usize::from(self.h)
    }

    pub(super) fn check_inside(&self, size: Size, what: &'static str) -> Result<(), DecodeError> {
        let [x, y, w, h] = [self.x, self.y, self.w, self.h].map(u32::from);
        if x + w > size.w.into() || y + h > size.h.into() {
            return Err(DecodeError::Outside { what, x, y, w, h, size });
        }
        Ok(())
    }

    /// Tiles of `side` pixels, row by row: left, top, width, height relative to the rectangle.
    pub(super) fn tiles(&self, side: u16) -> Vec<(u16, u16, u16, u16)> {
        let mut out = Vec::new();
        let step = usize::from(side);
        for y in (0..self.h).step_by(step) {
            for x in (0..self.w).step_by(step) {
                out.push((x, y, side.min(self.w - x), side.min(self.h - y)));
            }
        }
        out
    }
}

/// Whether an encoding's rectangles carry pixels.
pub(super) fn is_pixels(number: i32) -> bool {
    (encoding::RAW..=encoding::ZSTD_RLE).contains(&number) || number == encoding::H264
}

/// Client pixel values of one rectangle, row by row.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) w: u16,
    pub(super) h: u16,
    pub(super) values: Vec<u32>,
}

impl Block {
    pub(super) fn new(w: u16, h: u16) -> Self {
        Self { w, h, values: vec![0; usize::from(w) * usize::from(h)] }
    }

    /// Fills a part, which must lie inside.
    pub(super) fn fill(&mut self, x: u16, y: u16, w: u16, h: u16, v: u32) -> Result<(), DecodeError> {
        let part = RectHeader { x, y, w, h, encoding: 0 };
        part.check_inside(Size::new(self.w, self.h), "subrectangle")?;
        let stride = usize::from(self.w);
        for row in usize::from(y)..usize::from(y) + usize::from(h) {
            let at = row * stride + usize::from(x);
            self.values[at..at + usize::from(w)].fill(v);
        }
        Ok(())
    }

    /// Copies a smaller block, known to lie inside, to its place.
    pub(super) fn put(&mut self, x: u16, y: u16, part: &Block) {
        let stride = usize::from(self.w);
        let w = usize::from(part.w);
        for row in 0..usize::from(part.h) {
            let at = (usize::from(y) + row) * stride + usize::from(x);
            self.values[at..at + w].copy_from_slice(&part.values[row * w..(row + 1) * w]);
        }
    }
}

/// The last pointer shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorShape {
    /// The pseudo-encoding it came in.
    pub encoding: i32,
    /// Width and height; 0x0 hides the pointer.
    pub size: Size,
    /// The pixel that points.
    pub hotspot: Point,
    /// Four bytes R, G, B, A for each pixel, row by row.
    pub rgba: Vec<u8>,
    /// Whether the colours are already multiplied by alpha.
    pub premultiplied: bool,
}

/// One screen of a layout (ExtendedDesktopSize).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// The server's number for it.
    pub id: u32,
    /// Left column.
    pub x: u16,
    /// Top row.
    pub y: u16,
    /// Columns.
    pub w: u16,
    /// Rows.
    pub h: u16,
    /// Unused bits.
    pub flags: u32,
}

/// A client's whole state: its picture, its streams and what the pseudo-encodings told it.
///
/// ```
/// use farpane_engine::{geometry::Size, pixel::ClientFormat, refdec::{Decoder, RectHeader, encoding}};
/// let mut d = Decoder::new(ClientFormat::BGRX, Size::new(4, 4))?;
/// let head = RectHeader { x: 1, y: 2, w: 1, h: 1, encoding: encoding::RAW };
/// d.decode(&head, &[3, 2, 1, 0])?;
/// assert_eq!(d.rgb_at(1, 2), [1, 2, 3]);
/// # Ok::<(), farpane_engine::refdec::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    pub(super) format: ClientFormat,
    pub(super) size: Size,
    pixels: Vec<u32>,
    pub(super) colour_map: Vec<[u8; 3]>,
    pub(super) zlib: Inflater,
    pub(super) zrle: Inflater,
    pub(super) tight: [Inflater; 4],
    pub(super) zstd: Inflater,
    pub(super) zstd_rle: Inflater,
    pub(super) tight_zstd: [Inflater; 4],
    #[cfg(feature = "h264")]
    pub(super) h264: super::h264::Contexts,
    counts: BTreeMap<&'static str, u64>,
    pub(super) cursor: Option<CursorShape>,
    pub(super) pointer: Option<Point>,
    pub(super) pointer_absolute: Option<bool>,
    pub(super) layout: Vec<Screen>,
    pub(super) resize_answers: Vec<(u16, u16)>,
    pub(super) name: Option<String>,
    pub(super) led_state: Option<u32>,
    pub(super) acknowledged: BTreeSet<i32>,
}

impl Decoder {
    /// A black picture.
    ///
    /// # Errors
    /// When the format breaks its invariant, the size is beyond 16384 a side, or a codec's decoder cannot be made.
    pub fn new(format: ClientFormat, size: Size) -> Result<Self, DecodeError> {
        let mut new = Self {
            format: ClientFormat::BGRX,
            size: Size::default(),
            pixels: Vec::new(),
            colour_map: vec![[0; 3]; 256],
            zlib: Inflater::new("zlib stream"),
            zrle: Inflater::new("zrle stream"),
            tight: ["tight stream 0", "tight stream 1", "tight stream 2", "tight stream 3"].map(Inflater::new),
            zstd: Inflater::zstd("zstd")?,
            zstd_rle: Inflater::zstd("zstd rle")?,
            tight_zstd: [
                Inflater::zstd("tight zstd 0")?,
                Inflater::zstd("tight zstd 1")?,
                Inflater::zstd("tight zstd 2")?,
                Inflater::zstd("tight zstd 3")?,
            ],
            #[cfg(feature = "h264")]
            h264: super::h264::Contexts::default(),
            counts: BTreeMap::new(),
            cursor: None,
            pointer: None,
            pointer_absolute: None,
            layout: Vec::new(),
            resize_answers: Vec::new(),
            name: None,
            led_state: None,
            acknowledged: BTreeSet::new(),
        };
        new.set_format(format)?;
        new.resize(size)?;
        Ok(new)
    }

    /// The pixel format.
    pub fn format(&self) -> ClientFormat {
        self.format
    }

    /// Takes another pixel format; the streams go on, the picture is black until it is sent again.
    ///
    /// # Errors
    /// When the format breaks its invariant.
    pub fn set_format(&mut self, format: ClientFormat) -> Result<(), DecodeError> {
        if !format.is_valid() {
            return Err(DecodeError::Rule("a pixel format that no server takes"));
        }
        self.format = format;
        self.pixels.fill(0);
        Ok(())
    }

    /// Width and height of the picture.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The picture as client pixel values, row by row.
    pub fn pixels(&self) -> &[u32] {
        &self.pixels
    }

    /// The client pixel value at a place.
    ///
    /// # Panics
    /// Outside the picture.
    pub fn value_at(&self, x: u16, y: u16) -> u32 {
        assert!(x < self.size.w && y < self.size.h, "({x}, {y}) outside {}", self.size);
        self.pixels[usize::from(y) * usize::from(self.size.w) + usize::from(x)]
    }

    /// The colour at a place.
    ///
    /// # Panics
    /// Outside the picture.
    pub fn rgb_at(&self, x: u16, y: u16) -> [u8; 3] {
        self.colour(self.value_at(x, y))
    }

    /// The picture as bytes R, G, B, row by row.
    pub fn to_rgb(&self) -> Vec<u8> {
        self.pixels.iter().flat_map(|&v| self.colour(v)).collect()
    }

    /// The colour of a client pixel value.
    pub fn colour(&self, value: u32) -> [u8; 3] {
        if self.format.true_colour { self.format.rgb(value) } else { self.colour_map[(value & 0xff) as usize] }
    }

    /// How often each encoding and sub-encoding occurred, by name ("zrle palette rle").
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// How often one encoding or sub-encoding occurred.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// The last pointer shape.
    pub fn cursor(&self) -> Option<&CursorShape> {
        self.cursor.as_ref()
    }

    /// The last pointer position sent.
    pub fn pointer(&self) -> Option<Point> {
        self.pointer
    }

    /// Whether pointer events are absolute, once the server said so.
    pub fn pointer_absolute(&self) -> Option<bool> {
        self.pointer_absolute
    }

    /// The screens of the last ExtendedDesktopSize that succeeded.
    pub fn layout(&self) -> &[Screen] {
        &self.layout
    }

    /// Reason and status of every ExtendedDesktopSize so far, in order.
    pub fn resize_answers(&self) -> &[(u16, u16)] {
        &self.resize_answers
    }

    /// The last desktop name sent in an update.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The lock lights: 1 scroll, 2 num, 4 caps.
    pub fn led_state(&self) -> Option<u32> {
        self.led_state
    }

    /// Extensions that the server acknowledged, by number.
    pub fn acknowledged(&self) -> &BTreeSet<i32> {
        &self.acknowledged
    }

    /// Decodes one rectangle from `body`, which may go on after it, and returns how many bytes it took.
    ///
    /// # Errors
    /// [`DecodeError::Short`] when `body` ends too early, with the state as before; any other error is the server's
    /// fault and leaves the streams useless.
    pub fn decode_prefix(&mut self, head: &RectHeader, body: &[u8]) -> Result<usize, DecodeError> {
        let mut r = Reader::stream(body);
        let name = match head.encoding {
            n if is_pixels(n) => {
                head.check_inside(self.size, "rectangle")?;
                self.pixel_rect(&mut r, head)?
            }
            _ => self.pseudo_rect(&mut r, head)?,
        };
        self.hit(name);
        Ok(r.position())
    }

    /// Decodes one rectangle whose body is exactly `body`.
    ///
    /// # Errors
    /// As [`Decoder::decode_prefix`], and when bytes are left over.
    pub fn decode(&mut self, head: &RectHeader, body: &[u8]) -> Result<(), DecodeError> {
        match body.len() - self.decode_prefix(head, body)? {
            0 => Ok(()),
            bytes => Err(DecodeError::Trailing { what: "the rectangle", bytes }),
        }
    }

    fn pixel_rect(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<&'static str, DecodeError> {
        let (name, result) = match head.encoding {
            encoding::RAW => ("raw", self.raw(r, head)),
            encoding::COPY_RECT => ("copyrect", self.copy_rect(r, head)),
            encoding::RRE => ("rre", self.rre(r, head, false)),
            encoding::CORRE => ("corre", self.rre(r, head, true)),
            encoding::HEXTILE => ("hextile", self.hextile(r, head)),
            encoding::ZLIB => ("zlib", self.zlib(r, head)),
            encoding::TIGHT => ("tight", self.tight(r, head)),
            encoding::TRLE => ("trle", self.trle(r, head)),
            encoding::ZRLE => ("zrle", self.zrle(r, head)),
            encoding::ZSTD => ("zstd", self.zlib(r, head)),
            encoding::TIGHT_ZSTD => ("tight zstd", self.tight(r, head)),
            encoding::ZSTD_RLE => ("zstd rle", self.zrle(r, head)),
            #[cfg(feature = "h264")]
            encoding::H264 => ("h264", self.h264(r, head)),
            other => return Err(DecodeError::UnknownEncoding(other)),
        };
        result.map(|()| name)
    }

    pub(super) fn hit(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    /// Gives the picture another size; the part both sizes share stays, the rest is black.
    pub(super) fn resize(&mut self, size: Size) -> Result<(), DecodeError> {
        for (what, side) in [("picture width", size.w), ("picture height", size.h)] {
            if side > MAX_SIDE {
                return Err(DecodeError::Range { what, value: side.into(), min: 0, max: MAX_SIDE.into() });
            }
        }
        if size == self.size {
            return Ok(());
        }
        let mut next = Block::new(size.w, size.h);
        let common = RectHeader { x: 0, y: 0, w: size.w.min(self.size.w), h: size.h.min(self.size.h), encoding: 0 };
        next.put(0, 0, &self.get(&common));
        self.size = size;
        self.pixels = next.values;
        Ok(())
    }

    /// Writes a decoded rectangle, known to lie inside the picture.
    pub(super) fn put(&mut self, head: &RectHeader, part: Block) {
        let mut whole = Block { w: self.size.w, h: self.size.h, values: std::mem::take(&mut self.pixels) };
        whole.put(head.x, head.y, &part);
        self.pixels = whole.values;
    }

    /// Reads a rectangle, known to lie inside the picture.
    pub(super) fn get(&self, from: &RectHeader) -> Block {
        let mut out = Block::new(from.w, from.h);
        let (w, stride) = (usize::from(from.w), usize::from(self.size.w));
        for row in 0..usize::from(from.h) {
            let at = (usize::from(from.y) + row) * stride + usize::from(from.x);
            out.values[row * w..(row + 1) * w].copy_from_slice(&self.pixels[at..at + w]);
        }
        out
    }
}
