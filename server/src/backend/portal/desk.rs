//! The thread that speaks to the portal: opens a session, serves it, and finds the desktop again when it went.
//!
//! When a session ends, its end is looked at for a moment: if the compositor or the portal went with it, it is opened again, with the
//! restore token where there is one; if only the session was closed, the person at the desktop stopped the sharing, and it stays stopped.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farpane_engine::capture::pipewire::{PipeWire, Remote, Stream, StreamEvent, StreamSpec};
use farpane_engine::frame::CursorImage;
use farpane_engine::geometry::{Point, Rect, Size};
use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};
use tokio::sync::Notify;
use tokio::time::Instant;
use zbus::MessageStream;
use zbus::zvariant::ObjectPath;

use super::bus::{Bus, Options, PORTAL};
use super::input::{Held, SHIFT, Tell};
use super::layout::{Monitor, place};
use super::session::{self, KEYBOARD, POINTER, REMOTE, StreamInfo, VIRTUAL};
use super::token::TokenFile;
use super::{PortalError, Target};
use crate::backend::pipewire::SIZE_KNOWN;
use crate::backend::{BackendEvent, Events, Layout, LayoutOutput, OutputId, ResizeAnswer};
use crate::helper::Opener;
use crate::input::{KeyInput, PointerInput};

/// Input that waits at most; presses beyond it are dropped, releases never.
const MOST_WAITING: usize = 4096;
/// The first and the longest pause between attempts to open a session again.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(3)];
/// How long what ended a session may take to show.
const AFTERMATH: Duration = Duration::from_secs(2);
/// How long a virtual monitor may take to change its size.
const RESIZE: Duration = Duration::from_secs(6);
/// What a virtual monitor is at first.
const VIRTUAL_SIZE: Size = Size::new(1920, 1080);
/// The largest side of a virtual monitor.
const MOST_VIRTUAL: u16 = 16_384;
/// Names whose owner's end means that the desktop went, and not only the session.
const COMPOSITORS: [&str; 6] = [
    PORTAL,
    "org.gnome.Mutter.ScreenCast",
    "org.gnome.Shell",
    "org.kde.KWin",
    "org.freedesktop.impl.portal.desktop.gnome",
    "org.freedesktop.impl.portal.desktop.kde",
];

/// What the thread is asked and told.
pub enum Command {
    /// A key of a client.
    Key(KeyInput),
    /// The pointer of a client.
    Pointer(PointerInput),
    /// A client wishes another layout.
    Resize(Layout, SyncSender<ResizeAnswer>),
    /// A stream has something to say: which session, which stream.
    Stream(u64, usize, StreamEvent),
    /// The backend is no longer needed.
    End,
}

/// Commands on their way to the thread.
#[derive(Default)]
pub struct Queue {
    waiting: Mutex<VecDeque<Command>>,
    filled: Notify,
}

impl Queue {
    /// Puts a command in. Of several places of the pointer that wait, with the same buttons, the last counts.
    pub fn push(&self, command: Command) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Command::Pointer(new), Some(Command::Pointer(last))) = (&command, waiting.back_mut())
            && new.buttons == last.buttons
        {
            *last = *new;
            return;
        }
        let droppable = matches!(&command, Command::Key(key) if key.down);
        if waiting.len() < MOST_WAITING || !droppable {
            waiting.push_back(command);
        }
        drop(waiting);
        self.filled.notify_one();
    }

    async fn pop(&self) -> Command {
        loop {
            if let Some(command) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
                return command;
            }
            self.filled.notified().await;
        }
    }
}

/// Why a session is served no more.
enum Ended {
    /// The backend is no longer needed.
    Asked,
    /// The desktop went: it may come again.
    Lost(String),
    /// It is not to be asked for again.
    Stopped(String),
}

/// What the thread is made of.
pub struct Desk {
    runtime: tokio::runtime::Runtime,
    target: Target,
    opener: Arc<dyn Opener>,
    events: Events,
    queue: Arc<Queue>,
}

