//! How much smaller a picture is shown than it is.

use super::{Rect, Size};

/// A ratio of at most one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scale {
    part: u32,
    of: u32,
}

impl Scale {
    /// As large as it is.
    pub const WHOLE: Self = Self { part: 1, of: 1 };

    /// `part` of `of`; the whole when it would be more, or nothing.
    ///
    /// ```
    /// use farpane_engine::geometry::{Scale, Size};
    /// assert_eq!(Scale::new(50, 100).size(Size::new(1920, 1081)), Size::new(960, 540));
    /// ```
    pub fn new(part: u16, of: u16) -> Self {
        if part == 0 || part >= of {
            return Self::WHOLE;
        }
        let (mut a, mut b) = (u32::from(of), u32::from(part));
        while b > 0 {
            (a, b) = (b, a % b);
        }
        Self { part: u32::from(part) / a, of: u32::from(of) / a }
    }

    /// What makes `whole` fit into `room`, its sides as they are to each other.
    pub fn fitting(whole: Size, room: Size) -> Self {
        if whole.w == 0 || whole.h == 0 {
            return Self::WHOLE;
        }
        let wide = u32::from(room.w) * u32::from(whole.h) <= u32::from(room.h) * u32::from(whole.w);
        if wide { Self::new(room.w, whole.w) } else { Self::new(room.h, whole.h) }
    }

    /// A length, rounded down.
    fn down(self, length: u16) -> u16 {
        (u64::from(length) * u64::from(self.part) / u64::from(self.of)) as u16
    }

    /// What a picture of this size becomes; no side becomes nothing.
    pub fn size(self, size: Size) -> Size {
        let side = |v: u16| self.down(v).max(u16::from(v > 0));
        Size::new(side(size.w), side(size.h))
    }

    /// What a rectangle becomes: of the size that its picture has, at the place that is its corner's. Apart stays apart.
    pub fn rect(self, rect: &Rect) -> Rect {
        let size = self.size(rect.size());
        Rect::new(self.down(rect.x), self.down(rect.y), size.w, size.h)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_fits_keeps_its_shape_and_is_never_made_larger() {
        let room = Size::new(1280, 800);
        for (whole, shown) in [
            (Size::new(3840, 2160), Size::new(1280, 720)),
            (Size::new(1600, 1600), Size::new(800, 800)),
            (Size::new(1024, 768), Size::new(1024, 768)),
            (Size::new(11_520, 2160), Size::new(1280, 240)),
            (Size::new(16_384, 1), Size::new(1280, 1)),
        ] {
            assert_eq!(Scale::fitting(whole, room).size(whole), shown, "{whole}");
        }
        assert_eq!(Scale::fitting(Size::default(), room), Scale::WHOLE);
        assert_eq!(Scale::fitting(room, Size::default()), Scale::WHOLE);
    }

    proptest! {
        #[test]
        fn neighbours_stay_apart_and_leave_at_most_a_line(
            (part, of) in (1..200u16, 1..200u16),
            (x, a, b) in (0..20_000u16, 1..20_000u16, 1..20_000u16),
        ) {
            let scale = Scale::new(part, of);
            let left = scale.rect(&Rect::new(x, 0, a, 1));
            let right = scale.rect(&Rect::new(x + a, 0, b, 1));
            if scale.down(a) > 0 {
                prop_assert!(left.right() <= right.x && right.x - left.right() <= 1, "{:?} {:?}", left, right);
            }
        }

        #[test]
        fn what_fits_lies_in_its_room(w in 1..u16::MAX, h in 1..u16::MAX, rw in 1..u16::MAX, rh in 1..u16::MAX) {
            let (whole, room) = (Size::new(w, h), Size::new(rw, rh));
            let shown = Scale::fitting(whole, room).size(whole);
            prop_assert!(shown.w <= room.w && shown.h <= room.h && shown.w > 0 && shown.h > 0, "{}", shown);
        }
    }
}
