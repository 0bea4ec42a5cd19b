//! Cuts a pending region into the rectangles that encoders get, on a grid fixed to the output.

use super::urgent::SMALL_AREA;
use crate::geometry::{Rect, Region};

/// How an update's pixels are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// The blocks' sides.
    pub side: u16,
    /// What is less than a block is joined with its neighbours.
    pub joins: bool,
}

/// Sides of joined rectangles, at most; Tight ends at 2048.
const MOST_SIDE: u16 = 1024;

/// Cuts `region` at the lines of a grid of blocks with sides of `side` px, appending to `out`.
///
/// Within a block, rectangles are sent as they are when they are few; many, or such that nearly fill their common box, are
/// sent as that box: its other pixels are exact as well. The result depends on nothing but the region, so clients that
/// are equally far behind share their encoded rectangles.
pub(super) fn cut(region: &Region, side: u16, out: &mut Vec<Rect>) {
    let bounds = region.bounds();
    if bounds.is_empty() {
        return;
    }
    let start = out.len();
    for rect in region.rects() {
        let mut y = rect.y;
        while y < rect.bottom() {
            let bottom = next_line(y, side).min(rect.bottom());
            let mut x = rect.x;
            while x < rect.right() {
                let right = next_line(x, side).min(rect.right());
                out.push(Rect::from_corners(x, y, right, bottom));
                x = right;
            }
            y = bottom;
        }
    }
    if region.rects().len() == 1 {
        return;
    }
    // Group by block and join inside each.
    let block = |r: &Rect| (r.y / side, r.x / side);
    out[start..].sort_unstable_by_key(|r| (block(r), r.y, r.x));
    let mut kept = start;
    let mut i = start;
    while i < out.len() {
        let mut end = i;
        let (mut whole, mut area) = (Rect::default(), 0);
        while end < out.len() && block(&out[end]) == block(&out[i]) {
            whole = whole.bounds_with(&out[end]);
            area += out[end].area();
            end += 1;
        }
        if end - i > 1 && (end - i > 4 || whole.area() * 3 <= area * 4) {
            out[kept] = whole;
            kept += 1;
        } else {
            out.copy_within(i..end, kept);
            kept += end - i;
        }
        i = end;
    }
    out.truncate(kept);
}

fn next_line(v: u16, side: u16) -> u16 {
    (v / side + 1).saturating_mul(side)
}

/// Joins neighbours that are less than a block each, as at the edges of a film, into rectangles of at most a block's pixels: a JPEG
/// or a chunk of deflate has a price of its own. Whole blocks stay as they are, so they are shared all the same.
pub(super) fn join(rects: &mut Vec<Rect>, side: u16) {
    let most = u64::from(side).pow(2);
    rects.sort_unstable_by_key(|r| (r.y, r.h, r.x));
    join_following(rects, most, |a, b| (a.y, a.h, a.right()) == (b.y, b.h, b.x));
    rects.sort_unstable_by_key(|r| (r.x, r.w, r.y));
    join_following(rects, most, |a, b| (a.x, a.w, a.bottom()) == (b.x, b.w, b.y));
}

fn join_following(rects: &mut Vec<Rect>, most: u64, touch: impl Fn(&Rect, &Rect) -> bool) {
    rects.dedup_by(|next, kept| {
        let whole = kept.bounds_with(next);
        let joins = touch(kept, next) && whole.area() <= most && whole.w.max(whole.h) <= MOST_SIDE;
        if joins {
            *kept = whole;
        }
        joins
    });
}

/// Sorts rectangles into the order in which they are sent: small ones first, newest first; then the rest, oldest first, so
/// that what keeps changing cannot starve what waits.
pub(super) fn order(rects: &mut [Rect], newest: impl Fn(&Rect) -> u64) {
    rects.sort_by_cached_key(|r| {
        let small = r.area() <= SMALL_AREA;
        let seq = newest(r);
        (!small, if small { u64::MAX - seq } else { seq }, r.y, r.x)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::BLOCK;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_cover_the_region_and_respect_the_grid(
            rects in proptest::collection::vec((0u16..900, 0u16..900, 1u16..400, 1u16..400), 1..12)
        ) {
            let mut region = Region::new();
            for (x, y, w, h) in rects {
                region.add(&Rect::new(x, y, w, h));
            }
            let mut out = Vec::new();
            cut(&region, BLOCK, &mut out);
            let mut left = region.clone();
            for r in &out {
                prop_assert!(!r.is_empty());
                prop_assert_eq!(r.x / BLOCK, (r.right() - 1) / BLOCK);
                prop_assert_eq!(r.y / BLOCK, (r.bottom() - 1) / BLOCK);
                left.subtract_rect(r);
            }
            prop_assert!(left.is_empty());
            let sent: u64 = out.iter().map(Rect::area).sum();
            let blocks = region.bounds().w.div_ceil(BLOCK).max(1);
            prop_assert!(blocks > 0 && sent <= region.bounds().area());
        }
    }

    proptest! {
        #[test]
        fn joined_rectangles_cover_the_same_and_hold_no_more_than_a_block(
            rects in proptest::collection::vec((0u16..2900, 0u16..2000, 1u16..900, 1u16..900), 1..6),
            side in prop_oneof![Just(BLOCK / 4), Just(BLOCK)],
        ) {
            let mut region = Region::new();
            for (x, y, w, h) in rects {
                region.add(&Rect::new(x, y, w, h));
            }
            let mut cut_ones = Vec::new();
            cut(&region, side, &mut cut_ones);
            let mut joined = cut_ones.clone();
            join(&mut joined, side);
            prop_assert!(joined.len() <= cut_ones.len());
            let area = |rects: &[Rect]| rects.iter().map(Rect::area).sum::<u64>();
            prop_assert_eq!(area(&joined), area(&cut_ones));
            for r in &joined {
                prop_assert!(r.area() <= u64::from(side).pow(2) && r.w.max(r.h) <= MOST_SIDE);
            }
            let mut left = region.clone();
            joined.iter().for_each(|r| left.subtract_rect(r));
            prop_assert!(left.is_empty());
            let whole = |r: &&Rect| r.area() == u64::from(side).pow(2);
            prop_assert!(cut_ones.iter().filter(whole).all(|r| joined.contains(r)));
        }
    }

    #[test]
    fn the_edges_of_a_film_are_joined() {
        let mut out = Vec::new();
        cut(&Region::from(Rect::new(960, 540, 1920, 1080)), BLOCK, &mut out);
        assert_eq!(out.len(), 45);
        join(&mut out, BLOCK);
        assert_eq!(out.len(), 33);
        assert!(out.contains(&Rect::new(960, 540, 64, 996)), "{out:?}");
    }

    #[test]
    fn a_letter_stays_a_letter() {
        let mut out = Vec::new();
        cut(&Region::from(Rect::new(100, 50, 10, 20)), BLOCK, &mut out);
        assert_eq!(out, [Rect::new(100, 50, 10, 20)]);
    }

    #[test]
    fn small_new_things_go_first_and_old_bulk_before_new_bulk() {
        let old_bulk = Rect::new(0, 0, 256, 256);
        let new_bulk = Rect::new(256, 0, 256, 256);
        let letter = Rect::new(600, 0, 8, 16);
        let mut rects = [new_bulk, old_bulk, letter];
        order(&mut rects, |r| if *r == old_bulk { 1 } else { 9 });
        assert_eq!(rects, [letter, old_bulk, new_bulk]);
    }
}
