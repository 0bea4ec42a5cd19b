//! Flat user interface: panels, buttons, gradients; whole desktops, web pages and slides.

use super::text::{CELL_H, CELL_W, Theme, text_page, write};
use super::{Area, Picture, Random, mix, photo};

fn gradient(out: &mut Picture, area: Area, from: u32, to: u32) {
    for row in 0..area.h {
        out.fill(Area::new(area.x, area.y + row, area.w, 1), mix(from, to, row * 255 / area.h.max(1)));
    }
}

fn frame(out: &mut Picture, area: Area, colour: u32) {
    out.fill(Area::new(area.x, area.y, area.w, 1), colour);
    out.fill(Area::new(area.x, area.y + area.h - 1, area.w, 1), colour);
    out.fill(Area::new(area.x, area.y, 1, area.h), colour);
    out.fill(Area::new(area.x + area.w - 1, area.y, 1, area.h), colour);
}

fn button(out: &mut Picture, area: Area, label: &str) {
    gradient(out, area, 0xf4f5f7, 0xdcdfe4);
    frame(out, area, 0x9aa0a8);
    let y = area.y + (area.h.saturating_sub(CELL_H)) / 2;
    write(out, area.x + 9, y, label, (CELL_W, CELL_H), (0x30343a, 0xe8eaee));
}

/// A desktop: a bar of buttons above, a side list, and a text window over a flat ground.
pub fn desktop(w: u32, h: u32, seed: u64) -> Picture {
    let mut out = Picture::new(w, h, 0x35506b);
    gradient(&mut out, Area::new(0, 0, w, h), 0x3b5872, 0x223344);
    out.fill(Area::new(0, 0, w, 40), 0xe9ebee);
    for i in 0..w / 170 {
        button(&mut out, Area::new(8 + i * 170, 6, 150, 28), &format!("Window {}", i + 1));
    }
    let list = Area::new(16, 60, 220, h.saturating_sub(120));
    out.fill(list, 0xfafafa);
    frame(&mut out, list, 0x8a9099);
    for i in 0..list.h / 30 {
        let name = format!("folder-{:02}.d", i * 7 % 90);
        write(&mut out, list.x + 12, list.y + 6 + i * 30, &name, (CELL_W, CELL_H), (0x202428, 0xfafafa));
    }
    let text = text_page(w / 3, h / 2, seed, &Theme::LIGHT);
    out.put(&text, w / 2, h / 3);
    out
}

/// A long web page: headings, columns of text and photographs.
pub fn web_page(w: u32, h: u32, seed: u64) -> Picture {
    let mut out = Picture::new(w, h, 0xffffff);
    let mut random = Random::new(seed);
    let margin = w / 8;
    let wide = w - 2 * margin;
    // quiet margins, but no two rows alike: an even ground would not change when it scrolls
    for y in 0..h {
        let shade = 0xe4 + random.below(16);
        let colour = shade << 16 | shade << 8 | (shade + 8).min(255);
        out.fill(Area::new(0, y, margin, 1), colour);
        out.fill(Area::new(margin + wide, y, w - margin - wide, 1), colour);
    }
    let mut y = 0;
    while y < h {
        let part = Area::new(margin, y, wide, (340 + random.below(160)).min(h - y));
        gradient(&mut out, Area::new(margin, y, wide, 40.min(part.h)), 0xeef3fb, 0xcfdcf0);
        write(&mut out, margin + 16, y + 6, &format!("Section {}", y / 100), (16, 28), (0x123456, 0xe0e8f4));
        if part.h > 40 {
            let rest = part.h - 40;
            let picture = photo(wide * 2 / 5, rest, seed as u32 ^ y, 0);
            let text = text_page(wide - picture.w, rest, seed ^ u64::from(y), &Theme::LIGHT);
            let (text_x, picture_x) =
                if random.below(2) == 0 { (margin, margin + text.w) } else { (margin + picture.w, margin) };
            out.put(&text, text_x, y + 40);
            out.put(&picture, picture_x, y + 40);
        }
        y += part.h;
    }
    out
}

/// A presentation's slide: a title over a gradient, points of text, and a photograph.
pub fn slide(w: u32, h: u32, seed: u64) -> Picture {
    let mut random = Random::new(seed);
    let (from, to) = (random.bits() & 0x7f7f7f, random.bits() & 0x7f7f7f | 0x808080);
    let mut out = Picture::new(w, h, from);
    gradient(&mut out, Area::new(0, 0, w, h), from, to);
    // a slide's own shade, so that two slides differ everywhere
    for (i, p) in out.px.iter_mut().enumerate() {
        *p ^= (seed as u32 & 1) + ((i as u32 / w) & 1) * (seed as u32 & 2);
    }
    write(&mut out, w / 16, h / 12, &format!("Slide number {seed}"), (w / 60, h / 16), (0xffffff, from));
    let card = text_page(w / 3, h / 2, seed, &Theme::LIGHT);
    out.put(&card, w / 16, h / 4);
    out.put(&photo(w / 2, h / 2, seed as u32, 0), w * 7 / 16, h / 4);
    out
}
