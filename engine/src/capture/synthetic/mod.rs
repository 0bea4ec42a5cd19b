//! Pictures made by rule: the demo's desktop and the contents that tests and measurements need.
//!
//! INVARIANT: picture `n` is a pure function of the specification and `n`. A source paints only what differs from the picture that its
//! buffer still holds, and its hint covers everything that differs from the frame before; tests compare both with whole pictures.

mod desktop;
mod font;
mod paint;
mod photo;
mod plain;
mod pointer;
mod text;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use crate::frame::{CursorImage, Frame, Hint, Memory, Piece, Pool};
use crate::geometry::{Point, Rect, Region, Size};
use crate::pixel::{Fourcc, Modifier};

/// Smallest and largest side of a scene.
pub const SIDES: std::ops::RangeInclusive<u16> = 16..=16_384;
/// Pictures a second that a scene may have.
pub const RATES: std::ops::RangeInclusive<u16> = 1..=240;
/// Frames of one source that may be alive at once.
const BUFFERS: usize = 3;

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scene {
    /// The demo: windows, scrolling text, a panning photograph, a clock, a pointer.
    #[default]
    Desktop,
    /// The demo's first picture, for ever.
    Still,
    /// One more letter ten times a second.
    Typing,
    /// A screen full of text that moves up one line with every picture.
    Scroll,
    /// A photograph that pans over the whole screen.
    Video,
    /// Every pixel another with every picture.
    Noise,
}

impl Scene {
    /// Every scene.
    pub const ALL: [Self; 6] = [Self::Desktop, Self::Still, Self::Typing, Self::Scroll, Self::Video, Self::Noise];

    /// The word that selects it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Still => "still",
            Self::Typing => "typing",
            Self::Scroll => "scroll",
            Self::Video => "video",
            Self::Noise => "noise",
        }
    }
}

/// Size, rate and scene of a synthetic source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntheticSpec {
    /// Size of the output, each side within [`SIDES`].
    pub size: Size,
    /// Pictures a second, within [`RATES`].
    pub fps: u16,
    /// What is shown.
    pub scene: Scene,
}

impl Default for SyntheticSpec {
    fn default() -> Self {
        Self { size: Size::new(3840, 2160), fps: 30, scene: Scene::Desktop }
    }
}

/// Why a specification was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Not of the form that is documented.
    #[error("synthetic source {0:?} (expected WxH[@FPS][:SCENE], like 1920x1080@30:desktop)")]
    Form(String),
    /// A side that is no number or out of range.
    #[error("{which} {text:?} of a synthetic source (expected {}..={})", SIDES.start(), SIDES.end())]
    Side {
        /// `width` or `height`.
        which: &'static str,
        /// What was given.
        text: String,
    },
    /// A rate that is no number or out of range.
    #[error("{text:?} pictures a second (expected {}..={})", RATES.start(), RATES.end())]
    Rate {
        /// What was given.
        text: String,
    },
    /// A scene that there is not.
    #[error("scene {0:?} (expected one of desktop, still, typing, scroll, video, noise)")]
    Scene(String),
}

/// Reads `WxH[@FPS][:SCENE]`; empty text means the default, 3840x2160@30:desktop.
///
/// ```
/// use farpane_engine::capture::synthetic::{parse, Scene};
/// let spec = parse("1920x1080:typing").unwrap();
/// assert_eq!((spec.size.w, spec.fps, spec.scene), (1920, 30, Scene::Typing));
/// assert!(parse("8x1080").is_err());
/// ```
///
/// # Errors
/// When the form is another, a number is out of range or the scene unknown.
pub fn parse(text: &str) -> Result<SyntheticSpec, SpecError> {
    let default = SyntheticSpec::default();
    if text.is_empty() {
        return Ok(default);
    }
    let (rest, scene) = match text.split_once(':') {
        None => (text, default.scene),
        Some((rest, name)) => match Scene::ALL.into_iter().find(|s| s.name() == name) {
            Some(scene) => (rest, scene),
            None => return Err(SpecError::Scene(name.to_owned())),
        },
    };
    let (size, fps) = match rest.split_once('@') {
        None => (rest, default.fps),
        Some((size, rate)) => (size, number(rate, &RATES).ok_or_else(|| SpecError::Rate { text: rate.to_owned() })?),
    };
    let (w, h) = size.split_once('x').ok_or_else(|| SpecError::Form(text.to_owned()))?;
    let side = |which, t: &str| number(t, &SIDES).ok_or_else(|| SpecError::Side { which, text: t.to_owned() });
    Ok(SyntheticSpec { size: Size::new(side("width", w)?, side("height", h)?), fps, scene })
}

fn number(text: &str, range: &std::ops::RangeInclusive<u16>) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|v| digits && range.contains(v))
}

impl std::fmt::Display for SyntheticSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}:{}", self.size, self.fps, self.scene.name())
    }
}

impl SyntheticSpec {
    /// The picture that is due `elapsed` after the start.
    pub fn picture_at(&self, elapsed: Duration) -> u64 {
        (elapsed.as_nanos() * u128::from(self.fps) / 1_000_000_000) as u64
    }

