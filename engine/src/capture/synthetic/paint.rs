//! Drawing into part of a picture.

use super::font::{CELL_H, CELL_W, Glyph, masks};
use crate::geometry::Rect;

/// A rectangle of the drawing plane; may lie partly outside the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) w: i32,
    pub(super) h: i32,
}

impl Area {
    pub(super) const fn new(x: i32, y: i32, w: i32, h: i32) -> Self {
        Self { x, y, w, h }
    }

    /// The same middle, `by` larger on each side (smaller when negative).
    pub(super) const fn grown(self, by: i32) -> Self {
        Self::new(self.x - by, self.y - by, self.w + 2 * by, self.h + 2 * by)
    }

    /// What of it lies in the picture.
    pub(super) fn rect(self, bounds: Rect) -> Rect {
        let clip = |v: i32| v.clamp(0, i32::from(u16::MAX)) as u16;
        Rect::from_corners(clip(self.x), clip(self.y), clip(self.x + self.w), clip(self.y + self.h)).intersect(&bounds)
    }
}

/// Mixes two pixels channel by channel: `alpha` of 256 parts are `over`.
pub(super) fn mix(under: u32, over: u32, alpha: u32) -> u32 {
    let part = |shift: u32| {
        let (a, b) = ((under >> shift) & 255, (over >> shift) & 255);
        ((a * (256 - alpha) + b * alpha) >> 8) << shift
    };
    part(16) | part(8) | part(0)
}

/// A well-mixed number for each input.
pub(super) fn hash(v: u32) -> u32 {
    let mut v = v.wrapping_mul(0x9e37_79b1) ^ 0x5bd1_e995;
    v = (v ^ (v >> 16)).wrapping_mul(0x85eb_ca6b);
    v = (v ^ (v >> 13)).wrapping_mul(0xc2b2_ae35);
    v ^ (v >> 16)
}

/// Draws into the pixels of a picture that lie inside a clip.
pub(super) struct Painter<'a> {
    px: &'a mut [u32],
    width: usize,
    clip: Rect,
}

impl<'a> Painter<'a> {
    /// Over `px`, rows of `width` pixels; `clip` lies inside.
    pub(super) fn new(px: &'a mut [u32], width: usize, clip: Rect) -> Self {
        Self { px, width, clip }
    }

    /// The same picture with what is drawn cut off at the area.
    pub(super) fn within(&mut self, area: Area) -> Painter<'_> {
        Painter { px: self.px, width: self.width, clip: area.rect(self.clip) }
    }

    /// Whether nothing of the area would be drawn.
    pub(super) fn skips(&self, area: Area) -> bool {
        area.rect(self.clip).is_empty()
    }

    /// Calls `row(x, y, pixels)` for every row of the area inside the clip.
    pub(super) fn rows(&mut self, area: Area, mut row: impl FnMut(i32, i32, &mut [u32])) {
        let r = area.rect(self.clip);
        if r.is_empty() {
            return;
        }
        for y in r.y..r.bottom() {
            let at = usize::from(y) * self.width + usize::from(r.x);
            row(i32::from(r.x), i32::from(y), &mut self.px[at..at + usize::from(r.w)]);
        }
    }

    /// One colour all over.
    pub(super) fn fill(&mut self, area: Area, colour: u32) {
        self.rows(area, |_, _, px| px.fill(colour));
    }

    /// One colour laid over what is there.
    pub(super) fn veil(&mut self, area: Area, colour: u32, alpha: u32) {
        self.rows(area, |_, _, px| px.iter_mut().for_each(|p| *p = mix(*p, colour, alpha)));
    }

    /// A round spot of diameter `d` whose box starts at (`x`, `y`).
    pub(super) fn spot(&mut self, x: i32, y: i32, d: i32, colour: u32) {
        self.rows(Area::new(x, y, d, d), |x0, row, px| {
            for (i, p) in px.iter_mut().enumerate() {
                let (u, v) = (2 * (x0 + i as i32 - x) + 1 - d, 2 * (row - y) + 1 - d);
                if u * u + v * v <= d * d {
                    *p = colour;
                }
            }
        });
    }

    /// The soft dark edge around a window, `depth` pixels wide.
    pub(super) fn shadow(&mut self, window: Area, depth: i32) {
        // the window itself covers what is within: only the four edges around it are painted
        let Area { x, y, w, h } = window;
        let edges = [
            Area::new(x - depth, y - depth, w + 2 * depth, depth),
            Area::new(x - depth, y, depth, h),
            Area::new(x + w, y, depth, h),
            Area::new(x - depth, y + h, w + 2 * depth, depth),
        ];
        for edge in edges {
            self.shadow_edge(window, depth, edge);
        }
    }

    fn shadow_edge(&mut self, window: Area, depth: i32, edge: Area) {
        self.rows(edge, |x0, y, px| {
            let dy = (window.y - y).max(y - (window.y + window.h - 1)).max(0);
            for (i, p) in px.iter_mut().enumerate() {
                let x = x0 + i as i32;
                let dx = (window.x - x).max(x - (window.x + window.w - 1)).max(0);
                let far = dx.max(dy) + dx.min(dy) / 2;
                if far > 0 && far < depth {
                    *p = mix(*p, 0, (90 * (depth - far) / depth) as u32);
                }
            }
        });
    }

    /// A line of text whose first cell starts at (`x`, `y`).
    pub(super) fn text(&mut self, x: i32, y: i32, scale: i32, colour: u32, text: &str) {
        for (i, c) in text.chars().enumerate() {
            let cell = Area::new(x + i as i32 * CELL_W * scale, y, CELL_W * scale, CELL_H * scale);
            if c == ' ' || self.skips(cell) {
                continue;
            }
            if let Some(masks) = masks(c, scale) {
                self.rows(cell, |x0, row, px| {
                    let mut bits = masks[(row - cell.y) as usize] >> (x0 - cell.x);
                    while bits != 0 {
                        // what the clip cuts off on the right is not in `px`
                        let Some(p) = px.get_mut(bits.trailing_zeros() as usize) else { break };
                        *p = colour;
                        bits &= bits - 1;
                    }
                });
                continue;
            }
            let glyph = Glyph::of(c);
            self.rows(cell, |x0, row, px| {
                for (i, p) in px.iter_mut().enumerate() {
                    if glyph.pixel(x0 + i as i32 - cell.x, row - cell.y, scale) {
                        *p = colour;
                    }
                }
            });
        }
    }
}
