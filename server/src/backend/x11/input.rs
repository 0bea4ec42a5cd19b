//! Keys and the pointer into an X server by XTEST, on a thread and connection of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::Event;
use x11rb::protocol::xkb::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{
    AutoRepeatMode, BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ChangeKeyboardControlAux, ConnectionExt as _,
    KEY_PRESS_EVENT, KEY_RELEASE_EVENT, MOTION_NOTIFY_EVENT,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

use super::connect::Target;
use super::keyboard;
use crate::helper::Opener;
use crate::input::queue::{Command, Queue};
use crate::input::typist::{Step, Typist};
use crate::input::{InputSink, KeyInput, PointerInput};

/// A spare key is not given another keysym sooner: a program must have read the last one.
const SPARE_REST: Duration = Duration::from_millis(150);
/// A new binding is given this long before its first press: programs fetch the map when they are told of it, and a busy one
/// would look the key up in the old one.
const BIND_SETTLE: Duration = Duration::from_millis(12);
/// As long for the first binding after a second without: measured on a machine with four times its load, Xlib programs then
/// missed one of ten first letters at 12 ms and none at 60.
const FIRST_SETTLE: Duration = Duration::from_millis(60);
/// How long input is dropped after the server could not be reached.
const RETRY: Duration = Duration::from_millis(500);

/// Input of an X server.
///
/// Dropping it lets go of every key and button that it holds and takes back temporary key bindings.
pub struct XInput {
    queue: Arc<Queue>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl XInput {
    /// Starts the thread; it connects with the first event.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn start(target: Target, opener: Arc<dyn Opener>) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new()?);
        let mine = Arc::clone(&queue);
        let run = move || run(&target, &*opener, &mine);
        let thread = std::thread::Builder::new().name("x11-input".into()).spawn(run)?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Lets go of everything and connects anew with the next event: the server was lost.
    pub fn reset(&self) {
        self.queue.push(Command::Reset);
    }
}

impl InputSink for XInput {
    fn key(&self, key: KeyInput) {
        self.queue.push(Command::Key(key));
    }

    fn pointer(&self, pointer: PointerInput) {
        self.queue.push(Command::Pointer(pointer));
    }
}

impl Drop for XInput {
    fn drop(&mut self) {
        self.queue.push(Command::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(target: &Target, opener: &dyn Opener, queue: &Queue) {
    let mut hands: Option<Hands> = None;
    let mut again = None;
    loop {
        let command = queue.wait();
        match command {
            Command::End => break,
            Command::Reset => hands = None,
            Command::Key(_) | Command::Pointer(_) => {
                if hands.is_none() && again.is_none_or(|t| Instant::now() >= t) {
                    match Hands::new(target, opener) {
                        Ok(new) => hands = Some(new),
                        Err(reason) => tracing::warn!(display = %target.name, reason, "no input to the X server"),
                    }
                    again = Some(Instant::now() + RETRY);
                }
                let Some(mine) = hands.as_mut() else { continue };
                let done = match command {
                    Command::Key(key) => mine.key(key),
                    Command::Pointer(pointer) => mine.pointer(pointer),
                    _ => Ok(()),
                };
                if let Err(error) = done {
                    tracing::debug!(display = %target.name, %error, "input connection lost");
                    hands = None;
                }
            }
        }
    }
    if let Some(mut mine) = hands {
        let _ = mine.let_go();
    }
}

/// The connection and what we hold down through it.
struct Hands {
    conn: RustConnection,
    root: u32,
    typist: Typist,
    /// The map must be read again.
    stale: bool,
    buttons: u16,
    bound_at: Vec<(u8, Instant)>,
    held: Vec<u8>,
}

impl Hands {
    fn new(target: &Target, opener: &dyn Opener) -> Result<Self, String> {
        let conn = target.connect(opener).map_err(|e| e.to_string())?;
        if !keyboard::has_xtest(&conn) {
            return Err("the server has no XTEST extension".into());
        }
        if !keyboard::use_xkb(&conn).map_err(|e| e.to_string())? {
            return Err("the server has no XKEYBOARD extension".into());
        }
        let events = xkb::EventType::NEW_KEYBOARD_NOTIFY | xkb::EventType::MAP_NOTIFY;
        let none = xkb::EventType::from(0u16);
        let parts = xkb::MapPart::from(0xffu16);
        conn.xkb_select_events(keyboard::CORE_KEYBOARD, none, events, parts, parts, &xkb::SelectEventsAux::new())
            .map_err(|e| e.to_string())?;
        let typist = Typist::new(keyboard::read_map(&conn).map_err(|e| e.to_string())?);
        let root = conn.setup().roots.get(target.screen).map(|s| s.root).ok_or("no such screen")?;
        let bound_at = Vec::new();
        Ok(Self { conn, root, typist, stale: false, buttons: 0, bound_at, held: Vec::new() })
    }

    fn key(&mut self, key: KeyInput) -> Result<(), ReplyError> {
        // the state comes after everything we did, and map changes by others arrive with it
        let state = keyboard::read_state(&self.conn)?;
        while let Some(event) = self.conn.poll_for_event()? {
            let changed =
                matches!(event, Event::XkbNewKeyboardNotify(_) | Event::XkbMapNotify(_) | Event::MappingNotify(_));
            self.stale |= changed;
        }
        if self.stale && key.down {
            self.typist.set_map(keyboard::read_map(&self.conn)?);
            self.stale = false;
        }
        for step in self.typist.key(key, state) {
            self.step(step)?;
        }
        self.conn.flush()?;
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<(), ReplyError> {
        match step {
            Step::Bind(code, pair) => {
                if let Some((_, when)) = self.bound_at.iter().find(|(c, _)| *c == code) {
                    let rest = (*when + SPARE_REST).saturating_duration_since(Instant::now());
                    self.conn.flush()?;
                    std::thread::sleep(rest);
                }
                let recent = |when: &Instant| when.elapsed() < Duration::from_secs(1);
                let settle = if self.bound_at.iter().any(|(_, w)| recent(w)) { BIND_SETTLE } else { FIRST_SETTLE };
                self.bound_at.retain(|(c, _)| *c != code);
                self.bound_at.push((code, Instant::now()));
                self.conn.change_keyboard_mapping(1, code, 2, &pair)?;
                self.conn.get_input_focus()?.reply()?;
                std::thread::sleep(settle);
            }
            Step::Down(code) => {
                // repeats come from the client; the server's own would double them
                self.repeat(code, AutoRepeatMode::OFF)?;
                self.fake(KEY_PRESS_EVENT, code, 0, 0)?;
                if !self.held.contains(&code) {
                    self.held.push(code);
                }
            }
            Step::Up(code) => {
                self.fake(KEY_RELEASE_EVENT, code, 0, 0)?;
                self.repeat(code, AutoRepeatMode::DEFAULT)?;
                self.held.retain(|c| *c != code);
                if let Some(bound) = self.bound_at.iter_mut().find(|(c, _)| *c == code) {
                    bound.1 = Instant::now();
                }
            }
        }
        Ok(())
    }

    fn repeat(&self, code: u8, mode: AutoRepeatMode) -> Result<(), ReplyError> {
        let aux = ChangeKeyboardControlAux::new().key(u32::from(code)).auto_repeat_mode(mode);
        self.conn.change_keyboard_control(&aux)?;
        Ok(())
    }

    fn fake(&self, kind: u8, detail: u8, x: i16, y: i16) -> Result<(), ReplyError> {
        self.conn.xtest_fake_input(kind, detail, 0, self.root, x, y, 0)?;
        Ok(())
    }

    fn pointer(&mut self, pointer: PointerInput) -> Result<(), ReplyError> {
        let place = |v: u16| i16::try_from(v).unwrap_or(i16::MAX);
        self.fake(MOTION_NOTIFY_EVENT, 0, place(pointer.x), place(pointer.y))?;
        for bit in 0..9u8 {
            let mask = 1u16 << bit;
            if (pointer.buttons ^ self.buttons) & mask != 0 {
                let kind = if pointer.buttons & mask != 0 { BUTTON_PRESS_EVENT } else { BUTTON_RELEASE_EVENT };
                self.fake(kind, bit + 1, 0, 0)?;
            }
        }
        self.buttons = pointer.buttons;
        self.conn.flush()?;
        Ok(())
    }

    fn let_go(&mut self) -> Result<(), ReplyError> {
        for step in self.typist.release_all() {
            self.step(step)?;
        }
        for code in std::mem::take(&mut self.held) {
            self.step(Step::Up(code))?;
        }
        for bit in (0..9u8).filter(|bit| self.buttons & (1 << bit) != 0) {
            self.fake(BUTTON_RELEASE_EVENT, bit + 1, 0, 0)?;
        }
        for code in self.typist.bound() {
            self.conn.change_keyboard_mapping(1, code, 1, &[0])?;
        }
        self.conn.get_input_focus()?.reply()?;
        Ok(())
    }
}
