//! Moves: exact whatever the scene, found where they matter, none where they save nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use proptest::prelude::*;

use super::carry_out;
use crate::damage::DamageEngine as _;
use crate::damage::compare::Compare;
use crate::damage::source::Pixels;
use crate::damage::tests::{Live, Noise, Stop, feed, frame, poisoned, whole};
use crate::damage::{Copied, CpuDamage, Damage, Mirror};
use crate::frame::{Hint, Memory, Piece};
use crate::geometry::{Point, Rect, Region, Size};
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

/// A damage as a recipe carried out on the old picture: first the copies, then pixels of the new one.
fn painted(old: &Canvas, new: &Canvas, damage: &Damage) -> Vec<u32> {
    let width = usize::from(old.size.w);
    let mut now = old.pixels.clone();
    for c in &damage.copied {
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
    now
}

/// What is wrong with a damage between two pictures that stood still while they were looked at, if anything.
fn fault(old: &Canvas, new: &Canvas, damage: &Damage) -> Option<String> {
    for (i, c) in damage.copied.iter().enumerate() {
        if damage.changed.overlaps_rect(&c.to) || damage.copied[..i].iter().any(|d| d.to.overlaps(&c.to)) {
            return Some(format!("{c:?} is covered twice"));
        }
    }
    let width = usize::from(old.size.w);
    let wrong = painted(old, new, damage).iter().zip(&new.pixels).position(|(a, b)| a != b)?;
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

/// Windows that scroll, are dragged (also past the edges), and change; on a desk of gradients, so that nothing is flat.
fn desk(size: Size, windows: &[(i32, i32, u64, u16)]) -> Canvas {
    let mut canvas = Canvas::new(size.w, size.h, 0);
    canvas.fill(&size.rect(), |x, y| (u32::from(x) * 3) ^ (u32::from(y) << 9) & 0xff_ffff);
    for (i, &(x, y, seed, scrolled)) in windows.iter().enumerate() {
        // a window half out of the picture: drawn whole beside it, and the part inside is taken
        let whole = Rect::new(0, 0, 260 + 40 * i as u16, 220);
        let mut window = Canvas::new(whole.w, whole.h, 0);
        window.window(&whole, seed, scrolled);
        for v in 0..i32::from(whole.h) {
            for u in 0..i32::from(whole.w) {
                if (0..i32::from(size.w)).contains(&(x + u)) && (0..i32::from(size.h)).contains(&(y + v)) {
                    let at = (y + v) as usize * usize::from(size.w) + (x + u) as usize;
                    canvas.pixels[at] = window.pixels[v as usize * usize::from(whole.w) + u as usize];
                }
            }
        }
    }
    canvas
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn large_pictures_with_several_moves_at_once_end_exact(
        w in 700u16..1100, h in 560u16..800, seed in any::<u64>(), hinted in any::<bool>()
    ) {
        let size = Size::new(w, h);
        let mut noise = Noise(seed);
        let at = |noise: &mut Noise, most: u16| noise.below(usize::from(most)) as i32 - 120;
        let mut windows: Vec<_> = (0..4).map(|i| (at(&mut noise, w), at(&mut noise, h), i, 0u16)).collect();
        let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
        let mut engine = CpuDamage::new();
        engine.set_scroll(true);
        let mut old = Canvas::new(w, h, 0);
        for turn in 0..4 {
            for (x, y, seed, scrolled) in &mut windows {
                match noise.below(4) {
                    0 => (*x, *y) = (*x + noise.below(80) as i32 - 40, *y + noise.below(80) as i32 - 40),
                    1 | 2 => *scrolled += 1 + noise.below(100) as u16,
                    _ => *seed += 9,
                }
            }
            let mut new = desk(size, &windows);
            new.fill(&Rect::new(noise.below(usize::from(w)) as u16, 100, 90, 70), |_, _| noise.next() & 0xff_ffff);
            let mut given = whole(size, &new.pixels);
            if hinted && turn > 0 {
                let mut rows = Region::new();
                for y in 0..h {
                    let span = usize::from(y) * usize::from(w)..(usize::from(y) + 1) * usize::from(w);
                    if old.pixels[span.clone()] != new.pixels[span] {
                        rows.add(&Rect::new(0, y, w, 1));
                    }
                }
                let half = w / 2 + 5;
                let halves = [Rect::new(0, 0, half, h), Rect::new(half - 9, 0, w - half + 9, h)];
                let (pieces, memory) = poisoned(size, &halves, &new.pixels, &mut noise);
                given = frame(size, pieces, memory, Hint::Only(rows));
            }
            let damage = feed(&mut engine, &mirror, given);
            prop_assert_eq!(fault(&old, &new, &damage), None);
            prop_assert_eq!(&mirror.read().pixels, &new.pixels);
            old = new;
        }
    }
}

#[test]
fn windows_that_move_differently_are_copies_each() {
    let size = Size::new(1600, 1000);
    let old = desk(size, &[(100, 60, 1, 0), (700, 500, 2, 0), (1100, 100, 3, 0)]);
    let new = desk(size, &[(100, 60, 1, 28), (714, 493, 2, 0), (1087, 100, 3, 0)]);
    let damage = damage(&old, &new);
    let moves: Vec<_> = damage
        .copied
        .iter()
        .map(|c| (i32::from(c.to.x) - i32::from(c.from.x), i32::from(c.to.y) - i32::from(c.from.y)))
        .collect();
    for moved in [(0, -28), (14, -7), (-13, 0)] {
        assert!(moves.contains(&moved), "{moved:?} not in {moves:?}");
    }
    let windows = (260 + 300 + 340) * 220;
    assert!(damage.changed.area() < windows / 3, "{} px left", damage.changed.area());
}

#[test]
fn a_window_dragged_past_the_edge_is_a_copy_of_what_stays() {
    let size = Size::new(900, 700);
    for (from, to) in [((-40, 300), (-90, 320)), ((700, 500), (760, 530)), ((300, -50), (300, -120))] {
        let old = desk(size, &[(from.0, from.1, 5, 0)]);
        let new = desk(size, &[(to.0, to.1, 5, 0)]);
        let damage = damage(&old, &new);
        let copy = damage.copied.first().unwrap_or_else(|| panic!("no copy from {from:?} to {to:?}"));
        let moved = (i32::from(copy.to.x) - i32::from(copy.from.x), i32::from(copy.to.y) - i32::from(copy.from.y));
        assert_eq!(moved, (to.0 - from.0, to.1 - from.1));
    }
}

#[test]
fn small_changes_and_first_pictures_are_not_searched() {
    let size = Size::new(600, 400);
    let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
    let mut scroll = super::Scroll::default();
    let mut given = whole(size, &Canvas::new(600, 400, 1).pixels);
    assert!(!scroll.wants(&given, &mirror.read()), "there was no picture before");
    mirror.write().seq = 1;
    assert!(scroll.wants(&given, &mirror.read()));
    scroll.rest = 1;
    assert!(!scroll.wants(&given, &mirror.read()), "it rests");
    scroll.let_by(super::SEARCH_PX);
    assert!(scroll.wants(&given, &mirror.read()));
    given.hint = Hint::Only(Region::from(Rect::new(5, 5, 128, 127)));
    assert!(!scroll.wants(&given, &mirror.read()));
    given.hint = Hint::Everything;
    given.pieces = vec![given.pieces[0]; super::MOST_PIECES + 1];
    assert!(!scroll.wants(&given, &mirror.read()), "in too many pieces");
}

#[test]
fn a_move_that_is_wrong_by_the_time_it_is_carried_out_is_pixels() {
    let size = Size::new(300, 200);
    let mut noise = Noise(5);
    let mut old = Canvas::new(300, 200, 0);
    old.fill(&size.rect(), |_, _| noise.next() & 0xff_ffff);
    let copied = [Copied { to: Rect::new(70, 10, 150, 120), from: Point::new(59, 41) }];
    let mut new = old.clone();
    carry_out(&mut new.pixels, 300, &copied);
    let moved = new.clone();
    // the source was written to: inside the target, at its edge, and outside in a cell that differs
    let written = [Rect::new(100, 50, 3, 2), Rect::new(219, 129, 1, 1), Rect::new(221, 129, 2, 1)];
    for rect in &written {
        new.fill(rect, |_, _| noise.next() & 0xff_ffff);
    }
    let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
    let mut guard = mirror.write();
    guard.pixels.clone_from(&old.pixels);
    let given = whole(size, &new.pixels);
    let pixels = Pixels::of(&given).expect("ours");
    let mut compare = Compare::default();
    compare.begin(&given, &guard).expect("a frame");
    compare.look(&pixels, &guard);
    carry_out(&mut guard.pixels, 300, &copied);
    assert_eq!(guard.pixels, moved.pixels);
    assert_eq!(compare.run_rest(&pixels, &mut guard, &copied), 2);
    assert_eq!(compare.run_targets(&pixels, &mut guard, &copied), 7);
    assert_eq!(compare.map.len(), 2, "the cells of the two places in the target");
    assert_eq!(guard.pixels, new.pixels);
}

#[test]
fn pictures_that_scroll_while_they_are_searched_end_exact() {
    let size = Size::new(640, 420);
    let mut text = Canvas::new(640, 1260, 0);
    text.window(&Rect::new(0, 0, 640, 1260), 8, 0);
    let live = Arc::new(Live(text.pixels[..640 * 420].iter().copied().map(AtomicU32::new).collect()));
    let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
    let mut engine = CpuDamage::new();
    engine.set_scroll(true);
    let stop = AtomicBool::new(false);
    let shared = || {
        let piece = Piece { rect: size.rect(), offset: 0, stride: 640 * 4 };
        frame(size, vec![piece], Memory::Shared(live.clone()), Hint::Everything)
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in (0..840).step_by(7).cycle() {
                for (i, pixel) in live.0.iter().enumerate() {
                    pixel.store(text.pixels[turn * 640 + i] | 0x5a00_0000, Ordering::Relaxed);
                }
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let _ended = Stop(&stop);
        for _ in 0..60 {
            let before = Canvas { size, pixels: mirror.read().pixels.clone() };
            let damage = feed(&mut engine, &mirror, shared());
            let after = Canvas { size, pixels: mirror.read().pixels.clone() };
            assert_eq!(painted(&before, &after, &damage), after.pixels, "{damage:?}");
            assert!(after.pixels.iter().all(|p| p >> 24 == 0));
        }
    });
    feed(&mut engine, &mirror, shared());
    let last: Vec<u32> = live.0.iter().map(|p| p.load(Ordering::Relaxed) & 0xff_ffff).collect();
    assert_eq!(mirror.read().pixels, last);
}

#[test]
fn a_window_dragged_across_a_large_screen_is_found_whatever_blinks_in_the_corners() {
    let size = Size::new(2000, 1500);
    let mut ground = Canvas::new(2000, 1500, 0);
    ground.fill(&size.rect(), |x, y| (u32::from(x) * 3) ^ (u32::from(y) << 9) & 0xff_ffff);
    let window = Rect::new(611, 477, 503, 305);
    let picture = |at: &Rect, colour: u32| {
        let mut canvas = ground.clone();
        canvas.window(at, 4, 0);
        for (x, y) in [(3, 5), (1950, 5), (3, 1460), (1950, 1460)] {
            canvas.fill(&Rect::new(x, y, 40, 30), |_, _| colour);
        }
        canvas
    };
    for moved in [(13, 7), (-26, 14), (39, -21)] {
        let to = window.translate(moved.0, moved.1);
        let (old, new) = (picture(&window, 1), picture(&to, 2));
        let damage = damage(&old, &new);
        let [copy] = damage.copied[..] else { panic!("{:?}", damage.copied) };
        assert!(
            copy.to.contains(&to.intersect(&copy.to)) && copy.to.area() >= to.area() * 99 / 100,
            "{copy:?} of {to:?}"
        );
        assert_eq!(
            copy.from,
            Point::new((i32::from(copy.to.x) - moved.0) as u16, (i32::from(copy.to.y) - moved.1) as u16)
        );
        let uncovered = window.area() - window.intersect(&to).area();
        assert!(damage.changed.area() < uncovered * 3 / 2 + 8 * 1200, "{} px left", damage.changed.area());
    }
}
