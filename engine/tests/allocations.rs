//! Allocations of steady frames, counted: invariant 5 of `ARCHITECTURE.md`.
//!
//! Counted are the thread of the test and the encoding pools, not the thread of an output. The named exceptions: a job that
//! enters rayon's pool from outside goes into a queue that allocates a block for every 63 of them, and C codecs have
//! buffers of their own, which are not seen here.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use farpane_engine::capture::synthetic;
use farpane_engine::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use farpane_engine::damage::{CpuDamage, DamageEngine, Mirror, Progress};
use farpane_engine::encode::{Codec, Params};
use farpane_engine::frame::{Frame, Hint, Memory, Piece};
use farpane_engine::geometry::{Point, Rect, Region, Size};
use farpane_engine::pipeline::{ClientPicture, Lanes, Output, View, ViewOutput};
use farpane_engine::pixel::{ClientFormat, Fourcc, Layout as Pixels, Modifier};

const LIMIT: Duration = Duration::from_secs(60);
const SIZE: Size = Size { w: 3840, h: 2160 };

// ---- the counter ----

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

fn note() {
    if COUNTED.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, SeqCst);
    }
}

// SAFETY: every call is the system allocator's, with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: `block` came from the system allocator, through `alloc`; the caller keeps the rest.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from the system allocator, through `alloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Runs `work` and returns how often this thread and the pools allocated meanwhile.
fn count<R>(work: impl FnOnce() -> R) -> (R, u64) {
    let before = ALLOCATIONS.load(SeqCst);
    COUNTED.set(true);
    let result = work();
    COUNTED.set(false);
    (result, ALLOCATIONS.load(SeqCst) - before)
}

/// One test at a time counts; rayon's own pool is counted from the first on.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    static POOL: Once = Once::new();
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    POOL.call_once(|| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).start_handler(|_| COUNTED.set(true));
        pool.build_global().expect("rayon's own pool");
        rayon::broadcast(|_| ());
    });
    guard
}

#[test]
fn an_allocation_is_seen_wherever_it_is_made() {
    let _alone = alone();
    assert_eq!(count(|| std::hint::black_box(1 + 1)).1, 0);
    assert_eq!(count(|| drop(std::hint::black_box(Box::new(1)))).1, 1);
    assert_eq!(count(|| drop(std::hint::black_box(vec![0u8; 5]))).1, 1);
    let grown = count(|| {
        let mut v = std::hint::black_box(Vec::with_capacity(1));
        v.extend_from_slice(&[1u8, 2, 3, 4, 5, 6, 7, 8, 9]);
        std::hint::black_box(v)
    });
    assert_eq!(grown.1, 2);
    let pool = rayon::broadcast(|_| COUNTED.get());
    assert!(pool.iter().all(|counted| *counted), "the pool is not counted");
}

// ---- pictures ----

type Picture = Arc<[u32]>;

/// A desktop, and the same with a letter at one of a few places.
fn letters() -> Vec<Picture> {
    let spec = synthetic::parse("3840x2160:still").expect("a scene");
    let base = synthetic::picture(&spec, 0);
    let places = [(100, 100), (110, 100), (1900, 1080), (3820, 2140)];
    places
        .iter()
        .map(|(left, top)| {
            let mut picture = base.clone();
            for y in 0..16 {
                picture[(top + y) * usize::from(SIZE.w) + left..][..10].fill(0x00ff_0000 + y as u32);
            }
            picture.into()
        })
        .collect()
}

/// A text that scrolls.
fn scrolls() -> Vec<Picture> {
    let spec = synthetic::parse("3840x2160:scroll").expect("a scene");
    (0..5).map(|n| synthetic::picture(&spec, n).into()).collect()
}

/// A window of noise, and small things all over the screen.
fn mixed() -> Vec<Picture> {
    let spec = synthetic::parse("3840x2160:still").expect("a scene");
    let base = synthetic::picture(&spec, 0);
    let mut seed = 1u32;
    let mut noise = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 8
    };
    (0..4)
        .map(|n| {
            let mut picture = base.clone();
            for y in 300..900 {
                picture[y * usize::from(SIZE.w) + 500..][..800].fill_with(&mut noise);
            }
            for i in 0..60 {
                let at = (40 + i * 35) * usize::from(SIZE.w) + 20 + (i * 977 + n) % 3700;
                picture[at..at + 12].fill_with(&mut noise);
            }
            picture.into()
        })
        .collect()
}

