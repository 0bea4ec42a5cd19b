use std::sync::Arc;

use super::DeviceEvent::{Button, Key, PointerTo, Wheel};
use super::*;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

type Reports = Arc<Mutex<Vec<Vec<DeviceEvent>>>>;

/// Input over 200x100 pixels with an English keyboard, what it delivers and what it tells.
fn input() -> (Input, Reports, UnboundedReceiver<BackendEvent>) {
    let reports = Reports::default();
    let (mine, (events, told)) = (Arc::clone(&reports), unbounded_channel());
    let deliver: Deliver = Box::new(move |report| mine.lock().expect("a lock").push(report.to_vec()));
    (Input::new(XkbMap::english(), Size::new(200, 100), deliver, events), reports, told)
}

fn taken(reports: &Reports) -> Vec<Vec<DeviceEvent>> {
    std::mem::take(&mut reports.lock().expect("a lock"))
}

fn leds(told: &mut UnboundedReceiver<BackendEvent>) -> Vec<u8> {
    let led = |event| match event {
        BackendEvent::Leds(leds) => leds,
        _ => panic!("lock keys alone are told"),
    };
    std::iter::from_fn(|| told.try_recv().ok()).map(led).collect()
}

fn key(down: bool, keysym: u32, scancode: Option<u32>) -> KeyInput {
    KeyInput { down, keysym, scancode }
}

fn at(x: u16, y: u16, buttons: u16) -> PointerInput {
    PointerInput { x, y, buttons }
}

const fn stroke(code: u16, down: bool) -> DeviceEvent {
    Key { code, down }
}

#[test]
fn each_stroke_is_a_report_of_its_own_with_the_modifiers_it_needs() {
    let (input, reports, _told) = input();
    input.key(key(true, 0x41, None));
    assert_eq!(taken(&reports), [[stroke(42, true)], [stroke(30, true)], [stroke(42, false)]]);
    input.key(key(true, 0x41, None));
    assert_eq!(taken(&reports).len(), 0, "the kernel repeats it");
    input.key(key(false, 0x41, None));
    assert_eq!(taken(&reports), [[stroke(30, false)]]);
    input.key(key(true, 0x416, Some(0x1d)));
    assert_eq!(taken(&reports), [[stroke(29, true)]], "a scan code decides alone");
    input.key(key(true, 0x20ac, None));
    input.key(key(false, 0x20ac, None));
    assert_eq!(taken(&reports).len(), 0, "not in this layout");
    drop(input);
    assert_eq!(taken(&reports), [[stroke(29, false)]]);
}

#[test]
fn place_and_buttons_are_one_report_and_each_notch_is_another() {
    let (input, reports, _told) = input();
    let middle = |x: u32, w: u32| (x * 65_536 + 32_768) / w;
    let place = |x, y| PointerTo { x: middle(x, 200), y: middle(y, 100) };
    input.pointer(at(3, 7, 0b101));
    let both = [Button { code: 0x110, down: true }, Button { code: 0x111, down: true }];
    assert_eq!(taken(&reports), [[vec![place(3, 7)], both.to_vec()].concat()]);
    input.pointer(at(3, 7, 0b101));
    assert_eq!(taken(&reports).len(), 0, "nothing is new");
    input.pointer(at(3, 8, 0b111_1101));
    let wheel = |vertical, horizontal| vec![Wheel { vertical, horizontal }];
    let turned = [wheel(120, 0), wheel(-120, 0), wheel(0, -120), wheel(0, 120)];
    assert_eq!(taken(&reports), [vec![vec![place(3, 8)]], turned.to_vec()].concat());
    input.pointer(at(3, 8, 0b1_1000_0100));
    let changed = vec![
        Button { code: 0x110, down: false },
        Button { code: 0x113, down: true },
        Button { code: 0x114, down: true },
    ];
    assert_eq!(taken(&reports), [changed], "wheels have no way back");
    input.let_go();
    let up = [0x111, 0x113, 0x114].map(|code| Button { code, down: false });
    assert_eq!(taken(&reports), [up]);
    input.let_go();
    assert_eq!(taken(&reports).len(), 0);
}

#[test]
fn places_are_of_the_canvas_as_it_is_now_and_come_back_as_the_same_pixels() {
    let (input, reports, _told) = input();
    for (w, h) in [(1u16, 1u16), (1366, 768), (11_520, 2160), (32_768, 32_768)] {
        input.set_canvas(Size::new(w, h));
        for (x, y) in [(0, 0), (w / 3, h / 2), (w - 1, h - 1)] {
            input.pointer(at(x, y, 0));
            let Some(PointerTo { x: to_x, y: to_y }) = taken(&reports).concat().first().copied() else {
                panic!("{x},{y} of {w}x{h} is told")
            };
            let back = |v: u32, pixels: u16| v * u32::from(pixels) / 65_536;
            assert_eq!((back(to_x, w), back(to_y, h)), (x.into(), y.into()), "of {w}x{h}");
            input.set_canvas(Size::new(w, h));
        }
    }
    input.set_canvas(Size::new(0, 0));
    input.pointer(at(u16::MAX, u16::MAX, 0));
    assert_eq!(taken(&reports).len(), 1, "no canvas is no fault");
}

#[test]
fn lock_keys_are_those_that_the_desktop_shows_and_told_when_they_change() {
    let (input, reports, mut told) = input();
    let caps = |down| key(down, 0xffe5, Some(0x3a));
    input.key(caps(true));
    input.key(caps(false));
    input.shown(4);
    assert_eq!(leds(&mut told), [4], "once");
    taken(&reports);
    input.key(key(true, 0x41, None));
    assert_eq!(taken(&reports), [[stroke(30, true)]], "Caps Lock gives the capital");
    input.shown(2);
    assert_eq!(leds(&mut told), [2]);
    input.key(key(true, 0xffb1, None));
    assert_eq!(taken(&reports), [[stroke(79, true)]], "Num Lock gives the digit");
}

#[test]
fn new_devices_hold_nothing_and_are_told_the_place_again() {
    let (input, reports, _told) = input();
    input.key(key(true, 0x61, None));
    input.pointer(at(1, 1, 1));
    taken(&reports);
    input.reset();
    input.pointer(at(1, 1, 0));
    assert!(matches!(taken(&reports)[..], [ref one] if matches!(one[..], [PointerTo { .. }])));
    input.key(key(true, 0x61, None));
    assert_eq!(taken(&reports), [[stroke(30, true)]]);
}
