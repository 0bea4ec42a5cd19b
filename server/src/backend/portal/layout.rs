//! Where the streams of a session lie on one canvas of pixels.
//!
//! A desktop counts in units of its own (a monitor of scale 2 has half as many as pixels), and some portals say that every monitor lies
//! at 0,0. So positions are taken where they make sense in pixels; otherwise monitors stand side by side, in the order of what is said.

use farpane_engine::geometry::{Point, Rect, Size};

/// One stream's monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// Pixels of its picture.
    pub size: Size,
    /// Where it lies, in the desktop's own units.
    pub position: Option<(i32, i32)>,
    /// How large it is, in the desktop's own units.
    pub logical: Option<(i32, i32)>,
}

impl Monitor {
    /// Pixels to a unit: numerator and denominator.
    fn scale(&self) -> (u64, u64) {
        self.logical.map_or((1, 1), |(w, _)| (u64::from(self.size.w), u64::try_from(w).unwrap_or(1).max(1)))
    }

    /// A pixel of the picture in the desktop's own units.
    pub fn in_units(&self, x: u16, y: u16) -> (f64, f64) {
        let (w, h) = self.logical.unwrap_or((i32::from(self.size.w), i32::from(self.size.h)));
        let unit = |v: u16, units: i32, px: u16| f64::from(v) * f64::from(units) / f64::from(px.max(1));
        (unit(x, w, self.size.w), unit(y, h, self.size.h))
    }
}

/// The monitors' places and the canvas that holds them all. A monitor that has no room left is given none (an empty rectangle).
pub fn place(monitors: &[Monitor]) -> (Size, Vec<Rect>) {
    let rects = as_told(monitors).unwrap_or_else(|| side_by_side(monitors));
    let bounds = rects.iter().fold(Rect::default(), |b, r| b.bounds_with(r));
    (Size::new(bounds.right(), bounds.bottom()), rects)
}

/// The places that are told, where all are told, scales agree and none overlaps another.
fn as_told(monitors: &[Monitor]) -> Option<Vec<Rect>> {
    let first = monitors.first()?.scale();
    let same = |m: &Monitor| m.scale().0 * first.1 == first.0 * m.scale().1;
    if !monitors.iter().all(same) {
        return None;
    }
    let at: Vec<(i64, i64)> =
        monitors.iter().map(|m| m.position.map(|(x, y)| (x.into(), y.into()))).collect::<Option<_>>()?;
    let (left, top) = (at.iter().map(|p| p.0).min()?, at.iter().map(|p| p.1).min()?);
    let pixels = |v: i64| {
        let scaled = u64::try_from(v).ok()?.checked_mul(first.0)? / first.1;
        u16::try_from(scaled).ok()
    };
    let mut rects: Vec<Rect> = Vec::with_capacity(monitors.len());
    for (m, (x, y)) in monitors.iter().zip(at) {
        let (x, y) = (pixels(x - left)?, pixels(y - top)?);
        x.checked_add(m.size.w).and(y.checked_add(m.size.h))?;
        let rect = Rect::new(x, y, m.size.w, m.size.h);
        if rects.iter().any(|r| r.overlaps(&rect)) {
            return None;
        }
        rects.push(rect);
    }
    Some(rects)
}

/// All in one row, ordered by the places that are told.
fn side_by_side(monitors: &[Monitor]) -> Vec<Rect> {
    let mut order: Vec<usize> = (0..monitors.len()).collect();
    order.sort_by_key(|i| monitors.get(*i).and_then(|m| m.position).unwrap_or((i32::MAX, 0)));
    let mut rects = vec![Rect::default(); monitors.len()];
    let mut x = 0u16;
    for i in order {
        let (Some(m), Some(rect)) = (monitors.get(i), rects.get_mut(i)) else { continue };
        if let Some(right) = x.checked_add(m.size.w) {
            *rect = Rect::new(x, 0, m.size.w, m.size.h);
            x = right;
        }
    }
    rects
}

