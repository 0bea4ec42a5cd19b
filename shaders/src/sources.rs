//! Shaders as they are compiled: what they share, then what is their own.

macro_rules! source {
    ($($file:literal),+) => {
        concat!($(include_str!(concat!("../wgsl/", $file, ".wgsl"))),+)
    };
}

pub(crate) const TILE_DIFF: &str = source!("shared/picture", "shared/diff", "tile_diff");
pub(crate) const IMAGE_DIFF: &str = source!("shared/picture", "shared/diff", "image_diff");
pub(crate) const PALETTE_COUNT: &str = source!("shared/picture", "shared/changed", "palette_count");
pub(crate) const COMPACT: &str = source!("shared/picture", "shared/changed", "compact");
