//! One stream's pictures, as a pipeline takes them.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ffi::Lent;
use super::place::Place;
use super::shared::{Command, Pending, Phase, Shared, State, Store, count};
use crate::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use crate::frame::{Frame, Hint, Mapping, Memory, Piece, Pool};
use crate::geometry::{Point, Rect, Region, Size};
use crate::pixel::{Fourcc, Modifier};

/// How long a source may take to send its first picture, once pictures are wanted.
const FIRST_PICTURE: Duration = Duration::from_secs(10);
/// How long a source may take until it is asked to begin again: what it sent first may have come before PipeWire had linked us.
const NUDGE: Duration = Duration::from_secs(1);
/// How often it is asked, each time after twice as long.
const NUDGES: u32 = 4;
/// Copied pictures that may be alive at once.
const COPIES: usize = 3;
/// Rectangles that are copied one by one; more are copied as their box.
const MOST_PIECES: usize = 8;

/// Captures one stream.
pub struct PipeWireSource {
    shared: Arc<Shared>,
    pool: Pool<u64>,
    seq: u64,
    told: bool,
    /// Until then pictures must have begun to come.
    deadline: Option<Instant>,
    /// When the source is asked to begin again, and how often it was.
    nudge: Option<(Instant, u32)>,
}

impl PipeWireSource {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, pool: Pool::new(COPIES), seq: 0, told: false, deadline: None, nudge: None }
    }

    fn next(&mut self, now: Instant) -> Result<Option<SourceEvent>, String> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state();
        if let Some(reason) = &state.lost {
            return Err(reason.clone());
        }
        if state.phase == Phase::Streaming {
            self.deadline = None;
        }
        if std::mem::take(&mut state.resized)
            && let Some(size) = state.size
        {
            return Ok(Some(SourceEvent::Resized(size)));
        }
        let Some(pending) = state.pending.take() else {
            let late = self.deadline.is_some_and(|end| now >= end);
            if let Some((_, times)) = self.nudge.filter(|(at, _)| now >= *at && state.phase == Phase::Streaming) {
                shared.commands.send(Command::Nudge(shared.id));
                self.nudge = (times < NUDGES).then(|| (now + NUDGE * 2u32.pow(times), times + 1));
            }
            return if late { Err(stuck(state.phase)) } else { Ok(None) };
        };
        self.picture(&mut state, pending).map(Some)
    }

    /// Makes a frame of a picture that waits.
    fn picture(&mut self, state: &mut State, pending: Pending) -> Result<SourceEvent, String> {
        let Pending { token, place, at } = pending;
        self.nudge = None;
        let bounds = place.size.rect();
        let damage = state.take_damage(bounds);
        let fourcc = state.agreed.map_or(Fourcc::XRGB8888, |a| a.fourcc);
        let modifier = state.agreed.and_then(|a| a.modifier).unwrap_or(Modifier::LINEAR);
        let gone = || "its buffers are gone".to_owned();
        let slot = state.slots.iter().find(|slot| slot.token == token).ok_or_else(gone)?;
        let (commands, stream) = (Arc::clone(&self.shared.commands), self.shared.id);
        let release = move || commands.send(Command::Requeue(stream, token));
        let bytes = match &slot.store {
            Ok(Store::Mapped(memory)) => {
                let offset = slot.base + place.offset;
                let pieces = vec![Piece { rect: bounds, offset, stride: place.stride }];
                let memory: Arc<Mapping> = Arc::clone(memory);
                let memory = Memory::Shared(memory);
                return Ok(self.frame(place.size, fourcc, memory, pieces, damage, at, Some(Box::new(release))));
            }
            Ok(Store::DmaBuf(buffer)) => {
                let pieces = vec![Piece { rect: bounds, offset: slot.base + place.offset, stride: place.stride }];
                let memory = Memory::DmaBuf(Arc::clone(buffer));
                let event = self.frame(place.size, fourcc, memory, pieces, damage, at, Some(Box::new(release)));
                return Ok(in_form(event, modifier));
            }
            Ok(Store::Lent(lent)) => Bytes::Lent(lent),
            Ok(Store::File(file)) => Bytes::File(file, slot.base),
            Err(reason) => return Err(reason.clone()),
        };
        let copied = copy(&mut self.pool, &bytes, place, damage.as_ref());
        release();
        let (memory, pieces) = copied?;
        count(&self.shared.counters.copied_bytes, pieces.iter().map(|p| p.rect.area() * 4).sum());
        Ok(self.frame(place.size, fourcc, memory, pieces, damage, at, None))
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a frame, put together in one place")]
    fn frame(
        &mut self,
        size: Size,
        fourcc: Fourcc,
        memory: Memory,
        pieces: Vec<Piece>,
        damage: Option<Region>,
        captured_at: Instant,
        release: Option<Box<dyn FnOnce() + Send>>,
    ) -> SourceEvent {
        self.seq += 1;
        SourceEvent::Frame(Frame {
            size,
            fourcc,
            modifier: Modifier::LINEAR,
            pieces,
            memory,
            hint: damage.map_or(Hint::Everything, Hint::Only),
            acquire: None,
            seq: self.seq,
            captured_at,
            release,
        })
    }
}

