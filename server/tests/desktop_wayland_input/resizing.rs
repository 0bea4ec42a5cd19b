//! Sizes that viewers wish for.

use super::Desk;
use farpane_engine::geometry::{Rect, Size};
use farpane_test_support::Client;

/// The answers to its own wishes: reason 1.
fn own(client: &Client) -> Vec<u16> {
    client.picture().resize_answers().iter().filter(|(reason, _)| *reason == 1).map(|(_, status)| *status).collect()
}

fn shows(desk: &mut Desk, what: &str, size: Size, screens: &[(u32, Rect)]) {
    desk.until(what, |desk| {
        let picture = desk.client.picture();
        let places: Vec<_> = picture.layout().iter().map(|s| (s.id, Rect::new(s.x, s.y, s.w, s.h))).collect();
        picture.size() == size && places == screens
    });
}

#[test]
fn a_headless_output_takes_the_size_that_a_viewer_wishes() {
    let Some(mut desk) = Desk::open(&["640x480"], &[]) else { return };
    for (n, size) in [Size::new(800, 600), Size::new(333, 777), Size::new(1366, 768)].into_iter().enumerate() {
        desk.client.set_desktop_size(size, &[(0, size.rect())]).expect("a wish");
        shows(&mut desk, "the wished size", size, &[(0, size.rect())]);
        desk.client.wait_until("an answer", |c| own(c).len() == n + 1).expect("an answer");
    }
    assert_eq!(own(&desk.client), [0, 0, 0]);
}

#[test]
fn outputs_side_by_side_keep_their_scale_and_turn_and_touch_still() {
    let told = ["output HEADLESS-1 scale 2", "output HEADLESS-2 transform 90 position 320 0"];
    let Some(mut desk) = Desk::open(&["640x480", "800x600"], &told) else { return };
    let before = [(0, Rect::new(0, 0, 640, 480)), (1, Rect::new(640, 0, 600, 800))];
    shows(&mut desk, "both outputs", Size::new(1240, 800), &before);
    let after = [(0, Rect::new(0, 0, 1000, 480)), (1, Rect::new(1000, 0, 600, 900))];
    desk.client.set_desktop_size(Size::new(1600, 900), &after).expect("a wish");
    shows(&mut desk, "both outputs as wished", Size::new(1600, 900), &after);
    // a screen less, and one more, are refused and change nothing
    desk.client.set_desktop_size(Size::new(1000, 480), &after[..1]).expect("a wish");
    let more = [after[0], after[1], (9, Rect::new(0, 480, 100, 100))];
    desk.client.set_desktop_size(Size::new(1600, 900), &more).expect("a wish");
    desk.client.wait_until("two refusals", |c| own(c).ends_with(&[1, 1])).expect("answers");
    shows(&mut desk, "both outputs as they were", Size::new(1600, 900), &after);
}
