//! A keyboard and a pointer of the kernel's, for what has the right to make them.
//!
//! The pointer is absolute over the whole layout, as QEMU's usb-tablet: axes and mouse buttons, neither pen nor touch, so that udev and libinput
//! take it for a mouse. The kernel repeats held keys for consoles; compositors do it themselves. What a compositor does to the lights of
//! the keyboard can be read back.
//!
//! INVARIANT: nothing stays down: what is held goes up before the devices go, and where the other end is lost.
//! The other end may be taken over: every event is checked ([`DeviceEvent`]), keys that the machine itself obeys are not there, and no key is let through that
//! the kernel would take for a SysRq command. Tested in the guest with devices of its kernel (`tests/guest_uinput.rs`).

mod event;

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use input_linux::sys::{input_event, timeval};
use input_linux::{
    AbsoluteAxis, AbsoluteInfo, AbsoluteInfoSetup, EventKind, InputId, Key, LedKind, RelativeAxis, UInputHandle,
};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

pub use event::{ABS_MAX, BadEvent, DeviceEvent, MOST_EVENTS, NOTCH, is_key};
use event::{ABS_X, ABS_Y, Held, Packet, Raw, To};

/// Where devices are made.
pub const NODE: &str = "/dev/uinput";
/// What the keyboard is called.
pub const KEYBOARD: &str = "farpane keyboard";
/// What the pointer is called.
pub const POINTER: &str = "farpane pointer";

const BUS_VIRTUAL: u16 = 6;
const REPORT: Raw = (0, 0, 0);
const EV_LED: u16 = 0x11;
/// The kernel's lights by their number, as RFB's LED state has them: Num Lock, Caps Lock, Scroll Lock.
const LIGHTS: [u8; 3] = [2, 4, 1];

/// Why there is no input.
#[derive(Debug, thiserror::Error)]
pub enum UinputError {
    /// The kernel cannot make devices.
    #[error("no {}: load its module (modprobe uinput; at every start: echo uinput > /etc/modules-load.d/uinput.conf)", .0.display())]
    Missing(PathBuf),
    /// It may not be opened.
    #[error("{} may not be opened: run the helper as root, or install packaging/udev/60-farpane-uinput.rules and put the helper's account into the group farpane-helper", .0.display())]
    Refused(PathBuf),
    /// The kernel refuses a device or an event.
    #[error("input devices: {0}")]
    System(#[from] io::Error),
    /// The other end asked for what it may not have.
    #[error(transparent)]
    Bad(#[from] BadEvent),
}

/// A keyboard and a pointer. They are there from when this is made until it is dropped.
pub struct Devices {
    keyboard: UInputHandle<OwnedFd>,
    pointer: UInputHandle<OwnedFd>,
    held: Held,
    leds: u8,
}

impl Devices {
    /// Opens [`NODE`], or what stands for it, and makes the devices.
    ///
    /// Programs need a moment to open new devices: what is sent before is lost to them.
    ///
    /// # Errors
    /// When it is not there or refused, which the error says what to do about.
    pub fn open(node: &Path) -> Result<Self, UinputError> {
        let open = || -> Result<OwnedFd, UinputError> {
            match OpenOptions::new().read(true).write(true).open(node) {
                Ok(file) => Ok(file.into()),
                Err(error) => Err(not_opened(node, error)),
            }
        };
        Self::new(open()?, open()?)
    }

    /// Makes the devices through descriptors of `/dev/uinput` that were opened before, each by itself, for reading and writing.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(keyboard: OwnedFd, pointer: OwnedFd) -> Result<Self, UinputError> {
        for fd in [&keyboard, &pointer] {
            let flags = fcntl_getfl(fd).map_err(io::Error::from)?;
            fcntl_setfl(fd, flags | OFlags::NONBLOCK).map_err(io::Error::from)?;
        }
        let keyboard = make_keyboard(UInputHandle::new(keyboard))?;
        let pointer = make_pointer(UInputHandle::new(pointer))?;
        Ok(Self { keyboard, pointer, held: Held::default(), leds: 0 })
    }

    /// Does what is asked for: one report for each device that the batch touches in turn.
    ///
    /// # Errors
    /// [`UinputError::Bad`], and nothing is done, when an event is one that the other end may not ask for.
    pub fn send(&mut self, batch: &[DeviceEvent]) -> Result<(), UinputError> {
        let packets = self.held.take(batch)?;
        Ok(self.write(&packets)?)
    }

    /// Lets go of everything that is held.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn release(&mut self) -> Result<(), UinputError> {
        let packets = self.held.release();
        Ok(self.write(&packets)?)
    }

