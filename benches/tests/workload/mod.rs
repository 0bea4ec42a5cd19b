//! Scripted desktops, each picture of which is taken, sent and counted.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use farpane_benches::Content;
use farpane_engine::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use farpane_engine::damage::{CpuDamage, Damage, DamageEngine, Mirror, Progress, Ticket};
use farpane_engine::encode::{Codec, LADDER, Params};
use farpane_engine::frame::{Frame, Hint, Memory, Piece};
use farpane_engine::geometry::{Point, Rect, Region, Size};
use farpane_engine::pipeline::{ClientPicture, Lanes, Output, View, ViewOutput};
use farpane_engine::pixel::{ClientFormat, Fourcc, Layout, Modifier};

const SIZE: Size = Size { w: 1280, h: 720 };
const LIMIT: Duration = Duration::from_secs(60);

/// Codecs that workloads are sent in: a name, and whether photographs may be lossy.
pub const CODECS: [(&str, Codec, bool); 3] =
    [("tight-q8", Codec::Tight, true), ("tight", Codec::Tight, false), ("zrle", Codec::Zrle, false)];

/// What happens on the desktop.
#[derive(Clone, Copy)]
pub enum Workload {
    /// A letter of 10x20 px at a time.
    Typing,
    /// A window of text moves up by a line.
    Scroll,
    /// A window is dragged over a photograph.
    Drag,
    /// A photograph pans in a part of the screen.
    Film,
}

/// What a workload cost without its first picture.
pub struct Cost {
    /// Bytes of its updates.
    pub bytes: u64,
    /// Bytes of pixels read from the source, read from the mirror by encoders, and of encoded pixels put into updates.
    pub copied_bytes: u64,
}

const WINDOW: Rect = Rect { x: 200, y: 90, w: 640, h: 540 };

impl Workload {
    pub const ALL: [Self; 4] = [Self::Typing, Self::Scroll, Self::Drag, Self::Film];

    pub fn name(self) -> &'static str {
        match self {
            Self::Typing => "typing",
            Self::Scroll => "scroll",
            Self::Drag => "drag",
            Self::Film => "film",
        }
    }

    /// The colour of a place in picture `n`.
    fn colour(self, x: u32, y: u32, n: u32) -> [u8; 3] {
        let window = |left: u32, top: u32| x >= left && y >= top && x < left + 640 && y < top + 540;
        match self {
            Self::Typing => {
                let typed = window(200, 90) && y / 20 == 15 && x / 10 < 30 + n;
                let ink = (x % 10 + y % 20 * 3 + x / 10).is_multiple_of(4);
                if typed && ink { [30, 30, 30] } else { [250, 250, 246] }
            }
            Self::Scroll if window(200, 90) => Content::Text.colour(x, y + n * 18),
            Self::Scroll => Content::Desktop.colour(x, y),
            Self::Drag if window(200 + n * 7, 90 + n * 3) => Content::Text.colour(x - n * 7, y - n * 3),
            Self::Drag => Content::Photo.colour(x, y),
            Self::Film if window(200, 90) => Content::Photo.colour(x + n * 13, y + n * 7),
            Self::Film => Content::Text.colour(x, y),
        }
    }

    /// Pictures after the first.
    fn pictures(self) -> u32 {
        if matches!(self, Self::Typing) { 30 } else { 5 }
    }

    /// Where picture `n` differs from the one before: what a source would say, a little generously.
    fn hint(self, n: u32) -> Region {
        match self {
            Self::Typing => Region::from(Rect::new(300, 300, (n as u16) * 10, 20)),
            Self::Scroll | Self::Film => Region::from(WINDOW),
            Self::Drag => Region::from(Rect::new(200, 90, 640 + 7 * 6, 540 + 3 * 6)),
        }
    }

    fn paint(self, n: u32) -> Arc<[u32]> {
        let width = usize::from(SIZE.w);
        let pixel = |i: usize| Layout::BGRX.pixel(self.colour((i % width) as u32, (i / width) as u32, n));
        (0..width * usize::from(SIZE.h)).map(pixel).collect()
    }

    /// Sends every picture in an update of its own.
    pub fn run(self, (_, codec, jpeg): (&str, Codec, bool)) -> Cost {
        let film = Film { workload: self, shown: Arc::new(Mutex::new(Shown { next: Some(0), bell: None })) };
        let shown = Arc::clone(&film.shown);
        let read = Arc::new(AtomicU64::new(0));
        let damage = Counted { inner: CpuDamage::new(), read: Arc::clone(&read) };
        let output = Output::spawn(Box::new(film), Box::new(damage), Box::new(|_| {}), Instant::now());
        let output = Arc::new(output.expect("an output"));
        let view = View {
            canvas: SIZE,
            outputs: vec![ViewOutput { output: Arc::clone(&output), at: Point::new(0, 0), size: SIZE }],
        };
        let mut picture = ClientPicture::new();
        picture.set_can_copy(true);
        let notify: Arc<dyn Fn() + Send + Sync> = Arc::new(|| {});
        picture.set_view(&view, &notify);
        picture.set_wants(true);
        let lanes = Lanes::new(1, 0).expect("threads");
        let params = Params { codec, format: ClientFormat::BGRX, compression: 2, jpeg: jpeg.then_some(LADDER[1]) };
        let area = Region::from(SIZE.rect());
        let (mut bytes, mut before) = (0, 0);
        let copied = |sent: u64| read.load(SeqCst) + output.stats().encoded_px.load(SeqCst) * 4 + sent;
        let end = Instant::now() + LIMIT;
        for n in 0..=self.pictures() {
            while !picture.has_pending(&area) {
                assert!(Instant::now() < end, "picture {n} of {} is not taken", self.name());
                std::thread::sleep(Duration::from_micros(200));
            }
            let update = picture.encode(&area, usize::MAX, &params, LIMIT * 60, &lanes, Instant::now());
            assert!(update.rects > 0 && !picture.has_pending(&area));
            if n == 0 {
                before = copied(0);
            } else {
                bytes += update.bytes.len() as u64;
            }
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.next = Some(n + 1);
            if let Some(bell) = &shown.bell {
                bell.ring();
            }
            drop(shown);
            if n == self.pictures() {
                break;
            }
        }
        Cost { bytes, copied_bytes: copied(bytes) - before }
    }
}

