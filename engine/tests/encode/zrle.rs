//! ZRLE's tiles share their colours with the tiles before them in a rectangle, and with nothing else.

use crate::support::{Client, colour, hash, mirror};
use farpane_engine::encode::{Codec, Encoded, Params, encode_rect};
use farpane_engine::geometry::{Rect, Size};
use farpane_engine::pixel::{ClientFormat, Layout};

const SIZE: Size = Size { w: 512, h: 256 };
const LEFT: Rect = Rect { x: 0, y: 0, w: 256, h: 256 };
const RIGHT: Rect = Rect { x: 256, y: 0, w: 256, h: 256 };

fn params(codec: Codec, compression: u8) -> Params {
    Params { codec, format: ClientFormat::BGRX, compression, jpeg: None }
}

fn bytes(v: u32) -> [u8; 3] {
    [v as u8, (v >> 8) as u8, (v >> 16) as u8]
}

/// Tiles of `colours` colours each, of which each tile has `step` that the one before lacks; every fifth is solid, every seventh has more
/// than fit.
fn walk(x: u32, y: u32, colours: u32, step: u32) -> [u8; 3] {
    let tile = y / 64 * 4 + x / 64;
    match tile {
        t if t % 5 == 3 => bytes(hash(t * step, 9, 9)),
        t if t % 7 == 4 => bytes(hash(x, y, 9)),
        t => bytes(hash(t * step + hash(x / 2, y / 3, 5) % colours, 9, 9)),
    }
}

fn encode(data: &farpane_engine::damage::MirrorData, rect: &Rect, params: &Params) -> Vec<Encoded> {
    let mut out = Vec::new();
    encode_rect(data, rect, None, params, &mut out);
    out
}

#[test]
fn colours_that_come_and_go_from_tile_to_tile_stay_exact() {
    for (colours, step) in [(90, 20), (120, 3), (127, 1), (126, 0), (2, 1), (16, 16), (17, 120), (60, 67)] {
        let mirror = mirror(SIZE, Layout::BGRX, |x, y| walk(x, y, colours, step));
        let data = mirror.read();
        for (codec, compression) in [(Codec::Zrle, 1), (Codec::Zrle, 2), (Codec::Zrle, 6), (Codec::ZstdRle, 2)] {
            let mut client = Client::new(ClientFormat::BGRX, SIZE);
            for rect in [LEFT, RIGHT, Rect::new(3, 5, 200, 129), Rect::new(100, 0, 65, 70)] {
                client.take(&encode(&data, &rect, &params(codec, compression))).expect("legal tiles");
                assert_eq!(client.differs(&data, &rect, 0), None, "{codec:?} {compression}: {colours} by {step}");
            }
        }
    }
}

#[test]
fn a_client_that_joins_later_is_exact_with_the_same_rectangles() {
    let pictures = [1, 2, 3].map(|seed| {
        mirror(SIZE, Layout::BGRX, |x, y| match x / 256 {
            0 => walk(x, y, 90, seed),
            _ => colour(crate::support::Content::Photo, x, y, seed),
        })
    });
    for compression in [2, 6] {
        let mut early = Client::new(ClientFormat::BGRX, SIZE);
        let mut late = Client::new(ClientFormat::BGRX, SIZE);
        for (n, picture) in pictures.iter().enumerate() {
            let data = picture.read();
            let shared: Vec<Encoded> =
                [LEFT, RIGHT].iter().flat_map(|rect| encode(&data, rect, &params(Codec::Zrle, compression))).collect();
            early.take(&shared).expect("legal tiles");
            // comes with the second picture, and gets its halves the other way round
            if n > 0 {
                shared.iter().rev().for_each(|e| late.take(std::slice::from_ref(e)).expect("legal tiles"));
                assert_eq!(late.differs(&data, &SIZE.rect(), 0), None, "picture {n}");
            }
            assert_eq!(early.differs(&data, &SIZE.rect(), 0), None, "picture {n}");
        }
    }
}

#[test]
fn letters_are_found_again_in_other_tiles() {
    // twelve letters in six inks of sixteen shades, anywhere
    let mirror = mirror(SIZE, Layout::BGRX, |x, y| {
        let (letter, ink) = (hash(x / 9, y / 18, 1) % 12, hash(x / 45, y / 18, 2) % 6);
        let shade = hash(x % 9, y % 18, letter) % 48;
        if shade < 16 { bytes(hash(ink * 16 + shade, 3, 3)) } else { [255; 3] }
    });
    let data = mirror.read();
    let wire =
        |rect: &Rect| -> usize { encode(&data, rect, &params(Codec::Zrle, 2)).iter().map(Encoded::wire_len).sum() };
    let alone: usize = (0..16u16).map(|i| wire(&Rect::new(i % 4 * 64, i / 4 * 64, 64, 64))).sum();
    let together = wire(&LEFT);
    assert!(together * 10 < alone * 7, "{together} bytes together, {alone} one by one");
}

#[test]
fn plain_pixels_take_less_than_in_tight() {
    let mirror = mirror(SIZE, Layout::BGRX, |x, y| {
        // many colours, each of which is near
        bytes(hash((x + hash(x, y, 1) % 24) / 3, (y + hash(y, x, 2) % 24) / 6, 4))
    });
    let data = mirror.read();
    let wire = |codec| -> usize { encode(&data, &LEFT, &params(codec, 2)).iter().map(Encoded::wire_len).sum() };
    let (zrle, tight, raw) = (wire(Codec::Zrle), wire(Codec::Tight), wire(Codec::Raw));
    assert!(zrle < tight && zrle * 2 < raw, "ZRLE {zrle}, Tight {tight}, Raw {raw}");
}
