//! A source of the test's own: it shows what it is told, and lies where it is told to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Cursor;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use farpane_engine::geometry::Size;
use farpane_test_support::desktop::Desktop;
use pipewire::context::ContextRc;
use pipewire::main_loop::MainLoopRc;
use pipewire::properties::properties;
use pipewire::spa::param::ParamType;
use pipewire::spa::param::format::{FormatProperties, MediaSubtype, MediaType};
use pipewire::spa::param::video::VideoFormat;
use pipewire::spa::pod::serialize::PodSerializer;
use pipewire::spa::pod::{Object, Pod, Property, PropertyFlags, Value, property};
use pipewire::spa::sys as spa;
use pipewire::spa::utils::{Direction, Fraction, Rectangle, SpaTypes};
use pipewire::stream::{StreamFlags, StreamRc, StreamState};
use rustix::fs::{MemfdFlags, SealFlags};

use super::ffi::Buffer;

/// How a source makes its buffers.
#[derive(Clone, Copy)]
pub struct Plan {
    pub size: Size,
    /// Bytes of each buffer's file; those of the picture where none are given.
    pub file: Option<usize>,
    /// What the buffer is said to have; the same.
    pub max_size: Option<u32>,
    pub map_offset: u32,
    pub seals: SealFlags,
    pub kind: u32,
    /// It says that it has dma-bufs of this modifier
    pub modifier: Option<i64>,
    /// and shared memory for those who do not want these; otherwise no other pictures.
    pub memory_too: bool,
}

impl Plan {
    pub fn honest(w: u16, h: u16) -> Self {
        let (file, max_size) = (None, None);
        let seals = SealFlags::SHRINK.union(SealFlags::GROW);
        let (kind, modifier, memory_too) = (spa::SPA_DATA_MemFd, None, false);
        Self { size: Size::new(w, h), file, max_size, map_offset: 0, seals, kind, modifier, memory_too }
    }

    /// What it offers, best first.
    fn formats(&self) -> Vec<Vec<u8>> {
        let memory = (self.memory_too && self.modifier.is_some()).then(|| format(self.size, None));
        [format(self.size, self.modifier)].into_iter().chain(memory).collect()
    }

    fn bytes(&self) -> usize {
        usize::from(self.size.w) * usize::from(self.size.h) * 4
    }
}

/// One picture, and what is said of it.
#[derive(Clone, Default)]
pub struct Shown {
    /// The colour of all its pixels.
    pub colour: u32,
    /// Rows and columns of another colour: x, y, w, h.
    pub patch: Option<([usize; 4], u32)>,
    pub offset: u32,
    pub size: Option<u32>,
    pub stride: Option<i32>,
    pub flags: i32,
    /// It is not counted, as one that PipeWire dropped.
    pub unnumbered: bool,
    /// Metadata by kind, as words.
    pub meta: Vec<(u32, Vec<i32>)>,
}

enum Order {
    Show(Shown),
    Resize(Size),
    Shrink(u64),
    End,
}

