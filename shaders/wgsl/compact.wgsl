// Packs the changed cells of the resident picture one after the other, in the order of the cells, with the list of their places.
//
// One workgroup a changed cell. A cell's slot is the number of changed cells before it, and it begins where the
// words of these end: those of few colours are packed as indices.
//
// Twin: farpane_engine::kernel::compact::pack.

struct Record {
    squares: u32,
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
    count: u32,
}

struct Place {
    cell: u32,
    squares: u32,
    // x0 | y0 << 8 | x1 << 16 | y1 << 24: the changed box inside the cell, half open
    extent: u32,
    // pixels that differ
    count: u32,
    // colours of the cell, 17 for more than 16
    colours: u32,
    // word of `tiles` at which it begins
    at: u32,
}

struct Head {
    // changed cells
    count: atomic<u32>,
    // words of all of them
    words: atomic<u32>,
    pad0: u32,
    pad1: u32,
    // one for each changed cell, then room up to one for each cell
    places: array<Place>,
}

@group(0) @binding(2) var<storage, read> records: array<Record>;
// colours of each cell, none where nothing has changed
@group(0) @binding(3) var<storage, read> counts: array<u32>;
// sixteen for each cell
@group(0) @binding(4) var<storage, read> colours: array<u32>;
@group(0) @binding(5) var<storage, read> resident: array<u32>;
@group(0) @binding(6) var<storage, read_write> head: Head;
@group(0) @binding(7) var<storage, read_write> tiles: array<u32>;

var<workgroup> cells_before: atomic<u32>;
var<workgroup> words_before: atomic<u32>;
var<workgroup> listed: array<u32, 16>;
var<workgroup> indices: array<atomic<u32>, 512>;

// words of a packed cell
fn packed_words(count: u32) -> u32 {
    if count < 2u {
        return count;
    }
    if count == 2u {
        return 130u;
    }
    return select(4096u, count + 512u, count < 17u);
}

@compute @workgroup_size(64, 4)
fn compact(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) at: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let nth = group.y * groups.x + group.x;
    // the last row of workgroups may be longer than the list
    if nth >= changed.count {
        return;
    }
    let cell = changed.cells[nth];
    let count = counts[cell];
    var more_cells = 0u;
    var more_words = 0u;
    for (var i = lane; i < cell; i += 256u) {
        let before = counts[i];
        more_cells += min(before, 1u);
        more_words += packed_words(before);
    }
    if more_cells != 0u {
        atomicAdd(&cells_before, more_cells);
        atomicAdd(&words_before, more_words);
    }
    if count < 17u && lane < count {
        listed[lane] = colours[16u * cell + lane];
    }
    workgroupBarrier();
    let slot = atomicLoad(&cells_before);
    let begin = atomicLoad(&words_before);
    if lane == 0u {
        // the last cell's are the most
        atomicMax(&head.count, slot + 1u);
        atomicMax(&head.words, begin + packed_words(count));
        let record = records[cell];
        let extent = (64u - record.left) | ((64u - record.top) << 8u) | (record.right << 16u) | (record.bottom << 24u);
        head.places[slot] = Place(cell, record.squares, extent, record.count, count, begin);
    }
    let few = count < 17u;
    if few && lane < count {
        tiles[begin + lane] = listed[lane];
    }
    if count == 1u {
        return;
    }
    let x = 64u * (cell % picture.cols) + at.x;
    let top = 64u * (cell / picture.cols);
    for (var k = 0u; k < 16u; k++) {
        let row = 4u * k + at.y;
        let y = top + row;
        let inside = x < picture.width && y < picture.height;
        var pixel = 0u;
        if inside {
            pixel = resident[y * picture.width + x];
        }
        if !few {
            tiles[begin + row * 64u + at.x] = pixel;
        } else if inside {
            var index = 0u;
            for (var i = 1u; i < count; i++) {
                if listed[i] == pixel {
                    index = i;
                }
            }
            if index == 0u {
                continue;
            }
            if count == 2u {
                atomicOr(&indices[2u * row + at.x / 32u], index << (at.x % 32u));
            } else {
                atomicOr(&indices[8u * row + at.x / 8u], index << (4u * (at.x % 8u)));
            }
        }
    }
    workgroupBarrier();
    if few {
        let words = packed_words(count) - count;
        for (var i = lane; i < words; i += 256u) {
            tiles[begin + count + i] = atomicLoad(&indices[i]);
        }
    }
}
