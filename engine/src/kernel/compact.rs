//! Packs the changed cells of a picture one after the other: the twin of the shader `compact`.

use farpane_shaders::{CELL, FEW, Picture, Place, Record, packed_words};

/// Lists the cells in which anything differs, in their order, and packs their pixels: those of few colours as indices.
///
/// Shape: `resident` is a picture without gaps, `records`, `counts` and `colours` ([`FEW`] each) are those of all cells. `tiles` gets
/// [`packed_words`] for each place.
pub fn pack(
    picture: &Picture,
    records: &[Record],
    (counts, colours): (&[u32], &[u32]),
    resident: &[u32],
    places: &mut Vec<Place>,
    tiles: &mut Vec<u32>,
) {
    places.clear();
    tiles.clear();
    let width = picture.width as usize;
    for (cell, record) in records.iter().enumerate().filter(|(_, record)| record.count != 0) {
        let extent = [CELL - record.left, CELL - record.top, record.right, record.bottom].map(|v| v as u8);
        let extent = u32::from_le_bytes(extent);
        let count = counts[cell];
        let (squares, at) = (record.squares, tiles.len());
        let place = Place { cell: cell as u32, squares, extent, count: record.count, colours: count, at: at as u32 };
        places.push(place);
        tiles.resize(at + packed_words(count) as usize, 0);
        let listed = colours[FEW as usize * cell..].get(..count as usize).filter(|_| count <= FEW);
        let (known, indices) = tiles[at..].split_at_mut(listed.map_or(0, <[u32]>::len));
        known.copy_from_slice(listed.unwrap_or_default());
        let (left, top) = (cell as u32 % picture.cols * CELL, cell as u32 / picture.cols * CELL);
        let inside = CELL.min(picture.width - left) as usize;
        for y in top..picture.height.min(top + CELL) {
            let from = y as usize * width + left as usize;
            let row = &resident[from..from + inside];
            let start = (y - top) as usize * CELL as usize;
            match listed {
                None => indices[start..start + inside].copy_from_slice(row),
                Some([_]) => {}
                Some(listed) => {
                    let bits = if listed.len() == 2 { 1 } else { 4 };
                    for (x, pixel) in row.iter().enumerate() {
                        let index = listed.iter().position(|colour| colour == pixel).unwrap_or(0) as u32;
                        let bit = (start + x) * bits;
                        indices[bit / 32] |= index << (bit % 32);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(colours: (&[u32], &[u32]), resident: &[u32]) -> (Vec<Place>, Vec<u32>) {
        let picture = Picture { width: 66, height: 1, cols: 2, mask: 7, jobs: 0, texel: 0 };
        let changed = Record { squares: 1, left: 64, top: 64, right: 2, bottom: 1, count: 2 };
        let records = if colours.0[0] == 0 { [Record::default(), changed] } else { [changed, changed] };
        let (mut places, mut tiles) = (Vec::new(), Vec::new());
        pack(&picture, &records, colours, resident, &mut places, &mut tiles);
        (places, tiles)
    }

    #[test]
    fn changed_cells_come_in_order_and_ragged_ones_are_filled_up() {
        let resident: Vec<u32> = (0..66).collect();
        let mut listed = vec![0; 32];
        listed[16..18].copy_from_slice(&[64, 65]);
        let (places, tiles) = packed((&[0, 2], &listed), &resident);
        let extent = u32::from_le_bytes([0, 0, 2, 1]);
        assert_eq!(places, [Place { cell: 1, squares: 1, extent, count: 2, colours: 2, at: 0 }]);
        assert_eq!((tiles.len(), &tiles[..4]), (130, &[64, 65, 2, 0][..]));
        let (places, tiles) = packed((&[17, 17], &listed), &resident);
        assert_eq!((places.len(), tiles.len(), tiles[63], tiles[4097], tiles[4098]), (2, 8192, 63, 65, 0));
        listed[..3].copy_from_slice(&[5, 6, 7]);
        let three: Vec<u32> = (0..66).map(|i| 5 + i % 3).collect();
        listed[16] = 9;
        let (places, tiles) = packed((&[3, 1], &listed), &three);
        assert_eq!((places[1].at, tiles.len()), (515, 516));
        assert_eq!((tiles[3], tiles[4], tiles[515]), (0x1021_0210, 0x0210_2102, 9));
    }
}
