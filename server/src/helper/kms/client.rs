//! One client of the helper: its cards, the screens that it watches, its input devices.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use farpane_engine::capture::drm::{Card, Device, Look, Screen, Watch, cards, screens};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::messages::{Ask, BufferNote, MOST_SCREENS, ScreenNote, Told};
use crate::helper::uinput::{Devices, UinputError};
use crate::helper::wire::{self, MESSAGE_LIMIT, Receiver, Sender, WireError};

/// How often the list of screens is made anew.
const LIST: Duration = Duration::from_millis(500);
/// A screen that is dark is looked at after this long.
const DARK: Duration = Duration::from_millis(250);
/// The time between two looks where a driver has no vertical blanks and no rate.
const LOOK: Duration = Duration::from_micros(16_667);
/// CRTCs of a card at most.
const CRTCS: u32 = 32;

/// A screen that is watched.
struct Watched {
    watch: Watch,
    /// The client can take a change.
    wanted: bool,
    /// A vertical blank was asked for and has not come.
    asked: bool,
    /// Since when nobody has looked.
    rested: bool,
    /// When to look where no vertical blank will tell.
    at: Option<Instant>,
}

struct OpenCard {
    number: u32,
    device: Device,
    /// Whether its driver tells of vertical blanks.
    blanks: bool,
}

/// Makes input devices, or says why there are none.
pub(super) type Input = dyn Fn() -> Result<Devices, String>;

pub(super) struct Client<'a> {
    socket: UnixStream,
    sender: Sender,
    receiver: Receiver,
    cards: Vec<OpenCard>,
    watched: BTreeMap<u32, Watched>,
    told: Option<Vec<ScreenNote>>,
    list_at: Instant,
    input: &'a Input,
    devices: Option<Devices>,
    leds: Option<u8>,
}

/// What ends a client: it went, or said what nobody understands.
type Ended = Result<(), WireError>;

impl<'a> Client<'a> {
    pub(super) fn new(socket: UnixStream, input: &'a Input) -> io::Result<Self> {
        let (sender, receiver) = wire::ends(socket.try_clone()?);
        Ok(Self {
            socket,
            sender,
            receiver,
            cards: Vec::new(),
            watched: BTreeMap::new(),
            told: None,
            list_at: Instant::now(),
            input,
            devices: None,
            leds: None,
        })
    }

