//! The typist against a small German keyboard made by hand, and a keyboard that answers as an X server does.

use proptest::prelude::*;

use super::super::keymap::{Group, Key, KeyType, LOCK, SHIFT, char_of};
use super::*;

const MOD5: u8 = 128;
const SHIFT_L: u32 = 0xffe1;
const LEVEL3: u32 = 0xfe03;
const EURO: u32 = 0x20ac;

/// Types: 0 one level, 1 Shift, 2 a letter, 3 four levels, 4 a letter with four levels.
fn german() -> Keymap {
    let four = vec![(SHIFT, 1), (MOD5, 2), (SHIFT | MOD5, 3)];
    let mut letter4 = four.clone();
    letter4.extend([(LOCK, 1), (LOCK | MOD5, 2), (LOCK | SHIFT | MOD5, 3)]);
    let types = vec![
        KeyType::default(),
        KeyType { mask: SHIFT, levels: vec![(SHIFT, 1)] },
        KeyType { mask: SHIFT | LOCK, levels: vec![(SHIFT, 1), (LOCK, 1)] },
        KeyType { mask: SHIFT | MOD5, levels: four },
        KeyType { mask: SHIFT | LOCK | MOD5, levels: letter4 },
    ];
    let key = |key_type: usize, syms: &[u32], modifiers: u8| Key {
        groups: vec![Group { key_type, syms: syms.to_vec() }],
        clamps: false,
        modifiers,
    };
    let keys = vec![
        key(2, &[0x61, 0x41], 0),               // 8 a
        key(4, &[0x71, 0x51, 0x40, 0x7d9], 0),  // 9 q Q @
        key(4, &[0x65, 0x45, EURO, EURO], 0),   // 10 e E €
        key(3, &[0x37, 0x2f, 0x7b, 0x215b], 0), // 11 7 / {
        key(2, &[0xe4, 0xc4], 0),               // 12 ä
        key(0, &[SHIFT_L], SHIFT),              // 13
        key(0, &[LEVEL3], MOD5),                // 14
        key(0, &[0xffe5], LOCK),                // 15 Caps Lock
        key(0, &[0xfe51], 0),                   // 16 dead acute
        key(1, &[0xff09, 0xfe20], 0),           // 17 Tab
        key(0, &[0xffe3], 4),                   // 18 Control
        Key::default(),                         // 19 spare
        Key::default(),                         // 20 spare
    ];
    Keymap { first: 8, keys, types }
}

/// A keyboard that does the steps and says what they type.
struct Keyboard {
    map: Keymap,
    down: Vec<u8>,
    locked: u8,
    typed: Vec<u32>,
}

impl Keyboard {
    fn new() -> Self {
        Self { map: german(), down: Vec::new(), locked: 0, typed: Vec::new() }
    }

    fn state(&self) -> KeyboardState {
        let held = self.down.iter().filter_map(|c| self.map.key(*c)).fold(0, |m, k| m | (k.modifiers & !LOCK));
        KeyboardState { mods: held | self.locked, group: 0 }
    }

    fn run(&mut self, steps: &[Step]) {
        for step in steps {
            match *step {
                Step::Bind(code, pair) => self.map.bind(code, pair),
                Step::Down(code) => {
                    assert!(!self.down.contains(&code), "key {code} goes down twice");
                    let mods = self.state().mods;
                    if self.map.key(code).is_some_and(|k| k.modifiers == 0) {
                        self.typed.extend(self.map.lookup(code, 0, mods));
                    }
                    self.down.push(code);
                }
                Step::Up(code) => {
                    assert!(self.down.contains(&code), "key {code} goes up but is not down");
                    self.down.retain(|c| *c != code);
                }
            }
        }
    }

    fn send(&mut self, typist: &mut Typist, down: bool, keysym: u32, scancode: Option<u32>) {
        let steps = typist.key(KeyInput { down, keysym, scancode }, self.state());
        self.run(&steps);
    }

    fn tap(&mut self, typist: &mut Typist, keysym: u32) {
        self.send(typist, true, keysym, None);
        self.send(typist, false, keysym, None);
    }
}

fn pair() -> (Keyboard, Typist) {
    (Keyboard::new(), Typist::new(german()))
}

