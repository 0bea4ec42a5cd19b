//! Pages of coloured text with smoothed edges, as a terminal or an editor shows.

use super::font::coverage;
use super::{Picture, Random, mix};
use std::collections::BTreeMap;

/// Columns of a character cell.
pub const CELL_W: u32 = 10;
/// Rows of a character cell: a prime number, so that scrolling by lines pans by primes.
pub const CELL_H: u32 = 19;

const WORDS: &str = "the of and to in is that for it as was with be by on not he from are this have an which one you were \
    all had her she there would their we him been has when who will no more if out so what up into do any your some other \
    than then fn let mut pub use impl struct match return while u32 usize self Some None Ok Err Vec String static const \
    size width height frame update region pixel buffer stream encode decode client server screen window 0x1f 4096 1280 \
    720 255 +1 -1 == => <= (x, y) {} ; : / _ = Makefile README.md src/lib.rs target/release";

/// Colours of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// The page.
    pub page: u32,
    /// The inks, taken in turn at random.
    pub inks: [u32; 6],
}

impl Theme {
    /// Bright inks on a dark page.
    pub const DARK: Theme =
        Theme { page: 0x1c2230, inks: [0xd8dee9, 0x8fbcbb, 0xa3be8c, 0xebcb8b, 0xd08770, 0xb48ead] };
    /// Dark inks on a white page.
    pub const LIGHT: Theme =
        Theme { page: 0xffffff, inks: [0x202124, 0x202124, 0x1a0dab, 0x006621, 0x444950, 0x8a2be2] };
}

/// Draws a text; returns the column after it.
pub(super) fn write(out: &mut Picture, x: u32, y: u32, text: &str, cell: (u32, u32), colours: (u32, u32)) -> u32 {
    let mut glyphs: BTreeMap<char, Vec<u8>> = BTreeMap::new();
    let mut left = x;
    for c in text.chars() {
        let glyph = glyphs.entry(c).or_insert_with(|| coverage(c, cell.0, cell.1));
        stamp(out, left, y, glyph, cell, colours);
        left += cell.0;
    }
    left
}

fn stamp(out: &mut Picture, x: u32, y: u32, glyph: &[u8], cell: (u32, u32), (ink, page): (u32, u32)) {
    for row in 0..cell.1.min(out.h.saturating_sub(y)) {
        for column in 0..cell.0.min(out.w.saturating_sub(x)) {
            let cover = glyph[(row * cell.0 + column) as usize];
            if cover > 0 {
                out.row_mut(y + row)[(x + column) as usize] = mix(page, ink, cover.into());
            }
        }
    }
}

/// A page full of text, every line another one.
pub fn text_page(w: u32, h: u32, seed: u64, theme: &Theme) -> Picture {
    let mut out = Picture::new(w, h, theme.page);
    let mut random = Random::new(seed);
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut glyphs: BTreeMap<char, Vec<u8>> = BTreeMap::new();
    for y in (0..h).step_by(CELL_H as usize) {
        // full lines: where nothing is written, scrolling would change nothing
        let mut x = random.below(3) * CELL_W;
        let end = w + 9 * CELL_W;
        // a line number begins each line, so that no two are alike
        let mut word = format!("{:05}", (y / CELL_H).wrapping_add((seed as u32).wrapping_mul(31)) % 100_000);
        loop {
            let ink = theme.inks[random.below(6) as usize];
            for c in word.chars() {
                let glyph = glyphs.entry(c).or_insert_with(|| coverage(c, CELL_W, CELL_H));
                stamp(&mut out, x, y, glyph, (CELL_W, CELL_H), (ink, theme.page));
                x += CELL_W;
            }
            x += CELL_W;
            word = words[random.below(words.len() as u32) as usize].into();
            if x + word.len() as u32 * CELL_W >= end {
                break;
            }
        }
    }
    out
}

/// One character's cell on a page.
pub fn glyph_cell(c: char, ink: u32, theme: &Theme) -> Picture {
    let mut out = Picture::new(CELL_W, CELL_H, theme.page);
    stamp(&mut out, 0, 0, &coverage(c, CELL_W, CELL_H), (CELL_W, CELL_H), (ink, theme.page));
    out
}
