//! Encoders: a 4K picture cut into blocks of 256 px, one thread, everything decoded and compared before it is timed.
//!
//! What is measured is the thread's CPU time, so that a busy machine gives nearly the figures of a quiet one.
//!
//! `cargo bench -p farpane-benches --bench encode`; bytes per pixel are printed first.

mod cpu_time;

use cpu_time::CpuTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use farpane_benches::{Content, mirror};
use farpane_engine::damage::MirrorData;
use farpane_engine::encode::{BLOCK, Codec, Encoded, LADDER, Params, Streams, encode_rect};
use farpane_engine::geometry::{Point, Rect, Size};
use farpane_engine::pixel::ClientFormat;
use farpane_engine::refdec::{Decoder, RectHeader};
use std::hint::black_box;

const SIZE: Size = Size { w: 3840, h: 2160 };

fn blocks() -> Vec<Rect> {
    let side = usize::from(BLOCK);
    let rows = (0..SIZE.h).step_by(side);
    rows.flat_map(|y| (0..SIZE.w).step_by(side).map(move |x| Rect::new(x, y, BLOCK, BLOCK).intersect(&SIZE.rect())))
        .collect()
}

fn encode(data: &MirrorData, blocks: &[Rect], params: &Params, out: &mut Vec<Encoded>) {
    out.clear();
    for block in blocks {
        encode_rect(data, block, None, params, out);
    }
}

/// Decodes everything and compares what is not lossy; returns bytes on the wire.
fn verify(data: &MirrorData, rects: &[Encoded]) -> usize {
    let mut decoder = Decoder::new(ClientFormat::BGRX, SIZE).expect("a good format");
    let mut streams = Streams::new();
    let mut bytes = 0;
    for encoded in rects {
        let mut wire = Vec::new();
        streams.write_rect(encoded, Point::new(0, 0), &mut wire);
        bytes += wire.len();
        let Rect { x, y, w, h } = encoded.rect;
        decoder.decode(&RectHeader { x, y, w, h, encoding: encoded.encoding }, &wire[12..]).expect("a legal rectangle");
    }
    for encoded in rects.iter().filter(|e| !e.lossy) {
        let r = encoded.rect;
        for y in r.y..r.bottom() {
            let start = usize::from(y) * usize::from(SIZE.w) + usize::from(r.x);
            assert_eq!(decoder.pixels()[start..start + usize::from(r.w)], *data.row(&r, y), "row {y} of {r:?}");
        }
    }
    bytes
}

fn all(c: &mut Criterion<CpuTime>) {
    let cases = [
        ("raw", Codec::Raw, false),
        ("rre", Codec::Rre, false),
        ("hextile", Codec::Hextile, false),
        ("zlib", Codec::Zlib, false),
        ("zrle", Codec::Zrle, false),
        ("tight", Codec::Tight, false),
        ("tight-q8", Codec::Tight, true),
        ("zstd", Codec::Zstd, false),
        ("zstd-rle", Codec::ZstdRle, false),
        ("tight-zstd", Codec::TightZstd, false),
    ];
    let blocks = blocks();
    for content in Content::ALL {
        let mirror = mirror(SIZE, content);
        let data = mirror.read();
        let mut group = c.benchmark_group(format!("encode/{content:?}").to_lowercase());
        group.sample_size(10).throughput(Throughput::Elements(SIZE.area()));
        for (name, codec, jpeg) in cases {
            let params = Params { codec, format: ClientFormat::BGRX, compression: 2, jpeg: jpeg.then_some(LADDER[1]) };
            let mut out = Vec::new();
            encode(&data, &blocks, &params, &mut out);
            let bytes = verify(&data, &out);
            let lossy: u64 = out.iter().filter(|e| e.lossy).map(|e| e.rect.area()).sum();
            println!(
                "{content:?} {name}: {:.3} bytes/px, {} rectangles, {:.0} % lossy",
                bytes as f64 / SIZE.area() as f64,
                out.len(),
                lossy as f64 * 100.0 / SIZE.area() as f64,
            );
            group.bench_function(name, |b| b.iter(|| encode(black_box(&data), &blocks, &params, &mut out)));
        }
    }
    let mirror = mirror(SIZE, Content::Text);
    let data = mirror.read();
    let mut group = c.benchmark_group("encode/letter");
    for (name, codec, _) in cases {
        let params = Params { codec, format: ClientFormat::BGRX, compression: 2, jpeg: Some(LADDER[1]) };
        let letter = [Rect::new(1000, 504, 10, 20)];
        let mut out = Vec::new();
        encode(&data, &letter, &params, &mut out);
        println!("letter {name}: {} bytes", verify(&data, &out));
        group.bench_function(name, |b| b.iter(|| encode(black_box(&data), &letter, &params, &mut out)));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = all
}
criterion_main!(benches);
