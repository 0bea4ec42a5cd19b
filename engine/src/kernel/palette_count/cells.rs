//! The few colours of a cell, listed: the twin of the shader `palette_count`.

use farpane_shaders::{CELL, FEW, MANY, Picture, Record};

/// Counts the colours of the cells in which anything differs, and lists those of cells that have few, in the order in which they appear.
///
/// Shape: `resident` is a picture without gaps; `records`, and `counts` and `colours` with room for [`FEW`] each, are those of all cells. What
/// of unchanged cells stands in `counts` becomes zero; what is not listed in `colours` stays as it is.
///
/// # Panics
/// When there are fewer counts or colours than cells.
pub fn count_cells(picture: &Picture, records: &[Record], resident: &[u32], counts: &mut [u32], colours: &mut [u32]) {
    let width = picture.width as usize;
    for (cell, record) in records.iter().enumerate() {
        counts[cell] = 0;
        if record.count == 0 {
            continue;
        }
        let (left, top) = (cell as u32 % picture.cols * CELL, cell as u32 / picture.cols * CELL);
        let inside = CELL.min(picture.width - left) as usize;
        let found = &mut colours[FEW as usize * cell..][..FEW as usize];
        let mut count = 0;
        'cell: for y in top..picture.height.min(top + CELL) {
            let row = y as usize * width + left as usize;
            for pixel in &resident[row..row + inside] {
                if found[..count].contains(pixel) {
                    continue;
                }
                if count == found.len() {
                    count = MANY as usize;
                    break 'cell;
                }
                found[count] = *pixel;
                count += 1;
            }
        }
        counts[cell] = count as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_listed_in_their_order_and_seventeen_are_many() {
        let picture = Picture { width: 130, height: 2, cols: 3, mask: u32::MAX, jobs: 0, texel: 0 };
        let changed = Record { count: 1, ..Record::default() };
        let mut resident = vec![7; 260];
        resident[1] = 3;
        resident[131] = 9;
        (0..17).for_each(|i| resident[64 + i] = 100 + i as u32);
        let (mut counts, mut colours) = (vec![5; 3], vec![0; 48]);
        count_cells(&picture, &[changed, changed, Record::default()], &resident, &mut counts, &mut colours);
        assert_eq!((&counts[..], &colours[..3]), (&[3, MANY, 0][..], &[7, 3, 9][..]));
        resident[64 + 16] = 100;
        resident[194..258].fill(115);
        resident[81..128].fill(115);
        count_cells(&picture, &[Record::default(), changed, changed], &resident, &mut counts, &mut colours);
        assert_eq!((counts, colours[16], colours[31], colours[32]), (vec![0, 16, 1], 100, 115, 7));
    }
}
