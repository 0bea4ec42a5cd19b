use super::*;
use crate::backend::{Layout, LayoutOutput, OutputId};
use crate::input::PointerInput;
use farpane_engine::geometry::{Point, Rect, Size};

fn layout(w: u16) -> Layout {
    let size = Size::new(w, 50);
    Layout { size, outputs: vec![LayoutOutput { id: OutputId(3), name: "one".into(), rect: size.rect() }] }
}

/// An event in words.
fn words(event: &BackendEvent) -> String {
    match event {
        BackendEvent::OutputAdded(id, _) => format!("added {}", id.0),
        BackendEvent::OutputRemoved(id) => format!("removed {:#x}", id.0),
        BackendEvent::LayoutChanged(layout) => format!("layout {} of {}", layout.size, layout.outputs.len()),
        BackendEvent::Cursor(image) => format!("cursor {}", image.serial),
        BackendEvent::PointerMoved(at) => format!("pointer {},{}", at.x, at.y),
        BackendEvent::Clipboard(text) => format!("text {text}"),
        BackendEvent::Leds(leds) => format!("leds {leds}"),
        BackendEvent::Bell => "bell".into(),
        BackendEvent::Lost(reason) => format!("lost {reason}"),
        BackendEvent::Back => "back".into(),
        BackendEvent::OnDemand(came) => format!("{came:?}"),
    }
}

fn said(joint: &mut Joint, part: usize, event: BackendEvent) -> Vec<String> {
    let mut all = Vec::new();
    joint.on_event(part, event, &mut |event| all.push(words(&event)));
    all
}

fn point(joint: &mut Joint, x: u16) -> Vec<String> {
    let (before, mut all) = (joint.router.focus(), Vec::new());
    joint.router.pointer(PointerInput { x, y: 0, buttons: 0 }, &mut |_, _| {});
    joint.refocus(before, &mut |event| all.push(words(&event)));
    all
}

fn image(serial: u64) -> BackendEvent {
    let rgba = vec![0; 4];
    BackendEvent::Cursor(Arc::new(CursorImage { size: Size::new(1, 1), hotspot: Point::default(), rgba, serial }))
}

fn two() -> Joint {
    let mut joint = Joint::new(Arrange::Right, vec!["x11::1".into(), "x11::2".into()]);
    assert_eq!(said(&mut joint, 1, BackendEvent::LayoutChanged(layout(40))), [""; 0], "the first is not known yet");
    assert_eq!(said(&mut joint, 0, BackendEvent::LayoutChanged(layout(100))), ["layout 140x50 of 2"]);
    joint
}

#[test]
fn each_change_is_told_once_by_ids_of_the_whole() {
    let mut joint = two();
    assert_eq!(said(&mut joint, 1, BackendEvent::OutputRemoved(OutputId(3))), ["removed 0x10000000"]);
    assert_eq!(said(&mut joint, 1, BackendEvent::LayoutChanged(Layout::default())), ["layout 100x50 of 1"]);
    assert_eq!(said(&mut joint, 1, BackendEvent::LayoutChanged(layout(60))), ["layout 160x50 of 2"]);
    assert_eq!(said(&mut joint, 1, BackendEvent::Bell), ["bell"]);
    assert_eq!(said(&mut joint, 1, BackendEvent::Clipboard("ä".into())), ["text ä"]);
}

#[test]
fn pointer_and_lock_keys_are_those_of_the_part_that_the_pointer_is_on() {
    let mut joint = two();
    assert_eq!(said(&mut joint, 0, image(1)), ["cursor 1"]);
    assert_eq!(said(&mut joint, 0, BackendEvent::PointerMoved(Point::new(7, 8))), ["pointer 7,8"]);
    for event in [image(2), BackendEvent::Leds(4), BackendEvent::PointerMoved(Point::new(1, 1))] {
        assert_eq!(said(&mut joint, 1, event), [""; 0]);
    }
    assert_eq!(point(&mut joint, 99), [""; 0]);
    assert_eq!(point(&mut joint, 100), ["cursor 2", "leds 4"]);
    assert_eq!(said(&mut joint, 1, BackendEvent::PointerMoved(Point::new(7, 8))), ["pointer 107,8"]);
    assert_eq!(said(&mut joint, 1, BackendEvent::PointerMoved(Point::new(70, 8))), ["pointer 139,8"]);
    assert_eq!(said(&mut joint, 0, BackendEvent::PointerMoved(Point::new(7, 8))), [""; 0]);
    assert_eq!(point(&mut joint, 0), ["cursor 1", "leds 0"]);
}

#[test]
fn clients_are_told_of_a_loss_only_when_all_are_lost() {
    let mut joint = two();
    let lost = |reason: &str| BackendEvent::Lost(reason.into());
    assert_eq!(said(&mut joint, 1, lost("no answer")), [""; 0]);
    assert_eq!(said(&mut joint, 1, lost("no answer yet")), [""; 0]);
    assert_eq!(said(&mut joint, 0, lost("closed")), ["lost x11::1: closed; x11::2: no answer yet"]);
    assert_eq!(said(&mut joint, 0, lost("still")), [""; 0]);
    assert_eq!(said(&mut joint, 1, BackendEvent::Back), ["back"]);
    assert_eq!(said(&mut joint, 0, BackendEvent::Back), [""; 0]);
    assert_eq!(said(&mut joint, 0, BackendEvent::Back), [""; 0]);
}

#[test]
fn a_part_that_goes_before_it_told_anything_holds_up_nobody() {
    let mut joint = Joint::new(Arrange::Down, vec!["x11::1".into(), "x11::2".into()]);
    assert_eq!(said(&mut joint, 0, BackendEvent::LayoutChanged(layout(100))), [""; 0]);
    assert_eq!(said(&mut joint, 1, BackendEvent::Lost("closed".into())), ["layout 100x50 of 1"]);
    let rect = Rect::new(0, 50, 40, 50);
    let joined = said(&mut joint, 1, BackendEvent::LayoutChanged(layout(40)));
    assert_eq!((joined, joint.canvas.join().layout.outputs[1].rect), (vec!["layout 100x100 of 2".to_owned()], rect));
}
