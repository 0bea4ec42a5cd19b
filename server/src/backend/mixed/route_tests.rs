use std::collections::BTreeMap;

use super::*;
use proptest::prelude::*;

/// What a part has down, as its sink would.
#[derive(Clone, Debug, Default, PartialEq)]
struct Part {
    keys: BTreeMap<(Option<u32>, u32), u32>,
    buttons: u16,
    at: (u16, u16),
}

/// A key's name: the scan code where there is one.
fn name(key: &KeyInput) -> (Option<u32>, u32) {
    (key.scancode, if key.scancode.is_some() { 0 } else { key.keysym })
}

impl Part {
    fn take(&mut self, routed: Routed) {
        match routed {
            Routed::Key(key) if key.down => {
                self.keys.insert(name(&key), key.keysym);
            }
            Routed::Key(key) => {
                self.keys.remove(&name(&key));
            }
            Routed::Pointer(p) => (self.buttons, self.at) = (p.buttons, (p.x, p.y)),
        }
    }
}

/// A router over parts that keep what they get.
struct World {
    router: Router,
    parts: Vec<Part>,
    log: Vec<(usize, Routed)>,
}

impl World {
    fn new(places: &[Rect]) -> Self {
        let mut router = Router::default();
        router.set_places(places.to_vec());
        Self { router, parts: vec![Part::default(); 4], log: Vec::new() }
    }

    fn point(&mut self, x: u16, y: u16, buttons: u16) {
        let (parts, log) = (&mut self.parts, &mut self.log);
        self.router.pointer(PointerInput { x, y, buttons }, &mut |part, routed| {
            parts[part].take(routed);
            log.push((part, routed));
        });
    }

    fn key(&mut self, down: bool, keysym: u32, scancode: Option<u32>) {
        let (parts, log) = (&mut self.parts, &mut self.log);
        self.router.key(KeyInput { down, keysym, scancode }, &mut |part, routed| {
            parts[part].take(routed);
            log.push((part, routed));
        });
    }

    fn said(&mut self) -> Vec<(usize, Routed)> {
        std::mem::take(&mut self.log)
    }
}

fn point(x: u16, y: u16, buttons: u16) -> Routed {
    Routed::Pointer(PointerInput { x, y, buttons })
}

fn key(down: bool, keysym: u32) -> Routed {
    Routed::Key(KeyInput { down, keysym, scancode: None })
}

const PLACES: [Rect; 3] =
    [Rect { x: 0, y: 0, w: 100, h: 100 }, Rect { x: 100, y: 0, w: 50, h: 40 }, Rect { x: 150, y: 0, w: 50, h: 100 }];

#[test]
fn the_part_under_the_pointer_gets_it_by_its_own_coordinates() {
    let mut world = World::new(&PLACES);
    for (x, y) in [(99, 99), (100, 0), (199, 99)] {
        world.point(x, y, 0);
    }
    assert_eq!(world.said(), [(0, point(99, 99, 0)), (1, point(0, 0, 0)), (2, point(49, 99, 0))]);
    // where there is nothing the nearest takes it, at its edge
    world.point(121, 60, 0);
    world.point(102, 99, 0);
    world.point(500, 500, 0);
    assert_eq!(world.said(), [(1, point(21, 39, 0)), (0, point(99, 99, 0)), (2, point(49, 99, 0))]);
}

#[test]
fn a_held_button_keeps_the_pointer_on_its_part() {
    let mut world = World::new(&PLACES);
    world.point(90, 50, 1);
    world.point(170, 50, 1);
    world.point(170, 50, 5);
    world.point(170, 50, 4);
    assert!(world.said().iter().all(|(part, _)| *part == 0));
    assert_eq!(world.parts[0], Part { buttons: 4, at: (99, 50), ..Part::default() });
    world.point(170, 60, 0);
    assert_eq!(world.said(), [(0, point(99, 60, 0)), (2, point(20, 60, 0))], "let go there, and then it is here");
    world.point(10, 10, 8);
    world.point(10, 10, 0);
    assert_eq!(world.said(), [(0, point(10, 10, 8)), (0, point(10, 10, 0))]);
}

