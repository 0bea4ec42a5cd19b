//! What the helper tells, made into outputs, pictures and a pointer.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use farpane_engine::capture::drm::{Buffer, Feed, KmsSource, Pointer, Screen, Wish, arrange, shape};
use farpane_engine::frame::CursorImage;
use farpane_engine::geometry::{Point, Rect, Size};

use super::input::Input;
use super::line::Line;
use super::{AGAIN, KmsOpenError, Target, reach};
use crate::backend::{BackendEvent, Events, Layout, LayoutOutput, OutputId};
use crate::helper::Opener;
use crate::helper::kms::{Ask, ScreenNote, Told, picture};
use crate::helper::wire::{Receiver, WireError};

/// A screen that is shared.
struct Monitor {
    output: OutputId,
    name: String,
    /// The helper's number of it, which a source asks with.
    id: Arc<AtomicU32>,
    feed: Arc<Feed>,
    rect: Rect,
    driver: String,
}

/// The shape that viewers were told.
#[derive(Default)]
struct Shape {
    /// The helper's screen that shows the pointer.
    screen: Option<u32>,
    /// Which shape it was.
    serial: Option<(u32, u32)>,
    image: Option<Arc<CursorImage>>,
    count: u64,
}

/// The thread that listens to the helper.
pub(super) struct Desk {
    target: Target,
    line: Arc<Line>,
    input: Arc<Input>,
    events: Events,
    monitors: Vec<Monitor>,
    next: u32,
    shape: Shape,
}

impl Desk {
    pub(super) fn new(target: Target, line: Arc<Line>, input: Arc<Input>, events: Events) -> Self {
        Self { target, line, input, events, monitors: Vec::new(), next: 0, shape: Shape::default() }
    }

    fn tell(&self, event: BackendEvent) {
        // where nobody listens any more, the backend is on its way out
        let _ = self.events.send(event);
    }

    /// Listens until the backend goes; tries to reach the helper again when it goes.
    pub(super) fn run(mut self, mut told: Receiver, opener: &dyn Opener) {
        loop {
            let why = self.listen(&mut told);
            self.line.set(None);
            if self.line.is_over() {
                return;
            }
            let why = format!("the helper at {}: {why}", self.target.socket.display());
            self.monitors.iter().for_each(|monitor| monitor.feed.lose(why.clone()));
            self.shape.screen = None;
            self.input.reset();
            self.tell(BackendEvent::Lost(why));
            told = loop {
                std::thread::sleep(AGAIN);
                if self.line.is_over() {
                    return;
                }
                match reach(&self.target.socket, opener, &self.line).and_then(|(told, notes)| {
                    self.screens(notes)?;
                    Ok(told)
                }) {
                    Ok(told) => break told,
                    Err(error) => tracing::debug!(%error, "the screens are not back"),
                }
            };
            self.tell(BackendEvent::Back);
            if self.line.is_watched() {
                self.line.ask(&Ask::Input(true));
            }
        }
    }

    /// Does as it is told until the helper goes; says why it went.
    fn listen(&mut self, receiver: &mut Receiver) -> WireError {
        loop {
            match receiver.receive::<Told>(None) {
                Ok((told, fds)) => self.told(told, fds),
                Err(error) => return error,
            }
        }
    }

    fn told(&mut self, told: Told, fds: Vec<OwnedFd>) {
        match told {
            Told::Screens(notes) => {
                if let Err(error) = self.screens(notes) {
                    tracing::warn!(%error, "nothing to show");
                }
            }
            Told::Buffer(note) => {
                let (Some(monitor), Some(fd)) = (self.monitor(note.screen), fds.into_iter().next()) else { return };
                let (size, fourcc, modifier, planes) = (note.size, note.fourcc, note.modifier, note.planes);
                monitor.feed.buffer(note.id, Buffer { fd, size, fourcc, modifier, planes });
            }
            Told::Forget { screen, id } => {
                if let Some(monitor) = self.monitor(screen) {
                    monitor.feed.forget(id);
                }
            }
            Told::Picture { screen, size, layers, damage } => {
                let Some(index) = self.index(screen) else { return };
                let size_now = Size::new(size[0], size[1]);
                let Some(monitor) = self.monitors.get(index) else { return };
                monitor.feed.show(picture(size, layers, damage));
                if monitor.rect.size() != size_now {
                    self.resized(index, size_now);
                }
            }
            Told::Pointer { screen, pointer } => self.pointer(screen, pointer.map(Into::into)),
            Told::Lost { screen, reason } => {
                if let Some(monitor) = self.monitor(screen) {
                    monitor.feed.lose(format!("screen {}: {reason}", monitor.name));
                    // it is asked for again by the source
                    monitor.feed.back();
                }
            }
            Told::Leds(leds) => self.input.shown(leds & 7),
            Told::NoInput(reason) => {
                tracing::warn!(reason, "nobody can type or point");
                self.input.reset();
            }
        }
    }

