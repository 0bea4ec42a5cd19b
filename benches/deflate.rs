//! Deflate: what the encoders feed it, through each level of ours and of zlib-rs; everything inflated and compared before it is timed.
//!
//! The bytes are those of Tight and ZRLE on a 1080p picture cut into blocks of 256 px. What is measured is the thread's CPU time.
//!
//! `cargo bench --profile release -p farpane-benches --bench deflate`; bytes per pixel are printed first. Profile `ci` checks
//! overflows in our own crates and not in zlib-rs, so that it shows us slower than we are.

mod cpu_time;

use cpu_time::CpuTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use farpane_benches::{Content, mirror};
use farpane_engine::capture::synthetic;
use farpane_engine::damage::Mirror;
use farpane_engine::encode::deflate::{Deflater, Shape};
use farpane_engine::encode::{BLOCK, Codec, Params, encode_rect};
use farpane_engine::geometry::{Rect, Size};
use farpane_engine::pixel::{ClientFormat, Layout};
use std::hint::black_box;
use std::time::Instant;
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

const SIZE: Size = Size { w: 1920, h: 1080 };

/// The bytes of one chunk.
struct Piece {
    data: Vec<u8>,
    shape: Shape,
}

/// The data of stored blocks.
fn unstored(mut chunk: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let [0, a, b, _, _, rest @ ..] = chunk {
        let (block, rest) = rest.split_at(usize::from(u16::from_le_bytes([*a, *b])));
        data.extend_from_slice(block);
        chunk = rest;
    }
    assert!(chunk.is_empty(), "stored blocks only");
    data
}

/// What an encoder hands to deflate: compression 0 stores it.
fn pieces(mirror: &Mirror, codec: Codec) -> Vec<Piece> {
    let data = mirror.read();
    let params = Params { codec, format: ClientFormat::BGRX, compression: 0, jpeg: None };
    let mut out = Vec::new();
    for y in (0..SIZE.h).step_by(BLOCK.into()) {
        for x in (0..SIZE.w).step_by(BLOCK.into()) {
            encode_rect(&data, &Rect::new(x, y, BLOCK, BLOCK).intersect(&SIZE.rect()), None, &params, &mut out);
        }
    }
    let piece = |encoded: farpane_engine::encode::Encoded| {
        let width = encoded.rect.w;
        let shape = match (codec, encoded.head.first(), encoded.head.get(2)) {
            (Codec::Tight, Some(0), _) => Shape::pixels(3, width),
            (Codec::Tight, _, Some(1)) => Shape::rows(usize::from(width).div_ceil(8)),
            (Codec::Tight, ..) => Shape::pixels(1, width),
            _ => Shape::default(),
        };
        Some(Piece { data: unstored(&encoded.chunk?.data), shape })
    };
    out.into_iter().filter_map(piece).collect()
}

/// Panics unless a chunk inflates to its data.
fn verify(chunk: &[u8], data: &[u8]) {
    let mut inflater = Inflate::new(false, 15);
    let mut out = vec![0; data.len() + 1];
    inflater.decompress(chunk, &mut out, InflateFlush::SyncFlush).expect("a legal chunk");
    assert_eq!(inflater.total_in() as usize, chunk.len());
    assert!(out[..inflater.total_out() as usize] == *data, "another picture");
}

/// One compressor under test: its name, and what makes a chunk.
type Engine = (String, Box<dyn FnMut(&Piece) -> Vec<u8>>);

fn engines() -> Vec<Engine> {
    let mut engines: Vec<Engine> = Vec::new();
    for compression in [2, 5] {
        let mut deflater = Deflater::default();
        engines.push((
            format!("farpane-{compression}"),
            Box::new(move |piece| deflater.chunk(&piece.data, piece.shape, compression)),
        ));
    }
    for level in [1, 2, 3, 6] {
        let mut context = Deflate::new(level, false, 15);
        let mut buffer = vec![0; 1 << 20];
        engines.push((
            format!("zlib-rs-{level}"),
            Box::new(move |piece| {
                context.reset();
                context.compress(&piece.data, &mut buffer, DeflateFlush::SyncFlush).expect("room enough");
                buffer[..context.total_out() as usize].to_vec()
            }),
        ));
    }
    engines
}

fn all(c: &mut Criterion<CpuTime>) {
    let mut pictures: Vec<(String, Mirror)> =
        Content::ALL.map(|content| (format!("{content:?}").to_lowercase(), mirror(SIZE, content))).into();
    for scene in ["video", "still", "noise"] {
        let mirror = Mirror::new(SIZE, Layout::BGRX, Instant::now());
        let spec = synthetic::parse(&format!("{}x{}:{scene}", SIZE.w, SIZE.h)).expect("a scene");
        mirror.write().pixels.copy_from_slice(&synthetic::picture(&spec, 3));
        pictures.push((format!("demo-{scene}"), mirror));
    }
    for (name, mirror) in &pictures {
        for (codec_name, codec) in [("tight", Codec::Tight), ("zrle", Codec::Zrle)] {
            let pieces = pieces(mirror, codec);
            let bytes: usize = pieces.iter().map(|p| p.data.len()).sum();
            let mut group = c.benchmark_group(format!("deflate/{name}/{codec_name}"));
            group.sample_size(10).throughput(Throughput::Bytes(bytes as u64));
            for (engine, mut chunk) in engines() {
                let mut sum = 0;
                for piece in &pieces {
                    let made = chunk(piece);
                    verify(&made, &piece.data);
                    sum += made.len();
                }
                println!(
                    "{name} {codec_name} {engine}: {bytes} bytes to {sum}, {:.4} bytes/px",
                    sum as f64 / SIZE.area() as f64
                );
                group.bench_function(engine, |b| {
                    b.iter(|| pieces.iter().map(|p| chunk(black_box(p)).len()).sum::<usize>());
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = all
}
criterion_main!(benches);
