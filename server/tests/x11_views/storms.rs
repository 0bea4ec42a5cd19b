//! Monitors and sizes that change again and again while viewers of all kinds look on.

use std::time::{Duration, Instant};

use super::{Desk, PATIENCE};
use farpane_engine::geometry::{Rect, Scale, Size};
use farpane_engine::kernel::downscale::{Axis, Picture, Sums, downscale};
use farpane_engine::pixel::Layout;
use farpane_test_support::{Client, encoding};

/// As large as the screen may be.
const MOST: Size = Size { w: 1280, h: 720 };
const CHANGES: usize = 100;

/// What decides in a storm: xorshift.
struct Chance(u32);

impl Chance {
    fn below(&mut self, bound: u16) -> u16 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 >> 8) as u16 % bound
    }
}

impl Desk {
    /// Makes monitors of these columns, named m0, m1 and so on, and takes the others away.
    fn columns(&self, size: Size, edges: &[u16]) {
        let xrandr = |words: &[&str]| self.x.command("xrandr").args(words).output().expect("xrandr runs");
        for (i, pair) in edges.windows(2).enumerate() {
            let name = format!("m{i}");
            let place = format!("{}/100x{}/80+{}+0", pair[1] - pair[0], size.h, pair[0]);
            // the output's own monitor would lie below ours
            xrandr(&["--setmonitor", &name, &place, if i == 0 { "screen" } else { "none" }]);
        }
        for i in edges.len() - 1..4 {
            // most of them are not there
            xrandr(&["--delmonitor", &format!("m{i}")]);
        }
    }

    /// The screen's size now.
    fn size(&self) -> Size {
        use x11rb::protocol::xproto::ConnectionExt as _;
        let root = self.connection.get_geometry(self.root).expect("sent").reply().expect("a size");
        Size::new(root.width, root.height)
    }

    /// What the screen shows, made smaller.
    fn smaller(&self, scale: Scale) -> Vec<u8> {
        let (from, to) = (self.size(), scale.size(self.size()));
        let pixels: Vec<u32> =
            self.rgb(from.rect()).chunks_exact(3).map(|p| u32::from_be_bytes([0, p[0], p[1], p[2]])).collect();
        let mut out = vec![0; usize::from(to.w) * usize::from(to.h)];
        let picture = Picture { pixels: &pixels, stride: usize::from(from.w), layout: Layout::BGRX };
        let axes = [Axis::new(from.w, to.w), Axis::new(from.h, to.h)];
        downscale(picture, axes, 0..to.w, 0..to.h, &mut Sums::default(), &mut out);
        out.iter().flat_map(|px| Layout::BGRX.rgb(*px)).collect()
    }

    /// The screen on a canvas of another size: cut off, and black where it is too small.
    fn on_canvas(&self, canvas: Size) -> Vec<u8> {
        let (size, width) = (self.size(), usize::from(canvas.w) * 3);
        let mut out = vec![0; width * usize::from(canvas.h)];
        let seen = usize::from(size.w.min(canvas.w)) * 3;
        for (to, from) in out.chunks_mut(width).zip(self.rgb(size.rect()).chunks(usize::from(size.w) * 3)) {
            to[..seen].copy_from_slice(&from[..seen]);
        }
        out
    }
}

/// Takes what comes for all of them, for a moment.
fn pump(clients: &mut [Client]) {
    for (i, client) in clients.iter_mut().enumerate() {
        client.pump(Instant::now() + Duration::from_millis(2)).unwrap_or_else(|e| panic!("client {i}: {e}"));
    }
}

