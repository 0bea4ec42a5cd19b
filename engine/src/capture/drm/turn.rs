//! Planes that are turned on their way to the screen: where a place on the screen lies in the picture that the desktop drew.
//!
//! SOURCE: `drm_rect_rotate_inv` of the kernel: a plane is mirrored first, then rotated counter-clockwise.

use super::picture::Area;

pub(super) const ROTATE_0: u32 = 1;
const ROTATE_90: u32 = 2;
const ROTATE_180: u32 = 4;
const ROTATE_270: u32 = 8;
const REFLECT_X: u32 = 16;
const REFLECT_Y: u32 = 32;

/// A rotation without what says that there is none.
pub(super) const fn canonical(rotation: u32) -> u32 {
    if rotation & (ROTATE_90 | ROTATE_180 | ROTATE_270) == 0 { rotation | ROTATE_0 } else { rotation }
}

/// Whether width and height change places.
pub(super) const fn swaps(rotation: u32) -> bool {
    rotation & (ROTATE_90 | ROTATE_270) != 0
}

/// Where an area of the screen lies on the upright picture, which is `width` by `height`.
pub(super) fn upright(area: Area, width: i32, height: i32, rotation: u32) -> Area {
    let Area { x, y, w, h } = area;
    // sides are those of screens
    let (right, bottom) = (x + w as i32, y + h as i32);
    let mut out = if rotation & ROTATE_90 != 0 {
        Area { x: width - bottom, y: x, w: h, h: w }
    } else if rotation & ROTATE_180 != 0 {
        Area { x: width - right, y: height - bottom, w, h }
    } else if rotation & ROTATE_270 != 0 {
        Area { x: y, y: height - right, w: h, h: w }
    } else {
        area
    };
    if rotation & REFLECT_X != 0 {
        out.x = width - (out.x + out.w as i32);
    }
    if rotation & REFLECT_Y != 0 {
        out.y = height - (out.y + out.h as i32);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pixel_of_the_screen_shows_the_one_that_was_turned_there() {
        // the upright picture, 3 by 2:   a b c
        //                                d e f
        let at = |x, y, rotation| {
            let place = upright(Area { x, y, w: 1, h: 1 }, 3, 2, rotation);
            assert_eq!((place.w, place.h), (1, 1));
            char::from(b"abcdef"[(place.y * 3 + place.x) as usize])
        };
        let rows =
            |w, h, rotation| -> Vec<String> { (0..h).map(|y| (0..w).map(|x| at(x, y, rotation)).collect()).collect() };
        assert_eq!(rows(3, 2, ROTATE_0), ["abc", "def"]);
        assert_eq!(rows(2, 3, ROTATE_90), ["cf", "be", "ad"], "counter-clockwise");
        assert_eq!(rows(3, 2, ROTATE_180), ["fed", "cba"]);
        assert_eq!(rows(2, 3, ROTATE_270), ["da", "eb", "fc"]);
        assert_eq!(rows(3, 2, ROTATE_0 | REFLECT_X), ["cba", "fed"]);
        assert_eq!(rows(3, 2, ROTATE_0 | REFLECT_Y), ["def", "abc"]);
        assert_eq!(rows(2, 3, ROTATE_90 | REFLECT_X), ["ad", "be", "cf"], "mirrored, then turned");
    }

    #[test]
    fn areas_keep_their_extent() {
        let area = Area { x: 10, y: 20, w: 30, h: 5 };
        assert_eq!(upright(area, 1080, 1920, ROTATE_90), Area { x: 1080 - 25, y: 10, w: 5, h: 30 });
        assert!(swaps(ROTATE_270 | REFLECT_X) && !swaps(ROTATE_180));
        assert_eq!([0, 1, 2, 16, 36].map(canonical), [1, 1, 2, 17, 36]);
    }
}
