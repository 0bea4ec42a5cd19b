//! The CPU engine against a plain model: pictures, hints, odd memory, bad frames, live memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::frame::{Hint, Memory, Piece, SharedMemory};
use crate::geometry::Size;
use crate::pixel::{Fourcc, Layout, Modifier};
use crate::tile::{CELL, SLACK_PX, SLACK_SHARE};

/// A small generator, so that large pictures need no large shrinking input.
pub(super) struct Noise(pub u64);

impl Noise {
    pub(super) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n.max(1)
    }
}

pub(super) fn frame(size: Size, pieces: Vec<Piece>, memory: Memory, hint: Hint) -> Frame {
    Frame {
        size,
        fourcc: Fourcc::XRGB8888,
        modifier: Modifier::LINEAR,
        pieces,
        memory,
        hint,
        acquire: None,
        seq: 0,
        captured_at: Instant::now(),
        release: None,
    }
}

/// A frame of a whole picture without gaps.
pub(super) fn whole(size: Size, picture: &[u32]) -> Frame {
    let piece = Piece { rect: size.rect(), offset: 0, stride: usize::from(size.w) * 4 };
    frame(size, vec![piece], Memory::Heap(picture.into()), Hint::Everything)
}

pub(super) fn feed(engine: &mut CpuDamage, mirror: &Mirror, frame: Frame) -> Damage {
    let now = Instant::now();
    let ticket = engine.submit(frame, mirror, now);
    match engine.poll(ticket, mirror, now) {
        Progress::Done(damage) => damage,
        other => panic!("not done: {other:?}"),
    }
}

/// What is wrong with a damage, if anything: a pixel that differs outside it, or more around it than is allowed.
fn fault(size: Size, old: &[u32], new: &[u32], changed: &Region) -> Option<String> {
    let w = usize::from(size.w);
    let mut exact = vec![Rect::default(); usize::from(size.w.div_ceil(CELL)) * usize::from(size.h.div_ceil(CELL))];
    for (i, (o, n)) in old.iter().zip(new).enumerate() {
        if o == n {
            continue;
        }
        let p = Point::new((i % w) as u16, (i / w) as u16);
        if !changed.contains_point(p) {
            return Some(format!("{p:?} differs and is not in {changed:?}"));
        }
        let cell = usize::from(p.y / CELL) * usize::from(size.w.div_ceil(CELL)) + usize::from(p.x / CELL);
        exact[cell] = exact[cell].bounds_with(&Rect::new(p.x, p.y, 1, 1));
    }
    let area: u64 = exact.iter().map(Rect::area).sum();
    let cells = exact.iter().filter(|r| !r.is_empty()).count() as u64;
    let most = area + area / SLACK_SHARE + cells * SLACK_PX;
    (changed.area() > most).then(|| format!("{} px reported, at most {most} allowed", changed.area()))
}

/// A picture in odd memory: a shifted start, wide rows, noise in padding bits, row gaps and before the start.
pub(super) fn poisoned(size: Size, rects: &[Rect], picture: &[u32], noise: &mut Noise) -> (Vec<Piece>, Memory) {
    let mut bytes = Vec::new();
    let mut pieces = Vec::new();
    for rect in rects {
        let (w, h) = (usize::from(rect.w), usize::from(rect.h));
        let offset = bytes.len() + noise.below(9);
        let stride = w * 4 + noise.below(40);
        bytes.resize_with(offset + stride * h, || noise.next() as u8);
        for y in 0..h {
            for x in 0..w {
                let at = (usize::from(rect.y) + y) * usize::from(size.w) + usize::from(rect.x) + x;
                let pixel = picture[at] | (noise.next() << 24);
                bytes[offset + y * stride + x * 4..][..4].copy_from_slice(&pixel.to_le_bytes());
            }
        }
        pieces.push(Piece { rect: *rect, offset, stride });
    }
    while !bytes.len().is_multiple_of(4) {
        bytes.push(0xee);
    }
    let words: Vec<u32> = bytes.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
    (pieces, Memory::Heap(words.into()))
}

