//! Compares the pieces of a frame with the mirror and brings the mirror up to date.
//!
//! ```text
//! for each row of cells (on several cores when the frame is large)
//!   for each piece's part inside the hint that meets it
//!     for each row, from left to right, cut at the cells' edges
//!       copy the segment out of the source          1
//!       compare with the mirror, store, grow extent  2
//!       keep what was there, if moves are looked for 3
//! ```
//! 1. The source may change under us: a byte read twice may be two bytes. One copy, at most 256 bytes, stays in L1.
//! 2. The store happens in the same pass, so the extent is true of what the mirror now holds.
//! 3. Only where something differed: the old pixels are at hand, and a still cell costs nothing.

use rayon::iter::Either;
use rayon::prelude::*;

use super::MirrorData;
use super::kept::{Kept, KeptBand};
use super::source::{SEGMENT, Source};
use crate::frame::{Frame, Hint, Piece};
use crate::geometry::{Rect, Size};
use crate::kernel::CpuLevel;
use crate::kernel::tile_diff::diff_row;
use crate::pixel::{Fourcc, Modifier};
use crate::tile::{CELL, CellMap, Extent};

/// From this many pixels on several cores compare.
pub(super) const PARALLEL_PX: u64 = 512 * 512;

/// Why a frame cannot be compared with a mirror on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The mirror is of another size.
    #[error("frame of {frame} for a mirror of {mirror}")]
    Size {
        /// The frame's.
        frame: Size,
        /// The mirror's.
        mirror: Size,
    },
    /// The mirror holds other pixels, or none can hold these.
    #[error("frame in {0:?}, which is not the mirror's format")]
    Format(Fourcc),
    /// The memory is tiled or compressed.
    #[error("frame with modifier {0:?} (expected linear)")]
    Tiled(Modifier),
    /// A piece covers pixels outside the output.
    #[error("piece {rect} outside the output of {size}")]
    Outside {
        /// The piece's pixels.
        rect: Rect,
        /// The output's size.
        size: Size,
    },
    /// A piece's rows overlap.
    #[error("stride {stride} of piece {rect} (expected at least {})", usize::from(.rect.w) * 4)]
    Stride {
        /// The piece's pixels.
        rect: Rect,
        /// Its stride.
        stride: usize,
    },
    /// A piece reaches past the end of the memory.
    #[error("piece {rect} at byte {offset} with stride {stride} in memory of {len} bytes")]
    Short {
        /// The piece's pixels.
        rect: Rect,
        /// Its offset.
        offset: usize,
        /// Its stride.
        stride: usize,
        /// Bytes of the memory.
        len: usize,
    },
    /// The fence that says when the pixels may be read is broken.
    #[error("acquire fence cannot be waited for")]
    Fence,
}

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
    /// The changed cells.
    pub(super) map: CellMap,
    /// An extent for each cell of the grid; only those in `map` mean anything.
    pub(super) extents: Vec<Extent>,
}

/// Pixels seen and changed by one run.
#[derive(Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) compared: u64,
    pub(super) changed: u64,
}

