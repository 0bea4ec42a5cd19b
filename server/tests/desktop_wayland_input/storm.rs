//! Changes of outputs by the dozen, and what five kinds of viewers show at the end: what grim sees.
//!
//! sway takes no headless output away, neither by `disable` nor by any other word; those of Xvfb and Xorg go (`x11_views`).

use std::time::{Duration, Instant};

use farpane_engine::geometry::{Rect, Size};
use farpane_test_support::Server;
use farpane_test_support::crowd::{Crowd, Shown};
use farpane_test_support::dice::Dice;
use farpane_test_support::painter::Painter;
use farpane_test_support::sway::Sway;

use super::FARPANE;

const CHANGES: usize = 60;
/// So many changes lie between two times that all is looked at.
const LOOKED_AT: usize = 12;
/// The output that one client looks at.
const ONE: &str = "HEADLESS-2";
const TRANSFORMS: [&str; 8] = ["normal", "90", "180", "270", "flipped", "flipped-90", "flipped-180", "flipped-270"];
/// Scales as words and in sixths.
const SCALES: [(&str, u16); 3] = [("1", 6), ("1.5", 9), ("2", 12)];

/// An output as it was last told to be.
struct Output {
    name: String,
    mode: Size,
    transform: &'static str,
    scale: (&'static str, u16),
    painter: Painter,
}

impl Output {
    /// Its picture, the way it is looked at.
    fn size(&self) -> Size {
        if self.transform.ends_with("90") || self.transform.ends_with("270") {
            Size::new(self.mode.h, self.mode.w)
        } else {
            self.mode
        }
    }
}

struct Storm {
    dice: Dice,
    outputs: Vec<Output>,
    sway: Sway,
}

impl Storm {
    fn tell(&self, n: usize, words: &str) {
        self.sway.tell(&format!("output {} {words}", self.outputs[n].name));
    }

    /// A mode that every scale divides: else the compositor's own picture of it is a rounded one.
    fn mode(&mut self) -> Size {
        Size::new(6 * self.dice.within(30, 90), 6 * self.dice.within(30, 70))
    }

    fn add(&mut self) {
        let name = format!("HEADLESS-{}", self.outputs.len() + 1);
        let mode = self.mode();
        if self.outputs.len() >= 3 {
            self.sway.tell("create_output");
        }
        self.sway.tell(&format!("output {name} mode {mode} position {} 0", 1000 * self.outputs.len()));
        let painter = Painter::open(&self.sway.socket(), &name);
        let output = Output { name, mode, transform: "normal", scale: SCALES[0], painter };
        self.outputs.push(output);
        self.paint(self.outputs.len() - 1);
    }

    fn change(&mut self) {
        let n = self.dice.below(self.outputs.len() as u32) as usize;
        match self.dice.below(12) {
            0 if self.outputs.len() < 5 => self.add(),
            0..3 => {
                let mode = self.mode();
                self.outputs[n].mode = mode;
                self.tell(n, &format!("mode {mode}"));
            }
            3..6 => {
                let scale = *self.dice.pick(&SCALES);
                self.outputs[n].scale = scale;
                self.tell(n, &format!("scale {}", scale.0));
            }
            6..9 => {
                let transform = *self.dice.pick(&TRANSFORMS);
                self.outputs[n].transform = transform;
                self.tell(n, &format!("transform {transform}"));
            }
            // onto others too
            _ => {
                let (x, y) = (self.dice.within(0, 2000), self.dice.within(0, 800));
                self.tell(n, &format!("position {x} {y}"));
            }
        }
    }

    fn paint(&mut self, n: usize) {
        let (seed, dice) = (self.dice.below(0xff_ffff), &mut self.dice);
        let painter = &mut self.outputs[n].painter;
        painter.follow();
        let Size { w, h } = painter.size;
        let (x, y) = (dice.within(0, w - 1), dice.within(0, h - 1));
        let part = Rect::new(x, y, dice.within(1, w - x), dice.within(1, h - y));
        match dice.below(3) {
            0 => painter.paint(part, |_, _| seed),
            1 => painter.paint(part, |x, y| {
                (u32::from(x).wrapping_mul(2_654_435_761) ^ u32::from(y).wrapping_mul(40_503) ^ seed) >> 7
            }),
            _ => painter.paint(painter.size.rect(), |x, y| u32::from(x) * 0x2_0003 + u32::from(y) * 0x305 + seed),
        }
    }

