//! Encodings 16 and 28, ZRLE: tiles of 64x64 pixels as palettes and runs, all through one zlib stream or a zstd frame.
//!
//! Source: RFC 6143 section 7.7.6. A tile's pixels are read once for the palette; how long its runs would be is counted from its indices, 64
//! at a time. Its kind is the one that is smallest before compression, and what compression makes of it decides two things:
//! - A tile's palette begins with that of the tile before it, as long as both fit: a colour has the same index in all tiles of a page,
//!   so that letters are found again from tile to tile, and so is the palette itself.
//! - Plain pixels are marked as such, so that they are looked up pixel by pixel.

use super::deflate::{Section, Shape};
use super::scratch::{Picture, Tools};
use super::{Encoded, Params, StreamId};
use crate::geometry::Rect;
use crate::kernel::{Palette, run_length};
use crate::pixel::PixelBytes;

const TILE: u16 = 64;
/// The largest palette of a tile of runs.
const MAX_PALETTE: usize = 127;
/// The largest palette of a tile of packed indices.
const MAX_PACKED: usize = 16;

/// Encodings 16 and 28.
pub(super) fn encode(picture: Picture<'_>, params: &Params, tools: &mut Tools) -> Encoded {
    let Tools { compressors, palette, indices, bytes, sections, .. } = tools;
    let form = PixelBytes::cpixel(&params.format);
    bytes.clear();
    sections.clear();
    palette.start(MAX_PALETTE);
    let mut tiles = Tiles { picture, form, palette, indices, out: Out { bytes, sections, closed: 0 } };
    let r = picture.rect;
    for y in (r.y..r.bottom()).step_by(TILE.into()) {
        for x in (r.x..r.right()).step_by(TILE.into()) {
            let part =
                Rect::from_corners(x, y, r.right().min(x.saturating_add(TILE)), r.bottom().min(y.saturating_add(TILE)));
            tiles.tile(&part);
        }
    }
    Encoded {
        rect: r,
        encoding: params.codec.number(),
        head: Vec::new(),
        chunk: Some(compressors.chunk(bytes, sections, params, StreamId::Zrle)),
        lossy: false,
    }
}

/// The bytes of tiles, and which of them are plain pixels.
struct Out<'a> {
    bytes: &'a mut Vec<u8>,
    sections: &'a mut Vec<Section>,
    /// Where the section before this one ended.
    closed: usize,
}

impl Out<'_> {
    /// Ends a section.
    fn close(&mut self, shape: Shape) {
        self.sections.push(Section { len: self.bytes.len() - self.closed, shape });
        self.closed = self.bytes.len();
    }
}

/// A rectangle's tiles in the making.
struct Tiles<'a> {
    picture: Picture<'a>,
    form: PixelBytes,
    /// Colours of this tile and of those before it.
    palette: &'a mut Palette,
    indices: &'a mut Vec<u8>,
    out: Out<'a>,
}

impl Tiles<'_> {
    /// Adds one tile: solid, packed, runs of a palette, plain pixels, or plain runs.
    fn tile(&mut self, part: &Rect) {
        let Self { palette, indices, form, picture, out } = self;
        let Out { bytes, .. } = out;
        let form = *form;
        let mut add = |palette: &mut Palette| {
            indices.clear();
            palette.add_rows(picture.rows(part), indices) == part.h.into()
        };
        let known = palette.values().len();
        if !add(palette) {
            // without the colours of the tiles before, it may fit
            palette.start(MAX_PALETTE);
            if known == 0 || !add(palette) {
                palette.start(MAX_PALETTE);
                return self.many(part);
            }
        }
        let Some(&first) = indices.first() else { return };
        let most = indices.iter().fold(0, |most, i| most.max(*i));
        if indices.iter().fold(0, |differ, i| differ | (i ^ first)) == 0 {
            bytes.push(1);
            return form.push(palette.values()[usize::from(first)], bytes);
        }
        let colours = &palette.values()[..=usize::from(most)];
        let runs = Runs::of(indices, part.w.into());
        let bits = match colours.len() {
            2 => 1,
            3..=4 => 2,
            _ => 4,
        };
        let packed = usize::from(part.w).div_ceil(8 / bits as usize) * usize::from(part.h);
        let is_packed = colours.len() <= MAX_PACKED && packed <= runs.size;
        if is_packed {
            bytes.push(colours.len() as u8);
        } else if colours.len() * form.len() + runs.size < part.area() as usize * form.len() {
            bytes.push(128 + colours.len() as u8);
        } else {
            return self.raw(part);
        }
        colours.iter().for_each(|v| form.push(*v, bytes));
        if is_packed {
            indices.chunks_exact(part.w.into()).for_each(|row| pack(row, bits, bytes));
        } else {
            runs.write(indices, bytes);
        }
    }

    /// A tile of plain pixels.
    fn raw(&mut self, part: &Rect) {
        self.out.bytes.push(0);
        self.out.close(Shape::default());
        self.picture.rows(part).for_each(|row| self.form.push_row(row, self.out.bytes));
        self.out.close(Shape::pixels(self.form.len(), part.w));
    }

    /// A tile of more colours than a palette of runs has: runs only where they are long.
    fn many(&mut self, part: &Rect) {
        let Self { form, picture, out: Out { bytes: out, .. }, .. } = self;
        let form = *form;
        let raw_size = part.area() as usize * form.len();
        let steps = |row: &[u32]| row.array_windows::<2>().map(|[a, b]| u32::from(a != b)).sum::<u32>() as usize;
        // every row may begin a run
        let count: usize = picture.rows(part).map(|row| steps(row) + 1).sum();
        if count * (form.len() + 1) >= raw_size / 2 {
            return self.raw(part);
        }
        out.push(128);
        let mut pixels = picture.rows(part).flatten().copied();
        let Some(mut last) = pixels.next() else { return };
        let mut len = 1;
        for value in pixels {
            if value == last {
                len += 1;
            } else {
                form.push(last, out);
                push_length(len, out);
                (last, len) = (value, 1);
            }
        }
        form.push(last, out);
        push_length(len, out);
    }
}

