//! Encodings 7 and 26, Tight: every part in the form that suits its content.
//!
//! ```text
//! part(rect):
//!     at most 256 colours: fill (1), mono (2) or indices
//!     else 256 colours last for some rows: indices of those, the rest by part()                (2)
//!     else JPEG allowed and photographic cells: JPEG of their bounding box if they fill it,    (1)
//!          the bands around it by part()
//!     else large: both halves by part(); if both end as copy, one copy
//!     else copy
//! ```
//! 1. Text and flat areas stay exact: a cell of 16x16 pixels is photographic only if neighbouring pixels differ often and little.
//! 2. A page of coloured text falls into a few bands with one look at each pixel; a photo's palette is full after a row or two.
//!
//! The gradient filter is never sent: old noVNC stops at it, and deflate at low levels gains nothing from it.

#[cfg(feature = "jpeg")]
use super::content::{self, Cells};
use super::deflate::{Section, Shape};
use super::scratch::{Picture, Tools};
#[cfg(feature = "jpeg")]
use super::streams::push_compact;
use super::zrle::pack;
use super::{Encoded, Params, StreamId};
use crate::geometry::Rect;
use crate::pixel::{Layout, PixelBytes};

const FILL: u8 = 0x80;
#[cfg(feature = "jpeg")]
const JPEG: u8 = 0x90;
const FILTER: u8 = 0x40;
const PALETTE: u8 = 1;
/// Filtered data shorter than this is sent as it is.
const MIN_COMPRESS: usize = 12;
/// Parts of many colours are halved down to this many pixels in search of palettes.
const MIN_SPLIT: u64 = 64 * 64;
/// Rows that a palette must last for.
const MIN_BAND: u16 = 24;
/// Below this many pixels a palette and plain pixels are both tried.
const SMALL: u64 = 1024;
/// Below this many pixels JPEG's tables outweigh what it saves.
#[cfg(feature = "jpeg")]
const MIN_JPEG: u64 = 32 * 32;

/// One rectangle on its way into Tight.
pub(super) struct Tight<'a> {
    /// The values that are sent.
    pub(super) picture: Picture<'a>,
    /// The mirror's words of the same rectangle.
    #[cfg_attr(not(feature = "jpeg"), expect(dead_code, reason = "JPEG is made of these"))]
    pub(super) words: Picture<'a>,
    #[cfg_attr(not(feature = "jpeg"), expect(dead_code, reason = "JPEG is made of these"))]
    pub(super) layout: Layout,
    pub(super) form: PixelBytes,
    pub(super) params: &'a Params,
    pub(super) tools: &'a mut Tools,
    pub(super) out: &'a mut Vec<Encoded>,
}

