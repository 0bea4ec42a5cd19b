//! What is bound to one client: which of its compressed streams have begun.

use super::{Chunk, Encoded, StreamId, number};
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
            let header = self.header(chunk);
            let len = header.len() + chunk.data.len();
            match encoded.encoding {
                number::TIGHT | number::TIGHT_ZSTD => push_compact(len, out),
                _ => out.extend_from_slice(&(len as u32).to_be_bytes()),
            }
            out.extend_from_slice(header);
            out.extend_from_slice(&chunk.data);
        }
    }

    /// What goes in front of a chunk: the zlib header where its stream begins.
    fn header(&mut self, chunk: &Chunk) -> &'static [u8] {
        let bit = match chunk.stream {
            None => return &[],
            Some(StreamId::Zlib) => 1,
            Some(StreamId::Zrle) => 2,
            Some(StreamId::Tight(n)) => 4 << (n & 3),
        };
        let first = self.begun & bit == 0;
        self.begun |= bit;
        if first { &ZLIB_HEADER } else { &[] }
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
            chunk: Some(Chunk { stream: Some(StreamId::Zrle), data: vec![9] }),
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

    #[test]
    fn a_zstd_frame_has_a_length_and_no_header() {
        for (encoding, length) in [(25, &[0, 0, 0, 1][..]), (28, &[0, 0, 0, 1]), (26, &[1])] {
            let e = Encoded {
                rect: crate::geometry::Rect::new(0, 0, 1, 1),
                encoding,
                head: Vec::new(),
                chunk: Some(Chunk { stream: None, data: vec![9] }),
                lossy: false,
            };
            let mut out = Vec::new();
            Streams::new().write_rect(&e, Point::new(0, 0), &mut out);
            assert_eq!(out[12..], [length, &[9]].concat());
        }
    }
}
