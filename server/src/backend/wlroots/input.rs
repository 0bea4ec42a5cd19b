//! Keys and the pointer into a compositor by zwp_virtual_keyboard_v1 and zwlr_virtual_pointer_v1, on a thread and connection of
//! their own.
//!
//! The keyboard is there from the start: programs ask for one when the seat gets it, and a desktop may have no other. The pointer comes with its
//! first move, because compositors show a pointer as soon as there is one.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farpane_engine::capture::wayland::Connection;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use wayland_client::protocol::wl_callback::WlCallback;
use wayland_client::protocol::wl_keyboard::{self, WlKeyboard};
use wayland_client::protocol::wl_pointer::{Axis, AxisSource, ButtonState};
use wayland_client::protocol::wl_registry::WlRegistry;
use wayland_client::protocol::wl_seat::{self, WlSeat};
use wayland_client::{Dispatch, QueueHandle, WEnum, delegate_dispatch, delegate_noop};
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::{
    zwp_virtual_keyboard_manager_v1::ZwpVirtualKeyboardManagerV1, zwp_virtual_keyboard_v1::ZwpVirtualKeyboardV1,
};
use wayland_protocols_wlr::virtual_pointer::v1::client::{
    zwlr_virtual_pointer_manager_v1::ZwlrVirtualPointerManagerV1, zwlr_virtual_pointer_v1::ZwlrVirtualPointerV1,
};

use super::Reach;
use super::connect::Target;
use super::keyboard::{Board, Keys};
use super::places::Places;
use super::pointer::{Buttons, Move};
use super::wire::{Answered, Globals, Plumbing, Wire, WireError};
use crate::backend::{BackendEvent, Events};
use crate::helper::Opener;
use crate::input::queue::{Command, Queue};
use crate::input::xkb::{XkbMap, shared_text};
use crate::input::{InputSink, KeyInput, PointerInput};

/// How long input is dropped after the compositor could not be reached.
const RETRY: Duration = Duration::from_millis(500);
/// A new map is given this long: programs under Xwayland fetch it when they are told of it, and would look the key up in the old one. Wayland's
/// own take map and keys in order. It also bounds how often a client can have every program read a new map.
const SETTLE: Duration = Duration::from_millis(12);

/// Input of a compositor.
///
/// Dropping it lets go of every key and button that it holds.
pub struct Input {
    queue: Arc<Queue>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Input {
    /// Starts the thread, which connects at once.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn start((target, opener): Reach, places: Arc<Places>, events: Events) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new()?);
        let worker = Worker { target, opener, places, events, queue: Arc::clone(&queue), leds: None };
        let thread = std::thread::Builder::new().name("wayland-input".into()).spawn(move || worker.run())?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Connects anew: the compositor was lost, or is back.
    pub fn reset(&self) {
        self.queue.push(Command::Reset);
    }
}

impl InputSink for Input {
    fn key(&self, key: KeyInput) {
        self.queue.push(Command::Key(key));
    }

