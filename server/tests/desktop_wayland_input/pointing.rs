//! The pointer, judged by windows that listen and by where the viewer's picture shows what they paint.

use std::time::{Duration, Instant};

use super::Desk;
use farpane_engine::geometry::{Point, Rect};
use farpane_test_support::ears::{Ears, Sound};
use farpane_test_support::painter::Painter;

const RED: u32 = 0xff_0000;
/// Side of what is clicked on, in the window's coordinates.
const SPOT: u16 = 8;

/// A window on an output, with a red spot in the viewer's picture.
struct Target {
    _painter: Painter,
    ears: Ears,
    /// The spot in the window's coordinates.
    spot: Rect,
}

impl Target {
    fn open(desk: &Desk, output: &str, spot: Point) -> Self {
        let mut painter = Painter::open(&desk.sway.socket(), output);
        let spot = Rect::new(spot.x, spot.y, SPOT, SPOT);
        painter.paint(spot, |_, _| RED);
        let ears = desk.ears(&painter);
        Self { _painter: painter, ears, spot }
    }

    /// Whether a place lies on the spot.
    fn has(&self, x: f64, y: f64) -> bool {
        let inside = |v: f64, from: u16| (f64::from(from)..f64::from(from + SPOT)).contains(&v);
        inside(x, self.spot.x) && inside(y, self.spot.y)
    }

    fn last_place(&self) -> Option<(f64, f64)> {
        self.ears.all().iter().rev().find_map(|s| if let Sound::At(x, y) = s { Some((*x, *y)) } else { None })
    }

    fn listen(&mut self) {
        self.ears.listen(Instant::now() + Duration::from_millis(20));
    }
}

/// The middle of what is red in the viewer's picture.
fn middle(desk: &Desk) -> Option<Point> {
    let picture = desk.client.picture();
    let size = picture.size();
    let (mut x, mut y, mut count) = (0, 0, 0);
    for (at, _) in picture.pixels().iter().enumerate().filter(|(_, value)| picture.colour(**value) == [0xff, 0, 0]) {
        x += at % usize::from(size.w);
        y += at / usize::from(size.w);
        count += 1;
    }
    (count > 0).then(|| Point::new((x / count) as u16, (y / count) as u16))
}

/// The same once there is some, and it stays where it is: outputs that turn show what was there before for a while.
fn red(desk: &mut Desk) -> Point {
    let (mut found, mut updates) = (None, 0);
    desk.until("a red spot", |desk| {
        let (now, count) = (middle(desk), desk.client.traffic.updates.len());
        let rests = now.is_some() && now == found && count == updates;
        (found, updates) = (now, count);
        rests
    });
    found.expect("found")
}

/// Moves to a place of the picture until the window feels the pointer on its spot.
fn point(desk: &mut Desk, target: &mut Target, at: Point) {
    let mut nudge = 0;
    desk.until("the pointer arrives", |desk| {
        // a window that has no pointer yet feels none: moves that change nothing would not be told it later
        nudge ^= 1;
        desk.client.pointer(at.x + nudge, at.y, 0).expect("a move");
        target.listen();
        target.last_place().is_some()
    });
    desk.client.pointer(at.x, at.y, 0).expect("a move");
    desk.until("the pointer is on the spot", |_| {
        target.listen();
        target.last_place().is_some_and(|(x, y)| target.has(x, y))
    });
}

fn until_heard(desk: &mut Desk, target: &mut Target, want: &[Sound]) {
    desk.until(&format!("{want:?}"), |_| {
        target.listen();
        // modifiers are told to whoever gets the keyboard: no doing of the pointer's
        let aside = |sound: &&Sound| !matches!(sound, Sound::At(..) | Sound::Modifiers(..));
        let heard: Vec<Sound> = target.ears.all().iter().filter(aside).copied().collect();
        heard == want
    });
    target.ears.clear();
}

#[test]
fn clicks_and_wheels_arrive_where_the_picture_shows_it() {
    let Some(mut desk) = Desk::open(&["640x480"], &[]) else { return };
    let mut target = Target::open(&desk, "HEADLESS-1", Point::new(301, 203));
    let at = red(&mut desk);
    point(&mut desk, &mut target, at);
    target.ears.clear();
    for (bit, code) in [(0, 0x110), (1, 0x112), (2, 0x111), (7, 0x113), (8, 0x114)] {
        desk.client.pointer(at.x, at.y, 1 << bit).expect("a button");
        desk.client.pointer(at.x, at.y, 0).expect("a button");
        until_heard(&mut desk, &mut target, &[Sound::Button(code, true), Sound::Button(code, false)]);
    }
    for (bit, sideways, clicks) in [(3, false, -1), (4, false, 1), (5, true, -1), (6, true, 1)] {
        desk.client.pointer(at.x, at.y, 1 << bit).expect("a wheel");
        desk.client.pointer(at.x, at.y, 0).expect("a wheel");
        until_heard(&mut desk, &mut target, &[Sound::Wheel(sideways, f64::from(clicks) * 15.0, clicks)]);
    }
    // a button that is held goes up when its client goes
    desk.client.pointer(at.x, at.y, 1).expect("a button");
    until_heard(&mut desk, &mut target, &[Sound::Button(0x110, true)]);
    desk.client = super::watching(&desk.server);
    until_heard(&mut desk, &mut target, &[Sound::Button(0x110, false)]);
}

/// Clicks on a spot of each output, once all are turned so.
fn hits(desk: &mut Desk, transform: &str) {
    let outputs = ["HEADLESS-1", "HEADLESS-2", "HEADLESS-3"];
    for output in outputs {
        desk.sway.tell(&format!("output {output} transform {transform}"));
    }
    for (n, output) in outputs.into_iter().enumerate() {
        let mut target = Target::open(desk, output, Point::new(30, 180 + 20 * n as u16));
        let at = red(desk);
        point(desk, &mut target, at);
        target.ears.clear();
        desk.client.pointer(at.x, at.y, 1).expect("a button");
        desk.client.pointer(at.x, at.y, 0).expect("a button");
        until_heard(desk, &mut target, &[Sound::Button(0x110, true), Sound::Button(0x110, false)]);
        // the pointer's own picture is beside the next spot
        let aside = if at.x > 100 { 0 } else { 400 };
        desk.client.pointer(aside, 0, 0).expect("a move");
        drop(target);
        desk.until("no red spot is left", |desk| middle(desk).is_none());
    }
}

#[test]
fn outputs_of_each_scale_and_transform_are_pointed_at_where_they_are_shown() {
    let told = [
        "output HEADLESS-2 scale 1.5",
        "output HEADLESS-3 scale 2",
        // apart, whichever way they are turned
        "output HEADLESS-2 position 700 0",
        "output HEADLESS-3 position 1400 0",
    ];
    let Some(mut desk) = Desk::open(&["480x600", "720x600", "800x720"], &told) else { return };
    for transform in ["normal", "90", "180", "270", "flipped", "flipped-90", "flipped-180", "flipped-270"] {
        hits(&mut desk, transform);
    }
}
