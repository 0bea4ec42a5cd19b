use std::io::Write;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use farpane_engine::frame::DmaBufs;
use farpane_test_support::openssl::Folder;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::clipboard::ClipboardOptions;
use crate::helper::InProcess;

const PATIENCE: Duration = Duration::from_secs(20);

/// A supervisor's socket, a backend behind it that shows a scene, and what it said.
struct World {
    listener: UnixListener,
    backend: OnDemandBackend,
    events: UnboundedReceiver<BackendEvent>,
    opened: Arc<AtomicUsize>,
    _folder: Folder,
}

fn world() -> World {
    let folder = Folder::new("on-demand");
    let door = folder.path().join("door");
    let listener = UnixListener::bind(&door).expect("a socket");
    let (send, events) = unbounded_channel();
    let opened = Arc::new(AtomicUsize::new(0));
    let (count, sink) = (Arc::clone(&opened), send.clone());
    let open = move || {
        count.fetch_add(1, Ordering::Relaxed);
        let scene = SourceSpec::Synthetic(Default::default());
        let SourceSpec::Synthetic(scene) = scene else { unreachable!() };
        Found::Synthetic(scene).open(Arc::new(InProcess), ClipboardOptions::default(), DmaBufs::None, sink.clone())
    };
    let backend = OnDemandBackend::start(door, Arc::new(InProcess), send, open).expect("a thread");
    World { listener, backend, events, opened, _folder: folder }
}

impl World {
    fn wake(&self) {
        self.backend.on_demand().expect("it is").wake();
    }

    fn is_up(&self) -> bool {
        self.backend.on_demand().expect("it is").is_up()
    }

    /// A knock, answered.
    fn answer(&self, words: &str) -> UnixStream {
        let (mut line, _) = self.listener.accept().expect("a knock");
        line.write_all(words.as_bytes()).expect("sent");
        line
    }

    fn has_knocked(&self) -> bool {
        self.listener.set_nonblocking(true).expect("set");
        let knocked = self.listener.accept().is_ok();
        self.listener.set_nonblocking(false).expect("set");
        knocked
    }

    /// What becomes of the desktop next.
    fn came(&mut self) -> Came {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.events.try_recv() {
                Ok(BackendEvent::OnDemand(came)) => return came,
                Ok(_) => {}
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
            assert!(Instant::now() < end, "nothing is told");
        }
    }
}

#[test]
fn nothing_is_asked_for_before_somebody_wants_it() {
    let world = world();
    world.backend.watch(true);
    assert!(world.backend.input().is_none() && world.backend.clipboard().is_none());
    assert_eq!(world.backend.resize(&Layout::default()), ResizeAnswer::Prohibited);
    assert!(!world.is_up() && !world.has_knocked());
    assert_eq!(world.opened.load(Ordering::Relaxed), 0);
}

#[test]
fn it_comes_ends_and_comes_again_and_only_when_asked_for() {
    let mut world = world();
    for round in 1..=3 {
        world.wake();
        world.wake();
        let line = world.answer("up\n");
        assert_eq!(world.came(), Came::Up);
        assert!(world.is_up());
        // who asks while it is there asks for nothing
        world.wake();
        drop(line);
        assert_eq!(world.came(), Came::Ended);
        assert!(!world.is_up() && !world.has_knocked());
        assert_eq!(world.opened.load(Ordering::Relaxed), round);
    }
}

#[test]
fn what_does_not_come_up_says_why_and_can_be_asked_for_again() {
    let mut world = world();
    for (words, why) in [
        ("not up: it ended with status 3\n", "it ended with status 3"),
        ("upwards\n", "it says what is not understood"),
        ("up", "its supervisor is gone"),
        ("", "its supervisor is gone"),
        (&"x".repeat(2 * MOST_SAID), "it says what is not understood"),
    ] {
        world.wake();
        drop(world.answer(words));
        assert_eq!(world.came(), Came::NotUp(why.into()), "{words:?}");
        assert!(!world.is_up());
    }
    assert_eq!(world.opened.load(Ordering::Relaxed), 0, "nothing was opened");
    world.wake();
    let _line = world.answer("up\n");
    assert_eq!(world.came(), Came::Up);
}

#[test]
fn a_server_that_ends_waits_neither_for_a_word_nor_for_an_end() {
    for words in ["", "up\n"] {
        let world = world();
        world.wake();
        let _line = world.answer(words);
        let began = Instant::now();
        drop(world.backend);
        assert!(began.elapsed() < PATIENCE);
    }
    drop(world().backend);
}

fn awaited() -> Awaited {
    let path = |name: &str| PathBuf::from("/r").join(name);
    Awaited { door: path("door"), display: path("x"), authority: path("a"), framebuffer: path("f") }
}

#[test]
#[cfg(all(feature = "x11", feature = "wayland"))]
fn what_may_be_opened_is_known_before_there_is_anything() {
    use crate::helper::DisplayAddress;
    let requests = |source: &str| {
        let found = Found::on_demand(&source.parse().expect("a source"), awaited()).expect("it can be");
        assert!(found.is_on_demand() && !found.requests().is_empty());
        found.requests()
    };
    let door = OpenRequest::Supervisor("/r/door".into());
    let x = OpenRequest::Display(DisplayAddress::Unix("/r/x".into()));
    let (authority, picture) = (OpenRequest::XAuthority("/r/a".into()), OpenRequest::Framebuffer("/r/f".into()));
    assert_eq!(requests("x11"), [x, authority, picture, door.clone()]);
    assert_eq!(requests("wlroots"), [OpenRequest::Wayland("/r/x".into()), door]);
}

#[test]
fn what_is_no_virtual_desktop_cannot_be_one_on_demand() {
    let refusal = |source: &str| {
        let error = Found::on_demand(&source.parse().expect("a source"), awaited()).expect_err("it cannot be");
        error.to_string()
    };
    assert_eq!(
        refusal("synthetic:64x64@30:desktop"),
        "source synthetic:64x64@30:desktop cannot be a desktop on demand (expected x11 or wlroots, alone)"
    );
    assert!(refusal("kms").starts_with("source kms cannot be"));
}
