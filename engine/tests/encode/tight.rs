//! What Tight sends for which content, and how much.

use crate::support::{Client, Content, assert_tiles, colour, hash, mirror};
use farpane_engine::encode::{Codec, Encoded, JpegStep, LADDER, Params, Subsampling, encode_rect};
use farpane_engine::geometry::{Rect, Size};
use farpane_engine::pixel::{ClientFormat, Fourcc, Layout};

const SIZE: Size = Size { w: 256, h: 256 };

fn tight(jpeg: Option<JpegStep>) -> Params {
    Params { codec: Codec::Tight, format: ClientFormat::BGRX, compression: 2, jpeg }
}

fn encode(
    rect: &Rect,
    params: &Params,
    layout: Layout,
    colour: impl Fn(u32, u32) -> [u8; 3],
) -> (Vec<Encoded>, Client) {
    let mirror = mirror(SIZE, layout, colour);
    let data = mirror.read();
    let mut out = Vec::new();
    encode_rect(&data, rect, None, params, &mut out);
    assert_tiles(&out, rect);
    let mut client = Client::new(params.format, SIZE);
    client.take(&out).expect("legal rectangles");
    for e in out.iter().filter(|e| !e.lossy) {
        assert_eq!(client.differs(&data, &e.rect, 0), None, "what is not marked lossy is exact");
    }
    (out, client)
}

fn bytes(rects: &[Encoded]) -> usize {
    rects.iter().map(Encoded::wire_len).sum()
}

#[test]
fn photographs_become_jpeg_within_tolerance() {
    for (step, tolerance) in LADDER.into_iter().zip([40, 50, 60, 80, 100, 120]) {
        for fourcc in [Fourcc::XRGB8888, Fourcc::XBGR8888, Fourcc::XRGB2101010] {
            let layout = fourcc.layout().expect("a 32-bit format");
            let (out, client) =
                encode(&SIZE.rect(), &tight(Some(step)), layout, |x, y| colour(Content::Photo, x, y, 5));
            assert_eq!(out.len(), 1, "one JPEG");
            assert!(out[0].lossy && out[0].head[0] == 0x90);
            let mirror = mirror(SIZE, layout, |x, y| colour(Content::Photo, x, y, 5));
            assert_eq!(client.differs(&mirror.read(), &SIZE.rect(), tolerance), None, "{step:?}");
        }
    }
}

#[test]
fn strips_are_encoded_as_squares_are() {
    let format = ClientFormat::BGRX;
    for size in [Size::new(1024, 64), Size::new(64, 1024), Size::new(2048, 32)] {
        let layout = Fourcc::XRGB8888.layout().expect("a 32-bit format");
        for content in [Content::Photo, Content::Text] {
            let mirror = mirror(size, layout, |x, y| colour(content, x, y, 5));
            let data = mirror.read();
            for (codec, jpeg) in Codec::ALL.into_iter().map(|c| (c, None)).chain([(Codec::Tight, Some(LADDER[1]))]) {
                let (mut out, mut client) = (Vec::new(), Client::new(format, size));
                encode_rect(&data, &size.rect(), None, &Params { codec, format, compression: 2, jpeg }, &mut out);
                assert_tiles(&out, &size.rect());
                client.take(&out).expect("legal rectangles");
                let lossy = jpeg.is_some() && content == Content::Photo;
                assert_eq!(out.iter().any(|e| e.lossy), lossy, "{codec:?} {content:?}");
                let tolerance = if lossy { 50 } else { 0 };
                assert_eq!(client.differs(&data, &size.rect(), tolerance), None, "{codec:?} {content:?} {size}");
            }
        }
    }
}

#[test]
fn grey_is_grey() {
    let step = JpegStep { quality: 90, subsampling: Subsampling::Grey };
    let (out, client) = encode(&SIZE.rect(), &tight(Some(step)), Layout::BGRX, |x, y| colour(Content::Photo, x, y, 5));
    assert!(out[0].lossy);
    let [r, g, b] = client.decoder.rgb_at(100, 100);
    assert!(r.abs_diff(g) < 3 && g.abs_diff(b) < 3);
}