/// The same with its pixels in that form.
fn in_form(mut event: SourceEvent, modifier: Modifier) -> SourceEvent {
    if let SourceEvent::Frame(frame) = &mut event {
        frame.modifier = modifier;
    }
    event
}

/// Why no picture comes.
fn stuck(phase: Phase) -> String {
    let seconds = FIRST_PICTURE.as_secs();
    match phase {
        Phase::Connecting => {
            format!("PipeWire did not link the stream within {seconds} s; is a session manager (wireplumber) running?")
        }
        _ => format!("no picture within {seconds} s; the source may give GPU buffers only, or have stopped"),
    }
}

/// Bytes that are copied out.
enum Bytes<'a> {
    Lent(&'a Lent),
    File(&'a OwnedFd, usize),
}

impl Bytes<'_> {
    /// Copies pixels from byte `offset` of the area on into `out`; false when they are not all there.
    fn read(&self, offset: usize, out: &mut [u32]) -> bool {
        match self {
            Self::Lent(lent) => lent.read(offset, out),
            Self::File(file, base) => {
                let mut bytes: &mut [u8] = bytemuck::cast_slice_mut(out);
                let mut at = (base + offset) as u64;
                while !bytes.is_empty() {
                    match rustix::io::pread(file, &mut *bytes, at) {
                        Err(rustix::io::Errno::INTR) => {}
                        // a file that was cut comes up short
                        Ok(0) | Err(_) => return false,
                        Ok(n) => {
                            at += n as u64;
                            bytes = bytes.get_mut(n..).unwrap_or_default();
                        }
                    }
                }
                true
            }
        }
    }
}

/// Copies the parts of a picture that changed into memory of our own.
fn copy(
    pool: &mut Pool<u64>,
    bytes: &Bytes<'_>,
    place: Place,
    damage: Option<&Region>,
) -> Result<(Memory, Vec<Piece>), String> {
    let bounds = place.size.rect();
    let rects: Vec<Rect> = match damage {
        None => vec![bounds],
        Some(region) if region.rects().len() > MOST_PIECES => vec![region.bounds()],
        Some(region) => region.rects().to_vec(),
    };
    let words: usize = rects.iter().map(|r| r.area() as usize).sum();
    let mut pieces = Vec::with_capacity(rects.len());
    let mut whole = true;
    let filled = pool.fill(words.max(1), |_, out| {
        let mut done = 0;
        for rect in &rects {
            let width = usize::from(rect.w);
            pieces.push(Piece { rect: *rect, offset: done * 4, stride: width * 4 });
            let first = place.offset + usize::from(rect.y) * place.stride + usize::from(rect.x) * 4;
            let rows = out.get_mut(done..done + width * usize::from(rect.h)).unwrap_or_default();
            if place.stride == width * 4 {
                whole &= bytes.read(first, rows);
            } else {
                for (y, row) in rows.chunks_exact_mut(width.max(1)).enumerate() {
                    whole &= bytes.read(first + y * place.stride, row);
                }
            }
            done += width * usize::from(rect.h);
        }
        0
    });
    match filled {
        _ if !whole => Err("the source cut the memory of its picture".into()),
        Ok(pixels) => Ok((Memory::Heap(pixels), pieces)),
        Err(error) => Err(error.to_string()),
    }
}

impl Source for PipeWireSource {
    fn info(&self) -> OutputInfo {
        let state = self.shared.state();
        OutputInfo {
            name: self.shared.spec.name.clone(),
            position: Point::new(0, 0),
            size: state.size.unwrap_or_default(),
            fourcc: state.agreed.map_or(Fourcc::XRGB8888, |a| a.fourcc),
        }
    }

    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError> {
        let mut state = self.shared.state();
        if let Some(reason) = &state.lost {
            return Err(SourceError::Gone(reason.clone()));
        }
        state.all_changed();
        state.refused = 0;
        bell.ring();
        state.bell = Some(bell);
        drop(state);
        self.told = false;
        self.deadline = Some(Instant::now() + FIRST_PICTURE);
        self.nudge = Some((Instant::now() + NUDGE, 1));
        self.shared.commands.send(Command::Active(self.shared.id, true));
        Ok(())
    }

    fn stop(&mut self) {
        if self.shared.state().bell.take().is_some() {
            self.shared.commands.send(Command::Active(self.shared.id, false));
        }
        self.pool.clear();
        self.deadline = None;
        self.nudge = None;
    }

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        self.shared.state().bell.as_ref()?;
        match self.next(now) {
            Ok(event) => {
                self.told = false;
                event
            }
            Err(reason) => {
                (!std::mem::replace(&mut self.told, true)).then(|| SourceEvent::Lost(SourceError::Gone(reason)))
            }
        }
    }

    fn unreadable(&mut self) {
        self.shared.state().all_changed();
        self.shared.commands.send(Command::LeaveDmaBufs(self.shared.id));
    }

    fn staged_bytes(&self) -> u64 {
        self.shared.counted().copied_bytes
    }

    fn next_due(&self) -> Option<Instant> {
        let nudge = self.nudge.map(|(at, _)| at);
        self.deadline.into_iter().chain(nudge).min()
    }
}

impl Drop for PipeWireSource {
    fn drop(&mut self) {
        self.stop();
    }
}
