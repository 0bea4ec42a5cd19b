//! A picture made smaller: each pixel is the mean of the area that it covers, to the nearest step of its channel.
//!
//! Only the adding up of rows has levels, and NEON's is what the compiler makes of the definition: the rest is bound by its few divisions.
//! Integers only, and a pixel depends on nothing but the pixels that it covers: parts made one by one are those of the whole.

pub mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

use super::CpuLevel;
use crate::pixel::Layout;

/// How the pixels of one direction become fewer: `from` of them are `to` afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// As it was asked for.
    size: [u16; 2],
    /// In lowest terms. A source pixel is `to` units wide, a destination pixel `from`.
    from: u32,
    to: u32,
}

impl Axis {
    /// # Panics
    /// When `to` is zero or more than `from`.
    pub fn new(from: u16, to: u16) -> Self {
        assert!(to > 0 && to <= from, "{from} pixels to {to} (expected 1..={from})");
        let (mut a, mut b) = (u32::from(from), u32::from(to));
        while b > 0 {
            (a, b) = (b, a % b);
        }
        Self { size: [from, to], from: u32::from(from) / a, to: u32::from(to) / a }
    }

    /// The source pixels that reach into a destination pixel.
    fn sources(self, at: u16) -> Range<u16> {
        let start = u64::from(at) * u64::from(self.from);
        let unit = u64::from(self.to);
        let end = (start + u64::from(self.from)).div_ceil(unit);
        (start / unit) as u16..end as u16
    }

    /// The destination pixels that these source pixels reach into.
    pub fn reached(self, from: Range<u16>) -> Range<u16> {
        if from.is_empty() {
            return 0..0;
        }
        let unit = u64::from(self.from);
        let end = (u64::from(from.end) * u64::from(self.to)).div_ceil(unit);
        (u64::from(from.start) * u64::from(self.to) / unit) as u16..end.min(u64::from(self.size[1])) as u16
    }

    /// How much of a source pixel lies in a destination pixel, in units.
    fn weight(self, at: u16, source: u16) -> u32 {
        let (at, source) = (u64::from(at), u64::from(source));
        let (from, to) = (u64::from(self.from), u64::from(self.to));
        let start = (at * from).max(source * to);
        let end = ((at + 1) * from).min((source + 1) * to);
        end.saturating_sub(start) as u32
    }
}

/// Divides by one number, to the nearest.
#[derive(Clone, Copy)]
struct Mean {
    by: u64,
    /// 2^64 / `by`, rounded up; none where the rounding could show.
    inverse: Option<u64>,
}

impl Mean {
    fn new(by: u64) -> Self {
        // for sums of at most `by` values of 10 bits: the error stays below 1 / by
        let exact = by > 1 && by < 1 << 27;
        Self { by, inverse: exact.then(|| u64::MAX / by + 1) }
    }

    fn of(self, sum: u64) -> u32 {
        let sum = sum + self.by / 2;
        match self.inverse {
            Some(inverse) => ((u128::from(sum) * u128::from(inverse)) >> 64) as u32,
            None => (sum / self.by) as u32,
        }
    }
}

/// Sums of rows, one for each channel; kept by the caller from part to part.
#[derive(Default)]
pub struct Sums {
    channels: [Vec<u32>; 3],
}

/// The picture that is made smaller.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    /// Its pixels; padding bits are not looked at.
    pub pixels: &'a [u32],
    /// Pixels from one row to the next.
    pub stride: usize,
    /// Where the channels lie.
    pub layout: Layout,
}

/// Adds a row of pixels, `weight` times, to the sums of its columns.
///
/// # Panics
/// When there are fewer sums than pixels.
pub fn add_row(level: CpuLevel, row: &[u32], layout: Layout, weight: u32, sums: &mut Sums) {
    let [r, g, b] = &mut sums.channels;
    let sums = [r, g, b].map(|channel| &mut channel[..row.len()]);
    match level.usable() {
        #[cfg(target_arch = "x86_64")]
        CpuLevel::Avx2 => x86::add_row(row, layout, weight, sums),
        _ => scalar::add_row(row, layout, weight, sums),
    }
}

