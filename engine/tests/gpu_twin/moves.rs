//! Moves in what a GPU packed: the same that the processor finds in the whole frame, and always such that copies, then pixels, give the new
//! picture.

use std::sync::Arc;
use std::time::Instant;

use farpane_engine::damage::{Copied, CpuDamage, Damage, DamageEngine, Mirror, Progress};
use farpane_engine::frame::{Frame, Hint, Piece};
use farpane_engine::geometry::{Point, Rect, Region, Size};
use farpane_engine::gpu::Gpu;
use farpane_engine::pixel::Layout;

use super::desk::{Desk, Noise, frame, gpu, random_rect, whole};

/// A picture to draw on.
#[derive(Clone, PartialEq)]
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
                let at = usize::from(y) * usize::from(self.size.w) + usize::from(x);
                self.pixels[at] = colour(x - rect.x, y - rect.y) & 0xff_ffff;
            }
        }
    }

    /// Draws lines of letters, the same wherever the window stands.
    fn window(&mut self, rect: &Rect, seed: u32, scrolled: u16) {
        self.fill(rect, |x, y| {
            let (line, row, letter) = ((y + scrolled) / 14, (y + scrolled) % 14, x / 9);
            let mut ink =
                Noise(u64::from(seed) << 48 | u64::from(line) << 32 | u64::from(letter) << 8 | u64::from(row));
            ink.next();
            let inside = row < 10 && x % 9 < 7;
            if inside && ink.next() >> (x % 9) & 1 == 1 { 0x10_20_30 } else { 0xf8_f8_f0 }
        });
    }
}

/// The copies carried out on the old picture, then the changed pixels of the new one.
fn painted(old: &Canvas, new: &Canvas, damage: &Damage) -> Vec<u32> {
    let width = usize::from(old.size.w);
    let mut now = old.pixels.clone();
    for copy in &damage.copied {
        let before = now.clone();
        for y in 0..usize::from(copy.to.h) {
            let from = (usize::from(copy.from.y) + y) * width + usize::from(copy.from.x);
            let to = (usize::from(copy.to.y) + y) * width + usize::from(copy.to.x);
            now[to..][..copy.to.w.into()].copy_from_slice(&before[from..][..copy.to.w.into()]);
        }
    }
    for r in damage.changed.rects() {
        for y in r.y..r.bottom() {
            let at = usize::from(y) * width + usize::from(r.x);
            now[at..][..r.w.into()].copy_from_slice(&new.pixels[at..][..r.w.into()]);
        }
    }
    now
}

/// Demands that a damage leads from one picture to another, and that nothing is in it twice.
fn assert_leads(old: &Canvas, new: &Canvas, damage: &Damage) {
    assert!(painted(old, new, damage) == new.pixels, "{damage:?}");
    for (i, copy) in damage.copied.iter().enumerate() {
        let twice = damage.copied[..i].iter().any(|other| other.to.overlaps(&copy.to));
        assert!(!twice && !damage.changed.overlaps_rect(&copy.to), "{damage:?}");
    }
}

/// A GPU and the processor side by side, fed with the same.
struct Both {
    desk: Desk,
    cpu: CpuDamage,
    mirror: Mirror,
    shown: Canvas,
}

impl Both {
    fn new(gpu: &Arc<Gpu>, first: Canvas) -> Self {
        let mut desk = Desk::new(gpu, first.size);
        let mut cpu = CpuDamage::new();
        desk.engine.set_scroll(true);
        cpu.set_scroll(true);
        let mirror = Mirror::new(first.size, Layout::BGRX, Instant::now());
        let mut both = Self { desk, cpu, mirror, shown: Canvas::new(first.size.w, first.size.h, 0) };
        both.show(first, whole);
        both
    }

