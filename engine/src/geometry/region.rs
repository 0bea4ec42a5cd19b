//! Sets of pixels as disjoint rectangles.
//!
//! A region is kept in the banded form that X servers use: rectangles sorted by row band, then by
//! column; all of one band share top and bottom; neighbours in a band do not touch; a band equal to
//! the one above it is merged with it. Two equal sets therefore compare equal.

use super::{Point, Rect};

/// A set of pixels: disjoint rectangles with set algebra.
///
/// Cost: every operation is linear in the rectangles of its operands, times the bands that overlap;
/// buffers are kept, so a region used again does not allocate once it has grown.
#[derive(Default)]
pub struct Region {
    rects: Vec<Rect>,
    spare: Vec<Rect>,
    edges: Vec<u16>,
}

impl Clone for Region {
    fn clone(&self) -> Self {
        Self { rects: self.rects.clone(), spare: Vec::new(), edges: Vec::new() }
    }

    fn clone_from(&mut self, source: &Self) {
        self.rects.clone_from(&source.rects);
    }
}

impl PartialEq for Region {
    fn eq(&self, other: &Self) -> bool {
        self.rects == other.rects
    }
}

impl Eq for Region {}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.rects.iter().map(ToString::to_string)).finish()
    }
}

impl From<Rect> for Region {
    fn from(rect: Rect) -> Self {
        let mut r = Self::new();
        r.add(&rect);
        r
    }
}

impl Region {
    /// The empty set.
    pub const fn new() -> Self {
        Self { rects: Vec::new(), spare: Vec::new(), edges: Vec::new() }
    }

    /// The disjoint rectangles, by rows and then columns.
    ///
    /// ```
    /// use farpane_engine::geometry::{Rect, Region};
    /// let mut r = Region::from(Rect::new(0, 0, 4, 4));
    /// r.subtract_rect(&Rect::new(1, 1, 2, 2));
    /// assert_eq!(r.area(), 12);
    /// assert_eq!(r.rects().len(), 4);
    /// ```
    pub fn rects(&self) -> &[Rect] {
        &self.rects
    }

    /// Whether no pixel is in the set.
    pub fn is_empty(&self) -> bool {
        self.rects.is_empty()
    }

    /// Forgets everything, keeping the buffers.
    pub fn clear(&mut self) {
        self.rects.clear();
    }

    /// Pixels in the set.
    pub fn area(&self) -> u64 {
        self.rects.iter().map(Rect::area).sum()
    }

    /// The smallest rectangle around the set; empty for the empty set.
    pub fn bounds(&self) -> Rect {
        self.rects.iter().fold(Rect::default(), |b, r| b.bounds_with(r))
    }

    /// Whether the pixel is in the set.
    pub fn contains_point(&self, p: Point) -> bool {
        self.rects.iter().any(|r| r.contains_point(p))
    }

    /// Whether all of `rect` is in the set.
    pub fn contains_rect(&self, rect: &Rect) -> bool {
        let inside: u64 = self.rects.iter().map(|r| r.intersect(rect).area()).sum();
        inside == rect.area()
    }

    /// Whether any pixel of `rect` is in the set.
    pub fn overlaps_rect(&self, rect: &Rect) -> bool {
        self.rects.iter().any(|r| r.overlaps(rect))
    }

    /// Adds a rectangle.
    pub fn add(&mut self, rect: &Rect) {
        if rect.is_empty() {
            return;
        }
        if self.rects.is_empty() {
            self.rects.push(*rect);
            return;
        }
        if self.rects.len() == 1 && self.rects[0].contains(rect) {
            return;
        }
        self.combine(std::slice::from_ref(rect), |a, b| a || b);
    }

    /// Adds all of another region.
    pub fn union(&mut self, other: &Region) {
        match (self.rects.is_empty(), other.rects.is_empty()) {
            (_, true) => {}
            (true, false) => self.rects.extend_from_slice(&other.rects),
            _ => self.combine(&other.rects, |a, b| a || b),
        }
    }

    /// Takes away all of another region.
    pub fn subtract(&mut self, other: &Region) {
        if !self.rects.is_empty() && !other.rects.is_empty() {
            self.combine(&other.rects, |a, b| a && !b);
        }
    }

    /// Takes away a rectangle.
    pub fn subtract_rect(&mut self, rect: &Rect) {
        if self.overlaps_rect(rect) {
            self.combine(std::slice::from_ref(rect), |a, b| a && !b);
        }
    }

    /// Keeps only what is in both.
    pub fn intersect(&mut self, other: &Region) {
        if self.rects.is_empty() || other.rects.is_empty() {
            self.rects.clear();
        } else {
            self.combine(&other.rects, |a, b| a && b);
        }
    }

    /// Keeps only what lies in the rectangle.
    pub fn intersect_rect(&mut self, rect: &Rect) {
        if self.rects.iter().any(|r| !rect.contains(r)) {
            self.combine(std::slice::from_ref(rect), |a, b| a && b);
        }
    }

    /// Moves the set, clipping it to the `u16` plane.
    pub fn translate(&mut self, dx: i32, dy: i32) {
        for r in &mut self.rects {
            *r = r.translate(dx, dy);
        }
        self.rects.retain(|r| !r.is_empty());
    }

