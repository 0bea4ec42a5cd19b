//! The thread that follows an X server: monitors, pointer, lock keys, bell, selections; lost and found again.
//!
//! It alone uses its connection. It sleeps in poll until the server or a caller has something, or a transfer runs out;
//! with nobody watching it asks the server for no events at all, and still learns when the server goes.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use farpane_engine::capture::x11::{X11Display, X11Event};
use farpane_engine::geometry::Point;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::Event;
use x11rb::protocol::xfixes::ConnectionExt as _;
use x11rb::protocol::xkb::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{ConnectionExt as _, CreateWindowAux, EventMask, Window, WindowClass};
use x11rb::rust_connection::RustConnection;

use super::clipboard::Selections;
use super::connect::Target;
use super::input::XInput;
use super::monitors::Ids;
use super::{keyboard, resize, xi2};
use crate::backend::{BackendEvent, Events, Layout, ResizeAnswer};
use crate::clipboard::ClipboardOptions;
use crate::helper::Opener;

/// The first and the longest pause between attempts to reach a server that was lost.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// What callers ask of the thread.
pub enum Command {
    /// Somebody, or nobody, is connected.
    Watch(bool),
    /// A client copied a text.
    Offer(Arc<str>),
    /// A client wishes another layout.
    Resize(Layout, SyncSender<ResizeAnswer>),
    /// The display that captures has something to say, of the given connection.
    Display(u64, X11Event),
    /// The backend is no longer needed.
    End,
}

/// Commands on their way to the thread.
pub struct Mailbox {
    waiting: Mutex<VecDeque<Command>>,
    wake: OwnedFd,
}

impl Mailbox {
    /// An empty one.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> std::io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { waiting: Mutex::new(VecDeque::new()), wake })
    }

    /// Puts a command in and wakes the thread. Of several texts or watch states that wait, the last counts.
    pub fn send(&self, command: Command) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match command {
            Command::Offer(_) => waiting.retain(|c| !matches!(c, Command::Offer(_))),
            Command::Watch(_) => waiting.retain(|c| !matches!(c, Command::Watch(_))),
            Command::Resize(..) | Command::Display(..) | Command::End => {}
        }
        waiting.push_back(command);
        drop(waiting);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn take(&self) -> Option<Command> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Sleeps until a command comes, `other` can be read or `until` has passed.
    fn sleep(&self, other: Option<&RustConnection>, until: Option<Instant>) {
        let left = until.map(|t| t.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|d| Timespec::try_from(d).ok());
        let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
        if let Some(conn) = other {
            fds.push(PollFd::from_borrowed_fd(conn.stream().as_fd(), PollFlags::IN));
        }
        let _ = poll(&mut fds, timeout.as_ref());
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.wake, &mut count);
    }
}

/// What the thread is made of.
pub struct Desk {
    /// The server.
    pub target: Target,
    /// Who opens its socket.
    pub opener: Arc<dyn Opener>,
    /// How the clipboard is shared.
    pub options: ClipboardOptions,
    /// Where events go.
    pub events: Events,
    /// Where commands come from.
    pub mailbox: Arc<Mailbox>,
    /// Told when the server was lost.
    pub input: Arc<XInput>,
}

/// Why serving one connection ended.
enum Ended {
    Asked,
    Lost(String),
}

