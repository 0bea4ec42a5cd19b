//! Chunks of raw deflate: cold window, ended by a sync flush, never a final block.
//!
//! Up to compression 5 a compressor of our own, made for pixels: `find` and `pixels` look for what stood earlier in the chunk, `writer` gathers
//! it into blocks, `block` and `header` count, build codes (`huffman`) and write the cheapest form (`bits`); `costs` tells the next block
//! what symbols take. Above, zlib-rs looks longer, and of plain pixels the smaller of both is taken. `docs/deflate.md` compares.
//!
//! INVARIANT: what comes out depends on data, shape and level alone; a chunk refers to nothing before its start.

mod bits;
mod block;
mod costs;
mod find;
mod header;
mod huffman;
mod pixels;
#[cfg(test)]
mod tests;
mod writer;

use block::Block;
use find::Places;
use writer::Writer;
use zlib_rs::{Deflate, DeflateFlush};

/// zlib-rs's level for each compression level of a client from 6 on: above 6, seconds grow much faster than bytes shrink.
const LEVELS: [i32; 4] = [6, 6, 7, 9];
/// The lowest compression level at which pairs of pixels are looked up, too, and every match is taken that pays.
pub(super) const EAGER: u8 = 3;
/// Below, what a short match must save: each costs time besides its bits. 3 takes a quarter of the time off a grainy photograph and
/// adds 1 % of bytes.
const MARGIN_BITS: i32 = 3;
/// The lowest compression level that goes to zlib-rs.
const THOROUGH: u8 = 6;
/// From there on, pixels of so many bytes that make up half of a chunk go to our own as well, which often finds more in them.
const PIXEL_BYTES: u8 = 3;
/// Longer chunks are stored; the engine's are below 1 MiB.
const LONGEST: usize = 1 << 30;

/// What the caller knows of a chunk's bytes: it decides how fast and how small, never whether they come back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape {
    /// Bytes of a pixel when there are plain pixels only, else 0.
    pub pixel_bytes: u8,
    /// Bytes of a row, 0 when there are no rows.
    pub row_bytes: u16,
}

impl Shape {
    /// Rows of `width` plain pixels.
    pub fn pixels(pixel_bytes: usize, width: u16) -> Self {
        Self { pixel_bytes: pixel_bytes as u8, row_bytes: width.saturating_mul(pixel_bytes as u16) }
    }

    /// Rows of something that is not a pixel a byte or several.
    pub fn rows(row_bytes: usize) -> Self {
        Self { pixel_bytes: 0, row_bytes: row_bytes as u16 }
    }
}

/// A stretch of a chunk's bytes and what is known of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Section {
    /// How many bytes.
    pub len: usize,
    /// What they are.
    pub shape: Shape,
}

impl Section {
    /// The whole of `data`.
    pub fn all(data: &[u8], shape: Shape) -> Self {
        Self { len: data.len(), shape }
    }
}

/// The compressors of one thread.
#[derive(Default)]
pub struct Deflater {
    places: [Places; 2],
    /// Where the next chunk starts among the places.
    base: u32,
    block: Block,
    /// zlib-rs's, one per level, made when first used and reset for every chunk.
    contexts: [Option<Deflate>; 10],
    buffer: Vec<u8>,
}

impl Deflater {
    /// One chunk that holds `data` of this shape.
    ///
    /// Cost: one allocation, the result.
    pub fn chunk(&mut self, data: &[u8], shape: Shape, compression: u8) -> Vec<u8> {
        self.sections(data, &[Section::all(data, shape)], compression)
    }

    /// One chunk that holds `data`, whose sections have shapes of their own; what lies behind the last one has none.
    ///
    /// Cost: one allocation, the result; another one from compression 6 on for plain pixels.
    pub fn sections(&mut self, data: &[u8], sections: &[Section], compression: u8) -> Vec<u8> {
        match compression {
            0 => stored(data),
            _ if data.len() > LONGEST => stored(data),
            THOROUGH.. => {
                let thorough = self.thorough(data, LEVELS[usize::from(compression.min(9) - THOROUGH)]);
                let of_pixels = sections.iter().filter(|s| s.shape.pixel_bytes >= PIXEL_BYTES);
                let pixels = of_pixels.fold(0usize, |sum, s| sum.saturating_add(s.len));
                if pixels < data.len() / 2 {
                    return thorough;
                }
                // neither is always the smaller one
                let fast = self.fast(data, sections, compression);
                if fast.len() < thorough.len() { fast } else { thorough }
            }
            _ => self.fast(data, sections, compression),
        }
    }

    fn fast(&mut self, data: &[u8], sections: &[Section], compression: u8) -> Vec<u8> {
        let bound = writer::bound(data.len());
        if self.buffer.len() < bound {
            self.buffer.resize(bound, 0);
        }
        if self.base == 0 || self.base > u32::MAX - LONGEST as u32 {
            self.places.iter_mut().for_each(Places::clear);
            self.base = 1;
        }
        let low = compression < EAGER;
        let mut writer = Writer::new(&mut self.block, &mut self.buffer, if low { MARGIN_BITS } else { 0 });
        let rest = Section { len: data.len(), shape: Shape::default() };
        let (mut start, mut counted) = (0usize, 0);
        for Section { len, shape } in sections.iter().chain([&rest]) {
            let section = start..data.len().min(start.saturating_add(*len));
            start = section.end;
            if counted >= start {
                continue;
            }
            let row = Some(usize::from(shape.row_bytes)).filter(|row| *row <= block::FARTHEST).unwrap_or_default();
            let (base, places, writer) = (self.base, &mut self.places, &mut writer);
            counted = match (shape.pixel_bytes, low) {
                (3, true) => pixels::pixels::<3, false>(data, section, counted, row, base, places, writer),
                (3, false) => pixels::pixels::<3, true>(data, section, counted, row, base, places, writer),
                (4, false) => pixels::pixels::<4, true>(data, section, counted, row, base, places, writer),
                _ => find::bytes(data, counted..start, row, base, &mut places[0], writer),
            };
        }
        writer.rest(data);
        let len = writer.finish(data);
        self.base += data.len() as u32;
        self.buffer[..len].to_vec()
    }

    fn thorough(&mut self, data: &[u8], level: i32) -> Vec<u8> {
        let context = self.contexts[level as usize].get_or_insert_with(|| Deflate::new(level, false, 15));
        context.reset();
        let bound = data.len() + data.len() / 8 + 64;
        if self.buffer.len() < bound {
            self.buffer.resize(bound, 0);
        }
        loop {
            let (read, written) = (context.total_in() as usize, context.total_out() as usize);
            let result = context.compress(&data[read..], &mut self.buffer[written..], DeflateFlush::SyncFlush);
            let written = context.total_out() as usize;
            match result {
                Err(_) => return stored(data),
                Ok(_) if context.total_in() as usize == data.len() && written < self.buffer.len() => {
                    return self.buffer[..written].to_vec();
                }
                Ok(_) => self.buffer.resize(self.buffer.len() * 2, 0),
            }
        }
    }
}

/// A chunk of stored blocks.
fn stored(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 5 * (data.len().div_ceil(0xffff) + 1));
    for block in data.chunks(0xffff).chain(std::iter::once(&[][..])) {
        let len = block.len() as u16;
        out.push(0);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(block);
    }
    out
}
