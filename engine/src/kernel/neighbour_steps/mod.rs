//! How often and how much pixels differ from their left neighbours, per cell of a row: what tells photographs from text.

#[cfg(target_arch = "aarch64")]
mod aarch64;
pub mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::CpuLevel;

/// Pixels of a cell's row.
pub const CELL: usize = 16;

/// What was counted in a cell. Neighbours on either side of a cell's edge are not compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Neighbours compared.
    pub seen: u32,
    /// Neighbours that differ.
    pub changed: u32,
    /// Neighbours of which a channel differs by more than the given step.
    pub much: u32,
}

/// Adds a row of pixels with eight bits a channel to the counts of its cells.
///
/// Shape: `cells` has one entry for every 16 pixels begun; bits outside `mask` do not count.
///
/// # Panics
/// When the number of cells is another.
///
/// ```
/// use farpane_engine::kernel::{CpuLevel, neighbour_steps::{Steps, count_row}};
/// let mut cell = [Steps::default()];
/// count_row(CpuLevel::current(), &[0x10, 0x12, 0x12, 0x99], 0xff, 28, &mut cell);
/// assert_eq!(cell[0], Steps { seen: 3, changed: 2, much: 1 });
/// ```
pub fn count_row(level: CpuLevel, row: &[u32], mask: u32, step: u8, cells: &mut [Steps]) {
    assert_eq!(cells.len(), row.len().div_ceil(CELL), "one count for each cell");
    match level.usable() {
        #[cfg(target_arch = "x86_64")]
        CpuLevel::Avx2 => x86::count_row(row, mask, step, cells),
        #[cfg(target_arch = "aarch64")]
        CpuLevel::Neon => aarch64::count_row(row, mask, step, cells),
        _ => scalar::count_row(row, mask, step, cells),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, once more and slower.
    fn naive(row: &[u32], mask: u32, step: u8) -> Vec<Steps> {
        let channel = |v: u32, n: u32| (v & mask) >> (8 * n) & 255;
        let differ = |a: u32, b: u32, by: u32| (0..4).any(|n| channel(a, n).abs_diff(channel(b, n)) > by);
        row.chunks(CELL)
            .map(|cell| {
                let pairs = || (1..cell.len()).map(|i| (cell[i - 1], cell[i]));
                Steps {
                    seen: pairs().count() as u32,
                    changed: pairs().filter(|(a, b)| differ(*a, *b, 0)).count() as u32,
                    much: pairs().filter(|(a, b)| differ(*a, *b, step.into())).count() as u32,
                }
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn every_level_counts_what_the_definition_counts(
            deltas in proptest::collection::vec(prop_oneof![Just(0u32), Just(1), Just(28), Just(29), any::<u32>()], 0..70),
            at in 0usize..9,
            step in prop_oneof![Just(0u8), Just(28), Just(255), any::<u8>()],
            mask in prop_oneof![Just(0x00ff_ffffu32), Just(u32::MAX), Just(0xff)],
        ) {
            let mut pixel = 0x0070_7070u32;
            let mut row = vec![0xdead_beef; at];
            for (i, delta) in deltas.iter().enumerate() {
                pixel = pixel.wrapping_add(delta << (i % 4 * 8));
                row.push(pixel);
            }
            let row = &row[at..];
            let start = Steps { seen: 7, changed: 5, much: 3 };
            let want: Vec<Steps> = naive(row, mask, step)
                .iter()
                .map(|s| Steps { seen: 7 + s.seen, changed: 5 + s.changed, much: 3 + s.much })
                .collect();
            for level in CpuLevel::all() {
                let mut cells = vec![start; row.len().div_ceil(CELL)];
                count_row(level, row, mask, step, &mut cells);
                prop_assert_eq!(&cells, &want, "{:?}", level);
            }
        }
    }

    #[test]
    fn one_step_counts_once_wherever_it_is() {
        for level in CpuLevel::all() {
            for at in 1..2 * CELL {
                let row: Vec<u32> = (0..2 * CELL).map(|x| u32::from(x >= at) * 0x4000).collect();
                let mut cells = [Steps::default(); 2];
                count_row(level, &row, u32::MAX, 28, &mut cells);
                let mut want = [Steps { seen: 15, changed: 0, much: 0 }; 2];
                if at != CELL {
                    want[at / CELL] = Steps { seen: 15, changed: 1, much: 1 };
                }
                assert_eq!(cells, want, "{level:?}, step at {at}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "one count for each cell")]
    fn too_few_cells_are_refused() {
        count_row(CpuLevel::current(), &[0; 17], u32::MAX, 1, &mut [Steps::default()]);
    }
}