    /// Puts the outputs side by side in any order, and returns each one's place on the canvas: pictures of outputs that lie over each other are told
    /// apart by nobody.
    fn line_up(&mut self) -> Vec<(usize, Rect)> {
        let mut order: Vec<usize> = (0..self.outputs.len()).collect();
        self.dice.shuffle(&mut order);
        let (mut x, mut at, mut row) = (0, 0, Vec::new());
        for n in order {
            self.tell(n, &format!("position {x} 0"));
            let size = self.outputs[n].size();
            row.push((n, Rect::new(at, 0, size.w, size.h)));
            x += size.w * 6 / self.outputs[n].scale.1;
            at += size.w;
        }
        row
    }

    /// What grim sees of outputs that lie so. None when there is no grim.
    fn shown(&self, row: &[(usize, Rect)]) -> Option<Shown> {
        let all = row.iter().map(|(_, r)| *r).fold(Rect::default(), |all, r| all.bounds_with(&r));
        let (size, width) = (all.size(), usize::from(all.w));
        let mut px = vec![0; size.area() as usize];
        for (n, place) in row {
            let output = &self.outputs[*n];
            // sway answers before its output has the new mode
            let end = Instant::now() + Duration::from_secs(10);
            let own = loop {
                let (seen, own) = self.sway.grim(&output.name)?;
                if seen == place.size() {
                    break own;
                }
                let told = (output.mode, output.transform, output.scale.0);
                assert!(Instant::now() < end, "{} is {seen} instead of {}: {told:?}", output.name, place.size());
                std::thread::sleep(Duration::from_millis(20));
            };
            for (y, line) in own.chunks_exact(usize::from(place.w)).enumerate() {
                px[y * width + usize::from(place.x)..][..line.len()].copy_from_slice(line);
            }
        }
        let outputs = row.iter().map(|(n, r)| (self.outputs[*n].name.clone(), *r)).collect();
        Some(Shown { size, px, outputs })
    }
}

#[test]
fn five_kinds_of_viewers_are_right_after_outputs_came_turned_scaled_and_moved() {
    let Some(sway) = Sway::start(&["640x480"; 3]) else { return };
    let mut storm = Storm { dice: Dice::new(0x5eed), outputs: Vec::new(), sway };
    (0..3).for_each(|_| storm.add());
    let config = storm.sway.dir.join("farpane.toml");
    let listener = |view: &str| format!("[[listener]]\naddress = \"127.0.0.1:0\"\nview = \"{view}\"\n");
    std::fs::write(&config, format!("security = \"none\"\n{}{}", listener("all"), listener(ONE))).expect("a file");
    let environment = storm.sway.environment();
    let mut variables: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.push(("DISPLAY", ""));
    let arguments = ["serve", "--source", "wlroots", "--config", config.to_str().expect("a plain path")];
    let server = Server::spawn_in(FARPANE, &arguments, &variables);
    let listeners = server.wait_for_listeners(2);
    let mut crowd = Crowd::join(&listeners[0], (&listeners[1], ONE));
    for n in 0..=CHANGES {
        if n % LOOKED_AT == 0 {
            let row = storm.line_up();
            if storm.shown(&row).is_none() {
                return;
            }
            crowd.until_right(&format!("after {n} changes"), || storm.shown(&row).expect("there is a grim"));
        }
        if n == CHANGES {
            break;
        }
        storm.change();
        for _ in 0..storm.dice.below(3) {
            let n = storm.dice.below(storm.outputs.len() as u32) as usize;
            storm.paint(n);
        }
        // the next change meets what this one has set going, or what is half done
        if storm.dice.below(3) > 0 {
            crowd.turn();
        }
    }
    let log = server.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
    drop(crowd);
    server.stop();
}
