//! Pictures that workloads show, made by our own code from a seed: the same pixels on every machine and for every server.
//!
//! All arithmetic is of integers, or of floats in operations that IEEE 754 defines exactly.

mod font;
mod photo;
mod text;
mod ui;

pub use photo::photo;
pub use text::{CELL_H, CELL_W, Theme, glyph_cell, text_page};
pub use ui::{desktop, slide, web_page};

/// Pixels as 0x00RRGGBB, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub w: u32,
    /// Rows.
    pub h: u32,
    /// `w * h` values.
    pub px: Vec<u32>,
}

/// A rectangle on the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Area {
    /// Left column.
    pub x: u32,
    /// Top row.
    pub y: u32,
    /// Columns.
    pub w: u32,
    /// Rows.
    pub h: u32,
}

impl Area {
    /// A rectangle.
    pub const fn new(x: u32, y: u32, w: u32, h: u32) -> Self {
        Self { x, y, w, h }
    }

    /// How many pixels.
    pub fn px(&self) -> u64 {
        u64::from(self.w) * u64::from(self.h)
    }

    /// Whether the two share a pixel.
    pub fn meets(&self, other: &Area) -> bool {
        self.x < other.x + other.w
            && other.x < self.x + self.w
            && self.y < other.y + other.h
            && other.y < self.y + self.h
    }
}

impl Picture {
    /// A picture of one colour.
    pub fn new(w: u32, h: u32, colour: u32) -> Self {
        Self { w, h, px: vec![colour; w as usize * h as usize] }
    }

    /// One pixel.
    ///
    /// # Panics
    /// Outside the picture.
    pub fn at(&self, x: u32, y: u32) -> u32 {
        assert!(x < self.w && y < self.h, "({x}, {y}) outside {}x{}", self.w, self.h);
        self.px[y as usize * self.w as usize + x as usize]
    }

    /// A row.
    ///
    /// # Panics
    /// Outside the picture.
    pub fn row(&self, y: u32) -> &[u32] {
        &self.px[y as usize * self.w as usize..][..self.w as usize]
    }

    /// A row to be written.
    ///
    /// # Panics
    /// Outside the picture.
    pub fn row_mut(&mut self, y: u32) -> &mut [u32] {
        &mut self.px[y as usize * self.w as usize..][..self.w as usize]
    }

    /// Fills a part; what lies outside is left out.
    pub fn fill(&mut self, area: Area, colour: u32) {
        let (right, bottom) = ((area.x + area.w).min(self.w), (area.y + area.h).min(self.h));
        for y in area.y.min(bottom)..bottom {
            self.row_mut(y)[area.x.min(right) as usize..right as usize].fill(colour);
        }
    }

    /// Puts another picture into this one; what lies outside is left out.
    pub fn put(&mut self, from: &Picture, x: u32, y: u32) {
        let w = from.w.min(self.w.saturating_sub(x)) as usize;
        for row in 0..from.h.min(self.h.saturating_sub(y)) {
            self.row_mut(y + row)[x as usize..x as usize + w].copy_from_slice(&from.row(row)[..w]);
        }
    }

    /// The pixels as the bytes B, G, R, 0 that X servers and viewers take.
    pub fn bytes(&self) -> Vec<u8> {
        self.px.iter().flat_map(|p| p.to_le_bytes()).collect()
    }

    /// A number that differs when a pixel differs (FNV-1a).
    pub fn hash(&self) -> u64 {
        self.px.iter().fold(0xcbf2_9ce4_8422_2325, |h, p| (h ^ u64::from(*p)).wrapping_mul(0x0100_0000_01b3))
    }
}

/// Random numbers from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 32 bits.
    pub fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u32) -> u32 {
        ((u64::from(self.bits()) * u64::from(end)) >> 32) as u32
    }
}

/// `a` and `b` mixed: all `a` at 0, all `b` at 255.
pub(crate) fn mix(a: u32, b: u32, cover: u32) -> u32 {
    let channel = |shift: u32| {
        let (p, q) = ((a >> shift) & 255, (b >> shift) & 255);
        ((p * (255 - cover) + q * cover + 127) / 255) << shift
    };
    channel(16) | channel(8) | channel(0)
}