struct Shown {
    next: Option<u32>,
    bell: Option<Arc<Doorbell>>,
}

struct Film {
    workload: Workload,
    shown: Arc<Mutex<Shown>>,
}

impl Source for Film {
    fn info(&self) -> OutputInfo {
        OutputInfo { name: "film".into(), position: Point::new(0, 0), size: SIZE, fourcc: Fourcc::XRGB8888 }
    }

    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).bell = Some(bell);
        Ok(())
    }

    fn stop(&mut self) {}

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        let n = self.shown.lock().unwrap_or_else(PoisonError::into_inner).next.take()?;
        if n > self.workload.pictures() {
            return None;
        }
        Some(SourceEvent::Frame(Frame {
            size: SIZE,
            fourcc: Fourcc::XRGB8888,
            modifier: Modifier::LINEAR,
            pieces: vec![Piece { rect: SIZE.rect(), offset: 0, stride: usize::from(SIZE.w) * 4 }],
            memory: Memory::Heap(self.workload.paint(n)),
            hint: if n == 0 { Hint::Everything } else { Hint::Only(self.workload.hint(n)) },
            acquire: None,
            seq: u64::from(n),
            captured_at: now,
            release: None,
        }))
    }
}

/// The CPU's damage engine, whose reads are counted.
struct Counted {
    inner: CpuDamage,
    read: Arc<AtomicU64>,
}

impl DamageEngine for Counted {
    fn abandon(&mut self) {
        self.inner.abandon();
    }

    fn submit(&mut self, frame: Frame, mirror: &Mirror, now: Instant) -> Ticket {
        let ticket = self.inner.submit(frame, mirror, now);
        self.read.store(self.inner.stats().source_bytes, SeqCst);
        ticket
    }

    fn poll(&mut self, ticket: Ticket, mirror: &Mirror, now: Instant) -> Progress {
        self.inner.poll(ticket, mirror, now)
    }

    fn set_scroll(&mut self, wanted: bool) {
        self.inner.set_scroll(wanted);
    }

    fn recycle(&mut self, damage: Damage) {
        self.inner.recycle(damage);
    }
}
