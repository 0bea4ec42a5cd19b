//! The thread that follows a compositor: its outputs, and whether it is there.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use farpane_engine::capture::wayland::{Monitor, WaylandDisplay, WaylandEvent};
use farpane_engine::frame::CursorImage;
use farpane_engine::geometry::{Point, Size};

use super::Parts;
use super::connect::{ConnectError, Target};
use super::layout::Ids;
use crate::backend::{BackendEvent, Events, Layout};
use crate::helper::Opener;

/// The first and the longest pause between attempts to reach a compositor that was lost.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// What the thread is told.
pub enum Command {
    /// Somebody, or nobody, is connected.
    Watch(bool),
    /// The display that captures has something to say, of the given connection.
    Display(u64, WaylandEvent),
    /// The backend is no longer needed.
    End,
}

/// Why serving one connection ended.
enum Ended {
    Asked,
    Lost(String),
}

/// What the thread is made of.
pub struct Desk {
    target: Target,
    opener: Arc<dyn Opener>,
    events: Events,
    commands: Sender<Command>,
    inbox: Receiver<Command>,
    parts: Parts,
    ids: Ids,
    layout: Layout,
    /// Outputs that are told, with the compositor's numbers for them.
    told: Vec<Monitor>,
    watched: bool,
    lost: bool,
    /// Counts connections, so that what an old display says late is not taken for the new one's.
    connections: u64,
}

impl Desk {
    /// Follows nothing yet.
    pub fn new(
        target: Target,
        opener: Arc<dyn Opener>,
        events: Events,
        commands: Sender<Command>,
        inbox: Receiver<Command>,
        parts: Parts,
    ) -> Self {
        let (ids, layout) = (Ids::default(), Layout::default());
        Self {
            target,
            opener,
            events,
            commands,
            inbox,
            parts,
            ids,
            layout,
            told: Vec::new(),
            watched: false,
            lost: false,
            connections: 0,
        }
    }

    /// Opens the connection that captures.
    ///
    /// # Errors
    /// When the compositor is not there or cannot be captured.
    pub fn open(&mut self) -> Result<WaylandDisplay, ConnectError> {
        let connection = self.target.connect(&*self.opener)?;
        self.connections += 1;
        let (number, commands) = (self.connections, self.commands.clone());
        // where nobody receives any more, the backend is gone
        let tell = move |event| drop(commands.send(Command::Display(number, event)));
        let display = WaylandDisplay::new(connection, self.parts.dma_bufs.clone(), Box::new(tell));
        let display = display.map_err(|source| self.target.cannot(source))?;
        let protocol = display.route().protocol();
        tracing::debug!(compositor = %self.target.name, protocol, "capturing");
        Ok(display)
    }

