//! Input devices for real, in the guest: what viewers send goes through `Input` and `Devices` to the kernel, and is read back from its event
//! devices as a compositor would read it.
//!
//! The reader knows nothing of the code under test: it parses the kernel's records itself.
#![cfg(feature = "kms")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farpane_engine::geometry::Size;
use farpane_server::backend::BackendEvent;
use farpane_server::backend::kms::input::Input;
use farpane_server::backend::kms::layout::keyboard_layout;
use farpane_server::helper::uinput::{BadEvent, DeviceEvent};
use farpane_server::helper::uinput::{Devices, KEYBOARD, NODE, POINTER, UinputError};
use farpane_server::input::xkb::XkbMap;
use farpane_server::input::{InputSink, KeyInput, PointerInput};
use farpane_test_support::xvfb::skip;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const RECORD: usize = 24;
const SOON: Duration = Duration::from_secs(20);
const NOW: Duration = Duration::ZERO;
const O_NONBLOCK: i32 = 0o4000;

const REPORT: Event = (0, 0, 0);
const KEY: u16 = 1;
const REL: u16 = 2;
const ABS: u16 = 3;
const LED: u16 = 0x11;
/// What a key's repetition by the kernel has as its value.
const REPEATED: i32 = 2;

/// Type, code and value.
type Event = (u16, u16, i32);

fn in_guest() -> bool {
    let inside = std::env::var("FARPANE_GUEST").is_ok_and(|v| v == "1");
    if !inside {
        skip("this runs in the guest alone: tests/run.py --group guest");
    }
    inside
}

fn ready(fd: BorrowedFd<'_>, within: Duration) -> bool {
    let within = Timespec::try_from(within).expect("a short while");
    poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&within)).expect("polling") == 1
}

/// The names of all event devices of this name.
fn nodes(name: &str) -> Vec<String> {
    let all = std::fs::read_dir("/sys/class/input").expect("the kernel's devices").flatten();
    let all = all.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|n| n.starts_with("event"));
    let is = |node: &String| {
        std::fs::read_to_string(format!("/sys/class/input/{node}/device/name")).is_ok_and(|n| n.trim() == name)
    };
    all.filter(is).collect()
}

/// An event device as a compositor has it.
struct Eye {
    file: File,
    node: String,
    waiting: Vec<Event>,
}

impl Eye {
    fn on(name: &str) -> Self {
        let found = nodes(name);
        assert_eq!(found.len(), 1, "one {name}: {found:?}");
        let path = PathBuf::from("/dev/input").join(&found[0]);
        let file = OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(&path);
        Self {
            file: file.unwrap_or_else(|e| panic!("{}: {e}", path.display())),
            node: found[0].clone(),
            waiting: Vec::new(),
        }
    }

