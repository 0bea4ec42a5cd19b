//! An EIS server of the tests' own: gives a keyboard and two pointers away and writes down what it is told, or behaves badly.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reis::PendingRequestResult;
use reis::eis::{self, connection::DisconnectReason, device::DeviceType, keyboard::KeymapType};
use reis::handshake::EisHandshaker;
use reis::request::{Connection, Device, DeviceCapability, EisRequest, EisRequestConverter};
use rustix::fs::{MemfdFlags, memfd_create};

/// The socket's name in the desktop's folder.
pub const FILE: &str = "eis";
/// The first serial.
const FIRST: u32 = 1;

/// How it behaves.
#[derive(Clone)]
pub enum Manner {
    /// As it should; the second says whether it takes keysyms whatever the layout is.
    Good(bool),
    /// It greets, and gives no device.
    Bare,
    /// It says nothing at all.
    Silent,
    /// It says this, and nothing else.
    Nonsense(Vec<u8>),
}

/// What it is told to do.
pub enum Order {
    /// Every device takes no input for a while.
    Pause,
    /// And again from now on.
    Resume,
    /// These modifiers are locked.
    Lock(u32),
    /// It ends the connection, and says why.
    End,
    /// It says this in between.
    Say(Vec<u8>),
}

/// A server for one connection.
pub struct Eis {
    heard: Arc<Mutex<Vec<String>>>,
    orders: Sender<Order>,
}

impl Eis {
    pub fn start(dir: &Path, manner: Manner) -> Self {
        let listener = UnixListener::bind(dir.join(FILE)).expect("a socket");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (orders, given) = channel();
        let notes = Arc::clone(&heard);
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("somebody comes");
            drop(listener);
            let note = move |line: String| notes.lock().expect("whole").push(line);
            match manner {
                Manner::Good(text) => {
                    Served { note: &note, devices: Vec::new(), gives: true, text }.serve(stream, &given)
                }
                Manner::Bare => {
                    Served { note: &note, devices: Vec::new(), gives: false, text: false }.serve(stream, &given);
                }
                Manner::Silent => until_it_goes(stream),
                Manner::Nonsense(bytes) => {
                    (&stream).write_all(&bytes).expect("is listened to");
                    until_it_goes(stream);
                }
            }
            note("gone".into());
        });
        Self { heard, orders }
    }

    /// What it was told since it was last asked.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().expect("whole"))
    }

    /// Whether it was told this.
    pub fn has(&self, line: &str) -> bool {
        self.heard.lock().expect("whole").iter().any(|l| l == line)
    }

    pub fn order(&self, order: Order) {
        self.orders.send(order).expect("still serves");
    }
}

fn until_it_goes(mut stream: UnixStream) {
    let mut bytes = [0; 1024];
    while stream.read(&mut bytes).is_ok_and(|read| read > 0) {}
}

struct Served<'a> {
    note: &'a dyn Fn(String),
    devices: Vec<Device>,
    gives: bool,
    text: bool,
}