/// The runs of a tile's indices.
struct Runs {
    /// For each row a bit for each pixel that begins a run.
    starts: [u64; TILE as usize],
    width: usize,
    rows: usize,
    /// Bytes that they take, or a few more: the bytes that long runs need beyond two are counted as if all runs were long.
    size: usize,
}

impl Runs {
    /// Finds the runs of a tile of rows of `width` indices below 128.
    fn of(indices: &[u8], width: usize) -> Self {
        let mut starts = [0; TILE as usize];
        // no index is 255, so the first pixel begins a run
        let mut before = u8::MAX;
        let mut rows = 0;
        for (row, starts) in indices.chunks_exact(width).zip(&mut starts) {
            *starts = run_length::starts(row, before);
            before = row[width - 1];
            rows += 1;
        }
        let (mut runs, mut single) = (0, 0);
        for (y, row) in starts[..rows].iter().enumerate() {
            // whether the next row, or the tile's end, begins a run
            let next = starts[..rows].get(y + 1).map_or(1, |row| row & 1);
            runs += row.count_ones();
            single += (row & (row >> 1 | next << (width - 1))).count_ones();
        }
        let size = 2 * runs - single;
        Self { starts, width, rows, size: size as usize + indices.len() / 255 }
    }

    /// Writes each run's index and, if it is longer than one, its length.
    fn write(&self, indices: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        // and room for the second byte of the last run, which is written even if it does not count
        out.resize(start + self.size + 1, 0);
        let room = &mut out[start..];
        let mut at = 0;
        let mut begun = 0;
        let mut end_run = |end: usize| {
            let len = end - begun;
            let index = indices[begun];
            room[at] = index | u8::from(len > 1) << 7;
            let mut rest = len - 1;
            while rest >= 255 {
                room[at + 1] = 255;
                at += 1;
                rest -= 255;
            }
            room[at + 1] = rest as u8;
            at += 1 + usize::from(len > 1);
            begun = end;
        };
        for (y, starts) in self.starts[..self.rows].iter().enumerate() {
            let mut left = if y == 0 { starts & !1 } else { *starts };
            while left != 0 {
                end_run(y * self.width + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
        end_run(indices.len());
        out.truncate(start + at);
    }
}

/// Packs indices of 1, 2 or 4 bits, the first in the highest bits, the last byte filled up with zeros.
pub(super) fn pack(row: &[u8], bits: u32, out: &mut Vec<u8>) {
    let per_byte = (8 / bits) as usize;
    let rest = match bits {
        // a product puts each index where it belongs in the highest byte
        1 => {
            let (groups, rest) = row.as_chunks::<8>();
            out.extend(groups.iter().map(|g| (u64::from_le_bytes(*g).wrapping_mul(0x8040_2010_0804_0201) >> 56) as u8));
            rest
        }
        2 => {
            let (groups, rest) = row.as_chunks::<4>();
            out.extend(groups.iter().map(|g| (u32::from_le_bytes(*g).wrapping_mul(0x4010_0401) >> 24) as u8));
            rest
        }
        _ => {
            let (groups, rest) = row.as_chunks::<2>();
            out.extend(groups.iter().map(|[a, b]| a << 4 | b));
            rest
        }
    };
    if !rest.is_empty() {
        let byte = rest.iter().fold(0u8, |b, i| b << bits | i);
        out.push(byte << (bits * (per_byte - rest.len()) as u32));
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
    fn indices_of_every_width_are_packed_as_one_by_one() {
        for bits in [1, 2, 4] {
            for width in 0..=19usize {
                let row: Vec<u8> = (0..width).map(|i| (i * 7 % 5) as u8 & ((1 << bits) - 1)).collect();
                let mut got = Vec::new();
                pack(&row, bits, &mut got);
                let mut want = vec![0u8; (width * bits as usize).div_ceil(8)];
                for (i, index) in row.iter().enumerate() {
                    let bit = i * bits as usize;
                    want[bit / 8] |= index << (8 - bits as usize - bit % 8);
                }
                assert_eq!(got, want, "{bits} bits, {width} wide");
            }
        }
    }

    #[test]
    fn runs_cross_rows_and_have_lengths_of_many_bytes() {
        let write = |indices: &[u8], width| {
            let mut out = vec![9];
            Runs::of(indices, width).write(indices, &mut out);
            out
        };
        assert_eq!(write(&[1, 2, 2, 2, 2, 3], 3), [9, 1, 0x82, 3, 3]);
        assert_eq!(write(&[5], 1), [9, 5]);
        assert_eq!(write(&[5; 4096], 64), [&[9, 0x85][..], &[255; 16], &[15]].concat());
        assert_eq!(write(&[[5; 255].as_slice(), &[6]].concat(), 64), [9, 0x85, 254, 6]);
        assert_eq!(write(&[[5; 256].as_slice(), &[6; 64]].concat(), 64), [9, 0x85, 255, 0, 0x86, 63]);
    }

    #[test]
    fn the_size_of_runs_is_never_too_small() {
        let mut seed = 1u32;
        for width in 1..=64 {
            let indices: Vec<u8> = (0..width * 20)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 28) as u8 / 4
                })
                .collect();
            let runs = Runs::of(&indices, width);
            let mut out = Vec::new();
            runs.write(&indices, &mut out);
            assert!(out.len() <= runs.size && runs.size <= out.len() + indices.len() / 255, "width {width}");
        }
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
