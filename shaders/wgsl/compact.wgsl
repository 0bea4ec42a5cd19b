// Packs the changed cells of the resident picture one after the other, in the order of the cells, with the list of their places.
//
// One workgroup a cell; those of unchanged cells end at once. A cell's slot is the number of changed cells before it.
//
// Twin: farpane_engine::kernel::compact::pack.

struct Picture {
    width: u32,
    height: u32,
    cols: u32,
    mask: u32,
    jobs: u32,
}

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
}

struct Head {
    // changed cells
    count: u32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
    // one for each changed cell, then room up to one for each cell
    places: array<Place>,
}

@group(0) @binding(0) var<uniform> picture: Picture;
@group(0) @binding(1) var<storage, read> records: array<Record>;
@group(0) @binding(2) var<storage, read> bitmap: array<u32>;
@group(0) @binding(3) var<storage, read> resident: array<u32>;
@group(0) @binding(4) var<storage, read_write> head: Head;
@group(0) @binding(5) var<storage, read_write> tiles: array<u32>;

var<workgroup> before: atomic<u32>;

@compute @workgroup_size(64, 4)
fn compact(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) at: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let cell = group.y * groups.x + group.x;
    let cells = groups.x * groups.y;
    let word = cell / 32u;
    let bits = bitmap[word];
    let changed = (bits >> (cell % 32u)) & 1u;
    let last = cell + 1u == cells;
    if changed == 0u && !last {
        return;
    }
    for (var i = lane; i < word; i += 256u) {
        let ones = countOneBits(bitmap[i]);
        if ones != 0u {
            atomicAdd(&before, ones);
        }
    }
    workgroupBarrier();
    let slot = atomicLoad(&before) + countOneBits(bits & ((1u << (cell % 32u)) - 1u));
    if last && lane == 0u {
        head.count = slot + changed;
    }
    if changed == 0u {
        return;
    }
    if lane == 0u {
        let record = records[cell];
        let extent = (64u - record.left) | ((64u - record.top) << 8u) | (record.right << 16u) | (record.bottom << 24u);
        head.places[slot] = Place(cell, record.squares, extent, record.count);
    }
    let x = 64u * group.x + at.x;
    for (var k = 0u; k < 16u; k++) {
        let row = 4u * k + at.y;
        let y = 64u * group.y + row;
        var pixel = 0u;
        if x < picture.width && y < picture.height {
            pixel = resident[y * picture.width + x];
        }
        tiles[slot * 4096u + row * 64u + at.x] = pixel;
    }
}