/// What outlives a session.
struct Memory {
    /// The ids of monitors by their names.
    ids: HashMap<String, OutputId>,
    /// What was told last.
    layout: Layout,
    token: TokenFile,
    pipewire: Arc<PipeWire>,
    /// Counts sessions, so that what an old stream says late is not taken for a new one's.
    sessions: u64,
}

impl Desk {
    /// Prepares the thread's runtime.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn new(target: Target, opener: Arc<dyn Opener>, events: Events, queue: Arc<Queue>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, target, opener, events, queue })
    }

    /// Runs until it is told to end. Says once whether the desktop could be opened, and whether it takes input.
    pub fn run(self, opened: &SyncSender<Result<bool, PortalError>>) {
        self.runtime.block_on(self.serve(opened));
        // a name that is looked up, or a call that nobody answers, holds up nothing
        self.runtime.shutdown_background();
    }

    async fn serve(&self, opened: &SyncSender<Result<bool, PortalError>>) {
        let pipewire = match PipeWire::start() {
            Ok(pipewire) => Arc::new(pipewire),
            Err(error) => {
                let _ = opened.send(Err(error.into()));
                return;
            }
        };
        let token = TokenFile::open(self.target.token.clone(), &*self.opener);
        let mut memory = Memory { ids: HashMap::new(), layout: Layout::default(), token, pipewire, sessions: 0 };
        let mut ended = match Live::open(self, &mut memory).await {
            Ok(mut live) => {
                let _ = opened.send(Ok(live.devices & (KEYBOARD | POINTER) != 0));
                live.serve(self, &mut memory).await
            }
            Err(error) => {
                let _ = opened.send(Err(error));
                return;
            }
        };
        loop {
            match ended {
                Ended::Asked => return,
                Ended::Stopped(reason) => {
                    tracing::warn!(reason, "the desktop is no longer shared");
                    self.send(BackendEvent::Lost(reason));
                    return self.wait_for_the_end().await;
                }
                Ended::Lost(reason) => {
                    tracing::warn!(reason, "the desktop is gone; waiting for it");
                    self.send(BackendEvent::Lost(reason));
                }
            }
            ended = match self.again(&mut memory).await {
                Ok(mut live) => {
                    self.send(BackendEvent::Back);
                    live.serve(self, &mut memory).await
                }
                Err(ended) => ended,
            };
        }
    }

    fn send(&self, event: BackendEvent) {
        let _ = self.events.send(event);
    }

    /// Tries to open a session until that succeeds, is refused, or nobody needs it any more.
    async fn again(&self, memory: &mut Memory) -> Result<Live, Ended> {
        let mut pause = BACK_OFF[0];
        loop {
            if self.idle_for(pause).await {
                return Err(Ended::Asked);
            }
            pause = (pause * 2).min(BACK_OFF[1]);
            match Live::open(self, memory).await {
                Ok(live) => return Ok(live),
                // whoever does not want to be asked is asked once
                Err(error @ (PortalError::Denied | PortalError::Late { method: "Start", .. })) => {
                    return Err(Ended::Stopped(error.to_string()));
                }
                Err(error) => tracing::debug!(%error, "the desktop is not back"),
            }
        }
    }

    /// Refuses what is asked meanwhile; returns whether the backend is no longer needed.
    async fn idle_for(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        while let Ok(command) = tokio::time::timeout_at(end, self.queue.pop()).await {
            match command {
                Command::End => return true,
                Command::Resize(_, answer) => {
                    let _ = answer.try_send(ResizeAnswer::Prohibited);
                }
                Command::Key(_) | Command::Pointer(_) | Command::Stream(..) => {}
            }
        }
        false
    }

    async fn wait_for_the_end(&self) {
        while !self.idle_for(Duration::from_secs(3600)).await {}
    }
}

