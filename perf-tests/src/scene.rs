//! What a workload draws, as plain operations: the same list goes to an X server and, in tests, to a picture in memory.

use crate::definition::{Definition, SceneKind};
use crate::marker::{self, MARKER_H, MARKER_W};
use crate::paint::{Area, CELL_H, CELL_W, Picture, Theme, desktop, glyph_cell, photo, slide, text_page, web_page};

/// One drawing request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A part of a picture of the scene.
    Put {
        /// Which one.
        picture: usize,
        /// Left column in it.
        from_x: u32,
        /// Top row in it.
        from_y: u32,
        /// Where it goes, and how large it is.
        to: Area,
    },
    /// A part of the screen, copied on the screen.
    Copy {
        /// Left column of the source.
        from_x: u32,
        /// Top row of the source.
        from_y: u32,
        /// Where it goes, and how large it is.
        to: Area,
    },
    /// A rectangle of one colour.
    Fill(Area, u32),
}

/// A workload at a size: its pictures and its frames.
#[derive(Debug)]
pub struct Scene {
    /// The workload.
    pub definition: Definition,
    /// Screen columns.
    pub w: u32,
    /// Screen rows.
    pub h: u32,
    /// What `Put` takes from.
    pub pictures: Vec<Picture>,
    /// What a frame changes.
    pub timed: Area,
    /// Where the frame number is shown; a frame is seen when all of them show it.
    pub markers: Vec<(u32, u32)>,
}

/// Bars above and below what scrolls, which hold the markers.
const BAR: u32 = 48;
/// Where letters are typed: the first of them.
const TYPED: (u32, u32) = (40, 100);
/// Letters in a typed line.
const LINE: u32 = 40;
/// Rows between typed lines.
const LINE_STEP: u32 = 2 * CELL_H;
/// Columns and rows that a still photograph's window may wander.
const MARGIN: u32 = 211;

fn corners(a: Area) -> Vec<(u32, u32)> {
    let (right, bottom) = (a.x + a.w - MARKER_W, a.y + a.h - MARKER_H);
    vec![
        (a.x, a.y),
        (right, a.y),
        (a.x + (a.w - MARKER_W) / 2, a.y + (a.h - MARKER_H) / 2),
        (a.x, bottom),
        (right, bottom),
    ]
}

impl Scene {
    /// Makes the pictures of a workload: the slow part, done once for all servers.
    pub fn new(definition: &Definition, w: u32, h: u32) -> Self {
        let seed = u64::from(definition.seed);
        let page = Area::new(0, BAR, w, h - 2 * BAR);
        let whole = Area::new(0, 0, w, h);
        let bars = vec![(8, 4), (w - MARKER_W - 8, 4), (8, h - BAR + 4), (w - MARKER_W - 8, h - BAR + 4)];
        let photos = |w: u32, h: u32| -> Vec<Picture> {
            std::thread::scope(|s| {
                let made: Vec<_> = (0..definition.pictures.max(1))
                    .map(|moment| s.spawn(move || photo(w + MARGIN, h + MARGIN, seed as u32, moment)))
                    .collect();
                made.into_iter().map(|m| m.join().expect("the painter does not panic")).collect()
            })
        };
        // rows of the endless page: whole steps, and more than a screen of them
        let rows = |step: u32| (page.h.div_ceil(step) + 8) * step;
        let step = definition.step.max(1);
        let (timed, markers, pictures) = match definition.scene {
            SceneKind::Scroll | SceneKind::ScrollRedraw => {
                (page, bars, vec![desktop(w, h, seed), text_page(w, rows(step), seed, &Theme::DARK)])
            }
            SceneKind::Web => (page, bars, vec![desktop(w, h, seed), web_page(w, rows(step), seed)]),
            SceneKind::Drag => {
                let window = text_page(w * 3 / 10, h * 3 / 10, seed, &Theme::LIGHT);
                let ground = photo(w, h, seed as u32, 0);
                (Area::new(0, BAR, w, h - 2 * BAR), bars, vec![ground, window])
            }
            SceneKind::Video | SceneKind::VideoTyping => {
                // a region of two thirds the width of a 1080p screen, 1080p of a larger one
                let (vw, vh) = if w <= 1920 { (w * 2 / 3, h * 2 / 3) } else { (1920, 1080) };
                let region = Area::new(w - vw - 24, h - vh - 24, vw, vh);
                let mut pictures = vec![desktop(w, h, seed)];
                pictures.extend(photos(vw, vh));
                (region, corners(region), pictures)
            }
            SceneKind::VideoFull => {
                let mut pictures = vec![Picture::new(1, 1, 0)];
                pictures.extend(photos(w, h));
                (whole, corners(whole), pictures)
            }
            SceneKind::Text => {
                let page = text_page(w + MARGIN, rows(step) + BAR * 2, seed, &Theme::DARK);
                (whole, corners(whole), vec![Picture::new(1, 1, 0), page])
            }
            SceneKind::Slides => {
                let mut pictures = vec![Picture::new(1, 1, 0)];
                pictures.extend((0..definition.pictures).map(|i| slide(w, h, seed + u64::from(i))));
                (whole, corners(whole), pictures)
            }
            SceneKind::Typing | SceneKind::Idle => {
                let line = Area::new(TYPED.0, TYPED.1, LINE * CELL_W, LINE_STEP);
                (line, Vec::new(), vec![photo(w, h, seed as u32, 0), Picture::new(1, 1, 0)])
            }
        };
        let mut scene = Self { definition: definition.clone(), w, h, pictures, timed, markers };
        if scene.has_letters() {
            scene.pictures.extend(('a'..='z').map(|c| glyph_cell(c, Theme::DARK.inks[c as usize % 6], &Theme::DARK)));
        }
        scene
    }

