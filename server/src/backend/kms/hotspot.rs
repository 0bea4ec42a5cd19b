//! Which pixel of a pointer's shape points, where no driver tells: inferred from where viewers have pointed, and where the shape went.
//!
//! A shape's upper left corner lies as far from the place that is pointed at as its hotspot is from that corner, always. So each look at the pointer is a
//! vote for the distances to all places that were lately pointed at; the true one is among them each time, and wins.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use farpane_engine::frame::CursorImage;
use farpane_engine::geometry::Point;

/// What was pointed at longer ago has been shown.
const LATELY: Duration = Duration::from_millis(250);
/// Places that are kept.
const PLACES: usize = 32;
/// Shapes that are kept.
const SHAPES: usize = 16;
/// Votes that decide.
const ENOUGH: u32 = 3;

/// What is known of the shapes that were seen.
#[derive(Default)]
pub(super) struct Hotspots {
    pointed: VecDeque<(Instant, Point)>,
    votes: HashMap<Point, u32>,
    known: VecDeque<(Vec<u8>, Point)>,
}

impl Hotspots {
    /// A viewer points at a place of the canvas.
    pub(super) fn pointed(&mut self, at: Point, now: Instant) {
        self.pointed.retain(|(then, _)| now.saturating_duration_since(*then) < LATELY);
        if self.pointed.len() == PLACES {
            self.pointed.pop_front();
        }
        self.pointed.push_back((now, at));
    }

    /// The hotspot of a shape that is shown from now on, as far as it is known.
    pub(super) fn shown(&mut self, image: &CursorImage) -> Point {
        self.votes.clear();
        let known = self.known.iter().find(|(rgba, _)| *rgba == image.rgba);
        known.map_or(Point::default(), |(_, hotspot)| *hotspot)
    }

    /// The shape's corner is at a place of the canvas, which may lie outside: says its hotspot, if that is another than it has.
    pub(super) fn moved(&mut self, image: &CursorImage, corner: (i32, i32), now: Instant) -> Option<Point> {
        let inside = |v: i32, length: u16| u16::try_from(v).ok().filter(|v| *v < length);
        let mut seen = Vec::new();
        for (then, at) in &self.pointed {
            let (x, y) = (i32::from(at.x) - corner.0, i32::from(at.y) - corner.1);
            let (Some(x), Some(y)) = (inside(x, image.size.w), inside(y, image.size.h)) else { continue };
            let hotspot = Point::new(x, y);
            // a place that was pointed at twice is one
            if now.saturating_duration_since(*then) < LATELY && !seen.contains(&hotspot) {
                seen.push(hotspot);
                *self.votes.entry(hotspot).or_default() += 1;
            }
        }
        let (hotspot, votes) = self.votes.iter().max_by_key(|(at, votes)| (**votes, at.x, at.y))?;
        let rivals = self.votes.values().filter(|other| *other == votes).count();
        if *votes < ENOUGH || rivals > 1 || *hotspot == image.hotspot {
            return None;
        }
        let hotspot = *hotspot;
        self.known.retain(|(rgba, _)| *rgba != image.rgba);
        self.known.push_back((image.rgba.clone(), hotspot));
        if self.known.len() > SHAPES {
            self.known.pop_front();
        }
        Some(hotspot)
    }
}

#[cfg(test)]
mod tests {
    use farpane_engine::geometry::Size;

    use super::*;

    fn image(colour: u8, hotspot: Point) -> CursorImage {
        CursorImage { size: Size::new(24, 24), hotspot, rgba: vec![colour; 24 * 24 * 4], serial: 1 }
    }

    /// Points at places in turn; the shape follows two of them behind.
    fn wander(hotspots: &mut Hotspots, image: &CursorImage, hotspot: (i32, i32), from: Instant) -> Option<Point> {
        let places: Vec<(i32, i32)> = (0..12).map(|i| (100 + i * i % 17 * 3, 80 + i * 5 % 13)).collect();
        let mut found = None;
        for (i, place) in places.iter().enumerate() {
            let now = from + Duration::from_millis(16 * i as u64);
            hotspots.pointed(Point::new(place.0 as u16, place.1 as u16), now);
            if let Some(shown) = i.checked_sub(2).map(|i| places[i]) {
                let corner = (shown.0 - hotspot.0, shown.1 - hotspot.1);
                found = hotspots.moved(image, corner, now).or(found);
            }
        }
        found
    }

    #[test]
    fn a_hotspot_is_found_although_the_shape_comes_after_the_pointing() {
        let mut hotspots = Hotspots::default();
        let beam = image(1, Point::default());
        assert_eq!(hotspots.shown(&beam), Point::default());
        assert_eq!(wander(&mut hotspots, &beam, (11, 12), Instant::now()), Some(Point::new(11, 12)));
        // and is remembered with its shape
        let arrow = image(2, Point::default());
        assert_eq!(hotspots.shown(&arrow), Point::default());
        assert_eq!(hotspots.shown(&beam), Point::new(11, 12));
    }

    #[test]
    fn a_pointer_that_somebody_else_moves_says_nothing() {
        let mut hotspots = Hotspots::default();
        let arrow = image(1, Point::default());
        let now = Instant::now();
        hotspots.pointed(Point::new(500, 500), now);
        for i in 0..20 {
            assert_eq!(hotspots.moved(&arrow, (i * 7, i * 3), now), None, "far from what was pointed at");
            assert_eq!(hotspots.moved(&arrow, (490 + i % 3, 490), now + Duration::from_secs(1)), None, "long ago");
        }
    }

    #[test]
    fn one_look_is_not_enough() {
        let mut hotspots = Hotspots::default();
        let now = Instant::now();
        hotspots.pointed(Point::new(10, 10), now);
        let arrow = image(1, Point::default());
        assert_eq!(hotspots.moved(&arrow, (5, 5), now), None);
    }
}
