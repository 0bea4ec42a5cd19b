//! Input by libei: the portal hands out a socket, and over it the desktop gives away a keyboard and pointers of its own.
//!
//! SOURCE: the EI protocol, libei 1.x; xdg-desktop-portal's RemoteDesktop 2, ConnectToEIS.
//!
//! Devices come, pause, resume and go as the desktop likes; what is meant for one that is not there is dropped, as a real keyboard's
//! keys are while a screen is locked away from it. Each event is a frame of its own, so that nothing is added up. Whatever comes over the
//! socket and makes no sense ends the connection, and with it the session: the next one tells its input to the portal.
//! Tested against a server of the tests' own (`tests/desktop_portal/ei.rs`).

mod devices;
mod regions;

use std::collections::HashSet;
use std::io::ErrorKind::{UnexpectedEof, WouldBlock};
use std::os::fd::OwnedFd;
use std::time::Duration;

use reis::event::{DeviceCapability, EiEvent, EiEventConverter};
use reis::handshake::{EiHandshaker, HandshakeResp};
use reis::{Interface, PendingRequestResult, ei};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::input::Tell;
use super::layout::Monitor;
use super::session::{KEYBOARD, POINTER};
use crate::input::KeyInput;
use crate::input::keymap::named;
use devices::Devices;

/// How we call ourselves.
const NAME: &str = "farpane";
/// How long the greeting may take.
const GREETING: Duration = Duration::from_secs(5);
/// How long the first devices may take.
const FIRST_DEVICES: Duration = Duration::from_secs(3);
/// How long the desktop may leave what it is sent unread.
const UNREAD: Duration = Duration::from_secs(5);
/// How long letting go may take.
const FAREWELL: Duration = Duration::from_millis(500);
/// Keysyms that could not be typed and are named, each once.
const MOST_NAMED: usize = 64;
/// One click of a wheel.
const CLICK: i32 = 120;

/// Why there is no input by libei.
#[derive(Debug, thiserror::Error)]
pub enum EiError {
    /// The socket fails.
    #[error("the socket: {0}")]
    Socket(#[from] std::io::Error),
    /// Nobody finishes the greeting.
    #[error("the desktop did not finish its greeting within {} s", GREETING.as_secs())]
    NoGreeting,
    /// It gives neither keyboard nor pointer.
    #[error("the desktop gave no keyboard or pointer within {} s", FIRST_DEVICES.as_secs())]
    NoDevices,
    /// It does not read.
    #[error("the desktop did not read its input for {} s", UNREAD.as_secs())]
    Unread,
    /// It ended it.
    #[error("the desktop ended it: {0}")]
    Ended(String),
    /// What it says cannot be.
    #[error("the desktop speaks nonsense: {0}")]
    Nonsense(String),
}

fn nonsense(what: &dyn std::fmt::Display) -> EiError {
    EiError::Nonsense(what.to_string().replace('\n', " "))
}

/// A connection that gives input away.
pub struct Ei {
    wire: Wire,
    converter: EiEventConverter,
    devices: Devices,
    /// Some seat has pointers with absolute places.
    absolute: bool,
    /// All that was sent before was read.
    caught_up: bool,
    /// The lock keys that were told last.
    leds: u8,
    /// Keysyms that could not be typed.
    named: HashSet<u32>,
    not_typed: u64,
}

impl Ei {
    /// Greets the desktop and waits for its devices.
    ///
    /// # Errors
    /// When it does not answer, answers nonsense or gives no device.
    pub async fn open(socket: OwnedFd, devices: u32) -> Result<Self, EiError> {
        let wire = Wire::new(socket)?;
        let greeted = timeout(GREETING, wire.greet()).await.map_err(|_| EiError::NoGreeting)??;
        let converter = EiEventConverter::new(&wire.context, greeted);
        let mut new = Self {
            wire,
            converter,
            devices: Devices::default(),
            absolute: false,
            caught_up: false,
            leds: 0,
            named: HashSet::new(),
            not_typed: 0,
        };
        // what came with the greeting's end
        new.work_off()?;
        new.wire.flush().await?;
        let (keyboard, pointer) = (devices & KEYBOARD != 0, devices & POINTER != 0);
        let end = Instant::now() + FIRST_DEVICES;
        while (keyboard && !new.devices.has_keyboard()) || (pointer && !new.devices.has_pointer()) {
            match timeout_at(end, new.hear()).await {
                Ok(heard) => heard?,
                Err(_) if new.devices.has_keyboard() || new.devices.has_pointer() => break,
                Err(_) => return Err(EiError::NoDevices),
            }
        }
        Ok(new)
    }

