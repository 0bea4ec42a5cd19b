//! decode(encode(x)) = x for every lossless codec and client format, through streams that last.

use crate::support::{CONTENTS, Client, Content, assert_tiles, colour, formats, hash, mirror};
use farpane_engine::encode::{Codec, Encoded, Overlay, Params, encode_rect};
use farpane_engine::frame::CursorImage;
use farpane_engine::geometry::{Point, Rect, Size};
use farpane_engine::pixel::{ClientFormat, Fourcc, Layout};
use proptest::prelude::*;

const SIZE: Size = Size { w: 300, h: 280 };

fn params(codec: Codec, format: ClientFormat) -> Params {
    Params { codec, format, compression: 2, jpeg: None }
}

fn layouts() -> [Layout; 4] {
    [Fourcc::XRGB8888, Fourcc::XBGR8888, Fourcc::XRGB2101010, Fourcc::XBGR2101010]
        .map(|f| f.layout().expect("a 32-bit format"))
}

#[test]
fn every_codec_is_exact_in_every_format_for_every_content() {
    let rects =
        [Rect::new(0, 0, 140, 130), Rect::new(5, 7, 33, 17), Rect::new(299, 279, 1, 1), Rect::new(64, 0, 3, 130)];
    for codec in Codec::ALL {
        for (n, format) in formats().into_iter().enumerate() {
            let mut client = Client::new(format, SIZE);
            for (m, content) in CONTENTS.into_iter().enumerate() {
                let layout = layouts()[(n + m) % 4];
                let mirror = mirror(SIZE, layout, |x, y| colour(content, x, y, n as u32));
                let data = mirror.read();
                for rect in &rects {
                    let mut out = Vec::new();
                    encode_rect(&data, rect, None, &params(codec, format), &mut out);
                    assert_tiles(&out, rect);
                    assert!(out.iter().all(|e| !e.lossy));
                    client.take(&out).unwrap_or_else(|e| panic!("{codec:?} {format:?} {content:?} {rect:?}: {e}"));
                    let wrong = client.differs(&data, rect, 0);
                    assert_eq!(wrong, None, "{codec:?} {format:?} {content:?} {rect:?}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn any_mixture_at_any_place_is_exact(
        codec in 0usize..Codec::ALL.len(),
        format in 0usize..22,
        layout in 0usize..4,
        compression in 0u8..=9,
        seed in any::<u32>(),
        cell in 1u32..90,
        places in proptest::collection::vec((0u16..300, 0u16..280, 1u16..=256, 1u16..=256), 1..4),
    ) {
        let all = formats();
        let format = all[format % all.len()];
        let mirror = mirror(SIZE, layouts()[layout], |x, y| {
            colour(CONTENTS[hash(x / cell, y / cell, seed) as usize % 8], x, y, seed)
        });
        let data = mirror.read();
        let mut client = Client::new(format, SIZE);
        let params = Params { compression, ..params(Codec::ALL[codec], format) };
        for (x, y, w, h) in places {
            let rect = Rect::new(x, y, w, h).intersect(&SIZE.rect());
            let mut out = Vec::new();
            encode_rect(&data, &rect, None, &params, &mut out);
            assert_tiles(&out, &rect);
            client.take(&out).expect("a legal rectangle");
            prop_assert_eq!(client.differs(&data, &rect, 0), None);
        }
    }
}

#[test]
fn a_wrong_pixel_is_found() {
    let mirror = mirror(SIZE, Layout::BGRX, |x, y| colour(Content::Text, x, y, 1));
    let rect = Rect::new(0, 0, 100, 100);
    let mut client = Client::new(ClientFormat::BGRX, SIZE);
    let mut out = Vec::new();
    encode_rect(&mirror.read(), &rect, None, &params(Codec::Tight, ClientFormat::BGRX), &mut out);
    client.take(&out).expect("legal rectangles");
    mirror.write().pixels[300 * 57 + 31] ^= 1;
    assert_eq!(client.differs(&mirror.read(), &rect, 0), Some((31, 57)));
}

#[test]
fn the_pointer_is_part_of_the_picture_when_it_is_drawn_in() {
    let image = CursorImage {
        size: Size::new(12, 12),
        hotspot: Point::new(0, 0),
        rgba: (0..144u8).flat_map(|i| if i % 3 == 0 { [0; 4] } else { [i / 2, 0, 10, 200] }).collect(),
        serial: 1,
    };
    let overlay = Overlay { image: &image, x: 20, y: -4 };
    let plain = mirror(SIZE, Layout::BGRX, |x, y| colour(Content::Few, x, y, 4));
    let drawn = mirror(SIZE, Layout::BGRX, |x, y| {
        let [r, g, b] = colour(Content::Few, x, y, 4);
        let inside = (20..32).contains(&x) && y < 8;
        let i = if inside { (y + 4) * 12 + x - 20 } else { 0 };
        if i % 3 == 0 {
            return [r, g, b];
        }
        let under = |v: u8| ((u32::from(v) * 55 + 127) / 255) as u8;
        [under(r) + i as u8 / 2, under(g), under(b) + 10]
    });
    let rect = Rect::new(3, 0, 60, 40);
    for codec in Codec::ALL {
        let mut client = Client::new(ClientFormat::RGBX, SIZE);
        let mut out = Vec::new();
        encode_rect(&plain.read(), &rect, Some(&overlay), &params(codec, ClientFormat::RGBX), &mut out);
        client.take(&out).expect("legal rectangles");
        assert_eq!(client.differs(&drawn.read(), &rect, 0), None, "{codec:?}");
        assert!(client.differs(&plain.read(), &rect, 0).is_some());
    }
}

#[test]
fn results_do_not_depend_on_what_was_encoded_before() {
    let mirror = mirror(SIZE, Layout::BGRX, |x, y| colour(Content::Text, x, y, 9));
    let data = mirror.read();
    for codec in Codec::ALL {
        let of = |rect: &Rect| {
            let mut out: Vec<Encoded> = Vec::new();
            encode_rect(&data, rect, None, &params(codec, ClientFormat::BGRX), &mut out);
            out
        };
        let first = of(&Rect::new(10, 10, 100, 50));
        of(&Rect::new(0, 0, 256, 256));
        assert_eq!(of(&Rect::new(10, 10, 100, 50)), first, "{codec:?}");
    }
}

#[test]
fn nothing_comes_of_an_empty_rectangle() {
    let mirror = mirror(SIZE, Layout::BGRX, |_, _| [0; 3]);
    for codec in Codec::ALL {
        let mut out = Vec::new();
        for rect in [Rect::default(), Rect::new(300, 0, 5, 5), Rect::new(4, 4, 0, 9)] {
            encode_rect(&mirror.read(), &rect, None, &params(codec, ClientFormat::BGRX), &mut out);
        }
        assert!(out.is_empty());
    }
}
