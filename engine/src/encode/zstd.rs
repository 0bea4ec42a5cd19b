//! Whole zstd frames, one for each rectangle.
//!
//! UltraVNC's server sends one endless frame for each stream, and its viewer decodes a stream; bVNC decodes each rectangle as a
//! frame of its own. A decoder of streams goes on with the next frame where one ends, so frames suit both, can be made on
//! any core and be shared by clients. Source: RFC 8878.

use zstd::bulk::Compressor;

/// zstd's level for each compression level of a client; 0 is none. Of text its level 1 costs a quarter of zlib-rs's level 2 and takes
/// about the same bytes; of photographs its level 3 half.
const LEVELS: [i32; 10] = [0, -1, 1, 3, 3, 4, 5, 6, 7, 9];

/// The most bytes of a block.
const BLOCK: usize = 128 * 1024;

/// The compressor of one thread, made when first used.
#[derive(Default)]
pub(super) struct Zstd {
    context: Option<(i32, Compressor<'static>)>,
    buffer: Vec<u8>,
}

impl Zstd {
    /// One frame that holds `data`, with its length and without a checksum.
    ///
    /// Cost: one allocation, the result, besides the codec's own.
    pub(super) fn frame(&mut self, data: &[u8], compression: u8) -> Vec<u8> {
        let level = LEVELS[usize::from(compression.min(9))];
        match level {
            0 => stored(data),
            _ => self.compressed(data, level).map_or_else(|| stored(data), <[u8]>::to_vec),
        }
    }

    fn compressed(&mut self, data: &[u8], level: i32) -> Option<&[u8]> {
        let context = match self.context.take() {
            Some((of, context)) if of == level => context,
            Some((_, mut context)) => {
                context.set_compression_level(level).ok()?;
                context
            }
            None => Compressor::new(level).ok()?,
        };
        let (_, context) = self.context.insert((level, context));
        self.buffer.clear();
        self.buffer.reserve(zstd::zstd_safe::compress_bound(data.len()));
        context.compress_to_buffer(data, &mut self.buffer).ok()?;
        Some(&self.buffer)
    }
}

/// A frame of blocks that are not compressed.
fn stored(data: &[u8]) -> Vec<u8> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    // the length in four bytes; the window is as large
    const DESCRIPTOR: u8 = 0b1010_0000;
    let mut out = Vec::with_capacity(data.len() + 9 + 3 * (data.len() / BLOCK + 1));
    out.extend_from_slice(&MAGIC);
    out.push(DESCRIPTOR);
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    let (last, first) = match data.len() {
        0 => (data, &[][..]),
        len => {
            let (first, last) = data.split_at((len - 1) / BLOCK * BLOCK);
            (last, first)
        }
    };
    for (block, is_last) in first.chunks(BLOCK).map(|b| (b, 0)).chain([(last, 1)]) {
        let header = (block.len() as u32) << 3 | is_last;
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut seed = 1u32;
        std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        })
        .take(len)
        .collect()
    }

    #[test]
    fn frames_of_every_level_come_back_alone_and_joined() {
        let noise = noise(BLOCK * 2);
        let inputs: [&[u8]; 6] = [b"abcabcabcabc", &[0; 200_000], &noise, &noise[1..], &[1], &[]];
        let mut zstd = Zstd::default();
        let (mut joined, mut plain) = (Vec::new(), Vec::new());
        for compression in 0..=10 {
            for data in inputs {
                let frame = zstd.frame(data, compression);
                assert_eq!(zstd::bulk::decompress(&frame, data.len()).expect("a frame"), data, "level {compression}");
                joined.extend_from_slice(&frame);
                plain.extend_from_slice(data);
            }
        }
        assert_eq!(zstd::stream::decode_all(&joined[..]).expect("frames"), plain);
    }

    #[test]
    fn a_frame_does_not_depend_on_what_came_before() {
        let mut zstd = Zstd::default();
        let first = zstd.frame(b"the same words, the same words", 6);
        zstd.frame(&[7; 5_000], 2);
        zstd.frame(&noise(70_000), 6);
        assert_eq!(zstd.frame(b"the same words, the same words", 6), first);
    }
}
