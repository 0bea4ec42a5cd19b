//! Capture of PipeWire streams: GStreamer's test pictures, and a source of the test's own that lies.
#![cfg(feature = "pipewire")]

mod ffi;
mod gst;
mod lies;
mod producer;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use farpane_engine::capture::pipewire::{PipeWire, PipeWireSource, Remote, Stream, StreamEvent, StreamSpec};
use farpane_engine::capture::{Doorbell, Source, SourceEvent};
use farpane_engine::frame::{DmaBufs, Frame, Hint};
use farpane_engine::geometry::{Region, Size};
use farpane_test_support::desktop::Desktop;

const PATIENCE: Duration = Duration::from_secs(30);

/// A session without a compositor, and our connection to its PipeWire.
struct Session {
    remote: Remote,
    _pipewire: PipeWire,
    desktop: Desktop,
}

impl Session {
    fn start() -> Option<Self> {
        let desktop = Desktop::start("pipewire", &[])?;
        let pipewire = PipeWire::start().expect("PipeWire's library");
        let remote = pipewire.connect(socket(&desktop), Box::new(|_| {})).expect("PipeWire answers");
        Some(Self { remote, _pipewire: pipewire, desktop })
    }

    /// Waits for the node of a name.
    fn node(&self, name: &str) -> u32 {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some((id, _)) = self.remote.nodes().iter().find(|(_, n)| n == name) {
                return *id;
            }
            assert!(Instant::now() < end, "no node {name} in {:?}", self.remote.nodes());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn open(&self, node: u32, dma_bufs: DmaBufs) -> Opened {
        let (tell, events) = channel();
        let spec = StreamSpec { node, name: "test".into(), virtual_size: None, dma_bufs };
        let stream = self.remote.open(spec, Box::new(move |event| drop(tell.send(event))));
        Opened { stream, events }
    }
}

fn socket(desktop: &Desktop) -> OwnedFd {
    UnixStream::connect(desktop.dir().join("pipewire-0")).expect("PipeWire's socket").into()
}

/// A stream and what it told.
struct Opened {
    stream: Stream,
    events: Receiver<StreamEvent>,
}

/// Puts a source's frames together, believing every hint.
struct Viewer {
    source: PipeWireSource,
    bell: Arc<Doorbell>,
    size: Size,
    px: Vec<u32>,
    frames: usize,
    /// The parts of the last frame that were shown.
    last: Region,
}

impl Viewer {
    fn new(stream: &Stream) -> Self {
        let mut source = stream.source();
        let bell = Doorbell::new();
        source.start(Arc::clone(&bell)).expect("capture starts");
        let size = source.info().size;
        Self { source, bell, size, px: vec![0xdead_beef; size.area() as usize], frames: 0, last: Region::new() }
    }

    fn show(&mut self, frame: &Frame) {
        assert_eq!(frame.size, self.size, "frames have the size that was told");
        self.frames += 1;
        self.last.clear();
        for piece in &frame.pieces {
            let mut region = Region::from(piece.rect);
            if let Hint::Only(only) = &frame.hint {
                region.intersect(only);
            }
            self.last.union(&region);
            for r in region.rects() {
                for y in r.y..r.bottom() {
                    let (down, right) = (usize::from(y - piece.rect.y), usize::from(r.x - piece.rect.x));
                    let from = piece.offset + down * piece.stride + right * 4;
                    let at = usize::from(y) * usize::from(self.size.w) + usize::from(r.x);
                    let row = &mut self.px[at..at + usize::from(r.w)];
                    assert!(frame.memory.read(from, row), "piece {piece:?} outside the memory");
                    row.iter_mut().for_each(|p| *p &= 0xff_ffff);
                }
            }
        }
    }

    /// Takes events until `done`, which sees each one after it was shown.
    fn until(&mut self, what: &str, done: impl FnMut(&mut Self, Option<&SourceEvent>) -> bool) {
        if let Err(instead) = self.within(PATIENCE, done) {
            panic!("waited too long for {what}: {instead}");
        }
    }

    /// Takes events until `done`, or says what came within that time instead.
    fn within(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self, Option<&SourceEvent>) -> bool,
    ) -> Result<(), String> {
        let end = Instant::now() + limit;
        let mut lost = None;
        loop {
            let event = self.source.take(Instant::now());
            match &event {
                Some(SourceEvent::Frame(frame)) => self.show(frame),
                Some(SourceEvent::Lost(error)) => lost = Some(error.to_string()),
                Some(SourceEvent::Resized(size)) => {
                    self.size = *size;
                    self.px = vec![0xdead_beef; size.area() as usize];
                }
                _ => {}
            }
            if done(self, event.as_ref()) {
                return Ok(());
            }
            if event.is_none() {
                let until = self.source.next_due().map_or(end, |due| due.min(end));
                self.bell.wait(Some(until));
                if Instant::now() >= end {
                    return Err(format!("{} frames, lost: {lost:?}", self.frames));
                }
            }
        }
    }

    /// Takes events until the source is lost; returns why.
    fn lost(&mut self) -> String {
        let mut reason = String::new();
        self.until("the loss", |_, event| match event {
            Some(SourceEvent::Lost(error)) => {
                reason = error.to_string();
                true
            }
            _ => false,
        });
        reason
    }
}
