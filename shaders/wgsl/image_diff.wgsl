// shared/diff.wgsl for new pixels that are texels of an image, however that lies in memory.
//
// A texel's channel is c / (2^bits - 1) in 32-bit floating point. Multiplied again it is off by some 2^-23 of itself, so that the nearest integer is
// c: a device would have to be off by 2^-11, half a step of 10 bits, to be wrong. Alpha carries no colour and is left out, as the mask does.
//
// Twin: farpane_engine::kernel::tile_diff::diff_cells, of the same pixels as words, for jobs whose rows are the picture's without gaps.

@group(0) @binding(2) var fresh: texture_2d<f32>;

fn fresh_pixel(job: Job, x: u32, y: u32) -> u32 {
    let corner = 64u * vec2<u32>(job.cell % picture.cols, job.cell / picture.cols);
    let texel = textureLoad(fresh, corner + vec2<u32>(x, y), 0).rgb;
    let form = unpack4xU8(picture.texel);
    let channels = vec3<u32>(round(texel * f32((1u << form.w) - 1u))) << form.xyz;
    return channels.r | channels.g | channels.b;
}

@compute @workgroup_size(64, 4)
fn image_diff(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) at: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    diff(group, groups, at, lane);
}
