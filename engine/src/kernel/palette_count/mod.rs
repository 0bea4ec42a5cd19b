//! The distinct values of a picture, in order of appearance, and each pixel's index among them.
//!
//! ```text
//! for each row: as the one above? copy its indices                                (1)
//! for each group of 8 pixels: all equal to the last one? write its index 8 times   (2)
//! else look all 8 up at their first slots; all there? write what was found         (3)
//!      else one by one, from slot to slot; unknown and no room? stop
//! ```
//! 1. Desktops have blank lines and straight edges.
//! 2. Most groups of a page of text are background. The compare is one the compiler turns into vectors.
//! 3. No branch depends on a pixel: letters change from pixel to pixel in ways that no predictor knows. Key, index and a
//!    mark of empty slots are one word. Open addressing in 1,024 slots; starting anew empties those that were used.
//!
//! No level for AVX2: finding the starts of runs eight pixels at a time was only 1.1 to 1.4 times as fast.

mod cells;

pub use cells::count_cells;

const SLOTS: usize = 1024;
/// A slot without a value: no value and index have this bit.
const EMPTY: u64 = 1 << 40;
/// Where a slot has its value's index.
const INDEX: u64 = 0xff << 32;

/// A palette of at most 256 values with its look-up table; reused from picture to picture.
pub struct Palette {
    values: Vec<u32>,
    table: Box<[u64; SLOTS]>,
    used: Vec<u16>,
    limit: usize,
}

impl Default for Palette {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a value is looked for first.
#[inline]
fn slot(value: u32) -> usize {
    (value.wrapping_mul(0x9e37_79b1) >> 22) as usize % SLOTS
}

impl Palette {
    /// An empty palette.
    pub fn new() -> Self {
        Self {
            values: Vec::with_capacity(256),
            table: Box::new([EMPTY; SLOTS]),
            used: Vec::with_capacity(256),
            limit: 256,
        }
    }

    /// Forgets everything; from now on at most `limit` (1 to 256) values fit.
    pub fn start(&mut self, limit: usize) {
        debug_assert!((1..=256).contains(&limit), "palette limit {limit} (expected 1..=256)");
        self.values.clear();
        self.limit = limit;
        for slot in self.used.drain(..) {
            self.table[usize::from(slot) % SLOTS] = EMPTY;
        }
    }

    /// The values, in order of appearance.
    pub fn values(&self) -> &[u32] {
        &self.values
    }

    /// The index of a value, added if it is new; none when it is new and the palette full.
    #[inline]
    pub fn index(&mut self, value: u32) -> Option<u8> {
        let mut slot = slot(value);
        loop {
            let entry = self.table[slot];
            if entry & !INDEX == u64::from(value) {
                return Some((entry >> 32) as u8);
            }
            if entry == EMPTY {
                if self.values.len() == self.limit {
                    return None;
                }
                let index = self.values.len() as u8;
                self.values.push(value);
                self.used.push(slot as u16);
                self.table[slot] = u64::from(index) << 32 | u64::from(value);
                return Some(index);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// Appends the index of each pixel of each row, until a row has a value that does not fit; returns how many whole rows fit.
    /// Only the indices of these are there afterwards.
    ///
    /// Shape: rows of one width.
    pub fn add_rows<'a>(&mut self, rows: impl IntoIterator<Item = &'a [u32]>, indices: &mut Vec<u8>) -> usize {
        let mut above: &[u32] = &[];
        let mut whole = 0;
        for row in rows {
            let start = indices.len();
            if !row.is_empty() && row == above {
                indices.extend_from_within(start - row.len()..);
            } else {
                indices.resize(start + row.len(), 0);
                if !self.add_row(row, &mut indices[start..]) {
                    indices.truncate(start);
                    return whole;
                }
            }
            above = row;
            whole += 1;
        }
        whole
    }

    fn add_row(&mut self, row: &[u32], indices: &mut [u8]) -> bool {
        let Some(&first) = row.first() else { return true };
        let mut last = first;
        let Some(mut index) = self.index(last) else { return false };
        let (groups, rest) = row.as_chunks::<8>();
        let (index_groups, index_rest) = indices.as_chunks_mut::<8>();
        for (group, out) in groups.iter().zip(index_groups) {
            if group.iter().fold(0, |d, p| d | (p ^ last)) == 0 {
                *out = [index; 8];
                continue;
            }
            let mut differs = 0;
            for (o, p) in out.iter_mut().zip(group) {
                let entry = self.table[slot(*p)];
                differs |= (entry ^ u64::from(*p)) & !INDEX;
                *o = (entry >> 32) as u8;
            }
            if differs != 0 && !self.add_each(group, out) {
                return false;
            }
            (last, index) = (group[7], out[7]);
        }
        self.add_each(rest, index_rest)
    }

    fn add_each(&mut self, pixels: &[u32], indices: &mut [u8]) -> bool {
        for (o, p) in indices.iter_mut().zip(pixels) {
            match self.index(*p) {
                Some(index) => *o = index,
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rows of one width; some are as the one above, some have runs.
    fn rows() -> impl Strategy<Value = Vec<Vec<u32>>> {
        (0usize..40, 1u32..300).prop_flat_map(|(width, colours)| {
            let runs = proptest::collection::vec((0..colours, 1usize..12), width);
            proptest::collection::vec((any::<bool>(), runs), 0..12).prop_map(move |rows| {
                let mut made: Vec<Vec<u32>> = Vec::new();
                for (again, runs) in rows {
                    let row = runs.iter().flat_map(|(v, n)| std::iter::repeat_n(*v, *n)).take(width).collect();
                    made.push(if again { made.last().cloned().unwrap_or(row) } else { row });
                }
                made
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn indices_lead_back_to_the_pixels(
            rows in rows(),
            spread in any::<u32>(),
            limit in 1usize..=256,
        ) {
            let mut palette = Palette::new();
            for _ in 0..2 {
                palette.start(limit);
                let rows: Vec<Vec<u32>> =
                    rows.iter().map(|row| row.iter().map(|v| v.wrapping_mul(spread | 1)).collect()).collect();
                let mut known = Vec::new();
                let mut want = Vec::new();
                for row in &rows {
                    for v in row {
                        if !known.contains(v) {
                            known.push(*v);
                        }
                    }
                    if known.len() > limit {
                        break;
                    }
                    want.extend_from_slice(row);
                }
                let mut indices = Vec::new();
                let whole = palette.add_rows(rows.iter().map(|r| &r[..]), &mut indices);
                let fits = known.len() <= limit;
                prop_assert_eq!(whole == rows.len(), fits);
                let back: Vec<u32> = indices.iter().map(|i| palette.values()[usize::from(*i)]).collect();
                prop_assert_eq!(back, want);
                if fits {
                    prop_assert_eq!(palette.values(), &known[..]);
                }
            }
        }
    }
}
