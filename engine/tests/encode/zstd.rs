//! The zstd twins of Zlib, Tight and ZRLE: like their twins but for the compressor, and legal to a decoder that is not ours.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{CONTENTS, Client, Content, colour, mirror};
use farpane_engine::encode::{Chunk, Codec, Encoded, LADDER, Params, encode_rect};
use farpane_engine::geometry::{Rect, Size};
use farpane_engine::pixel::{ClientFormat, Layout};

const SIZE: Size = Size { w: 256, h: 256 };
const TWINS: [(Codec, Codec); 3] =
    [(Codec::Zlib, Codec::Zstd), (Codec::Tight, Codec::TightZstd), (Codec::Zrle, Codec::ZstdRle)];

fn encode(codec: Codec, content: Content, compression: u8) -> Vec<Encoded> {
    let mirror = mirror(SIZE, Layout::BGRX, |x, y| colour(content, x, y, 6));
    let jpeg = (codec == Codec::Tight || codec == Codec::TightZstd).then_some(LADDER[1]);
    let params = Params { codec, format: ClientFormat::BGRX, compression, jpeg };
    let mut out = Vec::new();
    encode_rect(&mirror.read(), &SIZE.rect(), None, &params, &mut out);
    out
}

fn chunks(rects: &[Encoded]) -> impl Iterator<Item = &Chunk> {
    rects.iter().filter_map(|e| e.chunk.as_ref())
}

/// Decodes concatenated frames with Debian's `zstd`.
fn foreign(frames: Vec<u8>) -> Vec<u8> {
    let mut child = Command::new("zstd")
        .args(["-d", "-c", "-q", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program zstd (Debian package zstd)");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || stdin.write_all(&frames));
    let output = child.wait_with_output().expect("its output");
    writer.join().expect("no panic").expect("everything is read");
    assert!(output.status.success(), "zstd: {:?}", output.status);
    output.stdout
}

#[test]
fn a_twin_sends_the_same_rectangles_and_no_stream() {
    for (zlib, zstd) in TWINS {
        for content in CONTENTS {
            let (a, b) = (encode(zlib, content, 2), encode(zstd, content, 2));
            assert_eq!(a.len(), b.len(), "{zstd:?} {content:?}");
            for (a, b) in a.iter().zip(&b) {
                assert_eq!((a.rect, &a.head, a.lossy), (b.rect, &b.head, b.lossy), "{zstd:?} {content:?}");
                assert_eq!((a.encoding, b.encoding), (zlib.number(), zstd.number()));
                assert_eq!(a.chunk.is_some(), b.chunk.is_some());
            }
            assert!(chunks(&a).all(|c| c.stream.is_some()) && chunks(&b).all(|c| c.stream.is_none()));
        }
    }
}

#[test]
fn a_foreign_decoder_finds_the_pixels_in_joined_frames() {
    for compression in [0, 1, 2, 6, 9] {
        let (mut frames, mut pixels) = (Vec::new(), Vec::new());
        for content in CONTENTS {
            chunks(&encode(Codec::Zstd, content, compression)).for_each(|c| frames.extend_from_slice(&c.data));
            let mirror = mirror(SIZE, Layout::BGRX, |x, y| colour(content, x, y, 6));
            pixels.extend(mirror.read().pixels.iter().flat_map(|p| p.to_le_bytes()));
        }
        assert!(foreign(frames) == pixels, "compression {compression}");
    }
}

#[test]
fn a_foreign_decoder_finds_the_tiles_of_zrle() {
    let frames = |codec| {
        let rects: Vec<_> = CONTENTS.into_iter().flat_map(|content| encode(codec, content, 2)).collect();
        chunks(&rects).flat_map(|c| c.data.clone()).collect::<Vec<u8>>()
    };
    let tiles = foreign(frames(Codec::ZstdRle));
    // the same bytes as stored blocks of a zlib stream are ZRLE
    let mut client = Client::new(ClientFormat::BGRX, SIZE);
    let mut at = 0;
    for content in CONTENTS {
        let rects = encode(Codec::ZstdRle, content, 2);
        let frame: Vec<u8> = chunks(&rects).flat_map(|c| c.data.clone()).collect();
        let plain = foreign(frame);
        assert_eq!(plain, tiles[at..at + plain.len()], "{content:?}");
        at += plain.len();
        let mut data = Vec::new();
        for block in plain.chunks(0xffff).chain([&[][..]]) {
            let len = block.len() as u16;
            data.push(0);
            data.extend_from_slice(&len.to_le_bytes());
            data.extend_from_slice(&(!len).to_le_bytes());
            data.extend_from_slice(block);
        }
        let stream = encode(Codec::Zrle, content, 2)[0].chunk.as_ref().and_then(|c| c.stream);
        let zrle = Encoded {
            rect: SIZE.rect(),
            encoding: Codec::Zrle.number(),
            head: Vec::new(),
            chunk: Some(Chunk { stream, data }),
            lossy: false,
        };
        client.take(&[zrle]).expect("legal tiles");
        let mirror = mirror(SIZE, Layout::BGRX, |x, y| colour(content, x, y, 6));
        assert_eq!(client.differs(&mirror.read(), &SIZE.rect(), 0), None, "{content:?}");
    }
    assert_eq!(at, tiles.len());
}

#[test]
fn zstd_takes_about_the_bytes_of_zlib_on_text() {
    let bytes = |codec, rect: Rect| {
        let mirror = mirror(SIZE, Layout::BGRX, |x, y| colour(Content::Text, x, y, 6));
        let params = Params { codec, format: ClientFormat::BGRX, compression: 2, jpeg: None };
        let mut out = Vec::new();
        encode_rect(&mirror.read(), &rect, None, &params, &mut out);
        out.iter().map(Encoded::wire_len).sum::<usize>()
    };
    for (zlib, zstd) in TWINS {
        let (zlib, zstd_bytes) = (bytes(zlib, SIZE.rect()), bytes(zstd, SIZE.rect()));
        assert!(zstd_bytes * 10 <= zlib * 11, "{zstd:?}: {zstd_bytes} bytes, its twin {zlib}");
    }
}