impl Tight<'_> {
    /// Encodes the whole picture.
    pub(super) fn run(mut self) {
        let rect = self.picture.rect;
        if self.part(&rect) {
            self.copy(&rect);
        }
    }

    /// Encodes a part; true when the caller must send it as copy.
    fn part(&mut self, rect: &Rect) -> bool {
        let mut rest = *rect;
        while !rest.is_empty() {
            let rows = self.fill_palette(&rest);
            if rows == rest.h {
                self.palette(&rest);
                return false;
            }
            // a photograph's palette is full at once: text that fills bands is spared the look at its cells
            if rows < MIN_BAND || u64::from(rows) * u64::from(rest.w) < MIN_SPLIT {
                if self.photo(&rest) {
                    return false;
                }
                break;
            }
            self.palette(&Rect { h: rows, ..rest });
            rest = Rect::from_corners(rest.x, rest.y + rows, rest.right(), rest.bottom());
        }
        if rest.area() > MIN_SPLIT {
            let (a, b) = halves(&rest);
            match (self.part(&a), self.part(&b)) {
                (true, true) => {}
                (a_left, b_left) => {
                    for (half, left) in [(a, a_left), (b, b_left)] {
                        if left {
                            self.copy(&half);
                        }
                    }
                    return false;
                }
            }
        }
        if rest != *rect {
            self.copy(&rest);
            return false;
        }
        true
    }

    /// Collects palette and indices from the top; returns how many whole rows fit.
    fn fill_palette(&mut self, rect: &Rect) -> u16 {
        let Tools { palette, indices, .. } = &mut *self.tools;
        palette.start(256);
        indices.clear();
        palette.add_rows(self.picture.rows(rect), indices) as u16
    }

    /// Sends the photographic middle of a part as JPEG and the rest by [`Tight::part`]; false when there is no such middle.
    #[cfg(feature = "jpeg")]
    fn photo(&mut self, rect: &Rect) -> bool {
        self.jpeg(rect).is_some()
    }

    #[cfg(feature = "jpeg")]
    fn jpeg(&mut self, rect: &Rect) -> Option<()> {
        let step = self.params.jpeg.filter(|_| self.params.format.bpp > 8 && self.params.format.true_colour)?;
        let format = super::jpeg::pixel_format(self.layout)?;
        if rect.area() < MIN_JPEG {
            return None;
        }
        let cells = Cells::of(self.words, rect, self.layout);
        let middle = cells.photo()?;
        if middle.area() < MIN_JPEG {
            return None;
        }
        let shape = [usize::from(middle.w), usize::from(middle.h), self.words.stride];
        let data = self.tools.jpeg.compress(self.words.part(&middle), shape, format, step)?;
        let mut head = Vec::with_capacity(data.len() + 4);
        head.push(JPEG);
        push_compact(data.len(), &mut head);
        head.extend_from_slice(data);
        self.out.push(Encoded { rect: middle, encoding: self.params.codec.number(), head, chunk: None, lossy: true });
        for band in content::around(rect, &middle) {
            if self.part(&band) {
                self.copy(&band);
            }
        }
        Some(())
    }

    #[cfg(not(feature = "jpeg"))]
    fn photo(&mut self, _rect: &Rect) -> bool {
        false
    }

    /// Sends a part whose palette and indices are in the tools.
    fn palette(&mut self, rect: &Rect) {
        let colours = self.tools.palette.values();
        if let [colour] = colours {
            let mut head = vec![FILL];
            self.form.push(*colour, &mut head);
            self.out.push(Encoded {
                rect: *rect,
                encoding: self.params.codec.number(),
                head,
                chunk: None,
                lossy: false,
            });
            return;
        }
        let stream = if colours.len() == 2 { 1 } else { 2 };
        let mut head = Vec::with_capacity(3 + colours.len() * self.form.len());
        head.extend_from_slice(&[FILTER | stream << 4, PALETTE, (colours.len() - 1) as u8]);
        colours.iter().for_each(|v| self.form.push(*v, &mut head));
        let try_copy = rect.area() < SMALL && colours.len() > 8;
        self.tools.bytes.clear();
        if colours.len() == 2 {
            for row in self.tools.indices.chunks_exact(rect.w.into()) {
                pack(row, 1, &mut self.tools.bytes);
            }
        } else {
            std::mem::swap(&mut self.tools.bytes, &mut self.tools.indices);
        }
        let shape =
            if colours.len() == 2 { Shape::rows(usize::from(rect.w).div_ceil(8)) } else { Shape::pixels(1, rect.w) };
        self.filtered(rect, head, stream, shape);
        if try_copy {
            let indexed = self.out.pop();
            self.copy(rect);
            if let (Some(copy), Some(indexed)) = (self.out.last_mut(), indexed)
                && indexed.wire_len() <= copy.wire_len()
            {
                *copy = indexed;
            }
        }
    }

    /// Sends a part as plain pixels through zlib.
    fn copy(&mut self, rect: &Rect) {
        self.tools.bytes.clear();
        for row in self.picture.rows(rect) {
            self.form.push_row(row, &mut self.tools.bytes);
        }
        self.filtered(rect, vec![0], 0, Shape::pixels(self.form.len(), rect.w));
    }

    /// Sends the filtered data in the tools.
    fn filtered(&mut self, rect: &Rect, mut head: Vec<u8>, stream: u8, shape: Shape) {
        let Tools { bytes, compressors, .. } = &mut *self.tools;
        let chunk = if bytes.len() < MIN_COMPRESS {
            head.extend_from_slice(bytes);
            None
        } else {
            Some(compressors.chunk(bytes, &[Section::all(bytes, shape)], self.params, StreamId::Tight(stream)))
        };
        self.out.push(Encoded { rect: *rect, encoding: self.params.codec.number(), head, chunk, lossy: false });
    }
}

/// Two halves of a rectangle along its longer side, on a 16-px border of it.
fn halves(r: &Rect) -> (Rect, Rect) {
    let middle = |len: u16| (len / 2).next_multiple_of(16).min(len);
    if r.w >= r.h {
        let x = r.x + middle(r.w);
        (Rect::from_corners(r.x, r.y, x, r.bottom()), Rect::from_corners(x, r.y, r.right(), r.bottom()))
    } else {
        let y = r.y + middle(r.h);
        (Rect::from_corners(r.x, r.y, r.right(), y), Rect::from_corners(r.x, y, r.right(), r.bottom()))
    }
}
