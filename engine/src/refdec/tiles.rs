//! ZRLE, its zstd twin and TRLE: tiles of raw pixels, palettes and runs.

use super::decoder::{Block, Decoder, RectHeader};
use super::reader::Reader;
use super::{DecodeError, encoding};
use crate::pixel::ClientFormat;

/// Largest ZRLE chunk taken: TigerVNC's buffer.
const MAX_CHUNK: u64 = 32 << 20;

impl Decoder {
    pub(super) fn zrle(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<(), DecodeError> {
        let len = r.u32()?;
        if u64::from(len) > MAX_CHUNK {
            return Err(DecodeError::Range { what: "ZRLE length", value: len.into(), min: 0, max: MAX_CHUNK });
        }
        let chunk = r.take(len as usize)?;
        // LibVNCClient's buffer holds twice the raw pixels
        let stream = if head.encoding == encoding::ZSTD_RLE { &mut self.zstd_rle } else { &mut self.zrle };
        let bytes = stream.inflate(chunk, head.area() * self.format.bytes() * 2)?;
        let mut r = Reader::chunk(&bytes, "zrle tiles");
        let (block, hits) = tiles_of(&mut r, head, 64, &self.format)?;
        r.finish()?;
        self.put(head, block);
        for hit in hits {
            self.hit(hit);
        }
        Ok(())
    }

    pub(super) fn trle(&mut self, r: &mut Reader<'_>, head: &RectHeader) -> Result<(), DecodeError> {
        let (block, _) = tiles_of(r, head, 16, &self.format)?;
        self.put(head, block);
        self.hit("trle");
        Ok(())
    }
}

type Tiles = (Block, Vec<&'static str>);

fn tiles_of(r: &mut Reader<'_>, head: &RectHeader, side: u16, f: &ClientFormat) -> Result<Tiles, DecodeError> {
    let mut whole = Block::new(head.w, head.h);
    let mut hits = Vec::new();
    let mut palette: Vec<u32> = Vec::new();
    for (x, y, w, h) in head.tiles(side) {
        let kind = r.u8()?;
        let mut tile = Block::new(w, h);
        match (kind, side) {
            (0, _) => {
                for v in &mut tile.values {
                    *v = r.cpixel(f)?;
                }
                hits.push("zrle raw");
            }
            (1, _) => {
                tile.fill(0, 0, w, h, r.cpixel(f)?)?;
                hits.push("zrle solid");
            }
            (2..=16, _) => {
                palette = colours(r, kind, f)?;
                packed(r, &mut tile, &palette)?;
                hits.push("zrle packed palette");
            }
            (127, 16) => packed(r, &mut tile, &palette)?,
            (128, _) => {
                let mut left = &mut tile.values[..];
                while !left.is_empty() {
                    let v = r.cpixel(f)?;
                    let n = run(r, left.len())?;
                    left[..n].fill(v);
                    left = &mut left[n..];
                }
                hits.push("zrle plain rle");
            }
            (129, 16) => palette_runs(r, &mut tile, &palette)?,
            (130.., _) => {
                palette = colours(r, kind - 128, f)?;
                palette_runs(r, &mut tile, &palette)?;
                hits.push("zrle palette rle");
            }
            _ => return Err(DecodeError::Range { what: "tile type", value: kind.into(), min: 0, max: 16 }),
        }
        whole.put(x, y, &tile);
    }
    Ok((whole, hits))
}

fn colours(r: &mut Reader<'_>, n: u8, f: &ClientFormat) -> Result<Vec<u32>, DecodeError> {
    (0..n).map(|_| r.cpixel(f)).collect()
}

fn colour(palette: &[u32], index: u8) -> Result<u32, DecodeError> {
    palette.get(usize::from(index)).copied().ok_or(DecodeError::Range {
        what: "palette index",
        value: index.into(),
        min: 0,
        max: (palette.len() as u64).saturating_sub(1),
    })
}

/// Indices of 1, 2 or 4 bits, most significant first, rows padded to bytes.
fn packed(r: &mut Reader<'_>, tile: &mut Block, palette: &[u32]) -> Result<(), DecodeError> {
    let bits = match palette.len() {
        0..=2 => 1,
        3..=4 => 2,
        5..=16 => 4,
        n => return Err(DecodeError::Range { what: "packed palette", value: n as u64, min: 2, max: 16 }),
    };
    let w = usize::from(tile.w);
    for row in tile.values.chunks_mut(w) {
        let bytes = r.take((w * bits).div_ceil(8))?;
        for (x, v) in row.iter_mut().enumerate() {
            let byte = bytes[x * bits / 8];
            let index = byte >> (8 - bits - x * bits % 8) & ((1 << bits) - 1);
            *v = colour(palette, index)?;
        }
    }
    Ok(())
}

fn palette_runs(r: &mut Reader<'_>, tile: &mut Block, palette: &[u32]) -> Result<(), DecodeError> {
    let mut left = &mut tile.values[..];
    while !left.is_empty() {
        let index = r.u8()?;
        let n = if index & 128 != 0 { run(r, left.len())? } else { 1 };
        left[..n].fill(colour(palette, index & 127)?);
        left = &mut left[n..];
    }
    Ok(())
}

/// A run length: one more than the sum of bytes up to the first that is not 255.
fn run(r: &mut Reader<'_>, left: usize) -> Result<usize, DecodeError> {
    let mut n = 1;
    loop {
        let b = r.u8()?;
        n += usize::from(b);
        if n > left {
            return Err(DecodeError::Range { what: "run length", value: n as u64, min: 1, max: left as u64 });
        }
        if b != 255 {
            return Ok(n);
        }
    }
}
