//! Tables of `docs/encoders.md`: every encoding on every kind of content, the same on two threads, bare libjpeg-turbo, and the crate
//! `rfb-encodings` on the same blocks.
//!
//! `cargo bench -p farpane-benches --bench encoders [-- WORD...]`: the words pick tables (ours, theirs) and contents. A 4K picture in blocks of 256 px; everything is decoded and compared before it
//! is timed. One thread: the thread's CPU time, median of three. Threads: wall time, the best of three.

mod cpu_time;

use std::hint::black_box;
use std::time::Instant;

use cpu_time::CpuTime;
use criterion::measurement::Measurement;
use farpane_benches::{Content, mirror};
use farpane_engine::damage::MirrorData;
use farpane_engine::encode::{BLOCK, Codec, Encoded, LADDER, Params, Streams, encode_rect};
use farpane_engine::geometry::{Point, Rect, Size};
use farpane_engine::pixel::ClientFormat;
use farpane_engine::refdec::{Decoder, RectHeader};
use rayon::prelude::*;
use rfb_encodings::tight::{SimpleTightCompressor, encode_tight_rects};
use rfb_encodings::{PixelFormat, get_encoder};

const SIZE: Size = Size { w: 3840, h: 2160 };
const ROUNDS: usize = 3;

/// The encodings timed: name, codec, whether JPEG is allowed.
const CASES: [(&str, Codec, bool); 10] = [
    ("Raw", Codec::Raw, false),
    ("RRE", Codec::Rre, false),
    ("Hextile", Codec::Hextile, false),
    ("Zlib", Codec::Zlib, false),
    ("ZRLE", Codec::Zrle, false),
    ("Tight", Codec::Tight, false),
    ("Tight, quality 8", Codec::Tight, true),
    ("Zstd", Codec::Zstd, false),
    ("ZstdRle", Codec::ZstdRle, false),
    ("TightZstd", Codec::TightZstd, false),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|w| !w.starts_with('-')).collect();
    let all = |of: &[&str]| !words.iter().any(|w| of.contains(&w.as_str()));
    let wanted = |word: &str, of: &[&str]| all(of) || words.iter().any(|w| w == word);
    let names = Content::ALL.map(|c| format!("{c:?}").to_lowercase());
    let names = names.each_ref().map(String::as_str);
    let contents = || Content::ALL.into_iter().zip(names).filter(|(_, n)| wanted(n, &names)).map(|(c, _)| c);
    let side = usize::from(BLOCK);
    let rows = (0..SIZE.h).step_by(side);
    let blocks: Vec<Rect> = rows
        .flat_map(|y| (0..SIZE.w).step_by(side).map(move |x| Rect::new(x, y, BLOCK, BLOCK).intersect(&SIZE.rect())))
        .collect();
    if wanted("ours", &["ours", "theirs"]) {
        println!("| content | encoding | ns/px | bytes/px | lossy | two threads |\n|---|---|--:|--:|--:|--:|");
        for content in contents() {
            let mirror = mirror(SIZE, content);
            let data = mirror.read();
            for (name, codec, jpeg) in CASES {
                let jpeg = jpeg.then_some(LADDER[1]);
                let params = Params { codec, format: ClientFormat::RGBX, compression: 2, jpeg };
                ours(&format!("{content:?} | {name}"), &data, &blocks, &params);
            }
            if content == Content::Photo {
                bare_jpeg(&data, &blocks);
            }
        }
    }
    if wanted("theirs", &["ours", "theirs"]) {
        println!(
            "| content | encoding | rfb-encodings: ns/px | bytes/px | ours: ns/px | bytes/px | ours / theirs, CPU |"
        );
        println!("|---|---|--:|--:|--:|--:|--:|");
        for content in contents() {
            let mirror = mirror(SIZE, content);
            theirs(content, &mirror.read(), &blocks);
        }
    }
}

fn per_px(ns: f64) -> f64 {
    ns / SIZE.area() as f64
}

