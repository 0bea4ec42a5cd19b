// Counts the colours of the changed cells of the resident picture, up to 16, and lists them in the order in which they appear.
//
// One workgroup a changed cell. Pixels outside the picture have no colour.
//
// Twin: farpane_engine::kernel::palette_count::count_cells.

@group(0) @binding(2) var<storage, read> resident: array<u32>;
// colours of each cell; 17 when there are more than 16
@group(0) @binding(3) var<storage, read_write> counts: array<u32>;
// sixteen for each cell
@group(0) @binding(4) var<storage, read_write> colours: array<u32>;

// for each colour 4096 less the first pixel that has it, row by row in the cell; none where no pixel is left
var<workgroup> first: array<atomic<u32>, 17>;
var<workgroup> colour: array<u32, 16>;

@compute @workgroup_size(64, 4)
fn palette_count(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) at: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.y * groups.x + group.x;
    // the last row of workgroups may be longer than the list
    if index >= changed.count {
        return;
    }
    let cell = changed.cells[index];
    let x = 64u * (cell % picture.cols) + at.x;
    let top = 64u * (cell / picture.cols);
    var pixels: array<u32, 16>;
    // one bit for each of this lane's sixteen rows, 4 k + at.y, whose pixel has no number yet
    var left = 0u;
    for (var k = 0u; k < 16u; k++) {
        let y = top + 4u * k + at.y;
        if x < picture.width && y < picture.height {
            pixels[k] = resident[y * picture.width + x];
            left |= 1u << k;
        }
    }
    var count = 0u;
    for (var n = 0u; n < 17u; n++) {
        // this lane's first pixel without a number
        var mine = 0u;
        if left != 0u {
            mine = 4096u - (64u * (4u * firstTrailingBit(left) + at.y) + at.x);
            atomicMax(&first[n], mine);
        }
        workgroupBarrier();
        let next = atomicLoad(&first[n]);
        count = n;
        // the same in all lanes
        if next == 0u {
            break;
        }
        count = 17u;
        if n < 16u {
            if mine == next {
                colour[n] = pixels[firstTrailingBit(left)];
            }
            workgroupBarrier();
            for (var k = 0u; k < 16u; k++) {
                if pixels[k] == colour[n] {
                    left &= ~(1u << k);
                }
            }
        }
    }
    if lane == 0u {
        counts[cell] = count;
    }
    // more than sixteen are of no use to anybody
    if count < 17u && lane < count {
        colours[16u * cell + lane] = colour[lane];
    }
}
