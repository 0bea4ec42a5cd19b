//! One monitor's pictures.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::shm;
use x11rb::protocol::xproto::{self, ImageFormat};

use super::shared::{Output, OutputState, Shared};
use super::{Fetch, Monitor, X11Error};
use crate::capture::bands::bands;
use crate::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use crate::frame::{Frame, Hint, Loan, Mapping, Memory, Piece};
use crate::geometry::{Rect, Region};
use crate::pixel::Modifier;

/// Shared memory segments of one source: as many frames can be alive at once without a copy.
const SEGMENTS: usize = 3;
/// Tries until a fetch that the server refuses is given up.
const TRIES: usize = 4;

/// Captures one monitor.
#[derive(Debug)]
pub struct X11Source {
    shared: Arc<Shared>,
    output: Arc<Output>,
    segments: Vec<Segment>,
    wanted: Vec<Rect>,
    seq: u64,
    told: bool,
}

/// Shared memory that the server writes to.
#[derive(Debug)]
struct Segment {
    id: u32,
    memory: Arc<Mapping>,
    loan: Loan,
    shared: Arc<Shared>,
}

impl Drop for Segment {
    fn drop(&mut self) {
        // Errors mean that the connection is gone, and the server's mapping with it.
        let _ = shm::detach(&*self.shared.connection, self.id).map(|cookie| cookie.ignore_error());
        let _ = self.shared.connection.flush();
    }
}

/// What was fetched, and what gives its memory back.
struct Picture {
    memory: Memory,
    pieces: Vec<Piece>,
    release: Option<Box<dyn FnOnce() + Send>>,
}

/// What became of a fetch.
type Fetched = Result<Picture, FetchError>;

enum FetchError {
    /// The server refused: the screen may have another size by now.
    Refused(String),
    /// The server is gone.
    Gone(String),
}

impl From<ReplyError> for FetchError {
    fn from(error: ReplyError) -> Self {
        match error {
            ReplyError::X11Error(e) => Self::Refused(format!("{:?}", e.error_kind)),
            ReplyError::ConnectionError(e) => Self::Gone(e.to_string()),
        }
    }
}

impl From<x11rb::errors::ConnectionError> for FetchError {
    fn from(error: x11rb::errors::ConnectionError) -> Self {
        Self::Gone(error.to_string())
    }
}

impl X11Source {
    pub(super) fn new(shared: Arc<Shared>, monitor: &Monitor) -> Self {
        let state = OutputState {
            name: monitor.name.clone(),
            place: monitor.rect,
            bell: None,
            pending: Region::new(),
            whole: true,
            resized: false,
            gone: false,
        };
        let output = Arc::new(Output { state: std::sync::Mutex::new(state) });
        shared.state().outputs.push(Arc::downgrade(&output));
        Self { shared, output, segments: Vec::new(), wanted: Vec::new(), seq: 0, told: false }
    }

    fn running(&self) -> bool {
        self.output.state().bell.is_some()
    }

    /// Fetches the wanted rectangles of the output at `place`.
    fn fetch(&mut self, place: Rect) -> Fetched {
        let bytes: u64 = self.wanted.iter().map(|r| r.area() * 4).sum();
        match self.shared.fetch() {
            Fetch::Framebuffer => self.map(place),
            Fetch::Shm => match self.segment(place) {
                Some(index) => {
                    self.shared.fetched.fetch_add(bytes, Ordering::Relaxed);
                    self.fetch_shared(place, index)
                }
                None => {
                    self.shared.fetched.fetch_add(bytes, Ordering::Relaxed);
                    self.fetch_plain(place)
                }
            },
            Fetch::Plain => {
                self.shared.fetched.fetch_add(bytes, Ordering::Relaxed);
                self.fetch_plain(place)
            }
        }
    }