/// CPU time of this thread, median, in ns a pixel.
fn cpu(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = CpuTime.start();
            work();
            CpuTime.to_f64(&CpuTime.end(start))
        })
        .collect();
    times.sort_by(f64::total_cmp);
    per_px(times[ROUNDS / 2])
}

/// Wall time, the best.
fn wall(mut work: impl FnMut()) -> f64 {
    let times = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::MAX, f64::min)
}

fn encode(data: &MirrorData, blocks: &[Rect], params: &Params, out: &mut Vec<Encoded>) {
    out.clear();
    for block in blocks {
        encode_rect(data, block, None, params, out);
    }
}

/// A client that compares what it decodes with the mirror.
struct Check<'a> {
    data: &'a MirrorData,
    decoder: Decoder,
    bytes: usize,
}

impl<'a> Check<'a> {
    fn new(data: &'a MirrorData) -> Self {
        Self { data, decoder: Decoder::new(ClientFormat::RGBX, SIZE).expect("a good format"), bytes: 0 }
    }

    /// Decodes one rectangle; when it is `exact`, its pixels must be the mirror's.
    fn take(&mut self, rect: &Rect, encoding: i32, body: &[u8], exact: bool) {
        self.bytes += 12 + body.len();
        let &Rect { x, y, w, h } = rect;
        self.decoder.decode(&RectHeader { x, y, w, h, encoding }, body).expect("a legal rectangle");
        for y in rect.y..if exact { rect.bottom() } else { rect.y } {
            let start = usize::from(y) * usize::from(SIZE.w) + usize::from(rect.x);
            let want = self.data.row(rect, y).iter().map(|p| ClientFormat::RGBX.value(self.data.layout.rgb(*p)));
            assert!(want.eq(self.decoder.pixels()[start..start + usize::from(rect.w)].iter().copied()), "{rect:?}");
        }
    }

    fn per_px(&self) -> f64 {
        self.bytes as f64 / SIZE.area() as f64
    }
}

/// Verifies and times one of our encodings on one thread; returns ns and bytes a pixel, and how much is lossy.
fn time_ours(data: &MirrorData, blocks: &[Rect], params: &Params) -> (f64, f64, f64) {
    let mut out = Vec::new();
    encode(data, blocks, params, &mut out);
    let (mut check, mut streams) = (Check::new(data), Streams::new());
    for encoded in &out {
        let mut wire = Vec::new();
        streams.write_rect(encoded, Point::new(0, 0), &mut wire);
        check.take(&encoded.rect, encoded.encoding, &wire[12..], !encoded.lossy);
    }
    let lossy = out.iter().filter(|e| e.lossy).map(|e| e.rect.area()).sum::<u64>() as f64 / SIZE.area() as f64;
    (cpu(|| encode(black_box(data), blocks, params, &mut out)), check.per_px(), lossy)
}

fn ours(name: &str, data: &MirrorData, blocks: &[Rect], params: &Params) {
    let (ns, bytes, lossy) = time_ours(data, blocks, params);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let block = |rect| {
            let mut out = Vec::new();
            encode_rect(data, rect, None, params, &mut out);
            out
        };
        wall(|| {
            let made: Vec<Vec<Encoded>> = pool.install(|| blocks.par_iter().with_max_len(1).map(block).collect());
            black_box(made);
        })
    };
    let (one, two) = (run(1), run(2));
    println!("| {name} | {ns:.2} | {bytes:.3} | {:.0} % | {:.2}x |", lossy * 100.0, one / two);
}