#[test]
fn held_keys_are_released_when_the_pointer_goes_and_pressed_anew_by_their_repeats() {
    let mut world = World::new(&PLACES);
    world.point(10, 10, 0);
    world.key(true, 0xffe1, None);
    world.key(true, 0x41, None);
    world.said();
    world.point(110, 10, 0);
    assert_eq!(world.said(), [(0, key(false, 0xffe1)), (0, key(false, 0x41)), (1, point(10, 10, 0))]);
    world.key(true, 0x41, None);
    world.key(false, 0x41, None);
    world.key(false, 0xffe1, None);
    assert_eq!(world.said(), [(1, key(true, 0x41)), (1, key(false, 0x41))], "Shift was let go already");
    world.key(false, 0xffe1, None);
    assert_eq!(world.said(), [(1, key(false, 0xffe1))], "what was never pressed is for the part to judge");
}

#[test]
fn parts_that_move_under_a_held_button_keep_it() {
    let mut world = World::new(&PLACES);
    world.point(90, 50, 1);
    world.router.set_places(vec![Rect::default(), Rect::new(0, 0, 200, 200)]);
    world.point(95, 50, 1);
    assert_eq!(world.said(), [(0, point(90, 50, 1)), (0, point(90, 50, 1))], "its part is not to be seen any more");
    world.point(95, 50, 0);
    assert_eq!(world.said(), [(0, point(90, 50, 0)), (1, point(95, 50, 0))]);
    world.router.set_places(Vec::new());
    world.point(1, 1, 1);
    assert_eq!(world.said(), [], "nothing is there");
}

#[test]
fn of_too_many_keys_the_first_is_let_go() {
    let mut world = World::new(&PLACES);
    for keysym in 0..=MOST_KEYS as u32 {
        world.key(true, 0x1000 + keysym, None);
    }
    assert_eq!(world.parts[0].keys.len(), MOST_KEYS);
    assert!(!world.parts[0].keys.contains_key(&(None, 0x1000)));
}

#[derive(Clone, Debug)]
enum Step {
    Point(u16, u16, u16),
    Key(bool, u32, bool),
    Places(Vec<(u16, u16, u16, u16)>),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u16..220, 0u16..120, prop_oneof![Just(0u16), Just(1), Just(4), Just(8)]).prop_map(|(x, y, b)| Step::Point(x, y, b)),
        4 => (any::<bool>(), 0x60u32..0x66, any::<bool>()).prop_map(|(down, sym, coded)| Step::Key(down, sym, coded)),
        1 => proptest::collection::vec((0u16..200, 0u16..100, 0u16..80, 0u16..80), 0..4).prop_map(Step::Places),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]
    #[test]
    fn no_release_is_ever_lost(steps in proptest::collection::vec(any_step(), 0..60)) {
        let mut world = World::new(&PLACES);
        let mut last = (0, 0);
        // by name, as the client has them down; a release under a scan code may bear another keysym
        let mut held = BTreeMap::new();
        for step in steps {
            match step {
                Step::Point(x, y, buttons) => {
                    last = (x, y);
                    world.point(x, y, buttons);
                }
                Step::Key(down, keysym, coded) => {
                    let scancode = coded.then_some(keysym & 7);
                    world.key(down, if down { keysym } else { keysym ^ (0x20 * u32::from(coded)) }, scancode);
                    let name = (scancode, if coded { 0 } else { keysym });
                    if down { held.insert(name, keysym); } else { held.remove(&name); }
                }
                Step::Places(places) => {
                    world.router.set_places(places.into_iter().map(|(x, y, w, h)| Rect::new(x, y, w, h)).collect());
                }
            }
            let focus = world.router.focus();
            for (n, part) in world.parts.iter().enumerate().filter(|(n, _)| *n != focus) {
                prop_assert!(part.keys.is_empty() && part.buttons == 0, "part {} without focus has {:?}", n, part);
            }
            prop_assert!(world.parts[focus].keys.keys().all(|name| held.contains_key(name)));
        }
        // what a session does when its client goes
        for ((scancode, _), keysym) in held {
            world.key(false, keysym, scancode);
        }
        world.point(last.0, last.1, 0);
        for part in &world.parts {
            prop_assert!(part.keys.is_empty() && part.buttons == 0, "{:?}", part);
        }
    }
}
