//! A card that does what real ones were seen to do.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use super::card::{Card, Connector, Crtc, Framebuffer, Plane, PlaneKind, PlaneState, Vblank};
use super::{Feed, KmsSource, Look, Picture, Watch, Wish, screens};
use crate::capture::{Doorbell, Source, SourceEvent};
use crate::frame::Memory;
use crate::geometry::{Point, Rect, Size};

const XRGB: u32 = u32::from_le_bytes(*b"XR24");
const WIDTH: u32 = 64;
const HEIGHT: u32 = 32;

/// A framebuffer, and the memory that each of its planes of pixels lies in.
type Shown = (Framebuffer, [u32; 4]);

#[derive(Default)]
struct State {
    planes: BTreeMap<u32, PlaneState>,
    framebuffers: BTreeMap<u32, Shown>,
    memory: BTreeMap<u32, OwnedFd>,
    /// Handles that are open, and the memory of each.
    handles: BTreeMap<u32, u32>,
    next: u32,
    asleep: bool,
    right: bool,
    /// Requests that were made.
    asked: BTreeMap<&'static str, u32>,
    wrong: Vec<String>,
}

/// One CRTC with a primary plane (1), two overlays (2, 3) and a pointer (4).
struct Fake(Mutex<State>);

impl Fake {
    fn new() -> Self {
        Self(Mutex::new(State { right: true, next: 1, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics here")
    }

    fn count(&self, what: &'static str) -> MutexGuard<'_, State> {
        let mut state = self.state();
        *state.asked.entry(what).or_default() += 1;
        state
    }

    /// Puts a framebuffer of this number over memory of that one.
    fn add(&self, number: u32, memory: u32) {
        let mut state = self.state();
        state.memory.entry(memory).or_insert_with(|| {
            let fd = memfd_create("buffer", MemfdFlags::ALLOW_SEALING).expect("memory");
            ftruncate(&fd, u64::from(WIDTH * HEIGHT * 4)).expect("room");
            fcntl_add_seals(&fd, SealFlags::SHRINK).expect("a seal");
            fd
        });
        let framebuffer = Framebuffer {
            size: [WIDTH, HEIGHT],
            fourcc: XRGB,
            modifier: Some(0),
            pitches: [WIDTH * 4, 0, 0, 0],
            ..Framebuffer::default()
        };
        state.framebuffers.insert(number, (framebuffer, [memory, 0, 0, 0]));
    }

    fn show(&self, plane: u32, number: u32) {
        let whole = PlaneState {
            framebuffer: number,
            crtc: 10,
            source: [0, 0, WIDTH << 16, HEIGHT << 16],
            size: [WIDTH, HEIGHT],
            alpha: u16::MAX,
            ..PlaneState::default()
        };
        self.state().planes.insert(plane, whole);
    }

    fn assert_clean(&self) {
        let state = self.state();
        assert!(state.handles.is_empty(), "open handles: {:?}", state.handles);
        assert_eq!(state.wrong, Vec::<String>::new());
    }
}

impl Card for Fake {
    fn name(&self) -> &str {
        "card7"
    }

    fn driver(&self) -> &str {
        "fake"
    }

    fn crtcs(&self) -> io::Result<Vec<u32>> {
        Ok(vec![10])
    }

    fn connectors(&self) -> io::Result<Vec<Connector>> {
        let wired = |name: &str, crtc| Connector { name: name.into(), connected: None, crtc };
        Ok(vec![wired("DP-1", None), wired("DP-2", Some(10)), wired("DP-3", Some(10))])
    }

    fn planes(&self) -> io::Result<Vec<Plane>> {
        let plane = |id, kind| Plane { id, crtcs: 1, kind };
        let overlay = PlaneKind::Overlay;
        let other = Plane { id: 5, crtcs: 2, kind: PlaneKind::Primary };
        Ok(vec![plane(1, PlaneKind::Primary), plane(2, overlay), plane(3, overlay), plane(4, PlaneKind::Cursor), other])
    }

    fn crtc(&self, _: u32) -> io::Result<Crtc> {
        Ok(Crtc { mode: Some((WIDTH as u16, HEIGHT as u16, 60_000)), active: !self.state().asleep })
    }

    fn plane(&self, id: u32) -> io::Result<PlaneState> {
        assert_ne!(id, 5, "a plane of another CRTC");
        Ok(self.count("plane").planes.get(&id).copied().unwrap_or_default())
    }

    fn framebuffer(&self, id: u32) -> io::Result<Framebuffer> {
        let mut state = self.count("framebuffer");
        let (mut framebuffer, memory) = *state.framebuffers.get(&id).ok_or(io::ErrorKind::NotFound)?;
        let mut made = BTreeMap::new();
        for (handle, memory) in framebuffer.handles.iter_mut().zip(memory) {
            if memory != 0 && state.right {
                // planes in the same memory share the new handle
                *handle = *made.entry(memory).or_insert(state.next);
                state.handles.insert(*handle, memory);
                state.next = state.next.max(*handle + 1);
            }
        }
        Ok(framebuffer)
    }

    fn export(&self, handle: u32) -> io::Result<OwnedFd> {
        let state = self.count("export");
        let memory = state.handles.get(&handle).ok_or(io::ErrorKind::NotFound)?;
        state.memory[memory].try_clone()
    }

    fn close(&self, handle: u32) -> io::Result<()> {
        let mut state = self.state();
        if state.handles.remove(&handle).is_none() {
            state.wrong.push(format!("handle {handle} was closed twice"));
        }
        Ok(())
    }

    fn damage(&self, blob: u32) -> io::Result<Vec<[i32; 4]>> {
        match blob {
            7 => Ok(vec![[8, 4, 16, 12], [60, 30, 400, 300], [-5, -5, 0, 0]]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn ask_vblank(&self, _: u32) -> io::Result<()> {
        Ok(())
    }

    fn vblanks(&self) -> io::Result<Vec<Vblank>> {
        Ok(Vec::new())
    }
}

fn watch(card: &Fake) -> Watch {
    Watch::new(card, 0).expect("a CRTC")
}

#[test]
fn screens_are_called_after_the_connector_that_is_wired() {
    let card = Fake::new();
    card.add(1, 1);
    card.show(1, 1);
    let found = screens(&card).expect("screens");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name().as_str(), found[0].size), ("card7-DP-2", Size::new(64, 32)));
    assert_eq!(found[0].shown, Some((1, Point::default())));
}

#[test]
fn handles_are_closed_and_known_buffers_are_not_asked_after_again() {
    let card = Fake::new();
    card.add(1, 1);
    card.add(2, 2);
    card.show(1, 1);
    let mut watch = watch(&card);
    let first = watch.look(&card, true).expect("a look");
    assert_eq!(first.fresh.len(), 1);
    assert!(first.picture.is_some());
    for _ in 0..50 {
        assert!(watch.look(&card, false).expect("a look").is_empty());
    }
    assert_eq!(card.state().asked["framebuffer"], 1, "a number that stays is the same buffer");
    for flip in 0..1000 {
        card.show(1, 1 + flip % 2);
        let look = watch.look(&card, false).expect("a look");
        assert_eq!(look.fresh.len(), usize::from(flip == 1), "flip {flip}");
        assert_eq!(look.picture.is_some(), flip > 0, "flip {flip}");
    }
    card.assert_clean();
}

#[test]
fn a_number_that_came_again_is_found_to_be_another_buffer() {
    let card = Fake::new();
    card.add(1, 1);
    card.show(1, 1);
    let mut watch = watch(&card);
    let before = watch.look(&card, true).expect("a look").picture.expect("a picture");
    card.add(1, 2);
    let after = watch.look(&card, true).expect("a look");
    assert_eq!(after.fresh.len(), 1);
    assert_ne!(after.picture.expect("a picture").layers[0].buffer, before.layers[0].buffer);
    // where no vertical blank went by without a look, it is found after a second
    card.add(1, 3);
    let late = (0..70).find_map(|_| watch.look(&card, false).expect("a look").picture);
    assert_ne!(late.expect("a picture").layers[0].buffer, before.layers[0].buffer);
    card.assert_clean();
}

#[test]
fn buffers_that_are_new_each_time_push_old_ones_out() {
    let card = Fake::new();
    let mut watch = watch(&card);
    let mut known = std::collections::BTreeSet::new();
    for number in 1..100 {
        card.add(number, number);
        card.show(1, number);
        let Look { fresh, forgotten, .. } = watch.look(&card, false).expect("a look");
        known.extend(fresh.iter().map(|(id, _)| *id));
        forgotten.iter().for_each(|id| assert!(known.remove(id), "{id}"));
        assert!(known.len() <= 12, "{known:?}");
    }
    card.assert_clean();
}

#[test]
fn without_the_right_it_says_which() {
    let card = Fake::new();
    card.add(1, 1);
    card.show(1, 1);
    card.state().right = false;
    let error = watch(&card).look(&card, true).expect_err("no right");
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("CAP_SYS_ADMIN"), "{error}");
    card.assert_clean();
}

#[test]
fn planes_of_one_memory_are_one_buffer_and_others_are_refused() {
    let card = Fake::new();
    card.add(1, 1);
    card.show(1, 1);
    let set = |memory: [u32; 4]| {
        let mut state = card.state();
        let (framebuffer, planes) = state.framebuffers.get_mut(&1).expect("is there");
        (framebuffer.pitches, *planes) = ([256, 64, 0, 0], memory);
    };
    set([1, 1, 0, 0]);
    let look = watch(&card).look(&card, true).expect("a look");
    assert_eq!(look.fresh[0].1.planes, [[0, 256], [0, 64]]);
    card.assert_clean();
    card.add(2, 2);
    set([1, 2, 0, 0]);
    let error = watch(&card).look(&card, true).expect_err("two memories");
    assert!(error.to_string().contains("apart"), "{error}");
    card.assert_clean();
}

#[test]
fn a_framebuffer_that_goes_between_two_questions_is_no_loss() {
    let card = Fake::new();
    card.show(1, 9);
    let mut watch = watch(&card);
    assert_eq!(watch.look(&card, true).expect_err("gone").kind(), io::ErrorKind::NotFound);
    card.add(9, 1);
    assert!(watch.look(&card, true).expect("a look").picture.is_some());
}

#[test]
fn overlays_come_in_the_order_of_their_stack() {
    let card = Fake::new();
    for (number, plane, zpos) in [(1, 1, 0), (2, 2, 5), (3, 3, 2)] {
        card.add(number, number);
        card.show(plane, number);
        card.state().planes.get_mut(&plane).expect("is shown").zpos = Some(zpos);
    }
    let mut watch = watch(&card);
    let look = watch.look(&card, true).expect("a look");
    let buffer = |memory: usize| look.fresh[memory - 1].0;
    let order: Vec<u32> = look.picture.expect("a picture").layers.iter().map(|layer| layer.buffer).collect();
    assert_eq!(order, [buffer(1), buffer(3), buffer(2)]);
    // a plane that goes is another picture
    card.state().planes.remove(&2);
    assert_eq!(watch.look(&card, false).expect("a look").picture.expect("another").layers.len(), 2);
}

#[test]
fn what_a_desktop_says_of_changes_is_cut_to_what_is_shown() {
    let card = Fake::new();
    card.add(1, 1);
    card.add(2, 2);
    card.show(1, 1);
    let mut watch = watch(&card);
    watch.look(&card, true).expect("a look");
    card.show(1, 2);
    card.state().planes.get_mut(&1).expect("is shown").damage = 7;
    let damage = watch.look(&card, false).expect("a look").picture.expect("a picture").damage.expect("is told");
    let seen: Vec<Rect> = damage.into_iter().filter(|rect| !rect.is_empty()).collect();
    assert_eq!(seen, [Rect::new(8, 4, 8, 8), Rect::new(60, 30, 4, 2)]);
    // of two flips only the second one's is known
    card.show(1, 1);
    card.state().planes.get_mut(&1).expect("is shown").damage = 7;
    assert_eq!(watch.look(&card, true).expect("a look").picture.expect("a picture").damage, None);
}

#[test]
fn a_pointer_that_moves_is_no_picture() {
    let card = Fake::new();
    card.add(1, 1);
    card.add(2, 2);
    card.show(1, 1);
    card.show(4, 2);
    let mut watch = watch(&card);
    let first = watch.look(&card, true).expect("a look").pointer.expect("is told").expect("is shown");
    card.state().planes.get_mut(&4).expect("is shown").at = [-3, 7];
    let look = watch.look(&card, false).expect("a look");
    assert!(look.picture.is_none());
    let moved = look.pointer.expect("is told").expect("is shown");
    assert_eq!((moved.layer.to.x, moved.layer.to.y, moved.serial), (-3, 7, first.serial));
    card.state().planes.remove(&4);
    assert_eq!(watch.look(&card, false).expect("a look").pointer, Some(None));
    card.state().asleep = true;
    let dark = watch.look(&card, false).expect("a look").picture.expect("another");
    assert_eq!((dark.size, dark.layers), (Size::new(64, 32), Vec::new()));
}

/// A source, and what it has asked for.
fn source(driver: &str) -> (Arc<Feed>, KmsSource, Arc<Mutex<Vec<Wish>>>) {
    let wishes = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&wishes);
    let ask = Box::new(move |wish| noted.lock().expect("no test panics here").push(wish));
    let feed = Feed::new(driver, Size::new(64, 32), ask);
    let mut source = KmsSource::new(Arc::clone(&feed), "card7-DP-2", Point::default(), 60_000);
    source.start(Doorbell::new()).expect("starts");
    (feed, source, wishes)
}

fn lost(source: &mut KmsSource) -> String {
    match source.take(Instant::now()) {
        Some(SourceEvent::Lost(error)) => error.to_string(),
        other => panic!("{other:?} in place of a loss"),
    }
}

/// A first picture with its buffers, its framebuffer changed by `change`.
fn shown(feed: &Feed, change: impl FnOnce(&mut Framebuffer)) {
    let card = Fake::new();
    card.add(1, 1);
    card.show(1, 1);
    change(&mut card.state().framebuffers.get_mut(&1).expect("is there").0);
    let look = watch(&card).look(&card, true).expect("a look");
    look.fresh.into_iter().for_each(|(id, buffer)| feed.buffer(id, buffer));
    feed.show(look.picture.expect("a picture"));
}

#[test]
fn a_picture_is_taken_once_and_the_next_one_asked_for() {
    let (feed, mut source, wishes) = source("vkms");
    assert!(source.take(Instant::now()).is_none());
    shown(&feed, |_| ());
    let Some(SourceEvent::Frame(frame)) = source.take(Instant::now()) else { panic!("no frame") };
    assert!(matches!(frame.memory, Memory::DmaBuf(_)));
    assert_eq!(frame.pieces.len(), 1);
    assert!(source.take(Instant::now()).is_none());
    source.stop();
    assert_eq!(*wishes.lock().expect("no test panics here"), [Wish::Watch, Wish::Next, Wish::Leave]);
    assert!(source.take(Instant::now()).is_none(), "stopped");
}

#[test]
fn forms_that_nobody_names_are_rows_only_where_the_driver_has_no_others() {
    let (feed, mut virtual_card, _) = source("virtio_gpu");
    shown(&feed, |framebuffer| framebuffer.modifier = None);
    assert!(matches!(virtual_card.take(Instant::now()), Some(SourceEvent::Frame(_))));
    let (feed, mut hardware, _) = source("amdgpu");
    shown(&feed, |framebuffer| framebuffer.modifier = None);
    let said = lost(&mut hardware);
    assert!(said.starts_with("screen card7-DP-2: driver amdgpu does not say in which form"), "{said}");
}

#[test]
fn pictures_that_nobody_can_read_are_refused_with_what_to_do() {
    let (feed, mut tiled, _) = source("i915");
    shown(&feed, |framebuffer| framebuffer.modifier = Some(1 << 56 | 2));
    assert!(matches!(tiled.take(Instant::now()), Some(SourceEvent::Frame(_))), "for a GPU");
    tiled.unreadable();
    assert!(lost(&mut tiled).contains("which only a GPU reads; use --gpu auto"));
    let (feed, mut few, _) = source("vkms");
    shown(&feed, |framebuffer| framebuffer.fourcc = u32::from_le_bytes(*b"RG16"));
    assert!(lost(&mut few).contains("RG16"));
    let (feed, mut unknown, _) = source("vkms");
    feed.show(Picture {
        size: Size::new(64, 32),
        layers: vec![super::Layer {
            buffer: 77,
            source: Rect::new(0, 0, 64, 32),
            to: super::Area { x: 0, y: 0, w: 64, h: 32 },
            alpha: u16::MAX,
            blend: super::Blend::None,
        }],
        damage: None,
    });
    assert!(lost(&mut unknown).contains("nobody knows"));
}

#[test]
fn a_feed_that_is_lost_says_why_once_and_comes_back() {
    let (feed, mut source, _) = source("vkms");
    feed.lose("the helper went".into());
    assert_eq!(lost(&mut source), "the helper went");
    assert!(source.take(Instant::now()).is_none(), "said once");
    source.stop();
    assert!(source.start(Doorbell::new()).is_err());
    feed.back();
    source.start(Doorbell::new()).expect("starts again");
    shown(&feed, |_| ());
    assert!(matches!(source.take(Instant::now()), Some(SourceEvent::Frame(_))));
}