    /// Whether letters can be typed.
    pub fn has_letters(&self) -> bool {
        matches!(self.definition.scene, SceneKind::Typing | SceneKind::VideoTyping)
    }

    /// Draws everything that is there before the first frame.
    pub fn start(&self) -> Vec<Op> {
        let mut ops = vec![Op::Fill(Area::new(0, 0, self.w, self.h), 0)];
        let ground = &self.pictures[0];
        if ground.w > 1 {
            ops.push(Op::Put { picture: 0, from_x: 0, from_y: 0, to: Area::new(0, 0, ground.w, ground.h) });
        }
        if self.has_letters() {
            // the page that is typed on
            let page = Area::new(TYPED.0 - 8, TYPED.1 - 8, LINE * CELL_W + 16, 8 * LINE_STEP + 16);
            ops.push(Op::Fill(page, Theme::DARK.page));
        }
        match self.definition.scene {
            SceneKind::Typing | SceneKind::Idle => {}
            _ => ops.extend(self.frame_ops(0, true)),
        }
        ops
    }

    /// What frame `n` draws; frames are numbered from 1.
    pub fn frame(&self, n: u32) -> Vec<Op> {
        self.frame_ops(n, false)
    }

    fn frame_ops(&self, n: u32, first: bool) -> Vec<Op> {
        let (t, step) = (self.timed, self.definition.step.max(1));
        let mut ops = Vec::new();
        match self.definition.scene {
            SceneKind::Scroll if !first => {
                let rows = self.pictures[1].h;
                ops.push(Op::Copy { from_x: t.x, from_y: t.y + step, to: Area::new(t.x, t.y, t.w, t.h - step) });
                // the last rows of the page as it now stands
                let row = (n * step + t.h - step) % rows;
                self.put_wrapped(&mut ops, 1, 0, row, Area::new(t.x, t.y + t.h - step, t.w, step));
            }
            SceneKind::Scroll | SceneKind::ScrollRedraw | SceneKind::Web => {
                self.put_wrapped(&mut ops, 1, 0, n * step % self.pictures[1].h, t);
            }
            SceneKind::Text => {
                let page = &self.pictures[1];
                let room = page.h - t.h;
                ops.push(Op::Put { picture: 1, from_x: n * 11 % MARGIN, from_y: n * step % room, to: t });
            }
            SceneKind::Drag => self.drag(&mut ops, n, first),
            SceneKind::Video | SceneKind::VideoFull | SceneKind::VideoTyping => {
                let moments = self.definition.pictures.max(1);
                let (x, y) = (n * 7 % MARGIN, n * 5 % MARGIN);
                ops.push(Op::Put { picture: 1 + (n % moments) as usize, from_x: x, from_y: y, to: t });
            }
            SceneKind::Slides => {
                let picture = 1 + (n % self.definition.pictures.max(1)) as usize;
                ops.push(Op::Put { picture, from_x: 0, from_y: 0, to: t });
            }
            SceneKind::Typing => ops.extend(self.type_letter(n.saturating_sub(1))),
            SceneKind::Idle => {}
        }
        for (x, y) in &self.markers {
            ops.extend(marker::draw(*x, *y, n).into_iter().map(|(area, colour)| Op::Fill(area, colour)));
        }
        ops
    }

