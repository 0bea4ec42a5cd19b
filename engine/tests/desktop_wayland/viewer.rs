//! Puts a source's frames together, believing every hint.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use farpane_engine::capture::wayland::{Monitor, WaylandDisplay, WaylandEvent, WaylandSource, connect_over};
use farpane_engine::capture::{Doorbell, Source, SourceEvent};
use farpane_engine::frame::{DmaBufs, Frame, Hint};
use farpane_engine::geometry::{Region, Size};

use super::PATIENCE;

/// A display and what it says.
pub struct Desk {
    pub display: WaylandDisplay,
    pub events: Receiver<WaylandEvent>,
}

impl Desk {
    pub fn open(socket: &Path) -> Self {
        Self::open_with(socket, DmaBufs::None)
    }

    pub fn open_with(socket: &Path, dma_bufs: DmaBufs) -> Self {
        let stream = UnixStream::connect(socket).expect("the compositor listens");
        let connection = connect_over(OwnedFd::from(stream)).expect("a connection");
        let (tx, events) = channel();
        let tell = Box::new(move |event| drop(tx.send(event)));
        Self { display: WaylandDisplay::new(connection, dma_bufs, tell).expect("can be captured"), events }
    }

    pub fn monitor(&self, name: &str) -> Monitor {
        let monitors = self.display.monitors();
        monitors.iter().find(|m| m.name == name).unwrap_or_else(|| panic!("no {name} in {monitors:?}")).clone()
    }

    /// Waits for an event that is as wanted; what was told before is dropped.
    pub fn event<T>(&self, what: &str, want: impl Fn(WaylandEvent) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    if let Some(found) = want(event) {
                        return found;
                    }
                }
                Err(error) => panic!("{what}: {error}"),
            }
        }
    }

    /// Waits for a layout that is as wanted; what was told before is dropped.
    pub fn layout(&self, what: &str, want: impl Fn(&[Monitor]) -> bool) -> Vec<Monitor> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(WaylandEvent::Layout(monitors)) if want(&monitors) => return monitors,
                Ok(_) => {}
                Err(error) => panic!("{what}: {error}; {:?}", self.display.monitors()),
            }
        }
    }
}

pub struct Viewer {
    pub source: WaylandSource,
    pub bell: Arc<Doorbell>,
    pub size: Size,
    pub px: Vec<u32>,
    /// Where the last frame was believed to be new.
    pub last: Region,
    pub frames: usize,
    /// Why the source ended.
    pub lost: Option<String>,
}

impl Viewer {
    pub fn new(desk: &Desk, output: &str) -> Self {
        let mut source = desk.display.source(&desk.monitor(output));
        let bell = Doorbell::new();
        source.start(Arc::clone(&bell)).expect("capture starts");
        let size = source.info().size;
        let px = vec![0xdead_beef; size.area() as usize];
        Self { source, bell, size, px, last: Region::new(), frames: 0, lost: None }
    }

    fn show(&mut self, frame: &Frame) {
        assert_eq!(frame.size, self.size);
        let layout = frame.fourcc.layout().expect("a format that a mirror can hold");
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
                    let from = piece.offset
                        + usize::from(y - piece.rect.y) * piece.stride
                        + usize::from(r.x - piece.rect.x) * 4;
                    let at = usize::from(y) * usize::from(self.size.w) + usize::from(r.x);
                    let row = &mut self.px[at..at + usize::from(r.w)];
                    assert!(frame.memory.read(from, row), "piece {piece:?} outside the memory");
                    row.iter_mut().for_each(|p| {
                        let [r, g, b] = layout.rgb(*p);
                        *p = u32::from_be_bytes([0, r, g, b]);
                    });
                }
            }
        }
    }

    /// What the source has by now; false when it has nothing.
    pub fn take(&mut self) -> bool {
        match self.source.take(Instant::now()) {
            None => return false,
            Some(SourceEvent::Frame(frame)) => self.show(&frame),
            Some(SourceEvent::Resized(size)) => {
                self.size = size;
                self.px = vec![0xdead_beef; size.area() as usize];
            }
            Some(SourceEvent::Lost(error)) => self.lost = Some(error.to_string()),
        }
        true
    }

    /// Takes events until `done` or the patience is over.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            while self.take() {}
            if done(self) {
                return;
            }
            let due = self.source.next_due().map_or(end, |due| due.min(end));
            self.bell.wait(Some(due));
            assert!(Instant::now() < end, "waited too long for {what} (lost: {:?}, {} frames)", self.lost, self.frames);
        }
    }

    pub fn until_it_shows(&mut self, px: &[u32]) {
        self.until("the picture", |me| me.px == px);
    }

    pub fn until_lost(&mut self) -> String {
        self.until("the end", |me| me.lost.is_some());
        self.lost.take().expect("seen above")
    }
}