#[test]
fn every_level_of_the_layout_is_typed_without_any_modifier_of_the_client() {
    for sym in [0x61, 0x41, 0x71, 0x40, 0x37, 0x2f, 0x7b, EURO, 0xe4, 0xc4, 0xfe51] {
        let (mut keyboard, mut typist) = pair();
        keyboard.tap(&mut typist, sym);
        assert_eq!(keyboard.typed, [sym]);
        assert!(keyboard.down.is_empty(), "{sym:#x} leaves keys down");
        assert!(typist.bound().is_empty(), "{sym:#x} needs no spare key");
    }
}

#[test]
fn the_clients_shift_is_let_go_for_one_key_and_comes_back() {
    let (mut keyboard, mut typist) = pair();
    keyboard.send(&mut typist, true, SHIFT_L, None);
    keyboard.tap(&mut typist, 0x37);
    assert_eq!(keyboard.typed, [0x37]);
    assert_eq!(keyboard.state().mods, SHIFT);
    keyboard.tap(&mut typist, 0x41);
    keyboard.send(&mut typist, false, SHIFT_L, None);
    assert_eq!((keyboard.typed.as_slice(), keyboard.down.len()), (&[0x37, 0x41][..], 0));
}

#[test]
fn the_keysym_arrives_whatever_caps_lock_says() {
    for sym in [0x61, 0x41, 0xe4, 0xc4, 0x40, 0x37, 0x6c1, 0x6e1] {
        let (mut keyboard, mut typist) = pair();
        keyboard.locked = LOCK;
        keyboard.tap(&mut typist, sym);
        assert_eq!(keyboard.typed, [sym], "{sym:#x}");
        assert!(keyboard.down.is_empty());
    }
}

#[test]
fn keysyms_outside_the_layout_take_spare_keys_in_turn_and_keep_them() {
    let (mut keyboard, mut typist) = pair();
    for sym in [0x6c1, 0x0101_f600, 0x6c1, 0x0101_f601] {
        keyboard.tap(&mut typist, sym);
    }
    assert_eq!(keyboard.typed, [0x6c1, 0x0101_f600, 0x6c1, 0x0101_f601]);
    assert_eq!(typist.bound().len(), 2);
    // the one used longest ago went: the first letter is still there
    let steps = typist.key(KeyInput { down: true, keysym: 0x6c1, scancode: None }, keyboard.state());
    assert!(!steps.iter().any(|s| matches!(s, Step::Bind(..))), "{steps:?}");
}

#[test]
fn a_held_spare_key_is_never_given_away() {
    let (mut keyboard, mut typist) = pair();
    keyboard.send(&mut typist, true, 0x0100_4e00, None);
    keyboard.send(&mut typist, true, 0x0100_4e01, None);
    keyboard.send(&mut typist, true, 0x0100_4e02, None);
    assert_eq!(keyboard.typed, [0x0100_4e00, 0x0100_4e01]);
    keyboard.send(&mut typist, false, 0x0100_4e00, None);
    keyboard.send(&mut typist, true, 0x0100_4e02, None);
    assert_eq!(keyboard.typed.last(), Some(&0x0100_4e02));
}

#[test]
fn the_unicode_name_of_a_keysym_finds_the_key_with_its_old_name() {
    let (mut keyboard, mut typist) = pair();
    keyboard.tap(&mut typist, 0x0100_00e4);
    keyboard.tap(&mut typist, 0x0100_20ac);
    assert_eq!(keyboard.typed, [0xe4, EURO]);
    assert!(typist.bound().is_empty());
}

#[test]
fn a_release_lets_go_of_the_key_that_was_pressed_for_it() {
    let (mut keyboard, mut typist) = pair();
    keyboard.send(&mut typist, true, SHIFT_L, None);
    keyboard.send(&mut typist, true, 0x41, None);
    keyboard.send(&mut typist, false, SHIFT_L, None);
    keyboard.send(&mut typist, false, 0x61, None);
    assert!(keyboard.down.is_empty(), "a client that lets Shift go first releases the small letter");
}

#[test]
fn releases_of_keys_that_are_not_held_do_nothing() {
    let (keyboard, mut typist) = pair();
    for sym in [0, 0x61, SHIFT_L, 0x6c1, u32::MAX] {
        let key = KeyInput { down: false, keysym: sym, scancode: None };
        assert!(typist.key(key, keyboard.state()).is_empty(), "{sym:#x}");
    }
}

