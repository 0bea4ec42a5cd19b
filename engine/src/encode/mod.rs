//! Encoders: rectangles of a mirror become RFB rectangles.
//!
//! Every encoder here is a pure function of pixels, format and parameters, so its result can be made on any core
//! and shared by every client that wants the same. What is bound to one client is only whether a
//! compressed stream has begun: each [`Encoded`] carries at most one chunk of raw deflate that refers to nothing before it
//! and ends with a sync flush, so chunks from different threads simply follow each other in a client's stream; the
//! two-byte zlib header goes in front of a stream's first chunk ([`Streams`]). The zstd twins of Zlib, Tight and ZRLE have a whole
//! frame for each rectangle instead, which belongs to no stream.

mod compress;
mod content;
pub mod cursor;
pub mod deflate;
pub mod h264;
mod hextile;
#[cfg(feature = "jpeg")]
mod jpeg;
mod plain;
mod rre;
mod scratch;
mod select;
mod streams;
mod tight;
mod zrle;
mod zstd;

pub(crate) use content::{Content, content_of};
pub use select::{DEFAULT_COMPRESSION, LADDER, codec, compression, jpeg_step, lower};
pub use streams::Streams;

use crate::damage::MirrorData;
use crate::frame::CursorImage;
use crate::geometry::Rect;
use crate::pixel::{ClientFormat, PixelBytes};
use scratch::{Picture, Scratch};
use tight::Tight;

/// Encoding numbers of the RFB registry that rectangles of pixels use.
pub mod number {
    /// Uncompressed pixels.
    pub const RAW: i32 = 0;
    /// A rectangle that the client already shows elsewhere.
    pub const COPY_RECT: i32 = 1;
    /// Background and subrectangles.
    pub const RRE: i32 = 2;
    /// 16x16 tiles.
    pub const HEXTILE: i32 = 5;
    /// Raw pixels through zlib.
    pub const ZLIB: i32 = 6;
    /// Filters, palettes, JPEG, four streams.
    pub const TIGHT: i32 = 7;
    /// 64x64 tiles, palettes and runs through zlib.
    pub const ZRLE: i32 = 16;
    /// Raw pixels through zstd (UltraVNC).
    pub const ZSTD: i32 = 25;
    /// Tight through zstd (UltraVNC, bVNC).
    pub const TIGHT_ZSTD: i32 = 26;
    /// Open H.264: payloads of a video stream.
    pub const H264: i32 = 50;
    /// ZRLE through zstd (UltraVNC).
    pub const ZSTD_RLE: i32 = 28;
}

/// The encoding family of one client: the first of its list that the engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Encoding 0.
    Raw,
    /// Encoding 2.
    Rre,
    /// Encoding 5.
    Hextile,
    /// Encoding 6.
    Zlib,
    /// Encoding 7.
    Tight,
    /// Encoding 16.
    Zrle,
    /// Encoding 25: Zlib with another compressor.
    Zstd,
    /// Encoding 26: Tight with another compressor.
    TightZstd,
    /// Encoding 28: ZRLE with another compressor.
    ZstdRle,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Raw,
        Self::Rre,
        Self::Hextile,
        Self::Zlib,
        Self::Tight,
        Self::Zrle,
        Self::Zstd,
        Self::TightZstd,
        Self::ZstdRle,
    ];

    /// The encoding's number.
    pub const fn number(self) -> i32 {
        match self {
            Self::Raw => number::RAW,
            Self::Rre => number::RRE,
            Self::Hextile => number::HEXTILE,
            Self::Zlib => number::ZLIB,
            Self::Tight => number::TIGHT,
            Self::Zrle => number::ZRLE,
            Self::Zstd => number::ZSTD,
            Self::TightZstd => number::TIGHT_ZSTD,
            Self::ZstdRle => number::ZSTD_RLE,
        }
    }

    /// Whether it is Tight, with either compressor: fills, palettes, JPEG and compact lengths.
    const fn is_tight(self) -> bool {
        matches!(self, Self::Tight | Self::TightZstd)
    }

    /// Whether its compressor is zstd.
    const fn is_zstd(self) -> bool {
        matches!(self, Self::Zstd | Self::TightZstd | Self::ZstdRle)
    }
}

/// Chroma subsampling of JPEG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subsampling {
    /// 4:4:4.
    None,
    /// 4:2:2.
    Half,
    /// 4:2:0.
    Quarter,
    /// No colour.
    Grey,
}

/// One step of the quality ladder. The steps are few and fixed so that clients share results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JpegStep {
    /// libjpeg quality, 1 to 100.
    pub quality: u8,
    /// Chroma subsampling.
    pub subsampling: Subsampling,
}

