//! Packs the changed cells of a picture one after the other: the twin of the shader `compact`.

use farpane_shaders::{CELL, Picture, Place, Record};

/// Lists the cells in which anything differs, in their order, and copies their pixels.
///
/// Shape: `resident` is a picture without gaps, `records` has one for each cell. `tiles` gets 64 rows of 64 pixels for each place, zero
/// outside the picture.
pub fn pack(picture: &Picture, records: &[Record], resident: &[u32], places: &mut Vec<Place>, tiles: &mut Vec<u32>) {
    places.clear();
    tiles.clear();
    let width = picture.width as usize;
    for (cell, record) in (0u32..).zip(records).filter(|(_, record)| record.count != 0) {
        let extent = [CELL - record.left, CELL - record.top, record.right, record.bottom].map(|v| v as u8);
        let extent = u32::from_le_bytes(extent);
        places.push(Place { cell, squares: record.squares, extent, count: record.count });
        let (left, top) = (cell % picture.cols * CELL, cell / picture.cols * CELL);
        let inside = CELL.min(picture.width - left) as usize;
        for y in top..top + CELL {
            let row = tiles.len();
            tiles.resize(row + CELL as usize, 0);
            if y < picture.height {
                let from = y as usize * width + left as usize;
                tiles[row..row + inside].copy_from_slice(&resident[from..from + inside]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_cells_come_in_order_and_ragged_ones_are_filled_up() {
        let picture = Picture { width: 66, height: 1, cols: 2, mask: 7, jobs: 0 };
        let resident: Vec<u32> = (0..66).collect();
        let changed = Record { squares: 1, left: 64, top: 64, right: 2, bottom: 1, count: 2 };
        let (mut places, mut tiles) = (Vec::new(), Vec::new());
        pack(&picture, &[Record::default(), changed], &resident, &mut places, &mut tiles);
        assert_eq!(places, [Place { cell: 1, squares: 1, extent: u32::from_le_bytes([0, 0, 2, 1]), count: 2 }]);
        assert_eq!((tiles.len(), tiles[0], tiles[1], tiles[2..].iter().max()), (4096, 64, 65, Some(&0)));
        pack(&picture, &[changed, changed], &resident, &mut places, &mut tiles);
        assert_eq!((places.len(), tiles.len(), tiles[63]), (2, 8192, 63));
    }
}
