//! A screen as a source of frames.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compose::{compose, is_plain, is_readable, visible};
use super::feed::{Feed, Held, Wish};
use super::picture::{Layer, Picture};
use super::probe::Probe;
use crate::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use crate::frame::{Frame, Hint, Memory, Piece};
use crate::geometry::{Point, Rect, Region, Size};
use crate::pixel::{Fourcc, Modifier};

/// The time between two pictures where nobody says.
const FRAME: Duration = Duration::from_micros(16_667);

/// Captures one screen.
pub struct KmsSource {
    feed: Arc<Feed>,
    name: String,
    position: Point,
    size: Size,
    fourcc: Fourcc,
    /// What is shown, as far as it was taken.
    layers: Vec<(Layer, Held)>,
    /// Frames of a picture that was taken, to be told one after the other.
    ready: VecDeque<Frame>,
    probe: Probe,
    frame: Duration,
    whole: bool,
    started: bool,
    told: bool,
    refused: Option<String>,
    staged: u64,
    seq: u64,
}

impl KmsSource {
    /// A screen of this name that shows so many pictures in 1000 s.
    pub fn new(feed: Arc<Feed>, name: &str, position: Point, rate: u32) -> Self {
        let frame = Duration::from_secs(1000).checked_div(rate).unwrap_or(FRAME).max(Duration::from_millis(1));
        let size = feed.state().size;
        Self {
            feed,
            name: name.to_owned(),
            position,
            size,
            fourcc: Fourcc::XRGB8888,
            layers: Vec::new(),
            ready: VecDeque::new(),
            probe: Probe::new(size, frame, Instant::now()),
            frame,
            whole: true,
            started: false,
            told: false,
            refused: None,
            staged: 0,
            seq: 0,
        }
    }

    fn frame(&mut self, memory: Memory, pieces: Vec<Piece>, modifier: Modifier, hint: Hint, now: Instant) -> Frame {
        self.seq += 1;
        Frame {
            size: self.size,
            fourcc: self.fourcc,
            modifier,
            pieces,
            memory,
            hint,
            acquire: None,
            seq: self.seq,
            captured_at: now,
            release: None,
        }
    }

    /// Makes frames of a picture; an error says why it cannot be shown.
    fn take_picture(&mut self, picture: &Picture, now: Instant) -> Result<(), String> {
        let layers = {
            let state = self.feed.state();
            let held = |layer: &Layer| match state.buffers.get(&layer.buffer) {
                Some(Ok(held)) => Ok((*layer, held.clone())),
                Some(Err(reason)) => Err(reason.clone()),
                None => Err("a picture of a buffer that nobody knows".into()),
            };
            picture.layers.iter().map(held).collect::<Result<Vec<_>, _>>()?
        };
        self.layers = layers;
        let whole = std::mem::take(&mut self.whole);
        let Some((base, held)) = self.layers.first().cloned() else {
            let dark = Memory::Heap(vec![0; self.size.area() as usize].into());
            let piece = Piece { rect: self.size.rect(), offset: 0, stride: usize::from(self.size.w) * 4 };
            let frame = self.frame(dark, vec![piece], Modifier::LINEAR, Hint::Everything, now);
            self.ready.push_back(frame);
            return Ok(());
        };
        if held.fourcc.layout().is_none() {
            return Err(format!("its picture is in {:?}, which is not shown here", held.fourcc));
        }
        if held.modifier != Modifier::LINEAR
            && (base.source.origin() != Point::default() || held.size != [self.size.w, self.size.h].map(u32::from))
        {
            return Err(format!(
                "its picture is a part of one in form {:#x}, which is not shown here",
                held.modifier.0
            ));
        }
        self.fourcc = held.fourcc;
        if whole && self.layers.len() > 1 && is_readable(&held) {
            let all = self.size.rect();
            let frame = self.composed(&all, now);
            self.ready.push_back(frame);
            return Ok(());
        }
        let hint = match (&picture.damage, whole) {
            (Some(rects), false) => {
                let mut region = Region::new();
                rects.iter().for_each(|rect| region.add(rect));
                // somebody says so: the rest is looked at strip by strip
                self.probe.stir(now);
                Hint::Only(region)
            }
            _ => Hint::Everything,
        };
        let frame = self.base(hint, now);
        self.ready.extend(frame);
        for index in 1..self.layers.len() {
            let frame = self.overlay(index, now);
            self.ready.extend(frame);
        }
        Ok(())
    }

    /// The area that layers from this one on show.
    fn above(&self, index: usize) -> Region {
        let mut region = Region::new();
        for (layer, _) in self.layers.iter().skip(index) {
            region.add(&visible(&layer.to, &self.size.rect()));
        }
        region
    }

    /// The picture below all others, where nothing covers it.
    fn base(&mut self, hint: Hint, now: Instant) -> Option<Frame> {
        let (layer, held) = self.layers.first().cloned()?;
        let mut seen = Region::from(self.size.rect());
        seen.subtract(&self.above(1));
        self.buffer_frame(&layer, &held, &seen, hint, now)
    }

    /// A frame that shows a part of a buffer as it lies there.
    fn buffer_frame(&mut self, layer: &Layer, held: &Held, seen: &Region, hint: Hint, now: Instant) -> Option<Frame> {
        let plane = held.memory.planes().first().copied()?;
        let (stride, source) = (plane.stride as usize, layer.source);
        let piece = |rect: &Rect| {
            let x = usize::from(source.x) + usize::try_from(i32::from(rect.x) - layer.to.x).ok()?;
            let y = usize::from(source.y) + usize::try_from(i32::from(rect.y) - layer.to.y).ok()?;
            Some(Piece { rect: *rect, offset: plane.offset as usize + y * stride + x * 4, stride })
        };
        let pieces: Vec<Piece> = seen.rects().iter().filter_map(piece).collect();
        if pieces.is_empty() {
            return None;
        }
        let memory = Memory::DmaBuf(Arc::clone(&held.memory));
        Some(self.frame(memory, pieces, held.modifier, hint, now))
    }