    /// Replaces `self` by the cells of `self op other`, band by band.
    fn combine(&mut self, other: &[Rect], keep: impl Fn(bool, bool) -> bool) {
        let mut edges = std::mem::take(&mut self.edges);
        edges.clear();
        for r in self.rects.iter().chain(other) {
            edges.push(r.y);
            edges.push(r.bottom());
        }
        edges.sort_unstable();
        edges.dedup();

        let mut out = std::mem::take(&mut self.spare);
        out.clear();
        let mut band_start = 0; // first rectangle of the band above, in `out`
        let (mut first_a, mut first_b) = (0, 0);
        for pair in edges.windows(2) {
            let (top, bottom) = (pair[0], pair[1]);
            first_a = skip_above(&self.rects, first_a, top);
            first_b = skip_above(other, first_b, top);
            let start = out.len();
            band(&self.rects[first_a..], &other[first_b..], top, bottom, &keep, &mut out);
            if same_columns(&out[band_start..start], &out[start..], top) {
                let grow = bottom - top;
                out.truncate(start);
                for r in &mut out[band_start..] {
                    r.h += grow;
                }
            } else {
                band_start = start;
            }
        }
        self.spare = std::mem::replace(&mut self.rects, out);
        self.edges = edges;
    }
}

/// The first rectangle, from `from` on, whose bottom is below `top`.
///
/// Rectangles are sorted by band, so all before it lie above for good.
fn skip_above(rects: &[Rect], mut from: usize, top: u16) -> usize {
    while from < rects.len() && rects[from].bottom() <= top {
        from += 1;
    }
    from
}

/// Appends to `out` the column spans of one band in which `keep` holds.
fn band(a: &[Rect], b: &[Rect], top: u16, bottom: u16, keep: &impl Fn(bool, bool) -> bool, out: &mut Vec<Rect>) {
    let mut a = a.iter().take_while(|r| r.y <= top).peekable();
    let mut b = b.iter().take_while(|r| r.y <= top).peekable();
    let mut x = 0u16;
    let mut open: Option<u16> = None;
    loop {
        while a.next_if(|r| r.right() <= x).is_some() {}
        while b.next_if(|r| r.right() <= x).is_some() {}
        let in_a = a.peek().is_some_and(|r| r.x <= x);
        let in_b = b.peek().is_some_and(|r| r.x <= x);
        match (keep(in_a, in_b), open) {
            (true, None) => open = Some(x),
            (false, Some(start)) => {
                out.push(Rect::from_corners(start, top, x, bottom));
                open = None;
            }
            _ => {}
        }
        let next = |r: Option<&&Rect>| r.map(|r| if r.x > x { r.x } else { r.right() });
        match (next(a.peek()), next(b.peek())) {
            (None, None) => break,
            (Some(v), None) | (None, Some(v)) => x = v,
            (Some(v), Some(w)) => x = v.min(w),
        }
    }
    if let Some(start) = open {
        out.push(Rect::from_corners(start, top, x, bottom));
    }
}

/// Whether the band that ends at `top` has the same columns as the new one.
fn same_columns(above: &[Rect], new: &[Rect], top: u16) -> bool {
    !above.is_empty()
        && above.len() == new.len()
        && above[0].bottom() == top
        && above.iter().zip(new).all(|(p, q)| p.x == q.x && p.w == q.w)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIDE: u16 = 24;

    fn rect() -> impl Strategy<Value = Rect> {
        (0..SIDE, 0..SIDE, 0..SIDE, 0..SIDE)
            .prop_map(|(x, y, w, h)| Rect::new(x, y, w, h).intersect(&Rect::new(0, 0, SIDE, SIDE)))
    }

    fn bitmap(r: &Region) -> Vec<bool> {
        let mut map = vec![false; usize::from(SIDE) * usize::from(SIDE)];
        for q in r.rects() {
            for y in q.y..q.bottom() {
                for x in q.x..q.right() {
                    let cell = &mut map[usize::from(y) * usize::from(SIDE) + usize::from(x)];
                    assert!(!*cell, "rectangles overlap");
                    *cell = true;
                }
            }
        }
        map
    }

    fn region(rects: &[Rect]) -> Region {
        let mut r = Region::new();
        for q in rects {
            r.add(q);
        }
        r
    }

    proptest! {
        #[test]
        fn set_algebra_matches_bitmaps(a in proptest::collection::vec(rect(), 0..8), b in proptest::collection::vec(rect(), 0..8)) {
            let (ra, rb) = (region(&a), region(&b));
            let (ma, mb) = (bitmap(&ra), bitmap(&rb));
            for (y, row) in ma.chunks(usize::from(SIDE)).enumerate() {
                for (x, &set) in row.iter().enumerate() {
                    let p = Point::new(x as u16, y as u16);
                    prop_assert_eq!(set, a.iter().any(|r| r.contains_point(p)));
                }
            }
            type Op = (fn(&mut Region, &Region), fn(bool, bool) -> bool);
            let ops: [Op; 3] = [
                (Region::union, |p, q| p || q),
                (Region::subtract, |p, q| p && !q),
                (Region::intersect, |p, q| p && q),
            ];
            for (op, want) in ops {
                let mut got = ra.clone();
                op(&mut got, &rb);
                let expect: Vec<bool> = ma.iter().zip(&mb).map(|(&p, &q)| want(p, q)).collect();
                prop_assert_eq!(bitmap(&got), expect);
                // canonical: the same set built in another way compares equal
                let again = region(&got.rects().iter().rev().copied().collect::<Vec<_>>());
                prop_assert_eq!(again, got);
            }
        }
    }

    #[test]
    fn adjacent_rectangles_become_one() {
        let r = region(&[Rect::new(0, 0, 5, 5), Rect::new(5, 0, 5, 5), Rect::new(0, 5, 10, 5)]);
        assert_eq!(r.rects(), [Rect::new(0, 0, 10, 10)]);
    }
}