/// The monitor that a point of the canvas lies on, or the nearest, and where on it.
pub fn find(rects: &[Rect], x: u16, y: u16) -> Option<(usize, Point)> {
    let distance = |r: &Rect| {
        let off = |v: u16, from: u16, to: u16| {
            u64::from(from.saturating_sub(v)) + u64::from(v.saturating_sub(to.saturating_sub(1)))
        };
        off(x, r.x, r.right()).pow(2) + off(y, r.y, r.bottom()).pow(2)
    };
    let there = rects.iter().enumerate().filter(|(_, r)| !r.is_empty());
    let (i, r) = there.min_by_key(|(_, r)| distance(r))?;
    let inside = |v: u16, from: u16, len: u16| v.saturating_sub(from).min(len.saturating_sub(1));
    Some((i, Point::new(inside(x, r.x, r.w), inside(y, r.y, r.h))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn monitor(w: u16, h: u16, position: Option<(i32, i32)>) -> Monitor {
        Monitor { size: Size::new(w, h), position, logical: Some((w.into(), h.into())) }
    }

    #[test]
    fn places_that_make_sense_are_taken_from_the_leftmost_and_topmost_on() {
        let (size, rects) = place(&[monitor(100, 50, Some((-100, 20))), monitor(80, 60, Some((0, 0)))]);
        assert_eq!(rects, [Rect::new(0, 20, 100, 50), Rect::new(100, 0, 80, 60)]);
        assert_eq!(size, Size::new(180, 70));
    }

    #[test]
    fn monitors_that_all_lie_at_the_same_place_or_at_none_stand_side_by_side() {
        for at in [Some((0, 0)), None] {
            let (size, rects) = place(&[monitor(100, 50, at), monitor(80, 60, at)]);
            assert_eq!(rects, [Rect::new(0, 0, 100, 50), Rect::new(100, 0, 80, 60)]);
            assert_eq!(size, Size::new(180, 60));
        }
        let (_, rects) = place(&[monitor(100, 50, Some((50, 0))), monitor(80, 60, Some((0, 0)))]);
        assert_eq!(rects, [Rect::new(80, 0, 100, 50), Rect::new(0, 0, 80, 60)], "in the order that is told");
    }

    #[test]
    fn units_of_scaled_monitors_become_pixels_where_all_have_one_scale() {
        let scaled =
            |position| Monitor { size: Size::new(200, 100), position: Some(position), logical: Some((100, 50)) };
        assert_eq!(
            place(&[scaled((0, 0)), scaled((100, 0))]).1,
            [Rect::new(0, 0, 200, 100), Rect::new(200, 0, 200, 100)]
        );
        let mixed = place(&[scaled((0, 0)), monitor(80, 60, Some((100, 0)))]);
        assert_eq!(mixed.1, [Rect::new(0, 0, 200, 100), Rect::new(200, 0, 80, 60)]);
        assert_eq!(scaled((0, 0)).in_units(100, 50), (50.0, 25.0));
    }

    #[test]
    fn a_point_beside_all_monitors_goes_to_the_nearest() {
        let rects = [Rect::new(0, 0, 100, 50), Rect::default(), Rect::new(100, 0, 80, 60)];
        assert_eq!(find(&rects, 150, 10), Some((2, Point::new(50, 10))));
        assert_eq!(find(&rects, 40, 59), Some((0, Point::new(40, 49))));
        assert_eq!(find(&rects, 60_000, 60_000), Some((2, Point::new(79, 59))));
        assert_eq!(find(&[], 0, 0), None);
    }

    proptest! {
        #[test]
        fn whatever_is_told_monitors_lie_apart_inside_the_canvas(
            all in proptest::collection::vec((1u16..30_000, 1u16..30_000, any::<Option<(i32, i32)>>(), any::<Option<(i32, i32)>>()), 0..5)
        ) {
            let monitors: Vec<Monitor> = all.into_iter().map(|(w, h, position, logical)| {
                Monitor { size: Size::new(w, h), position, logical: logical.filter(|(w, h)| *w > 0 && *h > 0) }
            }).collect();
            let (size, rects) = place(&monitors);
            prop_assert_eq!(rects.len(), monitors.len());
            for (i, r) in rects.iter().enumerate() {
                prop_assert!(r.is_empty() || (size.rect().contains(r) && r.size() == monitors[i].size));
                prop_assert!(rects[i + 1..].iter().all(|q| !q.overlaps(r)));
            }
            let found = find(&rects, 17, 23);
            prop_assert!(found.is_none_or(|(i, p)| rects[i].size().rect().contains_point(p)));
        }
    }
}
