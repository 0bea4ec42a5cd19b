// shared/diff.wgsl for new pixels that are words in rows.
//
// Twin: farpane_engine::kernel::tile_diff::diff_cells.

@group(0) @binding(2) var<storage, read> fresh: array<u32>;

fn fresh_pixel(job: Job, x: u32, y: u32) -> u32 {
    return fresh[job.base + y * job.stride + x];
}

@compute @workgroup_size(64, 4)
fn tile_diff(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) at: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    diff(group, groups, at, lane);
}
