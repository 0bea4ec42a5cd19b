//! A scripted desktop and the sessions on it, in one process.

use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use farpane_engine::capture::synthetic::{self, SyntheticSource};
use farpane_engine::damage::{CpuDamage, DamageEngine};
use farpane_engine::geometry::Size;
use farpane_engine::pipeline::Lanes;
use farpane_engine::pixel::Layout as Pixels;
use farpane_rfb::handshake::SecurityType;
use farpane_server::backend::mixed::{MixedBackend, Part};
use farpane_server::backend::{Arrange, Backend, BackendEvent, Events, Layout, LayoutOutput, OutputId, ResizeAnswer};
use farpane_server::clipboard::Clipboard;
use farpane_server::input::record::Recorded;
use farpane_server::input::{InputSink, KeyInput, PointerInput};
use farpane_server::net::{ConnInfo, Transport};
use farpane_server::policy::Permission;
use farpane_server::session::{self, Access, Authenticator, Denied, EndKind, Hub, Settings};
use farpane_test_support::{Client, ClientError, PATIENCE, Raw, Security};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Picture 0 of a scene as bytes R, G, B.
pub fn picture_of(scene: &str) -> Vec<u8> {
    let spec = synthetic::parse(scene).expect("a good scene");
    synthetic::picture(&spec, 0).iter().flat_map(|p| Pixels::BGRX.rgb(*p)).collect()
}

/// One output that fills a canvas.
pub fn layout(size: Size) -> Layout {
    Layout { size, outputs: vec![LayoutOutput { id: OutputId(0), name: "test".into(), rect: size.rect() }] }
}