impl From<ReplyError> for Ended {
    fn from(error: ReplyError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<x11rb::errors::ConnectionError> for Ended {
    fn from(error: x11rb::errors::ConnectionError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl Desk {
    /// Runs until it is told to end. `first` is a connection that has been made already.
    pub fn run(self, first: RustConnection) {
        let mut memory = Memory::default();
        let mut conn = Some(first);
        let mut pause = BACK_OFF[0];
        loop {
            let found = conn.take().map(Ok).unwrap_or_else(|| self.target.connect(&*self.opener));
            let ended = match found {
                Ok(conn) => Live::new(&self, &mut memory, conn).map_or_else(
                    |e| e,
                    |mut live| {
                        pause = BACK_OFF[0];
                        live.serve()
                    },
                ),
                Err(error) => Ended::Lost(error.to_string()),
            };
            match ended {
                Ended::Asked => return,
                Ended::Lost(reason) if !memory.lost => {
                    memory.lost = true;
                    tracing::warn!(display = %self.target.name, reason, "the X server is gone; waiting for it");
                    self.input.reset();
                    let _ = self.events.send(BackendEvent::Lost(reason));
                }
                Ended::Lost(_) => {}
            }
            let until = Instant::now() + pause;
            pause = (pause * 2).min(BACK_OFF[1]);
            while Instant::now() < until {
                self.mailbox.sleep(None, Some(until));
                while let Some(command) = self.mailbox.take() {
                    match command {
                        Command::End => return,
                        Command::Watch(watched) => memory.watched = watched,
                        Command::Offer(_) | Command::Display(..) => {}
                        Command::Resize(_, answer) => {
                            let _ = answer.try_send(ResizeAnswer::Prohibited);
                        }
                    }
                }
            }
        }
    }
}

/// What outlives a connection.
#[derive(Default)]
struct Memory {
    ids: Ids,
    layout: Layout,
    watched: bool,
    lost: bool,
    /// Counts connections, so that what an old display says late is not taken for the new one's.
    connections: u64,
}

/// One connection being served.
struct Live<'a> {
    desk: &'a Desk,
    memory: &'a mut Memory,
    conn: RustConnection,
    display: X11Display,
    root: Window,
    selections: Selections,
    xi2: Option<u8>,
    at: Option<Point>,
    leds: Option<u8>,
}

impl<'a> Live<'a> {
    fn new(desk: &'a Desk, memory: &'a mut Memory, conn: RustConnection) -> Result<Self, Ended> {
        let screen = conn.setup().roots.get(desk.target.screen);
        let (root, visual) = screen.map(|s| (s.root, s.root_visual)).ok_or(Ended::Lost("no such screen".into()))?;
        conn.xfixes_query_version(5, 0)?.reply()?;
        keyboard::use_xkb(&conn)?;
        let xi2 = xi2::init(&conn)?;
        let window = conn.generate_id().map_err(|e| Ended::Lost(e.to_string()))?;
        let aux = CreateWindowAux::new().event_mask(EventMask::PROPERTY_CHANGE).override_redirect(1);
        conn.create_window(0, window, root, -1, -1, 1, 1, 0, WindowClass::INPUT_ONLY, visual, &aux)?;
        let selections = Selections::new(&conn, window, desk.options.cap_bytes, desk.options.primary)?;
        let display = open_display(desk, memory)?;
        let mut live = Self { desk, memory, conn, display, root, selections, xi2, at: None, leds: None };
        if live.memory.lost {
            for output in std::mem::take(&mut live.memory.layout).outputs {
                live.send(BackendEvent::OutputRemoved(output.id));
            }
        }
        live.layout();
        live.cursor()?;
        live.leds()?;
        if std::mem::take(&mut live.memory.lost) {
            live.send(BackendEvent::Back);
        }
        if live.memory.watched {
            live.watch(true)?;
        }
        Ok(live)
    }

    fn send(&self, event: BackendEvent) {
        let _ = self.desk.events.send(event);
    }

    fn serve(&mut self) -> Ended {
        loop {
            match self.round() {
                Ok(()) => {}
                Err(ended) => return ended,
            }
        }
    }

    fn round(&mut self) -> Result<(), Ended> {
        while let Some(command) = self.desk.mailbox.take() {
            match command {
                Command::End => return Err(Ended::Asked),
                Command::Watch(watched) => self.watch(watched)?,
                Command::Offer(text) => self.selections.offer(&self.conn, text)?,
                Command::Resize(wish, answer) => {
                    let _ = answer.try_send(resize::apply(&self.conn, self.root, &wish));
                }
                Command::Display(connection, _) if connection != self.memory.connections => {}
                Command::Display(_, X11Event::Layout { .. }) => self.layout(),
                // told before nobody watched any more, by a thread of its own
                Command::Display(_, X11Event::Cursor(_)) if !self.memory.watched => {}
                Command::Display(_, X11Event::Cursor(image)) => {
                    self.send(BackendEvent::Cursor(image));
                    self.pointer()?;
                }
                Command::Display(_, X11Event::Lost(reason)) => return Err(Ended::Lost(reason)),
            }
        }
        let mut seen = Seen::default();
        let mut any = false;
        while let Some(event) = self.conn.poll_for_event()? {
            any = true;
            self.event(event, &mut seen)?;
        }
        self.after(&seen)?;
        self.selections.expire(Instant::now());
        self.conn.flush()?;
        // replies may have brought events along: sleep only after a round that found none
        if !any {
            self.desk.mailbox.sleep(Some(&self.conn), self.selections.deadline());
        }
        Ok(())
    }

    fn after(&mut self, seen: &Seen) -> Result<(), Ended> {
        if !self.memory.watched {
            return Ok(());
        }
        if seen.pointer {
            self.pointer()?;
        }
        if seen.leds {
            self.leds()?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event, seen: &mut Seen) -> Result<(), Ended> {
        let now = Instant::now();
        let text = match event {
            Event::XkbIndicatorStateNotify(_) => {
                seen.leds = true;
                None
            }
            // may be on their way still when nobody watches any more
            Event::XkbBellNotify(_) | Event::XfixesSelectionNotify(_) if !self.memory.watched => None,
            Event::XkbBellNotify(_) => {
                self.send(BackendEvent::Bell);
                None
            }
            Event::XfixesSelectionNotify(e) => {
                self.selections.owner_changed(&self.conn, &e, now)?;
                None
            }
            Event::SelectionClear(e) => {
                self.selections.cleared(e.selection);
                None
            }
            Event::SelectionRequest(e) => {
                self.selections.requested(&self.conn, &e, now)?;
                None
            }
            Event::SelectionNotify(e) => self.selections.converted(&self.conn, &e, now)?,
            Event::PropertyNotify(e) => self.selections.property(&self.conn, &e, now)?,
            Event::Unknown(bytes) if self.xi2.is_some_and(|op| xi2::is_motion(&bytes, op)) => {
                seen.pointer = true;
                None
            }
            Event::Error(error) => {
                tracing::debug!(?error, "the X server refused a request");
                None
            }
            _ => None,
        };
        if let Some(text) = text.filter(|_| self.memory.watched) {
            self.send(BackendEvent::Clipboard(text));
        }
        Ok(())
    }

    /// Asks for events or for none. What changed while nobody watched is told at once.
    fn watch(&mut self, watched: bool) -> Result<(), Ended> {
        self.memory.watched = watched;
        let conn = &self.conn;
        self.display.watch_cursor(watched).map_err(|e| Ended::Lost(e.to_string()))?;
        if let Some(opcode) = self.xi2 {
            xi2::select(conn, opcode, self.root, watched)?;
        }
        let both = xkb::EventType::INDICATOR_STATE_NOTIFY | xkb::EventType::BELL_NOTIFY;
        let none = xkb::EventType::from(0u16);
        let (clear, all) = if watched { (none, both) } else { (both, none) };
        let parts = xkb::MapPart::from(0u16);
        conn.xkb_select_events(keyboard::CORE_KEYBOARD, clear, all, parts, parts, &xkb::SelectEventsAux::new())?;
        self.selections.watch(conn, watched)?;
        if watched {
            self.cursor()?;
            self.pointer()?;
            self.leds()?;
        }
        Ok(())
    }

    /// Tells what is new about monitors, as one change.
    fn layout(&mut self) {
        let monitors = self.display.monitors();
        let new = self.memory.ids.layout(self.display.size(), &monitors);
        let old = std::mem::replace(&mut self.memory.layout, new.clone());
        if new == old {
            return;
        }
        for gone in old.outputs.iter().filter(|o| !new.outputs.iter().any(|n| n.id == o.id)) {
            self.send(BackendEvent::OutputRemoved(gone.id));
        }
        // sources of monitors that stay follow them by themselves
        for output in new.outputs.iter().filter(|n| !old.outputs.iter().any(|o| n.id == o.id)) {
            if let Some(monitor) = monitors.iter().find(|m| m.name == output.name) {
                self.send(BackendEvent::OutputAdded(output.id, Box::new(self.display.source(monitor))));
            }
        }
        self.send(BackendEvent::LayoutChanged(new));
    }

    fn cursor(&mut self) -> Result<(), Ended> {
        if let Some(image) = self.display.cursor().map_err(|e| Ended::Lost(e.to_string()))? {
            self.send(BackendEvent::Cursor(image));
        }
        Ok(())
    }

    fn pointer(&mut self) -> Result<(), Ended> {
        let reply = self.conn.query_pointer(self.root)?.reply()?;
        let axis = |v: i16| u16::try_from(v).unwrap_or(0);
        let at = Point::new(axis(reply.root_x), axis(reply.root_y));
        if self.at.replace(at) != Some(at) {
            self.send(BackendEvent::PointerMoved(at));
        }
        Ok(())
    }

    fn leds(&mut self) -> Result<(), Ended> {
        let leds = keyboard::read_leds(&self.conn)?;
        if self.leds.replace(leds) != Some(leds) {
            self.send(BackendEvent::Leds(leds));
        }
        Ok(())
    }
}

/// Opens the second connection, which captures.
fn open_display(desk: &Desk, memory: &mut Memory) -> Result<X11Display, Ended> {
    memory.connections += 1;
    let (connection, mailbox) = (memory.connections, Arc::clone(&desk.mailbox));
    let tell = move |event| mailbox.send(Command::Display(connection, event));
    let lost = |e: &dyn std::fmt::Display| Ended::Lost(e.to_string());
    let open = |framebuffer, tell| {
        let conn = desk.target.connect(&*desk.opener).map_err(|e| lost(&e))?;
        X11Display::new(conn, desk.target.screen, framebuffer, tell).map_err(|e| lost(&e))
    };
    if let Some(file) = desk.target.framebuffer(&*desk.opener) {
        match open(Some(file), Box::new(tell.clone())) {
            Err(Ended::Lost(reason)) => tracing::debug!(reason, "the framebuffer file is not used"),
            done => return done,
        }
    }
    open(None, Box::new(tell))
}

/// What a batch of events asks to look at again.
#[derive(Default)]
struct Seen {
    pointer: bool,
    leds: bool,
}