    /// The lock keys as the desktop shows them on the keyboard, bit 0 scroll, 1 num, 2 caps; all off until it shows some.
    ///
    /// [`Devices::as_fd`] is readable when they may have changed.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn leds(&mut self) -> Result<u8, UinputError> {
        let mut events = [raw(REPORT); 16];
        loop {
            match self.keyboard.read(&mut events) {
                Ok(0) => return Ok(self.leds),
                Ok(count) => {
                    for event in events.iter().take(count).filter(|e| e.type_ == EV_LED) {
                        let Some(bit) = LIGHTS.get(usize::from(event.code)) else { continue };
                        self.leds = if event.value == 0 { self.leds & !bit } else { self.leds | bit };
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(self.leds),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn write(&self, packets: &[Packet]) -> io::Result<()> {
        for packet in packets {
            let device = match packet.to {
                To::Keyboard => &self.keyboard,
                To::Pointer => &self.pointer,
            };
            let events: Vec<input_event> = packet.events.iter().chain([&REPORT]).map(|e| raw(*e)).collect();
            let mut rest = events.as_slice();
            while !rest.is_empty() {
                match device.write(rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

impl AsFd for Devices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.keyboard.as_inner().as_fd()
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        let _ = self.release();
        for device in [&self.keyboard, &self.pointer] {
            let _ = device.dev_destroy();
        }
    }
}

fn not_opened(node: &Path, error: io::Error) -> UinputError {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => UinputError::Missing(node.into()),
        Some(libc::EACCES | libc::EPERM) => UinputError::Refused(node.into()),
        _ => error.into(),
    }
}

type Device = UInputHandle<OwnedFd>;

fn make_keyboard(device: Device) -> io::Result<Device> {
    for kind in [EventKind::Key, EventKind::Autorepeat, EventKind::Led] {
        device.set_evbit(kind)?;
    }
    for code in event::keys() {
        device.set_keybit(Key::from_code(code).map_err(io::Error::other)?)?;
    }
    for light in [LedKind::NumLock, LedKind::CapsLock, LedKind::ScrollLock] {
        device.set_ledbit(light)?;
    }
    device.create(&id(1), KEYBOARD.as_bytes(), 0, &[])?;
    Ok(device)
}

fn make_pointer(device: Device) -> io::Result<Device> {
    for kind in [EventKind::Key, EventKind::Relative, EventKind::Absolute] {
        device.set_evbit(kind)?;
    }
    for code in event::buttons() {
        device.set_keybit(Key::from_code(code).map_err(io::Error::other)?)?;
    }
    let wheels = [
        RelativeAxis::Wheel,
        RelativeAxis::HorizontalWheel,
        RelativeAxis::WheelHiRes,
        RelativeAxis::HorizontalWheelHiRes,
    ];
    for wheel in wheels {
        device.set_relbit(wheel)?;
    }
    let mut axes = Vec::new();
    for code in [ABS_X, ABS_Y] {
        let axis = AbsoluteAxis::from_code(code).map_err(io::Error::other)?;
        device.set_absbit(axis)?;
        let maximum = i32::try_from(ABS_MAX).unwrap_or(i32::MAX);
        // nowhere: the kernel drops what is no change, and the first move may go to any place
        let info = AbsoluteInfo { value: -1, minimum: 0, maximum, fuzz: 0, flat: 0, resolution: 0 };
        axes.push(AbsoluteInfoSetup { axis, info });
    }
    device.create(&id(2), POINTER.as_bytes(), 0, &axes)?;
    Ok(device)
}

fn id(product: u16) -> InputId {
    InputId { bustype: BUS_VIRTUAL, vendor: 0, product, version: 1 }
}

fn raw((type_, code, value): Raw) -> input_event {
    input_event { time: timeval { tv_sec: 0, tv_usec: 0 }, type_, code, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_cannot_be_opened_is_one_line_that_says_what_to_do() {
        let said = |number| not_opened(Path::new(NODE), io::Error::from_raw_os_error(number)).to_string();
        for (number, says) in [
            (libc::ENOENT, "no /dev/uinput: load its module (modprobe uinput;"),
            (libc::ENODEV, "modprobe uinput"),
            (libc::EACCES, "/dev/uinput may not be opened: run the helper as root, or install packaging/udev/"),
            (libc::EMFILE, "Too many open files"),
        ] {
            assert!(said(number).contains(says), "{}", said(number));
            assert!(!said(number).contains('\n'), "{}", said(number));
        }
        assert!(matches!(Devices::open(Path::new("/nonexistent/uinput")), Err(UinputError::Missing(_))));
        assert!(Devices::open(Path::new("/dev/null")).is_err(), "what is no uinput makes no devices");
    }
}
