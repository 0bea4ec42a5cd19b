//! The keyboard against one that keeps what it is made to do and types as a compositor's programs would.

use proptest::prelude::*;

use super::*;
use crate::input::keymap::{LOCK, SHIFT};

const SHIFT_L: u32 = 0xffe1;
const CYRILLIC_A: u32 = 0x6c1;
const SMILE: u32 = 0x0101_f600;

/// A compositor's keyboard with one program.
#[derive(Default)]
struct Desktop {
    map: Option<XkbMap>,
    maps: usize,
    down: Vec<u8>,
    /// Modifiers and group as the program was told; none since it got its map.
    told: Option<(u8, u8, u8)>,
    typed: Vec<u32>,
}

impl Keys for Desktop {
    fn map(&mut self, text: &str) -> io::Result<()> {
        let map = XkbMap::read(text).expect("a map");
        let modifiers = |code: &u8| map.table.key(*code).is_some_and(|k| k.modifiers != 0);
        assert!(self.down.iter().all(modifiers), "{:?} are down while the map changes", self.down);
        self.map = Some(map);
        self.maps += 1;
        self.told = None;
        Ok(())
    }

    fn key(&mut self, code: u8, down: bool) {
        assert_eq!(self.down.contains(&code), !down, "key {code}, down: {down}");
        if down {
            self.down.push(code);
            let (held, locked, group) = self.told.expect("modifiers are told after each map");
            let table = &self.map.as_ref().expect("a map comes first").table;
            if table.key(code).is_some_and(|k| k.modifiers == 0) {
                self.typed.extend(table.lookup(code, group, held | locked));
            }
        } else {
            self.down.retain(|c| *c != code);
        }
    }

    fn modifiers(&mut self, held: u8, locked: u8, group: u8) {
        self.told = Some((held, locked, group));
    }
}

fn pair() -> (Board, Desktop) {
    let (mut board, mut desktop) = (Board::new(XkbMap::english()), Desktop::default());
    board.start(&mut desktop).expect("a map");
    (board, desktop)
}

fn send(board: &mut Board, desktop: &mut Desktop, down: bool, keysym: u32, scancode: Option<u32>) {
    board.key(desktop, KeyInput { down, keysym, scancode }).expect("a map");
}

fn tap(board: &mut Board, desktop: &mut Desktop, keysym: u32) {
    send(board, desktop, true, keysym, None);
    send(board, desktop, false, keysym, None);
}

#[test]
fn every_keysym_arrives_and_keys_that_are_bound_stay_so() {
    let (mut board, mut desktop) = pair();
    let text = [0x61, 0x41, 0x21, 0xe4, 0xc4, CYRILLIC_A, SMILE, 0x6e1, 0x20ac, 0xff0d, SMILE, 0xe4];
    for sym in text {
        tap(&mut board, &mut desktop, sym);
    }
    assert_eq!(desktop.typed, text);
    // ä with Ä, а with А, the emoji and the euro took a key each
    assert_eq!(desktop.maps, 5);
    assert!(desktop.down.is_empty());
    assert_eq!(desktop.told, Some((0, 0, 0)));
}

#[test]
fn more_keysyms_than_spare_keys_arrive_too() {
    let (mut board, mut desktop) = pair();
    let text: Vec<u32> = (0x0100_4e00..0x0100_4e00 + 100).collect();
    for sym in &text {
        tap(&mut board, &mut desktop, *sym);
    }
    assert_eq!(desktop.typed, text);
}

#[test]
fn a_modifier_that_is_held_counts_after_a_new_map() {
    let (mut board, mut desktop) = pair();
    send(&mut board, &mut desktop, true, 0xffe3, None);
    send(&mut board, &mut desktop, true, 0x61, None);
    tap(&mut board, &mut desktop, CYRILLIC_A);
    assert_eq!(desktop.told, Some((4, 0, 0)));
    assert_eq!(desktop.down, [37], "the letter was let go of, Control was not");
    send(&mut board, &mut desktop, false, 0x61, None);
    send(&mut board, &mut desktop, false, 0xffe3, None);
    assert_eq!((desktop.down.len(), desktop.told), (0, Some((0, 0, 0))));
}

