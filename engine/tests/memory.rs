//! Bytes held by an output and its clients, counted by the allocator: the bounds that `ARCHITECTURE.md` promises.
//!
//! Counted is the Rust heap of the whole process. What is not seen here: the source's shared memory (one picture for X11), thread
//! stacks, and what C codecs allocate for themselves.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use farpane_engine::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use farpane_engine::damage::CpuDamage;
use farpane_engine::encode::{Codec, LADDER, Params};
use farpane_engine::frame::{Frame, Hint, Memory, Piece};
use farpane_engine::geometry::{Point, Region, Size};
use farpane_engine::pipeline::{ClientPicture, EncodedUpdate, Lanes, MAX_UPDATE, Output, View, ViewOutput};
use farpane_engine::pixel::{ClientFormat, Fourcc, Modifier};

const SIZE: Size = Size { w: 3840, h: 2160 };
const PICTURE_BYTES: i64 = 3840 * 2160 * 4;
const MIB: i64 = 1 << 20;
const LIMIT: Duration = Duration::from_secs(120);

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);

// SAFETY: every call is the system allocator's, with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, SeqCst);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, SeqCst);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size as i64 - layout.size() as i64, SeqCst);
        // SAFETY: `block` came from the system allocator, through `alloc`; the caller keeps the rest.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, SeqCst);
        // SAFETY: `block` came from the system allocator, through `alloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

fn live() -> i64 {
    LIVE.load(SeqCst)
}

/// A screen of noise and flat parts that is another whenever the test says so.
struct Noise {
    picture: Arc<[u32]>,
    turn: Arc<AtomicU64>,
    shown: Option<u64>,
    bell: Arc<Mutex<Option<Arc<Doorbell>>>>,
}

/// Half of it noise, the rest runs.
fn picture() -> Arc<[u32]> {
    let mut seed = 1u32;
    let pixel = |i: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if (i / 64).is_multiple_of(2) { seed >> 8 } else { ((i / 3840 / 8) as u32 * 0x0001_0305) & 0x00ff_ffff }
    };
    (0..SIZE.area() as usize).map(pixel).collect()
}

impl Source for Noise {
    fn info(&self) -> OutputInfo {
        OutputInfo { name: "noise".into(), position: Point::new(0, 0), size: SIZE, fourcc: Fourcc::XRGB8888 }
    }

    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError> {
        *self.bell.lock().unwrap_or_else(PoisonError::into_inner) = Some(bell);
        Ok(())
    }

    fn stop(&mut self) {}

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        let turn = self.turn.load(SeqCst);
        if self.shown.replace(turn) == Some(turn) {
            return None;
        }
        // the same memory from another row on: another picture without another buffer
        let (rows, stride) = (turn as usize % 2, usize::from(SIZE.w) * 4);
        let pieces = [(0, SIZE.h - 1, rows), (SIZE.h - 1, 1, 0)].map(|(y, h, from)| {
            let rect = farpane_engine::geometry::Rect::new(0, y, SIZE.w, h);
            Piece { rect, offset: from * stride, stride }
        });
        Some(SourceEvent::Frame(Frame {
            size: SIZE,
            fourcc: Fourcc::XRGB8888,
            modifier: Modifier::LINEAR,
            pieces: pieces.into(),
            memory: Memory::Heap(Arc::clone(&self.picture)),
            hint: Hint::Everything,
            acquire: None,
            seq: turn,
            captured_at: now,
            release: None,
        }))
    }
}

struct Client {
    picture: ClientPicture,
    params: Params,
    /// The update that is under way.
    update: EncodedUpdate,
}

impl Client {
    fn new(view: &View, codec: Codec) -> Self {
        let mut picture = ClientPicture::new();
        let notify: Arc<dyn Fn() + Send + Sync> = Arc::new(|| {});
        picture.set_can_copy(true);
        picture.set_view(view, &notify);
        let jpeg = (codec == Codec::Tight).then_some(LADDER[1]);
        let params = Params { codec, format: ClientFormat::BGRX, compression: 2, jpeg };
        Self { picture, params, update: EncodedUpdate::default() }
    }

    fn wait(&self, area: &Region) {
        self.picture.set_wants(true);
        let end = Instant::now() + LIMIT;
        while !self.picture.has_pending(area) {
            assert!(Instant::now() < end, "no picture in time");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.picture.set_wants(false);
    }

    /// Takes `most` updates at most; the last one stays under way.
    fn take(&mut self, area: &Region, lanes: &Lanes, most: usize) {
        for _ in 0..most {
            if !self.picture.has_pending(area) {
                return;
            }
            self.update = EncodedUpdate::default();
            let quiet = Duration::from_secs(3600);
            self.update = self.picture.encode(area, MAX_UPDATE, &self.params, quiet, lanes, Instant::now());
        }
    }
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn an_output_and_its_clients_hold_no_more_than_is_documented() {
    let picture = picture();
    let area = Region::from(SIZE.rect());
    for codec in [Codec::Tight, Codec::Zrle, Codec::Raw] {
        let start = live();
        let (turn, bell) = (Arc::new(AtomicU64::new(0)), Arc::default());
        let source =
            Noise { picture: Arc::clone(&picture), turn: Arc::clone(&turn), shown: None, bell: Arc::clone(&bell) };
        let output = Output::spawn(Box::new(source), Box::new(CpuDamage::new()), Box::new(|_| {}), Instant::now());
        let output = Arc::new(output.expect("an output"));
        let view = View { canvas: SIZE, outputs: vec![ViewOutput { output, at: Point::new(0, 0), size: SIZE }] };
        let lanes = Lanes::new(2, 0).expect("threads");
        let mut clients = Vec::new();
        let mut held = Vec::new();
        let next = || {
            turn.fetch_add(1, SeqCst);
            let bell: Option<Arc<Doorbell>> = bell.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(bell) = bell {
                bell.ring();
            }
        };
        for _ in 0..4 {
            clients.push(Client::new(&view, codec));
            for _ in 0..2 {
                next();
                for client in &mut clients {
                    client.wait(&area);
                    client.take(&area, &lanes, 20);
                }
            }
            // in the middle of a picture, with an update under way
            next();
            for client in &mut clients {
                client.wait(&area);
                client.take(&area, &lanes, 1);
            }
            held.push(live() - start);
        }
        println!("{codec:?}: bytes held by 1, 2, 3, 4 clients of a 4K output, their updates under way: {held:?}");
        // the source's picture is not among them: X11 has one in shared memory
        assert!(held[0] + PICTURE_BYTES <= 80 * MIB, "{codec:?}: one client holds {}", held[0]);
        assert!(held[0] >= PICTURE_BYTES, "{codec:?}: a mirror is not even counted");
        for (one, next) in held.iter().zip(&held[1..]) {
            assert!(next - one <= 10_000_000, "{codec:?}: one more client holds {}", next - one);
        }
        assert!(held[3] - held[0] >= 3 * 1024, "{codec:?}: clients that hold nothing");
    }
}
