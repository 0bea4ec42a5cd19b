//! Damage on the GPU: a frame is compared with the picture that stays on the device, and only what changed comes back into the mirror.
//!
//! Frames that the device cannot take, and all of them while it is lost or too slow, go through the CPU: within the frame, and in order. The
//! mirror is the truth: after such a frame the device's picture is filled from it anew.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farpane_shaders::{CELL, Job};

use super::answers::Answers;
use super::check::{check, fits};
use super::cpu::is_readable;
use super::source::Source;
use super::{CpuDamage, Damage, DamageEngine, DamageStats, Mirror, MirrorData, Progress, Ticket};
use crate::frame::{Frame, Hint, Memory, Piece};
use crate::geometry::{Rect, Region};
use crate::gpu::{Answer, Gpu, GpuPicture, PackedCells, Ring, Rows, add_jobs};
use crate::pixel::Modifier;
use crate::tile::{CellMap, Coalesce, Extent};

/// A device that takes longer than this for a frame is given up.
const HUNG: Duration = Duration::from_millis(500);

/// Which picture the device holds, once all that is under way is done.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Synced {
    /// Address of the mirror.
    mirror: usize,
    /// The mirror's content when nothing was under way.
    seq: u64,
}

/// A frame that is not done.
enum Work {
    /// The device has it since then. The frame is kept: its source must not draw into it, and the CPU may yet have to read it.
    Gpu(Frame, Instant),
    /// The CPU is to take it.
    Cpu(Frame),
    /// The CPU has it and waits for its fence.
    Fenced(Ticket),
}

/// Which frames the device is to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// All of them.
    All,
    /// Those that lie in dma-bufs. What lies in the processor's memory is compared there, which costs less than bringing it to a device.
    DmaBufs,
}

/// Damage engine that compares on a GPU, and on the CPU what that cannot take.
///
/// The result is the CPU engine's. A frame lies in memory that the GPU takes, or is put into memory that it sees: one copy of what the source
/// says has changed. Moves are looked for on the CPU in the cells that come back, as the mirror still holds the old picture then; the device's
/// picture is the new one already.
pub struct GpuDamage {
    gpu: Arc<Gpu>,
    takes: Takes,
    ring: Ring,
    picture: Option<GpuPicture>,
    synced: Option<Synced>,
    waiting: VecDeque<(Ticket, Work)>,
    answers: Answers,
    cpu: CpuDamage,
    region: Region,
    jobs: Vec<Job>,
    row: Vec<u32>,
    cells: Cells,
    spare: Vec<Damage>,
    stats: DamageStats,
}

/// Which cells changed and where, and what makes rectangles of them.
#[derive(Default)]
struct Cells {
    map: CellMap,
    extents: Vec<Extent>,
    coalesce: Coalesce,
}

impl GpuDamage {
    /// An engine that has seen nothing.
    pub fn new(gpu: Arc<Gpu>, takes: Takes) -> Self {
        Self {
            gpu,
            takes,
            ring: Arc::new(|| ()),
            picture: None,
            synced: None,
            waiting: VecDeque::new(),
            answers: Answers::default(),
            cpu: CpuDamage::new(),
            region: Region::new(),
            jobs: Vec::new(),
            row: Vec::new(),
            cells: Cells::default(),
            spare: Vec::new(),
            stats: DamageStats::default(),
        }
    }