fn frame(picture: &Picture, hint: Hint, seq: u64) -> Frame {
    Frame {
        size: SIZE,
        fourcc: Fourcc::XRGB8888,
        modifier: Modifier::LINEAR,
        pieces: vec![Piece { rect: SIZE.rect(), offset: 0, stride: usize::from(SIZE.w) * 4 }],
        memory: Memory::Heap(Arc::clone(picture)),
        hint,
        acquire: None,
        seq,
        captured_at: Instant::now(),
        release: None,
    }
}

// ---- damage ----

/// Takes pictures round and round through a damage engine; the allocations of each frame once all buffers have grown.
fn damage(pictures: &[Picture], scroll: bool, hint: &Hint, rounds: usize) -> (Vec<u64>, CpuDamage) {
    let now = Instant::now();
    let mirror = Mirror::new(SIZE, Pixels::BGRX, now);
    let mut engine = CpuDamage::new();
    engine.set_scroll(scroll);
    let mut counts = Vec::with_capacity(rounds * pictures.len());
    for n in 0..(rounds + 2) * pictures.len() {
        let whole = if n < pictures.len() { Hint::Everything } else { hint.clone() };
        let frame = frame(&pictures[n % pictures.len()], whole, n as u64);
        let (changed, allocated) = count(|| {
            let ticket = engine.submit(frame, &mirror, now);
            let Progress::Done(damage) = engine.poll(ticket, &mirror, now) else { panic!("not done") };
            let changed = !damage.changed.is_empty() || !damage.copied.is_empty();
            engine.recycle(damage);
            changed
        });
        assert!(changed, "picture {n} changes nothing");
        if n >= 2 * pictures.len() {
            counts.push(allocated);
        }
    }
    (counts, engine)
}

/// Each frame enters the pool twice at most, to compare and to look for moves, and a block of the queue holds 63 entries; a thread
/// of the pool that first helps now may sign in.
fn assert_only_the_queue(counts: &[u64]) {
    let (worst, all) = (counts.iter().max().copied().unwrap_or(0), counts.iter().sum::<u64>());
    assert!(worst <= 2, "{worst} allocations in one frame: {counts:?}");
    assert!(all <= 2 * counts.len() as u64 / 63 + 2, "{all} allocations in {} frames: {counts:?}", counts.len());
}

#[test]
fn a_letter_on_a_4k_screen_allocates_nothing_in_damage() {
    let _alone = alone();
    let pictures = letters();
    for scroll in [false, true] {
        let (counts, _) = damage(&pictures, scroll, &Hint::Everything, 4);
        assert_only_the_queue(&counts);
        // small enough for one core, so there is no queue at all
        let mut places = Region::new();
        for (x, y) in [(100, 100), (110, 100), (1900, 1080), (3820, 2140)] {
            places.add(&Rect::new(x, y, 10, 16));
        }
        let (counts, _) = damage(&pictures, scroll, &Hint::Only(places), 4);
        assert_eq!(counts.iter().sum::<u64>(), 0, "{counts:?}");
    }
}

#[test]
fn a_4k_picture_that_scrolls_allocates_nothing_in_damage() {
    let _alone = alone();
    let pictures = scrolls();
    for scroll in [false, true] {
        let (counts, engine) = damage(&pictures, scroll, &Hint::Everything, 3);
        assert_only_the_queue(&counts);
        assert_eq!(engine.stats().copies > 0, scroll, "the search for moves did not run as it should");
    }
}

#[test]
fn a_damage_that_is_not_given_back_is_noticed() {
    let _alone = alone();
    let pictures = mixed();
    let now = Instant::now();
    let mirror = Mirror::new(SIZE, Pixels::BGRX, now);
    let mut engine = CpuDamage::new();
    let mut counts = Vec::new();
    for n in 0..12 {
        let frame = frame(&pictures[n % pictures.len()], Hint::Everything, n as u64);
        let (ticket, allocated) = count(|| engine.submit(frame, &mirror, now));
        counts.push(allocated);
        drop(engine.poll(ticket, &mirror, now));
    }
    assert!(counts[8..].iter().all(|c| *c > 0), "{counts:?}");
}

// ---- encoding ----

/// A source whose next picture comes when the test says so.
struct Film {
    pictures: Vec<Picture>,
    asked: Arc<AtomicUsize>,
    shown: Option<usize>,
    bell: Arc<Mutex<Option<Arc<Doorbell>>>>,
}

