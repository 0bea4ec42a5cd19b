//! A thread's compressors, and which of them a codec uses.

use super::deflate::{Deflater, EAGER, Section};
use super::zstd::Zstd;
use super::{Chunk, Codec, Params, StreamId};

/// The compressors of one thread.
#[derive(Default)]
pub(super) struct Compressors {
    deflater: Deflater,
    zstd: Zstd,
}

impl Compressors {
    /// The chunk that holds `data`, in sections of their shapes: a piece of `stream`, or a frame of its own for the codecs that have zstd.
    ///
    /// Cost: one allocation, the result.
    pub(super) fn chunk(&mut self, data: &[u8], sections: &[Section], params: &Params, stream: StreamId) -> Chunk {
        if params.codec.is_zstd() {
            Chunk { stream: None, data: self.zstd.frame(data, params.compression) }
        } else {
            // PERF: pairs of pixels take 3 % of bytes off a photograph in ZRLE and 5 % in Zlib, for 3 % of time (`docs/deflate.md`)
            let compression = match (params.codec, params.compression) {
                (Codec::Zrle | Codec::Zlib, 2..EAGER) => EAGER,
                (_, compression) => compression,
            };
            Chunk { stream: Some(stream), data: self.deflater.sections(data, sections, compression) }
        }
    }
}
