//! Encodings 16 and 28, ZRLE: tiles of 64x64 pixels as palettes and runs, all through one zlib stream or a zstd frame.
//!
//! Source: RFC 6143 section 7.7.6. A tile's kind is chosen by its size before deflate, with runs weighed up: deflate
//! finds them by itself but must be fed every pixel.

use super::deflate::Shape;
use super::scratch::{Picture, Tools};
use super::{Encoded, Params, StreamId};
use crate::geometry::Rect;
use crate::kernel::Palette;
use crate::pixel::PixelBytes;

const TILE: u16 = 64;
/// The largest palette of a tile of runs.
const MAX_PALETTE: usize = 127;
/// The largest palette of a tile of packed indices.
const MAX_PACKED: usize = 16;

/// Encodings 16 and 28.
pub(super) fn encode(picture: Picture<'_>, params: &Params, tools: &mut Tools) -> Encoded {
    let Tools { compressors, palette, indices, bytes, .. } = tools;
    let form = PixelBytes::cpixel(&params.format);
    bytes.clear();
    let r = picture.rect;
    for y in (r.y..r.bottom()).step_by(TILE.into()) {
        for x in (r.x..r.right()).step_by(TILE.into()) {
            let part =
                Rect::from_corners(x, y, r.right().min(x.saturating_add(TILE)), r.bottom().min(y.saturating_add(TILE)));
            tile(picture, &part, form, palette, indices, bytes);
        }
    }
    Encoded {
        rect: r,
        encoding: params.codec.number(),
        head: Vec::new(),
        chunk: Some(compressors.chunk(bytes, Shape::default(), params, StreamId::Zrle)),
        lossy: false,
    }
}

fn tile(
    picture: Picture<'_>,
    part: &Rect,
    form: PixelBytes,
    palette: &mut Palette,
    indices: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    palette.start(MAX_PALETTE);
    indices.clear();
    let area = part.area() as usize;
    let raw_size = area * form.len();
    if !picture.rows(part).all(|row| palette.add_row(row, indices)) {
        // many colours: runs only where they are long
        let (count, long) = count_runs(picture.rows(part).flatten().copied());
        if count * (form.len() + 1) + long < raw_size / 2 {
            out.push(128);
            for (value, len) in Runs::new(picture.rows(part).flatten().copied()) {
                form.push(value, out);
                push_length(len, out);
            }
        } else {
            out.push(0);
            picture.rows(part).for_each(|row| form.push_row(row, out));
        }
        return;
    }
    let colours = palette.values().len();
    if colours == 1 {
        out.push(1);
        form.push(palette.values()[0], out);
        return;
    }
    let bits = match colours {
        2 => 1,
        3..=4 => 2,
        _ => 4,
    };
    if colours <= MAX_PACKED {
        out.push(colours as u8);
        palette.values().iter().for_each(|v| form.push(*v, out));
        for row in indices.chunks_exact(part.w.into()) {
            pack(row, bits, out);
        }
        return;
    }
    let (count, long) = count_runs(indices.iter().copied());
    let run_size = colours * form.len() + 2 * count + long;
    if run_size < raw_size {
        out.push(128 + colours as u8);
        palette.values().iter().for_each(|v| form.push(*v, out));
        for (index, len) in Runs::new(indices.iter().copied()) {
            if len == 1 {
                out.push(index);
            } else {
                out.push(index | 0x80);
                push_length(len, out);
            }
        }
    } else {
        out.push(0);
        picture.rows(part).for_each(|row| form.push_row(row, out));
    }
}

/// Packs indices of 1, 2 or 4 bits, the first in the highest bits, the last byte filled up with zeros.
pub(super) fn pack(row: &[u8], bits: u32, out: &mut Vec<u8>) {
    let per_byte = (8 / bits) as usize;
    for group in row.chunks(per_byte) {
        let byte = group.iter().fold(0u8, |b, i| b << bits | i);
        out.push(byte << (bits * (per_byte - group.len()) as u32));
    }
}

/// A run's length: bytes of 255 and a remainder, of the length less one.
fn push_length(len: usize, out: &mut Vec<u8>) {
    let mut rest = len - 1;
    while rest >= 255 {
        out.push(255);
        rest -= 255;
    }
    out.push(rest as u8);
}

/// Runs, and the bytes that long ones need beyond the first of their length.
fn count_runs<T: PartialEq + Copy>(items: impl Iterator<Item = T>) -> (usize, usize) {
    let mut last = None;
    let (mut count, mut total) = (0, 0);
    for item in items {
        count += usize::from(last != Some(item));
        last = Some(item);
        total += 1;
    }
    (count, total / 255)
}

/// Runs of equal items and their lengths.
struct Runs<I: Iterator> {
    items: std::iter::Peekable<I>,
}

impl<I: Iterator> Runs<I> {
    fn new(items: I) -> Self {
        Self { items: items.peekable() }
    }
}

impl<I: Iterator<Item: PartialEq + Copy>> Iterator for Runs<I> {
    type Item = (I::Item, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.items.next()?;
        let mut len = 1;
        while self.items.next_if(|v| *v == first).is_some() {
            len += 1;
        }
        Some((first, len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_packed_from_the_top() {
        let mut out = Vec::new();
        pack(&[1, 0, 1, 1, 0, 0, 0, 1, 1], 1, &mut out);
        pack(&[3, 1, 2], 2, &mut out);
        pack(&[15, 1, 2], 4, &mut out);
        assert_eq!(out, [0b1011_0001, 0b1000_0000, 0b1101_1000, 0xf1, 0x20]);
    }

    #[test]
    fn run_lengths_at_their_borders() {
        let form = |len| {
            let mut out = Vec::new();
            push_length(len, &mut out);
            out
        };
        assert_eq!(form(1), [0]);
        assert_eq!(form(255), [254]);
        assert_eq!(form(256), [255, 0]);
        assert_eq!(form(4096), [[255; 16].as_slice(), &[15]].concat());
    }
}
