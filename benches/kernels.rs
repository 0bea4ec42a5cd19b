//! Kernels at every level of this CPU, one after the other on the same rows; each level is compared with the scalar one before it is timed.
//!
//! `cargo bench --profile ci -p farpane-benches --bench kernels`. What is measured is the thread's CPU time.

mod cpu_time;

use std::hint::black_box;

use cpu_time::CpuTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use farpane_benches::{Content, mirror};
use farpane_engine::geometry::Size;
use farpane_engine::kernel::CpuLevel;
use farpane_engine::kernel::convert::convert;
use farpane_engine::kernel::downscale::{Axis, Picture, Sums, downscale};
use farpane_engine::kernel::neighbour_steps::{CELL, Steps, count_row};
use farpane_engine::kernel::scroll_vote::window_hashes;
use farpane_engine::kernel::tile_diff::diff_row;
use farpane_engine::kernel::ycbcr420::{self, Order, Rows};
use farpane_engine::pixel::{ClientFormat, Layout, Plan};

/// A block, which stays in the second cache.
const SIZE: Size = Size { w: 256, h: 256 };

/// Verifies that a level's result is the scalar one's, then times every level.
fn levels<T: PartialEq + std::fmt::Debug>(
    c: &mut Criterion<CpuTime>,
    name: &str,
    mut result: impl FnMut(CpuLevel) -> T,
    mut work: impl FnMut(CpuLevel),
) {
    let want = result(CpuLevel::Scalar);
    for level in CpuLevel::all() {
        assert_eq!(result(level), want, "{name} at {level:?}");
    }
    let mut group: BenchmarkGroup<'_, CpuTime> = c.benchmark_group(format!("kernels/{name}"));
    group.throughput(Throughput::Elements(SIZE.area()));
    for level in CpuLevel::all() {
        group.bench_function(format!("{level:?}").to_lowercase(), |b| b.iter(|| work(level)));
    }
}

/// Rows of a cell's width that go to and fro between two pictures.
fn tile_diff(c: &mut Criterion<CpuTime>) {
    let a = mirror(SIZE, Content::Photo).read().pixels.clone();
    let turned = |each: usize, count: usize| -> Vec<u32> {
        a.iter().enumerate().map(|(i, p)| p ^ u32::from(i % each < count)).collect()
    };
    for (name, b) in [("equal", a.clone()), ("letter", turned(64, 8)), ("all", turned(1, 1))] {
        let run = |level, new: &[u32], old: &mut [u32]| -> Vec<_> {
            new.chunks(64).zip(old.chunks_mut(64)).map(|(n, o)| diff_row(level, n, o, 0x00ff_ffff)).collect()
        };
        let mut old = a.clone();
        let mut turn = false;
        levels(
            c,
            &format!("tile_diff_{name}"),
            |level| {
                let mut old = a.clone();
                (run(level, &b, &mut old), old)
            },
            |level| {
                turn = !turn;
                let new = if turn { &b } else { &a };
                for (n, o) in black_box(new).chunks(64).zip(old.chunks_mut(64)) {
                    black_box(diff_row(level, n, o, 0x00ff_ffff));
                }
            },
        );
    }
}

fn swap(c: &mut Criterion<CpuTime>) {
    let src = mirror(SIZE, Content::Photo).read().pixels.clone();
    let plan = Plan::new(Layout::BGRX, &ClientFormat::RGBX);
    let mut dst = vec![0; src.len()];
    levels(
        c,
        "convert_swap",
        |level| {
            let mut dst = vec![0; src.len()];
            convert(level, &plan, &src, &mut dst);
            dst
        },
        |level| convert(level, &plan, black_box(&src), black_box(&mut dst)),
    );
}

fn smaller(c: &mut Criterion<CpuTime>) {
    let pixels = mirror(SIZE, Content::Photo).read().pixels.clone();
    let picture = Picture { pixels: &pixels, stride: usize::from(SIZE.w), layout: Layout::BGRX };
    for (name, side) in [("half", 128), ("three_fifths", 154)] {
        let axes = [Axis::new(SIZE.w, side), Axis::new(SIZE.h, side)];
        let mut sums = Sums::default();
        let mut out = vec![0; usize::from(side) * usize::from(side)];
        levels(
            c,
            &format!("downscale_{name}"),
            |level| {
                let mut out = vec![0; usize::from(side) * usize::from(side)];
                downscale(level, picture, axes, 0..side, 0..side, &mut Sums::default(), &mut out);
                out
            },
            |level| downscale(level, black_box(picture), axes, 0..side, 0..side, &mut sums, black_box(&mut out)),
        );
    }
}

fn neighbour_steps(c: &mut Criterion<CpuTime>) {
    let width = usize::from(SIZE.w);
    for content in [Content::Photo, Content::Text] {
        let pixels = mirror(SIZE, content).read().pixels.clone();
        let run = |level| {
            let mut cells = vec![Steps::default(); width / CELL];
            black_box(&pixels).chunks(width).for_each(|row| count_row(level, row, 0x00ff_ffff, 28, &mut cells));
            cells
        };
        levels(c, &format!("neighbour_steps_{content:?}").to_lowercase(), run, |level| {
            black_box(run(level));
        });
    }
}

fn scroll_vote(c: &mut Criterion<CpuTime>) {
    let width = usize::from(SIZE.w);
    let pixels = mirror(SIZE, Content::Text).read().pixels.clone();
    let mut hashes = Vec::new();
    let all = |level| {
        let mut hashes = Vec::new();
        let rows = pixels.chunks(width).map(|row| {
            window_hashes(level, row, &mut hashes);
            hashes.clone()
        });
        rows.collect::<Vec<_>>()
    };
    levels(c, "scroll_vote", all, |level| {
        for row in black_box(&pixels).chunks(width) {
            window_hashes(level, row, &mut hashes);
            black_box(&hashes);
        }
    });
}

fn ycbcr420(c: &mut Criterion<CpuTime>) {
    let width = usize::from(SIZE.w);
    let pixels = mirror(SIZE, Content::Photo).read().pixels.clone();
    let run = |level, planes: &mut [Vec<u8>; 3]| {
        let [luma, cb, cr] = planes;
        let rows = luma.chunks_mut(width * 2).zip(cb.chunks_mut(width / 2)).zip(cr.chunks_mut(width / 2));
        for (two, ((luma, cb), cr)) in black_box(&pixels).chunks(width * 2).zip(rows) {
            let (above, below) = two.split_at(width);
            let (first, second) = luma.split_at_mut(width);
            ycbcr420::ycbcr420(level, Order::Bgrx, [above, below], Rows { luma: [first, second], cb, cr });
        }
    };
    let empty = [vec![0; pixels.len()], vec![0; pixels.len() / 4], vec![0; pixels.len() / 4]];
    let mut planes = empty.clone();
    levels(
        c,
        "ycbcr420",
        |level| {
            let mut planes = empty.clone();
            run(level, &mut planes);
            planes
        },
        |level| run(level, black_box(&mut planes)),
    );
}

fn all(c: &mut Criterion<CpuTime>) {
    tile_diff(c);
    swap(c);
    neighbour_steps(c);
    scroll_vote(c);
    smaller(c);
    ycbcr420(c);
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = all
}
criterion_main!(benches);
