//! What comes back of a picture: the cells that changed, those of few colours as indices.

use farpane_shaders::{CELL, CELL_WORDS, FEW, MANY, Place, packed_words};

use crate::tile::Grid;

/// The changed cells of a picture, in their order.
#[derive(Clone, Copy, Debug)]
pub struct PackedCells<'a> {
    places: &'a [Place],
    words: &'a [u32],
}

impl<'a> PackedCells<'a> {
    /// None when it makes no sense.
    pub(super) fn new(grid: &Grid, places: &'a [Place], words: &'a [u32]) -> Option<Self> {
        let cols = usize::from(grid.cols()).max(1);
        let fits = |place: &Place| {
            let cell = place.cell as usize;
            let rect = grid.rect((cell % cols) as u16, (cell / cols) as u16);
            let [x0, y0, x1, y1] = place.extent().map(u16::from);
            let inside = cell < grid.len() && x0 < x1 && y0 < y1 && x1 <= rect.w && y1 <= rect.h;
            let known = (1..=MANY).contains(&place.colours);
            let end = place.at.checked_add(packed_words(place.colours));
            inside && known && end.is_some_and(|end| end as usize <= words.len())
        };
        places.iter().all(fits).then_some(Self { places, words })
    }

    /// Which cells they are.
    pub const fn places(&self) -> &'a [Place] {
        self.places
    }

    /// The words that came back.
    pub const fn words(&self) -> &'a [u32] {
        self.words
    }

    /// The pixels of a row of one of the cells from column `x` on.
    ///
    /// # Panics
    /// When the place is of another picture, or the row reaches past the cell.
    pub fn row(&self, place: &Place, y: usize, x: usize, out: &mut [u32]) {
        let from = place.at as usize;
        unpack_row(place.colours, &self.words[from..from + packed_words(place.colours) as usize], y, x, out);
    }

    /// All of them, of each 64 rows of 64 pixels.
    pub fn unpack(&self, out: &mut Vec<u32>) {
        out.resize(self.places.len() * CELL_WORDS as usize, 0);
        let side = CELL as usize;
        for (place, tile) in self.places.iter().zip(out.chunks_exact_mut(CELL_WORDS as usize)) {
            for (y, row) in tile.chunks_exact_mut(side).enumerate() {
                self.row(place, y, 0, row);
            }
        }
    }
}

/// The pixels of a row of a packed cell from column `x` on.
///
/// Shape: `packed` are the cell's words. An index without a colour, which `pack` never writes, is 0.
///
/// # Panics
/// When there are fewer words than a cell of so many colours has, or the row reaches past the cell.
fn unpack_row(colours: u32, packed: &[u32], y: usize, x: usize, out: &mut [u32]) {
    let side = CELL as usize;
    assert!(y < side && x + out.len() <= side && packed.len() == packed_words(colours) as usize, "a part of a row");
    let start = y * side + x;
    if colours > FEW {
        return out.copy_from_slice(&packed[start..start + out.len()]);
    }
    let (known, indices) = packed.split_at(colours as usize);
    if let [colour] = known {
        return out.fill(*colour);
    }
    let (bits, mask) = if colours == 2 { (1, 1) } else { (4, 15) };
    let mut palette = [0; FEW as usize];
    palette[..known.len()].copy_from_slice(known);
    for (i, pixel) in out.iter_mut().enumerate() {
        let bit = (start + i) * bits;
        *pixel = palette[(indices[bit / 32] >> (bit % 32) & mask) as usize];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::compact::pack;
    use crate::kernel::palette_count::count_cells;
    use farpane_shaders::{Picture, Record};

    #[test]
    fn changed_cells_come_in_order_and_unpack_to_what_they_were() {
        let picture = Picture { width: 150, height: 70, cols: 3, mask: u32::MAX, jobs: 0, texel: 0 };
        for colours in [1u32, 2, 3, 16, 17, 4000] {
            let resident: Vec<u32> =
                (0..150 * 70).map(|i: u32| i.wrapping_mul(2_654_435_761) >> 7).map(|v| v % colours).collect();
            let whole = |w, h| Record { squares: 1, left: 64, top: 64, right: w, bottom: h, count: w * h };
            let records =
                [whole(64, 64), Record::default(), whole(22, 64), Record::default(), whole(64, 6), whole(22, 6)];
            let (mut counts, mut listed) = (vec![0; 6], vec![0; 96]);
            count_cells(&picture, &records, &resident, &mut counts, &mut listed);
            let (mut places, mut tiles) = (Vec::new(), Vec::new());
            pack(&picture, &records, (&counts, &listed), &resident, &mut places, &mut tiles);
            assert_eq!(places.iter().map(|p| p.cell).collect::<Vec<_>>(), [0, 2, 4, 5]);
            let mut end = 0;
            for place in places {
                assert_eq!((place.at, place.colours), (end, colours.min(17)), "{colours}");
                end += packed_words(place.colours);
                let (left, top) = (place.cell as usize % 3 * 64, place.cell as usize / 3 * 64);
                let [_, _, w, h] = place.extent().map(usize::from);
                let packed = &tiles[place.at as usize..end as usize];
                for (y, x) in (0..h).flat_map(|y| [(y, 0), (y, w / 3)]) {
                    let mut row = vec![99; w - x];
                    unpack_row(place.colours, packed, y, x, &mut row);
                    let from = (top + y) * 150 + left + x;
                    assert_eq!(row, resident[from..from + w - x], "{colours}: {place:?}, row {y}");
                }
            }
            assert_eq!(tiles.len(), end as usize);
        }
    }
}