    /// A part of a picture whose rows repeat without end.
    fn put_wrapped(&self, ops: &mut Vec<Op>, picture: usize, from_x: u32, from_y: u32, to: Area) {
        let (mut row, mut y, mut left) = (from_y, to.y, to.h);
        while left > 0 {
            let h = left.min(self.pictures[picture].h - row);
            ops.push(Op::Put { picture, from_x, from_y: row, to: Area::new(to.x, y, to.w, h) });
            (row, y, left) = (0, y + h, left - h);
        }
    }

    /// Where the dragged window is in frame `n`: it bounces off the edges.
    fn window_at(&self, n: u32) -> Area {
        let (t, window) = (self.timed, &self.pictures[1]);
        let bounce = |n: u32, speed: u32, room: u32| {
            let at = n * speed % (2 * room);
            at.min(2 * room - at)
        };
        let (x, y) = (bounce(n, 13, t.w - window.w), bounce(n, 7, t.h - window.h));
        Area::new(t.x + x, t.y + y, window.w, window.h)
    }

    fn drag(&self, ops: &mut Vec<Op>, n: u32, first: bool) {
        let now = self.window_at(n);
        if first {
            ops.push(Op::Put { picture: 1, from_x: 0, from_y: 0, to: now });
            return;
        }
        let old = self.window_at(n - 1);
        ops.push(Op::Copy { from_x: old.x, from_y: old.y, to: now });
        // the ground that the window left: a column and a row
        let mut uncover = |to: Area| {
            if to.w > 0 && to.h > 0 {
                ops.push(Op::Put { picture: 0, from_x: to.x, from_y: to.y, to });
            }
        };
        let (dx, dy) = (now.x.abs_diff(old.x), now.y.abs_diff(old.y));
        uncover(Area::new(if now.x > old.x { old.x } else { now.x + now.w }, old.y, dx, old.h));
        uncover(Area::new(old.x, if now.y > old.y { old.y } else { now.y + now.h }, old.w, dy));
    }

    /// Where letter `k` (from 0) stands.
    pub fn letter_at(k: u32) -> Area {
        Area::new(TYPED.0 + k % LINE * CELL_W, TYPED.1 + k / LINE % 8 * LINE_STEP, CELL_W, CELL_H)
    }

    /// The picture of letter `k`.
    pub fn letter_picture(&self, k: u32) -> usize {
        // when all places are taken, they are written over by other letters
        self.pictures.len() - 26 + ((k + k / (8 * LINE)) % 26) as usize
    }

    /// Draws letter `k`.
    pub fn type_letter(&self, k: u32) -> Vec<Op> {
        vec![Op::Put { picture: self.letter_picture(k), from_x: 0, from_y: 0, to: Self::letter_at(k) }]
    }

    /// Pixels that a frame changes at most.
    pub fn changed_px(&self) -> u64 {
        match self.definition.scene {
            SceneKind::Typing => u64::from(CELL_W * CELL_H),
            SceneKind::Idle => 0,
            SceneKind::Drag => self.window_at(1).px(),
            _ => self.timed.px(),
        }
    }
}

/// Carries operations out on a picture in memory.
pub fn apply(screen: &mut Picture, pictures: &[Picture], ops: &[Op]) {
    for op in ops {
        match op {
            Op::Fill(area, colour) => screen.fill(*area, *colour),
            Op::Put { picture, from_x, from_y, to } => {
                for row in 0..to.h {
                    let from = &pictures[*picture].row(from_y + row)[*from_x as usize..][..to.w as usize];
                    screen.row_mut(to.y + row)[to.x as usize..][..to.w as usize].copy_from_slice(from);
                }
            }
            Op::Copy { from_x, from_y, to } => {
                let part: Vec<Vec<u32>> = (0..to.h)
                    .map(|row| screen.row(from_y + row)[*from_x as usize..][..to.w as usize].to_vec())
                    .collect();
                for (row, from) in (0_u32..).zip(&part) {
                    screen.row_mut(to.y + row)[to.x as usize..][..to.w as usize].copy_from_slice(from);
                }
            }
        }
    }
}
