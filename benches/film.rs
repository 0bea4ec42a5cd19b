//! What a film costs as H.264, beside the JPEG that viewers without it get, on one core.
//!
//! `cargo bench -p farpane-benches --bench film [-- FRAMES WIDTHxHEIGHT]`: FRAMES is a file of pictures of four bytes a pixel (blue, green, red,
//! none), for instance `ffmpeg -i FILM -vf scale=1280:720 -frames:v 120 -f rawvideo -pix_fmt bgr0 FRAMES`; without one a film is made.
//!
//! Each picture goes the whole way: a captured frame is compared with the mirror, then converted and encoded into a payload, and what a
//! viewer makes of the payload is compared with the source. Times are CPU time of the whole process, bytes and similarity (SSIM of luma,
//! squares of 8x8 pixels) means over all pictures but the first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farpane_benches::frame;
use farpane_engine::damage::{CpuDamage, DamageEngine, Mirror, Progress};
use farpane_engine::encode::h264::{I420, RESET_CONTEXT, VideoStep, software};
use farpane_engine::encode::{BLOCK, Codec, JpegStep, LADDER, Params, Streams, encode_rect, number};
use farpane_engine::geometry::{Point, Rect, Size};
use farpane_engine::pixel::{ClientFormat, Layout};
use farpane_engine::refdec::{Decoder, RectHeader};
use rustix::time::{ClockId, clock_gettime};

const MADE: Size = Size { w: 1920, h: 1080 };
const PICTURES: u32 = 48;

/// CPU time of all threads until now.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// Soft, moving, with a grain of its own in each picture.
fn made(at: u32) -> Arc<[u32]> {
    let wave = |v: u32, period: u32| (v % period).abs_diff(period / 2) * 120 / period;
    let colour = |i: u32| {
        let (x, y) = (i % u32::from(MADE.w) + at * 3, i / u32::from(MADE.w) + at);
        let grain = ((x * 4099 + y).wrapping_mul(0x9e37_79b1) ^ at.wrapping_mul(0x85eb_ca6b)).wrapping_mul(0x27d4_eb2f);
        (wave(x, 300) << 16 | wave(y, 240) << 8 | wave(x + y, 500)) + 0x0030_3030 + (grain >> 20 & 7) * 0x0001_0101
    };
    (0..MADE.area() as u32).map(colour).collect()
}

fn read(path: &str, size: Size) -> Vec<Arc<[u32]>> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let pictures = bytes.chunks_exact(size.area() as usize * 4);
    let words = |p: &[u8]| p.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], 0])).collect();
    pictures.map(words).collect()
}

fn luma(pixels: &[u32]) -> Vec<f32> {
    let of = |p: &u32| {
        let [b, g, r, _] = p.to_le_bytes().map(f32::from);
        0.2126 * r + 0.7152 * g + 0.0722 * b
    };
    pixels.iter().map(of).collect()
}

/// Structural similarity: the mean over squares of 8x8 pixels.
fn ssim(a: &[f32], b: &[f32], width: usize) -> f64 {
    let height = a.len() / width;
    let (mut sum, mut count) = (0.0, 0);
    for top in (0..height - 7).step_by(8) {
        for left in (0..width - 7).step_by(8) {
            let [mut ma, mut mb, mut aa, mut bb, mut ab] = [0.0f64; 5];
            for y in top..top + 8 {
                let row = y * width + left..y * width + left + 8;
                for (p, q) in a[row.clone()].iter().zip(&b[row]) {
                    let (p, q) = (f64::from(*p), f64::from(*q));
                    (ma, mb, aa, bb, ab) = (ma + p, mb + q, aa + p * p, bb + q * q, ab + p * q);
                }
            }
            let n = 64.0;
            let (ma, mb) = (ma / n, mb / n);
            let (va, vb, both) = (aa / n - ma * ma, bb / n - mb * mb, ab / n - ma * mb);
            sum += (2.0 * ma * mb + 6.5025) * (2.0 * both + 58.5225)
                / ((ma * ma + mb * mb + 6.5025) * (va + vb + 58.5225));
            count += 1;
        }
    }
    sum / f64::from(count)
}

/// Means of what all pictures but the first took.
#[derive(Default)]
struct Cost {
    bytes: usize,
    ssim: f64,
    compare: Duration,
    convert: Duration,
    encode: Duration,
}

/// How pictures are encoded.
enum Way {
    Video(VideoStep),
    Jpeg(JpegStep),
}