#[test]
fn lock_keys_lock_until_they_are_pressed_again_and_are_told() {
    let (mut board, mut desktop) = pair();
    tap(&mut board, &mut desktop, 0xffe5);
    assert_eq!((desktop.told, board.leds()), (Some((0, LOCK, 0)), 4));
    for sym in [0x61, 0x41, CYRILLIC_A] {
        tap(&mut board, &mut desktop, sym);
    }
    assert_eq!(desktop.typed, [0x61, 0x41, CYRILLIC_A], "the keysym arrives whatever is locked");
    tap(&mut board, &mut desktop, 0xff7f);
    tap(&mut board, &mut desktop, 0xff14);
    assert_eq!(board.leds(), 7);
    for sym in [0xffe5, 0xff7f, 0xff14] {
        tap(&mut board, &mut desktop, sym);
    }
    assert_eq!((desktop.told, board.leds()), (Some((0, 0, 0)), 0));
}

#[test]
fn scan_codes_alone_are_keys_of_the_layout() {
    let (mut board, mut desktop) = pair();
    send(&mut board, &mut desktop, true, 0, Some(0x2a));
    send(&mut board, &mut desktop, true, 0, Some(0x1e));
    assert_eq!((desktop.told, desktop.typed.as_slice()), (Some((SHIFT, 0, 0)), &[0x41][..]));
    send(&mut board, &mut desktop, false, 0, Some(0x1e));
    send(&mut board, &mut desktop, false, 0, Some(0x2a));
    assert!(desktop.down.is_empty());
}

#[test]
fn a_new_layout_is_sent_before_the_next_key_and_what_was_bound_stays() {
    let (mut board, mut desktop) = pair();
    tap(&mut board, &mut desktop, CYRILLIC_A);
    let swapped = XkbMap::english().with([].into_iter()).replace("[ y, Y ]", "[ z, Z ]");
    board.rebase(XkbMap::read(&swapped).expect("a map"));
    assert_eq!(desktop.maps, 2);
    send(&mut board, &mut desktop, true, 0, Some(0x15));
    send(&mut board, &mut desktop, false, 0, Some(0x15));
    tap(&mut board, &mut desktop, CYRILLIC_A);
    assert_eq!((desktop.typed.as_slice(), desktop.maps), (&[CYRILLIC_A, 0x7a, CYRILLIC_A][..], 3));
    tap(&mut board, &mut desktop, 0x79);
    assert_eq!(desktop.typed.last(), Some(&0x79), "y is on no key any more and takes a spare one");
}

#[test]
fn the_same_map_from_somebody_else_makes_ours_be_sent_again() {
    let (mut board, mut desktop) = pair();
    board.rebase(XkbMap::english());
    tap(&mut board, &mut desktop, 0x61);
    assert_eq!((desktop.maps, desktop.typed.as_slice()), (2, &[0x61][..]));
}

#[test]
fn letting_go_leaves_nothing_down() {
    let (mut board, mut desktop) = pair();
    for sym in [SHIFT_L, 0x61, SMILE, 0xffe3] {
        send(&mut board, &mut desktop, true, sym, None);
    }
    board.let_go(&mut desktop).expect("no map is needed");
    assert_eq!((desktop.down.len(), desktop.told), (0, Some((0, 0, 0))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_events_in_any_order_end_with_nothing_down(
        events in prop::collection::vec((any::<bool>(), prop_oneof![
            Just(0x61u32), Just(0x41), Just(SHIFT_L), Just(0xffe3), Just(0xffe5), Just(CYRILLIC_A), Just(SMILE), Just(0),
            Just(0xff09), any::<u32>()], prop::option::of(0u32..256), any::<bool>()), 0..30),
    ) {
        let (mut board, mut desktop) = pair();
        for (down, sym, scan, rebase) in &events {
            if *rebase {
                board.rebase(XkbMap::english());
            }
            send(&mut board, &mut desktop, *down, *sym, *scan);
        }
        for (_, sym, scan, _) in &events {
            send(&mut board, &mut desktop, false, *sym, *scan);
        }
        prop_assert!(desktop.down.is_empty(), "{:?}", desktop.down);
    }
}
