//! Monitors and sizes.

use super::{Desk, wish};
use farpane_engine::geometry::{Rect, Size};
use farpane_server::backend::{BackendEvent, Layout, ResizeAnswer};

fn layout(event: BackendEvent) -> Option<Layout> {
    if let BackendEvent::LayoutChanged(layout) = event { Some(layout) } else { None }
}

#[test]
fn three_monitors_are_three_outputs_in_one_change() {
    let Some(mut desk) = Desk::watched("960x320") else { return };
    for (name, place, output) in [("L", "320/80x320/80+0+0", "screen"), ("M", "320/80x320/80+320+0", "none")] {
        if !desk.run("xrandr", &["--setmonitor", name, place, output]) {
            return;
        }
    }
    desk.run("xrandr", &["--setmonitor", "R", "320/80x320/80+640+0", "none"]);
    let mut added = 0;
    let got = desk.wait("three monitors", |e| {
        added += u32::from(matches!(e, BackendEvent::OutputAdded(..)));
        layout(e).filter(|l| l.outputs.len() == 3)
    });
    let mut named: Vec<_> = got.outputs.iter().map(|o| (o.name.as_str(), o.rect)).collect();
    named.sort_by_key(|(n, _)| *n);
    let want = [("L", 0), ("M", 320), ("R", 640)].map(|(n, x)| (n, Rect::new(x, 0, 320, 320)));
    assert_eq!(named, want);
    assert_eq!(added, 3);
    desk.run("xrandr", &["--delmonitor", "M"]);
    let got = desk.wait("two monitors", layout);
    assert_eq!(got.outputs.len(), 2);
}

#[test]
fn a_client_may_wish_another_size_and_several_screens() {
    let Some(mut desk) = Desk::watched("1280x720") else { return };
    assert_eq!(desk.backend.resize(&wish((801, 600), &[[0, 0, 801, 600]])), ResizeAnswer::Done);
    let got = desk.wait("the new size", |e| layout(e).filter(|l| l.size == Size::new(801, 600)));
    assert_eq!(got.outputs.len(), 1);
    let two = [[0, 0, 500, 600], [500, 0, 500, 600]];
    assert_eq!(desk.backend.resize(&wish((1000, 600), &two)), ResizeAnswer::Done);
    let got = desk.wait("two screens", |e| layout(e).filter(|l| l.outputs.len() == 2));
    assert_eq!(got.outputs.iter().map(|o| o.rect.w).collect::<Vec<_>>(), [500, 500]);
    assert_eq!(desk.backend.resize(&wish((1280, 720), &[[0, 0, 1280, 720]])), ResizeAnswer::Done);
    desk.wait("the first size", |e| layout(e).filter(|l| l.size.w == 1280 && l.outputs.len() == 1));
    assert_eq!(desk.backend.resize(&wish((8000, 600), &[[0, 0, 8000, 600]])), ResizeAnswer::OutOfResources);
    let over = [[0, 0, 500, 600], [400, 0, 500, 600]];
    assert_eq!(desk.backend.resize(&wish((1000, 600), &over)), ResizeAnswer::InvalidLayout);
    assert_eq!(desk.backend.resize(&wish((100, 100), &[[50, 0, 100, 100]])), ResizeAnswer::InvalidLayout);
}
