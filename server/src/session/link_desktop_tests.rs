//! The desktop of simulated sessions: a film and, beside it, letters that a user types.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use farpane_engine::capture::synthetic;
use farpane_engine::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use farpane_engine::frame::{Frame, Hint, Memory, Piece};
use farpane_engine::geometry::{Point, Rect, Region, Size};
use farpane_engine::pixel::{Fourcc, Modifier};

use crate::backend::{Backend, Layout, ResizeAnswer};
use crate::clipboard::Clipboard;
use crate::input::{InputSink, KeyInput, PointerInput};

pub(super) const SCREEN: Size = Size { w: 2304, h: 1200 };
pub(super) const FILM: Rect = Rect { x: 40, y: 70, w: 1920, h: 1080 };
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// What the desktop shows; the film's pictures are windows on one larger photograph.
pub(super) struct Stage {
    pub pixels: Vec<u32>,
    pub photo: Arc<Vec<u32>>,
    pub changed: Region,
    pub bell: Option<Arc<Doorbell>>,
    /// How often the source was asked and had nothing: all before is published by then.
    pub idle: u64,
    pub frames: u64,
}

const PHOTO_W: usize = 2048;

/// Made once: the tests share it.
pub(super) fn photo() -> Arc<Vec<u32>> {
    static PHOTO: OnceLock<Arc<Vec<u32>>> = OnceLock::new();
    let make = || {
        let spec = synthetic::parse(&format!("{PHOTO_W}x1200:video")).expect("a scene");
        Arc::new(synthetic::picture(&spec, 0))
    };
    Arc::clone(PHOTO.get_or_init(make))
}

impl Stage {
    pub fn fill(&mut self, rect: Rect, mut colour: impl FnMut(u16, u16) -> u32) {
        for y in rect.y..rect.bottom() {
            for x in rect.x..rect.right() {
                self.pixels[usize::from(y) * usize::from(SCREEN.w) + usize::from(x)] = colour(x, y);
            }
        }
        self.touched(rect);
    }

    pub fn film(&mut self, n: usize) {
        let (left, top) = (n * 17 % 127, n * 13 % 113);
        for row in 0..usize::from(FILM.h) {
            let from = (row + top) * PHOTO_W + left;
            let to = (usize::from(FILM.y) + row) * usize::from(SCREEN.w) + usize::from(FILM.x);
            let (w, photo) = (usize::from(FILM.w), &self.photo);
            self.pixels[to..to + w].copy_from_slice(&photo[from..from + w]);
        }
        self.touched(FILM);
    }

    fn touched(&mut self, rect: Rect) {
        self.changed.add(&rect);
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }
}

#[derive(Clone)]
pub(super) struct Screen(pub Arc<Mutex<Stage>>);

impl Screen {
    pub fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all that was painted is in the mirror; only while a client takes updates.
    pub fn settle(&self) {
        let idle = self.stage().idle;
        let end = Instant::now() + LIMIT;
        while !self.stage().changed.is_empty() || self.stage().idle == idle {
            assert!(Instant::now() < end, "the source is not asked");
            let bell = self.stage().bell.clone();
            if let Some(bell) = bell {
                bell.ring();
            }
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

impl Source for Screen {
    fn info(&self) -> OutputInfo {
        OutputInfo { name: "test".into(), position: Point::new(0, 0), size: SCREEN, fourcc: Fourcc::XRGB8888 }
    }

    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError> {
        let mut stage = self.stage();
        stage.bell = Some(bell);
        stage.changed = Region::from(SCREEN.rect());
        Ok(())
    }

    fn stop(&mut self) {
        self.stage().bell = None;
    }

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        let mut stage = self.stage();
        if stage.changed.is_empty() {
            stage.idle += 1;
            return None;
        }
        let changed = std::mem::take(&mut stage.changed);
        stage.frames += 1;
        Some(SourceEvent::Frame(Frame {
            size: SCREEN,
            fourcc: Fourcc::XRGB8888,
            modifier: Modifier::LINEAR,
            pieces: vec![Piece { rect: SCREEN.rect(), offset: 0, stride: usize::from(SCREEN.w) * 4 }],
            memory: Memory::Heap(stage.pixels.clone().into()),
            hint: Hint::Only(changed),
            acquire: None,
            seq: stage.frames,
            captured_at: now,
            release: None,
        }))
    }
}

/// A desktop that takes input and forgets it.
pub(super) struct Desktop;

impl InputSink for Desktop {
    fn key(&self, _: KeyInput) {}
    fn pointer(&self, _: PointerInput) {}
}

impl Backend for Desktop {
    fn name(&self) -> String {
        "simulated".into()
    }
    fn input(&self) -> Option<Arc<dyn InputSink>> {
        Some(Arc::new(Self))
    }
    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        None
    }
    fn resize(&self, _: &Layout) -> ResizeAnswer {
        ResizeAnswer::Prohibited
    }
    fn watch(&self, _: bool) {}
}