pub(super) fn random_rect(size: Size, noise: &mut Noise) -> Rect {
    let (x, y) = (noise.below(size.w.into()), noise.below(size.h.into()));
    let (w, h) = (noise.below(usize::from(size.w) - x + 1), noise.below(usize::from(size.h) - y + 1));
    Rect::new(x as u16, y as u16, w as u16, h as u16)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn damage_is_never_too_small_and_the_mirror_follows(
        w in 1u16..200, h in 1u16..150, seed in any::<u64>(), changes in 0usize..12, banded in any::<bool>(), hinted in any::<bool>()
    ) {
        let size = Size::new(w, h);
        let mut noise = Noise(seed);
        let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
        let mut engine = CpuDamage::new();
        let mut old = vec![0u32; usize::from(w) * usize::from(h)];
        for round in 0..3 {
            let mut new = old.clone();
            for _ in 0..changes {
                let r = random_rect(size, &mut noise);
                let flat = noise.next() & 0xff_ffff;
                let solid = noise.below(2) == 0;
                for y in r.y..r.bottom() {
                    for x in r.x..r.right() {
                        let v = if solid { flat } else { noise.next() & 0xff_ffff };
                        new[usize::from(y) * usize::from(w) + usize::from(x)] = v;
                    }
                }
            }
            let mut rects = vec![size.rect()];
            if banded {
                rects = (0..3).map(|_| random_rect(size, &mut noise)).collect();
            }
            let mut hint = Hint::Everything;
            if hinted {
                let mut region = Region::new();
                for _ in 0..3 {
                    region.add(&random_rect(size, &mut noise));
                }
                hint = Hint::Only(region);
            }
            // What the frame shows of the new picture; the rest stays as it was.
            let seen = |p: Point| {
                rects.iter().any(|r| r.contains_point(p))
                    && match &hint {
                        Hint::Everything => true,
                        Hint::Only(r) => r.contains_point(p),
                    }
            };
            for (i, (n, o)) in new.iter_mut().zip(&old).enumerate() {
                if !seen(Point::new((i % usize::from(w)) as u16, (i / usize::from(w)) as u16)) {
                    *n = *o;
                }
            }
            let (pieces, memory) = poisoned(size, &rects, &new, &mut noise);
            let before = mirror.read().cell_seq.clone();
            let damage = feed(&mut engine, &mirror, frame(size, pieces, memory, hint));
            let data = mirror.read();
            prop_assert_eq!(&data.pixels, &new, "round {}", round);
            prop_assert_eq!(fault(size, &old, &new, &damage.changed), None);
            prop_assert_eq!(damage.seq, data.seq);
            for row in 0..data.grid.rows() {
                for col in 0..data.grid.cols() {
                    let rect = data.grid.rect(col, row);
                    let touched = (rect.y..rect.bottom()).any(|y| {
                        let at = usize::from(y) * usize::from(w) + usize::from(rect.x);
                        old[at..at + usize::from(rect.w)] != new[at..at + usize::from(rect.w)]
                    });
                    let cell = data.grid.index(col, row);
                    let expect = if touched { data.seq } else { before[cell] };
                    prop_assert_eq!(data.cell_seq[cell], expect);
                }
            }
            old = new;
        }
    }
}

#[test]
fn a_wrong_damage_is_caught() {
    let size = Size::new(130, 70);
    let old = vec![0; 130 * 70];
    let mut new = old.clone();
    new[69 * 130 + 129] = 1;
    let right = Region::from(Rect::new(129, 69, 1, 1));
    assert_eq!(fault(size, &old, &new, &right), None);
    assert!(fault(size, &old, &new, &Region::from(Rect::new(128, 69, 1, 1))).is_some());
    assert!(fault(size, &old, &new, &Region::new()).is_some());
    assert!(fault(size, &old, &new, &Region::from(size.rect())).is_some());
}

#[test]
fn one_pixel_anywhere_in_a_cell_is_one_pixel_of_damage() {
    let size = Size::new(150, 140);
    let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
    let mut engine = CpuDamage::new();
    let mut picture = vec![0u32; 150 * 140];
    for y in 63..130u16 {
        for x in 63..130u16 {
            picture[usize::from(y) * 150 + usize::from(x)] = 0x00_00_01;
            let damage = feed(&mut engine, &mirror, whole(size, &picture));
            assert_eq!(damage.changed.rects(), [Rect::new(x, y, 1, 1)]);
        }
    }
}

#[test]
fn a_still_picture_changes_nothing() {
    let size = Size::new(100, 100);
    let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
    let mut engine = CpuDamage::new();
    let picture = vec![0xff12_3456; 100 * 100];
    assert_eq!(feed(&mut engine, &mirror, whole(size, &picture)).changed.rects(), [size.rect()]);
    let damage = feed(&mut engine, &mirror, whole(size, &picture.iter().map(|p| p & 0xff_ffff).collect::<Vec<_>>()));
    assert!(damage.changed.is_empty());
    assert_eq!((damage.seq, mirror.read().seq), (1, 1));
    let stats = engine.stats();
    assert_eq!((stats.frames, stats.compared_px, stats.changed_px, stats.source_bytes), (2, 20_000, 10_000, 80_000));
}

#[test]
fn large_frames_on_several_cores_give_the_same_result() {
    let size = Size::new(1000, 700);
    let mut noise = Noise(7);
    let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
    let mut engine = CpuDamage::new();
    let old: Vec<u32> = (0..700_000).map(|_| noise.next() & 0xff_ffff).collect();
    feed(&mut engine, &mirror, whole(size, &old));
    let mut new = old.clone();
    for _ in 0..200 {
        new[noise.below(700_000)] ^= 0x80;
    }
    let damage = feed(&mut engine, &mirror, whole(size, &new));
    assert_eq!(fault(size, &old, &new, &damage.changed), None);
    assert_eq!(mirror.read().pixels, new);
}