    /// The framebuffer file in place; a round trip makes sure that what damage told of is drawn.
    fn map(&self, place: Rect) -> Fetched {
        xproto::get_input_focus(&*self.shared.connection)?.reply()?;
        let Some(framebuffer) = &self.shared.framebuffer else {
            return Err(FetchError::Refused("no framebuffer file".to_owned()));
        };
        if !framebuffer.holds(self.shared.state().size) {
            return Err(FetchError::Gone("its framebuffer file is smaller than the screen".to_owned()));
        }
        let memory: Arc<Mapping> = Arc::clone(&framebuffer.memory);
        Ok(Picture { memory: Memory::Shared(memory), pieces: vec![framebuffer.piece(place)], release: None })
    }

    /// A segment that no frame uses and that has room for the whole output.
    fn segment(&mut self, place: Rect) -> Option<usize> {
        use crate::frame::SharedMemory;
        let len = usize::try_from(place.area() * 4).ok()?;
        self.segments.retain(|s| s.memory.len() >= len);
        if let Some(free) = self.segments.iter().position(|s| s.loan.is_free()) {
            return Some(free);
        }
        if self.segments.len() == SEGMENTS {
            return None;
        }
        let made = self.attach(len);
        match made {
            Ok(segment) => {
                self.segments.push(segment);
                Some(self.segments.len() - 1)
            }
            Err(error) => {
                tracing::warn!(%error, "no shared memory with the X server: pictures come over the connection");
                self.shared.shm.store(false, Ordering::Relaxed);
                None
            }
        }
    }

    fn attach(&self, len: usize) -> Result<Segment, X11Error> {
        let (memory, fd) = Mapping::anonymous(len).map_err(|e| X11Error::Server(e.to_string()))?;
        let c = &*self.shared.connection;
        let id = c.generate_id()?;
        shm::attach_fd(c, id, fd, false)?.check()?;
        Ok(Segment { id, memory: Arc::new(memory), loan: Loan::default(), shared: Arc::clone(&self.shared) })
    }

    fn fetch_shared(&self, place: Rect, index: usize) -> Fetched {
        let Some(segment) = self.segments.get(index) else {
            return Err(FetchError::Refused("no segment".to_owned()));
        };
        let c = &*self.shared.connection;
        let format = u8::from(ImageFormat::Z_PIXMAP);
        let mut pieces = Vec::with_capacity(self.wanted.len());
        let mut answers = Vec::with_capacity(self.wanted.len());
        let mut offset = 0usize;
        for r in &self.wanted {
            let (x, y) = on_screen(place, r);
            let at = offset as u32;
            answers.push(shm::get_image(c, self.shared.root, x, y, r.w, r.h, !0, format, segment.id, at)?);
            pieces.push(Piece { rect: *r, offset, stride: usize::from(r.w) * 4 });
            offset += usize::from(r.w) * usize::from(r.h) * 4;
        }
        for answer in answers {
            answer.reply()?;
        }
        let memory: Arc<Mapping> = Arc::clone(&segment.memory);
        Ok(Picture { memory: Memory::Shared(memory), pieces, release: Some(segment.loan.lend()) })
    }

    fn fetch_plain(&self, place: Rect) -> Fetched {
        let c = &*self.shared.connection;
        let mut answers = Vec::with_capacity(self.wanted.len());
        for r in &self.wanted {
            let (x, y) = on_screen(place, r);
            answers.push(xproto::get_image(c, ImageFormat::Z_PIXMAP, self.shared.root, x, y, r.w, r.h, !0)?);
        }
        let mut pixels: Vec<u32> = Vec::with_capacity(self.wanted.iter().map(|r| r.area() as usize).sum());
        let mut pieces = Vec::with_capacity(self.wanted.len());
        for (answer, r) in answers.into_iter().zip(&self.wanted) {
            let image = answer.reply()?;
            if image.data.len() as u64 != r.area() * 4 {
                return Err(FetchError::Refused(format!("{} bytes for {r}", image.data.len())));
            }
            pieces.push(Piece { rect: *r, offset: pixels.len() * 4, stride: usize::from(r.w) * 4 });
            pixels.extend(image.data.as_chunks::<4>().0.iter().map(|p| u32::from_le_bytes(*p)));
        }
        Ok(Picture { memory: Memory::Heap(pixels.into()), pieces, release: None })
    }

