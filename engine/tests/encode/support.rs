//! Pictures and formats for the tests of the encoders.

use farpane_engine::damage::{Mirror, MirrorGuard};
use farpane_engine::encode::{Encoded, Streams};
use farpane_engine::geometry::{Point, Rect, Size};
use farpane_engine::pixel::{ClientFormat, Layout};
use farpane_engine::refdec::{DecodeError, Decoder, RectHeader};
use std::time::Instant;

/// What a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Solid,
    Two,
    Few,
    Many,
    Noise,
    Gradient,
    Text,
    Photo,
}

pub const CONTENTS: [Content; 8] = [
    Content::Solid,
    Content::Two,
    Content::Few,
    Content::Many,
    Content::Noise,
    Content::Gradient,
    Content::Text,
    Content::Photo,
];

/// A hash that stands for a random number of a place.
pub fn hash(x: u32, y: u32, seed: u32) -> u32 {
    let mut v = x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77) ^ seed.wrapping_mul(0xc2b2_ae3d);
    v = (v ^ v >> 15).wrapping_mul(0x2c1b_3c6d);
    v = (v ^ v >> 12).wrapping_mul(0x297a_2d39);
    v ^ v >> 15
}

/// The colour of a place.
pub fn colour(content: Content, x: u32, y: u32, seed: u32) -> [u8; 3] {
    let bytes = |v: u32| [v as u8, (v >> 8) as u8, (v >> 16) as u8];
    match content {
        Content::Solid => bytes(hash(0, 0, seed)),
        Content::Two => bytes(hash(u32::from(hash(x / 3, y / 2, seed).is_multiple_of(4)), 1, seed)),
        Content::Few => bytes(hash(hash(x / 2, y / 5, seed) % 14, 2, seed)),
        Content::Many => bytes(hash(hash(x, y / 2, seed) % 200, 3, seed)),
        Content::Noise => bytes(hash(x, y, seed)),
        Content::Gradient => [(x + seed) as u8, (y / 2) as u8, ((x + y) / 4) as u8],
        Content::Text => {
            let line = y / 18;
            let ink = y % 18 < 12 && !hash(x / 9, line, seed).is_multiple_of(8) && hash(x / 2, y / 2, seed) % 5 < 2;
            let shade = if ink { hash(x, y, seed ^ 1) as u8 & 0xf0 } else { 0xf8 };
            [shade, shade.max((hash(0, line, seed) >> 3) as u8), shade.max(hash(0, line, seed) as u8)]
        }
        Content::Photo => {
            let wave = |fx: u32, fy: u32| (((x * fx + y * fy + seed) as f32 / 97.0).sin() * 50.0) as i32;
            let grain = (hash(x, y, seed) % 9) as i32;
            [wave(3, 1), wave(1, 4), wave(2, 2)].map(|v| (128 + v + grain).clamp(0, 255) as u8)
        }
    }
}

/// A mirror that shows this content.
pub fn mirror(size: Size, layout: Layout, colour: impl Fn(u32, u32) -> [u8; 3]) -> Mirror {
    let mirror = Mirror::new(size, layout, Instant::now());
    let w = usize::from(size.w);
    for (i, pixel) in mirror.write().pixels.iter_mut().enumerate() {
        *pixel = layout.pixel(colour((i % w) as u32, (i / w) as u32));
    }
    mirror
}

/// Formats that clients ask for, each byte order.
pub fn formats() -> Vec<ClientFormat> {
    let of = |bpp, depth, maxes: [u16; 3], shifts: [u8; 3]| ClientFormat {
        bpp,
        depth,
        r_max: maxes[0],
        g_max: maxes[1],
        b_max: maxes[2],
        r_shift: shifts[0],
        g_shift: shifts[1],
        b_shift: shifts[2],
        ..ClientFormat::BGRX
    };
    let full = [255; 3];
    let little = [
        ClientFormat::BGRX,
        ClientFormat::RGBX,
        ClientFormat { depth: 32, ..ClientFormat::BGRX },
        of(32, 24, full, [24, 16, 8]),
        of(32, 24, full, [8, 16, 24]),
        of(32, 32, full, [24, 8, 0]),
        of(32, 30, [1023; 3], [20, 10, 0]),
        of(16, 16, [31, 63, 31], [11, 5, 0]),
        of(16, 15, [31; 3], [10, 5, 0]),
        of(16, 12, [15; 3], [0, 4, 8]),
        of(8, 8, [7, 7, 3], [0, 3, 6]),
        of(8, 6, [3; 3], [4, 2, 0]),
        of(8, 3, [1; 3], [2, 1, 0]),
        ClientFormat::COLOUR_MAP,
    ];
    let big = |f: ClientFormat| ClientFormat { big_endian: true, ..f };
    little.into_iter().chain(little.into_iter().filter(|f| f.bpp > 8).map(big)).collect()
}

/// A client whose streams last from rectangle to rectangle.
pub struct Client {
    pub decoder: Decoder,
    streams: Streams,
}

impl Client {
    pub fn new(format: ClientFormat, size: Size) -> Self {
        Self { decoder: Decoder::new(format, size).expect("a good format"), streams: Streams::new() }
    }

    /// Decodes rectangles as if they came over the wire.
    pub fn take(&mut self, rects: &[Encoded]) -> Result<(), DecodeError> {
        for encoded in rects {
            let mut wire = Vec::new();
            self.streams.write_rect(encoded, Point::new(0, 0), &mut wire);
            let Rect { x, y, w, h } = encoded.rect;
            self.decoder.decode(&RectHeader { x, y, w, h, encoding: encoded.encoding }, &wire[12..])?;
        }
        Ok(())
    }

    /// The first pixel of `rect` that differs from the mirror's by more than `tolerance` in a channel.
    pub fn differs(&self, mirror: &MirrorGuard<'_>, rect: &Rect, tolerance: u8) -> Option<(u16, u16)> {
        let format = self.decoder.format();
        for y in rect.y..rect.bottom() {
            for (x, word) in (rect.x..).zip(mirror.row(rect, y)) {
                let want = format.value(mirror.layout.rgb(*word));
                let got = self.decoder.value_at(x, y);
                let far = || format.rgb(want).iter().zip(format.rgb(got)).any(|(a, b)| a.abs_diff(b) > tolerance);
                if got != want && (tolerance == 0 || far()) {
                    return Some((x, y));
                }
            }
        }
        None
    }
}

/// That rectangles cover `whole` exactly once.
pub fn assert_tiles(rects: &[Encoded], whole: &Rect) {
    let area: u64 = rects.iter().map(|e| e.rect.area()).sum();
    assert_eq!(area, whole.area(), "the rectangles have the area of the whole");
    for (i, a) in rects.iter().enumerate() {
        assert_eq!(a.rect.intersect(whole), a.rect, "a rectangle lies inside");
        assert!(!a.rect.is_empty());
        assert!(rects[..i].iter().all(|b| !a.rect.overlaps(&b.rect)), "no two overlap");
    }
}