fn measure(film: &[Arc<[u32]>], size: Size, way: &Way) -> Cost {
    let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
    let mut damage = CpuDamage::new();
    let mut viewer = Decoder::new(ClientFormat::BGRX, size).expect("a good format");
    let (mut encoder, mut planes) = (software().expect("an encoder"), I420::default());
    let (mut streams, rect, mut cost) = (Streams::new(), size.rect(), Cost::default());
    for (i, picture) in film.iter().enumerate() {
        let began = cpu();
        let ticket = damage.submit(frame(size, picture), &mirror, Instant::now());
        let Progress::Done(done) = damage.poll(ticket, &mirror, Instant::now()) else { panic!("is done at once") };
        damage.recycle(done);
        let compared = cpu();
        let data = mirror.read();
        let mut wire = Vec::new();
        let (converted, encoded) = match way {
            Way::Video(step) => {
                assert!(planes.load(&data, &rect));
                let converted = cpu();
                encoder.encode(&planes, i == 0, *step, &mut wire).expect("a picture");
                let encoded = cpu();
                let mut body = (wire.len() as u32).to_be_bytes().to_vec();
                body.extend_from_slice(&if i == 0 { RESET_CONTEXT } else { 0 }.to_be_bytes());
                body.append(&mut wire);
                let head = RectHeader { x: 0, y: 0, w: size.w, h: size.h, encoding: number::H264 };
                viewer.decode(&head, &body).expect("a legal rectangle");
                cost.bytes += if i == 0 { 0 } else { body.len() + 12 };
                (converted, encoded)
            }
            Way::Jpeg(step) => {
                let params =
                    Params { codec: Codec::Tight, format: ClientFormat::BGRX, compression: 2, jpeg: Some(*step) };
                let mut out = Vec::new();
                for y in (0..size.h).step_by(BLOCK.into()) {
                    for x in (0..size.w).step_by(BLOCK.into()) {
                        encode_rect(&data, &Rect::new(x, y, BLOCK, BLOCK).intersect(&rect), None, &params, &mut out);
                    }
                }
                for e in &out {
                    let start = wire.len();
                    streams.write_rect(e, Point::new(0, 0), &mut wire);
                    let Rect { x, y, w, h } = e.rect;
                    let head = RectHeader { x, y, w, h, encoding: e.encoding };
                    viewer.decode(&head, &wire[start + 12..]).expect("a legal rectangle");
                }
                cost.bytes += if i == 0 { 0 } else { wire.len() };
                (compared, compared)
            }
        };
        if i > 0 {
            cost.compare += compared - began;
            cost.convert += converted - compared;
            cost.encode += encoded - converted;
            cost.ssim += ssim(&luma(picture), &luma(viewer.pixels()), size.w.into());
        }
    }
    let n = film.len() as u32 - 1;
    Cost {
        bytes: cost.bytes / n as usize,
        ssim: cost.ssim / f64::from(n),
        compare: cost.compare / n,
        convert: cost.convert / n,
        encode: cost.encode / n,
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let (name, size, film) = match &args[..] {
        [] => ("made".into(), MADE, (0..PICTURES).map(made).collect::<Vec<_>>()),
        [path, size] => {
            let (w, h) =
                size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?))).expect("WIDTHxHEIGHT");
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            (name, Size::new(w, h), read(path, Size::new(w, h)))
        }
        _ => panic!("expected nothing, or FRAMES WIDTHxHEIGHT"),
    };
    assert!(film.len() > 1, "a film of two pictures at least");
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("no pool before this one");
    println!("{name}: {} pictures of {}x{}, one core", film.len(), size.w, size.h);
    let jpeg = measure(&film, size, &Way::Jpeg(LADDER[1]));
    println!(
        "{:<14} {:>9} {:>9} {:>7} {:>9} {:>8} {:>8} {:>8} {:>6}",
        "", "bytes", "of JPEG", "SSIM", "of JPEG", "compare", "convert", "encode", "a sec."
    );
    println!("{:<14} {:>9} {:>9} {:>7.4}", "JPEG q8", jpeg.bytes, "", jpeg.ssim);
    for quality in [95, 92, 80, 70] {
        let step = VideoStep::for_quality(quality);
        let c = measure(&film, size, &Way::Video(step));
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        let whole = c.compare + c.convert + c.encode;
        println!(
            "{:<14} {:>9} {:>8.1}% {:>7.4} {:>9.4} {:>5.2} ms {:>5.2} ms {:>5.2} ms {:>6.1}",
            format!("H.264 qp {}", step.quantiser()),
            c.bytes,
            c.bytes as f64 * 100.0 / jpeg.bytes as f64,
            c.ssim,
            c.ssim / jpeg.ssim,
            ms(c.compare),
            ms(c.convert),
            ms(c.encode),
            1.0 / whole.as_secs_f64(),
        );
    }
}