impl Compare {
    /// Brings the mirror's pixels up to date with the frame; leaves its sequences alone. What they were goes into `kept`, which is
    /// ready for this frame.
    pub(super) fn run(
        &mut self,
        frame: &Frame,
        data: &mut MirrorData,
        kept: Option<&mut Kept>,
    ) -> Result<Counted, FrameError> {
        let source = Source::new(&frame.memory);
        check(frame, data, source.len())?;
        self.map.reset(&data.grid);
        self.extents.resize(data.grid.len(), Extent::EMPTY);
        self.cut(frame);
        let rows = self.jobs.iter().fold(Rect::default(), |b, job| b.bounds_with(&job.rect));
        if rows.is_empty() {
            return Ok(Counted::default());
        }
        let compared = self.jobs.iter().map(|job| job.rect.area()).sum();
        let first = usize::from(rows.y / CELL);
        let width = usize::from(data.grid.size().w);
        let cols = usize::from(data.grid.cols());
        let words = self.map.words_per_row();
        let level = CpuLevel::current();
        let band = |(i, (((pixels, extents), words), kept)): (usize, BandSlices<'_>)| {
            let top = (first + i) * usize::from(CELL);
            Band { source: &source, level, mask: data.layout.mask(), width, top, pixels, extents, words, kept }
                .run(&self.jobs)
        };
        let count = usize::from(rows.bottom().div_ceil(CELL)) - first;
        let height = usize::from(CELL) * width;
        let pixels = &mut data.pixels[first * height..];
        let extents = &mut self.extents[first * cols..];
        let bits = &mut self.map.words_mut()[first * words..];
        let kept = kept.map(|k| (&mut k.pixels[first * height..], &mut k.rows[first * cols..]));
        let changed = if compared >= PARALLEL_PX {
            let kept = match kept {
                Some((pixels, rows)) => Either::Left(
                    pixels
                        .par_chunks_mut(height)
                        .zip(rows.par_chunks_mut(cols))
                        .map(|(pixels, rows)| Some(KeptBand { pixels, rows })),
                ),
                None => Either::Right((0..count).into_par_iter().map(|_| None)),
            };
            pixels
                .par_chunks_mut(height)
                .zip(extents.par_chunks_mut(cols))
                .zip(bits.par_chunks_mut(words))
                .zip(kept)
                .take(count)
                .enumerate()
                .map(band)
                .sum()
        } else {
            let mut kept = kept.map(|(pixels, rows)| pixels.chunks_mut(height).zip(rows.chunks_mut(cols)));
            let mut next = || kept.as_mut()?.next().map(|(pixels, rows)| KeptBand { pixels, rows });
            pixels
                .chunks_mut(height)
                .zip(extents.chunks_mut(cols))
                .zip(bits.chunks_mut(words))
                .map(|band| (band, next()))
                .take(count)
                .enumerate()
                .map(band)
                .sum()
        };
        Ok(Counted { compared, changed })
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

/// Whether a frame can be compared with a mirror, and all its pixels lie in `len` bytes of memory.
fn check(frame: &Frame, data: &MirrorData, len: usize) -> Result<(), FrameError> {
    let size = data.grid.size();
    if frame.size != size {
        return Err(FrameError::Size { frame: frame.size, mirror: size });
    }
    if frame.fourcc.layout() != Some(data.layout) {
        return Err(FrameError::Format(frame.fourcc));
    }
    if frame.modifier != Modifier::LINEAR {
        return Err(FrameError::Tiled(frame.modifier));
    }
    for &Piece { rect, offset, stride } in frame.pieces.iter().filter(|p| !p.rect.is_empty()) {
        let right = u32::from(rect.x) + u32::from(rect.w);
        let bottom = u32::from(rect.y) + u32::from(rect.h);
        if right > size.w.into() || bottom > size.h.into() {
            return Err(FrameError::Outside { rect, size });
        }
        let row = usize::from(rect.w) * 4;
        if rect.h > 1 && stride < row {
            return Err(FrameError::Stride { rect, stride });
        }
        let end = stride.checked_mul(usize::from(rect.h - 1)).and_then(|n| n.checked_add(row)?.checked_add(offset));
        if end.is_none_or(|end| end > len) {
            return Err(FrameError::Short { rect, offset, stride, len });
        }
    }
    Ok(())
}

/// A row of cells as its pixels, extents, bits of the cell map and what is kept of it.
type BandSlices<'a> = (((&'a mut [u32], &'a mut [Extent]), &'a mut [u64]), Option<KeptBand<'a>>);

/// One row of cells: the part of the picture that one core works on.
struct Band<'a> {
    source: &'a Source<'a>,
    level: CpuLevel,
    mask: u32,
    width: usize,
    top: usize,
    pixels: &'a mut [u32],
    extents: &'a mut [Extent],
    words: &'a mut [u64],
    kept: Option<KeptBand<'a>>,
}

impl Band<'_> {
    /// Compares all that the jobs have in this row of cells; returns the pixels that differed.
    fn run(mut self, jobs: &[Job]) -> u64 {
        let bottom = self.top + self.pixels.len() / self.width;
        let mut changed = 0;
        for job in jobs {
            let rows = usize::from(job.rect.y).max(self.top)..usize::from(job.rect.bottom()).min(bottom);
            for y in rows {
                changed += self.row(job, y);
            }
        }
        changed
    }

    /// Compares one row of a job.
    fn row(&mut self, job: &Job, y: usize) -> u64 {
        let cell = usize::from(CELL);
        let Piece { rect, offset, stride } = job.piece;
        let start = offset + (y - usize::from(rect.y)) * stride;
        let mut bits = CellMap::bits(self.words);
        let mut buffer = [0u32; SEGMENT];
        let mut before = [0u32; SEGMENT];
        let row = y - self.top;
        let at = row * self.width;
        let mut changed = 0;
        let (mut x, right) = (usize::from(job.rect.x), usize::from(job.rect.right()));
        while x < right {
            let col = x / cell;
            let end = right.min((col + 1) * cell);
            let new = &mut buffer[..end - x];
            self.source.read(start + (x - usize::from(rect.x)) * 4, new);
            let wide = cell.min(self.width - col * cell);
            let keeps = self.kept.as_ref().is_some_and(|kept| !kept.has(col, row));
            if keeps {
                before[..wide].copy_from_slice(&self.pixels[at + col * cell..][..wide]);
            }
            if let Some(diff) = diff_row(self.level, new, &mut self.pixels[at + x..at + end], self.mask) {
                let extent = &mut self.extents[col];
                if !bits.contains(col as u16) {
                    bits.insert(col as u16);
                    *extent = Extent::EMPTY;
                }
                let left = x - col * cell;
                extent.add_span(row as u8, (left + diff.first) as u8, (left + diff.end) as u8);
                changed += diff.count as u64;
                if let (true, Some(kept)) = (keeps, &mut self.kept) {
                    kept.keep(col, row, self.width, &before[..wide]);
                }
            }
            x = end;
        }
        changed
    }
}
