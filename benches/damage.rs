//! Damage on the CPU: compare and copy of whole frames, and the search for moves, beside plain comparing and copying of as many
//! bytes (`bare`), which nothing that looks at every pixel can undercut. Each case is verified before it is timed.

use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use farpane_benches::{Content, frame, with_window};
use farpane_engine::damage::{CpuDamage, Damage, DamageEngine, Mirror, Progress};
use farpane_engine::frame::Frame;
use farpane_engine::geometry::{Rect, Region, Size};
use farpane_engine::pixel::Layout;
use rayon::prelude::*;

const SIZES: [(&str, Size); 3] =
    [("1080p", Size::new(1920, 1080)), ("4k", Size::new(3840, 2160)), ("two_4k", Size::new(7680, 2160))];

/// One row of cells of a picture, as the compare cuts it.
const BAND_ROWS: usize = 64;

fn noise(size: Size, mut seed: u64) -> Vec<u32> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as u32
    };
    (0..size.area()).map(|_| next()).collect()
}

fn photo(size: Size) -> Vec<u32> {
    let mut out = vec![0; size.area() as usize];
    out.par_chunks_mut(size.w.into()).enumerate().for_each(|(y, row)| {
        for (x, pixel) in row.iter_mut().enumerate() {
            *pixel = Layout::BGRX.pixel(Content::Photo.colour(x as u32, y as u32));
        }
    });
    out
}

/// The picture with its colours turned in a rectangle, so that every pixel there differs.
fn changed(size: Size, picture: &[u32], rect: &Rect) -> Vec<u32> {
    let mut out = picture.to_vec();
    for y in rect.y..rect.bottom() {
        let at = usize::from(y) * usize::from(size.w) + usize::from(rect.x);
        out[at..at + usize::from(rect.w)].iter_mut().for_each(|p| *p ^= 0x00ff_ffff);
    }
    out
}

fn feed(engine: &mut CpuDamage, mirror: &Mirror, frame: Frame) -> Damage {
    let now = Instant::now();
    let ticket = engine.submit(frame, mirror, now);
    match engine.poll(ticket, mirror, now) {
        Progress::Done(damage) => damage,
        other => panic!("not done: {other:?}"),
    }
}

/// How many cores work.
#[derive(Clone, Copy)]
enum Cores {
    One,
    /// The process's own pool, entered from outside, as an output's thread does.
    All,
}

impl Cores {
    const fn name(self) -> &'static str {
        match self {
            Self::One => "one_core",
            Self::All => "all_cores",
        }
    }

    fn run<R: Send>(self, work: impl FnOnce() -> R + Send) -> R {
        match self {
            Self::One => {
                static POOL: OnceLock<rayon::ThreadPool> = OnceLock::new();
                let pool = || rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
                POOL.get_or_init(pool).install(work)
            }
            Self::All => work(),
        }
    }
}

fn group<'a>(c: &'a mut Criterion, name: &str, size: Size) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(size.area())).sample_size(10).measurement_time(Duration::from_secs(1));
    group.warm_up_time(Duration::from_millis(300));
    group
}

/// Two pictures that take turns, and how they are looked at.
struct Case<'a> {
    label: &'a str,
    size: Size,
    pictures: [&'a Arc<[u32]>; 2],
    scroll: bool,
}

impl Case<'_> {
    /// Times frames that go to and fro between the two pictures, after checking what is found both ways.
    fn run(&self, c: &mut Criterion, name: &str, cores: Cores, check: &(dyn Fn(&Damage) + Sync)) {
        let (size, [a, b]) = (self.size, self.pictures);
        let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
        let mut engine = CpuDamage::new();
        engine.set_scroll(self.scroll);
        cores.run(|| {
            feed(&mut engine, &mirror, frame(size, a));
            for turn in [b, a] {
                let damage = feed(&mut engine, &mirror, frame(size, turn));
                assert_eq!(mirror.read().pixels[..], turn[..]);
                check(&damage);
            }
        });
        let mut turn = false;
        group(c, name, size).bench_function(BenchmarkId::from_parameter(self.label), |bencher| {
            bencher.iter_custom(|rounds| {
                cores.run(|| {
                    let began = Instant::now();
                    for _ in 0..rounds {
                        turn = !turn;
                        let damage = feed(&mut engine, &mirror, frame(size, if turn { b } else { a }));
                        engine.recycle(black_box(damage));
                    }
                    began.elapsed()
                })
            });
        });
    }
}

