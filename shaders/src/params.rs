//! What shaders read and write, as they lay it out.

use bytemuck::{Pod, Zeroable};

/// The resident picture: rows without gaps, padding bits zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Picture {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Cells of a row of cells.
    pub cols: u32,
    /// The bits of a pixel that carry colour.
    pub mask: u32,
    /// Jobs in the list.
    pub jobs: u32,
    /// Where an image's red, green and blue go in a pixel, and how many bits each has: `r | g << 8 | b << 16 | bits << 24`. Words need none.
    pub texel: u32,
}

/// A part of a cell that is to be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Job {
    /// Index of the cell, row by row.
    pub cell: u32,
    /// `x0 | y0 << 8 | x1 << 16 | y1 << 24`, inside the cell, half open.
    pub clip: u32,
    /// Word of the new pixels at which the cell's top left one is or would be, modulo 2^32.
    pub base: u32,
    /// Words from one row of the new pixels to the next.
    pub stride: u32,
}

/// What `tile_diff` gathers of a cell: zero where nothing differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Record {
    /// The 16-px squares that differ: bit `4 * row + column`.
    pub squares: u32,
    /// 64 less the first column that differs.
    pub left: u32,
    /// 64 less the first row that differs.
    pub top: u32,
    /// One past the last column that differs.
    pub right: u32,
    /// One past the last row that differs.
    pub bottom: u32,
    /// Pixels that differ.
    pub count: u32,
}

/// Where a packed cell belongs, and what of it is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Place {
    /// Index of the cell, row by row.
    pub cell: u32,
    /// The 16-px squares that differ, as in [`Record`].
    pub squares: u32,
    /// `x0 | y0 << 8 | x1 << 16 | y1 << 24`: the changed box inside the cell, half open.
    pub extent: u32,
    /// Pixels that differ.
    pub count: u32,
    /// Colours of the whole cell: up to [`FEW`](crate::FEW), or [`MANY`](crate::MANY).
    pub colours: u32,
    /// Word of the packed cells at which this one begins; it has [`packed_words`](crate::packed_words).
    pub at: u32,
}

impl Place {
    /// `x0, y0, x1, y1` of the changed box.
    pub const fn extent(&self) -> [u8; 4] {
        self.extent.to_le_bytes()
    }
}
