// The cells of the new picture that differ from the old one: each once, in no order.

struct Changed {
    // workgroups, one for each of them: these words are the arguments of a dispatch
    columns: u32,
    rows: u32,
    layers: u32,
    count: u32,
    // room for all
    cells: array<u32>,
}

@group(0) @binding(1) var<storage, read> changed: Changed;
