//! The finder on made histories.

use std::time::{Duration, Instant};

use super::*;
use crate::geometry::Size;
use crate::pixel::Layout;

const SIZE: Size = Size::new(1920, 1080);

/// A desktop whose picture is a photograph inside `film`, text inside `text`, else plain.
struct Desk {
    mirror: MirrorData,
    finder: Finder,
    now: Instant,
}

impl Desk {
    fn new() -> Self {
        let now = Instant::now();
        let mirror = crate::damage::Mirror::new(SIZE, Layout::BGRX, now).into_data();
        Self { finder: Finder::new(mirror.grid, now), mirror, now }
    }

    fn paint(&mut self, rect: &Rect, mut value: impl FnMut(u32, u32) -> u32) {
        for y in rect.y..rect.bottom() {
            for x in rect.x..rect.right() {
                let at = usize::from(y) * usize::from(SIZE.w) + usize::from(x);
                self.mirror.pixels[at] = value(x.into(), y.into());
            }
        }
    }

    /// Soft noise: neighbours differ nearly everywhere, and little.
    fn film(&mut self, rect: &Rect) {
        self.paint(rect, |x, y| {
            let n = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) >> 7 & 15;
            0x0040_5060 + n * 0x0001_0101
        });
    }

    /// Black on white: neighbours differ seldom, and much.
    fn text(&mut self, rect: &Rect) {
        self.paint(rect, |x, y| if x % 7 == 0 && y % 12 < 8 { 0 } else { 0x00ff_ffff });
    }

    /// `times` frames, one every `ms`, in which `changed` changes. Returns after how long the regions were others.
    fn run(&mut self, changed: &[Rect], times: u32, ms: u64) -> Option<Duration> {
        let (start, mut first) = (self.now, None);
        let grid = self.mirror.grid;
        let cells = |r: &Rect| {
            let (r, (cols, rows)) = (*r, grid.cells(r));
            rows.flat_map(move |row| cols.clone().map(move |col| grid.rect(col, row).intersect(&r)))
        };
        let parts: Vec<Rect> = changed.iter().flat_map(cells).collect();
        for _ in 0..times {
            self.now += Duration::from_millis(ms);
            if self.finder.record(&parts, self.now) && self.finder.look(&self.mirror) {
                first = first.or(Some(self.now - start));
            }
        }
        first
    }

    fn rects(&self) -> Vec<Rect> {
        self.finder.regions().map(|m| m.rect).collect()
    }
}

const FILM: Rect = Rect { x: 300, y: 200, w: 1280, h: 720 };

#[test]
fn a_film_is_found_within_half_a_second_and_to_the_pixel() {
    for ms in [16, 33, 41] {
        let mut desk = Desk::new();
        desk.film(&FILM);
        let found = desk.run(&[FILM], 60, ms).expect("a film");
        assert!(found <= Duration::from_millis(500), "found after {found:?} at a frame each {ms} ms");
        assert_eq!(desk.rects(), [FILM]);
        assert_eq!(desk.run(&[FILM], 100, ms), None, "a film that goes on stays where it is");
    }
}

#[test]
fn what_was_painted_before_the_film_is_cut_off() {
    let mut desk = Desk::new();
    desk.film(&FILM);
    desk.run(&[SIZE.rect()], 1, 33);
    desk.run(&[FILM], 10, 33);
    assert_eq!(desk.rects(), [Rect::new(256, 192, 1344, 768)]);
    desk.run(&[FILM], 90, 33);
    assert_eq!(desk.rects(), [FILM]);
    assert_eq!(desk.run(&[FILM], 100, 33), None);
}

#[test]
fn a_film_beside_typing_is_found_and_typing_is_none() {
    let mut desk = Desk::new();
    desk.film(&FILM);
    let typed = Rect::new(20, 20, 10, 20);
    desk.text(&Rect::new(0, 0, 1920, 64));
    for _ in 0..4 {
        desk.run(&[FILM, typed], 4, 33);
        desk.run(&[FILM], 4, 33);
    }
    assert_eq!(desk.rects(), [FILM]);
}