    fn index(&self, screen: u32) -> Option<usize> {
        self.monitors.iter().position(|monitor| monitor.id.load(Ordering::Acquire) == screen)
    }

    fn monitor(&self, screen: u32) -> Option<&Monitor> {
        self.index(screen).and_then(|index| self.monitors.get(index))
    }

    /// The screens are these.
    ///
    /// # Errors
    /// When there is none to show; those that were there stay.
    pub(super) fn screens(&mut self, notes: Vec<ScreenNote>) -> Result<(), KmsOpenError> {
        let ids: Vec<u32> = notes.iter().map(|note| note.id).collect();
        let all: Vec<Screen> = notes.into_iter().map(ScreenNote::screen).collect();
        let wanted = |screen: &Screen| match &self.target.screen {
            Some(target) => target.card == screen.card && target.connector == screen.connector,
            None => true,
        };
        let mut shown: Vec<(u32, Screen)> = ids.into_iter().zip(all.clone()).filter(|(_, s)| wanted(s)).collect();
        if shown.is_empty() {
            return Err(match &self.target.screen {
                Some(target) if !all.is_empty() => KmsOpenError::Unknown {
                    wanted: format!("{}-{}", target.card, target.connector),
                    there: all.iter().map(Screen::name).collect::<Vec<_>>().join(", "),
                },
                _ => KmsOpenError::Dark,
            });
        }
        // screens that clone another's picture under the same name
        shown.dedup_by_key(|(_, screen)| screen.name());
        let screens: Vec<Screen> = shown.iter().map(|(_, screen)| screen.clone()).collect();
        let places = arrange(&screens);
        let gone: Vec<Monitor> = {
            let stays = |m: &Monitor| screens.iter().any(|s| s.name() == m.name && s.driver == m.driver);
            let (stay, gone) = std::mem::take(&mut self.monitors).into_iter().partition(stays);
            self.monitors = stay;
            gone
        };
        for monitor in gone {
            monitor.feed.lose(format!("screen {} is gone", monitor.name));
            self.tell(BackendEvent::OutputRemoved(monitor.output));
        }
        for ((id, screen), at) in shown.iter().zip(places) {
            let rect = Rect::new(at.x, at.y, screen.size.w, screen.size.h);
            let name = screen.name();
            if let Some(monitor) = self.monitors.iter_mut().find(|monitor| monitor.name == name) {
                monitor.rect = rect;
                if monitor.id.swap(*id, Ordering::AcqRel) != *id {
                    monitor.feed.lose(format!("screen {name} is driven anew"));
                }
                monitor.feed.back();
                continue;
            }
            let number = Arc::new(AtomicU32::new(*id));
            let (line, asked) = (Arc::clone(&self.line), Arc::clone(&number));
            let ask = move |wish| {
                let screen = asked.load(Ordering::Acquire);
                line.ask(&match wish {
                    Wish::Watch => Ask::Watch(screen),
                    Wish::Next => Ask::Next(screen),
                    Wish::Leave => Ask::Leave(screen),
                });
            };
            let feed = Feed::new(&screen.driver, screen.size, Box::new(ask));
            self.line.follow(&feed);
            let source = KmsSource::new(Arc::clone(&feed), &name, at, screen.rate);
            let output = OutputId(self.next);
            self.next += 1;
            self.tell(BackendEvent::OutputAdded(output, Box::new(source)));
            self.monitors.push(Monitor { output, name, id: number, feed, rect, driver: screen.driver.clone() });
        }
        self.tell_layout();
        Ok(())
    }

