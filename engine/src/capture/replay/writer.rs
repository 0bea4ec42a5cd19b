//! Recording.

use std::io::Write;
use std::time::Instant;

use super::TraceError;
use super::wire::{KIND_END, KIND_FRAME, KIND_RESIZE, MAGIC, MAX_PIXELS};
use crate::capture::OutputInfo;
use crate::frame::{Frame, Hint};
use crate::geometry::{Rect, Region, Size};

/// Side of the squares in which a picture is compared.
const CELL: u16 = 64;
/// How hard pixels are compressed: fast enough to record while working.
const LEVEL: i32 = 3;

/// Writes a trace: of every frame only what differs from the picture before.
pub struct TraceWriter<W: Write> {
    to: W,
    size: Size,
    picture: Vec<u32>,
    begun: Option<Instant>,
    last_us: u64,
    first: bool,
    mask: u32,
    packer: zstd::bulk::Compressor<'static>,
}

impl<W: Write> TraceWriter<W> {
    /// Begins a trace of the output.
    ///
    /// # Errors
    /// When the output has a format or size that traces do not hold, or writing fails.
    pub fn new(mut to: W, info: &OutputInfo) -> Result<Self, TraceError> {
        let layout = info.fourcc.layout();
        let Some(layout) = layout.filter(|_| fits(info.size)) else {
            return Err(TraceError::Frame(format!("{} in {:?}", info.size, info.fourcc)));
        };
        let mut end = info.name.len().min(255);
        while !info.name.is_char_boundary(end) {
            end -= 1;
        }
        let name = &info.name.as_bytes()[..end];
        to.write_all(MAGIC)?;
        to.write_all(&info.fourcc.0.to_le_bytes())?;
        for v in [info.position.x, info.position.y, info.size.w, info.size.h, name.len() as u16] {
            to.write_all(&v.to_le_bytes())?;
        }
        to.write_all(name)?;
        let picture = vec![0; info.size.area() as usize];
        let mut packer = zstd::bulk::Compressor::new(LEVEL)?;
        packer.include_checksum(true)?;
        Ok(Self { to, size: info.size, picture, begun: None, last_us: 0, first: true, mask: layout.mask(), packer })
    }

    /// Records a frame, at its own time; a frame that changes nothing is left out. Returns whether it was recorded.
    ///
    /// # Errors
    /// When the frame has another size than the trace has, its pieces lie outside its memory, or writing fails.
    pub fn frame(&mut self, frame: &Frame) -> Result<bool, TraceError> {
        if frame.size != self.size {
            return Err(TraceError::Frame(format!("{} in a trace of {}", frame.size, self.size)));
        }
        let changed = self.take_in(frame)?;
        if changed.is_empty() && !self.first {
            return Ok(false);
        }
        self.first = false;
        let mut raw = Vec::with_capacity(changed.iter().map(|r| r.area() as usize * 4).sum());
        for r in &changed {
            for y in r.y..r.bottom() {
                let row = &self.picture[self.index(r.x, y)..][..usize::from(r.w)];
                row.iter().for_each(|p| raw.extend_from_slice(&p.to_le_bytes()));
            }
        }
        let packed = self.packer.compress(&raw)?;
        self.head(KIND_FRAME, frame.captured_at)?;
        self.to.write_all(&(changed.len() as u32).to_le_bytes())?;
        for v in changed.iter().flat_map(|r| [r.x, r.y, r.w, r.h]) {
            self.to.write_all(&v.to_le_bytes())?;
        }
        self.to.write_all(&(packed.len() as u32).to_le_bytes())?;
        self.to.write_all(&packed)?;
        Ok(true)
    }

    /// Records that the output has another size from now on.
    ///
    /// # Errors
    /// When traces do not hold that size, or writing fails.
    pub fn resize(&mut self, size: Size, at: Instant) -> Result<(), TraceError> {
        if !fits(size) {
            return Err(TraceError::Frame(size.to_string()));
        }
        self.head(KIND_RESIZE, at)?;
        self.to.write_all(&size.w.to_le_bytes())?;
        self.to.write_all(&size.h.to_le_bytes())?;
        self.size = size;
        self.picture = vec![0; size.area() as usize];
        self.first = true;
        Ok(())
    }

    /// Ends the trace and gives back what it was written to.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self, at: Instant) -> Result<W, TraceError> {
        self.head(KIND_END, at)?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn index(&self, x: u16, y: u16) -> usize {
        usize::from(y) * usize::from(self.size.w) + usize::from(x)
    }

    fn head(&mut self, kind: u8, at: Instant) -> Result<(), TraceError> {
        let begun = *self.begun.get_or_insert(at);
        let us = u64::try_from(at.saturating_duration_since(begun).as_micros()).unwrap_or(u64::MAX);
        self.last_us = self.last_us.max(us);
        self.to.write_all(&[kind])?;
        Ok(self.to.write_all(&self.last_us.to_le_bytes())?)
    }

    /// Copies the frame into the picture and returns a box of what differs for each cell; the padding of pixels becomes zero.
    fn take_in(&mut self, frame: &Frame) -> Result<Vec<Rect>, TraceError> {
        let columns = usize::from(self.size.w.div_ceil(CELL));
        let mut cells = vec![Rect::default(); columns * usize::from(self.size.h.div_ceil(CELL))];
        let mut row = Vec::new();
        for piece in &frame.pieces {
            let mut look = Region::from(piece.rect.intersect(&self.size.rect()));
            if let (Hint::Only(hint), false) = (&frame.hint, self.first) {
                look.intersect(hint);
            }
            for r in look.rects() {
                for y in r.y..r.bottom() {
                    row.resize(usize::from(r.w), 0);
                    let (down, right) = (usize::from(y - piece.rect.y), usize::from(r.x - piece.rect.x));
                    if !frame.memory.read(piece.offset + down * piece.stride + right * 4, &mut row) {
                        return Err(TraceError::Frame(format!("piece {} outside its memory", piece.rect)));
                    }
                    row.iter_mut().for_each(|p| *p &= self.mask);
                    let at = self.index(r.x, y);
                    let old = &mut self.picture[at..at + row.len()];
                    mark(old, &row, r.x, y, &mut cells[usize::from(y / CELL) * columns..][..columns]);
                    old.copy_from_slice(&row);
                }
            }
        }
        if self.first {
            return Ok(vec![self.size.rect()]);
        }
        cells.retain(|c| !c.is_empty());
        Ok(cells)
    }
}

/// Grows the boxes of a row of cells by the pixels of picture row `y` that differ, from column `x` on.
fn mark(old: &[u32], new: &[u32], x: u16, y: u16, cells: &mut [Rect]) {
    let end = usize::from(x) + new.len();
    for (i, cell) in cells.iter_mut().enumerate().skip(usize::from(x / CELL)) {
        let left = (i * usize::from(CELL)).max(usize::from(x));
        let right = ((i + 1) * usize::from(CELL)).min(end);
        if left >= right {
            break;
        }
        let span = left - usize::from(x)..right - usize::from(x);
        let mut pairs = old[span.clone()].iter().zip(&new[span]);
        let Some(first) = pairs.clone().position(|(p, q)| p != q) else { continue };
        let last = pairs.rposition(|(p, q)| p != q).unwrap_or(first);
        *cell = cell.bounds_with(&Rect::new((left + first) as u16, y, (last - first + 1) as u16, 1));
    }
}

fn fits(size: Size) -> bool {
    (1..=MAX_PIXELS).contains(&size.area())
}
