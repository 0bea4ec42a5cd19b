//! farpane's compute shaders in WGSL, one entry point a file, and the shape of what they read and write.
//!
//! Integer arithmetic only. Each has a scalar twin of the same name in `farpane_engine::kernel`, which is the definition: the engine's test
//! `gpu_twin` runs both on the same inputs and demands the same bits. The build stops at a shader that is not valid.

mod params;

pub use params::{Job, Picture, Place, Record};

/// Pixels on a side of a cell.
pub const CELL: u32 = 64;
/// Words of a packed cell: rows of 64 without gaps, zero outside the picture.
pub const CELL_WORDS: u32 = CELL * CELL;
/// Words before the list of places that `compact` writes: the number of changed cells, then padding.
pub const HEAD_WORDS: u32 = 4;

/// How a shader uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// A [`Picture`].
    Uniform,
    /// A storage buffer that is read.
    Read,
    /// A storage buffer that is written, too.
    Write,
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
/// Bindings: [`Picture`]; jobs; new pixels; resident picture; a [`Record`] and a bit for each cell, all zero before.
pub const TILE_DIFF: Shader = Shader {
    name: "tile_diff",
    source: include_str!("../wgsl/tile_diff.wgsl"),
    bindings: &[Binding::Uniform, Binding::Read, Binding::Read, Binding::Write, Binding::Write, Binding::Write],
};

/// Packs the changed cells of the resident picture. One workgroup a cell: columns by rows.
///
/// Bindings: [`Picture`]; records; bitmap; resident picture; [`HEAD_WORDS`] and a [`Place`] for each changed cell; [`CELL_WORDS`] for each.
pub const COMPACT: Shader = Shader {
    name: "compact",
    source: include_str!("../wgsl/compact.wgsl"),
    bindings: &[Binding::Uniform, Binding::Read, Binding::Read, Binding::Read, Binding::Write, Binding::Write],
};

/// All of them.
pub const ALL: [Shader; 2] = [TILE_DIFF, COMPACT];
