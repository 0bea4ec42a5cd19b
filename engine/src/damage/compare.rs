//! Compares the pieces of a frame with the mirror and brings the mirror up to date.
//!
//! ```text
//! for each row of cells (on several cores when there is much to compare)
//!   for each piece's part inside the hint that meets it
//!     for each row, from left to right, cut at the cells' edges
//!       copy the segment out of the source          1
//!       compare with the mirror, store, grow extent  2
//! ```
//! 1. The source may change under us: a byte read twice may be two bytes. One copy, at most 256 bytes, stays in L1.
//! 2. The store happens in the same pass, so the extent is true of what the mirror then holds.
//!
//! Where moves are looked for, that pass comes last. A look goes before it, which only says which cells differ and leaves each at its first
//! row that does, so the old picture is still there to be searched; then what moved is moved inside the mirror, and the pass above takes
//! the cells that differed and the places where something was moved to. So whatever the source did meanwhile and whatever a search believed,
//! the mirror and the damage are true of what that pass read.

#[cfg(feature = "gpu")]
use farpane_shaders::Place;
use rayon::prelude::*;

use super::check::{FrameError, check};
use super::source::{Pixels, SEGMENT, Source};
use super::{Copied, MirrorData};
use crate::frame::{Frame, Hint, Piece};
use crate::geometry::{Rect, Region};
use crate::kernel::CpuLevel;
use crate::kernel::tile_diff::{diff_row, rows_differ};
use crate::tile::{CELL, CellMap, Extent};

/// From this many pixels on several cores compare.
pub(super) const PARALLEL_PX: u64 = 512 * 512;

const SIDE: usize = CELL as usize;

/// A part of a piece to be compared.
#[derive(Clone, Copy)]
struct Job {
    rect: Rect,
    piece: Piece,
}

/// Which cells changed, and where inside; keeps its buffers from frame to frame.
#[derive(Default)]
pub(super) struct Compare {
    jobs: Vec<Job>,
    /// The jobs of a pass that takes parts of them.
    parts: Vec<Job>,
    rest: Region,
    /// The cells in which the look saw a difference.
    seen: CellMap,
    /// The cells that the last pass found changed.
    pub(super) map: CellMap,
    /// An extent for each cell of the grid; only those in `map` mean anything.
    pub(super) extents: Vec<Extent>,
}

impl Compare {
    /// Checks a frame and lists what is to be compared; returns how many pixels that are.
    pub(super) fn begin(&mut self, frame: &Frame, data: &MirrorData) -> Result<u64, FrameError> {
        check(frame, data)?;
        self.cut(frame);
        Ok(self.jobs.iter().map(|job| job.rect.area()).sum())
    }

    /// Brings the mirror's pixels up to date with the frame; leaves its sequences alone. Returns how many differed.
    pub(super) fn run(&mut self, frame: &Pixels<'_>, data: &mut MirrorData) -> u64 {
        let Self { jobs, map, extents, .. } = self;
        Pass { source: &frame.source, jobs, only: None }.run(data, map, extents)
    }

    /// Finds the cells that differ and leaves the mirror alone. The extents are no smaller than what differs, and hold nothing outside
    /// the hint.
    pub(super) fn look(&mut self, frame: &Pixels<'_>, data: &MirrorData) {
        let Self { jobs, map, extents, .. } = self;
        map.reset(&data.grid);
        extents.clear();
        extents.resize(data.grid.len(), Extent::EMPTY);
        let source = &frame.source;
        let (first, count) = bands(jobs);
        let width = usize::from(data.size().w);
        let words = map.words_per_row();
        let band = |(i, words): (usize, &mut [u64])| look_at_band(source, jobs, data, (first + i) * SIDE, words);
        let bits = map.words_mut().get_mut(first * words..).unwrap_or_default();
        if jobs.iter().map(|job| job.rect.area()).sum::<u64>() >= PARALLEL_PX && width > 0 {
            bits.par_chunks_mut(words).take(count).enumerate().for_each(band);
        } else {
            bits.chunks_mut(words).take(count).enumerate().for_each(band);
        }
        self.bound(data);
    }