    fn tell_layout(&self) {
        let layout = self.layout();
        self.input.set_canvas(layout.size);
        self.line.set_canvas(layout.size);
        self.tell(BackendEvent::LayoutChanged(layout));
    }

    fn layout(&self) -> Layout {
        let bounds = self.monitors.iter().fold(Rect::default(), |all, monitor| all.bounds_with(&monitor.rect));
        let output = |m: &Monitor| LayoutOutput { id: m.output, name: m.name.clone(), rect: m.rect };
        let mut outputs: Vec<LayoutOutput> = self.monitors.iter().map(output).collect();
        outputs.sort_by_key(|output| output.id);
        Layout { size: Size::new(bounds.right(), bounds.bottom()), outputs }
    }

    /// A screen has another size: those right of it move.
    fn resized(&mut self, index: usize, size: Size) {
        let Some(monitor) = self.monitors.get_mut(index) else { return };
        let (right, old) = (monitor.rect.right(), monitor.rect.w);
        monitor.rect = Rect::new(monitor.rect.x, monitor.rect.y, size.w, size.h);
        let by = i32::from(size.w) - i32::from(old);
        for monitor in self.monitors.iter_mut().filter(|monitor| monitor.rect.x >= right) {
            monitor.rect = monitor.rect.translate(by, 0);
        }
        self.tell_layout();
    }

    /// A screen's pointer is this one.
    fn pointer(&mut self, screen: u32, pointer: Option<Pointer>) {
        let Some(monitor) = self.monitor(screen) else { return };
        let Some(pointer) = pointer else {
            if self.shape.screen == Some(screen) {
                self.shape.screen = None;
                self.shape.serial = None;
                self.show(CursorImage {
                    size: Size::default(),
                    hotspot: Point::default(),
                    rgba: Vec::new(),
                    serial: 0,
                });
            }
            return;
        };
        let (rect, feed) = (monitor.rect, Arc::clone(&monitor.feed));
        if self.shape.screen != Some(screen) || self.shape.serial != Some((screen, pointer.serial)) {
            self.shape.screen = Some(screen);
            self.shape.serial = Some((screen, pointer.serial));
            if let Some(mut image) = shape(&feed, &pointer, 0) {
                if pointer.hotspot.is_none() {
                    image.hotspot = self.line.hotspots().shown(&image);
                }
                self.show(image);
            }
        }
        let to = pointer.layer.to;
        if let (None, Some(image)) = (pointer.hotspot, self.shape.image.clone()) {
            let corner = (i32::from(rect.x) + to.x, i32::from(rect.y) + to.y);
            let better = self.line.hotspots().moved(&image, corner, Instant::now());
            if let Some(hotspot) = better {
                tracing::debug!(?hotspot, "where the pointer's shape points");
                self.show(CursorImage { hotspot, ..CursorImage::clone(&image) });
            }
        }
        let hotspot = self.shape.image.as_ref().map_or(Point::default(), |image| image.hotspot);
        let along = |at: i32, hot: u16, from: u16, length: u16| {
            let inside = (at + i32::from(hot)).clamp(0, i32::from(length.max(1)) - 1);
            (i32::from(from) + inside) as u16
        };
        let at = Point::new(along(to.x, hotspot.x, rect.x, rect.w), along(to.y, hotspot.y, rect.y, rect.h));
        self.tell(BackendEvent::PointerMoved(at));
    }

    /// Tells a shape that is another than before.
    fn show(&mut self, image: CursorImage) {
        let same =
            |old: &Arc<CursorImage>| (old.size, old.hotspot, &old.rgba) == (image.size, image.hotspot, &image.rgba);
        if self.shape.image.as_ref().is_some_and(same) {
            return;
        }
        self.shape.count += 1;
        let image = Arc::new(CursorImage { serial: self.shape.count, ..image });
        self.shape.image = Some(Arc::clone(&image));
        self.tell(BackendEvent::Cursor(image));
    }
}