    /// Gives a frame to the device; says why the CPU has to take it.
    fn hand_over(&mut self, frame: &Frame, mirror: &Mirror, now: Instant) -> Result<(), String> {
        if self.takes == Takes::DmaBufs && !matches!(frame.memory, Memory::DmaBuf(_)) {
            return Err("it lies in the processor's memory".into());
        }
        if self.waiting.iter().any(|(_, work)| !matches!(work, Work::Gpu(..))) {
            return Err("frames before it are the CPU's".into());
        }
        let device = self.gpu.device(now).ok_or("no device")?;
        let data = mirror.read();
        // the device knows other forms than rows
        let checked = if frame.modifier == Modifier::LINEAR { check(frame, &data) } else { fits(frame, &data) };
        checked.map_err(|error| error.to_string())?;
        let (size, mask) = (data.size(), data.layout.mask());
        if data.grid.is_empty() {
            return Err("it is empty".into());
        }
        let idle = self.waiting.is_empty();
        if !self.picture.as_ref().is_some_and(|picture| picture.fits(&device, size, mask)) {
            if !idle {
                return Err("frames before it are of another size".into());
            }
            self.synced = None;
            self.picture = None;
            self.picture = Some(GpuPicture::new(device, size, mask).map_err(|error| error.to_string())?);
        }
        let Some(picture) = &mut self.picture else { return Err("no picture".into()) };
        let here = Synced { mirror: std::ptr::from_ref(mirror) as usize, seq: data.seq };
        let known = self.synced.is_some_and(|at| at.mirror == here.mirror && (!idle || at.seq == here.seq));
        if !known {
            if !idle {
                return Err("frames before it are of another mirror".into());
            }
            picture.set(&data.pixels);
            self.stats.gpu.upload_bytes += data.pixels.len() as u64 * 4;
            self.synced = Some(here);
        }
        let fence = fence(frame);
        self.jobs.clear();
        self.region.clear();
        match picture.import(frame) {
            Ok(import) => {
                // of pieces that overlap the last one counts
                for piece in frame.pieces.iter().rev() {
                    let mut part = part(piece, &frame.hint);
                    part.subtract(&self.region);
                    let rows = match import.shift() {
                        Some(shift) => Rows::of_piece(&piece.rect, shift + piece.offset, piece.stride),
                        None => Some(Rows::packed(size)),
                    };
                    add_jobs(&part, &data.grid, rows.ok_or("its pixels are no whole words")?, &mut self.jobs);
                    self.region.union(&part);
                }
                drop(data);
                picture.submit_import(&import, fence, &self.jobs, &self.ring)?;
                self.stats.gpu.imported += 1;
            }
            Err(reason) if fence.is_some() || matches!(frame.memory, Memory::DmaBuf(_)) => return Err(reason),
            Err(_) => {
                let source = Source::open(&frame.memory).map_err(|error| error.to_string())?;
                let mut upload = picture.begin().ok_or("no memory to put it into")?;
                let width = usize::from(size.w);
                for piece in &frame.pieces {
                    let part = part(piece, &frame.hint);
                    for rect in part.rects() {
                        self.row.resize(rect.w.into(), 0);
                        let left = usize::from(rect.x - piece.rect.x) * 4;
                        for y in rect.y..rect.bottom() {
                            let down = usize::from(y - piece.rect.y);
                            source.read(piece.offset + down * piece.stride + left, &mut self.row);
                            upload.write(usize::from(y) * width + usize::from(rect.x), &self.row);
                        }
                    }
                    self.stats.gpu.upload_bytes += part.area() * 4;
                    self.region.union(&part);
                }
                add_jobs(&self.region, &data.grid, Rows::packed(size), &mut self.jobs);
                drop(data);
                picture.submit(upload, &self.jobs, &self.ring);
            }
        }
        self.stats.compared_px += self.region.area();
        self.stats.source_bytes += self.region.area() * 4;
        Ok(())
    }

    /// Works off what waits, oldest first, as far as it is done.
    fn advance(&mut self, mirror: &Mirror, now: Instant) {
        while let Some((ticket, work)) = self.waiting.pop_front() {
            let (ticket, progress) = match work {
                Work::Gpu(frame, since) => match self.ask(&frame, mirror, now) {
                    Ok(Some(damage)) => {
                        drop(frame);
                        self.stats.frames += 1;
                        (ticket, Progress::Done(damage))
                    }
                    Ok(None) if now.saturating_duration_since(since) < HUNG => {
                        return self.waiting.push_front((ticket, Work::Gpu(frame, since)));
                    }
                    Ok(None) => {
                        tracing::warn!(gpu = %self.gpu.adapter(), "no answer within {HUNG:?}: given up");
                        self.waiting.push_front((ticket, Work::Gpu(frame, since)));
                        self.leave();
                        continue;
                    }
                    Err(()) => {
                        self.waiting.push_front((ticket, Work::Gpu(frame, since)));
                        self.leave();
                        continue;
                    }
                },
                Work::Cpu(frame) => {
                    let inner = self.cpu.submit(frame, mirror, now);
                    self.stats.gpu.cpu_frames += 1;
                    self.waiting.push_front((ticket, Work::Fenced(inner)));
                    continue;
                }
                Work::Fenced(inner) => match self.cpu.poll(inner, mirror, now) {
                    Progress::Pending => return self.waiting.push_front((ticket, Work::Fenced(inner))),
                    done => (ticket, done),
                },
            };
            self.answers.put(ticket, progress);
        }
    }

    /// Asks after the oldest frame that the device has; an error says that the device is lost.
    fn ask(&mut self, frame: &Frame, mirror: &Mirror, now: Instant) -> Result<Option<Damage>, ()> {
        let mut damage = self.spare.pop().unwrap_or_default();
        damage.clear();
        let Self { cells, cpu, stats, .. } = self;
        let answer = self.picture.as_mut().ok_or(())?.poll(|packed| {
            let mut data = mirror.write();
            damage.seq = data.seq;
            if packed.places().is_empty() {
                return;
            }
            let searched = cpu.search_packed(frame, packed, &mut data, now, &mut damage);
            stats.changed_px += searched.unwrap_or_else(|| {
                let changed = cells.scatter(packed, &mut data, now, &mut damage.cells);
                cells.coalesce.run(&data.grid, &cells.map, &cells.extents, &mut damage.changed);
                cpu.let_by(damage.changed.area());
                changed
            });
            data.seq += 1;
            damage.seq = data.seq;
            stats.copies += damage.copied.len() as u64;
            stats.gpu.cells += packed.places().len() as u64;
        });
        match answer {
            Answer::Pending => {
                self.spare.push(damage);
                Ok(None)
            }
            Answer::Lost => Err(()),
            Answer::Done { bytes } => {
                self.stats.gpu.frames += 1;
                self.stats.gpu.read_bytes += bytes;
                if let Some(synced) = &mut self.synced {
                    synced.seq = damage.seq;
                }
                Ok(Some(damage))
            }
        }
    }

