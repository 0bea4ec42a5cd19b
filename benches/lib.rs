//! Inputs shared by the benches.

use farpane_engine::damage::Mirror;
use farpane_engine::frame::{Frame, Hint, Memory, Piece};
use farpane_engine::geometry::{Rect, Size};
use farpane_engine::pixel::{Fourcc, Layout, Modifier};
use std::sync::Arc;
use std::time::Instant;

/// What a made picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A page of coloured, antialiased text.
    Text,
    /// A photograph: soft shapes, edges and grain.
    Photo,
    /// Windows of text over a photograph, with title bars and flat areas.
    Desktop,
    /// Panels, borders, buttons and lists with dark text: few colours.
    Ui,
    /// A smooth change of colour over the whole picture: more than 256 colours, no edge.
    Gradient,
    /// Every pixel another colour.
    Noise,
}

impl Content {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Text, Self::Ui, Self::Gradient, Self::Photo, Self::Noise, Self::Desktop];

    /// The colour of a place.
    pub fn colour(self, x: u32, y: u32) -> [u8; 3] {
        match self {
            Self::Text => text(x, y),
            Self::Photo => photo(x, y),
            Self::Desktop => desktop(x, y),
            Self::Ui => ui(x, y),
            Self::Gradient => [(x / 15) as u8, (y / 9) as u8, ((x + y) / 24) as u8],
            Self::Noise => [hash(x, y, 20) as u8, hash(x, y, 21) as u8, hash(x, y, 22) as u8],
        }
    }
}

/// A mirror that shows this content.
pub fn mirror(size: Size, content: Content) -> Mirror {
    let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
    let width = usize::from(size.w).max(1);
    for (i, pixel) in mirror.write().pixels.iter_mut().enumerate() {
        *pixel = Layout::BGRX.pixel(content.colour((i % width) as u32, (i / width) as u32));
    }
    mirror
}

/// A whole picture as a frame of which nothing is claimed.
pub fn frame(size: Size, memory: &Arc<[u32]>) -> Frame {
    Frame {
        size,
        fourcc: Fourcc::XRGB8888,
        modifier: Modifier::LINEAR,
        pieces: vec![Piece { rect: size.rect(), offset: 0, stride: usize::from(size.w) * 4 }],
        memory: Memory::Heap(memory.clone()),
        hint: Hint::Everything,
        acquire: None,
        seq: 0,
        captured_at: Instant::now(),
        release: None,
    }
}

/// The picture with a window standing in it, whose content is scrolled up by so many rows.
pub fn with_window(size: Size, picture: &[u32], rect: &Rect, content: Content, scrolled: u32) -> Vec<u32> {
    let mut out = picture.to_vec();
    for y in 0..rect.h {
        let at = usize::from(rect.y + y) * usize::from(size.w) + usize::from(rect.x);
        for (x, pixel) in out[at..at + usize::from(rect.w)].iter_mut().enumerate() {
            *pixel = Layout::BGRX.pixel(content.colour(x as u32, u32::from(y) + scrolled));
        }
    }
    out
}

fn hash(x: u32, y: u32, seed: u32) -> u32 {
    let mut v = x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77) ^ seed.wrapping_mul(0xc2b2_ae3d);
    v = (v ^ v >> 15).wrapping_mul(0x2c1b_3c6d);
    v = (v ^ v >> 12).wrapping_mul(0x297a_2d39);
    v ^ v >> 15
}

const INKS: [[u8; 3]; 8] = [
    [30, 30, 30],
    [160, 20, 30],
    [20, 90, 160],
    [20, 120, 40],
    [120, 40, 140],
    [180, 100, 10],
    [60, 60, 60],
    [0, 110, 120],
];
const PAPER: [u8; 3] = [250, 250, 246];

