//! Moves: exact whatever the scene, found where they matter, none where they save nothing.

use std::time::Instant;

use proptest::prelude::*;

use crate::damage::DamageEngine as _;
use crate::damage::tests::{Noise, feed, whole};
use crate::damage::{CpuDamage, Damage, Mirror};
use crate::geometry::{Rect, Size};
use crate::pixel::Layout;

/// A picture to draw on.
#[derive(Clone)]
struct Canvas {
    size: Size,
    pixels: Vec<u32>,
}

impl Canvas {
    fn new(w: u16, h: u16, colour: u32) -> Self {
        Self { size: Size::new(w, h), pixels: vec![colour; usize::from(w) * usize::from(h)] }
    }

    fn fill(&mut self, rect: &Rect, mut colour: impl FnMut(u16, u16) -> u32) {
        let r = rect.intersect(&self.size.rect());
        for y in r.y..r.bottom() {
            for x in r.x..r.right() {
                self.pixels[usize::from(y) * usize::from(self.size.w) + usize::from(x)] =
                    colour(x - rect.x, y - rect.y);
            }
        }
    }

    /// Draws a window with letters in it; the same seed gives the same window wherever it stands.
    fn window(&mut self, rect: &Rect, seed: u64, scrolled: u16) {
        self.fill(rect, |x, y| {
            let line = (y + scrolled) / 14;
            let inside = (y + scrolled) % 14 < 10 && x % 9 < 7;
            let mut letter =
                Noise(seed ^ (u64::from(line) << 32) ^ (u64::from(x / 9) << 8) ^ u64::from((y + scrolled) % 14));
            letter.next();
            let ink = (letter.next() >> (x % 9)) & 1 == 1;
            if inside && ink { 0x10_20_30 } else { 0xf8_f8_f0 }
        });
    }
}

/// What is wrong with a damage as a recipe from the old picture to the new one, if anything.
fn fault(old: &Canvas, new: &Canvas, damage: &Damage) -> Option<String> {
    let width = usize::from(old.size.w);
    let mut now = old.pixels.clone();
    for (i, c) in damage.copied.iter().enumerate() {
        if damage.changed.overlaps_rect(&c.to) || damage.copied[..i].iter().any(|d| d.to.overlaps(&c.to)) {
            return Some(format!("{c:?} is covered twice"));
        }
        let before = now.clone();
        for y in 0..usize::from(c.to.h) {
            let from = (usize::from(c.from.y) + y) * width + usize::from(c.from.x);
            let to = (usize::from(c.to.y) + y) * width + usize::from(c.to.x);
            now[to..to + usize::from(c.to.w)].copy_from_slice(&before[from..from + usize::from(c.to.w)]);
        }
    }
    for r in damage.changed.rects() {
        for y in r.y..r.bottom() {
            let at = usize::from(y) * width + usize::from(r.x);
            now[at..at + usize::from(r.w)].copy_from_slice(&new.pixels[at..at + usize::from(r.w)]);
        }
    }
    let wrong = now.iter().zip(&new.pixels).position(|(a, b)| a != b)?;
    Some(format!("pixel {},{} is wrong after {:?}", wrong % width, wrong / width, damage.copied))
}

/// The damage of the second of two pictures.
fn damage(old: &Canvas, new: &Canvas) -> Damage {
    let mirror = Mirror::new(old.size, Layout::BGRX, Instant::now());
    let mut engine = CpuDamage::new();
    engine.set_scroll(true);
    feed(&mut engine, &mirror, whole(old.size, &old.pixels));
    let damage = feed(&mut engine, &mirror, whole(new.size, &new.pixels));
    assert_eq!(fault(old, new, &damage), None);
    damage
}

#[test]
fn scrolled_text_is_one_copy() {
    for by in [1, 14, 42, 200] {
        let (mut old, mut new) = (Canvas::new(900, 700, 0x44_55_66), Canvas::new(900, 700, 0x44_55_66));
        let window = Rect::new(77, 33, 700, 600);
        old.window(&window, 9, 0);
        new.window(&window, 9, by);
        let damage = damage(&old, &new);
        assert_eq!(damage.copied.len(), 1, "by {by}");
        assert_eq!(i32::from(damage.copied[0].from.y) - i32::from(damage.copied[0].to.y), i32::from(by));
        assert!(damage.changed.area() < 700 * (u64::from(by) + 16), "by {by}: {:?}", damage.changed);
    }
}

#[test]
fn a_dragged_window_is_a_copy() {
    for (dx, dy) in [(5, 0), (-30, 0), (17, 9), (-8, -31), (0, 12)] {
        let desk = |x: u16, y: u16| (u32::from(x) / 3 * 7) ^ (u32::from(y) * 0x01_03_00) & 0xff_ff_ff;
        let (mut old, mut new) = (Canvas::new(1000, 800, 0), Canvas::new(1000, 800, 0));
        for canvas in [&mut old, &mut new] {
            canvas.fill(&Rect::new(0, 0, 1000, 800), desk);
        }
        let window = Rect::new(200, 150, 500, 400);
        old.window(&window, 4, 0);
        new.window(&window.translate(dx, dy), 4, 0);
        let damage = damage(&old, &new);
        let copy = damage.copied.first().unwrap_or_else(|| panic!("no copy for {dx},{dy}"));
        let moved = (i32::from(copy.to.x) - i32::from(copy.from.x), i32::from(copy.to.y) - i32::from(copy.from.y));
        assert_eq!(moved, (dx, dy));
        assert!(copy.to.area() > 180_000, "{dx},{dy}: {copy:?}");
    }
}