    /// In place of a check and a look, where a GPU has found the cells that differ: takes their pixels from `pieces`, one for each place.
    #[cfg(feature = "gpu")]
    pub(super) fn take_over(&mut self, frame: &Frame, data: &MirrorData, places: &[Place], pieces: &[Piece]) {
        self.cut(frame);
        let Self { map, extents, .. } = self;
        map.reset(&data.grid);
        extents.clear();
        extents.resize(data.grid.len(), Extent::EMPTY);
        for (place, piece) in places.iter().zip(pieces) {
            extents[place.cell as usize].add_box(place.extent());
            map.insert(piece.rect.x / CELL, piece.rect.y / CELL);
        }
        // as large as after a look, so that the same is found
        self.bound(data);
        self.jobs.clear();
        self.jobs.extend(places.iter().zip(pieces).map(|(place, &piece)| {
            let [x0, y0, x1, y1] = place.extent().map(u16::from);
            let Rect { x, y, .. } = piece.rect;
            Job { rect: Rect::from_corners(x + x0, y + y0, x + x1, y + y1), piece }
        }));
    }

    /// Grows the extents of the cells in the map to all that the jobs have of them.
    fn bound(&mut self, data: &MirrorData) {
        let Self { jobs, map, extents, .. } = self;
        for job in jobs {
            let (cols, rows) = data.grid.cells(&job.rect);
            for (col, row) in rows.flat_map(|row| cols.clone().map(move |col| (col, row))) {
                if map.contains(col, row) {
                    let part = job
                        .rect
                        .intersect(&data.grid.rect(col, row))
                        .translate(-i32::from(col) * i32::from(CELL), -i32::from(row) * i32::from(CELL));
                    let extent = &mut extents[data.grid.index(col, row)];
                    extent.add_box([part.x, part.y, part.right(), part.bottom()].map(|v| v as u8));
                }
            }
        }
    }

    /// After a look and once the moves have been carried out in the mirror: brings up to date what lies in the cells that differed and
    /// outside of where something was moved to. Returns how many pixels differed.
    pub(super) fn run_rest(&mut self, frame: &Pixels<'_>, data: &mut MirrorData, copied: &[Copied]) -> u64 {
        let Self { jobs, parts, rest, seen, map, extents } = self;
        parts.clear();
        for job in jobs.iter() {
            rest.clear();
            rest.add(&job.rect);
            copied.iter().for_each(|c| rest.subtract_rect(&c.to));
            parts.extend(rest.rects().iter().map(|&rect| Job { rect, ..*job }));
        }
        std::mem::swap(seen, map);
        Pass { source: &frame.source, jobs: parts, only: Some(seen) }.run(data, map, extents)
    }

    /// The same for the places where something was moved to, which differ when the source was written to meanwhile.
    pub(super) fn run_targets(&mut self, frame: &Pixels<'_>, data: &mut MirrorData, copied: &[Copied]) -> u64 {
        let Self { parts, map, extents, .. } = self;
        parts.clear();
        for &piece in frame.pieces {
            parts.extend(copied.iter().map(|c| Job { rect: c.to.intersect(&piece.rect), piece }));
        }
        parts.retain(|job| !job.rect.is_empty());
        Pass { source: &frame.source, jobs: parts, only: None }.run(data, map, extents)
    }

    /// Lists the pieces' parts inside the hint.
    fn cut(&mut self, frame: &Frame) {
        self.jobs.clear();
        for &piece in &frame.pieces {
            match &frame.hint {
                Hint::Everything => self.jobs.push(Job { rect: piece.rect, piece }),
                Hint::Only(region) => {
                    self.jobs.extend(region.rects().iter().map(|r| Job { rect: r.intersect(&piece.rect), piece }))
                }
            }
        }
        self.jobs.retain(|job| !job.rect.is_empty());
    }
}

/// The first row of cells that jobs meet, and how many from there on.
fn bands(jobs: &[Job]) -> (usize, usize) {
    let all = jobs.iter().fold(Rect::default(), |b, job| b.bounds_with(&job.rect));
    let first = usize::from(all.y / CELL);
    (first, usize::from(all.bottom().div_ceil(CELL)) - first)
}

/// The rows of a job between two rows of the picture.
fn rows_of(job: &Job, top: usize, bottom: usize) -> std::ops::Range<usize> {
    usize::from(job.rect.y).max(top)..usize::from(job.rect.bottom()).min(bottom)
}

/// Where a pixel of a piece lies in the memory.
fn offset(piece: &Piece, x: usize, y: usize) -> usize {
    piece.offset + (y - usize::from(piece.rect.y)) * piece.stride + (x - usize::from(piece.rect.x)) * 4
}