/// libjpeg-turbo by itself on the same rectangles at the same quality.
fn bare_jpeg(data: &MirrorData, blocks: &[Rect]) {
    let mut compressor = turbojpeg::Compressor::new().expect("a compressor");
    compressor.set_quality(LADDER[1].quality.into()).expect("a good quality");
    compressor.set_subsamp(turbojpeg::Subsamp::None).expect("a good subsampling");
    let mut buffer = vec![0; compressor.buf_len(BLOCK.into(), BLOCK.into()).expect("a size")];
    let pixels: Vec<u8> = data.pixels.iter().flat_map(|p| p.to_le_bytes()).collect();
    let pitch = usize::from(SIZE.w) * 4;
    let mut bytes = 0;
    let ns = cpu(|| {
        bytes = 0;
        for r in blocks {
            let start = usize::from(r.y) * pitch + usize::from(r.x) * 4;
            let image = turbojpeg::Image {
                pixels: &pixels[start..],
                width: r.w.into(),
                pitch,
                height: r.h.into(),
                format: turbojpeg::PixelFormat::BGRX,
            };
            bytes += compressor.compress_to_slice(image, &mut buffer).expect("a JPEG");
        }
    });
    println!("| Photo | bare turbojpeg, 92, 4:4:4 | {ns:.2} | {:.3} | 100 % | |", bytes as f64 / SIZE.area() as f64);
}

/// The crate of rustvncserver on the same blocks, with its pixels laid out as it wants them beforehand, and its streams begun anew for
/// each picture. Its JPEG needs a system library and is off.
fn theirs(content: Content, data: &MirrorData, blocks: &[Rect]) {
    let format = PixelFormat::rgba32();
    let pixels: Vec<Vec<u8>> = blocks
        .iter()
        .map(|r| {
            let rows = (r.y..r.bottom()).flat_map(|y| data.row(r, y));
            rows.flat_map(|p| {
                let [r, g, b] = data.layout.rgb(*p);
                [r, g, b, 255]
            })
            .collect()
        })
        .collect();
    for (name, codec) in [
        ("Raw", Codec::Raw),
        ("RRE", Codec::Rre),
        ("Hextile", Codec::Hextile),
        ("Zlib", Codec::Zlib),
        ("ZRLE", Codec::Zrle),
        ("Tight", Codec::Tight),
    ] {
        let run = || -> Vec<(Rect, Vec<u8>)> {
            let level = flate2::Compression::new(2);
            let mut stream = flate2::Compress::new(level, true);
            let mut tight = SimpleTightCompressor::new(2);
            let mut out = Vec::new();
            for (r, pixels) in blocks.iter().zip(&pixels) {
                match codec {
                    Codec::Zlib => {
                        let body = rfb_encodings::zlib::encode_zlib_persistent(pixels, &mut stream).expect("room");
                        out.push((*r, body));
                    }
                    Codec::Zrle => {
                        let zrle = rfb_encodings::zrle::encode_zrle_persistent;
                        out.push((*r, zrle(pixels, r.w, r.h, &format, &mut stream).expect("room")));
                    }
                    Codec::Tight => {
                        // quality 10: no JPEG
                        for (x, y, w, h, body) in encode_tight_rects(pixels, r.w, r.h, 10, 2, &format, &mut tight) {
                            out.push((Rect::new(r.x + x, r.y + y, w, h), body.to_vec()));
                        }
                    }
                    _ => {
                        let encoder = get_encoder(codec.number()).expect("an encoder");
                        out.push((*r, encoder.encode(pixels, r.w, r.h, 100, 2).to_vec()));
                    }
                }
            }
            out
        };
        let params = Params { codec, format: ClientFormat::RGBX, compression: 2, jpeg: None };
        let (our_ns, our_bytes, _) = time_ours(data, blocks, &params);
        let verified = std::panic::catch_unwind(|| {
            let mut check = Check::new(data);
            run().iter().for_each(|(rect, body)| check.take(rect, codec.number(), body, true));
            check.per_px()
        });
        match verified {
            Ok(bytes) => {
                let ns = cpu(|| drop(black_box(run())));
                let ratio = our_ns / ns;
                println!("| {content:?} | {name} | {ns:.2} | {bytes:.3} | {our_ns:.2} | {our_bytes:.3} | {ratio:.2} |");
            }
            Err(_) => println!("| {content:?} | {name} | wrong, not timed | | {our_ns:.2} | {our_bytes:.3} | |"),
        }
    }
}