#[test]
fn nothing_is_copied_where_it_saves_nothing() {
    // a flat window on a flat desk
    let (mut old, mut new) = (Canvas::new(800, 600, 1), Canvas::new(800, 600, 1));
    old.fill(&Rect::new(100, 100, 300, 300), |_, _| 2);
    new.fill(&Rect::new(150, 180, 300, 300), |_, _| 2);
    assert!(damage(&old, &new).copied.is_empty());
    // one flat colour for another
    assert!(damage(&Canvas::new(800, 600, 3), &Canvas::new(800, 600, 4)).copied.is_empty());
    // noise
    let (mut a, mut b) = (Noise(1), Noise(2));
    old.fill(&Rect::new(0, 0, 800, 600), |_, _| a.next() & 0xff_ffff);
    new.fill(&Rect::new(0, 0, 800, 600), |_, _| b.next() & 0xff_ffff);
    let damage = damage(&old, &new);
    assert!(damage.copied.is_empty());
    assert_eq!(damage.changed.rects(), [old.size.rect()]);
}

#[test]
fn a_wrong_copy_is_caught() {
    let (mut old, mut new) = (Canvas::new(400, 400, 0), Canvas::new(400, 400, 0));
    old.window(&Rect::new(0, 0, 400, 400), 3, 0);
    new.window(&Rect::new(0, 0, 400, 400), 3, 14);
    let right = damage(&old, &new);
    let mut wrong = right.clone();
    wrong.copied[0].from.x += 1;
    wrong.copied[0].to.w -= 1;
    assert!(fault(&old, &new, &wrong).is_some());
    let mut twice = right.clone();
    twice.changed.add(&Rect::new(0, 0, 400, 400));
    assert!(fault(&old, &new, &twice).is_some());
    let mut short = right;
    short.changed.clear();
    assert!(fault(&old, &new, &short).is_some());
}

#[test]
fn another_mirror_of_the_same_size_is_noticed() {
    let (mut old, mut new) = (Canvas::new(400, 400, 0), Canvas::new(400, 400, 0));
    old.window(&Rect::new(0, 0, 400, 400), 3, 0);
    new.window(&Rect::new(0, 0, 400, 400), 3, 14);
    let mut engine = CpuDamage::new();
    engine.set_scroll(true);
    let first = Mirror::new(old.size, Layout::BGRX, Instant::now());
    feed(&mut engine, &first, whole(old.size, &old.pixels));
    let second = Mirror::new(old.size, Layout::BGRX, Instant::now());
    let damage = feed(&mut engine, &second, whole(new.size, &new.pixels));
    assert_eq!(fault(&Canvas::new(400, 400, 0), &new, &damage), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn copies_then_paint_give_the_new_picture(
        w in 200u16..420, h in 200u16..420, seed in any::<u64>(), frames in 2usize..5
    ) {
        let mut noise = Noise(seed);
        let mut windows: Vec<(Rect, u64, u16)> = (0..3)
            .map(|i| {
                let (x, y) = (noise.below(150) as u16, noise.below(150) as u16);
                (Rect::new(x, y, 100 + noise.below(200) as u16, 100 + noise.below(200) as u16), i, 0)
            })
            .collect();
        let mirror = Mirror::new(Size::new(w, h), Layout::BGRX, Instant::now());
        let mut engine = CpuDamage::new();
        let mut old = Canvas::new(w, h, 0);
        for turn in 0..frames {
            engine.set_scroll(turn != 2);
            let mut new = Canvas::new(w, h, 0x30_40_50);
            for (rect, seed, scrolled) in &mut windows {
                match noise.below(4) {
                    0 => *rect = rect.translate(noise.below(60) as i32 - 30, noise.below(60) as i32 - 30),
                    1 => *scrolled += noise.below(60) as u16,
                    2 => *seed += noise.below(2) as u64 * 7,
                    _ => {}
                }
                new.window(rect, *seed, *scrolled);
            }
            if noise.below(3) == 0 {
                let at = Rect::new(noise.below(100) as u16, noise.below(100) as u16, 80, 50);
                new.fill(&at, |_, _| noise.next() & 0xff_ffff);
            }
            let damage = feed(&mut engine, &mirror, whole(new.size, &new.pixels));
            prop_assert_eq!(fault(&old, &new, &damage), None);
            prop_assert!(damage.copied.len() <= super::COPIES);
            prop_assert_eq!(&mirror.read().pixels, &new.pixels);
            old = new;
        }
    }
}