/// A running source, ended when dropped.
pub struct Producer {
    orders: pipewire::channel::Sender<Order>,
    shown: Receiver<bool>,
    states: Receiver<StreamState>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Producer {
    pub fn start(desktop: &Desktop, name: &str, plan: Plan) -> Self {
        let (orders, taken) = pipewire::channel::channel();
        let (tell, shown) = channel();
        let (tell_state, states) = channel();
        let (socket, name) = (super::socket(desktop), name.to_owned());
        let run = move || run(socket, &name, plan, taken, tell, tell_state);
        Self { orders, shown, states, thread: Some(std::thread::spawn(run)) }
    }

    fn order(&self, order: Order) {
        assert!(self.orders.send(order).is_ok(), "the source ended");
    }

    /// Shows a picture as soon as a buffer is free.
    pub fn show(&self, shown: &Shown) {
        let end = std::time::Instant::now() + super::PATIENCE;
        loop {
            self.order(Order::Show(shown.clone()));
            if self.shown.recv_timeout(Duration::from_secs(20)).expect("an answer") {
                return;
            }
            assert!(std::time::Instant::now() < end, "no buffer is free");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn resize(&self, size: Size) {
        self.order(Order::Resize(size));
    }

    /// Cuts the file of every buffer.
    pub fn shrink(&self, len: u64) {
        self.order(Order::Shrink(len));
        assert!(self.shown.recv_timeout(Duration::from_secs(20)).expect("an answer"));
    }

    /// Waits until the stream is in a state.
    pub fn until(&self, state: &StreamState) {
        while self.states.recv_timeout(super::PATIENCE).expect("another state") != *state {}
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn pod(kind: SpaTypes, id: ParamType, properties: Vec<Property>) -> Vec<u8> {
    let object = Value::Object(Object { type_: kind.as_raw(), id: id.as_raw(), properties });
    PodSerializer::serialize(Cursor::new(Vec::new()), &object).expect("memory").0.into_inner()
}

fn format(size: Size, modifier: Option<i64>) -> Vec<u8> {
    let mut properties = vec![
        property!(FormatProperties::MediaType, Id, MediaType::Video),
        property!(FormatProperties::MediaSubtype, Id, MediaSubtype::Raw),
        property!(FormatProperties::VideoFormat, Id, VideoFormat::BGRx),
        property!(FormatProperties::VideoSize, Rectangle, Rectangle { width: size.w.into(), height: size.h.into() }),
        property!(FormatProperties::VideoFramerate, Fraction, Fraction { num: 0, denom: 1 }),
    ];
    properties.extend(modifier.map(|modifier| Property {
        key: FormatProperties::VideoModifier.as_raw(),
        flags: PropertyFlags::MANDATORY,
        value: Value::Long(modifier),
    }));
    pod(SpaTypes::ObjectParamFormat, ParamType::EnumFormat, properties)
}

/// Offers some things that are to stay there as long as it takes.
fn offer(formats: &[Vec<u8>], to: impl FnOnce(&mut [&Pod])) {
    to(&mut formats.iter().map(|format| Pod::from_bytes(format).expect("a pod")).collect::<Vec<_>>());
}

/// `agreed` is the kind of memory that was agreed on; what it gives may be another.
fn buffers(plan: &Plan, agreed: u32) -> Vec<Vec<u8>> {
    let bytes = i32::try_from(plan.bytes()).expect("small");
    let int = |key, v| Property::new(key, Value::Int(v));
    let mut all = vec![pod(
        SpaTypes::ObjectParamBuffers,
        ParamType::Buffers,
        vec![
            int(spa::SPA_PARAM_BUFFERS_buffers, 4),
            int(spa::SPA_PARAM_BUFFERS_blocks, 1),
            int(spa::SPA_PARAM_BUFFERS_size, bytes),
            int(spa::SPA_PARAM_BUFFERS_stride, i32::from(plan.size.w) * 4),
            int(spa::SPA_PARAM_BUFFERS_dataType, 1 << agreed),
        ],
    )];
    let metas = [
        (spa::SPA_META_Header, 32),
        (spa::SPA_META_VideoDamage, 16 * 4),
        (spa::SPA_META_Cursor, 48 + 32 * 32 * 4),
        (spa::SPA_META_VideoCrop, 16),
        (spa::SPA_META_VideoTransform, 4),
    ];
    for (kind, size) in metas {
        let properties = vec![
            Property::new(spa::SPA_PARAM_META_type, Value::Id(pipewire::spa::utils::Id(kind))),
            int(spa::SPA_PARAM_META_size, size),
        ];
        all.push(pod(SpaTypes::ObjectParamMeta, ParamType::Meta, properties));
    }
    all
}

fn run(
    socket: OwnedFd,
    name: &str,
    plan: Plan,
    orders: pipewire::channel::Receiver<Order>,
    shown: std::sync::mpsc::Sender<bool>,
    states: std::sync::mpsc::Sender<StreamState>,
) {
    pipewire::init();
    let main = MainLoopRc::new(None).expect("a loop");
    let context = ContextRc::new(&main, None).expect("a context");
    let core = context.connect_fd_rc(socket, None).expect("PipeWire");
    let properties = properties! { "media.class" => "Video/Source", "node.name" => name };
    let stream = StreamRc::new(core, name, properties).expect("a stream");
    let plan = Rc::new(RefCell::new(plan));
    let number = std::cell::Cell::new(0u64);
    let files: Rc<RefCell<HashMap<i64, std::fs::File>>> = Rc::default();
    let (on_format, on_add, added, removed) =
        (Rc::clone(&plan), Rc::clone(&plan), Rc::clone(&files), Rc::clone(&files));
    let memory = Rc::new(std::cell::Cell::new(false));
    let in_memory = Rc::clone(&memory);
    let _listener = stream
        .add_local_listener_with_user_data(())
        .state_changed(move |_, (), _, new| drop(states.send(new)))
        .param_changed(move |stream, (), id, param| {
            if id == ParamType::Format.as_raw()
                && let Some(format) = param
            {
                let key = pipewire::spa::utils::Id(FormatProperties::VideoModifier.as_raw());
                let modifier = format.as_object().expect("a format").find_prop(key).is_some();
                memory.set(!modifier);
                let kind = if modifier { spa::SPA_DATA_DmaBuf } else { spa::SPA_DATA_MemFd };
                let wanted = buffers(&on_format.borrow(), kind);
                let mut params: Vec<&Pod> = wanted.iter().map(|p| Pod::from_bytes(p).expect("a pod")).collect();
                stream.update_params(&mut params).expect("buffers");
            }
        })
        .add_buffer(move |_, (), raw| {
            let plan = on_add.borrow();
            let len = plan.file.unwrap_or(plan.map_offset as usize + plan.bytes()) as u64;
            let file =
                rustix::fs::memfd_create("producer", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a file");
            rustix::fs::ftruncate(&file, len).expect("grows");
            rustix::fs::fcntl_add_seals(&file, plan.seals).expect("is sealed");
            let fd = i64::from(file.as_raw_fd());
            let max_size = plan.max_size.unwrap_or(plan.bytes() as u32);
            let kind = if in_memory.get() && plan.memory_too { spa::SPA_DATA_MemFd } else { plan.kind };
            Buffer::new(raw).describe(kind, fd, plan.map_offset, max_size);
            added.borrow_mut().insert(fd, file.into());
        })
        .remove_buffer(move |_, (), raw| drop(removed.borrow_mut().remove(&Buffer::new(raw).fd())))
        .register()
        .expect("a listener");
    let flags = StreamFlags::DRIVER | StreamFlags::ALLOC_BUFFERS;
    let offered = plan.borrow().formats();
    offer(&offered, |params| stream.connect(Direction::Output, None, flags, params).expect("connects"));
    let (quit, mine) = (main.clone(), stream.clone());
    let _orders = orders.attach(main.loop_(), move |order| match order {
        Order::End => quit.quit(),
        Order::Resize(size) => {
            plan.borrow_mut().size = size;
            let offered = plan.borrow().formats();
            offer(&offered, |params| mine.update_params(params).expect("another size"));
        }
        Order::Shrink(len) => {
            let cut = files.borrow().values().all(|f| rustix::fs::ftruncate(f, len).is_ok());
            shown.send(cut).expect("the test waits");
        }
        Order::Show(what) => {
            let done = Buffer::take(&mine).map(|buffer| {
                number.set(number.get() + 1);
                fill(buffer, &what, &plan.borrow(), &files.borrow(), number.get());
                buffer.send(&mine);
            });
            shown.send(done.is_some()).expect("the test waits");
        }
    });
    main.run();
}

fn fill(buffer: Buffer, what: &Shown, plan: &Plan, files: &HashMap<i64, std::fs::File>, number: u64) {
    let (w, h) = (usize::from(plan.size.w), usize::from(plan.size.h));
    let mut px = vec![what.colour; w * h];
    if let Some(([x, y, pw, ph], colour)) = what.patch {
        for row in px.chunks_mut(w).skip(y).take(ph) {
            row[x..x + pw].fill(colour);
        }
    }
    let stride = what.stride.and_then(|s| usize::try_from(s).ok()).filter(|s| *s >= w * 4).unwrap_or(w * 4);
    if let Some(file) = files.get(&buffer.fd()) {
        for (y, row) in px.chunks(w).enumerate() {
            let bytes: Vec<u8> = row.iter().flat_map(|p| p.to_le_bytes()).collect();
            let at = plan.map_offset as u64 + u64::from(what.offset) + (y * stride) as u64;
            // a source that lies has no room for all of it
            let _ = file.write_all_at(&bytes, at);
        }
    }
    for kind in [
        spa::SPA_META_Header,
        spa::SPA_META_VideoDamage,
        spa::SPA_META_Cursor,
        spa::SPA_META_VideoCrop,
        spa::SPA_META_VideoTransform,
    ] {
        let words = what.meta.iter().find(|(k, _)| *k == kind).map(|(_, w)| w.clone()).unwrap_or_default();
        let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        if kind == spa::SPA_META_Header {
            bytes.resize(24, 0);
            bytes.extend(if what.unnumbered { 0 } else { number }.to_ne_bytes());
        }
        buffer.meta(kind, &bytes);
    }
    let size = what.size.unwrap_or((stride * h) as u32);
    buffer.chunk(what.offset, size, what.stride.unwrap_or((w * 4) as i32), what.flags);
}