    /// What one of the layers above the first shows; none when it shows nothing, or nobody can read it.
    fn overlay(&mut self, index: usize, now: Instant) -> Option<Frame> {
        let (layer, held) = self.layers.get(index).cloned()?;
        let rect = visible(&layer.to, &self.size.rect());
        if rect.is_empty() {
            return None;
        }
        let same = held.fourcc.layout() == self.fourcc.layout() && held.modifier == Modifier::LINEAR;
        if same && is_plain(&layer, &held) {
            let mut seen = Region::from(rect);
            seen.subtract(&self.above(index + 1));
            return self.buffer_frame(&layer, &held, &seen, Hint::Everything, now);
        }
        let lowest = self.layers.first().is_some_and(|(_, held)| is_readable(held));
        if !lowest || !is_readable(&held) {
            tracing::debug!(format = ?held.fourcc, modifier = held.modifier.0, "an overlay that is not shown");
            return None;
        }
        Some(self.composed(&rect, now))
    }

    /// A part of the picture with all of its layers, put together by the processor.
    fn composed(&mut self, rect: &Rect, now: Instant) -> Frame {
        let pixels = compose(rect, &self.layers, self.fourcc);
        self.staged += pixels.len() as u64 * 4;
        let piece = Piece { rect: *rect, offset: 0, stride: usize::from(rect.w) * 4 };
        self.frame(Memory::Heap(pixels.into()), vec![piece], Modifier::LINEAR, Hint::Everything, now)
    }

    fn next(&mut self, now: Instant) -> Result<Option<SourceEvent>, SourceError> {
        if let Some(reason) = self.refused.take() {
            return Err(SourceError::Unsupported(reason));
        }
        if let Some(frame) = self.ready.pop_front() {
            return Ok(Some(SourceEvent::Frame(frame)));
        }
        let feed = Arc::clone(&self.feed);
        let mut state = feed.state();
        if let Some(reason) = &state.lost {
            return Err(SourceError::Gone(reason.clone()));
        }
        if std::mem::take(&mut state.stirred) {
            self.probe.stir(now);
        }
        if let Some(size) = state.picture.as_ref().map(|picture| picture.size).filter(|size| *size != self.size) {
            self.size = size;
            self.probe = Probe::new(size, self.frame, now);
            self.whole = true;
            return Ok(Some(SourceEvent::Resized(size)));
        }
        let picture = state.picture.take();
        drop(state);
        if let Some(picture) = picture {
            feed.ask(Wish::Next);
            self.probe.compared(now);
            self.take_picture(&picture, now).map_err(|reason| self.unsupported(reason))?;
            return Ok(self.ready.pop_front().map(SourceEvent::Frame));
        }
        if self.whole || self.layers.is_empty() {
            return Ok(None);
        }
        let strip = self.probe.strip(self.size, now);
        Ok(strip.and_then(|strip| self.base(Hint::Only(strip.into()), now)).map(SourceEvent::Frame))
    }

    fn unsupported(&self, reason: String) -> SourceError {
        SourceError::Unsupported(format!("screen {}: {reason}", self.name))
    }
}

impl Source for KmsSource {
    fn info(&self) -> OutputInfo {
        OutputInfo { name: self.name.clone(), position: self.position, size: self.size, fourcc: self.fourcc }
    }

    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError> {
        let mut state = self.feed.state();
        if let Some(reason) = &state.lost {
            return Err(SourceError::Gone(reason.clone()));
        }
        state.bell = Some(bell);
        state.picture = None;
        drop(state);
        self.probe = Probe::new(self.size, self.frame, Instant::now());
        (self.whole, self.started, self.told) = (true, true, false);
        self.feed.ask(Wish::Watch);
        Ok(())
    }

    fn stop(&mut self) {
        if std::mem::take(&mut self.started) {
            self.feed.ask(Wish::Leave);
        }
        let mut state = self.feed.state();
        state.bell = None;
        state.picture = None;
        drop(state);
        self.layers.clear();
        self.ready.clear();
    }

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        if !self.started {
            return None;
        }
        match self.next(now) {
            Ok(event) => {
                self.told = false;
                event
            }
            Err(error) => (!std::mem::replace(&mut self.told, true)).then_some(SourceEvent::Lost(error)),
        }
    }

    fn unreadable(&mut self) {
        self.whole = true;
        let form = self.layers.first().map_or(0, |(_, held)| held.modifier.0);
        self.refused = Some(format!(
            "screen {}: its picture lies in form {form:#x}, which only a GPU reads; use --gpu auto with graphics hardware \
             that Vulkan knows, or share the desktop by its own protocol",
            self.name
        ));
    }

    fn compared(&mut self, changed: bool, now: Instant) {
        self.probe.told(changed, now);
    }

    fn next_due(&self) -> Option<Instant> {
        (self.started && !self.whole && !self.layers.is_empty()).then(|| self.probe.due())
    }

    fn staged_bytes(&self) -> u64 {
        self.staged
    }
}

impl Drop for KmsSource {
    fn drop(&mut self) {
        self.stop();
    }
}