/// How much ink, 0 to 255, a letter of three strokes leaves on a pixel of its 9x18 box.
fn ink(letter: u32, x: u32, y: u32) -> u32 {
    if !(3..15).contains(&y) || x >= 8 {
        return 0;
    }
    let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
    let mut ink = 0.0f64;
    for stroke in 0..3 {
        let end = |n| {
            let h = hash(letter, stroke, n);
            (f64::from(h % 6) + 1.0, f64::from(h / 6 % 10) + 4.0)
        };
        let ((x0, y0), (x1, y1)) = (end(0), end(1));
        let (dx, dy) = (x1 - x0, y1 - y0);
        let t = (((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy).max(0.01)).clamp(0.0, 1.0);
        let distance = (x - x0 - t * dx).hypot(y - y0 - t * dy);
        ink = ink.max((1.3 - distance).clamp(0.0, 1.0));
    }
    (ink * 255.0) as u32
}

/// Words of two to ten letters out of 52, each word in one of eight colours, lines of differing length.
fn text(x: u32, y: u32) -> [u8; 3] {
    let (line, column) = (y / 18, x / 9);
    let word = column / 7;
    let letter = hash(column, line, 1) % 52;
    let blank = column % 7 >= 2 + hash(word, line, 2) % 5 || column % 110 > 30 + hash(column / 110, line, 3) % 80;
    if blank {
        return PAPER;
    }
    let colour = INKS[(hash(word, line, 4) % 8) as usize];
    let ink = ink(letter, x % 9, y % 18);
    std::array::from_fn(|i| ((u32::from(PAPER[i]) * (255 - ink) + u32::from(colour[i]) * ink) / 255) as u8)
}

/// Noise that is smooth at a scale of `cell` pixels, 0 to 255.
fn smooth(x: u32, y: u32, cell: u32, seed: u32) -> u32 {
    let (cx, cy, fx, fy) = (x / cell, y / cell, x % cell, y % cell);
    let at = |x, y| hash(x, y, seed) & 255;
    let row = |y| at(cx, y) * (cell - fx) + at(cx + 1, y) * fx;
    (row(cy) * (cell - fy) + row(cy + 1) * fy) / (cell * cell)
}

fn photo(x: u32, y: u32) -> [u8; 3] {
    let shape = smooth(x, y, 160, 5);
    let edge = if smooth(x, y, 90, 6) > 128 { 40 } else { 0 };
    let grain = hash(x, y, 8) % 5 + smooth(x, y, 3, 9) / 24;
    [0, 1, 2]
        .map(|c| ((shape * 2 + smooth(x, y, 230, 10 + c)) / 5 + edge + smooth(x, y, 14, 7) / 10 + grain).min(255) as u8)
}

fn desktop(x: u32, y: u32) -> [u8; 3] {
    let (wx, wy) = (x % 1280, y % 1080);
    let window = (130..1130).contains(&wx) && (97..900).contains(&wy);
    match (window, wy) {
        (false, _) => photo(x, y),
        (true, 97..125) => [60, 70, 90],
        (true, _) if wx < 290 => [235, 236, 240],
        (true, _) => text(wx - 290, wy),
    }
}

/// Panels of 480x360: a title, a border, rows of text in one ink on two backgrounds, a row of buttons.
fn ui(x: u32, y: u32) -> [u8; 3] {
    let (px, py) = (x % 480, y % 360);
    let letters = |background: [u8; 3], x: u32, y: u32| {
        let (line, column) = (y / 18, x / 9);
        let end = 6 + hash(line, x / 480, 31) % 30;
        let ink = if column % 480 < end && !hash(column, line, 32).is_multiple_of(6) {
            ink(hash(column, line, 33) % 52, x % 9, y % 18)
        } else {
            0
        };
        // four shades: what a small font leaves
        let ink = (ink + 42) / 85 * 85;
        background.map(|b| ((u32::from(b) * (255 - ink) + 40 * ink) / 255) as u8)
    };
    match (px, py) {
        (0 | 479, _) | (_, 0 | 359) => [120, 124, 130],
        (_, 1..30) => [52, 101, 164],
        (_, 310..) if px % 120 < 14 || !(318..350).contains(&py) => [238, 238, 236],
        (_, 310..) if px % 120 == 14 || px % 120 == 119 || py == 318 || py == 349 => [136, 138, 133],
        (_, 310..) => letters([220, 222, 224], px % 120 - 14, py - 310),
        _ if py / 18 % 2 == 0 => letters([255; 3], x, y),
        _ => letters([244, 246, 248], x, y),
    }
}
