//! Points, sizes and half-open rectangles.

/// A position in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point {
    /// Columns from the left.
    pub x: u16,
    /// Rows from the top.
    pub y: u16,
}

impl Point {
    /// A point from its column and row.
    pub const fn new(x: u16, y: u16) -> Self {
        Self { x, y }
    }
}

/// A width and a height in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// Columns.
    pub w: u16,
    /// Rows.
    pub h: u16,
}

impl Size {
    /// A size from its width and height.
    pub const fn new(w: u16, h: u16) -> Self {
        Self { w, h }
    }

    /// The rectangle of this size at the origin.
    pub const fn rect(self) -> Rect {
        Rect { x: 0, y: 0, w: self.w, h: self.h }
    }

    /// Pixels covered.
    pub const fn area(self) -> u64 {
        self.w as u64 * self.h as u64
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.w, self.h)
    }
}

/// A half-open rectangle: columns `x..x+w`, rows `y..y+h`.
///
/// INVARIANT: `x + w` and `y + h` fit in a `u16`. [`Rect::new`] clips what would not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rect {
    /// Left column.
    pub x: u16,
    /// Top row.
    pub y: u16,
    /// Columns.
    pub w: u16,
    /// Rows.
    pub h: u16,
}

impl Rect {
    /// A rectangle, clipped so that its far edges stay within `u16`.
    ///
    /// ```
    /// use farpane_engine::geometry::Rect;
    /// assert_eq!(Rect::new(65_000, 0, 1_000, 1).w, 535);
    /// ```
    pub fn new(x: u16, y: u16, w: u16, h: u16) -> Self {
        Self { x, y, w: w.min(u16::MAX - x), h: h.min(u16::MAX - y) }
    }

    /// The rectangle between two corners (`x0 <= x1`, `y0 <= y1`; otherwise empty).
    pub fn from_corners(x0: u16, y0: u16, x1: u16, y1: u16) -> Self {
        Self { x: x0, y: y0, w: x1.saturating_sub(x0), h: y1.saturating_sub(y0) }
    }

    /// The first column past the right edge.
    pub const fn right(&self) -> u16 {
        self.x + self.w
    }

    /// The first row past the bottom edge.
    pub const fn bottom(&self) -> u16 {
        self.y + self.h
    }

    /// Its size.
    pub const fn size(&self) -> Size {
        Size { w: self.w, h: self.h }
    }

    /// Its top left corner.
    pub const fn origin(&self) -> Point {
        Point { x: self.x, y: self.y }
    }

    /// Pixels covered.
    pub const fn area(&self) -> u64 {
        self.w as u64 * self.h as u64
    }

    /// Whether it covers no pixel.
    pub const fn is_empty(&self) -> bool {
        self.w == 0 || self.h == 0
    }

    /// The common part of two rectangles; empty when they do not meet.
    pub fn intersect(&self, other: &Rect) -> Rect {
        let x0 = self.x.max(other.x);
        let y0 = self.y.max(other.y);
        Rect::from_corners(x0, y0, self.right().min(other.right()), self.bottom().min(other.bottom()))
    }

    /// Whether the two share a pixel.
    pub fn overlaps(&self, other: &Rect) -> bool {
        !self.intersect(other).is_empty()
    }

    /// The smallest rectangle that holds both; an empty one does not count.
    pub fn bounds_with(&self, other: &Rect) -> Rect {
        if self.is_empty() {
            return *other;
        }
        if other.is_empty() {
            return *self;
        }
        Rect::from_corners(
            self.x.min(other.x),
            self.y.min(other.y),
            self.right().max(other.right()),
            self.bottom().max(other.bottom()),
        )
    }

    /// Whether every pixel of `other` lies inside.
    pub fn contains(&self, other: &Rect) -> bool {
        other.is_empty()
            || (other.x >= self.x
                && other.y >= self.y
                && other.right() <= self.right()
                && other.bottom() <= self.bottom())
    }

    /// Whether the pixel at `p` lies inside.
    pub fn contains_point(&self, p: Point) -> bool {
        p.x >= self.x && p.x < self.right() && p.y >= self.y && p.y < self.bottom()
    }

    /// The rectangle moved by (`dx`, `dy`), clipped to the `u16` plane.
    pub fn translate(&self, dx: i32, dy: i32) -> Rect {
        let clip = |v: i32| v.clamp(0, i32::from(u16::MAX)) as u16;
        Rect::from_corners(
            clip(i32::from(self.x) + dx),
            clip(i32::from(self.y) + dy),
            clip(i32::from(self.right()) + dx),
            clip(i32::from(self.bottom()) + dy),
        )
    }
}

impl std::fmt::Display for Rect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}+{}+{}", self.w, self.h, self.x, self.y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intersection_is_half_open() {
        let a = Rect::new(0, 0, 10, 10);
        assert!(!a.overlaps(&Rect::new(10, 0, 5, 5)));
        assert_eq!(a.intersect(&Rect::new(9, 9, 5, 5)), Rect::new(9, 9, 1, 1));
    }

    #[test]
    fn translation_clips_at_the_edges() {
        let a = Rect::new(5, 5, 10, 10).translate(-8, 0);
        assert_eq!(a, Rect::new(0, 5, 7, 10));
        assert!(Rect::new(0, 0, 5, 5).translate(-5, 0).is_empty());
        assert_eq!(Rect::new(65_530, 0, 5, 1).translate(3, 0), Rect::new(65_533, 0, 2, 1));
    }

    #[test]
    fn bounds_ignore_empty_rectangles() {
        let a = Rect::new(3, 4, 5, 6);
        assert_eq!(a.bounds_with(&Rect::default()), a);
        assert_eq!(Rect::default().bounds_with(&a), a);
    }
}
