//! Two rows of mirror pixels become two rows of luma and one of each chroma: BT.709 in its limited range, 4:2:0, integers only.
//!
//! It has no level of its own yet: the definition is what runs.

pub mod scalar;

use super::CpuLevel;

/// Where the channels of a word lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Blue lowest.
    Bgrx,
    /// Red lowest.
    Rgbx,
}

/// The rows that two rows of pixels become.
pub struct Rows<'a> {
    /// Luma of each row; the last column is repeated where the pixels' number is odd.
    pub luma: [&'a mut [u8]; 2],
    /// Blue's difference, half as many.
    pub cb: &'a mut [u8],
    /// Red's difference, half as many.
    pub cr: &'a mut [u8],
}

/// Converts two rows; a last row without a second one is given twice. The words' upper bytes may hold anything.
///
/// # Panics
/// When the rows' lengths differ, or those of `out` are not theirs rounded up to even, and half of that.
///
/// ```
/// use farpane_engine::kernel::{CpuLevel, ycbcr420::{Order, Rows, ycbcr420}};
/// let (mut luma, mut cb, mut cr) = ([[0; 2]; 2], [0], [0]);
/// let [above, below] = &mut luma;
/// let white = [0x00ff_ffff; 2];
/// ycbcr420(CpuLevel::current(), Order::Bgrx, [&white, &white], Rows { luma: [above, below], cb: &mut cb, cr: &mut cr });
/// assert_eq!((luma, cb, cr), ([[235; 2]; 2], [128], [128]));
/// ```
pub fn ycbcr420(level: CpuLevel, order: Order, rows: [&[u32]; 2], out: Rows<'_>) {
    let (width, blocks) = (rows[0].len().next_multiple_of(2), rows[0].len().div_ceil(2));
    assert_eq!(rows[0].len(), rows[1].len(), "rows of one length");
    assert_eq!([out.luma[0].len(), out.luma[1].len(), out.cb.len(), out.cr.len()], [width, width, blocks, blocks]);
    // every level runs the definition
    let _ = level.usable();
    scalar::ycbcr420(order, rows, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Luma, Cb and Cr of a row of pixels of one colour.
    fn of(order: Order, word: u32) -> [u8; 3] {
        let (mut luma, mut cb, mut cr) = ([[0; 4]; 2], [0; 2], [0; 2]);
        let [above, below] = &mut luma;
        let words = [word; 3];
        let out = Rows { luma: [above, below], cb: &mut cb, cr: &mut cr };
        ycbcr420(CpuLevel::current(), order, [&words, &words], out);
        assert!(luma.iter().flatten().all(|y| *y == luma[0][0]) && cb[0] == cb[1] && cr[0] == cr[1]);
        [luma[0][0], cb[0], cr[0]]
    }

    #[test]
    fn known_colours_of_bt_709_in_either_order_whatever_the_upper_byte_holds() {
        let known = [
            ([0, 0, 0], [16, 128, 128]),
            ([255, 255, 255], [235, 128, 128]),
            ([255, 0, 0], [63, 102, 240]),
            ([0, 255, 0], [173, 42, 26]),
            ([0, 0, 255], [32, 240, 118]),
        ];
        for ([r, g, b], want) in known {
            assert_eq!(of(Order::Bgrx, 0xab00_0000 | r << 16 | g << 8 | b), want, "{r} {g} {b}");
            assert_eq!(of(Order::Rgbx, 0xff00_0000 | b << 16 | g << 8 | r), want, "{r} {g} {b}");
        }
    }

    #[test]
    fn chroma_is_the_mean_of_four_and_an_odd_column_is_repeated() {
        let rows = [[0x00ff_0000, 0x0000_ff00, 0x0000_00ff], [0, 0x00ff_ffff, 0x00ff_ffff]];
        let (mut luma, mut cb, mut cr) = ([[0; 4]; 2], [0; 2], [0; 2]);
        let [above, below] = &mut luma;
        let out = Rows { luma: [above, below], cb: &mut cb, cr: &mut cr };
        ycbcr420(CpuLevel::current(), Order::Bgrx, [&rows[0], &rows[1]], out);
        assert_eq!(luma, [[63, 173, 32, 32], [16, 235, 235, 235]]);
        let mean = |v: [f64; 4]| (v.iter().sum::<f64>() / 4.0).round() as u8;
        assert!(
            cb[0].abs_diff(mean([102.0, 42.0, 128.0, 128.0])) <= 1
                && cb[1].abs_diff(mean([240.0, 240.0, 128.0, 128.0])) <= 1
        );
        assert!(
            cr[0].abs_diff(mean([240.0, 26.0, 128.0, 128.0])) <= 1
                && cr[1].abs_diff(mean([118.0, 118.0, 128.0, 128.0])) <= 1
        );
    }

    #[test]
    fn every_colour_stays_in_the_limited_range() {
        for v in 0..0x1000u32 {
            let [r, g, b] = [v >> 8, v >> 4, v].map(|channel| (channel & 15) * 17);
            let word = r << 16 | g << 8 | b;
            let [y, cb, cr] = of(Order::Bgrx, word);
            assert!((16..=235).contains(&y) && (16..=240).contains(&cb) && (16..=240).contains(&cr), "{word:06x}");
        }
    }
}