#[test]
fn no_jpeg_where_the_client_cannot_have_it() {
    let photo = |x, y| colour(Content::Photo, x, y, 5);
    let eight = ClientFormat { true_colour: true, ..ClientFormat::COLOUR_MAP };
    for format in [ClientFormat::COLOUR_MAP, eight] {
        let (out, _) = encode(&SIZE.rect(), &Params { format, ..tight(Some(LADDER[1])) }, Layout::BGRX, photo);
        assert!(out.iter().all(|e| !e.lossy));
    }
    let (out, _) = encode(&SIZE.rect(), &tight(None), Layout::BGRX, photo);
    assert!(out.iter().all(|e| !e.lossy));
}

#[test]
fn text_and_flat_areas_stay_exact() {
    for content in [Content::Solid, Content::Two, Content::Few, Content::Many, Content::Text] {
        for seed in 0..4 {
            let (out, _) =
                encode(&SIZE.rect(), &tight(Some(LADDER[1])), Layout::BGRX, |x, y| colour(content, x, y, seed));
            assert!(out.iter().all(|e| !e.lossy), "{content:?}");
        }
    }
}

#[test]
fn text_beside_a_photograph_stays_exact() {
    for edge in [64, 100, 128, 150, 208] {
        let (out, _) = encode(&SIZE.rect(), &tight(Some(LADDER[1])), Layout::BGRX, |x, y| {
            colour(if x < edge { Content::Photo } else { Content::Text }, x, y, 7)
        });
        let lossy: u64 = out.iter().filter(|e| e.lossy).map(|e| e.rect.area()).sum();
        assert!(out.iter().filter(|e| e.lossy).all(|e| u32::from(e.rect.right()) <= edge + 15), "edge {edge}");
        assert!(
            lossy >= u64::from(edge - 16) * 256 * 3 / 4,
            "most of the photograph is JPEG: {lossy} of {}",
            edge * 256
        );
        assert!(out.len() <= 12, "{} rectangles", out.len());
    }
}

#[test]
fn a_typed_letter_is_small() {
    // dark strokes on white with grey edges
    let (out, _) = encode(&Rect::new(40, 60, 10, 20), &tight(Some(LADDER[1])), Layout::BGRX, |x, y| {
        let stroke = (43..45).contains(&x) || (46..48).contains(&x) && y % 7 < 2;
        let edge = x == 45 || x == 42;
        match (stroke && (64..76).contains(&y), edge && (64..76).contains(&y)) {
            (true, _) => [20, 20, 30],
            (_, true) => [(hash(x, y, 0) as u8) | 0x80; 3],
            _ => [255; 3],
        }
    });
    assert_eq!(out.len(), 1);
    assert!(bytes(&out) < 200, "{} bytes", bytes(&out));
}

#[test]
fn tiny_rectangles_need_no_stream() {
    let (out, _) = encode(&Rect::new(0, 0, 3, 1), &tight(None), Layout::BGRX, |x, _| [x as u8, 2, 3]);
    assert!(out[0].chunk.is_none());
    let (out, _) = encode(&Rect::new(0, 0, 9, 1), &tight(None), Layout::BGRX, |x, _| [x as u8 & 1, 2, 3]);
    assert_eq!(out[0].head, [0x50, 1, 1, 0, 2, 3, 1, 2, 3, 0b0101_0101, 0]);
    let (out, _) = encode(&Rect::new(0, 0, 9, 9), &tight(None), Layout::RGBX, |_, _| [1, 2, 3]);
    assert_eq!(out[0].head, [0x80, 1, 2, 3]);
}

#[test]
fn lossless_text_takes_fewer_bytes_than_jpeg_would() {
    let (out, _) = encode(&SIZE.rect(), &tight(Some(LADDER[1])), Layout::BGRX, |x, y| colour(Content::Text, x, y, 3));
    assert!(out.iter().all(|e| !e.lossy));
    assert!(out.len() <= 4, "{} rectangles", out.len());
}
