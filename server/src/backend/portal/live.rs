//! A session that is served: its streams, what the portal is told, and how it ends.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use farpane_engine::capture::pipewire::{Remote, Stream, StreamEvent, StreamSpec};
use farpane_engine::frame::{CursorImage, DmaBufs};
use farpane_engine::geometry::{Point, Rect, Size};
use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};
use tokio::time::Instant;
use zbus::MessageStream;
use zbus::zvariant::ObjectPath;

use super::PortalError;
use super::bus::{Bus, Options, PORTAL};
use super::clipboard::Follower;
use super::desk::{Desk, Ended, Memory};
use super::input::{Held, SHIFT, Tell};
use super::layout::{Monitor, place};
use super::queue::Command;
use super::session::{self, KEYBOARD, POINTER, REMOTE, StreamInfo, VIRTUAL};
use super::way::Way;
use crate::backend::pipewire::SIZE_KNOWN;
use crate::backend::{BackendEvent, Layout, LayoutOutput, OutputId, ResizeAnswer};

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
pub(super) struct Live {
    bus: Bus,
    path: ObjectPath<'static>,
    closed: MessageStream,
    gone: SelectAll<MessageStream>,
    number: u64,
    screens: Vec<Screen>,
    monitors: Vec<Monitor>,
    rects: Vec<Rect>,
    held: Held,
    _clipboard: Option<Follower>,
    way: Way,
    pub(super) devices: u32,
    /// Something of the desktop ended with the session.
    crashed: bool,
    wish: Option<(Size, SyncSender<ResizeAnswer>, Instant)>,
    // after the streams
    _remote: Remote,
}

impl Live {
    /// Opens a session and its streams, and tells what it shows.
    pub(super) async fn open(desk: &Desk, memory: &mut Memory) -> Result<Self, PortalError> {
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
        let way = match Way::open(&bus, &can, &session.path, session.devices, memory).await {
            Ok(way) => way,
            Err(error) => {
                tracing::warn!(%error, "no input by libei: the session is opened again, and input told to the portal");
                drop((screens, remote));
                bus.close(&session.path).await;
                // the way is another: at most once
                return Box::pin(Self::open(desk, memory)).await;
            }
        };
        let clipboard = match session.clipboard {
            true => Some(Follower::start(&bus, &session.path, &desk.clipboard).await?),
            false => None,
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
            _clipboard: clipboard,
            way,
            devices: session.devices,
            crashed: false,
            wish: None,
            _remote: remote,
        };
        live.tell_outputs(desk, memory);
        if !session.pointer_apart {
            // it is in the picture, or nowhere: viewers are to draw none
            let none = CursorImage { size: Size::new(0, 0), hotspot: Point::new(0, 0), rgba: Vec::new(), serial: 0 };
            desk.send(BackendEvent::Cursor(Arc::new(none)));
        }
        desk.send(BackendEvent::Leds(live.way.leds().unwrap_or(0)));
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
        // one for each attempt
        memory.sessions += 2;
        let number = memory.sessions - 1;
        let named: Vec<(StreamInfo, String)> = infos.iter().cloned().zip(names(infos)).collect();
        let (queue, pipewire) = (Arc::clone(&desk.queue), Arc::clone(&memory.pipewire));
        let wanted = desk.dma_bufs.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let remote = pipewire.connect(socket, Box::new(|_| {}))?;
            let open = |number: u64, dma_bufs: &DmaBufs| -> Result<Vec<(Stream, StreamInfo, String)>, PortalError> {
                let one = |(i, (info, name)): (usize, &(StreamInfo, String))| {
                    let virtual_size = (info.kind == VIRTUAL).then_some(VIRTUAL_SIZE);
                    let spec =
                        StreamSpec { node: info.node, name: name.clone(), virtual_size, dma_bufs: dma_bufs.clone() };
                    let told = Arc::clone(&queue);
                    let stream = remote.open(spec, Box::new(move |event| told.push(Command::Stream(number, i, event))));
                    (stream, info.clone(), name.clone())
                };
                let streams: Vec<_> = named.iter().enumerate().map(one).collect();
                for (stream, ..) in &streams {
                    stream.wait(SIZE_KNOWN)?;
                }
                Ok(streams)
            };
            let (number, streams) = match open(number, &wanted) {
                Err(error) if !wanted.is_none() => {
                    tracing::warn!(%error, "no dma-bufs: shared memory is asked for");
                    (number + 1, open(number + 1, &DmaBufs::None)?)
                }
                done => (number, done?),
            };
            Ok::<_, PortalError>((remote, number, streams))
        });
        let (remote, number, streams) = opened.await.map_err(|error| PortalError::Lost(error.to_string()))??;
        memory.sessions = number;
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
    /// By libei they are there already.
    async fn wake_devices(&mut self) {
        if !matches!(self.way, Way::Notify) {
            return;
        }
        if self.devices & KEYBOARD != 0 {
            let _ = self.tell(Tell::Keycode(SHIFT, true)).await;
            let _ = self.tell(Tell::Keycode(SHIFT, false)).await;
        }
        if self.devices & POINTER != 0 {
            let none: Options<'_> = Options::new();
            let _ = self.bus.tell(REMOTE, "NotifyPointerMotion", &(&self.path, none, 0.0f64, 0.0f64)).await;
        }
    }

    /// Serves it until it ends.
    pub(super) async fn serve(&mut self, desk: &Desk, memory: &mut Memory) -> Ended {
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
                heard = self.way.hear() => match heard {
                    Ok(()) => self.tell_leds(desk),
                    Err(reason) => break reason,
                },
            }
        };
        let ended = self.judge_the_end(reason, false).await;
        // a desktop that went took libei along; otherwise it is libei that does not do
        memory.without_ei |= matches!(self.way, Way::Ended) && !self.crashed;
        ended
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
        self.crashed = crashed;
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
        self.way.end().await;
        self.bus.close(&self.path).await;
    }

    async fn command(&mut self, desk: &Desk, memory: &mut Memory, command: Command) -> Result<(), Ended> {
        match command {
            Command::End => return Err(Ended::Asked),
            Command::Key(key) if self.devices & KEYBOARD != 0 => {
                if let Some(done) = self.way.key(key).await {
                    self.tell_leds(desk);
                    return done.map_err(Ended::Lost);
                }
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

    async fn tell(&mut self, tell: Tell) -> Result<(), Ended> {
        let at = if let Tell::At(i, ..) = tell { self.screens.get(i) } else { None };
        let at = at.map(|s| (s.monitor(), s.info.mapping.as_deref()));
        if let Some(done) = self.way.tell(tell, at).await {
            return done.map_err(Ended::Lost);
        }
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

    /// Tells which lock keys are on, when that is news.
    fn tell_leds(&mut self, desk: &Desk) {
        if let Some(leds) = self.way.leds() {
            desk.send(BackendEvent::Leds(leds));
        }
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
        StreamInfo { node: 1, kind, id: id.map(str::to_owned), position: None, size: None, mapping: None }
    }

    #[test]
    fn monitors_are_called_as_the_portal_calls_them_where_that_is_a_word() {
        let infos =
            [info(1, Some("DP-1")), info(1, Some("DP-1")), info(1, Some("0")), info(4, None), info(1, Some("a\nb"))];
        assert_eq!(names(&infos), ["DP-1", "monitor-2", "monitor-3", "virtual-4", "monitor-5"]);
    }
}
