//! Frame numbers in the picture: a small pattern of blocks that survives JPEG, so that a decoded update tells which frame
//! it shows.

use crate::paint::Area;

/// Side of one block.
const BLOCK: u32 = 8;
/// Blocks in a row.
const ACROSS: u32 = 4;
/// Rows of blocks.
const DOWN: u32 = 5;
/// Columns of a marker.
pub const MARKER_W: u32 = BLOCK * ACROSS;
/// Rows of a marker.
pub const MARKER_H: u32 = BLOCK * DOWN;
/// Frame numbers begin again here.
pub const NUMBERS: u32 = 1 << 14;

const WHITE: u32 = 0x00f0_f0f0;
const BLACK: u32 = 0x0010_1010;

/// 14 bits of number and 6 of check.
fn pattern(number: u32) -> u32 {
    let number = number % NUMBERS;
    number << 6 | check(number)
}

fn check(number: u32) -> u32 {
    (number.wrapping_mul(0x9e37_79b1) >> 26) ^ 0x2a
}

/// What to fill, in order, to draw a number at a place.
pub fn draw(x: u32, y: u32, number: u32) -> Vec<(Area, u32)> {
    let bits = pattern(number);
    let mut out = vec![(Area::new(x, y, MARKER_W, MARKER_H), WHITE)];
    for i in 0..ACROSS * DOWN {
        if bits >> i & 1 == 1 {
            out.push((Area::new(x + i % ACROSS * BLOCK, y + i / ACROSS * BLOCK, BLOCK, BLOCK), BLACK));
        }
    }
    out
}

/// The number at a place, when a whole one is there. `pixel` gives the colour R, G, B of a pixel.
pub fn read(x: u32, y: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Option<u32> {
    let mut bits = 0;
    for i in 0..ACROSS * DOWN {
        let (left, top) = (x + i % ACROSS * BLOCK + 2, y + i / ACROSS * BLOCK + 2);
        let mut sum = 0;
        for at in 0..16 {
            let [r, g, b] = pixel(left + at % 4, top + at / 4).map(u32::from);
            sum += r + 2 * g + b;
        }
        if sum < 16 * 4 * 128 {
            bits |= 1 << i;
        }
    }
    let number = bits >> 6;
    (check(number) == bits & 63).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paint::Picture;

    fn shown(number: u32) -> Picture {
        let mut p = Picture::new(64, 64, 0x0080_4020);
        for (area, colour) in draw(11, 7, number) {
            p.fill(area, colour);
        }
        p
    }

    fn read_from(p: &Picture) -> Option<u32> {
        read(11, 7, |x, y| p.at(x, y).to_be_bytes()[1..].try_into().expect("three bytes"))
    }

    #[test]
    fn every_number_is_read_back() {
        for number in 0..NUMBERS {
            assert_eq!(read_from(&shown(number)), Some(number));
        }
    }

    #[test]
    fn a_number_in_blurred_pixels_is_still_read() {
        let mut p = shown(4711);
        for (i, v) in p.px.iter_mut().enumerate() {
            let off = ((i as u32).wrapping_mul(2_654_435_761) >> 27) as u8;
            *v = u32::from_be_bytes(v.to_be_bytes().map(|c| c.saturating_add(off)));
        }
        assert_eq!(read_from(&p), Some(4711));
    }

    #[test]
    fn half_of_one_number_and_half_of_another_is_none() {
        let misread = (0..1000)
            .filter(|n| {
                let (mut p, next) = (shown(*n), shown(n + 1));
                let half = p.px.len() / 2;
                p.px[half..].copy_from_slice(&next.px[half..]);
                read_from(&p).is_some_and(|got| got != *n && got != n + 1)
            })
            .count();
        assert!(misread < 40, "{misread} of 1000 torn markers read as a third number");
    }
}