/// One monitor of a session.
struct Screen {
    stream: Stream,
    info: StreamInfo,
    id: OutputId,
    name: String,
}

impl Screen {
    fn monitor(&self) -> Monitor {
        Monitor { size: self.stream.size().unwrap_or_default(), position: self.info.position, logical: self.info.size }
    }
}

/// A session that is served.
struct Live {
    bus: Bus,
    path: ObjectPath<'static>,
    closed: MessageStream,
    gone: SelectAll<MessageStream>,
    number: u64,
    screens: Vec<Screen>,
    monitors: Vec<Monitor>,
    rects: Vec<Rect>,
    held: Held,
    devices: u32,
    wish: Option<(Size, SyncSender<ResizeAnswer>, Instant)>,
    // after the streams
    _remote: Remote,
}

impl Live {
    /// Opens a session and its streams, and tells what it shows.
    async fn open(desk: &Desk, memory: &mut Memory) -> Result<Self, PortalError> {
        let bus = Bus::connect(&desk.target.bus, &*desk.opener).await?;
        let can = session::abilities(&bus).await?;
        // listened to before anything is opened: what ends meanwhile is told
        let mut gone = Vec::new();
        for name in COMPOSITORS {
            gone.push(bus.owner_changes(name).await?);
        }
        let kept = memory.token.read();
        let session = session::open(&bus, &can, kept.as_ref().map(|token| token.as_str())).await?;
        if can.persists() {
            memory.token.keep(session.token.as_deref());
        }
        let closed = bus.signals("org.freedesktop.portal.Session", "Closed", Some(session.path.as_str())).await?;
        let streams = Self::streams(desk, memory, session.socket, &session.streams).await;
        let (remote, screens) = match streams {
            Ok(both) => both,
            Err(error) => {
                bus.close(&session.path).await;
                return Err(error);
            }
        };
        let mut live = Self {
            bus,
            path: session.path,
            closed,
            gone: select_all(gone),
            number: memory.sessions,
            screens,
            monitors: Vec::new(),
            rects: Vec::new(),
            held: Held::default(),
            devices: session.devices,
            wish: None,
            _remote: remote,
        };
        live.tell_outputs(desk, memory);
        if !session.pointer_apart {
            // it is in the picture, or nowhere: viewers are to draw none
            let none = CursorImage { size: Size::new(0, 0), hotspot: Point::new(0, 0), rgba: Vec::new(), serial: 0 };
            desk.send(BackendEvent::Cursor(Arc::new(none)));
        }
        desk.send(BackendEvent::Leds(0));
        live.wake_devices().await;
        Ok(live)
    }

    /// Opens the streams of a session and waits for their sizes. Waits on a thread of its own: PipeWire knows no runtime.
    async fn streams(
        desk: &Desk,
        memory: &mut Memory,
        socket: std::os::fd::OwnedFd,
        infos: &[StreamInfo],
    ) -> Result<(Remote, Vec<Screen>), PortalError> {
        memory.sessions += 1;
        let number = memory.sessions;
        let named: Vec<(StreamInfo, String)> = infos.iter().cloned().zip(names(infos)).collect();
        let (queue, pipewire) = (Arc::clone(&desk.queue), Arc::clone(&memory.pipewire));
        let opened = tokio::task::spawn_blocking(move || {
            let remote = pipewire.connect(socket, Box::new(|_| {}))?;
            let open = |(i, (info, name)): (usize, (StreamInfo, String))| {
                let virtual_size = (info.kind == VIRTUAL).then_some(VIRTUAL_SIZE);
                let spec = StreamSpec { node: info.node, name: name.clone(), virtual_size };
                let told = Arc::clone(&queue);
                let stream = remote.open(spec, Box::new(move |event| told.push(Command::Stream(number, i, event))));
                (stream, info, name)
            };
            let streams: Vec<_> = named.into_iter().enumerate().map(open).collect();
            for (stream, ..) in &streams {
                stream.wait(SIZE_KNOWN)?;
            }
            Ok::<_, PortalError>((remote, streams))
        });
        let (remote, streams) = opened.await.map_err(|error| PortalError::Lost(error.to_string()))??;
        let mut screens = Vec::with_capacity(streams.len());
        for (stream, info, name) in streams {
            let next = OutputId(u32::try_from(memory.ids.len()).unwrap_or(u32::MAX));
            let id = *memory.ids.entry(name.clone()).or_insert(next);
            screens.push(Screen { stream, info, id, name });
        }
        Ok((remote, screens))
    }

