//! A source that shows what a test paints.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use farpane_engine::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use farpane_engine::frame::{Frame, Hint, Memory, Piece};
use farpane_engine::geometry::{Point, Rect, Size};
use farpane_engine::pixel::{Fourcc, Modifier};

/// A picture that the test paints and a source hands out.
#[derive(Clone)]
pub struct Canvas {
    inner: Arc<Mutex<Inner>>,
    pub started: Arc<AtomicBool>,
    pub taken: Arc<AtomicU64>,
}

pub struct Inner {
    pub size: Size,
    pub pixels: Vec<u32>,
    pub fourcc: Fourcc,
    changed: bool,
    pub resized: bool,
    pub fail: bool,
    bell: Option<Arc<Doorbell>>,
}

impl Canvas {
    pub fn new(size: Size) -> Self {
        let pixels = vec![0x0020_4060; size.area() as usize];
        Self {
            inner: Arc::new(Mutex::new(Inner {
                size,
                pixels,
                fourcc: Fourcc::XRGB8888,
                changed: false,
                resized: false,
                fail: false,
                bell: None,
            })),
            started: Arc::default(),
            taken: Arc::default(),
        }
    }

    pub fn change(&self, f: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner.lock().unwrap();
        f(&mut inner);
        inner.changed = true;
        if let Some(bell) = &inner.bell {
            bell.ring();
        }
    }

    pub fn paint(&self, rect: Rect, mut colour: impl FnMut(u16, u16) -> u32) {
        self.change(|i| {
            for y in rect.y..rect.bottom() {
                for x in rect.x..rect.right() {
                    i.pixels[usize::from(y) * usize::from(i.size.w) + usize::from(x)] = colour(x, y) & 0x00ff_ffff;
                }
            }
        });
    }

    pub fn scroll_up(&self, rows: u16) {
        self.change(|i| {
            let w = usize::from(i.size.w);
            i.pixels.copy_within(usize::from(rows) * w.., 0);
        });
    }

    pub fn pixels(&self) -> Vec<u32> {
        self.inner.lock().unwrap().pixels.clone()
    }

    pub fn source(&self) -> Box<dyn Source> {
        Box::new(CanvasSource { canvas: self.clone(), seq: 0 })
    }
}

struct CanvasSource {
    canvas: Canvas,
    seq: u64,
}

impl Source for CanvasSource {
    fn info(&self) -> OutputInfo {
        let inner = self.canvas.inner.lock().unwrap();
        OutputInfo { name: "test".into(), position: Point::new(0, 0), size: inner.size, fourcc: inner.fourcc }
    }

    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError> {
        let mut inner = self.canvas.inner.lock().unwrap();
        if inner.fail {
            return Err(SourceError::Gone("the test says no".into()));
        }
        inner.bell = Some(bell);
        inner.changed = true;
        self.canvas.started.store(true, SeqCst);
        Ok(())
    }

    fn stop(&mut self) {
        self.canvas.inner.lock().unwrap().bell = None;
        self.canvas.started.store(false, SeqCst);
    }

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        let mut inner = self.canvas.inner.lock().unwrap();
        if inner.fail {
            return Some(SourceEvent::Lost(SourceError::Gone("the test says no".into())));
        }
        if std::mem::take(&mut inner.resized) {
            return Some(SourceEvent::Resized(inner.size));
        }
        if !std::mem::take(&mut inner.changed) {
            return None;
        }
        self.canvas.taken.fetch_add(1, SeqCst);
        self.seq += 1;
        Some(SourceEvent::Frame(Frame {
            size: inner.size,
            fourcc: inner.fourcc,
            modifier: Modifier::LINEAR,
            pieces: vec![Piece { rect: inner.size.rect(), offset: 0, stride: usize::from(inner.size.w) * 4 }],
            memory: Memory::Heap(inner.pixels.clone().into()),
            hint: Hint::Everything,
            acquire: None,
            seq: self.seq,
            captured_at: now,
            release: None,
        }))
    }
}