impl Served<'_> {
    fn serve(&mut self, stream: UnixStream, orders: &Receiver<Order>) {
        let raw = stream.try_clone().expect("a descriptor");
        let context = eis::Context::new(stream).expect("a socket");
        let mut shaker = EisHandshaker::new(&context, FIRST);
        let mut converter: Option<EisRequestConverter> = None;
        let mut last_us = 0;
        loop {
            if context.read().is_err() {
                return;
            }
            while let Some(pending) = context.pending_request() {
                let PendingRequestResult::Request(request) = pending else {
                    return (self.note)(format!("nonsense: {pending:?}"));
                };
                match &mut converter {
                    Some(converter) => converter.handle_request(request).expect("keeps to the protocol"),
                    None => {
                        if let Some(hello) = shaker.handle_request(request).expect("keeps to the protocol") {
                            (self.note)(format!("{} {:?}", hello.name.as_deref().unwrap_or("?"), hello.context_type));
                            let new = EisRequestConverter::new(&context, hello, FIRST);
                            let mut can = DeviceCapability::Keyboard
                                | DeviceCapability::Pointer
                                | DeviceCapability::PointerAbsolute
                                | DeviceCapability::Button
                                | DeviceCapability::Scroll
                                | DeviceCapability::Touch;
                            if self.text {
                                can |= DeviceCapability::Text;
                            }
                            let _ = new.handle().add_seat(Some("seat"), can);
                            converter = Some(new);
                        }
                    }
                }
            }
            if let Some(converter) = &mut converter {
                while let Some(request) = converter.next_request() {
                    self.take(converter.handle(), request, &mut last_us);
                }
                while let Ok(order) = orders.try_recv() {
                    match order {
                        Order::Pause => self.devices.iter().for_each(Device::paused),
                        Order::Resume => self.devices.iter().for_each(Device::resumed),
                        Order::Lock(mods) => {
                            for keys in self.devices.iter().filter_map(Device::interface::<eis::Keyboard>) {
                                converter.handle().with_next_serial(|serial| keys.modifiers(serial, 0, mods, 0, 0));
                            }
                        }
                        Order::End => {
                            converter.handle().disconnected(DisconnectReason::Error, Some("out\nof order"));
                            return;
                        }
                        Order::Say(bytes) => (&raw).write_all(&bytes).expect("is listened to"),
                    }
                }
            }
            let _ = context.flush();
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn take(&mut self, connection: &Connection, request: EisRequest, last_us: &mut u64) {
        let name = |device: &Device| device.name().unwrap_or("?").to_owned();
        match request {
            EisRequest::Bind(bind) => {
                let pointer = bind.capabilities.contains(DeviceCapability::Pointer);
                (self.note)(format!("bound{}", if pointer { " relative motion" } else { "" }));
                if self.gives {
                    self.give(&bind.seat);
                }
            }
            EisRequest::Ready(ready) => ready.device.resumed(),
            EisRequest::Frame(frame) => {
                let known = (FIRST..=connection.last_serial()).contains(&frame.last_serial);
                if !known || frame.time < *last_us || frame.time == 0 {
                    (self.note)(format!("a frame with serial {} at {}", frame.last_serial, frame.time));
                }
                *last_us = frame.time;
            }
            EisRequest::DeviceStartEmulating(start) => (self.note)(format!("{} starts", name(&start.device))),
            EisRequest::DeviceStopEmulating(stop) => (self.note)(format!("{} stops", name(&stop.device))),
            EisRequest::KeyboardKey(key) => (self.note)(format!("key {} {:?}", key.key, key.state)),
            EisRequest::PointerMotionAbsolute(to) => {
                (self.note)(format!("{} at {} {}", name(&to.device), to.dx_absolute, to.dy_absolute));
            }
            EisRequest::Button(b) => (self.note)(format!("{} button {} {:?}", name(&b.device), b.button, b.state)),
            EisRequest::ScrollDiscrete(s) => {
                (self.note)(format!("{} wheel {} {}", name(&s.device), s.discrete_dx, s.discrete_dy));
            }
            EisRequest::TextKeysym(t) => (self.note)(format!("text {:#x} {:?}", t.keysym, t.state)),
            EisRequest::Disconnect => (self.note)("farewell".into()),
            other => (self.note)(format!("unexpected: {other:?}")),
        }
    }

    fn give(&mut self, seat: &reis::request::Seat) {
        let map = layout();
        let size = u32::try_from(map.len()).expect("small") + 1;
        let shared = shared(&map);
        self.devices.push(seat.add_device(
            Some("keyboard"),
            DeviceType::Virtual,
            DeviceCapability::Keyboard.into(),
            |device| {
                let keys = device.interface::<eis::Keyboard>().expect("has one");
                keys.keymap(KeymapType::Xkb, size, shared.as_fd());
            },
        ));
        let can = DeviceCapability::PointerAbsolute | DeviceCapability::Button | DeviceCapability::Scroll;
        for (name, region, scale) in [("left", [1000, 500, 160, 120], 2.0), ("right", [160, 0, 320, 240], 1.0)] {
            let [x, y, w, h] = region;
            self.devices.push(seat.add_device(Some(name), DeviceType::Virtual, can, |device| {
                device.device().region_mapping_id(name);
                device.device().region(x, y, w, h, scale);
            }));
        }
        if self.text {
            let can = DeviceCapability::Text.into();
            self.devices.push(seat.add_device(Some("text"), DeviceType::Virtual, can, |_| {}));
        }
    }
}

fn shared(text: &str) -> OwnedFd {
    let fd = memfd_create("keymap", MemfdFlags::CLOEXEC).expect("memory");
    std::fs::File::from(fd.try_clone().expect("a descriptor")).write_all(text.as_bytes()).expect("room");
    rustix::fs::ftruncate(&fd, text.len() as u64 + 1).expect("room");
    fd
}

/// English letters, with an euro sign on E beside the right Alt key.
fn layout() -> String {
    let four = "virtual_modifiers NumLock,LevelThree;\n\ttype \"FOUR_LEVEL\" {\n\t\tmodifiers= Shift+LevelThree;\n\t\tmap[Shift]= \
                2;\n\t\tmap[LevelThree]= 3;\n\t\tmap[Shift+LevelThree]= 4;\n\t};\n\ttype";
    let level3 = "interpret ISO_Level3_Shift+AnyOf(all) {\n\t\tvirtualModifier= LevelThree;\n\t\tuseModMapMods=level1;\n\t\taction= \
                  SetMods(modifiers=LevelThree,clearLocks);\n\t};\n\tinterpret Caps_Lock";
    let mut text = include_str!("../../src/input/xkb/english.xkb").to_owned();
    for (from, to) in [
        ("key <AD03> { [ e, E ] };", "key <AD03> { type= \"FOUR_LEVEL\", symbols[1]= [ e, E, EuroSign, cent ] };"),
        ("key <RALT> { [ Alt_R, Meta_R ] };", "key <RALT> { [ ISO_Level3_Shift ] };"),
        ("modifier_map Mod1 { <LALT>, <RALT> };", "modifier_map Mod1 { <LALT> };\n\tmodifier_map Mod5 { <RALT> };"),
        ("virtual_modifiers NumLock;\n\ttype", four),
        ("interpret Caps_Lock", level3),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    text
}
