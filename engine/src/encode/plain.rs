//! Encodings 0, 6 and 25: the pixels as they are, and the same through zlib or zstd.

use super::deflate::{Section, Shape};
use super::scratch::{Picture, Tools};
use super::{Encoded, Params, StreamId, number};
use crate::pixel::PixelBytes;

/// Encoding 0.
pub(super) fn raw(picture: Picture<'_>, params: &Params) -> Encoded {
    let mut head = Vec::with_capacity(picture.values.len() * params.format.bytes());
    PixelBytes::pixel(&params.format).push_row(picture.values, &mut head);
    Encoded { rect: picture.rect, encoding: number::RAW, head, chunk: None, lossy: false }
}

/// Encodings 6 and 25.
pub(super) fn compressed(picture: Picture<'_>, params: &Params, tools: &mut Tools) -> Encoded {
    tools.bytes.clear();
    let form = PixelBytes::pixel(&params.format);
    form.push_row(picture.values, &mut tools.bytes);
    let shape = Shape::pixels(form.len(), picture.rect.w);
    Encoded {
        rect: picture.rect,
        encoding: params.codec.number(),
        head: Vec::new(),
        chunk: Some(tools.compressors.chunk(
            &tools.bytes,
            &[Section::all(&tools.bytes, shape)],
            params,
            StreamId::Zlib,
        )),
        lossy: false,
    }
}
