//! What an encoder costs on a picture, on one core.

use std::time::Duration;

use farpane_engine::damage::MirrorData;
use farpane_engine::encode::{BLOCK, Codec, DEFAULT_COMPRESSION, Encoded, LADDER, Params, Streams, encode_rect};
use farpane_engine::geometry::{Point, Rect};
use farpane_engine::pixel::{ClientFormat, Layout};
use farpane_engine::refdec::{Decoder, RectHeader};

use super::{Clocks, median};

/// Pixels of a picture that are encoded at most, in blocks spread over it.
const MOST_PX: u64 = 1 << 20;
/// How far the pixels of lossy rectangles may be off on average, of 255.
const LOSSY_MEAN: u64 = 16;
/// Bytes of a rectangle's header.
const HEADER: usize = 12;

/// An encoder as users ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// Uncompressed pixels.
    Raw,
    /// 16x16 tiles.
    Hextile,
    /// Raw pixels through zlib.
    Zlib,
    /// 64x64 tiles through zlib.
    Zrle,
    /// Filters and palettes, exact.
    Tight,
    /// Tight with JPEG where it pays, as a viewer gets it that asks for quality 8.
    TightQ8,
    /// Raw pixels through zstd.
    Zstd,
    /// 64x64 tiles through zstd.
    ZstdRle,
    /// Tight with zstd in place of zlib, exact.
    TightZstd,
}

