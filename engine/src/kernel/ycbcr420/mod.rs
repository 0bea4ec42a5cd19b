//! Two rows of mirror pixels become two rows of luma and one of each chroma: BT.709 in its limited range, 4:2:0, integers only.

#[cfg(target_arch = "aarch64")]
mod aarch64;
pub mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

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
    let lengths = [out.luma[0].len(), out.luma[1].len(), out.cb.len(), out.cr.len()];
    assert_eq!(lengths, [width, width, blocks, blocks], "outputs of the rows' width");
    match level.usable() {
        #[cfg(target_arch = "x86_64")]
        CpuLevel::Avx2 => x86::ycbcr420(order, rows, out),
        #[cfg(target_arch = "aarch64")]
        CpuLevel::Neon => aarch64::ycbcr420(order, rows, out),
        _ => scalar::ycbcr420(order, rows, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Luma, Cb and Cr of a row of pixels of one colour.
    fn of(level: CpuLevel, order: Order, word: u32) -> [u8; 3] {
        // more than a step of any level, and an odd column
        let (mut luma, mut cb, mut cr) = ([[0; 36]; 2], [0; 18], [0; 18]);
        let [above, below] = &mut luma;
        let words = [word; 35];
        let out = Rows { luma: [above, below], cb: &mut cb, cr: &mut cr };
        ycbcr420(level, order, [&words, &words], out);
        let first = [luma[0][0], cb[0], cr[0]];
        assert!(luma.iter().flatten().all(|y| *y == first[0]));
        assert!(cb.iter().all(|v| *v == first[1]) && cr.iter().all(|v| *v == first[2]));
        first
    }

    /// What the outputs hold where nothing was written.
    const GUARD: u8 = 0x5a;

    /// The next words of a xorshift generator.
    fn noise(words: &mut [u32], seed: &mut u32) {
        for word in words {
            *seed ^= *seed << 13;
            *seed ^= *seed >> 17;
            *seed ^= *seed << 5;
            *word = *seed;
        }
    }

    /// Both luma rows, Cb and Cr with guards around each: the first byte of an output is byte `at` of its array.
    fn guarded(level: CpuLevel, order: Order, rows: [&[u32]; 2], at: usize) -> [[u8; 128]; 4] {
        let (width, blocks) = (rows[0].len().next_multiple_of(2), rows[0].len().div_ceil(2));
        let mut planes = [[GUARD; 128]; 4];
        let [above, below, cb, cr] = &mut planes;
        let luma = [&mut above[at..][..width], &mut below[at..][..width]];
        ycbcr420(level, order, rows, Rows { luma, cb: &mut cb[at..][..blocks], cr: &mut cr[at..][..blocks] });
        planes
    }

    /// The definition once more, pixel by pixel, in 64 bits and without clamps.
    fn naive(order: Order, rows: [&[u32]; 2], at: usize) -> [[u8; 128]; 4] {
        let width = rows[0].len();
        let rgb = |y: usize, x: usize| {
            let [low, green, high, _] = rows[y][x.min(width - 1)].to_le_bytes().map(i64::from);
            if order == Order::Bgrx { [high, green, low] } else { [low, green, high] }
        };
        let dot = |[r, g, b]: [i64; 3], of: [i64; 3]| r * of[0] + g * of[1] + b * of[2];
        let byte = |v: i64| u8::try_from(v).expect("no overflow");
        let mut planes = [[GUARD; 128]; 4];
        for x in 0..width.next_multiple_of(2) {
            for (y, luma) in planes[..2].iter_mut().enumerate() {
                luma[at + x] = byte(16 + ((dot(rgb(y, x), [5983, 20127, 2032]) + 0x4000) >> 15));
            }
        }
        for x in 0..width.div_ceil(2) {
            let pixels = [rgb(0, 2 * x), rgb(0, 2 * x + 1), rgb(1, 2 * x), rgb(1, 2 * x + 1)];
            let sums = [0, 1, 2].map(|i| pixels.iter().map(|p| p[i]).sum());
            planes[2][at + x] = byte(128 + ((dot(sums, [-3298, -11094, 14392]) + 0x1_0000) >> 17));
            planes[3][at + x] = byte(128 + ((dot(sums, [14392, -13073, -1319]) + 0x1_0000) >> 17));
        }
        planes
    }

    #[test]
    fn every_level_equals_the_definition_at_every_place_and_width() {
        let mut seed = 0x9e37_79b9;
        let mut words = [[0; 80]; 2];
        for width in 0..70 {
            for at in 0..9 {
                words.iter_mut().for_each(|row| noise(row, &mut seed));
                // the rows begin at different places too
                let rows = [&words[0][at..][..width], &words[1][9 - at..][..width]];
                for order in [Order::Bgrx, Order::Rgbx] {
                    let want = naive(order, rows, at);
                    for level in CpuLevel::all() {
                        assert_eq!(guarded(level, order, rows, at), want, "{level:?} {order:?}, {width} px at {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_level_takes_a_row_twice_and_ignores_upper_bytes() {
        let mut seed = 7;
        let mut words = [0; 67];
        noise(&mut words, &mut seed);
        for upper in [0, 0x7f00_0000, 0x8000_0000, 0xff00_0000] {
            let other = words.map(|word| word & 0x00ff_ffff | upper);
            for order in [Order::Bgrx, Order::Rgbx] {
                let want = naive(order, [&words, &words], 3);
                for level in CpuLevel::all() {
                    assert_eq!(guarded(level, order, [&other, &other], 3), want, "{level:?} {order:?}, {upper:08x}");
                }
            }
        }
    }

    #[test]
    fn every_level_takes_the_extremes_of_every_channel() {
        let corners = [0, 0xff, 0xff00, 0xffff, 0x00ff_0000, 0x00ff_00ff, 0x00ff_ff00, 0x00ff_ffff];
        for above in corners {
            for below in corners {
                // whole rows, and blocks of two colours
                for words in
                    [[[above; 66], [below; 66]], [0, 1].map(|_| std::array::from_fn(|x| [above, below][x % 2]))]
                {
                    let rows = [&words[0][..], &words[1][..]];
                    for order in [Order::Bgrx, Order::Rgbx] {
                        let want = naive(order, rows, 1);
                        let range = |plane: &[u8; 128], most: u8| {
                            plane.iter().filter(|v| **v != GUARD).all(|v| (16..=most).contains(v))
                        };
                        assert!(range(&want[0], 235) && range(&want[2], 240) && range(&want[3], 240));
                        for level in CpuLevel::all() {
                            assert_eq!(
                                guarded(level, order, rows, 1),
                                want,
                                "{level:?} {order:?}, {above:x} {below:x}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_level_gives_known_colours_of_bt_709_in_either_order_whatever_the_upper_byte_holds() {
        let known = [
            ([0, 0, 0], [16, 128, 128]),
            ([255, 255, 255], [235, 128, 128]),
            ([255, 0, 0], [63, 102, 240]),
            ([0, 255, 0], [173, 42, 26]),
            ([0, 0, 255], [32, 240, 118]),
        ];
        for ([r, g, b], want) in known {
            for level in CpuLevel::all() {
                assert_eq!(of(level, Order::Bgrx, 0xab00_0000 | r << 16 | g << 8 | b), want, "{level:?}, {r} {g} {b}");
                assert_eq!(of(level, Order::Rgbx, 0xff00_0000 | b << 16 | g << 8 | r), want, "{level:?}, {r} {g} {b}");
            }
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
            for level in CpuLevel::all() {
                let [y, cb, cr] = of(level, Order::Bgrx, word);
                assert!((16..=235).contains(&y) && (16..=240).contains(&cb) && (16..=240).contains(&cr), "{word:06x}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "rows of one length")]
    fn rows_of_two_lengths_are_refused() {
        let [mut above, mut below, mut cb, mut cr] = [[0; 2], [0; 2], [0; 2], [0; 2]];
        let out = Rows { luma: [&mut above, &mut below], cb: &mut cb[..1], cr: &mut cr[..1] };
        ycbcr420(CpuLevel::current(), Order::Bgrx, [&[0; 2], &[0; 1]], out);
    }

    #[test]
    #[should_panic(expected = "outputs of the rows' width")]
    fn a_luma_row_without_the_repeated_column_is_refused() {
        let [mut above, mut below, mut cb, mut cr] = [[0; 4], [0; 4], [0; 4], [0; 4]];
        let out = Rows { luma: [&mut above, &mut below[..3]], cb: &mut cb[..2], cr: &mut cr[..2] };
        ycbcr420(CpuLevel::current(), Order::Bgrx, [&[0; 3], &[0; 3]], out);
    }
}