    /// What came since, without the kernel's repetitions; an error when the device is gone.
    fn look(&mut self) -> std::io::Result<Vec<Event>> {
        let mut bytes = [0; RECORD * 64];
        loop {
            match self.file.read(&mut bytes) {
                Ok(count) => self.waiting.extend(bytes[..count].chunks_exact(RECORD).map(|record| {
                    let half = |at: usize| u16::from_ne_bytes([record[at], record[at + 1]]);
                    (half(16), half(18), i32::from_ne_bytes(record[20..24].try_into().expect("four bytes")))
                })),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let mut seen = Vec::new();
        for report in std::mem::take(&mut self.waiting).split_inclusive(|e| (e.0, e.1) == (REPORT.0, REPORT.1)) {
            if !report.iter().any(|e| e.0 == KEY && e.2 == REPEATED) {
                seen.extend_from_slice(report);
            }
        }
        Ok(seen)
    }

    /// The reports that came, each without its end.
    fn reports(&mut self) -> Vec<Vec<Event>> {
        let seen = self.look().expect("a device that is there");
        let mut reports: Vec<Vec<Event>> = seen.split(|e| *e == REPORT).map(<[Event]>::to_vec).collect();
        assert_eq!(reports.pop(), Some(Vec::new()), "the last report ends: {seen:?}");
        reports
    }

    fn is_gone(&mut self) -> bool {
        self.look().is_err_and(|e| e.raw_os_error() == Some(19)) && nodes_are_without(&self.node)
    }

    /// Switches a light, as a compositor does.
    fn light(&mut self, code: u16, on: bool) {
        let mut bytes = Vec::new();
        for (kind, code, value) in [(LED, code, i32::from(on)), REPORT] {
            bytes.extend([0; 16]);
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(code.to_ne_bytes());
            bytes.extend(value.to_ne_bytes());
        }
        self.file.write_all(&bytes).expect("a light");
    }

    /// A bitmap of what the device can, lowest bit first.
    fn can(&self, what: &str) -> Vec<u16> {
        let path = format!("/sys/class/input/{}/device/capabilities/{what}", self.node);
        let text = std::fs::read_to_string(path).expect("capabilities");
        let words = text.split_whitespace().rev().map(|w| u64::from_str_radix(w, 16).expect("a word"));
        let bits = words.enumerate().flat_map(|(n, w)| (0..64u16).map(move |bit| (n as u16 * 64 + bit, w >> bit & 1)));
        bits.filter(|(_, set)| *set == 1).map(|(bit, _)| bit).collect()
    }
}

fn nodes_are_without(node: &str) -> bool {
    !Path::new("/dev/input").join(node).exists() && !Path::new("/sys/class/input").join(node).exists()
}

/// Devices with a viewer's input before them and a compositor's eyes behind them.
struct Desk {
    input: Input,
    devices: Arc<Mutex<Option<Devices>>>,
    told: UnboundedReceiver<BackendEvent>,
    keyboard: Eye,
    pointer: Eye,
}

impl Desk {
    fn new(map: XkbMap) -> Self {
        let devices = Arc::new(Mutex::new(Some(Devices::open(Path::new(NODE)).expect("devices"))));
        let (mine, (events, told)) = (Arc::clone(&devices), unbounded_channel());
        let deliver = move |report: &[DeviceEvent]| {
            if let Some(devices) = mine.lock().expect("a lock").as_mut() {
                devices.send(report).expect("events that the devices have");
            }
        };
        let input = Input::new(map, Size::new(1920, 1080), Box::new(deliver), events);
        Self { input, devices, told, keyboard: Eye::on(KEYBOARD), pointer: Eye::on(POINTER) }
    }

    fn key(&self, down: bool, keysym: u32, scancode: Option<u32>) {
        self.input.key(KeyInput { down, keysym, scancode });
    }

    fn tap(&self, keysym: u32) {
        self.key(true, keysym, None);
        self.key(false, keysym, None);
    }

    /// Codes in the order in which they went down (positive) and up (negative), one a report.
    fn strokes(&mut self) -> Vec<i32> {
        let stroke = |report: Vec<Event>| match report[..] {
            [(KEY, code, value)] => i32::from(code) * if value == 1 { 1 } else { -1 },
            _ => panic!("not one key: {report:?}"),
        };
        self.keyboard.reports().into_iter().map(stroke).collect()
    }

    fn leds(&self) -> u8 {
        self.devices.lock().expect("a lock").as_mut().expect("devices").leds().expect("lights")
    }
}

#[test]
fn the_devices_are_a_keyboard_with_lights_and_an_absolute_mouse() {
    if !in_guest() {
        return;
    }
    let devices = Devices::open(Path::new(NODE)).expect("devices");
    let (mut keyboard, mut pointer) = (Eye::on(KEYBOARD), Eye::on(POINTER));
    assert_eq!(keyboard.can("ev"), [0, KEY, LED, 0x14]);
    let keys = keyboard.can("key");
    assert!((1..=83).all(|code| keys.contains(&code)), "udev calls it a keyboard by the first keys");
    assert!(!keys.contains(&116) && !keys.contains(&0x110) && keys.len() > 200, "{keys:?}");
    assert_eq!(keyboard.can("led"), [0, 1, 2]);
    assert_eq!(pointer.can("ev"), [0, KEY, REL, ABS]);
    assert_eq!(pointer.can("key"), (0x110..=0x117).collect::<Vec<_>>(), "no touch and no pen");
    assert_eq!((pointer.can("abs"), pointer.can("rel")), (vec![0, 1], vec![6, 8, 11, 12]));
    let properties = std::fs::read_to_string(format!("/sys/class/input/{}/device/properties", pointer.node));
    assert_eq!(properties.expect("properties").trim(), "0");

    drop(devices);
    assert!(keyboard.is_gone() && pointer.is_gone());
    let again = Devices::open(Path::new(NODE)).expect("devices");
    Eye::on(KEYBOARD);
    drop(again);
    assert_eq!(nodes(KEYBOARD).len() + nodes(POINTER).len(), 0);
}

#[test]
fn descriptors_that_were_opened_before_make_the_same_devices() {
    if !in_guest() {
        return;
    }
    let open = || -> OwnedFd { OpenOptions::new().read(true).write(true).open(NODE).expect("uinput").into() };
    let mut devices = Devices::new(open(), open()).expect("devices");
    let mut eye = Eye::on(KEYBOARD);
    devices.send(&[DeviceEvent::Key { code: 30, down: true }]).expect("a key");
    assert_eq!(eye.reports(), [[(KEY, 30, 1)]]);
}

#[test]
fn text_arrives_as_the_keys_and_modifiers_of_the_layout_in_order() {
    if !in_guest() {
        return;
    }
    let german = "de".parse().expect("a name");
    let (_, map) = keyboard_layout(Some(&german), Path::new("/")).expect("German, of the machine's xkb-data");
    let mut desk = Desk::new(map);
    // "zZ@ü" where z is on the key of y, @ needs AltGr, ü is a key
    for keysym in [0x7a, 0x5a, 0x40, 0xfc] {
        desk.tap(keysym);
    }
    assert_eq!(desk.strokes(), [21, -21, 42, 21, -42, -21, 100, 16, -100, -16, 26, -26]);
    // a shortcut: Control is held by the viewer
    desk.key(true, 0xffe3, None);
    desk.tap(0x63);
    desk.key(false, 0xffe3, None);
    assert_eq!(desk.strokes(), [29, 46, -46, -29]);
    // scan codes go as the keys that they are
    for (scan, down) in [(0x2a, true), (0x2c, true), (0x2c, false), (0x2a, false), (0xc8, true), (0xc8, false)] {
        desk.key(down, 0x79, Some(scan));
    }
    assert_eq!(desk.strokes(), [42, 44, -44, -42, 103, -103]);
    desk.tap(0x6c1);
    assert_eq!(desk.strokes(), [] as [i32; 0], "Cyrillic is not in the layout");
}

#[test]
fn the_pointer_its_buttons_and_wheels_arrive_exactly_as_sent() {
    if !in_guest() {
        return;
    }
    let mut desk = Desk::new(XkbMap::english());
    let mut seen = |x: u16, y: u16, buttons: u16| {
        desk.input.pointer(PointerInput { x, y, buttons });
        desk.pointer.reports()
    };
    let (w, h) = (1920, 1080);
    let place = |x: i32, y: i32| [(ABS, 0, (x * 65_536 + 32_768) / w), (ABS, 1, (y * 65_536 + 32_768) / h)];
    assert_eq!(seen(0, 0, 0), [place(0, 0)], "the first move may go to the corner");
    assert_eq!(seen(1919, 1079, 0), [place(1919, 1079)]);
    // what a compositor makes of a value: the same pixel
    assert_eq!(place(1919, 1079).map(|(_, code, v)| v * [w, h][usize::from(code)] / 65_536), [1919, 1079]);
    assert_eq!(seen(10, 20, 1), [[place(10, 20).to_vec(), vec![(KEY, 0x110, 1)]].concat()]);
    assert_eq!(
        seen(10, 20, 0b1_1000_0110),
        [[(KEY, 0x110, 0), (KEY, 0x112, 1), (KEY, 0x111, 1), (KEY, 0x113, 1), (KEY, 0x114, 1)]]
    );
    let up = [0x112, 0x111, 0x113, 0x114].map(|code| (KEY, code, 0));
    assert_eq!(seen(10, 20, 0), [up]);
    for (bit, whole, fine, sign) in [(3, 8, 11, 1), (4, 8, 11, -1), (5, 6, 12, -1), (6, 6, 12, 1)] {
        assert_eq!(seen(10, 20, 1 << bit), [[(REL, whole, sign), (REL, fine, 120 * sign)]]);
        assert!(seen(10, 20, 0).is_empty(), "a wheel has no way back");
    }
    assert_eq!(desk.strokes(), [] as [i32; 0], "nothing of it went to the keyboard");
}

#[test]
fn a_key_that_is_held_is_repeated_by_the_kernel_and_ends_with_its_release() {
    if !in_guest() {
        return;
    }
    let desk = Desk::new(XkbMap::english());
    let mut bytes = [0; RECORD];
    let mut file = desk.keyboard.file.try_clone().expect("a descriptor");
    desk.key(true, 0x61, None);
    loop {
        assert!(ready(file.as_fd(), SOON), "no repetition came");
        file.read_exact(&mut bytes).expect("a record");
        if bytes[16..] == [1, 0, 30, 0, 2, 0, 0, 0] {
            break;
        }
    }
    desk.key(true, 0x61, None);
    desk.key(false, 0x61, None);
    let mut last = None;
    while file.read_exact(&mut bytes).is_ok() {
        if bytes[16..18] == [1, 0] {
            last = Some(bytes[20]);
        }
    }
    assert_eq!(last, Some(0));
}

#[test]
fn what_is_held_goes_up_when_the_viewer_goes_and_when_the_server_is_lost() {
    if !in_guest() {
        return;
    }
    let mut desk = Desk::new(XkbMap::english());
    desk.key(true, 0xffe1, None);
    desk.key(true, 0x41, None);
    desk.input.pointer(PointerInput { x: 1, y: 1, buttons: 0b101 });
    desk.strokes();
    desk.pointer.reports();
    desk.input.let_go();
    let mut up = desk.strokes();
    up.sort_unstable();
    assert_eq!(up, [-42, -30]);
    assert_eq!(desk.pointer.reports(), [[(KEY, 0x110, 0), (KEY, 0x111, 0)]]);

    // the other end of the helper's socket is gone: nobody says what is held but the devices themselves
    desk.key(true, 0x62, None);
    desk.input.pointer(PointerInput { x: 1, y: 1, buttons: 1 });
    desk.strokes();
    desk.pointer.reports();
    let mut devices = desk.devices.lock().expect("a lock").take().expect("devices");
    devices.release().expect("a release");
    assert_eq!(desk.strokes(), [-48]);
    assert_eq!(desk.pointer.reports(), [[(KEY, 0x110, 0)]]);
    // what is not read when a device goes is lost, so that letting go by dropping cannot be seen
    drop(devices);
    assert!(desk.keyboard.is_gone() && desk.pointer.is_gone());
}

#[test]
fn lights_that_a_compositor_switches_are_told_and_change_what_is_typed() {
    if !in_guest() {
        return;
    }
    let mut desk = Desk::new(XkbMap::english());
    assert_eq!(desk.leds(), 0);
    for (code, on, leds) in [(1, true, 4), (0, true, 6), (2, true, 7), (1, false, 3), (2, false, 2)] {
        desk.keyboard.light(code, on);
        let there = desk.devices.lock().expect("a lock");
        assert!(ready(there.as_ref().expect("devices").as_fd(), SOON), "light {code} is told");
        drop(there);
        assert_eq!(desk.leds(), leds, "light {code}");
        desk.input.shown(leds);
        assert!(matches!(desk.told.try_recv(), Ok(BackendEvent::Leds(l)) if l == leds));
    }
    let there = desk.devices.lock().expect("a lock");
    assert!(!ready(there.as_ref().expect("devices").as_fd(), NOW), "all of it was read");
    drop(there);
    desk.keyboard.look().expect("the lights are seen by all");
    // Num Lock is on: the keypad's digit needs nothing more; a capital needs Shift
    desk.tap(0xffb1);
    desk.tap(0x41);
    assert_eq!(desk.strokes(), [79, -79, 42, 30, -42, -30]);
    desk.keyboard.light(1, true);
    let leds = desk.leds();
    desk.input.shown(leds);
    desk.keyboard.look().expect("the light");
    desk.tap(0x41);
    assert_eq!(desk.strokes(), [30, -30], "Caps Lock is on");
}

#[test]
fn what_may_not_be_asked_for_reaches_no_device() {
    if !in_guest() {
        return;
    }
    let mut devices = Devices::open(Path::new(NODE)).expect("devices");
    let (mut keyboard, mut pointer) = (Eye::on(KEYBOARD), Eye::on(POINTER));
    let good = DeviceEvent::Key { code: 30, down: true };
    for (bad, says) in [
        (DeviceEvent::Key { code: 116, down: true }, BadEvent::Key(116)),
        (DeviceEvent::Key { code: 0x110, down: true }, BadEvent::Key(0x110)),
        (DeviceEvent::Button { code: 30, down: true }, BadEvent::Button(30)),
    ] {
        assert!(matches!(devices.send(&[good, bad]), Err(UinputError::Bad(b)) if b == says), "{bad:?}");
    }
    devices.send(&[DeviceEvent::PointerTo { x: u32::MAX, y: 7 }]).expect("a place that is cut");
    assert_eq!(pointer.reports(), [[(ABS, 0, 65_535), (ABS, 1, 7)]]);
    assert!(keyboard.reports().is_empty());
}