    /// Tells a new session's outputs in place of the old one's.
    fn tell_outputs(&mut self, desk: &Desk, memory: &mut Memory) {
        for old in std::mem::take(&mut memory.layout).outputs {
            desk.send(BackendEvent::OutputRemoved(old.id));
        }
        for screen in &self.screens {
            desk.send(BackendEvent::OutputAdded(screen.id, Box::new(screen.stream.source())));
        }
        self.tell_layout(desk, memory);
    }

    /// Tells where monitors lie, when that is news.
    fn tell_layout(&mut self, desk: &Desk, memory: &mut Memory) {
        self.monitors = self.screens.iter().map(Screen::monitor).collect();
        let (size, rects) = place(&self.monitors);
        self.rects = rects;
        let shown = self.screens.iter().zip(&self.rects).filter(|(_, rect)| !rect.is_empty());
        let outputs = shown.map(|(s, rect)| LayoutOutput { id: s.id, name: s.name.clone(), rect: *rect }).collect();
        let layout = Layout { size, outputs };
        if layout != memory.layout {
            memory.layout = layout.clone();
            desk.send(BackendEvent::LayoutChanged(layout));
        }
    }

    /// Has the compositor make its keyboard and pointer: programs learn of them before the first real key, which would be lost.
    async fn wake_devices(&mut self) {
        if self.devices & KEYBOARD != 0 {
            let _ = self.tell(Tell::Keycode(SHIFT, true)).await;
            let _ = self.tell(Tell::Keycode(SHIFT, false)).await;
        }
        if self.devices & POINTER != 0 {
            let none: Options<'_> = Options::new();
            let _ = self.bus.tell(REMOTE, "NotifyPointerMotion", &(&self.path, none, 0.0f64, 0.0f64)).await;
        }
    }