    fn pointer(&self, pointer: PointerInput) {
        self.queue.push(Command::Pointer(pointer));
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.queue.push(Command::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Worker {
    target: Target,
    opener: Arc<dyn Opener>,
    places: Arc<Places>,
    events: Events,
    queue: Arc<Queue>,
    leds: Option<u8>,
}

impl Worker {
    fn run(mut self) {
        let mut hands = self.connect();
        let mut again = Instant::now() + RETRY;
        loop {
            let Some(mine) = hands.as_mut() else {
                match self.queue.wait() {
                    Command::End => return,
                    Command::Reset => hands = self.connect(),
                    // what came while nobody could take it is gone
                    Command::Key(_) | Command::Pointer(_) if Instant::now() < again => {}
                    Command::Key(_) | Command::Pointer(_) => {
                        again = Instant::now() + RETRY;
                        hands = self.connect();
                    }
                }
                continue;
            };
            let done = match self.queue.take() {
                Some(Command::End) => {
                    let _ = mine.let_go();
                    return;
                }
                Some(Command::Reset) => {
                    hands = self.connect();
                    continue;
                }
                Some(Command::Key(key)) => mine.key(key),
                Some(Command::Pointer(pointer)) => mine.pointer(pointer, &self.places),
                None => mine.wire.wait(&[PollFd::new(&*self.queue, PollFlags::IN)], None),
            };
            match done.and_then(|()| mine.hear()) {
                Ok(()) => self.tell(hands.as_ref()),
                Err(error) => {
                    tracing::debug!(compositor = %self.target.name, %error, "input connection lost");
                    hands = None;
                    again = Instant::now() + RETRY;
                }
            }
        }
    }

    fn connect(&mut self) -> Option<Hands> {
        let connection = match self.target.connect(&*self.opener) {
            Ok(connection) => connection,
            Err(error) => {
                // whoever follows the outputs says that it is gone
                tracing::debug!(compositor = %self.target.name, %error, "no input");
                return None;
            }
        };
        match Hands::new(connection) {
            Ok(hands) => {
                tracing::debug!(compositor = %self.target.name, keys = hands.board.is_some(), pointer = hands.pointers.is_some(), "input is ready");
                self.tell(Some(&hands));
                Some(hands)
            }
            Err(error) => {
                tracing::warn!(compositor = %self.target.name, %error, "no input to the compositor");
                None
            }
        }
    }

    /// Tells lock keys that changed.
    fn tell(&mut self, hands: Option<&Hands>) {
        let Some(board) = hands.and_then(|h| h.board.as_ref()) else { return };
        let leds = board.leds();
        if self.leds.replace(leds) != Some(leds) {
            let _ = self.events.send(BackendEvent::Leds(leds));
        }
    }
}

/// What the compositor tells.
#[derive(Default)]
struct Heard {
    keyboard: Option<WlKeyboard>,
    /// The newest map of the seat that is not ours.
    map: Option<String>,
}

/// A connection and what is held down through it.
struct Hands {
    wire: Wire<Heard>,
    heard: Heard,
    seat: WlSeat,
    keys: Option<VirtualKeys>,
    board: Option<Board>,
    pointers: Option<ZwlrVirtualPointerManagerV1>,
    pointer: Option<ZwlrVirtualPointerV1>,
    buttons: Buttons,
    born: Instant,
}

impl Hands {
    fn new(connection: Connection) -> Result<Self, WireError> {
        let mut heard = Heard::default();
        let mut wire = Wire::open(connection, &mut heard)?;
        let lacks = |what: &str| WireError::Gone(format!("the compositor has no {what}"));
        let seat: WlSeat = wire.bind(7, ()).ok_or_else(|| lacks("wl_seat"))?;
        let keyboards: Option<ZwpVirtualKeyboardManagerV1> = wire.bind(1, ());
        let pointers: Option<ZwlrVirtualPointerManagerV1> = wire.bind(2, ());
        if keyboards.is_none() && pointers.is_none() {
            return Err(lacks("virtual keyboard and pointer"));
        }
        // what the seat can, then its keyboard's map
        wire.round_trip(&mut heard)?;
        wire.round_trip(&mut heard)?;
        let mut base = heard.map.take().and_then(|text| usable(&text));
        let born = Instant::now();
        let keys =
            keyboards.map(|all| VirtualKeys { keyboard: all.create_virtual_keyboard(&seat, &wire.handle(), ()), born });
        if keys.is_some() && base.is_none() {
            // a seat without keyboards gives this one the layout that is set for keyboards
            wire.round_trip(&mut heard)?;
            wire.round_trip(&mut heard)?;
            base = heard.map.take().and_then(|text| usable(&text));
        }
        let mut hands =
            Self { wire, heard, seat, keys, board: None, pointers, pointer: None, buttons: Buttons::default(), born };
        if let Some(keys) = hands.keys.as_mut() {
            if base.is_none() {
                tracing::debug!("the compositor tells of no layout; English it is");
            }
            let mut board = Board::new(base.unwrap_or_else(XkbMap::english));
            board.start(keys).map_err(|e| WireError::Gone(e.to_string()))?;
            hands.board = Some(board);
        }
        // maps that came meanwhile are answers to what was done here
        hands.wire.round_trip(&mut hands.heard)?;
        hands.heard.map = None;
        Ok(hands)
    }

    /// Works off what the compositor tells.
    fn hear(&mut self) -> Result<(), WireError> {
        self.wire.dispatch(&mut self.heard)?;
        if let (Some(text), Some(board)) = (self.heard.map.take(), self.board.as_mut())
            && let Some(map) = usable(&text)
        {
            board.rebase(map);
        }
        Ok(())
    }

    fn key(&mut self, key: KeyInput) -> Result<(), WireError> {
        let (Some(board), Some(keys)) = (self.board.as_mut(), self.keys.as_mut()) else { return Ok(()) };
        let mut keys = Settling { keys, wire: &mut self.wire };
        board.key(&mut keys, key).map_err(|e| WireError::Gone(e.to_string()))?;
        self.wire.send()
    }

    fn pointer(&mut self, input: PointerInput, places: &Places) -> Result<(), WireError> {
        let Some(manager) = self.pointers.as_ref() else { return Ok(()) };
        let handle = self.wire.handle();
        let pointer = self.pointer.get_or_insert_with(|| manager.create_virtual_pointer(Some(&self.seat), &handle, ()));
        let time = millis(self.born);
        for step in self.buttons.change(places.find(input.x, input.y), input.buttons) {
            match step {
                Move::To(at) => pointer.motion_absolute(time, at.x, at.y, at.width, at.height),
                Move::Button(code, down) => {
                    pointer.button(time, code, if down { ButtonState::Pressed } else { ButtonState::Released });
                }
                Move::Wheel { sideways, value, clicks } => {
                    let axis = if sideways { Axis::HorizontalScroll } else { Axis::VerticalScroll };
                    pointer.axis_source(AxisSource::Wheel);
                    pointer.axis_discrete(time, axis, value, clicks);
                }
            }
            // each step by itself: a wheel's clicks in one frame would be added up
            pointer.frame();
        }
        self.wire.send()
    }

    fn let_go(&mut self) -> Result<(), WireError> {
        if let (Some(board), Some(keys)) = (self.board.as_mut(), self.keys.as_mut()) {
            board.let_go(keys).map_err(|e| WireError::Gone(e.to_string()))?;
        }
        if let Some(pointer) = self.pointer.as_ref() {
            for step in self.buttons.change(None, 0) {
                if let Move::Button(code, _) = step {
                    pointer.button(millis(self.born), code, ButtonState::Released);
                    pointer.frame();
                }
            }
        }
        // what was sent may be read only after the connection is closed, and then is not
        self.wire.round_trip(&mut self.heard)
    }
}

fn usable(text: &str) -> Option<XkbMap> {
    match XkbMap::read(text) {
        Ok(map) => Some(map),
        Err(error) => {
            tracing::debug!(%error, "a keyboard's map is not used");
            None
        }
    }
}

fn millis(since: Instant) -> u32 {
    // wraps after 49 days, as the protocol's own clock does
    (since.elapsed().as_millis() & u128::from(u32::MAX)) as u32
}

/// The compositor's side of a keyboard.
struct VirtualKeys {
    keyboard: ZwpVirtualKeyboardV1,
    born: Instant,
}

impl Keys for VirtualKeys {
    fn map(&mut self, text: &str) -> std::io::Result<()> {
        let fd = memfd_create("farpane-keymap", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let file = File::from(fd);
        file.write_all_at(text.as_bytes(), 0)?;
        // with the zero that ends it
        file.write_all_at(&[0], text.len() as u64)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
        let size = u32::try_from(text.len() + 1).map_err(std::io::Error::other)?;
        self.keyboard.keymap(wl_keyboard::KeymapFormat::XkbV1.into(), file.as_fd(), size);
        Ok(())
    }

    fn key(&mut self, code: u8, down: bool) {
        // the kernel's codes are smaller by 8
        let state = if down { wl_keyboard::KeyState::Pressed } else { wl_keyboard::KeyState::Released };
        self.keyboard.key(millis(self.born), u32::from(code.saturating_sub(8)), state.into());
    }

    fn modifiers(&mut self, held: u8, locked: u8, group: u8) {
        self.keyboard.modifiers(held.into(), 0, locked.into(), group.into());
    }
}

/// A keyboard whose maps are given a moment.
struct Settling<'a> {
    keys: &'a mut VirtualKeys,
    wire: &'a mut Wire<Heard>,
}

impl Keys for Settling<'_> {
    fn map(&mut self, text: &str) -> std::io::Result<()> {
        self.keys.map(text)?;
        self.wire.send().map_err(std::io::Error::other)?;
        std::thread::sleep(SETTLE);
        Ok(())
    }

    fn key(&mut self, code: u8, down: bool) {
        self.keys.key(code, down);
    }

    fn modifiers(&mut self, held: u8, locked: u8, group: u8) {
        self.keys.modifiers(held, locked, group);
    }
}

impl Dispatch<WlSeat, ()> for Heard {
    fn event(
        heard: &mut Self,
        seat: &WlSeat,
        event: wl_seat::Event,
        (): &(),
        _: &Connection,
        handle: &QueueHandle<Self>,
    ) {
        let wl_seat::Event::Capabilities { capabilities: WEnum::Value(can) } = event else { return };
        if !can.contains(wl_seat::Capability::Keyboard) {
            heard.keyboard = None;
        } else if heard.keyboard.is_none() {
            heard.keyboard = Some(seat.get_keyboard(handle, ()));
        }
    }
}

impl Dispatch<WlKeyboard, ()> for Heard {
    fn event(
        heard: &mut Self,
        _: &WlKeyboard,
        event: wl_keyboard::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_keyboard::Event::Keymap { format: WEnum::Value(wl_keyboard::KeymapFormat::XkbV1), fd, size } = event
            && let Some(text) = shared_text(fd, size).filter(|text| !XkbMap::is_ours(text))
        {
            heard.map = Some(text);
        }
    }
}

delegate_dispatch!(Heard: [WlRegistry: Globals] => Plumbing);
delegate_dispatch!(Heard: [WlCallback: Answered] => Plumbing);
delegate_noop!(Heard: ZwpVirtualKeyboardManagerV1);
delegate_noop!(Heard: ZwpVirtualKeyboardV1);
delegate_noop!(Heard: ZwlrVirtualPointerManagerV1);
delegate_noop!(Heard: ZwlrVirtualPointerV1);
