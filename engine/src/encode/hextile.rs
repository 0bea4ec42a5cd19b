//! Encoding 5, Hextile: tiles of 16x16 pixels as a background and small rectangles, or raw.
//!
//! Source: RFC 6143 section 7.7.4. The background carries over from tile to tile but not across a raw one; the
//! foreground also not across a tile with coloured rectangles.

use super::rre::Boxes;
use super::scratch::{Picture, Tools};
use super::{Encoded, Params, number};
use crate::geometry::Rect;
use crate::pixel::PixelBytes;

const TILE: u16 = 16;
const RAW: u8 = 1;
const BACKGROUND: u8 = 2;
const FOREGROUND: u8 = 4;
const SUBRECTS: u8 = 8;
const COLOURED: u8 = 16;

/// Colours that the client still knows from the tile before.
#[derive(Default)]
struct Known {
    background: Option<u32>,
    foreground: Option<u32>,
}

/// Encoding 5.
pub(super) fn encode(picture: Picture<'_>, params: &Params, tools: &mut Tools) -> Encoded {
    let form = PixelBytes::pixel(&params.format);
    let mut head = Vec::new();
    let mut known = Known::default();
    let mut tile = Vec::with_capacity(usize::from(TILE) * usize::from(TILE));
    let r = picture.rect;
    for y in (r.y..r.bottom()).step_by(TILE.into()) {
        for x in (r.x..r.right()).step_by(TILE.into()) {
            let part =
                Rect::from_corners(x, y, r.right().min(x.saturating_add(TILE)), r.bottom().min(y.saturating_add(TILE)));
            tile.clear();
            picture.rows(&part).for_each(|row| tile.extend_from_slice(row));
            push_tile(&tile, part.w.into(), form, &mut known, tools, &mut head);
        }
    }
    Encoded { rect: r, encoding: number::HEXTILE, head, chunk: None, lossy: false }
}

fn push_tile(tile: &[u32], width: usize, form: PixelBytes, known: &mut Known, tools: &mut Tools, out: &mut Vec<u8>) {
    let start = out.len();
    // 256 pixels have at most 256 colours
    tools.palette.start(256);
    let mut counts = [0u16; 256];
    for v in tile {
        if let Some(i) = tools.palette.index(*v) {
            counts[usize::from(i)] += 1;
        }
    }
    let colours = tools.palette.values();
    let most = (0..colours.len()).max_by_key(|i| (counts[*i], std::cmp::Reverse(*i))).unwrap_or(0);
    let background = colours[most];
    out.push(0);
    let mut mask = 0;
    if known.background != Some(background) {
        mask |= BACKGROUND;
        form.push(background, out);
    }
    let foreground = match colours {
        [a, b] => Some(if background == *a { *b } else { *a }),
        _ => None,
    };
    if let Some(foreground) = foreground
        && known.foreground != Some(foreground)
    {
        mask |= FOREGROUND;
        form.push(foreground, out);
    }
    if colours.len() > 1 {
        mask |= if foreground.is_none() { SUBRECTS | COLOURED } else { SUBRECTS };
        let count_at = out.len();
        out.push(0);
        let mut count = 0u8;
        let mut boxes = Boxes::new(tile, width, background, &mut tools.indices);
        while let Some((value, [x, y, w, h])) = boxes.next_box() {
            if count == u8::MAX || out.len() - start > tile.len() * form.len() {
                out.truncate(start);
                out.push(RAW);
                form.push_row(tile, out);
                *known = Known::default();
                return;
            }
            count += 1;
            if foreground.is_none() {
                form.push(value, out);
            }
            out.extend_from_slice(&[(x << 4 | y) as u8, ((w - 1) << 4 | (h - 1)) as u8]);
        }
        out[count_at] = count;
    }
    out[start] = mask;
    known.background = Some(background);
    match (foreground, mask & COLOURED) {
        (Some(_), _) => known.foreground = foreground,
        (None, 0) => {}
        (None, _) => known.foreground = None,
    }
}
