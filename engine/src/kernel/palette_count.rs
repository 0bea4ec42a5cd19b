//! The distinct values of a picture, in order of appearance, and each pixel's index among them.
//!
//! ```text
//! for each group of 8 pixels: all equal to the last one? write its index 8 times   (1)
//! else for each pixel: equal to the last one? its index again                      (2)
//!      else look the value up; unknown and 256 known already? stop                 (3)
//! ```
//! 1. Desktops are runs: most groups of a page of text are background. The compare is one the compiler turns into vectors.
//! 2. The same for short runs.
//! 3. Open addressing in 1,024 slots; a slot counts only if its stamp is the current one, so starting anew costs nothing.
//!
//! No level for AVX2: finding the starts of runs eight pixels at a time was only 1.1 to 1.4 times as fast.

const SLOTS: usize = 1024;

/// A palette of at most 256 values with its look-up table; reused from picture to picture.
pub struct Palette {
    values: Vec<u32>,
    keys: Box<[u32; SLOTS]>,
    /// Stamp in the upper bits, index in the lower eight.
    tags: Box<[u32; SLOTS]>,
    stamp: u32,
    limit: usize,
}

impl Default for Palette {
    fn default() -> Self {
        Self::new()
    }
}

impl Palette {
    /// An empty palette.
    pub fn new() -> Self {
        Self {
            values: Vec::with_capacity(256),
            keys: Box::new([0; SLOTS]),
            tags: Box::new([0; SLOTS]),
            stamp: 0,
            limit: 256,
        }
    }

    /// Forgets everything; from now on at most `limit` (1 to 256) values fit.
    pub fn start(&mut self, limit: usize) {
        debug_assert!((1..=256).contains(&limit), "palette limit {limit} (expected 1..=256)");
        self.values.clear();
        self.limit = limit;
        self.stamp += 1;
        if self.stamp >= 1 << 24 {
            self.tags.fill(0);
            self.stamp = 1;
        }
    }

    /// The values, in order of appearance.
    pub fn values(&self) -> &[u32] {
        &self.values
    }

    /// The index of a value, added if it is new; none when it is new and the palette full.
    #[inline]
    pub fn index(&mut self, value: u32) -> Option<u8> {
        let mut slot = (value.wrapping_mul(0x9e37_79b1) >> 22) as usize;
        loop {
            let tag = self.tags[slot % SLOTS];
            if tag >> 8 != self.stamp {
                if self.values.len() == self.limit {
                    return None;
                }
                let index = self.values.len() as u8;
                self.values.push(value);
                self.keys[slot % SLOTS] = value;
                self.tags[slot % SLOTS] = self.stamp << 8 | u32::from(index);
                return Some(index);
            }
            if self.keys[slot % SLOTS] == value {
                return Some(tag as u8);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// Appends the index of each pixel of a row; false when the palette is too small (`indices` is then useless).
    pub fn add_row(&mut self, row: &[u32], indices: &mut Vec<u8>) -> bool {
        let Some(first) = row.first() else { return true };
        let mut last = *first;
        let Some(mut index) = self.index(last) else { return false };
        let (groups, rest) = row.as_chunks::<8>();
        for group in groups {
            if group.iter().fold(0, |d, p| d | (p ^ last)) == 0 {
                indices.extend_from_slice(&[index; 8]);
                continue;
            }
            let mut eight = [0; 8];
            for (e, p) in eight.iter_mut().zip(group) {
                if *p != last {
                    last = *p;
                    match self.index(last) {
                        Some(i) => index = i,
                        None => return false,
                    }
                }
                *e = index;
            }
            indices.extend_from_slice(&eight);
        }
        for p in rest {
            if *p != last {
                last = *p;
                match self.index(last) {
                    Some(i) => index = i,
                    None => return false,
                }
            }
            indices.push(index);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn indices_lead_back_to_the_pixels(
            rows in proptest::collection::vec(proptest::collection::vec(0u32..300, 0..40), 0..12),
            spread in any::<u32>(),
            limit in 1usize..=256,
        ) {
            let mut palette = Palette::new();
            for _ in 0..2 {
                palette.start(limit);
                let mut fits = true;
                let mut known = Vec::new();
                for row in &rows {
                    let row: Vec<u32> = row.iter().map(|v| v.wrapping_mul(spread | 1)).collect();
                    let mut indices = Vec::new();
                    for v in &row {
                        if !known.contains(v) {
                            known.push(*v);
                        }
                    }
                    fits = palette.add_row(&row, &mut indices);
                    prop_assert_eq!(fits, known.len() <= limit);
                    if !fits {
                        break;
                    }
                    let back: Vec<u32> = indices.iter().map(|i| palette.values()[usize::from(*i)]).collect();
                    prop_assert_eq!(back, row);
                }
                if fits {
                    prop_assert_eq!(palette.values(), &known[..]);
                }
            }
        }
    }
}