    /// The next thing to tell, or none; the errors end the source.
    fn next(&mut self, now: Instant) -> Result<Option<SourceEvent>, String> {
        self.shared.harvest(&self.output).map_err(|e| e.to_string())?;
        let mut refused = String::new();
        for _ in 0..TRIES {
            let (place, changed) = {
                let mut o = self.output.state();
                if o.gone {
                    return Err(format!("monitor {} is gone", o.name));
                }
                if std::mem::take(&mut o.resized) {
                    return Ok(Some(SourceEvent::Resized(o.place.size())));
                }
                if !o.whole && o.pending.is_empty() {
                    return Ok(None);
                }
                let changed = (!std::mem::take(&mut o.whole)).then(|| std::mem::take(&mut o.pending));
                o.pending.clear();
                (o.place, changed)
            };
            match &changed {
                None => self.wanted = vec![place.size().rect()],
                Some(region) => bands(region, &mut self.wanted),
            }
            match self.fetch(place) {
                Ok(picture) => return Ok(Some(self.frame(place, changed, picture, now))),
                Err(FetchError::Gone(reason)) => return Err(reason),
                Err(FetchError::Refused(reason)) => {
                    // The layout may have changed under the request: learn it and fetch everything.
                    self.output.state().whole = true;
                    self.shared.refresh_layout().map_err(|e| e.to_string())?;
                    refused = reason;
                }
            }
        }
        Err(format!("the X server refuses to show its screen: {refused}"))
    }

    fn frame(
        &mut self,
        place: Rect,
        changed: Option<Region>,
        Picture { memory, pieces, release }: Picture,
        now: Instant,
    ) -> SourceEvent {
        self.seq += 1;
        SourceEvent::Frame(Frame {
            size: place.size(),
            fourcc: self.shared.fourcc,
            modifier: Modifier::LINEAR,
            pieces,
            memory,
            hint: changed.map_or(Hint::Everything, Hint::Only),
            acquire: None,
            seq: self.seq,
            captured_at: now,
            release,
        })
    }
}

/// Where a rectangle of the output lies on the screen.
fn on_screen(place: Rect, r: &Rect) -> (i16, i16) {
    let side = |a: u16, b: u16| i16::try_from(u32::from(a) + u32::from(b)).unwrap_or(i16::MAX);
    (side(place.x, r.x), side(place.y, r.y))
}

impl Source for X11Source {
    fn info(&self) -> OutputInfo {
        let o = self.output.state();
        OutputInfo {
            name: o.name.clone(),
            position: o.place.origin(),
            size: o.place.size(),
            fourcc: self.shared.fourcc,
        }
    }

    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError> {
        if let Some(reason) = self.shared.lost() {
            return Err(SourceError::Gone(reason));
        }
        if !self.running() {
            self.shared.watch().map_err(|e| SourceError::Gone(e.to_string()))?;
        }
        self.told = false;
        let mut o = self.output.state();
        o.whole = true;
        o.resized = false;
        o.pending.clear();
        bell.ring();
        o.bell = Some(bell);
        Ok(())
    }

    fn stop(&mut self) {
        if self.output.state().bell.take().is_some() {
            self.shared.unwatch();
        }
        self.output.state().pending = Region::new();
        self.segments.clear();
    }

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        if !self.running() {
            return None;
        }
        let reason = match self.shared.lost() {
            Some(reason) => reason,
            None => match self.next(now) {
                Ok(event) => {
                    self.told = false;
                    return event;
                }
                Err(reason) => self.shared.lost().unwrap_or(reason),
            },
        };
        (!std::mem::replace(&mut self.told, true)).then(|| SourceEvent::Lost(SourceError::Gone(reason)))
    }
}

impl Drop for X11Source {
    fn drop(&mut self) {
        self.stop();
    }
}
