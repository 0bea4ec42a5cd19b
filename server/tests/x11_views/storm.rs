//! A hundred changes of monitors and of the canvas, and what five kinds of viewers show at the end.

use farpane_engine::geometry::{Rect, Size};
use farpane_test_support::crowd::{Crowd, Kind};
use farpane_test_support::dice::Dice;
use farpane_test_support::xvfb::Xvfb;

use super::screen::Screen;
use super::{serve, views};

const LARGEST: Size = Size { w: 1000, h: 700 };
const CHANGES: usize = 100;
/// So many changes lie between two times that all is looked at.
const LOOKED_AT: usize = 20;
/// The monitor that one client looks at.
const ONE: &str = "one";
const NAMES: [&str; 4] = [ONE, "two", "three", "four"];

fn noise(x: u16, y: u16, seed: u32) -> u32 {
    let mixed = u32::from(x).wrapping_mul(2_654_435_761) ^ u32::from(y).wrapping_mul(40_503) ^ seed;
    mixed.wrapping_mul(0x9e37_79b1) >> 8
}

struct Storm {
    screen: Screen,
    dice: Dice,
    /// Monitors that were made.
    made: Vec<&'static str>,
}

impl Storm {
    fn place(&mut self, within: Size) -> Rect {
        let (w, h) = (self.dice.within(16, within.w), self.dice.within(16, within.h));
        Rect::new(self.dice.within(0, within.w - w), self.dice.within(0, within.h - h), w, h)
    }

    fn monitor(&mut self, name: &'static str) {
        // beyond the canvas too: it may grow there
        let rect = self.place(LARGEST);
        let takes_output = self.dice.below(4) == 0;
        self.screen.set_monitor(name, rect, takes_output);
        // a monitor that takes the output of another one ends it
        let told = self.told();
        self.made.push(name);
        self.made.retain(|made| told.iter().any(|t| t == made));
        self.made.sort_unstable();
        self.made.dedup();
    }

    fn told(&self) -> Vec<String> {
        use x11rb::protocol::randr::ConnectionExt as _;
        use x11rb::protocol::xproto::ConnectionExt as _;
        let c = &self.screen.connection;
        let all = c.randr_get_monitors(self.screen.root, true).expect("sent").reply().expect("monitors").monitors;
        let name = |atom| c.get_atom_name(atom).expect("sent").reply().expect("a name").name;
        all.iter().map(|m| String::from_utf8(name(m.name)).expect("text")).collect()
    }

    fn change(&mut self) {
        match self.dice.below(10) {
            0..4 => {
                let name = *self.dice.pick(&NAMES);
                self.monitor(name);
            }
            4..7 if !self.made.is_empty() => {
                let name = self.made.remove(self.dice.below(self.made.len() as u32) as usize);
                self.screen.delete_monitor(name);
            }
            _ => {
                let size = Size::new(self.dice.within(80, LARGEST.w), self.dice.within(60, LARGEST.h));
                self.screen.set_size(size);
            }
        }
    }

    fn paint(&mut self) {
        let size = self.screen.size();
        let place = self.place(size);
        let seed = self.dice.below(u32::MAX);
        match self.dice.below(4) {
            0 => self.screen.fill(place, seed >> 8),
            1 => {
                let small = Rect::new(place.x, place.y, place.w.min(200), place.h.min(150));
                self.screen.put(small, |x, y| noise(x, y, seed));
            }
            // something like a photograph, which Tight sends lossy
            2 => {
                let small = Rect::new(place.x, place.y, place.w.min(300), place.h.min(200));
                self.screen
                    .put(small, |x, y| u32::from(x) * 0x1_0003 + u32::from(y) * 0x205 + (noise(x, y, seed) & 0x7_0707));
            }
            _ => {
                let to = (self.dice.within(0, size.w - 1), self.dice.within(0, size.h - 1));
                self.screen.copy(place, to);
            }
        }
    }
}

#[test]
fn five_kinds_of_viewers_are_right_after_a_hundred_changes_of_monitors_and_canvas() {
    for seed in [0x5eed, 0xfa2] {
        storm(seed);
    }
}

fn storm(seed: u64) {
    let Some(x) = Xvfb::start(&LARGEST.to_string()) else { return };
    let screen = Screen::open(&x.display);
    let mut storm = Storm { screen, dice: Dice::new(seed), made: Vec::new() };
    storm.screen.fill(LARGEST.rect(), 0x20_4060);
    storm.screen.set_monitor(ONE, Rect::new(100, 50, 400, 300), false);
    storm.made.push(ONE);
    storm.screen.sync();
    let (server, _config) = serve(&x.display, &views(&["all", ONE]));
    let listeners = server.listeners();
    let mut crowd = Crowd::join(&listeners[0], (&listeners[1], ONE));
    crowd.until_right("before the storm", || storm.screen.shown());
    for n in 1..=CHANGES {
        storm.change();
        for _ in 0..storm.dice.below(3) {
            storm.paint();
        }
        match storm.dice.below(4) {
            // the next change meets what this one has set going
            0 => {}
            1 => {
                let size = storm.screen.size();
                let told = format!("change {n} is told");
                crowd.client(Kind::Extended).wait_until(&told, |c| c.picture().size() == size).expect("goes on");
            }
            _ => crowd.turn(),
        }
        if n % LOOKED_AT == 0 {
            if !storm.made.contains(&ONE) {
                storm.monitor(ONE);
            }
            // whoever looks at a monitor off the screen keeps what it showed last
            if !storm.screen.monitors().iter().any(|(name, _)| name == ONE) {
                storm.screen.set_size(LARGEST);
            }
            crowd.until_right(&format!("seed {seed:#x}, after {n} changes"), || storm.screen.shown());
        }
    }
    let log = server.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    drop(crowd);
    server.stop();
}