    /// Runs until it is told to end. `first` is a display that has been opened already.
    pub fn run(mut self, first: WaylandDisplay) {
        let mut found = Some(first);
        let mut pause = BACK_OFF[0];
        loop {
            let ended = match found.take().map(Ok).unwrap_or_else(|| self.open()) {
                Ok(display) => {
                    pause = BACK_OFF[0];
                    self.serve(&display)
                }
                Err(error) => Ended::Lost(error.to_string()),
            };
            match ended {
                Ended::Asked => return,
                Ended::Lost(reason) if !self.lost => {
                    self.lost = true;
                    tracing::warn!(compositor = %self.target.name, reason, "the compositor is gone; waiting for it");
                    self.parts.reset();
                    self.send(BackendEvent::Lost(reason));
                }
                Ended::Lost(_) => {}
            }
            let until = Instant::now() + pause;
            pause = (pause * 2).min(BACK_OFF[1]);
            loop {
                match self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                    Ok(Command::Display(..)) => {}
                    Ok(Command::Watch(watched)) => self.watched = watched,
                    Ok(Command::End) | Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => break,
                }
            }
        }
    }

    fn send(&self, event: BackendEvent) {
        let _ = self.events.send(event);
    }

    /// Follows one display until it is lost.
    fn serve(&mut self, display: &WaylandDisplay) -> Ended {
        for output in std::mem::take(&mut self.layout).outputs {
            self.send(BackendEvent::OutputRemoved(output.id));
        }
        self.told.clear();
        self.outputs(display, display.monitors());
        if !display.pointer_apart() {
            self.send(BackendEvent::Cursor(Arc::new(painted_in())));
        }
        display.watch_cursor(self.watched);
        if std::mem::take(&mut self.lost) {
            self.parts.reset();
            self.send(BackendEvent::Back);
        }
        loop {
            match self.inbox.recv() {
                Ok(Command::Display(connection, _)) if connection != self.connections => {}
                Ok(Command::Display(_, WaylandEvent::Layout(monitors))) => self.outputs(display, monitors),
                Ok(Command::Watch(watched)) => {
                    self.watched = watched;
                    display.watch_cursor(watched);
                }
                // told before nobody watched any more, by a thread of its own
                Ok(Command::Display(_, WaylandEvent::Cursor(_) | WaylandEvent::Pointer { .. })) if !self.watched => {}
                Ok(Command::Display(_, WaylandEvent::Cursor(image))) => self.send(BackendEvent::Cursor(image)),
                Ok(Command::Display(_, WaylandEvent::Pointer { monitor, x, y })) => {
                    if let Some(at) = self.on_canvas(monitor, x, y) {
                        self.send(BackendEvent::PointerMoved(at));
                    }
                }
                Ok(Command::Display(_, WaylandEvent::Lost(reason))) => return Ended::Lost(reason),
                Ok(Command::End) | Err(_) => return Ended::Asked,
            }
        }
    }

    /// Where a place on an output lies on the canvas; what lies over an edge of the output is moved onto it.
    fn on_canvas(&self, monitor: u32, x: i32, y: i32) -> Option<Point> {
        let name = &self.told.iter().find(|m| m.id == monitor)?.name;
        let rect = self.layout.outputs.iter().find(|o| o.name == *name)?.rect;
        let along = |start: u16, length: u16, at: i32| {
            let inside = at.clamp(0, i32::from(length.saturating_sub(1)));
            start.saturating_add(u16::try_from(inside).unwrap_or(0))
        };
        Some(Point::new(along(rect.x, rect.w, x), along(rect.y, rect.h, y)))
    }

    /// Tells what is new about outputs, as one change.
    fn outputs(&mut self, display: &WaylandDisplay, monitors: Vec<Monitor>) {
        let new = self.ids.layout(&monitors);
        self.parts.places.set(&monitors, &new);
        let old = std::mem::replace(&mut self.layout, new.clone());
        let before = std::mem::replace(&mut self.told, monitors);
        // an output that was plugged out and in again is another one with the same name
        let number = |all: &[Monitor], name: &str| all.iter().find(|m| m.name == name).map(|m| m.id);
        let same = |name: &str| number(&before, name) == number(&self.told, name);
        for gone in &old.outputs {
            if !(same(&gone.name) && new.outputs.iter().any(|n| n.id == gone.id)) {
                self.send(BackendEvent::OutputRemoved(gone.id));
            }
        }
        // sources of outputs that stay follow them by themselves
        let mut added = false;
        for output in &new.outputs {
            if !(same(&output.name) && old.outputs.iter().any(|o| o.id == output.id))
                && let Some(monitor) = self.told.iter().find(|m| m.name == output.name)
            {
                added = true;
                self.send(BackendEvent::OutputAdded(output.id, Box::new(display.source(monitor))));
            }
        }
        if added || new != old {
            self.send(BackendEvent::LayoutChanged(new));
        }
    }
}

/// No pointer of its own: the compositor paints it into its pictures.
fn painted_in() -> CursorImage {
    CursorImage { size: Size::new(0, 0), hotspot: Point::new(0, 0), rgba: Vec::new(), serial: 1 }
}