    /// Leaves the device: the CPU takes what it had.
    fn leave(&mut self) {
        if let Some(picture) = self.picture.take() {
            picture.give_up();
        }
        self.synced = None;
        for (_, work) in &mut self.waiting {
            let taken = std::mem::replace(work, Work::Fenced(Ticket(u64::MAX)));
            *work = match taken {
                Work::Gpu(frame, _) => Work::Cpu(frame),
                other => other,
            };
        }
    }
}

impl Cells {
    /// Brings packed cells into the mirror and lists their boxes; returns how many pixels differed.
    fn scatter(&mut self, packed: PackedCells<'_>, data: &mut MirrorData, now: Instant, boxes: &mut Vec<Rect>) -> u64 {
        self.map.reset(&data.grid);
        self.extents.resize(data.grid.len(), Extent::EMPTY);
        let (cols, width) = (usize::from(data.grid.cols()), usize::from(data.size().w));
        let seq = data.seq + 1;
        let mut changed = 0;
        for place in packed.places() {
            let cell = place.cell as usize;
            let (col, row) = (cell % cols, cell / cols);
            self.map.insert(col as u16, row as u16);
            self.extents[cell] = Extent::EMPTY;
            self.extents[cell].add_box(place.extent());
            let [x0, y0, x1, y1] = place.extent().map(usize::from);
            let side = CELL as usize;
            for y in y0..y1 {
                let to = (row * side + y) * width + col * side;
                packed.row(place, y, x0, &mut data.pixels[to + x0..to + x1]);
            }
            data.cell_seq[cell] = seq;
            data.cell_at[cell] = now;
            changed += u64::from(place.count);
        }
        boxes.extend(self.map.iter().map(|(col, row)| self.extents[data.grid.index(col, row)].rect(col, row)));
        changed
    }
}

/// The part of a piece that may have changed.
fn part(piece: &Piece, hint: &Hint) -> Region {
    let mut part = Region::from(piece.rect);
    if let Hint::Only(region) = hint {
        part.intersect(region);
    }
    part
}

/// What a frame's pixels wait for; none when they are there.
fn fence(frame: &Frame) -> Option<OwnedFd> {
    let fence = match (&frame.acquire, &frame.memory) {
        (Some(fence), _) => fence.try_clone().ok(),
        (None, Memory::DmaBuf(buffer)) => buffer.fence(),
        (None, _) => None,
    };
    fence.filter(|fence| !is_readable(fence))
}

impl DamageEngine for GpuDamage {
    fn submit(&mut self, frame: Frame, mirror: &Mirror, now: Instant) -> Ticket {
        let ticket = self.answers.ticket();
        let work = match self.hand_over(&frame, mirror, now) {
            Ok(()) => Work::Gpu(frame, now),
            Err(reason) => {
                tracing::debug!(seq = frame.seq, reason, "a frame for the CPU");
                Work::Cpu(frame)
            }
        };
        self.waiting.push_back((ticket, work));
        self.advance(mirror, now);
        ticket
    }

    fn poll(&mut self, ticket: Ticket, mirror: &Mirror, now: Instant) -> Progress {
        self.advance(mirror, now);
        self.answers.take(ticket)
    }

    fn abandon(&mut self) {
        // a source gets its memory back when nothing reads it any more
        if let Some(picture) = &mut self.picture {
            picture.finish(HUNG);
            picture.let_go();
        }
        self.picture.take_if(|picture| picture.under_way() > 0);
        self.waiting.clear();
        self.answers.clear();
        self.cpu.abandon();
        self.synced = None;
    }

    fn set_ring(&mut self, ring: Ring) {
        self.ring = ring;
    }

    fn set_scroll(&mut self, wanted: bool) {
        self.cpu.set_scroll(wanted);
    }

    fn stats(&self) -> DamageStats {
        let (gpu, cpu) = (self.stats, self.cpu.stats());
        DamageStats {
            frames: gpu.frames + cpu.frames,
            failed: gpu.failed + cpu.failed,
            compared_px: gpu.compared_px + cpu.compared_px,
            changed_px: gpu.changed_px + cpu.changed_px,
            source_bytes: gpu.source_bytes + cpu.source_bytes,
            copies: gpu.copies + cpu.copies,
            gpu: gpu.gpu,
        }
    }

    fn recycle(&mut self, damage: Damage) {
        if self.spare.len() < 4 {
            self.spare.push(damage);
        }
    }
}

impl Drop for GpuDamage {
    fn drop(&mut self) {
        self.abandon();
    }
}
