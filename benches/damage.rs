//! Damage on the CPU: compare and copy of whole frames, and the search for moves. Each case is verified before it is timed.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use farpane_engine::damage::{CpuDamage, Damage, DamageEngine, Mirror, Progress};
use farpane_engine::frame::{Frame, Hint, Memory, Piece};
use farpane_engine::geometry::{Rect, Region, Size};
use farpane_engine::pixel::{Fourcc, Layout, Modifier};

const SIZES: [(&str, Size); 2] = [("1080p", Size::new(1920, 1080)), ("4k", Size::new(3840, 2160))];

fn noise(size: Size, mut seed: u64) -> Vec<u32> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as u32
    };
    (0..size.area()).map(|_| next()).collect()
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

fn frame(size: Size, memory: &Arc<[u32]>) -> Frame {
    Frame {
        size,
        fourcc: Fourcc::XRGB8888,
        modifier: Modifier::LINEAR,
        pieces: vec![Piece { rect: size.rect(), offset: 0, stride: usize::from(size.w) * 4 }],
        memory: Memory::Heap(memory.clone()),
        hint: Hint::Everything,
        acquire: None,
        seq: 0,
        captured_at: Instant::now(),
        release: None,
    }
}

fn feed(engine: &mut CpuDamage, mirror: &Mirror, frame: Frame) -> Damage {
    let now = Instant::now();
    let ticket = engine.submit(frame, mirror, now);
    match engine.poll(ticket, mirror, now) {
        Progress::Done(damage) => damage,
        other => panic!("not done: {other:?}"),
    }
}

/// Times frames that go to and fro between two pictures, after checking what is found between them.
fn case(
    c: &mut Criterion,
    name: &str,
    label: &str,
    size: Size,
    pictures: [Vec<u32>; 2],
    scroll: bool,
    check: &dyn Fn(&Damage),
) {
    let [a, b]: [Arc<[u32]>; 2] = pictures.map(Into::into);
    let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
    let mut engine = CpuDamage::new();
    engine.set_scroll(scroll);
    feed(&mut engine, &mirror, frame(size, &a));
    let damage = feed(&mut engine, &mirror, frame(size, &b));
    assert_eq!(mirror.read().pixels, *b);
    check(&damage);
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(size.area())).sample_size(10).measurement_time(Duration::from_secs(1));
    group.warm_up_time(Duration::from_millis(300));
    let mut turn = false;
    group.bench_function(BenchmarkId::from_parameter(label), |bencher| {
        bencher.iter(|| {
            turn = !turn;
            let damage = feed(&mut engine, &mirror, frame(size, if turn { &a } else { &b }));
            engine.recycle(black_box(damage));
        });
    });
    group.finish();
}

fn damage(c: &mut Criterion) {
    for (label, size) in SIZES {
        let base = noise(size, 1);
        for percent in [0u16, 1, 5, 25, 100] {
            let h = (u32::from(size.h) * u32::from(percent) / 100) as u16;
            let rect = Rect::new(0, 0, size.w, h);
            let other = changed(size, &base, &rect);
            let check = move |d: &Damage| assert_eq!(d.changed, Region::from(rect));
            let name = format!("damage/changed_{percent}");
            case(c, &name, label, size, [base.clone(), other], false, &check);
        }
        let letter = Rect::new(500, 500, 8, 14);
        case(c, "damage/letter", label, size, [base.clone(), changed(size, &base, &letter)], false, &|d| {
            assert_eq!(d.changed.area(), letter.area());
        });
        let other = noise(size, 2);
        case(c, "damage/noise", label, size, [base.clone(), other.clone()], false, &|d| assert!(d.copied.is_empty()));
        case(c, "damage/noise_searched", label, size, [base.clone(), other], true, &|d| assert!(d.copied.is_empty()));
        let mut scrolled = base.clone();
        scrolled.rotate_left(usize::from(size.w) * 42);
        case(c, "damage/scroll_found", label, size, [base, scrolled], true, &|d| assert!(!d.copied.is_empty()));
    }
}

criterion_group!(benches, damage);
criterion_main!(benches);
