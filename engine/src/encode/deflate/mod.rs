//! Chunks of raw deflate: cold window, ended by a sync flush, never a final block.

mod tiny;

use zlib_rs::{Deflate, DeflateFlush};

/// zlib-rs's level for each compression level of a client. Its level 2 beats C zlib's level 1 in speed and size; its level 1 has
/// fixed Huffman codes, and above 6 seconds grow much faster than bytes shrink.
const LEVELS: [i32; 10] = [0, 1, 2, 3, 4, 5, 6, 6, 7, 9];

/// Up to this level a few bytes get fixed codes; clients that ask for more get what the compressor finds.
const TINY_LEVEL: i32 = 5;

/// The compressors of one thread, one per level, made when first used and reset for every chunk.
#[derive(Default)]
pub(super) struct Deflater {
    contexts: [Option<Deflate>; 10],
    buffer: Vec<u8>,
}

impl Deflater {
    /// One chunk that holds `data`.
    ///
    /// Cost: one allocation, the result; beyond a few bytes, resetting a context clears its 128 KiB hash table.
    pub(super) fn chunk(&mut self, data: &[u8], compression: u8) -> Vec<u8> {
        let level = LEVELS[usize::from(compression.min(9))];
        if level == 0 {
            return stored(data);
        }
        if data.len() <= tiny::MOST && level <= TINY_LEVEL {
            let mut out = Vec::with_capacity(data.len() + 16);
            tiny::fixed(data, &mut out);
            return if out.len() <= stored_len(data) { out } else { stored(data) };
        }
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

/// Bytes of a chunk of stored blocks.
fn stored_len(data: &[u8]) -> usize {
    data.len() + 5 * (data.len().div_ceil(0xffff) + 1)
}

/// A chunk of stored blocks.
fn stored(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(stored_len(data));
    for block in data.chunks(0xffff).chain(std::iter::once(&[][..])) {
        let len = block.len() as u16;
        out.push(0);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(block);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use zlib_rs::{Inflate, InflateFlush, Status};

    fn inflate(chunks: &[Vec<u8>], len: usize) -> Vec<u8> {
        let whole: Vec<u8> = chunks.concat();
        let mut inflater = Inflate::new(false, 15);
        let mut out = vec![0; len + 1];
        let status = inflater.decompress(&whole, &mut out, InflateFlush::SyncFlush);
        assert_eq!(status, Ok(Status::Ok), "the stream is legal and not finished");
        assert_eq!(inflater.total_in() as usize, whole.len());
        out.truncate(inflater.total_out() as usize);
        out
    }

    #[test]
    fn chunks_of_every_level_join_to_one_stream() {
        let mut noise = 1u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        })
        .take(70_000)
        .collect();
        let inputs: [&[u8]; 4] = [b"abcabcabcabc", &[0; 200_000], &noise, &[1]];
        let mut deflater = Deflater::default();
        let mut chunks = Vec::new();
        let mut plain = Vec::new();
        for compression in 0..=9 {
            for data in inputs {
                let chunk = deflater.chunk(data, compression);
                assert!(chunk.ends_with(&[0, 0, 0xff, 0xff]), "a sync flush ends it");
                chunks.push(chunk);
                plain.extend_from_slice(data);
            }
        }
        assert_eq!(inflate(&chunks, plain.len()), plain);
    }

    #[test]
    fn a_chunk_does_not_depend_on_what_came_before() {
        let mut deflater = Deflater::default();
        let first = deflater.chunk(b"the same words, the same words", 6);
        deflater.chunk(&[7; 5_000], 6);
        assert_eq!(deflater.chunk(b"the same words, the same words", 6), first);
    }
}