#[test]
fn a_letter_typed_in_a_cell_of_the_film_does_not_widen_it() {
    let mut desk = Desk::new();
    desk.film(&FILM);
    desk.run(&[FILM], 60, 33);
    for i in 0..20 {
        let typed = Rect::new(700 + i * 9, FILM.bottom() + 4, 8, 12);
        assert_eq!(desk.run(&[FILM, typed], 1, 33), None);
        assert_eq!(desk.run(&[FILM], 4, 33), None);
    }
    assert_eq!(desk.rects(), [FILM]);
}

#[test]
fn a_slow_link_sees_few_frames_and_finds_the_film_all_the_same() {
    let mut desk = Desk::new();
    desk.film(&FILM);
    let found = desk.run(&[FILM], 12, 200).expect("a film");
    assert!(found <= Duration::from_millis(1500), "{found:?}");
}

#[test]
fn moving_text_and_small_things_are_no_films() {
    let mut desk = Desk::new();
    desk.text(&FILM);
    assert_eq!(desk.run(&[FILM], 100, 33), None, "a terminal that scrolls");
    let mut desk = Desk::new();
    let spinner = Rect::new(500, 500, 80, 80);
    desk.film(&spinner);
    assert_eq!(desk.run(&[spinner], 100, 33), None);
    let mut desk = Desk::new();
    desk.film(&FILM);
    assert_eq!(desk.run(&[FILM], 3, 33), None, "a page of photographs that was opened");
    desk.now += Duration::from_secs(3);
    assert_eq!(desk.run(&[FILM], 1, 33), None);
}

#[test]
fn text_on_a_film_is_told_and_where_there_is_much_of_it_is_no_film() {
    let mut desk = Desk::new();
    desk.film(&FILM);
    let subtitle = Rect::new(640, 832, 640, 64);
    desk.text(&subtitle);
    desk.run(&[FILM], 60, 33);
    let exact: Vec<Region> = desk.finder.regions().map(|m| m.exact.clone()).collect();
    assert_eq!(exact, [Region::from(subtitle)]);
    desk.text(&Rect::new(300, 200, 1280, 448));
    desk.run(&[FILM], 60, 33);
    assert_eq!(desk.rects(), [Rect::new(300, 640, 1280, 280)], "what is left of the film, in whole cells");
}

#[test]
fn it_ends_when_other_things_go_on_and_it_does_not() {
    let mut desk = Desk::new();
    desk.film(&FILM);
    desk.run(&[FILM], 60, 33);
    let typed = Rect::new(20, 20, 10, 20);
    let ended = desk.run(&[typed], 60, 33).expect("an end");
    assert!(ended <= Duration::from_millis(1300), "{ended:?}");
    assert_eq!(desk.rects(), []);
}

#[test]
fn a_window_that_was_moved_is_followed() {
    let mut desk = Desk::new();
    desk.film(&FILM);
    desk.run(&[FILM], 60, 33);
    let moved = FILM.translate(-200, 140);
    desk.film(&moved);
    desk.run(&[moved], 200, 33);
    assert_eq!(desk.rects(), [moved]);
}

#[test]
fn a_quiet_edge_does_not_make_it_shrink() {
    let mut desk = Desk::new();
    desk.film(&FILM);
    desk.run(&[FILM], 60, 33);
    let inside = Rect::new(300, 300, 1280, 600);
    assert_eq!(desk.run(&[inside], 100, 33), None);
    assert_eq!(desk.rects(), [FILM]);
}

#[test]
fn a_scene_of_one_colour_does_not_end_it() {
    let mut desk = Desk::new();
    desk.film(&FILM);
    desk.run(&[FILM], 60, 33);
    desk.paint(&FILM, |_, _| 0x0020_2020);
    assert_eq!(desk.run(&[FILM], 60, 33), None);
    assert_eq!(desk.rects(), [FILM]);
}

#[test]
fn two_films_are_two_regions() {
    let mut desk = Desk::new();
    let (a, b) = (Rect::new(40, 40, 640, 360), Rect::new(900, 600, 800, 400));
    desk.film(&a);
    desk.film(&b);
    desk.run(&[a, b], 60, 33);
    let mut rects = desk.rects();
    rects.sort_by_key(|r| r.x);
    assert_eq!(rects, [a, b]);
}