impl Encoder {
    /// Every encoder of this build, in the order of the table.
    pub const ALL: &'static [Self] = &[
        Self::Raw,
        Self::Hextile,
        Self::Zlib,
        Self::Zrle,
        Self::Tight,
        #[cfg(feature = "jpeg")]
        Self::TightQ8,
        Self::Zstd,
        Self::ZstdRle,
        Self::TightZstd,
    ];

    /// Its name on the command line and in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Hextile => "hextile",
            Self::Zlib => "zlib",
            Self::Zrle => "zrle",
            Self::Tight => "tight",
            Self::TightQ8 => "tight-q8",
            Self::Zstd => "zstd",
            Self::ZstdRle => "zstd-rle",
            Self::TightZstd => "tight-zstd",
        }
    }

    fn params(self) -> Params {
        let codec = match self {
            Self::Raw => Codec::Raw,
            Self::Hextile => Codec::Hextile,
            Self::Zlib => Codec::Zlib,
            Self::Zrle => Codec::Zrle,
            Self::Tight | Self::TightQ8 => Codec::Tight,
            Self::Zstd => Codec::Zstd,
            Self::ZstdRle => Codec::ZstdRle,
            Self::TightZstd => Codec::TightZstd,
        };
        let [_, quality_8, ..] = LADDER;
        let jpeg = (self == Self::TightQ8).then_some(quality_8);
        Params { codec, format: ClientFormat::BGRX, compression: DEFAULT_COMPRESSION, jpeg }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figures {
    pub(super) px: u64,
    pub(super) runs: usize,
    /// Median.
    pub(super) cpu: Duration,
    pub(super) bytes: usize,
    pub(super) lossy_px: u64,
}

/// How a rectangle becomes RFB rectangles; a test puts a wrong one in its place.
pub(super) type Encode<'a> = dyn Fn(&MirrorData, &Rect, &Params, &mut Vec<Encoded>) + 'a;

/// The engine's way.
pub(super) fn encode(data: &MirrorData, rect: &Rect, params: &Params, out: &mut Vec<Encoded>) {
    encode_rect(data, rect, None, params, out);
}

/// Verifies, then times for about `share`, once at least.
pub(super) fn measure(
    data: &MirrorData,
    encoder: Encoder,
    share: Duration,
    clocks: Clocks<'_>,
    encode: &Encode<'_>,
) -> Result<Figures, String> {
    let blocks = blocks(data);
    let params = encoder.params();
    let mut out = Vec::new();
    let once = |out: &mut Vec<Encoded>| {
        out.clear();
        for block in &blocks {
            encode(data, block, &params, out);
        }
    };
    let begun = (clocks.wall)();
    once(&mut out);
    let bytes = verify(data, &blocks, &out)?;
    let lossy_px = out.iter().filter(|e| e.lossy).map(|e| e.rect.area()).sum();
    let mut times = Vec::new();
    loop {
        let before = (clocks.cpu)();
        once(&mut out);
        times.push((clocks.cpu)().saturating_sub(before));
        if (clocks.wall)().saturating_sub(begun) >= share {
            break;
        }
    }
    let px = blocks.iter().map(Rect::area).sum();
    Ok(Figures { px, runs: times.len(), cpu: median(&mut times).unwrap_or_default(), bytes, lossy_px })
}

/// Blocks as sessions cut them: all of a small picture, else every so many of them.
fn blocks(data: &MirrorData) -> Vec<Rect> {
    let size = data.size();
    let side = usize::from(BLOCK);
    let rows = (0..size.h).step_by(side);
    let all = rows.flat_map(|y| (0..size.w).step_by(side).map(move |x| Rect::new(x, y, BLOCK, BLOCK)));
    let every = usize::try_from(size.area().div_ceil(MOST_PX)).unwrap_or(1).max(1);
    all.map(|block| block.intersect(&size.rect())).step_by(every).collect()
}

/// Decodes everything: the rectangles cover the blocks, exact ones are exact, lossy ones near. Returns bytes on the wire.
fn verify(data: &MirrorData, blocks: &[Rect], rects: &[Encoded]) -> Result<usize, String> {
    let size = data.size();
    let mut decoder = Decoder::new(ClientFormat::BGRX, size).map_err(|e| e.to_string())?;
    let mut streams = Streams::new();
    let (mut bytes, mut wire) = (0, Vec::new());
    for encoded in rects {
        wire.clear();
        streams.write_rect(encoded, Point::new(0, 0), &mut wire);
        bytes += wire.len();
        let Rect { x, y, w, h } = encoded.rect;
        let head = RectHeader { x, y, w, h, encoding: encoded.encoding };
        let body = wire.get(HEADER..).unwrap_or_default();
        decoder.decode(&head, body).map_err(|e| format!("does not decode: {e}"))?;
    }
    let covered: u64 = rects.iter().map(|e| e.rect.area()).sum();
    let wanted: u64 = blocks.iter().map(Rect::area).sum();
    if covered != wanted {
        return Err(format!("{covered} pixels were encoded (expected {wanted})"));
    }
    let (mut off, mut lossy) = (0u64, 0u64);
    for encoded in rects {
        for y in encoded.rect.y..encoded.rect.bottom() {
            let start = usize::from(y) * usize::from(size.w) + usize::from(encoded.rect.x);
            let got = decoder.pixels().get(start..).unwrap_or_default();
            for (x, (pixel, value)) in (encoded.rect.x..).zip(data.row(&encoded.rect, y).iter().zip(got)) {
                let want = data.layout.rgb(*pixel);
                let has = Layout::BGRX.rgb(*value);
                if encoded.lossy {
                    off += want.iter().zip(has).map(|(a, b)| u64::from(a.abs_diff(b))).sum::<u64>();
                    lossy += 3;
                } else if want != has {
                    return Err(format!("pixel {x},{y} decodes to {has:?} (expected {want:?})"));
                }
            }
        }
    }
    if off > lossy * LOSSY_MEAN {
        return Err(format!(
            "lossy pixels are off by {} on average (expected at most {LOSSY_MEAN})",
            off / lossy.max(1)
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::built_in;
    use super::*;
    use farpane_engine::geometry::Size;
    use std::cell::Cell;

    const SIZE: Size = Size::new(300, 270);

    /// Measures with clocks on which every look takes a millisecond.
    fn measured(data: &MirrorData, encoder: Encoder, encode: &Encode<'_>) -> Result<Figures, String> {
        let now = Cell::new(0);
        let tick = || {
            now.set(now.get() + 1);
            Duration::from_millis(now.get())
        };
        measure(data, encoder, Duration::from_millis(9), Clocks { cpu: &tick, wall: &tick }, encode)
    }

    #[test]
    fn every_encoder_is_verified_on_every_built_in_picture_and_timed_for_its_share() {
        for picture in built_in(SIZE) {
            let data = picture.mirror.read();
            for encoder in Encoder::ALL {
                let got =
                    measured(&data, *encoder, &encode).unwrap_or_else(|e| panic!("{encoder:?}, {}: {e}", picture.name));
                assert_eq!((got.px, got.cpu), (SIZE.area(), Duration::from_millis(1)));
                assert_eq!(got.runs, 3, "three looks a run until nine have passed");
                assert!(got.bytes > 0 && (got.lossy_px == 0 || *encoder == Encoder::TightQ8), "{encoder:?}: {got:?}");
            }
        }
    }

    #[test]
    fn a_wrong_pixel_a_missing_rectangle_and_broken_bytes_get_no_figures() {
        let pictures = built_in(SIZE);
        let data = pictures.first().expect("a picture").mirror.read();
        let wrong = |data: &MirrorData, rect: &Rect, params: &Params, out: &mut Vec<Encoded>| {
            encode(data, rect, params, out);
            if let [first] = out.as_mut_slice() {
                first.head[77] ^= 1;
            }
        };
        let reason = measured(&data, Encoder::Raw, &wrong).expect_err("a wrong pixel");
        assert!(reason.contains("pixel 19,0"), "{reason}");
        let missing = |data: &MirrorData, rect: &Rect, params: &Params, out: &mut Vec<Encoded>| {
            if rect.x != 0 {
                encode(data, rect, params, out);
            }
        };
        let reason = measured(&data, Encoder::Zrle, &missing).expect_err("a missing rectangle");
        assert!(reason.contains("pixels were encoded"), "{reason}");
        let broken = |data: &MirrorData, rect: &Rect, params: &Params, out: &mut Vec<Encoded>| {
            encode(data, rect, params, out);
            if let Some(chunk) = out.last_mut().and_then(|e| e.chunk.as_mut()) {
                chunk.data.truncate(3);
            }
        };
        let reason = measured(&data, Encoder::Zlib, &broken).expect_err("broken bytes");
        assert!(reason.contains("does not decode"), "{reason}");
    }

    #[test]
    #[cfg(feature = "jpeg")]
    fn lossy_pixels_of_another_picture_get_no_figures() {
        let pictures = built_in(SIZE);
        let photo = pictures.iter().find(|p| p.name == "photo").expect("a photograph").mirror.read();
        // the same photograph, upside down
        let elsewhere = pictures.iter().find(|p| p.name == "text").expect("a text");
        elsewhere.mirror.write().pixels.copy_from_slice(&photo.pixels.iter().rev().copied().collect::<Vec<_>>());
        let wrong = |_: &MirrorData, rect: &Rect, params: &Params, out: &mut Vec<Encoded>| {
            encode(&elsewhere.mirror.read(), rect, params, out);
        };
        let reason = measured(&photo, Encoder::TightQ8, &wrong).expect_err("another picture");
        assert!(reason.contains("off by") || reason.contains("decodes to"), "{reason}");
    }
}
