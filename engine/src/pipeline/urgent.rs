//! What of a pending region is small and stands alone: a letter, a caret, a button. It may go ahead of a film beside it.

use crate::geometry::{Rect, Region};

/// A rectangle counts as small and interactive up to this many pixels.
pub(super) const SMALL_AREA: u64 = 64 * 64;

/// Pixels that go ahead at once, at most: encoded in a fraction of a millisecond.
pub(super) const MOST_PX: u64 = 4 * SMALL_AREA;

/// In a region of more rectangles nothing counts as urgent: to look for it would cost more than it brings.
const MOST_RECTS: usize = 256;

/// Whether a rectangle of the region is small and touches no large one (then it is an edge of that).
fn stands_alone(rect: &Rect, region: &Region) -> bool {
    let around = Rect::from_corners(
        rect.x.saturating_sub(1),
        rect.y.saturating_sub(1),
        rect.right().saturating_add(1),
        rect.bottom().saturating_add(1),
    );
    rect.area() <= SMALL_AREA && !region.rects().iter().any(|r| r.area() > SMALL_AREA && r.overlaps(&around))
}

/// The rectangles of `region` that may go ahead of the rest, a few thousand pixels in all.
pub(super) fn urgent(region: &Region) -> impl Iterator<Item = Rect> + '_ {
    let worth = region.rects().len() <= MOST_RECTS;
    let mut left = MOST_PX;
    let alone = region.rects().iter().filter(move |r| worth && stands_alone(r, region)).copied();
    alone.take_while(move |r| {
        let fits = r.area() <= left;
        left = left.saturating_sub(r.area());
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rects: &[Rect]) -> Vec<Rect> {
        let mut region = Region::new();
        rects.iter().for_each(|r| region.add(r));
        urgent(&region).collect()
    }

    #[test]
    fn a_letter_goes_ahead_of_a_film_and_the_edge_of_the_film_does_not() {
        let letter = Rect::new(900, 40, 10, 20);
        let film = Rect::new(100, 100, 640, 360);
        let edge = Rect::new(740, 120, 5, 200);
        assert_eq!(found(&[letter, film, edge]), [letter]);
        assert_eq!(found(&[film, edge]), []);
        assert_eq!(found(&[letter]), [letter]);
    }

    #[test]
    fn much_that_is_small_is_not_urgent_as_a_whole() {
        let many: Vec<Rect> = (0..20).map(|i| Rect::new(i * 100, 0, 60, 60)).collect();
        let px: u64 = found(&many).iter().map(Rect::area).sum();
        assert!((1..=MOST_PX).contains(&px), "{px} px");
        let dots: Vec<Rect> = (0..300).map(|i| Rect::new(i * 4, i * 2, 1, 1)).collect();
        assert_eq!(found(&dots), []);
    }
}