    /// Feeds the next picture to both, as a frame each, and demands the same of them.
    fn show(&mut self, new: Canvas, frame: impl Fn(Size, &[u32]) -> Frame) -> Damage {
        let damage = self.desk.feed(frame(new.size, &new.pixels));
        let now = Instant::now();
        let ticket = self.cpu.submit(frame(new.size, &new.pixels), &self.mirror, now);
        let Progress::Done(want) = self.cpu.poll(ticket, &self.mirror, now) else { panic!("is done at once") };
        assert_leads(&self.shown, &new, &damage);
        assert_eq!(damage, want);
        let (data, other) = (self.desk.mirror.read(), self.mirror.read());
        assert!(data.pixels == new.pixels, "the mirror follows");
        assert_eq!((damage.seq, &data.cell_seq), (data.seq, &other.cell_seq));
        drop((data, other));
        let (stats, same) = (self.desk.engine.stats(), self.cpu.stats());
        assert_eq!((stats.copies, stats.changed_px), (same.copies, same.changed_px));
        self.shown = new;
        damage
    }

    fn show_whole(&mut self, new: &Canvas) -> Damage {
        self.show(new.clone(), whole)
    }

    /// Demands that every frame went through the device, and that its picture is the one in the mirror.
    fn finish(mut self) {
        let read = self.desk.engine.stats().gpu.read_bytes;
        let still = self.show_whole(&self.shown.clone());
        assert!(still.changed.is_empty() && still.copied.is_empty());
        assert_eq!(self.desk.engine.stats().gpu.read_bytes, read + 16, "the device holds the picture that is shown");
        assert_eq!(self.desk.counted().1, 0);
    }
}

#[test]
fn a_scrolled_page_is_one_copy() {
    let Some(gpu) = gpu() else { return };
    let window = Rect::new(77, 33, 700, 600);
    for by in [1, 14, 200] {
        let (mut old, mut new) = (Canvas::new(900, 700, 0x44_55_66), Canvas::new(900, 700, 0x44_55_66));
        old.window(&window, 9, 0);
        new.window(&window, 9, by);
        let mut both = Both::new(gpu, old);
        let damage = both.show_whole(&new);
        let [copy] = damage.copied[..] else { panic!("by {by}: {damage:?}") };
        assert_eq!(copy.from, Point::new(copy.to.x, copy.to.y + by));
        assert!(damage.changed.area() < 700 * (u64::from(by) + 16), "by {by}: {:?}", damage.changed);
        both.finish();
    }
}

#[test]
fn a_window_dragged_across_a_large_screen_is_found_whatever_blinks_in_the_corners() {
    let Some(gpu) = gpu() else { return };
    let mut ground = Canvas::new(2000, 1500, 0);
    ground.fill(&Rect::new(0, 0, 2000, 1500), |x, y| (u32::from(x) * 3) ^ (u32::from(y) << 9));
    let window = Rect::new(611, 477, 803, 505);
    let picture = |at: &Rect, colour: u32| {
        let mut canvas = ground.clone();
        canvas.window(at, 4, 0);
        for (x, y) in [(3, 5), (1950, 5), (3, 1460), (1950, 1460)] {
            canvas.fill(&Rect::new(x, y, 40, 30), |_, _| colour);
        }
        canvas
    };
    for (dx, dy) in [(13, 7), (-26, 14), (39, -21), (0, 130)] {
        let to = window.translate(dx, dy);
        let mut both = Both::new(gpu, picture(&window, 1));
        let damage = both.show_whole(&picture(&to, 2));
        let [copy] = damage.copied[..] else { panic!("{:?}", damage.copied) };
        assert!(copy.to.area() >= to.area() * 99 / 100, "{copy:?} of {to:?}");
        assert_eq!(copy.source(), copy.to.translate(-dx, -dy));
        both.finish();
    }
}