/// Everything that an encoder's result depends on besides the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Params {
    /// The encoding family.
    pub codec: Codec,
    /// The client's pixels.
    pub format: ClientFormat,
    /// Effort, 0 (none) to 9, as the client asked; the server's own tables map it to levels of deflate and zstd.
    pub compression: u8,
    /// Lossy allowed for photographic content, and how; only Tight has it.
    pub jpeg: Option<JpegStep>,
}

/// A pointer drawn into the picture for clients that cannot show one.
#[derive(Clone, Copy, Debug)]
pub struct Overlay<'a> {
    /// The shape.
    pub image: &'a CursorImage,
    /// Column of the shape's left edge on the output; may lie outside.
    pub x: i32,
    /// Row of the shape's top edge.
    pub y: i32,
}

/// A client's compressed streams; each lives as long as the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamId {
    /// The stream of encoding 6.
    Zlib,
    /// The stream of encoding 16.
    Zrle,
    /// One of Tight's four streams (0 to 3).
    Tight(u8),
}

/// The compressed part of a rectangle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The client's stream that it is a piece of: raw deflate with a cold window, ended by a sync flush. None: a whole zstd frame,
    /// which belongs to no stream.
    pub stream: Option<StreamId>,
    /// The compressed bytes.
    pub data: Vec<u8>,
}

/// One RFB rectangle, ready but for its place on the client's canvas and the zlib header of a stream's first chunk.
///
/// On the wire: the 12-byte rectangle header, `head`, then, if there is a chunk, its length (u32 for
/// Zlib, ZRLE and their zstd twins, Tight's compact form for both kinds of Tight) and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Its place on the output.
    pub rect: Rect,
    /// The encoding number.
    pub encoding: i32,
    /// The bytes before the chunk; all of them when there is none.
    pub head: Vec<u8>,
    /// The compressed part.
    pub chunk: Option<Chunk>,
    /// Whether the client will show something other than the exact pixels.
    pub lossy: bool,
}

impl Encoded {
    /// Bytes on the wire, without a stream's header.
    pub fn wire_len(&self) -> usize {
        12 + self.head.len() + self.chunk.as_ref().map_or(0, |c| c.data.len() + 4)
    }
}

/// The side of the squares that callers cut for encoders. A rectangle of as many pixels and up to 2048 of them wide will do as
/// well: Tight's limits.
pub const BLOCK: u16 = 256;

/// Encodes one rectangle of the mirror (of at most [`BLOCK`] x [`BLOCK`] pixels), appending one or more RFB rectangles that
/// cover exactly it.
///
/// Cost: the conversion and the analysis use per-thread buffers; only the results are allocated.
pub fn encode_rect(
    mirror: &MirrorData,
    rect: &Rect,
    overlay: Option<&Overlay<'_>>,
    params: &Params,
    out: &mut Vec<Encoded>,
) {
    let rect = rect.intersect(&mirror.size().rect());
    if rect.is_empty() {
        return;
    }
    scratch::with(|scratch| {
        let (form, from_words) = match params.codec {
            Codec::Tight | Codec::TightZstd => scratch::tpixel(mirror.layout, params),
            _ => (PixelBytes::pixel(&params.format), false),
        };
        if from_words && overlay.is_none() {
            // PERF: Tight reads the mirror in place: of a photograph the copy was an eighth of the encoding threads' time
            let words = Picture::of_mirror(mirror, rect);
            let (layout, tools) = (mirror.layout, &mut scratch.tools);
            return Tight { picture: words, words, layout, form, params, tools, out }.run();
        }
        scratch.load(mirror, &rect, overlay);
        if !from_words {
            scratch.convert(mirror.layout, &params.format);
        }
        let mut layout = mirror.layout;
        if params.codec.is_tight() && params.jpeg.is_some() && layout.bits != 8 {
            layout = scratch.narrow(layout);
        }
        let Scratch { words, values, tools, .. } = scratch;
        let words = Picture::packed(rect, words);
        let picture = if from_words { words } else { Picture::packed(rect, values) };
        match params.codec {
            Codec::Raw => out.push(plain::raw(picture, params)),
            Codec::Rre => out.push(rre::encode(picture, params, tools)),
            Codec::Hextile => out.push(hextile::encode(picture, params, tools)),
            Codec::Zlib | Codec::Zstd => out.push(plain::compressed(picture, params, tools)),
            Codec::Zrle | Codec::ZstdRle => out.push(zrle::encode(picture, params, tools)),
            Codec::Tight | Codec::TightZstd => Tight { picture, words, layout, form, params, tools, out }.run(),
        }
    });
}