#[test]
fn a_storm_of_monitors_and_sizes_leaves_every_viewer_with_the_right_picture() {
    let listeners = ["view = \"all\"", "view = \"m0\"", "scale = \"50%\""];
    let Some(desk) = Desk::with("storm", MOST, &[("m0", "640/100x720/80+0+0", "screen")], &listeners) else { return };
    use encoding::{CURSOR, DESKTOP_SIZE, EXTENDED_DESKTOP_SIZE, FENCE};
    let mut clients = [
        desk.client_with(0, &[encoding::ZRLE, encoding::COPY_RECT, CURSOR, EXTENDED_DESKTOP_SIZE]),
        // JPEG, then exact
        desk.client_with(0, &[encoding::TIGHT, -23, CURSOR, DESKTOP_SIZE]),
        desk.client_with(0, &[encoding::HEXTILE, encoding::RRE, CURSOR]),
        desk.client_with(1, &[encoding::ZRLE, CURSOR, EXTENDED_DESKTOP_SIZE]),
        desk.client_with(2, &[encoding::RAW, CURSOR, EXTENDED_DESKTOP_SIZE, FENCE]),
    ];
    let plain_canvas = clients[2].init().size;
    let mut chance = Chance(0x5eed_1234);
    for _ in 0..CHANGES {
        let size = desk.size();
        match chance.below(5) {
            0 | 1 => {
                let other = Size::new(64 + chance.below(MOST.w - 63), 64 + chance.below(MOST.h - 63));
                clients[0].set_desktop_size(other, &[(0, other.rect())]).expect("sent");
            }
            _ => {
                let mut edges = vec![0, size.w];
                for _ in 0..chance.below(4) {
                    edges.push(chance.below(size.w));
                }
                edges.sort_unstable();
                edges.dedup_by(|b, a| *b < *a + 8);
                desk.columns(size, &edges);
            }
        }
        for _ in 0..chance.below(4) {
            let (x, y) = (chance.below(size.w), chance.below(size.h));
            let colour = u32::from(chance.below(0xff)) << 16 | u32::from(chance.below(0xffff));
            desk.fill(Rect::new(x, y, 1 + chance.below(200), 1 + chance.below(90)), colour);
        }
        for _ in 0..chance.below(6) {
            pump(&mut clients);
        }
    }
    // all wishes are answered before the storm's end is told apart from its middle
    let last = Size::new(1000, 600);
    let end = Instant::now() + PATIENCE;
    while desk.size() != last {
        clients[0].set_desktop_size(last, &[(0, last.rect())]).expect("sent");
        pump(&mut clients);
        assert!(Instant::now() < end, "the screen is {} instead of {last}", desk.size());
    }
    desk.columns(last, &[0, 400, 1000]);
    desk.fill(Rect::new(350, 200, 100, 100), 0x0012_ab34);
    let whole = desk.rgb(last.rect());
    clients[0].wait_for_picture(&whole).expect("all monitors");
    clients[1].wait_for_picture(&whole).expect("all monitors, by JPEG and then exactly");
    clients[2].wait_for_picture(&desk.on_canvas(plain_canvas)).expect("all monitors on the first canvas");
    clients[3].wait_for_picture(&desk.rgb(Rect::new(0, 0, 400, 600))).expect("the first monitor");
    clients[4].wait_for_picture(&desk.smaller(Scale::new(1, 2))).expect("all monitors, half as large");
    let log = desk.server.log();
    let (told, added) = (clients[0].picture().resize_answers().len(), log.matches("output added").count());
    assert!(told > CHANGES / 2 && added > CHANGES / 2, "no storm: {told} layouts told, {added} monitors added");
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    desk.server.stop();
}

#[test]
fn three_monitors_are_pointed_at_where_they_are_shown_at_every_scale() {
    let monitors = [
        ("m0", "300/100x720/80+0+0", "screen"),
        ("m1", "500/100x720/80+300+0", "none"),
        ("m2", "480/100x720/80+800+0", "none"),
    ];
    let listeners = ["scale = \"100%\"", "view = \"m1\"", "view = \"m2\"\nscale = \"50%\"", "scale = \"640x640\""];
    let Some(desk) = Desk::with("hits", MOST, &monitors, &listeners) else { return };
    // listener, where on its canvas, and where on the desktop: the middle of what the pixel shows
    for (listener, at, there) in [
        (0, (299, 5), (299, 5)),
        (0, (800, 719), (800, 719)),
        (1, (0, 0), (300, 0)),
        (1, (499, 300), (799, 300)),
        (2, (0, 0), (801, 1)),
        (2, (239, 359), (1279, 719)),
        (3, (149, 10), (299, 21)),
        (3, (150, 10), (301, 21)),
        (3, (639, 359), (1279, 719)),
    ] {
        let mut client = desk.client(listener);
        client.pointer(at.0, at.1, 0).expect("sent");
        let end = Instant::now() + PATIENCE;
        while desk.pointer() != there {
            assert!(Instant::now() < end, "{at:?} of listener {listener} is {:?} instead of {there:?}", desk.pointer());
            std::thread::yield_now();
        }
    }
    desk.server.stop();
}