/// What the desktop does about one wish for another layout.
#[derive(Clone, Copy, Debug)]
pub enum Script {
    /// Answers, and nothing happens.
    Answer(ResizeAnswer),
    /// Shows this scene, then answers.
    Before(&'static str),
    /// Answers, and shows this scene a moment later.
    After(&'static str),
}

/// Keeps every input event.
#[derive(Default)]
pub struct Input(Mutex<Vec<Recorded>>);

impl Input {
    /// Everything so far.
    pub fn all(&self) -> Vec<Recorded> {
        lock(&self.0).clone()
    }

    /// How many.
    pub fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

impl InputSink for Input {
    fn key(&self, key: KeyInput) {
        lock(&self.0).push(Recorded::Key(key));
    }

    fn pointer(&self, pointer: PointerInput) {
        lock(&self.0).push(Recorded::Pointer(pointer));
    }
}

#[derive(Default)]
struct Board(Mutex<Vec<Arc<str>>>);

impl Clipboard for Board {
    fn offer(&self, text: Arc<str>) {
        lock(&self.0).push(text);
    }
}

/// Lets what waits for it go on when it is dropped.
pub struct Held(Arc<(Mutex<bool>, Condvar)>);

impl Drop for Held {
    fn drop(&mut self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }
}

impl Held {
    fn new() -> (Self, impl Fn() + Send + 'static) {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let waits = Arc::clone(&pair);
        let wait = move || {
            let mut open = lock(&waits.0);
            while !*open {
                open = waits.1.wait(open).unwrap_or_else(PoisonError::into_inner);
            }
        };
        (Self(pair), wait)
    }
}

/// The scripted desktop.
pub struct Fake {
    events: Events,
    /// What clients typed and pointed at.
    pub input: Arc<Input>,
    board: Arc<Board>,
    scripts: Mutex<VecDeque<Script>>,
    wishes: Mutex<Vec<Layout>>,
    hold: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl Fake {
    fn new(events: Events) -> Arc<Self> {
        Arc::new(Self {
            events,
            input: Arc::default(),
            board: Arc::default(),
            scripts: Mutex::default(),
            wishes: Mutex::default(),
            hold: Mutex::default(),
        })
    }

    /// Something happens on this desktop.
    pub fn tell(&self, event: BackendEvent) {
        assert!(self.events.send(event).is_ok(), "somebody listens");
    }

    /// What to do about the next wishes; beyond them none is granted.
    pub fn script(&self, scripts: impl IntoIterator<Item = Script>) {
        lock(&self.scripts).extend(scripts);
    }

    /// Wishes wait, and are then all refused for want of resources.
    pub fn script_held(&self) -> Held {
        let (held, wait) = Held::new();
        *lock(&self.hold) = Some(Box::new(wait));
        held
    }

    /// The wishes that reached it.
    pub fn wishes(&self) -> Vec<Layout> {
        lock(&self.wishes).clone()
    }

    /// Texts that clients copied.
    pub fn offers(&self) -> Vec<Arc<str>> {
        lock(&self.board.0).clone()
    }

    /// Waits until clients copied so many texts; `client` goes on meanwhile.
    pub fn wait_for_offers(&self, client: &mut Client, count: usize) {
        let end = Instant::now() + PATIENCE;
        while self.offers().len() < count {
            assert!(Instant::now() < end, "only {:?}", self.offers());
            client.pump(Instant::now() + Duration::from_millis(10)).expect("a connection");
        }
    }

    /// It shows another scene from now on.
    pub fn show(&self, scene: &str) {
        let spec = synthetic::parse(scene).expect("a good scene");
        let source = Box::new(SyntheticSource::new(spec, Instant::now()));
        let _ = self.events.send(BackendEvent::OutputAdded(OutputId(0), source));
        let _ = self.events.send(BackendEvent::LayoutChanged(layout(spec.size)));
    }
}

impl Backend for Fake {
    fn name(&self) -> String {
        "scripted".into()
    }

    fn input(&self) -> Option<Arc<dyn InputSink>> {
        Some(Arc::clone(&self.input) as Arc<dyn InputSink>)
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        Some(Arc::clone(&self.board) as Arc<dyn Clipboard>)
    }

    fn resize(&self, layout: &Layout) -> ResizeAnswer {
        lock(&self.wishes).push(layout.clone());
        if let Some(wait) = &*lock(&self.hold) {
            wait();
            return ResizeAnswer::OutOfResources;
        }
        let script = lock(&self.scripts).pop_front();
        match script {
            None => ResizeAnswer::Prohibited,
            Some(Script::Answer(answer)) => answer,
            Some(Script::Before(scene)) => {
                self.show(scene);
                // long enough for the layout to overtake the answer
                std::thread::sleep(Duration::from_millis(100));
                ResizeAnswer::Done
            }
            Some(Script::After(scene)) => {
                let spec = synthetic::parse(scene).expect("a good scene");
                let events = self.events.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(100));
                    let source = Box::new(SyntheticSource::new(spec, Instant::now()));
                    let _ = events.send(BackendEvent::OutputAdded(OutputId(0), source));
                    let _ = events.send(BackendEvent::LayoutChanged(self::layout(spec.size)));
                });
                ResizeAnswer::Done
            }
        }
    }

    fn watch(&self, _watched: bool) {}
}

/// Lets everybody in; a peer called `looks on` may only look, and one called `alice may view pointer` is that user and may do
/// that.
struct Door;

impl Authenticator for Door {
    fn offer(&self, _: &ConnInfo) -> Result<Vec<SecurityType>, Denied> {
        Ok(vec![SecurityType::NONE])
    }

    fn challenge(&self) -> Result<[u8; 16], Denied> {
        Ok([0; 16])
    }

    fn vnc_auth(&self, _: &ConnInfo, _: &[u8; 16], _: &[u8; 16]) -> Result<Access, Denied> {
        Err(Denied::now(EndKind::WrongProof, "no passwords here"))
    }

    fn none(&self, info: &ConnInfo) -> Access {
        let Some((user, list)) = info.peer.split_once(" may") else {
            return Access::anonymous(info.peer == "looks on");
        };
        let named = |p: &Permission| list.split(' ').any(|word| word == p.name());
        let permissions = Permission::all().filter(named).collect();
        Access { user: user.into(), permissions, ..Access::default() }
    }
}

/// A desktop, its hub and the runtime of its sessions. Dropping it ends them.
pub struct Desk {
    /// The scripted desktop; the first of several.
    pub backend: Arc<Fake>,
    /// The others.
    pub beside: Vec<Arc<Fake>>,
    /// What sessions share.
    pub hub: Arc<Hub>,
    lanes: Arc<Lanes>,
    settings: Arc<Settings>,
    events: Events,
    runtime: tokio::runtime::Runtime,
}

impl Desk {
    /// A desktop that shows a scene.
    pub fn open(scene: &str) -> Self {
        Self::with(scene, Settings::default())
    }