/// Times searches in vain alone, each of them made: between two, a scroll that is found, untimed, makes the engine forget that it
/// searched in vain.
fn searched_each(c: &mut Criterion, label: &str, size: Size, pictures: [&Arc<[u32]>; 2]) {
    let scrolled = pictures.map(|picture| -> Arc<[u32]> { scrolled_by_42(size, picture).into() });
    let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
    let mut engine = CpuDamage::new();
    engine.set_scroll(true);
    feed(&mut engine, &mirror, frame(size, &scrolled[1]));
    let mut turn = 0;
    group(c, "noise_searched_each/all_cores", size).bench_function(BenchmarkId::from_parameter(label), |bencher| {
        bencher.iter_custom(|rounds| {
            let mut took = Duration::ZERO;
            for _ in 0..rounds {
                let began = Instant::now();
                let damage = feed(&mut engine, &mirror, frame(size, pictures[turn]));
                took += began.elapsed();
                assert!(damage.copied.is_empty() && damage.changed == Region::from(size.rect()));
                engine.recycle(damage);
                let damage = feed(&mut engine, &mirror, frame(size, &scrolled[turn]));
                assert_eq!(damage.copied.len(), 1);
                engine.recycle(damage);
                turn = 1 - turn;
            }
            took
        });
    });
}

fn scrolled_by_42(size: Size, picture: &[u32]) -> Vec<u32> {
    let mut out = picture.to_vec();
    out.rotate_left(usize::from(size.w) * 42);
    out
}

/// Comparing and copying whole pictures and nothing else, in the pieces that the compare works in.
fn bare(c: &mut Criterion, label: &str, size: Size, a: &[u32]) {
    let band = usize::from(size.w) * BAND_ROWS;
    let mut other = a.to_vec();
    for cores in [Cores::One, Cores::All] {
        let equal = |other: &[u32]| a.par_chunks(band).zip(other.par_chunks(band)).all(|(a, b)| a == b);
        assert!(cores.run(|| equal(&other)));
        group(c, &format!("bare_equal/{}", cores.name()), size).bench_function(
            BenchmarkId::from_parameter(label),
            |bencher| {
                bencher.iter(|| cores.run(|| equal(black_box(&other))));
            },
        );
        group(c, &format!("bare_copy/{}", cores.name()), size).bench_function(
            BenchmarkId::from_parameter(label),
            |bencher| {
                bencher.iter(|| {
                    let pieces = black_box(&mut other[..]).par_chunks_mut(band).zip(a.par_chunks(band));
                    cores.run(|| pieces.for_each(|(to, from)| to.copy_from_slice(from)));
                });
            },
        );
        assert!(equal(&other));
    }
}

fn damage(c: &mut Criterion) {
    for (label, size) in SIZES {
        let noisy: Arc<[u32]> = noise(size, 1).into();
        bare(c, label, size, &noisy);
        let letter = Rect::new(500, 500, 8, 14);
        let part = Rect::new(0, 0, size.w, size.h / 20);
        for (name, rect) in [("letter", letter), ("changed_5", part), ("changed_100", size.rect())] {
            let other = changed(size, &noisy, &rect).into();
            let check = move |d: &Damage| assert_eq!(d.changed, Region::from(rect));
            for cores in [Cores::One, Cores::All] {
                let case = Case { label, size, pictures: [&noisy, &other], scroll: false };
                case.run(c, &format!("{name}/{}", cores.name()), cores, &check);
            }
        }
        let other: Arc<[u32]> = noise(size, 2).into();
        let in_vain = Case { label, size, pictures: [&noisy, &other], scroll: true };
        // of many such frames in a row only some are searched
        in_vain.run(c, "noise_in_a_row", Cores::All, &|d| {
            assert!(d.copied.is_empty());
            assert_eq!(d.changed, Region::from(size.rect()));
        });
        searched_each(c, label, size, [&noisy, &other]);
        let scrolled = scrolled_by_42(size, &noisy).into();
        let found = Case { label, size, pictures: [&noisy, &scrolled], scroll: true };
        found.run(c, "scroll_found", Cores::All, &|d| {
            assert_eq!(d.copied.len(), 1);
            assert_eq!(d.changed.area(), u64::from(size.w) * 42);
        });
        let photo = photo(size);
        let window = Rect::new(size.w / 4, size.h / 4, size.w / 2, size.h / 2);
        let before = with_window(size, &photo, &window, Content::Text, 0).into();
        let after = with_window(size, &photo, &window.translate(17, 9), Content::Text, 0).into();
        let dragged = Case { label, size, pictures: [&before, &after], scroll: true };
        dragged.run(c, "window_dragged", Cores::All, &|d| {
            assert!(d.copied.iter().any(|copy| copy.to.area() > window.area() * 9 / 10), "{:?}", d.copied);
        });
    }
}

criterion_group!(benches, damage);
criterion_main!(benches);