    /// Waits until the desktop says something, and does it.
    ///
    /// # Errors
    /// When the connection ended.
    pub async fn hear(&mut self) -> Result<(), EiError> {
        self.wire.read().await?;
        self.work_off()?;
        self.wire.flush().await
    }

    /// The lock keys as RFB's LED state has them, where they are others than were told last.
    pub fn leds(&mut self) -> Option<u8> {
        let leds = self.devices.leds()?;
        (std::mem::replace(&mut self.leds, leds) != leds).then_some(leds)
    }

    /// A key event of a client.
    ///
    /// # Errors
    /// When the connection ended.
    pub async fn key(&mut self, key: KeyInput) -> Result<(), EiError> {
        let serial = self.converter.connection().serial();
        if !self.devices.key(key, serial) {
            self.lacks(key.keysym);
        }
        self.wire.flush().await
    }

    /// Something else that a client does; `monitor` is the one that a place is on, with its stream's name.
    ///
    /// # Errors
    /// When the connection ended.
    pub async fn tell(&mut self, tell: Tell, monitor: Option<(Monitor, Option<&str>)>) -> Result<(), EiError> {
        let serial = self.converter.connection().serial();
        match (tell, monitor) {
            (Tell::At(_, x, y), Some((monitor, mapping))) => self.devices.point(&monitor, mapping, (x, y), serial),
            (Tell::Button(code, down), _) => self.devices.button(code.unsigned_abs(), down, serial),
            (Tell::Wheel(0, steps), _) => self.devices.scroll(0, steps.saturating_mul(CLICK), serial),
            (Tell::Wheel(_, steps), _) => self.devices.scroll(steps.saturating_mul(CLICK), 0, serial),
            // keys come as such
            (Tell::At(..) | Tell::Keycode(..) | Tell::Keysym(..), _) => {}
        }
        self.wire.flush().await
    }

    /// Lets go of everything and says farewell; waits until the desktop has read it.
    pub async fn end(&mut self) {
        if self.not_typed > 0 {
            tracing::info!(keys = self.not_typed, "keys that the desktop's layout lacks were not typed");
        }
        self.devices.end(self.converter.connection().serial());
        self.caught_up = false;
        self.converter.connection().connection().sync(1);
        let read_it = async {
            self.wire.flush().await?;
            while !self.caught_up {
                self.hear().await?;
            }
            Ok::<_, EiError>(())
        };
        // a desktop that is gone has let go of everything
        if let Ok(Ok(())) = timeout(FAREWELL, read_it).await {
            self.converter.connection().connection().disconnect();
            let _ = self.converter.connection().flush();
        }
    }

    /// Says once of each keysym that it cannot be typed.
    fn lacks(&mut self, keysym: u32) {
        self.not_typed += 1;
        if self.named.len() < MOST_NAMED && self.named.insert(keysym) {
            let name = named(keysym);
            tracing::warn!(
                "{name} is in no level of the desktop's layout: not typed; add a layout that has it, use a viewer that sends scan \
                 codes, or paste"
            );
        }
    }

