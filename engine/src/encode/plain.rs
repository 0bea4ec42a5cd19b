//! Encodings 0 and 6: the pixels as they are, and the same through zlib.

use super::scratch::{Picture, Tools};
use super::{Chunk, Encoded, Params, StreamId, number};
use crate::pixel::PixelBytes;

/// Encoding 0.
pub(super) fn raw(picture: Picture<'_>, params: &Params) -> Encoded {
    let mut head = Vec::with_capacity(picture.values.len() * params.format.bytes());
    PixelBytes::pixel(&params.format).push_row(picture.values, &mut head);
    Encoded { rect: picture.rect, encoding: number::RAW, head, chunk: None, lossy: false }
}

/// Encoding 6.
pub(super) fn zlib(picture: Picture<'_>, params: &Params, tools: &mut Tools) -> Encoded {
    tools.bytes.clear();
    PixelBytes::pixel(&params.format).push_row(picture.values, &mut tools.bytes);
    let data = tools.deflater.chunk(&tools.bytes, params.compression);
    Encoded {
        rect: picture.rect,
        encoding: number::ZLIB,
        head: Vec::new(),
        chunk: Some(Chunk { stream: StreamId::Zlib, data }),
        lossy: false,
    }
}
