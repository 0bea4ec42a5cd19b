//! What is bound to one client: which of its compressed streams have begun.

use super::{Chunk, Encoded, StreamId};
use crate::geometry::Point;

/// First bytes of a zlib stream: deflate, 32 KiB window, no dictionary (RFC 1950).
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];

/// A client's streams. Writes rectangles so that each stream stays one legal zlib stream for the whole connection.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    begun: u8,
}

impl Streams {
    /// No stream has begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one rectangle: header, head, and the chunk with its length. `at` is where the output's origin lies on the
    /// client's canvas.
    pub fn write_rect(&mut self, encoded: &Encoded, at: Point, out: &mut Vec<u8>) {
        let r = encoded.rect;
        for v in [r.x.wrapping_add(at.x), r.y.wrapping_add(at.y), r.w, r.h] {
            out.extend_from_slice(&v.to_be_bytes());
        }
        out.extend_from_slice(&encoded.encoding.to_be_bytes());
        out.extend_from_slice(&encoded.head);
        if let Some(chunk) = &encoded.chunk {
            self.write_chunk(chunk, out);
        }
    }

    fn write_chunk(&mut self, chunk: &Chunk, out: &mut Vec<u8>) {
        let bit = 1u8
            << match chunk.stream {
                StreamId::Zlib => 0,
                StreamId::Zrle => 1,
                StreamId::Tight(n) => 2 + (n & 3),
            };
        let first = self.begun & bit == 0;
        self.begun |= bit;
        let len = chunk.data.len() + if first { ZLIB_HEADER.len() } else { 0 };
        match chunk.stream {
            StreamId::Tight(_) => push_compact(len, out),
            StreamId::Zlib | StreamId::Zrle => out.extend_from_slice(&(len as u32).to_be_bytes()),
        }
        if first {
            out.extend_from_slice(&ZLIB_HEADER);
        }
        out.extend_from_slice(&chunk.data);
    }
}

/// Tight's compact length: 7, 7 and 8 bits, low first. Lengths up to 4,194,303.
pub(super) fn push_compact(len: usize, out: &mut Vec<u8>) {
    debug_assert!(len < 1 << 22, "compact length {len} (expected below 4194304)");
    if len < 0x80 {
        out.push(len as u8);
    } else if len < 0x4000 {
        out.extend_from_slice(&[(len & 0x7f) as u8 | 0x80, (len >> 7) as u8]);
    } else {
        out.extend_from_slice(&[(len & 0x7f) as u8 | 0x80, ((len >> 7) & 0x7f) as u8 | 0x80, (len >> 14) as u8]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_lengths_at_their_borders() {
        let form = |len| {
            let mut out = Vec::new();
            push_compact(len, &mut out);
            out
        };
        assert_eq!(form(0x7f), [0x7f]);
        assert_eq!(form(0x80), [0x80, 1]);
        assert_eq!(form(0x3fff), [0xff, 0x7f]);
        assert_eq!(form(0x4000), [0x80, 0x80, 1]);
    }

    #[test]
    fn only_the_first_chunk_of_a_stream_has_a_header() {
        let e = Encoded {
            rect: crate::geometry::Rect::new(1, 2, 3, 4),
            encoding: 16,
            head: Vec::new(),
            chunk: Some(Chunk { stream: StreamId::Zrle, data: vec![9] }),
            lossy: false,
        };
        let mut s = Streams::new();
        let mut out = Vec::new();
        s.write_rect(&e, Point::new(10, 20), &mut out);
        assert_eq!(out, [0, 11, 0, 22, 0, 3, 0, 4, 0, 0, 0, 16, 0, 0, 0, 3, 0x78, 1, 9]);
        out.clear();
        s.write_rect(&e, Point::new(0, 0), &mut out);
        assert_eq!(out[12..], [0, 0, 0, 1, 9]);
    }
}