#[test]
fn random_scenes_end_exact_with_the_processor_s_copies() {
    let Some(gpu) = gpu() else { return };
    let mut copies = 0;
    for seed in 0..24 {
        let mut noise = Noise(seed);
        let (w, h) = (200 + noise.below(400) as u16, 200 + noise.below(300) as u16);
        let size = Size::new(w, h);
        let mut windows: Vec<(Rect, u32, u16)> = (0..3)
            .map(|i| {
                let (x, y) = (noise.below(150) as u16, noise.below(150) as u16);
                (Rect::new(x, y, 100 + noise.below(300) as u16, 100 + noise.below(300) as u16), i, 0)
            })
            .collect();
        let draw = |windows: &[(Rect, u32, u16)]| {
            let mut canvas = Canvas::new(w, h, 0x33_44_55);
            windows.iter().for_each(|(rect, seed, scrolled)| canvas.window(rect, *seed, *scrolled));
            canvas
        };
        let mut both = Both::new(gpu, draw(&windows));
        for turn in 0..6 {
            for (rect, _, scrolled) in &mut windows {
                match noise.below(4) {
                    0 => *scrolled += noise.below(60) as u16,
                    1 => {
                        let (dx, dy) = (noise.below(61) as i32 - 30, noise.below(61) as i32 - 30);
                        *rect = rect.translate(dx.max(-i32::from(rect.x)), dy.max(-i32::from(rect.y)));
                    }
                    _ => {}
                }
            }
            let mut new = draw(&windows);
            new.fill(&random_rect(Size::new(60, 60), &mut noise), |_, _| noise.next());
            let damage = if turn % 2 == 0 {
                both.show_whole(&new)
            } else {
                // a claim that reaches beyond what changed here, and keeps the rest as it was there
                let (a, b) = (random_rect(size, &mut noise), random_rect(size, &mut noise));
                let mut region = Region::from(a);
                region.add(&b);
                let mut claimed = both.shown.clone();
                for r in region.rects() {
                    let row = |x, y| usize::from(r.y + y) * usize::from(w) + usize::from(r.x + x);
                    claimed.fill(r, |x, y| new.pixels[row(x, y)]);
                }
                // the frame's own pixels are lies outside of the claim
                both.show(claimed, |size, pixels| {
                    let mut memory = pixels.to_vec();
                    for (i, pixel) in memory.iter_mut().enumerate() {
                        let at = Point::new((i % usize::from(w)) as u16, (i / usize::from(w)) as u16);
                        *pixel = if region.contains_point(at) { *pixel | 0xab00_0000 } else { 0xdead_beef };
                    }
                    let piece = Piece { rect: size.rect(), offset: 0, stride: usize::from(w) * 4 };
                    frame(size, vec![piece], memory, Hint::Only(region.clone()))
                })
            };
            copies += damage.copied.len();
        }
        both.finish();
    }
    assert!(copies > 30, "{copies} copies: the scenes have become too poor");
}

#[test]
fn after_searches_in_vain_as_many_frames_go_by_as_on_the_processor() {
    let Some(gpu) = gpu() else { return };
    let mut noise = Noise(5);
    let size = Size::new(400, 300);
    let mut both = Both::new(gpu, Canvas::new(400, 300, 1));
    let (mut found, mut missed) = (0, 0);
    for _ in 0..60 {
        let mut new = both.shown.clone();
        // moving pictures for long enough, and now and then a scroll that may be let by
        let scrolls = noise.below(6) == 0;
        if scrolls {
            new.pixels.rotate_left(400 * 21);
        } else {
            new.fill(&size.rect(), |_, _| noise.next());
        }
        let copied = !both.show_whole(&new).copied.is_empty();
        if scrolls {
            found += u32::from(copied);
            missed += u32::from(!copied);
        }
    }
    assert!(found > 0 && missed > 0, "{found} found, {missed} let by");
    both.finish();
}