impl Source for Film {
    fn info(&self) -> OutputInfo {
        OutputInfo { name: "film".into(), position: Point::new(0, 0), size: SIZE, fourcc: Fourcc::XRGB8888 }
    }

    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError> {
        *self.bell.lock().unwrap_or_else(PoisonError::into_inner) = Some(bell);
        Ok(())
    }

    fn stop(&mut self) {}

    fn take(&mut self, _now: Instant) -> Option<SourceEvent> {
        let asked = self.asked.load(SeqCst);
        if self.shown.replace(asked) == Some(asked) {
            return None;
        }
        Some(SourceEvent::Frame(frame(&self.pictures[asked % self.pictures.len()], Hint::Everything, asked as u64)))
    }
}

/// Allocations and rectangles of each update, of one client alone on an output, once all buffers have grown.
fn updates(pictures: &[Picture], codec: Codec, rounds: usize) -> Vec<Vec<(u64, u64)>> {
    let (len, asked, bell) = (pictures.len(), Arc::new(AtomicUsize::new(0)), Arc::default());
    let film = Film { pictures: pictures.to_vec(), asked: Arc::clone(&asked), shown: None, bell: Arc::clone(&bell) };
    let output = Output::spawn(Box::new(film), Box::new(CpuDamage::new()), Box::new(|_| {}), Instant::now());
    let output = Arc::new(output.expect("an output"));
    let view = View { canvas: SIZE, outputs: vec![ViewOutput { output, at: Point::new(0, 0), size: SIZE }] };
    // one thread, so that its buffers have surely grown when counting begins
    let pool = || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).start_handler(|_| COUNTED.set(true));
        pool.build().expect("a pool")
    };
    let lanes = Lanes::of(pool(), pool(), pool());
    let params = Params { codec, format: ClientFormat::BGRX, compression: 2, jpeg: None };
    let mut picture = ClientPicture::new();
    let notify: Arc<dyn Fn() + Send + Sync> = Arc::new(|| {});
    picture.set_view(&view, &notify);
    let area = Region::from(SIZE.rect());
    let mut all = Vec::new();
    for round in 0..rounds + 2 {
        let mut counts = Vec::with_capacity(len);
        for _ in 0..len {
            picture.set_wants(true);
            let end = Instant::now() + LIMIT;
            while !picture.has_pending(&area) {
                assert!(Instant::now() < end, "no picture in time");
                std::thread::sleep(Duration::from_millis(1));
            }
            picture.set_wants(false);
            let (update, allocated) =
                count(|| picture.encode(&area, usize::MAX, &params, Duration::from_secs(1), &lanes, Instant::now()));
            assert!(update.rects > 0 && !picture.has_pending(&area));
            counts.push((allocated, u64::from(update.rects)));
            asked.fetch_add(1, SeqCst);
            if let Some(bell) = &*bell.lock().unwrap_or_else(PoisonError::into_inner) {
                bell.ring();
            }
        }
        if round >= 2 {
            all.push(counts);
        }
    }
    all
}

/// Allocations of an update besides those of its rectangles: lists of outputs, gates and results, the sort of the blocks,
/// the update's bytes and now and then a block of rayon's queue.
const UPDATE: u64 = 16;

#[test]
fn an_update_allocates_its_bytes_and_little_more_and_nothing_grows() {
    let _alone = alone();
    let (letters, mixed) = (letters(), mixed());
    // of a rectangle: the list that it is alone in, its chunk, and its head where it has one, which Tight's grows
    for (name, pictures, codec, each) in [
        ("letters", &letters, Codec::Zrle, 2),
        ("mixed", &mixed, Codec::Zrle, 2),
        ("mixed", &mixed, Codec::Tight, 5),
        ("mixed", &mixed, Codec::ZstdRle, 2),
        ("mixed", &mixed, Codec::TightZstd, 5),
        ("mixed", &mixed, Codec::Raw, 2),
    ] {
        let rounds = updates(pictures, codec, 3);
        println!("{name}, {codec:?}: allocations and rectangles of each update: {rounds:?}");
        for (n, (allocated, rects)) in rounds.iter().flatten().enumerate() {
            let most = UPDATE + each * rects;
            assert!(*allocated <= most, "{name}, {codec:?}, update {n}: {allocated} for {rects} rectangles");
        }
        // the queue's block may fall into any update
        let sums: Vec<u64> = rounds.iter().map(|r| r.iter().map(|(a, _)| a).sum()).collect();
        let (first, last) = (sums[0], sums[sums.len() - 1]);
        assert!(last <= first + rounds[0].len() as u64, "{name}, {codec:?}: {sums:?} allocations a round");
    }
}
