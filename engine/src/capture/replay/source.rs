//! Playing a trace as a source.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::TraceError;
use super::wire::{Record, RecordKind, TraceReader};
use crate::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use crate::frame::{Frame, Hint, Memory, Piece};
use crate::geometry::{Rect, Region, Size};
use crate::pixel::Modifier;

/// What happens at the end of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Playback {
    /// The last picture stays.
    #[default]
    Once,
    /// It begins again.
    Loop,
}

/// The shortest time that one turn of a looped trace takes, so that an empty one does not keep a core busy.
const SHORTEST_TURN: Duration = Duration::from_millis(10);

/// Plays a trace with its own timing, from the moment it is started.
///
/// When pictures are taken more slowly than they were recorded, frames that are due are put together into one.
#[derive(Debug)]
pub struct ReplaySource {
    file: File,
    info: OutputInfo,
    playback: Playback,
    play: Option<Play>,
    seq: u64,
}

/// A trace being played.
#[derive(Debug)]
struct Play {
    reader: TraceReader<BufReader<File>>,
    begun: Instant,
    next: Option<Record>,
    size: Size,
    picture: Vec<u32>,
    changed: Region,
    whole: bool,
    resized: bool,
}

impl ReplaySource {
    /// A source for a file that is open for reading.
    ///
    /// # Errors
    /// When it is no trace.
    pub fn new(file: File, playback: Playback) -> Result<Self, TraceError> {
        let reader = TraceReader::new(BufReader::new(&file))?;
        let info = reader.info().clone();
        Ok(Self { file, info, playback, play: None, seq: 0 })
    }

    fn open(&self, begun: Instant) -> Result<Play, TraceError> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        let mut reader = TraceReader::new(BufReader::new(file))?;
        let size = reader.info().size;
        let next = reader.next_record()?;
        let picture = vec![0; size.area() as usize];
        let (resized, changed) = (size != self.info.size, Region::new());
        Ok(Play { reader, begun, next, size, picture, changed, whole: true, resized })
    }

    fn advance(&mut self, now: Instant) -> Result<(), TraceError> {
        loop {
            let Some(play) = &mut self.play else { return Ok(()) };
            let Some(record) = play.next.take_if(|r| play.begun + Duration::from_micros(r.time_us) <= now) else {
                return Ok(());
            };
            if record.kind == RecordKind::End {
                if self.playback == Playback::Once {
                    return Ok(());
                }
                // Turns that nobody looked at are left out.
                let turn = Duration::from_micros(record.time_us).max(SHORTEST_TURN);
                let late = now.saturating_duration_since(play.begun);
                let turns = u32::try_from(late.as_nanos() / turn.as_nanos()).unwrap_or(u32::MAX).max(1);
                let begun = play.begun + turn * turns;
                let mut again = self.open(begun)?;
                // The last picture stays until the first one is due again.
                if let Some(old) = self.play.take() {
                    again.resized = old.size != again.size;
                    if !again.resized {
                        again.picture = old.picture;
                        (again.whole, again.changed) = (old.whole, old.changed);
                    }
                }
                let resized = again.resized;
                self.play = Some(again);
                if resized {
                    return Ok(());
                }
                continue;
            }
            play.apply(record.kind);
            play.next = play.reader.next_record()?;
            if play.resized {
                return Ok(());
            }
        }
    }
}

impl Play {
    fn apply(&mut self, kind: RecordKind) {
        match kind {
            RecordKind::Frame { rects, pixels } => {
                let mut rest = &pixels[..];
                let width = usize::from(self.size.w);
                for r in &rects {
                    for y in r.y..r.bottom() {
                        let at = usize::from(y) * width + usize::from(r.x);
                        let (row, after) = rest.split_at(usize::from(r.w));
                        self.picture[at..at + row.len()].copy_from_slice(row);
                        rest = after;
                    }
                    self.changed.add(r);
                }
            }
            RecordKind::Resize(size) => {
                self.size = size;
                self.picture = vec![0; size.area() as usize];
                self.changed.clear();
                (self.whole, self.resized) = (true, true);
            }
            RecordKind::End => {}
        }
    }

    /// The changed part of the picture, in memory of its own.
    fn cut_out(&mut self) -> (Vec<Piece>, Memory, Hint) {
        let whole = std::mem::take(&mut self.whole);
        let all = [self.size.rect()];
        let changed = std::mem::take(&mut self.changed);
        let rects: &[Rect] = if whole { &all } else { changed.rects() };
        let mut pieces = Vec::with_capacity(rects.len());
        let mut pixels: Vec<u32> = Vec::with_capacity(rects.iter().map(|r| r.area() as usize).sum());
        for r in rects {
            pieces.push(Piece { rect: *r, offset: pixels.len() * 4, stride: usize::from(r.w) * 4 });
            for y in r.y..r.bottom() {
                let at = usize::from(y) * usize::from(self.size.w) + usize::from(r.x);
                pixels.extend_from_slice(&self.picture[at..at + usize::from(r.w)]);
            }
        }
        (pieces, Memory::Heap(pixels.into()), if whole { Hint::Everything } else { Hint::Only(changed) })
    }
}

impl Source for ReplaySource {
    fn info(&self) -> OutputInfo {
        let size = self.play.as_ref().map_or(self.info.size, |p| p.size);
        OutputInfo { size, ..self.info.clone() }
    }

    fn start(&mut self, _bell: Arc<Doorbell>) -> Result<(), SourceError> {
        let mut play = self.open(Instant::now()).map_err(|e| SourceError::Gone(e.to_string()))?;
        play.resized = false;
        self.play = Some(play);
        Ok(())
    }

    fn stop(&mut self) {
        self.play = None;
    }

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        if let Err(error) = self.advance(now) {
            // What was played stays; nothing more comes.
            if let Some(play) = &mut self.play {
                play.next = None;
            }
            return Some(SourceEvent::Lost(SourceError::Gone(error.to_string())));
        }
        let play = self.play.as_mut()?;
        if std::mem::take(&mut play.resized) {
            return Some(SourceEvent::Resized(play.size));
        }
        if !play.whole && play.changed.is_empty() {
            return None;
        }
        let (pieces, memory, hint) = play.cut_out();
        let size = play.size;
        self.seq += 1;
        Some(SourceEvent::Frame(Frame {
            size,
            fourcc: self.info.fourcc,
            modifier: Modifier::LINEAR,
            pieces,
            memory,
            hint,
            acquire: None,
            seq: self.seq,
            captured_at: now,
            release: None,
        }))
    }

    fn next_due(&self) -> Option<Instant> {
        let play = self.play.as_ref()?;
        if play.whole || play.resized || !play.changed.is_empty() {
            return Some(play.begun);
        }
        play.next.as_ref().map(|r| play.begun + Duration::from_micros(r.time_us))
    }
}