#[test]
fn a_frame_that_comes_while_another_is_under_way_moves_what_that_one_brought() {
    let Some(gpu) = gpu() else { return };
    let picture = |scrolled: u16| {
        let mut canvas = Canvas::new(1000, 800, 7);
        canvas.window(&Rect::new(30, 20, 900, 700), 2, scrolled);
        canvas
    };
    let mut desk = Desk::new(gpu, Size::new(1000, 800));
    desk.engine.set_scroll(true);
    let mut shown = picture(0);
    desk.feed(whole(shown.size, &shown.pixels));
    for round in 1..5 {
        let next = [picture(round * 40 - 17), picture(round * 40)];
        let tickets = [0, 1].map(|i| desk.submit(whole(next[i].size, &next[i].pixels)));
        for (ticket, new) in tickets.into_iter().zip(next) {
            let damage = desk.done(ticket);
            assert_leads(&shown, &new, &damage);
            assert_eq!(damage.copied.len(), 1);
            shown = new;
        }
        assert!(desk.mirror.read().pixels == shown.pixels, "the mirror follows");
    }
    assert_eq!((desk.counted(), desk.engine.stats().copies), ((9, 0), 8));
}

#[test]
fn frames_of_the_processor_and_of_the_device_take_turns() {
    let Some(gpu) = gpu() else { return };
    let size = Size::new(700, 500);
    let mut desk = Desk::new(gpu, size);
    desk.engine.set_scroll(true);
    let mut shown = Canvas::new(700, 500, 0);
    for turn in 0..6 {
        let mut new = shown.clone();
        new.window(&Rect::new(10, 10, 650, 450), 3, turn * 28);
        let mut frame = whole(size, &new.pixels);
        // a fence that the device knows nothing of: a pipe
        let (ours, theirs) = rustix::pipe::pipe().expect("a pipe");
        let fenced = turn % 2 == 1;
        frame.acquire = fenced.then_some(ours);
        let ticket = desk.submit(frame);
        if fenced {
            rustix::io::write(&theirs, b"go").expect("a reader");
        }
        let damage = desk.done(ticket);
        assert_leads(&shown, &new, &damage);
        assert_eq!(damage.copied.len(), usize::from(turn > 0), "turn {turn}");
        assert!(desk.mirror.read().pixels == new.pixels, "the mirror follows");
        shown = new;
    }
    assert_eq!((desk.counted(), desk.engine.stats().copies), ((3, 3), 5));
}

#[test]
fn a_wrong_damage_is_caught() {
    let [mut old, mut new] = [0; 2].map(|colour| Canvas::new(100, 100, colour));
    old.window(&Rect::new(0, 0, 100, 100), 3, 0);
    new.window(&Rect::new(0, 0, 100, 100), 3, 14);
    let whole = Region::from(Rect::new(0, 0, 100, 100));
    let copy = Copied { to: Rect::new(0, 0, 100, 86), from: Point::new(0, 14) };
    let right =
        Damage { seq: 1, changed: Region::from(Rect::new(0, 86, 100, 14)), copied: vec![copy], ..Damage::default() };
    assert_leads(&old, &new, &right);
    let short = Damage { changed: Region::new(), ..right.clone() };
    let shifted = Damage { copied: vec![Copied { from: Point::new(0, 13), ..copy }], ..right.clone() };
    for wrong in [short, shifted, Damage { changed: whole, ..right }] {
        assert!(std::panic::catch_unwind(|| assert_leads(&old, &new, &wrong)).is_err(), "{wrong:?}");
    }
}

#[test]
fn nothing_is_looked_for_where_nobody_can_make_use_of_it() {
    let Some(gpu) = gpu() else { return };
    let size = Size::new(640, 480);
    let mut desk = Desk::new(gpu, size);
    let mut shown = Canvas::new(640, 480, 0);
    for (turn, wanted) in [false, false, true, false, true].into_iter().enumerate() {
        let mut new = shown.clone();
        new.window(&size.rect(), 1, 14 * turn as u16);
        desk.engine.set_scroll(wanted);
        let damage = desk.feed(whole(size, &new.pixels));
        assert_leads(&shown, &new, &damage);
        assert_eq!(damage.copied.len(), usize::from(wanted));
        assert!(desk.mirror.read().pixels == new.pixels, "the mirror follows");
        shown = new;
    }
}