#[test]
fn repeats_press_again_and_modifiers_do_not_repeat() {
    let (mut keyboard, mut typist) = pair();
    for _ in 0..3 {
        keyboard.send(&mut typist, true, SHIFT_L, None);
        keyboard.send(&mut typist, true, 0x41, None);
    }
    assert_eq!(keyboard.typed, [0x41; 3]);
    assert_eq!(keyboard.down.len(), 2);
}

#[test]
fn shift_with_tab_stays_shift_with_tab() {
    let (mut keyboard, mut typist) = pair();
    keyboard.send(&mut typist, true, SHIFT_L, None);
    keyboard.tap(&mut typist, 0xff09);
    assert_eq!(keyboard.typed, [0xfe20]);
    keyboard.send(&mut typist, false, SHIFT_L, None);
    keyboard.tap(&mut typist, 0xfe20);
    assert_eq!(keyboard.typed, [0xfe20, 0xfe20]);
}

#[test]
fn a_scan_code_counts_when_its_key_has_the_keysym_and_alone() {
    let mut map = german();
    // a second key with `a`, where a PC has it (code 38, scan code 0x1e)
    map.keys.resize(38 - 8 + 1, Key::default());
    map.keys[30] = map.keys[0].clone();
    let mut typist = Typist::new(map);
    let state = KeyboardState::default();
    let press = |scan, keysym| KeyInput { down: true, keysym, scancode: Some(scan) };
    assert_eq!(typist.key(press(0x1e, 0x61), state), [Step::Down(38)]);
    assert_eq!(typist.key(press(0x1e, 0xe4), state), [Step::Down(12)], "another layout: the keysym decides");
    assert_eq!(typist.release_all(), [Step::Up(12), Step::Up(38)]);
    assert_eq!(typist.key(press(0x1e, 0), state), [Step::Down(38)]);
    assert!(typist.key(press(0xffff, 0), state).is_empty());
}

#[test]
fn releasing_all_lets_go_of_every_key_once() {
    let (mut keyboard, mut typist) = pair();
    keyboard.send(&mut typist, true, SHIFT_L, None);
    keyboard.send(&mut typist, true, 0x41, None);
    keyboard.send(&mut typist, true, 0x61, None);
    let steps = typist.release_all();
    keyboard.run(&steps);
    assert!(keyboard.down.is_empty());
    assert!(typist.release_all().is_empty());
}

#[test]
fn a_new_map_keeps_spare_keys_that_are_still_ours_and_drops_those_taken() {
    let (mut keyboard, mut typist) = pair();
    keyboard.tap(&mut typist, 0x6c1);
    let ours = typist.bound();
    typist.set_map(keyboard.map.clone());
    assert_eq!(typist.bound(), ours);
    typist.set_map(german());
    assert!(typist.bound().is_empty());
}

#[test]
fn the_keypad_and_function_keys_type_no_character() {
    assert_eq!(char_of(0xffb1), None);
    assert_eq!(char_of(0xffbe), None);
    assert_eq!(char_of(0x6c1), Some('а'));
    assert_eq!(char_of(0x0101_f600), Some('😀'));
    assert_eq!(char_of(0x0100_d800), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_events_in_any_order_end_with_nothing_down(
        events in prop::collection::vec((any::<bool>(), prop_oneof![
            Just(0x61u32), Just(0x41), Just(0x40), Just(EURO), Just(SHIFT_L), Just(LEVEL3), Just(0xff09), Just(0x6c1),
            Just(0), any::<u32>()], prop::option::of(0u32..256)), 0..60),
        caps in any::<bool>(),
    ) {
        let (mut keyboard, mut typist) = pair();
        keyboard.locked = if caps { LOCK } else { 0 };
        for (down, sym, scan) in &events {
            keyboard.send(&mut typist, *down, *sym, *scan);
        }
        for (_, sym, scan) in &events {
            keyboard.send(&mut typist, false, *sym, *scan);
        }
        prop_assert!(keyboard.down.is_empty(), "{:?}", keyboard.down);
    }
}