/// Makes the destination pixels `columns` x `rows` of a picture.
///
/// Shape: `out` has the rows one after the other; its padding bits are zero.
///
/// Cost: each source pixel below is read once for each destination row that it reaches into, one or two; no allocation once `sums` is as wide as
/// the source.
///
/// # Panics
/// When the picture is smaller than the axes say, or `out` has another size.
pub fn downscale(
    level: CpuLevel,
    Picture { pixels, stride, layout }: Picture<'_>,
    [x, y]: [Axis; 2],
    columns: Range<u16>,
    rows: Range<u16>,
    sums: &mut Sums,
    out: &mut [u32],
) {
    assert_eq!(out.len(), columns.len() * rows.len(), "{columns:?} x {rows:?} pixels");
    if columns.is_empty() || rows.is_empty() {
        return;
    }
    let read = x.sources(columns.start).start..x.sources(columns.end - 1).end;
    let read_px = usize::from(read.start)..usize::from(read.end);
    let shifts = [layout.r_shift, layout.g_shift, layout.b_shift];
    let mean = Mean::new(u64::from(x.from) * u64::from(y.from));
    // For each row of `out`: for each source row that it covers, add the row, as much of it as is covered, to one sum a column and
    // channel; then add up the columns that each pixel covers, as much of them as is covered, and divide by the area.
    for (row, out) in rows.zip(out.chunks_exact_mut(columns.len())) {
        for channel in &mut sums.channels {
            channel.clear();
            channel.resize(read.len(), 0);
        }
        for source in y.sources(row) {
            let weight = y.weight(row, source);
            let words = &pixels[usize::from(source) * stride..][read_px.clone()];
            add_row(level, words, layout, weight, sums);
        }
        for (column, out) in columns.clone().zip(out) {
            let covered = x.sources(column);
            *out = 0;
            for (channel, shift) in sums.channels.iter().zip(shifts) {
                let part = &channel[usize::from(covered.start - read.start)..usize::from(covered.end - read.start)];
                let sum: u64 = match part {
                    [] => 0,
                    [one] => u64::from(*one) * u64::from(x.from),
                    [first, between @ .., last] => {
                        let between: u64 = between.iter().map(|v| u64::from(*v)).sum();
                        between * u64::from(x.to)
                            + u64::from(*first) * u64::from(x.weight(column, covered.start))
                            + u64::from(*last) * u64::from(x.weight(column, covered.end - 1))
                    }
                };
                *out |= mean.of(sum) << shift;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(pixels: &[u32], layout: Layout, [x, y]: [Axis; 2]) -> Vec<u32> {
        let mut out = vec![u32::MAX; usize::from(x.size[1]) * usize::from(y.size[1])];
        let mut sums = Sums::default();
        let picture = Picture { pixels, stride: usize::from(x.size[0]), layout };
        downscale(CpuLevel::current(), picture, [x, y], 0..x.size[1], 0..y.size[1], &mut sums, &mut out);
        out
    }

    /// The definition once more: overlaps of rectangles, pixel by pixel, divided with a remainder.
    fn naive(pixels: &[u32], layout: Layout, [x, y]: [Axis; 2]) -> Vec<u32> {
        let overlap = |axis: Axis, at: u16, source: u16| {
            let [from, to] = axis.size.map(i64::from);
            let (at, source) = (i64::from(at), i64::from(source));
            (((at + 1) * from).min((source + 1) * to) - (at * from).max(source * to)).max(0)
        };
        let mask = (1i64 << layout.bits) - 1;
        let area = i64::from(x.size[0]) * i64::from(y.size[0]);
        let mut out = Vec::new();
        for row in 0..y.size[1] {
            for column in 0..x.size[1] {
                let mut word = 0;
                for shift in [layout.r_shift, layout.g_shift, layout.b_shift] {
                    let mut sum = 0;
                    for sy in 0..y.size[0] {
                        for sx in 0..x.size[0] {
                            let at = usize::from(sy) * usize::from(x.size[0]) + usize::from(sx);
                            let value = i64::from(pixels[at] >> shift) & mask;
                            sum += value * overlap(x, column, sx) * overlap(y, row, sy);
                        }
                    }
                    word |= u32::try_from((sum * 2 + area) / (area * 2)).unwrap() << shift;
                }
                out.push(word);
            }
        }
        out
    }

    fn words(len: usize, mut seed: u32) -> Vec<u32> {
        let next = || {
            seed = seed.wrapping_mul(0x9e37_79b9).wrapping_add(0x7f4a_7c15);
            seed ^ seed >> 13
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    #[test]
    fn a_half_is_the_mean_of_four_and_one_colour_stays_what_it_is() {
        let half = [Axis::new(4, 2), Axis::new(2, 1)];
        let pixels = [0x10_00_00, 0x20_00_00, 0xff, 0xfe, 0x30_00_00, 0x40_00_00, 0xff, 0xff];
        assert_eq!(whole(&pixels, Layout::BGRX, half), [0x28_00_00, 0xff]);
        for layout in [Layout::BGRX, Layout { r_shift: 20, g_shift: 10, b_shift: 0, bits: 10 }] {
            let white = vec![u32::MAX; 37 * 11];
            let odd = [Axis::new(37, 13), Axis::new(11, 7)];
            assert!(whole(&white, layout, odd).iter().all(|px| *px == layout.mask()), "{layout:?}");
        }
    }

    #[test]
    fn nothing_changes_where_nothing_is_made_smaller() {
        let pixels: Vec<u32> = words(30, 1).iter().map(|px| px & 0x00ff_ffff).collect();
        assert_eq!(whole(&pixels, Layout::BGRX, [Axis::new(6, 6), Axis::new(5, 5)]), pixels);
    }

    #[test]
    fn every_level_adds_rows_as_the_definition_does() {
        for layout in [Layout::BGRX, Layout { r_shift: 20, g_shift: 10, b_shift: 0, bits: 10 }] {
            for len in (0..40).chain([255, 256, 257]) {
                let row = words(len, len as u32);
                let added = |level| {
                    let mut sums = Sums { channels: [1, 2, 3].map(|seed| words(len + 3, seed)) };
                    add_row(level, &row, layout, 65_535, &mut sums);
                    sums.channels
                };
                for level in CpuLevel::all() {
                    assert_eq!(added(level), added(CpuLevel::Scalar), "{len} pixels at {level:?}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "4 pixels to 5")]
    fn nothing_is_made_larger() {
        let _ = Axis::new(4, 5);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn it_is_the_mean_over_the_area_in_every_layout(
            (w, x) in (1..24u16).prop_flat_map(|w| (Just(w), 1..=w)),
            (h, y) in (1..24u16).prop_flat_map(|h| (Just(h), 1..=h)),
            seed: u32,
        ) {
            let pixels = words(usize::from(w) * usize::from(h), seed);
            let axes = [Axis::new(w, x), Axis::new(h, y)];
            for layout in [Layout::BGRX, Layout::RGBX, Layout { r_shift: 0, g_shift: 10, b_shift: 20, bits: 10 }] {
                prop_assert_eq!(whole(&pixels, layout, axes), naive(&pixels, layout, axes));
            }
        }

        #[test]
        fn a_part_is_the_same_part_of_the_whole_and_takes_in_what_it_covers(
            (w, x) in (1..200u16).prop_flat_map(|w| (Just(w), 1..=w)),
            (a, b) in (0..200u16, 0..200u16),
        ) {
            let axis = Axis::new(w, x);
            let (a, b) = (a.min(b) % w, a.max(b).min(w));
            let reached = axis.reached(a..b);
            for at in 0..x {
                let touches = (a..b).any(|source| axis.weight(at, source) > 0);
                prop_assert_eq!(touches, reached.contains(&at), "{} of {:?}", at, axis);
            }
            let pixels = words(usize::from(w), 7);
            let line = Axis::new(1, 1);
            let all = whole(&pixels, Layout::BGRX, [axis, line]);
            let mut part = vec![0; reached.len()];
            let picture = Picture { pixels: &pixels, stride: usize::from(w), layout: Layout::BGRX };
            downscale(CpuLevel::current(), picture, [axis, line], reached.clone(), 0..1, &mut Sums::default(), &mut part);
            prop_assert_eq!(&part[..], &all[usize::from(reached.start)..usize::from(reached.end)]);
        }

        #[test]
        fn means_are_exact(by in 1..(1u64 << 32), values in 0..1024u64, off in 0..1000u64) {
            let sum = (by * values).saturating_sub(off);
            prop_assert_eq!(u64::from(Mean::new(by).of(sum)), (sum + by / 2) / by);
        }
    }
}
