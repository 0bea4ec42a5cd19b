//! The demo's desktop: wallpaper, a panel, windows from back to front.

use rayon::prelude::*;

use super::font::{CELL_H, CELL_W};
use super::paint::{Area, Painter, mix};
use super::photo::Photo;
use super::plain::PAN;
use super::text::{log_line, prose_line};
use super::{Scene, SyntheticSpec};
use crate::geometry::{Rect, Region, Size};

/// Milliseconds between two lines of the terminal.
const LINE_MS: u64 = 180;
/// Pixels a second that the slow window moves, times the scale.
const DRIFT: u64 = 30;

const PANEL: u32 = 0x001b_2028;
const BAR: u32 = 0x003a_4250;
const BAR_FRONT: u32 = 0x0044_5a78;
const BAR_TEXT: u32 = 0x00e6_ebf2;
const TERMINAL: u32 = 0x0021_252b;
const PAPER: u32 = 0x00fb_faf7;
const INK: u32 = 0x0033_3a44;
const NOTE: u32 = 0x00ff_f3b8;

/// The desktop with all places worked out for its size.
pub(super) struct Desktop {
    size: Size,
    fps: u64,
    moving: bool,
    scale: i32,
    panel: Area,
    document: Area,
    photo_window: Area,
    terminal: Area,
    clock: Area,
    note: Area,
    photo: Photo,
    /// Everything that never changes behind the windows that do: wallpaper, panel, document.
    back: Vec<u32>,
}

