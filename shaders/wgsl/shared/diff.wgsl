// Compares the new pixels of some cells with the resident picture and brings that up to date.
//
// One workgroup a job: the part `clip` of one 64-px cell. What differs is gathered in the workgroup, and only cells in which
// something does touch the records. Several jobs may have one cell; the first of them that finds a difference lists it.
//
// Where new pixels come from is binding 2 of the shader itself, and `fresh_pixel`: that of a job's cell in column x and row y.

struct Job {
    // index of the cell, row by row
    cell: u32,
    // x0 | y0 << 8 | x1 << 16 | y1 << 24, inside the cell, half open
    clip: u32,
    // word of `fresh` at which the cell's top left pixel is or would be, modulo 2^32
    base: u32,
    // words from one row of `fresh` to the next
    stride: u32,
}

struct Record {
    // the 16-px squares that differ: bit 4 * row + column
    squares: atomic<u32>,
    // 64 - the first column, 64 - the first row, one past the last of each: each grows, and none is 0 where anything differs
    left: atomic<u32>,
    top: atomic<u32>,
    right: atomic<u32>,
    bottom: atomic<u32>,
    // pixels that differ
    count: atomic<u32>,
}

// shared/changed.wgsl, as it is while it is written
struct Changed {
    columns: atomic<u32>,
    rows: atomic<u32>,
    layers: atomic<u32>,
    count: atomic<u32>,
    cells: array<u32>,
}

@group(0) @binding(1) var<storage, read> jobs: array<Job>;
@group(0) @binding(3) var<storage, read_write> resident: array<u32>;
@group(0) @binding(4) var<storage, read_write> records: array<Record>;
@group(0) @binding(5) var<storage, read_write> changed: Changed;

// a dispatch's columns, before it gets another row
const COLUMNS: u32 = 1024u;

var<workgroup> squares: atomic<u32>;
var<workgroup> left: atomic<u32>;
var<workgroup> top: atomic<u32>;
var<workgroup> right: atomic<u32>;
var<workgroup> bottom: atomic<u32>;
var<workgroup> count: atomic<u32>;

fn diff(group: vec3<u32>, groups: vec3<u32>, at: vec3<u32>, lane: u32) {
    let index = group.y * groups.x + group.x;
    // the last row of workgroups may be longer than the list
    if index >= picture.jobs {
        return;
    }
    let job = jobs[index];
    let x = at.x;
    let x0 = job.clip & 0xffu;
    let y0 = (job.clip >> 8u) & 0xffu;
    let x1 = (job.clip >> 16u) & 0xffu;
    let y1 = job.clip >> 24u;
    let origin = (job.cell / picture.cols) * 64u * picture.width + (job.cell % picture.cols) * 64u;
    // one bit for each of this lane's sixteen rows: 4 k + at.y
    var rows = 0u;
    if x >= x0 && x < x1 {
        for (var k = 0u; k < 16u; k++) {
            let y = 4u * k + at.y;
            if y >= y0 && y < y1 {
                let pixel = fresh_pixel(job, x, y) & picture.mask;
                let place = origin + y * picture.width + x;
                if pixel != resident[place] {
                    resident[place] = pixel;
                    rows |= 1u << k;
                }
            }
        }
    }
    if rows != 0u {
        // four bits of `rows` are a row of squares
        var marks = 0u;
        for (var square = 0u; square < 4u; square++) {
            if (rows >> (4u * square) & 0xfu) != 0u {
                marks |= 1u << (4u * square + x / 16u);
            }
        }
        atomicOr(&squares, marks);
        atomicMax(&left, 64u - x);
        atomicMax(&right, x + 1u);
        atomicMax(&top, 64u - (4u * firstTrailingBit(rows) + at.y));
        atomicMax(&bottom, 4u * firstLeadingBit(rows) + at.y + 1u);
        atomicAdd(&count, countOneBits(rows));
    }
    workgroupBarrier();
    if lane == 0u && atomicLoad(&count) != 0u {
        let record = &records[job.cell];
        atomicOr(&record.squares, atomicLoad(&squares));
        atomicMax(&record.left, atomicLoad(&left));
        atomicMax(&record.top, atomicLoad(&top));
        atomicMax(&record.right, atomicLoad(&right));
        atomicMax(&record.bottom, atomicLoad(&bottom));
        if atomicAdd(&record.count, atomicLoad(&count)) == 0u {
            // once for each cell: below their number
            let slot = atomicAdd(&changed.count, 1u);
            changed.cells[slot] = job.cell;
            atomicMax(&changed.columns, min(slot + 1u, COLUMNS));
            atomicMax(&changed.rows, slot / COLUMNS + 1u);
            atomicMax(&changed.layers, 1u);
        }
    }
}