    /// Does what the client asks for until it goes.
    pub(super) fn run(mut self) -> Ended {
        loop {
            let now = Instant::now();
            if now >= self.list_at {
                self.list_at = now + LIST;
                self.list()?;
            }
            self.look_by_the_clock(now)?;
            let (asks, blanks) = self.wait()?;
            if asks {
                match self.receiver.receive::<Ask>(Some(MESSAGE_LIMIT)) {
                    Ok((ask, _)) => self.answer(ask)?,
                    Err(WireError::Closed) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            for (index, vblank) in blanks.into_iter().enumerate() {
                if vblank {
                    self.blanks(index)?;
                }
            }
            self.tell_leds()?;
        }
    }

    /// Waits for something to do: whether the client asks, and which cards tell something.
    fn wait(&self) -> Result<(bool, Vec<bool>), WireError> {
        let next = self.watched.values().filter(|watched| watched.wanted).filter_map(|watched| watched.at).min();
        let until = next.map_or(self.list_at, |at| at.min(self.list_at));
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
        let fds: Vec<BorrowedFd<'_>> = [self.socket.as_fd()]
            .into_iter()
            .chain(self.cards.iter().map(|card| card.device.as_fd()))
            .chain(self.devices.as_ref().map(|devices| devices.as_fd()))
            .collect();
        let mut polled: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        match poll(&mut polled, left.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok((false, Vec::new())),
            Err(error) => return Err(WireError::Io(error.into())),
        }
        let mut ready = polled.iter().map(|fd| !fd.revents().is_empty());
        let asks = ready.next().unwrap_or(false);
        Ok((asks, ready.take(self.cards.len()).collect()))
    }

    fn tell(&mut self, told: &Told, fds: &[BorrowedFd<'_>]) -> Ended {
        self.sender.send(told, fds)
    }

    /// Tells the screens where they are others than before.
    fn list(&mut self) -> Ended {
        self.open_cards();
        let mut notes = Vec::new();
        for card in &self.cards {
            match screens(&card.device) {
                Ok(found) => notes.extend(found.iter().map(|screen| note(card.number, screen))),
                Err(error) => tracing::debug!(%error, card = card.device.name(), "a card that does not answer"),
            }
        }
        notes.truncate(MOST_SCREENS);
        // which framebuffer is shown tells where screens lie, and changes with each picture
        let places = |notes: &[ScreenNote]| -> Vec<ScreenNote> {
            let key = |note: &ScreenNote| {
                let alone =
                    notes.iter().filter(|n| n.card == note.card).filter(|n| number(n) == number(note)).count() < 2;
                ScreenNote { shown: note.shown.filter(|_| !alone).map(|(_, at)| (0, at)), ..note.clone() }
            };
            notes.iter().map(key).collect()
        };
        if self.told.as_ref().is_none_or(|told| *told != places(&notes)) {
            self.told = Some(places(&notes));
            self.tell(&Told::Screens(notes), &[])?;
        }
        Ok(())
    }

    /// Opens cards that came, and leaves those that went.
    fn open_cards(&mut self) {
        let there = cards();
        let number = |path: &std::path::Path| path.file_name()?.to_str()?.strip_prefix("card")?.parse::<u32>().ok();
        self.cards.retain(|card| there.iter().any(|path| number(path) == Some(card.number)));
        for path in there {
            let Some(number) = number(&path).filter(|n| !self.cards.iter().any(|card| card.number == *n)) else {
                continue;
            };
            match Device::open(&path) {
                Ok(Some(device)) => self.cards.push(OpenCard { number, device, blanks: true }),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, card = %path.display(), "a card that does not open"),
            }
        }
    }

    fn answer(&mut self, ask: Ask) -> Ended {
        match ask {
            Ask::Watch(id) => self.watch(id),
            Ask::Next(id) => {
                if let Some(watched) = self.watched.get_mut(&id) {
                    watched.wanted = true;
                    return self.look(id);
                }
                Ok(())
            }
            Ask::Leave(id) => {
                self.watched.remove(&id);
                Ok(())
            }
            Ask::Input(true) => match (self.input)() {
                Ok(devices) => {
                    self.devices = Some(devices);
                    self.leds = None;
                    Ok(())
                }
                Err(reason) => self.tell(&Told::NoInput(reason), &[]),
            },
            Ask::Input(false) => {
                self.devices = None;
                Ok(())
            }
            Ask::Events(events) => {
                let Some(devices) = &mut self.devices else { return Ok(()) };
                match devices.send(&events) {
                    Ok(()) => Ok(()),
                    Err(UinputError::Bad(error)) => Err(WireError::Io(io::Error::other(error))),
                    Err(error) => {
                        self.devices = None;
                        self.tell(&Told::NoInput(error.to_string()), &[])
                    }
                }
            }
        }
    }

    fn watch(&mut self, id: u32) -> Ended {
        let Some(card) = card(&self.cards, id) else { return self.lost(id, "it is gone") };
        match Watch::new(&card.device, id % CRTCS) {
            Ok(watch) => {
                let watched = Watched { watch, wanted: true, asked: false, rested: true, at: None };
                self.watched.insert(id, watched);
                self.look(id)
            }
            Err(error) => self.lost(id, &error.to_string()),
        }
    }

    fn lost(&mut self, screen: u32, reason: &str) -> Ended {
        self.watched.remove(&screen);
        // what a card has lent goes with it: it is opened anew
        self.cards
            .retain(|card| card.number != screen / CRTCS || self.watched.keys().any(|id| id / CRTCS == card.number));
        self.tell(&Told::Lost { screen, reason: reason.to_owned() }, &[])
    }

    /// Vertical blanks have come on a card.
    fn blanks(&mut self, index: usize) -> Ended {
        let Some(card) = self.cards.get(index) else { return Ok(()) };
        let number = card.number;
        let blanks = match card.device.vblanks() {
            Ok(blanks) => blanks,
            Err(error) => {
                tracing::debug!(%error, card = card.device.name(), "a card that is gone");
                let ids: Vec<u32> = self.watched.keys().copied().filter(|id| id / CRTCS == number).collect();
                self.cards.remove(index);
                return ids.into_iter().try_for_each(|id| self.lost(id, "its card is gone"));
            }
        };
        for blank in blanks {
            let id = number * CRTCS + blank.crtc;
            if let Some(watched) = self.watched.get_mut(&id) {
                watched.asked = false;
                self.look(id)?;
            }
        }
        Ok(())
    }

    fn look_by_the_clock(&mut self, now: Instant) -> Ended {
        let due =
            |(id, watched): (&u32, &Watched)| (watched.wanted && watched.at.is_some_and(|at| at <= now)).then_some(*id);
        let due: Vec<u32> = self.watched.iter().filter_map(due).collect();
        due.into_iter().try_for_each(|id| self.look(id))
    }

    /// Looks at a screen if the client can take a change, tells that, and sees to the next look.
    fn look(&mut self, id: u32) -> Ended {
        let Some(watched) = self.watched.get_mut(&id) else { return Ok(()) };
        if !watched.wanted {
            watched.rested = true;
            watched.at = None;
            return Ok(());
        }
        let Some(card) = card(&self.cards, id) else { return self.lost(id, "its card is gone") };
        let look = match watched.watch.look(&card.device, watched.rested) {
            Ok(look) => look,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // a framebuffer that went between two questions
                watched.rested = true;
                Look::default()
            }
            Err(error) => return self.lost(id, &error.to_string()),
        };
        watched.rested = false;
        let dark = look.picture.as_ref().map_or(watched.at.is_some(), |picture| picture.layers.is_empty());
        if look.picture.is_some() {
            watched.wanted = false;
        }
        self.see_to_next(id, dark);
        if look.is_empty() { Ok(()) } else { self.tell_look(id, look) }
    }

    /// Asks for the next vertical blank; where there are none, for a time.
    fn see_to_next(&mut self, id: u32, dark: bool) {
        let rate = self.told.iter().flatten().find(|note| note.id == id).map_or(0, |note| note.rate);
        let (Some(watched), Some(card)) = (self.watched.get_mut(&id), card_mut(&mut self.cards, id)) else { return };
        if watched.asked {
            return;
        }
        let now = Instant::now();
        let frame = Duration::from_secs(1000).checked_div(rate).unwrap_or(LOOK);
        watched.at = None;
        if card.blanks {
            match card.device.ask_vblank(id % CRTCS) {
                Ok(()) => watched.asked = true,
                Err(error) if error.kind() == io::ErrorKind::Unsupported => card.blanks = false,
                // it is off
                Err(_) => watched.at = Some(now + DARK),
            }
        }
        if !card.blanks {
            watched.rested = true;
            watched.at = Some(now + if dark { DARK } else { frame });
        }
    }

    fn tell_look(&mut self, screen: u32, look: Look) -> Ended {
        for id in look.forgotten {
            self.tell(&Told::Forget { screen, id }, &[])?;
        }
        for (id, buffer) in look.fresh {
            let note = BufferNote {
                screen,
                id,
                size: buffer.size,
                fourcc: buffer.fourcc,
                modifier: buffer.modifier,
                planes: buffer.planes,
            };
            self.tell(&Told::Buffer(note), &[buffer.fd.as_fd()])?;
        }
        if let Some(picture) = look.picture {
            self.tell(&Told::picture(screen, &picture), &[])?;
        }
        if let Some(pointer) = look.pointer {
            self.tell(&Told::Pointer { screen, pointer: pointer.as_ref().map(Into::into) }, &[])?;
        }
        Ok(())
    }

    fn tell_leds(&mut self) -> Ended {
        let Some(devices) = &mut self.devices else { return Ok(()) };
        let leds = match devices.leds() {
            Ok(leds) if self.leds == Some(leds) => return Ok(()),
            Ok(leds) => leds,
            Err(error) => {
                self.devices = None;
                return self.tell(&Told::NoInput(error.to_string()), &[]);
            }
        };
        self.leds = Some(leds);
        self.tell(&Told::Leds(leds), &[])
    }
}

fn note(card: u32, screen: &Screen) -> ScreenNote {
    ScreenNote::new(card * CRTCS + screen.crtc, screen)
}

fn number(note: &ScreenNote) -> Option<u32> {
    note.shown.map(|(number, _)| number)
}

fn card(cards: &[OpenCard], id: u32) -> Option<&OpenCard> {
    cards.iter().find(|card| card.number == id / CRTCS)
}

fn card_mut(cards: &mut [OpenCard], id: u32) -> Option<&mut OpenCard> {
    cards.iter_mut().find(|card| card.number == id / CRTCS)
}