    async fn serve(&mut self, desk: &Desk, memory: &mut Memory) -> Ended {
        let reason = loop {
            let wish_ends = self.wish.as_ref().map(|(_, _, end)| *end);
            let late = async {
                match wish_ends {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = desk.queue.pop() => match self.command(desk, memory, command).await {
                    Ok(()) => {}
                    Err(Ended::Lost(reason)) => break reason,
                    Err(other) => {
                        self.end().await;
                        return other;
                    }
                },
                said = self.closed.next() => match said {
                    Some(_) => return self.judge_the_end("the session was closed".into(), true).await,
                    None => break "the session bus is gone".into(),
                },
                said = self.gone.next() => match said.map(|message| lost_owner(&message)) {
                    Some(Some(name)) => break format!("{name} ended"),
                    Some(None) => {}
                    None => break "the session bus is gone".into(),
                },
                () = late => self.answer(ResizeAnswer::OutOfResources),
            }
        };
        self.judge_the_end(reason, false).await
    }

    /// Looks for a moment at what else ends: the person stopped the sharing, or the desktop went.
    async fn judge_the_end(&mut self, reason: String, mut closed: bool) -> Ended {
        let end = Instant::now() + AFTERMATH;
        let mut crashed = false;
        while !crashed {
            tokio::select! {
                said = self.closed.next() => match said {
                    Some(_) => closed = true,
                    None => crashed = true,
                },
                said = self.gone.next() => crashed |= said.is_none_or(|message| lost_owner(&message).is_some()),
                () = tokio::time::sleep_until(end) => break,
            }
        }
        self.answer(ResizeAnswer::OutOfResources);
        if closed && !crashed {
            let text = "sharing was stopped at the desktop; start farpane again to ask for it anew";
            return Ended::Stopped(text.to_owned());
        }
        self.end().await;
        Ended::Lost(reason)
    }

    /// Lets go of keys and buttons and closes the session.
    async fn end(&mut self) {
        for tell in self.held.release_all() {
            let _ = self.tell(tell).await;
        }
        self.bus.close(&self.path).await;
    }

    async fn command(&mut self, desk: &Desk, memory: &mut Memory, command: Command) -> Result<(), Ended> {
        match command {
            Command::End => return Err(Ended::Asked),
            Command::Key(key) if self.devices & KEYBOARD != 0 => {
                if let Some(tell) = self.held.key(key) {
                    self.tell(tell).await?;
                }
            }
            Command::Pointer(pointer) if self.devices & POINTER != 0 => {
                for tell in self.held.pointer(pointer, &self.monitors, &self.rects) {
                    self.tell(tell).await?;
                }
            }
            Command::Key(_) | Command::Pointer(_) => {}
            Command::Resize(wish, answer) => self.resize(&wish, answer),
            Command::Stream(number, ..) if number != self.number => {}
            Command::Stream(_, i, event) => return self.stream(desk, memory, i, event),
        }
        Ok(())
    }

    async fn tell(&self, tell: Tell) -> Result<(), Ended> {
        let (path, none): (_, Options<'_>) = (&self.path, Options::new());
        let bus = &self.bus;
        let told = match tell {
            Tell::Keycode(code, down) => {
                bus.tell(REMOTE, "NotifyKeyboardKeycode", &(path, none, code, u32::from(down))).await
            }
            Tell::Keysym(sym, down) => {
                bus.tell(REMOTE, "NotifyKeyboardKeysym", &(path, none, sym, u32::from(down))).await
            }
            Tell::Button(code, down) => {
                bus.tell(REMOTE, "NotifyPointerButton", &(path, none, code, u32::from(down))).await
            }
            Tell::Wheel(axis, steps) => bus.tell(REMOTE, "NotifyPointerAxisDiscrete", &(path, none, axis, steps)).await,
            Tell::At(i, x, y) => match self.screens.get(i) {
                Some(screen) => {
                    bus.tell(REMOTE, "NotifyPointerMotionAbsolute", &(path, none, screen.info.node, x, y)).await
                }
                None => Ok(()),
            },
        };
        told.map_err(|error| Ended::Lost(error.to_string()))
    }

    fn stream(&mut self, desk: &Desk, memory: &mut Memory, i: usize, event: StreamEvent) -> Result<(), Ended> {
        match event {
            StreamEvent::Size(size) => {
                // a virtual monitor has no other size than its pixels
                if let Some(screen) = self.screens.get_mut(i).filter(|s| s.info.kind == VIRTUAL) {
                    screen.info.size = None;
                }
                self.tell_layout(desk, memory);
                if self.wish.as_ref().is_some_and(|(wished, ..)| *wished == size) {
                    self.answer(ResizeAnswer::Done);
                }
            }
            StreamEvent::Cursor(image) => desk.send(BackendEvent::Cursor(image)),
            StreamEvent::Pointer(x, y) => {
                let inside = |v: i32, len: u16| u16::try_from(v).ok().filter(|v| *v < len);
                if let Some(rect) = self.rects.get(i)
                    && let (Some(x), Some(y)) = (inside(x, rect.w), inside(y, rect.h))
                {
                    desk.send(BackendEvent::PointerMoved(Point::new(
                        rect.x.saturating_add(x),
                        rect.y.saturating_add(y),
                    )));
                }
            }
            StreamEvent::Lost(reason) => {
                let name = self.screens.get(i).map(|s| s.name.clone()).unwrap_or_default();
                return Err(Ended::Lost(format!("monitor {name}: {reason}")));
            }
        }
        Ok(())
    }

    /// Does what a client wishes, where the only monitor is one made for us.
    fn resize(&mut self, wish: &Layout, answer: SyncSender<ResizeAnswer>) {
        let refuse = |answer: SyncSender<ResizeAnswer>, why| {
            let _ = answer.try_send(why);
        };
        let [screen] = self.screens.as_slice() else { return refuse(answer, ResizeAnswer::Prohibited) };
        if screen.info.kind != VIRTUAL {
            return refuse(answer, ResizeAnswer::Prohibited);
        }
        match wish.outputs.as_slice() {
            [only] if only.rect == wish.size.rect() && !only.rect.is_empty() => {}
            _ => return refuse(answer, ResizeAnswer::InvalidLayout),
        }
        if wish.size.w > MOST_VIRTUAL || wish.size.h > MOST_VIRTUAL {
            return refuse(answer, ResizeAnswer::OutOfResources);
        }
        if screen.stream.size() == Some(wish.size) {
            return refuse(answer, ResizeAnswer::Done);
        }
        screen.stream.resize(wish.size);
        self.answer(ResizeAnswer::OutOfResources);
        self.wish = Some((wish.size, answer, Instant::now() + RESIZE));
    }

    /// Answers the wish that is open.
    fn answer(&mut self, with: ResizeAnswer) {
        if let Some((_, answer, _)) = self.wish.take() {
            let _ = answer.try_send(with);
        }
    }
}

/// The name whose owner a signal says has ended.
fn lost_owner(message: &Result<zbus::Message, zbus::Error>) -> Option<String> {
    let body = message.as_ref().ok()?.body();
    let (name, _, new): (String, String, String) = body.deserialize().ok()?;
    new.is_empty().then_some(name)
}

/// Names that people can use: the portal's where they are words, otherwise counted. None stands twice.
fn names(infos: &[StreamInfo]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(infos.len());
    for (i, info) in infos.iter().enumerate() {
        let good = |id: &&str| {
            let plain = id.len() <= 40 && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            plain && id.chars().any(|c| c.is_ascii_alphabetic())
        };
        let told = info.id.as_deref().filter(good).map(str::to_owned);
        let counted = if info.kind == VIRTUAL { format!("virtual-{}", i + 1) } else { format!("monitor-{}", i + 1) };
        let name = told.filter(|name| !names.contains(name)).unwrap_or(counted);
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(kind: u32, id: Option<&str>) -> StreamInfo {
        StreamInfo { node: 1, kind, id: id.map(str::to_owned), position: None, size: None }
    }

    #[test]
    fn monitors_are_called_as_the_portal_calls_them_where_that_is_a_word() {
        let infos =
            [info(1, Some("DP-1")), info(1, Some("DP-1")), info(1, Some("0")), info(4, None), info(1, Some("a\nb"))];
        assert_eq!(names(&infos), ["DP-1", "monitor-2", "monitor-3", "virtual-4", "monitor-5"]);
    }

    #[test]
    fn of_places_that_wait_the_last_counts_and_releases_are_never_dropped() {
        let queue = Queue::default();
        let at = |x, buttons| Command::Pointer(PointerInput { x, y: 0, buttons });
        let key = |down| Command::Key(KeyInput { down, keysym: 0x61, scancode: None });
        for x in 0..10 {
            queue.push(at(x, 0));
        }
        queue.push(at(10, 1));
        for _ in 0..2 * MOST_WAITING {
            queue.push(key(true));
        }
        queue.push(key(false));
        let waiting = queue.waiting.lock().unwrap();
        assert!(matches!(waiting.front(), Some(Command::Pointer(p)) if p.x == 9));
        assert!(matches!(waiting.back(), Some(Command::Key(k)) if !k.down));
        assert_eq!(waiting.len(), MOST_WAITING + 1);
    }
}
