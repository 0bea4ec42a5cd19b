//! Few rectangles out of many, with little added.

use crate::geometry::{Rect, Region};

/// Rectangles that one frame is made of.
const MAX_BANDS: usize = 4;
/// Rectangles that are weighed against each other; more are first boxed in rows.
const MAX_WEIGHED: usize = 24;
/// Pixels that are fetched in vain rather than making one more rectangle.
const WASTE: u64 = 1_024;

/// Covers the region with at most [`MAX_BANDS`] rectangles that do not overlap, joining those first whose box adds least.
pub(in crate::capture) fn bands(region: &Region, out: &mut Vec<Rect>) {
    out.clear();
    let rects = region.rects();
    let chunk = rects.len().div_ceil(MAX_WEIGHED).max(1);
    out.extend(rects.chunks(chunk).map(|c| c.iter().fold(Rect::default(), |b, r| b.bounds_with(r))));
    while out.len() > 1 {
        let mut best: Option<(u64, usize, usize)> = None;
        for i in 0..out.len() {
            for j in i + 1..out.len() {
                let cost = if out[i].overlaps(&out[j]) {
                    0
                } else {
                    (out[i].bounds_with(&out[j]).area()).saturating_sub(out[i].area() + out[j].area()) + 1
                };
                if best.is_none_or(|b| cost < b.0) {
                    best = Some((cost, i, j));
                }
            }
        }
        match best {
            Some((cost, i, j)) if out.len() > MAX_BANDS || cost <= WASTE => {
                let joined = out[i].bounds_with(&out[j]);
                out.swap_remove(j);
                out[i] = joined;
            }
            _ => break,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn far_letters_of_one_line_stay_apart() {
        let mut region = Region::from(Rect::new(0, 0, 10, 20));
        region.add(&Rect::new(3_800, 0, 10, 20));
        region.add(&Rect::new(12, 0, 10, 20));
        let mut out = Vec::new();
        bands(&region, &mut out);
        assert_eq!(out.iter().map(Rect::area).sum::<u64>(), 22 * 20 + 200);
    }

    proptest! {
        #[test]
        fn bands_are_few_apart_and_cover_all(rects in proptest::collection::vec((0..500u16, 0..500u16, 1..80u16, 1..80u16), 0..60)) {
            let mut region = Region::new();
            rects.iter().for_each(|&(x, y, w, h)| region.add(&Rect::new(x, y, w, h)));
            let mut out = Vec::new();
            bands(&region, &mut out);
            prop_assert!(out.len() <= MAX_BANDS);
            for (i, r) in out.iter().enumerate() {
                prop_assert!(out[i + 1..].iter().all(|q| !q.overlaps(r)));
                region.subtract_rect(r);
            }
            prop_assert!(region.is_empty());
        }
    }
}