/// Marks the cells of one row of cells, from row `top` of the picture on, in which the source differs from the mirror.
fn look_at_band(source: &Source<'_>, jobs: &[Job], data: &MirrorData, top: usize, words: &mut [u64]) {
    let mut bits = CellMap::bits(words);
    let width = usize::from(data.size().w);
    let mask = data.layout.mask();
    let mut buffer = [0u32; SEGMENT];
    for job in jobs {
        for y in rows_of(job, top, top + SIDE) {
            let (mut x, right) = (usize::from(job.rect.x), usize::from(job.rect.right()));
            while x < right {
                let end = right.min((x / SIDE + 1) * SIDE);
                let col = (x / SIDE) as u16;
                if !bits.contains(col) {
                    let new = &mut buffer[..end - x];
                    source.read(offset(&job.piece, x, y), new);
                    if rows_differ(new, &data.pixels[y * width + x..y * width + end], mask) {
                        bits.insert(col);
                    }
                }
                x = end;
            }
        }
    }
}

/// One pass that brings the mirror up to date with some jobs.
struct Pass<'a> {
    source: &'a Source<'a>,
    jobs: &'a [Job],
    /// The cells to look at; all where none are given.
    only: Option<&'a CellMap>,
}

impl Pass<'_> {
    /// Fills `map` and `extents` anew; returns the pixels that differed.
    fn run(&self, data: &mut MirrorData, map: &mut CellMap, extents: &mut Vec<Extent>) -> u64 {
        map.reset(&data.grid);
        extents.resize(data.grid.len(), Extent::EMPTY);
        let (first, count) = bands(self.jobs);
        if count == 0 {
            return 0;
        }
        let px = self.jobs.iter().map(|job| job.rect.area()).sum::<u64>();
        let px = self.only.map_or(px, |only| px.min(only.len() as u64 * u64::from(CELL).pow(2)));
        let width = usize::from(data.grid.size().w);
        let cols = usize::from(data.grid.cols());
        let words = map.words_per_row();
        let (level, mask) = (CpuLevel::current(), data.layout.mask());
        let band = |(i, ((pixels, extents), words)): (usize, BandSlices<'_>)| {
            Band { pass: self, level, mask, width, top: (first + i) * SIDE, pixels, extents, words }.run()
        };
        let height = SIDE * width;
        let pixels = &mut data.pixels[first * height..];
        let extents = &mut extents[first * cols..];
        let bits = &mut map.words_mut()[first * words..];
        if px >= PARALLEL_PX {
            let bands = pixels.par_chunks_mut(height).zip(extents.par_chunks_mut(cols)).zip(bits.par_chunks_mut(words));
            bands.take(count).enumerate().map(band).sum()
        } else {
            let bands = pixels.chunks_mut(height).zip(extents.chunks_mut(cols)).zip(bits.chunks_mut(words));
            bands.take(count).enumerate().map(band).sum()
        }
    }
}

/// A row of cells as its pixels, extents and bits of the cell map.
type BandSlices<'a> = ((&'a mut [u32], &'a mut [Extent]), &'a mut [u64]);

/// One row of cells: the part of the picture that one core works on.
struct Band<'a> {
    pass: &'a Pass<'a>,
    level: CpuLevel,
    mask: u32,
    width: usize,
    top: usize,
    pixels: &'a mut [u32],
    extents: &'a mut [Extent],
    words: &'a mut [u64],
}

impl Band<'_> {
    /// Compares all that the jobs have in this row of cells; returns the pixels that differed.
    fn run(mut self) -> u64 {
        let bottom = self.top + self.pixels.len() / self.width;
        let mut changed = 0;
        for job in self.pass.jobs {
            for y in rows_of(job, self.top, bottom) {
                changed += self.row(job, y);
            }
        }
        changed
    }

    /// Compares one row of a job.
    fn row(&mut self, job: &Job, y: usize) -> u64 {
        let mut bits = CellMap::bits(self.words);
        let mut buffer = [0u32; SEGMENT];
        let row = y - self.top;
        let at = row * self.width;
        let mut changed = 0;
        let (mut x, right) = (usize::from(job.rect.x), usize::from(job.rect.right()));
        while x < right {
            let col = x / SIDE;
            let end = right.min((col + 1) * SIDE);
            if self.pass.only.is_some_and(|only| !only.contains(col as u16, (self.top / SIDE) as u16)) {
                x = end;
                continue;
            }
            let new = &mut buffer[..end - x];
            self.pass.source.read(offset(&job.piece, x, y), new);
            if let Some(diff) = diff_row(self.level, new, &mut self.pixels[at + x..at + end], self.mask) {
                let extent = &mut self.extents[col];
                if !bits.contains(col as u16) {
                    bits.insert(col as u16);
                    *extent = Extent::EMPTY;
                }
                let left = x - col * SIDE;
                extent.add_span(row as u8, (left + diff.first) as u8, (left + diff.end) as u8);
                changed += diff.count as u64;
            }
            x = end;
        }
        changed
    }
}
