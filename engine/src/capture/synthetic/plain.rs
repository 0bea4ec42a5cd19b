//! The scenes that fill the screen with one kind of content: typing, scrolling text, video and noise.

use super::font::CELL_H;
use super::paint::{Area, Painter, hash};
use super::photo::Photo;
use super::text::log_line;
use super::{Scene, SyntheticSpec};
use crate::geometry::{Rect, Region, Size};

/// A letter of the typing scene, its cell with the gap to the next included.
const LETTER: (i32, i32) = (12, 24);
/// Pixels that the photograph pans with every picture.
pub(super) const PAN: u64 = 7;
const PAPER: u32 = 0x00fb_faf7;
const INK: u32 = 0x0023_2931;
const TERMINAL: u32 = 0x0021_252b;

/// A screen full of one thing.
pub(super) struct Plain {
    size: Size,
    fps: u64,
    what: What,
}

enum What {
    Typing,
    Scroll,
    Video(Photo),
    Noise,
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plain").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Plain {
    pub(super) fn new(spec: &SyntheticSpec) -> Self {
        let (w, h) = (usize::from(spec.size.w), usize::from(spec.size.h));
        let what = match spec.scene {
            Scene::Scroll => What::Scroll,
            Scene::Video => What::Video(Photo::new((w + w / 2).clamp(64, 2_560), h.min(4_320))),
            Scene::Noise => What::Noise,
            Scene::Typing | Scene::Desktop | Scene::Still => What::Typing,
        };
        Self { size: spec.size, fps: u64::from(spec.fps), what }
    }

    fn columns(&self) -> u64 {
        (u64::from(self.size.w).saturating_sub(8) / LETTER.0 as u64).max(1)
    }

    fn lines(&self) -> u64 {
        (u64::from(self.size.h).saturating_sub(8) / LETTER.1 as u64).max(1)
    }

    /// The last letter that picture `n` shows.
    fn letter(&self, n: u64) -> u64 {
        n * 10 / self.fps
    }

    /// Where letter `i` stands: the 10x20 pixels it may change.
    fn place(&self, i: u64) -> Area {
        let at = i % (self.columns() * self.lines());
        let (column, line) = ((at % self.columns()) as i32, (at / self.columns()) as i32);
        Area::new(4 + column * LETTER.0, 4 + line * LETTER.1, 10, 20)
    }

    pub(super) fn paint(&self, px: &mut [u32], clip: Rect, n: u64) {
        let width = usize::from(self.size.w);
        let (w, h) = (i32::from(self.size.w), i32::from(self.size.h));
        let all = Area::new(0, 0, w, h);
        let mut p = Painter::new(px, width, clip);
        match &self.what {
            What::Typing => {
                p.fill(all, PAPER);
                let last = self.letter(n);
                for i in last - last % (self.columns() * self.lines())..=last {
                    let cell = self.place(i);
                    if !p.skips(cell) {
                        let c = char::from(b'a' + (hash(i as u32) % 26) as u8);
                        p.text(cell.x, cell.y, 2, INK, c.encode_utf8(&mut [0; 4]));
                    }
                }
            }
            What::Scroll => {
                p.fill(all, TERMINAL);
                for row in 0..=h / (CELL_H * 2) {
                    let (colour, line) = log_line(n + row as u64);
                    p.text(8, row * CELL_H * 2, 2, colour, &line);
                }
            }
            What::Video(photo) => {
                let pan = (n * PAN % photo.w as u64) as usize;
                p.rows(all, |x, y, px| photo.copy_row(pan + x as usize, y as usize, px));
            }
            What::Noise => p.rows(all, |x, y, px| {
                let row = hash(hash(n as u32) ^ y as u32);
                for (i, p) in px.iter_mut().enumerate() {
                    *p = hash(row ^ (x as u32 + i as u32)) & 0x00ff_ffff;
                }
            }),
        }
    }

    pub(super) fn changes(&self, from: u64, to: u64, out: &mut Region) {
        let all = self.size.rect();
        if !matches!(self.what, What::Typing) {
            out.add(&all);
            return;
        }
        let (a, b) = (self.letter(from.min(to)), self.letter(from.max(to)));
        let page = self.columns() * self.lines();
        if a == b {
            return;
        }
        if a / page != b / page {
            out.add(&all);
        } else if b - a <= 8 {
            (a + 1..=b).for_each(|i| out.add(&self.place(i).rect(all)));
        } else {
            let (top, bottom) = (self.place(a + 1), self.place(b));
            out.add(&Area::new(0, top.y, i32::from(all.w), bottom.y + bottom.h - top.y).rect(all));
        }
    }

    pub(super) fn next_change(&self, n: u64) -> u64 {
        match self.what {
            What::Typing => ((self.letter(n) + 1) * self.fps).div_ceil(10).max(n + 1),
            _ => n + 1,
        }
    }
}