#[test]
fn two_frames_in_flight_complete_in_order() {
    let size = Size::new(64, 64);
    let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
    let mut engine = CpuDamage::new();
    let now = Instant::now();
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let mut first = whole(size, &[1; 64 * 64]);
    first.acquire = Some(reader);
    let first = engine.submit(first, &mirror, now);
    let second = engine.submit(whole(size, &[2; 64 * 64]), &mirror, now);
    assert!(matches!(engine.poll(second, &mirror, now), Progress::Pending), "waits behind the first");
    assert!(matches!(engine.poll(first, &mirror, now), Progress::Pending), "its fence has not signalled");
    rustix::io::write(&writer, &[0]).expect("a write");
    let Progress::Done(one) = engine.poll(first, &mirror, now) else { panic!("the fence has signalled") };
    let Progress::Done(two) = engine.poll(second, &mirror, now) else { panic!("the first is done") };
    assert_eq!((one.seq, two.seq), (1, 2));
    assert_eq!(mirror.read().pixels[0], 2);
    assert!(matches!(engine.poll(second, &mirror, now), Progress::Pending), "answered once");
}

#[test]
fn frames_that_cannot_be_read_are_handed_back() {
    let size = Size::new(20, 10);
    let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
    let now = Instant::now();
    let pixels = vec![5u32; 200];
    let good = Piece { rect: size.rect(), offset: 0, stride: 80 };
    let with = |change: &dyn Fn(&mut Frame)| {
        let mut frame = whole(size, &pixels);
        change(&mut frame);
        frame
    };
    let bad: Vec<(&str, Frame)> = vec![
        ("size", with(&|f| f.size = Size::new(20, 11))),
        ("format", with(&|f| f.fourcc = Fourcc::XBGR8888)),
        ("unknown format", with(&|f| f.fourcc = Fourcc(0))),
        ("tiled", with(&|f| f.modifier = Modifier(1))),
        ("outside", with(&|f| f.pieces[0].rect = Rect::new(1, 0, 20, 10))),
        ("crooked rectangle", with(&|f| f.pieces[0].rect = Rect { x: 65_535, y: 0, w: 9, h: 1 })),
        ("stride", with(&|f| f.pieces[0].stride = 79)),
        ("offset", with(&|f| f.pieces[0].offset = 1)),
        ("huge stride", with(&|f| f.pieces[0].stride = usize::MAX)),
        ("huge offset", with(&|f| f.pieces[0].offset = usize::MAX)),
        ("second piece", with(&|f| f.pieces = vec![good, Piece { offset: 4, ..good }])),
        ("short memory", with(&|f| f.memory = Memory::Heap(vec![5; 199].into()))),
    ];
    let mut engine = CpuDamage::new();
    let count = bad.len() as u64;
    for (what, frame) in bad {
        let ticket = engine.submit(frame, &mirror, now);
        assert!(matches!(engine.poll(ticket, &mirror, now), Progress::Failed(_)), "{what}");
    }
    assert_eq!(engine.stats().failed, count);
    assert_eq!(mirror.read().seq, 0);
    assert!(mirror.read().pixels.iter().all(|&p| p == 0));
    assert_eq!(feed(&mut engine, &mirror, whole(size, &pixels)).changed.area(), 200);
}

#[test]
fn frames_without_pieces_or_pixels_change_nothing() {
    for size in [Size::new(0, 0), Size::new(0, 5), Size::new(5, 0), Size::new(5, 5)] {
        let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
        let damage =
            feed(&mut CpuDamage::new(), &mirror, frame(size, vec![], Memory::Heap(vec![].into()), Hint::Everything));
        assert!(damage.changed.is_empty());
    }
}

/// Memory that a thread of the test writes to, as another process would.
pub(super) struct Live(pub Vec<AtomicU32>);

impl SharedMemory for Live {
    fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr().cast()
    }

    fn len(&self) -> usize {
        self.0.len() * 4
    }
}

/// Ends the writer, also when an assertion fails.
pub(super) struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn memory_written_while_it_is_read_ends_exact() {
    let size = Size::new(200, 100);
    let live = Arc::new(Live((0..20_000).map(AtomicU32::new).collect()));
    let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
    let mut engine = CpuDamage::new();
    let stop = AtomicBool::new(false);
    let shared = || {
        let piece = Piece { rect: size.rect(), offset: 0, stride: 800 };
        frame(size, vec![piece], Memory::Shared(live.clone()), Hint::Everything)
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut noise = Noise(3);
            while !stop.load(Ordering::Relaxed) {
                live.0[noise.below(20_000)].store(noise.next(), Ordering::Relaxed);
            }
        });
        let _ended = Stop(&stop);
        for _ in 0..200 {
            let before = mirror.read().pixels.clone();
            let damage = feed(&mut engine, &mirror, shared());
            let data = mirror.read();
            // Whatever was read: the damage is true of the mirror, and no padding bit got in.
            assert_eq!(fault(size, &before, &data.pixels, &damage.changed), None);
            assert!(data.pixels.iter().all(|p| p >> 24 == 0));
        }
    });
    feed(&mut engine, &mirror, shared());
    let last: Vec<u32> = live.0.iter().map(|p| p.load(Ordering::Relaxed) & 0xff_ffff).collect();
    assert_eq!(mirror.read().pixels, last);
    assert!(feed(&mut engine, &mirror, shared()).changed.is_empty());
}