    /// When picture `n` is due, counted from the start.
    pub fn due(&self, n: u64) -> Duration {
        let ns = (u128::from(n) * 1_000_000_000).div_ceil(u128::from(self.fps));
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// Where the scene's pointer is in picture `n`.
    pub fn pointer(&self, n: u64) -> Point {
        pointer::position(self, n)
    }
}

/// The scene's pointer: one shape for all.
pub fn pointer_image() -> CursorImage {
    pointer::image()
}

/// The scene with everything that is made once.
#[derive(Debug)]
enum Stage {
    Desktop(Box<desktop::Desktop>),
    Plain(plain::Plain),
}

impl Stage {
    fn new(spec: &SyntheticSpec) -> Self {
        match spec.scene {
            Scene::Desktop | Scene::Still => Self::Desktop(Box::new(desktop::Desktop::new(spec))),
            Scene::Typing | Scene::Scroll | Scene::Video | Scene::Noise => Self::Plain(plain::Plain::new(spec)),
        }
    }

    /// Paints what of picture `n` lies in `clip`.
    fn paint(&self, px: &mut [u32], clip: Rect, n: u64) {
        match self {
            Self::Desktop(d) => d.paint(px, clip, n),
            Self::Plain(p) => p.paint(px, clip, n),
        }
    }

    /// Where picture `to` may differ from picture `from`.
    fn changes(&self, from: u64, to: u64, out: &mut Region) {
        out.clear();
        if from == to {
            return;
        }
        match self {
            Self::Desktop(d) => d.changes(from, to, out),
            Self::Plain(p) => p.changes(from, to, out),
        }
    }

    /// The first picture after `n` that may differ from it; none when there is none.
    fn next_change(&self, n: u64) -> Option<u64> {
        match self {
            Self::Desktop(d) => d.next_change(n),
            Self::Plain(p) => Some(p.next_change(n)),
        }
    }
}

/// Picture `n` of a specification, whole: `w * h` pixels in XRGB8888, rows without padding.
///
/// Cost: makes the whole scene anew; for tests.
pub fn picture(spec: &SyntheticSpec, n: u64) -> Vec<u32> {
    let mut px = vec![0; usize::from(spec.size.w) * usize::from(spec.size.h)];
    Stage::new(spec).paint(&mut px, spec.size.rect(), n);
    px
}

/// A source that makes its pictures by rule and by the clock.
///
/// When pictures are taken more slowly than the rate, those in between are left out.
#[derive(Debug)]
pub struct SyntheticSource {
    spec: SyntheticSpec,
    epoch: Instant,
    stage: Option<Stage>,
    running: bool,
    last: Option<u64>,
    asked: u64,
    seq: u64,
    pool: Pool<u64>,
    changed: Region,
    stale: Region,
}

impl SyntheticSource {
    /// A source whose picture 0 is due at `epoch`.
    pub fn new(spec: SyntheticSpec, epoch: Instant) -> Self {
        Self {
            spec,
            epoch,
            stage: None,
            running: false,
            last: None,
            asked: 0,
            seq: 0,
            pool: Pool::new(BUFFERS),
            changed: Region::new(),
            stale: Region::new(),
        }
    }
}

impl Source for SyntheticSource {
    fn info(&self) -> OutputInfo {
        OutputInfo {
            name: "synthetic".to_owned(),
            position: Point::default(),
            size: self.spec.size,
            fourcc: Fourcc::XRGB8888,
        }
    }

    fn start(&mut self, _bell: Arc<Doorbell>) -> Result<(), SourceError> {
        self.stage.get_or_insert_with(|| Stage::new(&self.spec));
        self.running = true;
        self.last = None;
        Ok(())
    }

    fn stop(&mut self) {
        self.running = false;
        self.stage = None;
        self.pool.clear();
    }

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        let stage = self.stage.as_ref().filter(|_| self.running)?;
        let n = self.spec.picture_at(now.saturating_duration_since(self.epoch));
        self.asked = n;
        if let Some(last) = self.last {
            if n <= last {
                return None;
            }
            stage.changes(last, n, &mut self.changed);
            if self.changed.is_empty() {
                return None;
            }
        }
        let size = self.spec.size;
        let words = usize::from(size.w) * usize::from(size.h);
        let stale = &mut self.stale;
        let pixels = self.pool.fill(words, |held, px| {
            match held {
                None => stage.paint(px, size.rect(), n),
                Some(old) => {
                    stage.changes(old, n, stale);
                    stale.rects().iter().for_each(|r| stage.paint(px, *r, n));
                }
            }
            n
        });
        // With every buffer still in use the picture is left out: the next one carries its changes.
        let pixels = pixels.ok()?;
        let hint = if self.last.is_none() { Hint::Everything } else { Hint::Only(self.changed.clone()) };
        self.last = Some(n);
        self.seq += 1;
        Some(SourceEvent::Frame(Frame {
            size,
            fourcc: Fourcc::XRGB8888,
            modifier: Modifier::LINEAR,
            pieces: vec![Piece { rect: size.rect(), offset: 0, stride: usize::from(size.w) * 4 }],
            memory: Memory::Heap(pixels),
            hint,
            acquire: None,
            seq: self.seq,
            captured_at: now,
            release: None,
        }))
    }

    fn next_due(&self) -> Option<Instant> {
        let stage = self.stage.as_ref().filter(|_| self.running)?;
        match self.last {
            None => Some(self.epoch),
            Some(last) => self.epoch.checked_add(self.spec.due(stage.next_change(last.max(self.asked))?)),
        }
    }
}

#[cfg(test)]
mod tests;
