//! farpane's compute shaders in WGSL, one entry point a file, and the shape of what they read and write.
//!
//! Integer arithmetic only, but where `image_diff` makes a word of a texel. Each has a scalar twin of the same name in `farpane_engine::kernel`, which is the definition: the engine's test
//! `gpu_twin` runs both on the same inputs and demands the same bits. The build stops at a shader that is not valid.

mod params;
mod sources;

pub use params::{Job, Picture, Place, Record};

/// Pixels on a side of a cell.
pub const CELL: u32 = 64;
/// Words of a cell with many colours: rows of 64 without gaps, zero outside the picture.
pub const CELL_WORDS: u32 = CELL * CELL;
/// Colours that are listed, at most.
pub const FEW: u32 = 16;
/// What stands for more of them.
pub const MANY: u32 = FEW + 1;
/// Words before the list of places that `compact` writes: the numbers of changed cells and of their packed words, then padding.
pub const HEAD_WORDS: u32 = 4;
/// Words before the list of changed cells that the compare writes: the arguments of a dispatch of one workgroup for each, and their number.
pub const CHANGED_WORDS: u32 = 4;

/// Words of a packed cell. One of few colours is its colours, then, where these are two or more, the index of each pixel among them: of two in 1
/// bit, of more in 4, rows of 64 without gaps, the first pixel in the lowest bits, zero outside the picture.
pub const fn packed_words(colours: u32) -> u32 {
    match colours {
        0 | 1 => colours,
        2 => 2 + CELL_WORDS / 32,
        _ if colours <= FEW => colours + CELL_WORDS / 8,
        _ => CELL_WORDS,
    }
}

/// How a shader uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// A [`Picture`].
    Uniform,
    /// A storage buffer that is read.
    Read,
    /// A storage buffer that is written, too.
    Write,
    /// An image whose texels are read, unfiltered.
    Image,
}

/// A shader.
#[derive(Clone, Copy, Debug)]
pub struct Shader {
    /// Name of the file and of the entry point.
    pub name: &'static str,
    /// WGSL.
    pub source: &'static str,
    /// Its bindings in group 0, from 0 on.
    pub bindings: &'static [Binding],
}

/// Compares the jobs' pixels with the resident picture, which becomes the new one. One workgroup a [`Job`], in any number of rows.
///
/// Bindings: [`Picture`]; jobs; new pixels; resident picture; a [`Record`] for each cell, all zero before; [`CHANGED_WORDS`], zero before, and room for each
/// cell's index.
pub const TILE_DIFF: Shader = Shader {
    name: "tile_diff",
    source: sources::TILE_DIFF,
    bindings: &[Binding::Uniform, Binding::Read, Binding::Read, Binding::Write, Binding::Write, Binding::Write],
};

/// The same for new pixels in an image as large as the picture: a job's lie where its cell does, whatever rows it names.
///
/// Bindings: as [`TILE_DIFF`]'s, with the image in place of new pixels. [`Picture::texel`] says what they are as words.
pub const IMAGE_DIFF: Shader = Shader {
    name: "image_diff",
    source: sources::IMAGE_DIFF,
    bindings: &[Binding::Uniform, Binding::Read, Binding::Image, Binding::Write, Binding::Write, Binding::Write],
};

/// Counts and lists the colours of the changed cells of the resident picture. One workgroup a changed cell, in any number of rows.
///
/// Bindings: [`Picture`]; what the compare lists; resident picture; the number of colours of each cell ([`MANY`] for more than [`FEW`]), all zero before;
/// room for [`FEW`] colours of each.
pub const PALETTE_COUNT: Shader = Shader {
    name: "palette_count",
    source: sources::PALETTE_COUNT,
    bindings: &[Binding::Uniform, Binding::Read, Binding::Read, Binding::Write, Binding::Write],
};

/// Packs the changed cells of the resident picture. One workgroup a changed cell, in any number of rows.
///
/// Bindings: [`Picture`]; what the compare lists; records; numbers of colours; colours; resident picture; [`HEAD_WORDS`], zero before, and a
/// [`Place`] for each changed cell; [`packed_words`] for each, room for [`CELL_WORDS`].
pub const COMPACT: Shader = Shader {
    name: "compact",
    source: sources::COMPACT,
    bindings: &[
        Binding::Uniform,
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Read,
        Binding::Write,
        Binding::Write,
    ],
};

/// All of them.
pub const ALL: [Shader; 4] = [TILE_DIFF, IMAGE_DIFF, PALETTE_COUNT, COMPACT];