    /// Does all that was heard.
    fn work_off(&mut self) -> Result<(), EiError> {
        while let Some(pending) = self.wire.context.pending_event() {
            let event = match pending {
                PendingRequestResult::Request(event) => event,
                PendingRequestResult::ParseError(error) => return Err(nonsense(&error)),
                // of something that we have let go of meanwhile
                PendingRequestResult::InvalidObject(_) => continue,
            };
            match &event {
                ei::Event::Callback(..) => self.caught_up = true,
                ei::Event::Seat(_, ei::seat::Event::Capability { interface, .. }) => {
                    self.absolute |= interface == ei::PointerAbsolute::NAME;
                }
                _ => {}
            }
            self.converter.handle_event(event).map_err(|error| nonsense(&error))?;
            while let Some(event) = self.converter.next_event() {
                self.event(event)?;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: EiEvent) -> Result<(), EiError> {
        match event {
            EiEvent::Disconnected(end) => {
                let why = end.explanation.unwrap_or_default();
                let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
                return Err(EiError::Ended(format!("{:?}{}{why}", end.reason, if why.is_empty() { "" } else { ": " })));
            }
            EiEvent::SeatAdded(added) => {
                let mut wanted = DeviceCapability::Keyboard
                    | DeviceCapability::PointerAbsolute
                    | DeviceCapability::Button
                    | DeviceCapability::Scroll
                    | DeviceCapability::Text;
                if !self.absolute {
                    wanted |= DeviceCapability::Pointer;
                }
                added.seat.bind_capabilities(wanted);
            }
            EiEvent::DeviceAdded(added) => self.devices.add(added.device).map_err(|error| nonsense(&error))?,
            EiEvent::DeviceResumed(resumed) => self.devices.resume(&resumed.device, resumed.serial),
            EiEvent::DevicePaused(paused) => self.devices.pause(&paused.device),
            EiEvent::DeviceRemoved(removed) => self.devices.remove(&removed.device),
            EiEvent::KeyboardModifiers(told) => self.devices.modifiers(&told.device, told.locked, told.group),
            // the rest is for those who receive input
            _ => {}
        }
        Ok(())
    }
}

/// The socket, and what was read from it and not yet sent.
struct Wire {
    context: ei::Context,
    /// The same socket, to wait for it.
    ready: UnixStream,
}

impl Wire {
    fn new(socket: OwnedFd) -> Result<Self, EiError> {
        let socket = std::os::unix::net::UnixStream::from(socket);
        socket.set_nonblocking(true)?;
        let ready = UnixStream::from_std(socket.try_clone()?)?;
        Ok(Self { context: ei::Context::new(socket)?, ready })
    }

    /// Waits until something can be read, and reads it. What was read is not lost when nobody waits any more.
    async fn read(&self) -> Result<(), EiError> {
        loop {
            self.ready.readable().await?;
            let read = || self.context.read().and_then(|read| if read == 0 { Err(WouldBlock.into()) } else { Ok(()) });
            match self.ready.try_io(Interest::READABLE, read) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == WouldBlock => {}
                Err(error) if error.kind() == UnexpectedEof => return Err(EiError::Ended("it is closed".into())),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends what was written.
    async fn flush(&self) -> Result<(), EiError> {
        let sent = async {
            loop {
                match self.context.flush() {
                    Ok(()) => return Ok(()),
                    Err(rustix::io::Errno::AGAIN) => {}
                    Err(error) => return Err(EiError::Socket(error.into())),
                }
                self.ready.writable().await?;
                let again = self.ready.try_io(Interest::WRITABLE, || self.context.flush().map_err(Into::into));
                match again {
                    Err(error) if error.kind() == WouldBlock => {}
                    done => return Ok(done?),
                }
            }
        };
        timeout(UNREAD, sent).await.map_err(|_| EiError::Unread)?
    }

    async fn greet(&self) -> Result<HandshakeResp, EiError> {
        let mut shaker = EiHandshaker::new(NAME, ei::handshake::ContextType::Sender);
        loop {
            self.read().await?;
            while let Some(pending) = self.context.pending_event() {
                let event = match pending {
                    PendingRequestResult::Request(event) => event,
                    PendingRequestResult::ParseError(error) => return Err(nonsense(&error)),
                    PendingRequestResult::InvalidObject(id) => return Err(nonsense(&format!("object {id:#x}"))),
                };
                if let Some(done) = shaker.handle_event(event).map_err(|error| nonsense(&error))? {
                    return Ok(done);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// A message of the protocol: of an object, with an operation and what it is about.
    fn message(object: u64, operation: u32, said: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + said.len()).expect("short");
        [&object.to_ne_bytes()[..], &length.to_ne_bytes(), &operation.to_ne_bytes(), said].concat()
    }

    #[test]
    fn whatever_is_said_in_place_of_a_greeting_ends_with_words() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut all = vec![Vec::new(), vec![0; 15], vec![0xff; 40], message(7, 0, &[]), message(0, 99, &[1; 8])];
        for operation in 0..4 {
            all.extend([0usize, 4, 8, 24].map(|n| message(0, operation, &vec![1; n])));
        }
        let whole = message(0, 0, &1u32.to_ne_bytes());
        all.push(whole.get(..18).expect("is longer").to_vec());
        all.push(whole.repeat(100));
        for said in all {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
            (&theirs).write_all(&said).expect("room");
            theirs.shutdown(std::net::Shutdown::Write).expect("open");
            let opened = runtime.block_on(Ei::open(ours.into(), KEYBOARD | POINTER));
            let text = opened.err().unwrap_or_else(|| panic!("{said:?} was believed")).to_string();
            assert!(text.starts_with("the desktop") && !text.contains('\n'), "{said:?}: {text}");
        }
        let no_socket = std::fs::File::open("/dev/null").expect("is there");
        let said = runtime.block_on(Ei::open(no_socket.into(), KEYBOARD)).err().expect("is none");
        assert!(said.to_string().starts_with("the socket: "), "{said}");
    }
}
