// The resident picture, of which every shader is told first.

struct Picture {
    width: u32,
    height: u32,
    cols: u32,
    // the bits of a pixel that carry colour
    mask: u32,
    // jobs in the list
    jobs: u32,
    // of new pixels that are texels, where red, green and blue go and how many bits each has: r | g << 8 | b << 16 | bits << 24
    texel: u32,
}

@group(0) @binding(0) var<uniform> picture: Picture;