impl std::fmt::Debug for Desktop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desktop").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Desktop {
    pub(super) fn new(spec: &SyntheticSpec) -> Self {
        let (w, h) = (i32::from(spec.size.w), i32::from(spec.size.h));
        let scale = if h >= 1_000 { 2 } else { 1 };
        let part = |x: i32, y: i32, pw: i32, ph: i32| {
            Area::new(w * x / 100, h * y / 100, (w * pw / 100).max(8), (h * ph / 100).max(8))
        };
        let photo_window = part(54, 9, 40, 46);
        let inner = (photo_window.w as usize, photo_window.h as usize);
        let mut desktop = Self {
            size: spec.size,
            fps: u64::from(spec.fps),
            moving: spec.scene == Scene::Desktop,
            scale,
            panel: Area::new(0, 0, w, 14 * scale),
            document: part(38, 44, 32, 50),
            photo_window,
            terminal: part(4, 8, 46, 52),
            clock: part(75, 66, 20, 24),
            note: part(8, 68, 22, 22),
            photo: Photo::new((inner.0 * 2).clamp(64, 3_072), inner.1.clamp(16, 2_160)),
            back: Vec::new(),
        };
        let mut back = vec![0; usize::from(spec.size.w) * usize::from(spec.size.h)];
        desktop.paint_back(&mut back);
        desktop.back = back;
        desktop
    }

    fn ms(&self, n: u64) -> u64 {
        if self.moving { n * 1000 / self.fps } else { 0 }
    }

    /// The terminal's last line in picture `n`.
    fn line(&self, n: u64) -> u64 {
        self.ms(n) / LINE_MS
    }

    fn pan(&self, n: u64) -> u64 {
        if self.moving { n * PAN % self.photo.w as u64 } else { 0 }
    }

    fn bar_height(&self) -> i32 {
        14 * self.scale
    }

    /// What a window shows below its title bar.
    fn inside(&self, window: Area) -> Area {
        let bar = self.bar_height();
        Area::new(window.x, window.y + bar, window.w, (window.h - bar).max(0))
    }

    /// Where the slow window is: to and fro along the lower edge.
    fn note_at(&self, n: u64) -> Area {
        let span = (i64::from(self.size.w) * 30 / 100).max(1) as u64;
        let way = self.ms(n) * DRIFT * self.scale as u64 / 1000 % (2 * span);
        let x = if way < span { way } else { 2 * span - way };
        Area { x: self.note.x + x as i32, ..self.note }
    }

    fn shadow(&self) -> i32 {
        7 * self.scale
    }

    /// The clock's digits.
    fn digits(&self) -> (Area, i32) {
        let inside = self.inside(self.clock);
        let scale = (inside.w / (CELL_W * 9) / 2 * 2).max(1);
        let (w, h) = (CELL_W * 8 * scale, CELL_H * scale);
        (Area::new(inside.x + (inside.w - w) / 2, inside.y + (inside.h - h) / 2, w, h), scale)
    }

    pub(super) fn changes(&self, from: u64, to: u64, out: &mut Region) {
        let all = self.size.rect();
        if self.pan(from) != self.pan(to) {
            out.add(&self.inside(self.photo_window).rect(all));
        }
        if self.line(from) != self.line(to) {
            out.add(&self.inside(self.terminal).rect(all));
        }
        if self.ms(from) / 1000 != self.ms(to) / 1000 {
            out.add(&self.digits().0.rect(all));
        }
        let (a, b) = (self.note_at(from), self.note_at(to));
        if a != b {
            out.add(&a.grown(self.shadow()).rect(all));
            out.add(&b.grown(self.shadow()).rect(all));
        }
    }

    pub(super) fn next_change(&self, n: u64) -> Option<u64> {
        self.moving.then_some(n + 1)
    }

    fn paint_back(&self, px: &mut [u32]) {
        self.wallpaper(px);
        let mut p = Painter::new(px, usize::from(self.size.w), self.size.rect());
        p.fill(self.panel, PANEL);
        let s = self.scale;
        p.within(self.panel).text(
            6 * s,
            2 * s,
            s,
            BAR_TEXT,
            "farpane  |  demo desktop  |  every pixel is made by rule",
        );
        self.paint_document(&mut p);
    }

    pub(super) fn paint(&self, px: &mut [u32], clip: Rect, n: u64) {
        let width = usize::from(self.size.w);
        let mut p = Painter::new(px, width, clip);
        // from back to front, beginning with the last window that hides all behind it
        let windows = [self.photo_window, self.terminal, self.clock, self.note_at(n)];
        let hiding = windows.iter().rposition(|window| window.rect(self.size.rect()).contains(&clip));
        if hiding.is_none() {
            let (w, h) = (i32::from(self.size.w), i32::from(self.size.h));
            p.rows(Area::new(0, 0, w, h), |x, y, px| {
                let at = y as usize * width + x as usize;
                px.copy_from_slice(&self.back[at..at + px.len()]);
            });
        }
        let paint = [Self::paint_photo, Self::paint_terminal, Self::paint_clock, Self::paint_note];
        paint[hiding.unwrap_or(0)..].iter().for_each(|paint| paint(self, &mut p, n));
    }

    fn wallpaper(&self, px: &mut [u32]) {
        let (w, h) = (i32::from(self.size.w), i32::from(self.size.h));
        px.par_chunks_mut(self.size.w.into()).enumerate().for_each(|(y, row)| {
            let y = y as i32;
            for (x, pixel) in row.iter_mut().enumerate() {
                let x = x as i32;
                let slope = ((x * 96 / w.max(1)) + (y * 160 / h.max(1))).clamp(0, 256) as u32;
                let mut colour = mix(0x0014_3a52, 0x005b_3f78, slope);
                // three broad bands of light from the lower left
                for (k, light) in [(0, 14u32), (1, 18), (2, 22)] {
                    if (y - h) * 2 + x * (3 + k) / 2 > h / 2 - k * h / 3 && x < w * (5 + 2 * k) / 10 {
                        colour = mix(colour, 0x0086_c5da, light);
                    }
                }
                *pixel = colour;
            }
        });
    }

    fn frame(&self, p: &mut Painter<'_>, window: Area, front: bool, title: &str) {
        let s = self.scale;
        let reach = window.grown(self.shadow());
        if p.skips(reach) {
            return;
        }
        p.shadow(window, self.shadow());
        let bar = Area { h: self.bar_height(), ..window };
        let mut p = p.within(bar);
        p.fill(bar, if front { BAR_FRONT } else { BAR });
        p.fill(Area { h: s.min(2), ..bar }, mix(BAR_TEXT, BAR_FRONT, 200));
        for (i, colour) in [0x00e0_6c75, 0x00e5_c07b, 0x0098_c379].into_iter().enumerate() {
            p.spot(bar.x + (5 + 10 * i as i32) * s, bar.y + 4 * s, 7 * s, colour);
        }
        p.text(bar.x + 38 * s, bar.y + 2 * s, s, BAR_TEXT, title);
    }

    fn paint_terminal(&self, p: &mut Painter<'_>, n: u64) {
        let (s, inside) = (self.scale, self.inside(self.terminal));
        self.frame(p, self.terminal, false, "terminal - watch the line");
        if p.skips(inside) {
            return;
        }
        let mut p = p.within(inside);
        p.fill(inside, TERMINAL);
        let (rows, columns) = (inside.h / (CELL_H * s), (inside.w - 8 * s).max(0) / (CELL_W * s));
        for row in 0..rows {
            let (colour, mut line) = log_line(self.line(n) + row as u64);
            line.truncate(columns as usize);
            p.text(inside.x + 4 * s, inside.y + row * CELL_H * s, s, colour, &line);
        }
    }

    fn paint_photo(&self, p: &mut Painter<'_>, n: u64) {
        let inside = self.inside(self.photo_window);
        self.frame(p, self.photo_window, false, "photograph - panning");
        let pan = self.pan(n) as usize;
        p.rows(inside, |x, y, px| self.photo.copy_row(pan + (x - inside.x) as usize, (y - inside.y) as usize, px));
    }

    fn paint_document(&self, p: &mut Painter<'_>) {
        let (s, inside) = (self.scale, self.inside(self.document));
        self.frame(p, self.document, false, "letter.txt - editor");
        if p.skips(inside) {
            return;
        }
        let mut p = p.within(inside);
        p.fill(inside, PAPER);
        p.fill(Area { w: 26 * s, ..inside }, 0x00ec_eae4);
        let columns = (inside.w - 40 * s).max(0) / (CELL_W * s);
        for row in 0..inside.h / (12 * s) {
            let y = inside.y + row * 12 * s + s;
            p.text(inside.x + 4 * s, y, s, 0x00a0_a4aa, &format!("{:3}", row + 1));
            p.text(inside.x + 34 * s, y, s, INK, &prose_line(row as u32, columns as usize));
        }
    }

    fn paint_clock(&self, p: &mut Painter<'_>, n: u64) {
        let inside = self.inside(self.clock);
        self.frame(p, self.clock, false, "since the start");
        let mut p = p.within(inside);
        p.fill(inside, 0x0012_1a24);
        let seconds = self.ms(n) / 1000;
        let (at, scale) = self.digits();
        let mut p = p.within(at);
        let text = format!("{:02}:{:02}:{:02}", seconds / 3600 % 100, seconds / 60 % 60, seconds % 60);
        p.text(at.x, at.y, scale, 0x007f_dbca, &text);
    }

    fn paint_note(&self, p: &mut Painter<'_>, n: u64) {
        let s = self.scale;
        let window = self.note_at(n);
        let inside = self.inside(window);
        self.frame(p, window, true, "a slow window");
        if p.skips(inside) {
            return;
        }
        let mut p = p.within(inside);
        p.fill(inside, NOTE);
        for (i, line) in
            ["This window drifts to and fro.", "What it uncovers is painted anew,", "what it keeps is only moved."]
                .iter()
                .enumerate()
        {
            p.text(inside.x + 8 * s, inside.y + (8 + 14 * i as i32) * s, s, 0x0050_4a30, line);
        }
        let lines = inside.h / (14 * s);
        for i in 4..lines {
            p.veil(Area::new(inside.x + 8 * s, inside.y + 14 * s * i, inside.w - 16 * s, s), 0x00b0_a060, 90);
        }
    }
}