    /// The same with these settings.
    pub fn with(scene: &str, settings: Settings) -> Self {
        let (events, received) = unbounded_channel();
        let backend = Fake::new(events.clone());
        let desk = Self::over(Arc::clone(&backend) as Arc<dyn Backend>, vec![backend], events, received, settings);
        desk.show(scene);
        desk.wait_for("the first layout", || desk.hub.is_ready());
        desk
    }

    /// Several desktops side by side that each show a scene, as one.
    pub fn side_by_side(scenes: &[&str], settings: Settings) -> Self {
        let (events, received) = unbounded_channel();
        let mut fakes = Vec::new();
        let part = |n: usize| {
            let (tell, told) = unbounded_channel();
            fakes.push(Fake::new(tell));
            Part { name: format!("part-{n}"), backend: Arc::clone(&fakes[n]) as Arc<dyn Backend>, told }
        };
        let parts = (0..scenes.len()).map(part).collect();
        let mixed = MixedBackend::join(parts, Arrange::Right, events.clone()).expect("threads");
        let desk = Self::over(Arc::new(mixed), fakes, events, received, settings);
        for (fake, scene) in std::iter::once(&desk.backend).chain(&desk.beside).zip(scenes) {
            fake.show(scene);
        }
        desk.wait_for("the first layout", || desk.hub.is_ready());
        desk
    }

    fn over(
        desktop: Arc<dyn Backend>,
        mut fakes: Vec<Arc<Fake>>,
        events: Events,
        received: UnboundedReceiver<BackendEvent>,
        settings: Settings,
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let lanes = Arc::new(Lanes::new(1, 0).expect("threads"));
        let hub = {
            let _inside = runtime.enter();
            let stage = Box::new(|| Box::new(CpuDamage::new()) as Box<dyn DamageEngine>);
            Hub::start(desktop, received, Arc::clone(&lanes), None, stage)
        };
        let backend = fakes.remove(0);
        Self { backend, beside: fakes, hub, lanes, settings: Arc::new(settings), events, runtime }
    }

    /// Something happens on the desktop.
    pub fn tell(&self, event: BackendEvent) {
        assert!(self.events.send(event).is_ok(), "the hub listens");
    }

    /// The desktop shows another scene from now on.
    pub fn show(&self, scene: &str) {
        self.backend.show(scene);
    }

    /// A connection before any byte.
    pub fn raw(&self, peer: &str) -> Raw {
        self.raw_to(peer, &self.settings)
    }

    /// A connection to a listener of these settings.
    pub fn raw_to(&self, peer: &str, settings: &Arc<Settings>) -> Raw {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        theirs.set_nonblocking(true).expect("a socket");
        let _inside = self.runtime.enter();
        let theirs = tokio::net::UnixStream::from_std(theirs).expect("a socket");
        let transport = Transport::new(theirs, ConnInfo::in_process(peer));
        let session = session::serve(transport, Arc::clone(&self.hub), Arc::clone(settings), Arc::new(Door));
        self.runtime.spawn(session);
        Raw::over(Box::new(ours), PATIENCE).expect("a connection")
    }

    /// A client past the handshake.
    pub fn connect(&self, peer: &str, shared: bool) -> Result<Client, ClientError> {
        Client::handshake(self.raw(peer), "RFB 003.008\n", Security::None, shared)
    }

    /// A client past the handshake that shares the desktop.
    pub fn client(&self, peer: &str) -> Client {
        self.connect(peer, true).expect("a client")
    }

    /// Keeps every thread that encodes large updates busy until the result is dropped.
    pub fn occupy_encoders(&self) -> Held {
        let (held, wait) = Held::new();
        self.lanes.bulk().spawn(wait);
        held
    }

    /// Waits for a state.
    pub fn wait_for(&self, what: &str, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < end, "not in time: {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
