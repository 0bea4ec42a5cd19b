//! An output's picture in a device's memory.
//!
//! A new picture is put into memory that both see and that the GPU reads once, or is there already. Two passes then compare it with the
//! resident picture, bring that up to date, and pack what changed into memory that the processor reads: what crosses the bus is what changed
//! and a list of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use farpane_shaders::{CELL, CELL_WORDS, HEAD_WORDS, Job, Picture, Place, Record};

use super::Ring;
use super::device::{Device, GpuError, one_line};
use crate::geometry::Size;
use crate::tile::Grid;

/// New pictures that may be under way at once.
const SLOTS: usize = 2;
/// Mappings that a slot waits for: its list, its pixels, and its memory for the next picture.
const MAPPINGS: u32 = 3;
/// In [`Slot::mapped`]: one of them failed.
const FAILED: u32 = 1 << 16;

/// A picture that stays on a device.
pub struct GpuPicture {
    device: Arc<Device>,
    pub(super) grid: Grid,
    mask: u32,
    pub(super) resident: wgpu::Buffer,
    pub(super) records: wgpu::Buffer,
    pub(super) bitmap: wgpu::Buffer,
    pub(super) slots: Vec<Slot>,
    free: Vec<usize>,
    flight: VecDeque<usize>,
}

/// What one new picture needs on its way.
pub(super) struct Slot {
    pub(super) uniform: wgpu::Buffer,
    pub(super) jobs: wgpu::Buffer,
    pub(super) fresh: wgpu::Buffer,
    head: wgpu::Buffer,
    tiles: wgpu::Buffer,
    tile_diff: wgpu::BindGroup,
    pub(super) compact: wgpu::BindGroup,
    mapped: Arc<AtomicU32>,
}

/// Memory for a new picture, as wide as the resident one and without gaps. Only what jobs name is looked at.
pub struct Upload {
    pub(super) slot: usize,
    pub(super) view: wgpu::BufferViewMut,
}

impl Upload {
    /// Puts pixels in, from pixel `at` on.
    ///
    /// # Panics
    /// When they reach past the end.
    pub fn write(&mut self, at: usize, pixels: &[u32]) {
        self.view.slice(4 * at..4 * (at + pixels.len())).copy_from_slice(bytemuck::cast_slice(pixels));
    }
}

/// What came of the oldest picture under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing yet.
    Pending,
    /// What changed was read.
    Done {
        /// Bytes that came back.
        bytes: u64,
    },
    /// The device is lost, and with it all that is under way.
    Lost,
}

impl GpuPicture {
    /// A black picture; `mask` are the bits of a pixel that carry colour.
    ///
    /// # Errors
    /// When the device has no room for it.
    pub fn new(device: Arc<Device>, size: Size, mask: u32) -> Result<Self, GpuError> {
        let grid = Grid::new(size);
        let cells = grid.len().max(1) as u64;
        let room = |why: String| GpuError::Room(device.adapter().to_string(), size, why);
        let limit = device.device.limits().max_storage_buffer_binding_size;
        let most = cells * u64::from(CELL_WORDS) * 4;
        if most > limit {
            return Err(room(format!("{most} bytes in one buffer (at most {limit})")));
        }
        let (resident, records, bitmap) = checked(&device.device, || {
            let buffer = |label, bytes| plain(&device.device, label, bytes);
            (
                buffer("resident", size.area().max(1) * 4),
                buffer("records", cells * size_of::<Record>() as u64),
                buffer("bitmap", cells.div_ceil(32) * 4),
            )
        })
        .map_err(room)?;
        let mut picture = Self {
            device: Arc::clone(&device),
            grid,
            mask,
            resident,
            records,
            bitmap,
            slots: Vec::new(),
            free: Vec::new(),
            flight: VecDeque::new(),
        };
        let slot = checked(&device.device, || picture.slot(cells)).map_err(room)?;
        picture.slots.push(slot);
        picture.free.push(0);
        Ok(picture)
    }

    /// Makes a slot with room for a list of `jobs`.
    fn slot(&self, jobs: u64) -> Slot {
        let device = &self.device.device;
        let cells = self.grid.len().max(1) as u64;
        let mapped = |label, size, usage, mapped_at_creation| {
            let usage = usage | wgpu::BufferUsages::STORAGE;
            device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation })
        };
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("picture"),
            size: size_of::<Picture>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let jobs = plain(device, "jobs", jobs * size_of::<Job>() as u64);
        let fresh = mapped("fresh", self.grid.size().area().max(1) * 4, wgpu::BufferUsages::MAP_WRITE, true);
        let head = mapped("head", head_bytes(cells), wgpu::BufferUsages::MAP_READ, false);
        let tiles = mapped("tiles", cells * u64::from(CELL_WORDS) * 4, wgpu::BufferUsages::MAP_READ, false);
        let Self { resident, records, bitmap, .. } = self;
        let tile_diff = self.device.tile_diff.bind(device, &[&uniform, &jobs, &fresh, resident, records, bitmap]);
        let compact = self.device.compact.bind(device, &[&uniform, records, bitmap, resident, &head, &tiles]);
        let mapped = Arc::new(AtomicU32::new(MAPPINGS));
        Slot { uniform, jobs, fresh, head, tiles, tile_diff, compact, mapped }
    }

    /// Whether it is a picture of this size and kind on this device, which is not lost.
    pub fn fits(&self, device: &Arc<Device>, size: Size, mask: u32) -> bool {
        Arc::ptr_eq(&self.device, device) && (self.grid.size(), self.mask) == (size, mask)
    }

    /// Gives its device up.
    pub fn give_up(&self) {
        self.device.give_up();
    }

    /// Replaces the resident picture by these pixels, without gaps and without bits outside the mask.
    pub fn set(&mut self, pixels: &[u32]) {
        self.device.queue.write_buffer(&self.resident, 0, bytemuck::cast_slice(pixels));
    }

    /// Memory for a new picture; none when all is under way, or the device is lost.
    pub fn begin(&mut self) -> Option<Upload> {
        if self.free.is_empty() && self.slots.len() < SLOTS {
            let slot = checked(&self.device.device, || self.slot(self.grid.len() as u64)).ok()?;
            self.free.push(self.slots.len());
            self.slots.push(slot);
        }
        let slot = self.free.pop()?;
        match self.slots[slot].fresh.slice(..).get_mapped_range_mut() {
            Ok(view) => Some(Upload { slot, view }),
            Err(error) => {
                tracing::debug!(%error, "no memory for a new picture");
                None
            }
        }
    }

    /// Has the jobs of a new picture compared; `ring` is told when there is an answer.
    pub fn submit(&mut self, upload: Upload, jobs: &[Job], ring: &Ring) {
        let Upload { slot: index, view } = upload;
        drop(view);
        let Device { device, queue, tile_diff, compact, .. } = &*self.device;
        let wanted = size_of_val(jobs) as u64;
        if self.slots[index].jobs.size() < wanted {
            let jobs = plain(device, "jobs", wanted.next_power_of_two());
            let Slot { uniform, fresh, .. } = &self.slots[index];
            let bound = [uniform, &jobs, fresh, &self.resident, &self.records, &self.bitmap];
            let group = tile_diff.bind(device, &bound);
            self.slots[index].tile_diff = group;
            self.slots[index].jobs = jobs;
        }
        let slot = &self.slots[index];
        slot.fresh.unmap();
        let size = self.grid.size();
        let (cols, rows) = (u32::from(self.grid.cols()), u32::from(self.grid.rows()));
        let count = jobs.len() as u32;
        let (width, height) = (size.w.into(), size.h.into());
        let picture = Picture { width, height, cols, mask: self.mask, jobs: count };
        queue.write_buffer(&slot.uniform, 0, bytemuck::bytes_of(&picture));
        queue.write_buffer(&slot.jobs, 0, bytemuck::cast_slice(jobs));
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        encoder.clear_buffer(&self.records, 0, None);
        encoder.clear_buffer(&self.bitmap, 0, None);
        {
            let mut pass =
                encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: None });
            if count > 0 {
                // no side of a dispatch is longer than what every device takes
                let across = count.min(1024);
                pass.set_pipeline(&tile_diff.pipeline);
                pass.set_bind_group(0, &slot.tile_diff, &[]);
                pass.dispatch_workgroups(across, count.div_ceil(across), 1);
            }
            pass.set_pipeline(&compact.pipeline);
            pass.set_bind_group(0, &slot.compact, &[]);
            pass.dispatch_workgroups(cols, rows, 1);
        }
        let done = queue.submit([encoder.finish()]);
        self.await_slot(index, ring);
        self.device.watch(done);
    }

    /// Has the memory of a slot whose work was handed over given back once that is done, and then tells `ring`.
    pub(super) fn await_slot(&mut self, index: usize, ring: &Ring) {
        let slot = &self.slots[index];
        slot.mapped.store(0, Ordering::Release);
        for (buffer, mode) in
            [(&slot.head, wgpu::MapMode::Read), (&slot.tiles, wgpu::MapMode::Read), (&slot.fresh, wgpu::MapMode::Write)]
        {
            let (mapped, ring) = (Arc::clone(&slot.mapped), Arc::clone(ring));
            buffer.slice(..).map_async(mode, move |result| {
                let step = if result.is_ok() { 1 } else { FAILED };
                if mapped.fetch_add(step, Ordering::AcqRel) + step >= MAPPINGS {
                    ring();
                }
            });
        }
        self.flight.push_back(index);
    }

    /// What came of the oldest new picture under way. `read` is given the changed cells in their order, and of each 64 rows of 64 pixels.
    pub fn poll(&mut self, read: impl FnOnce(&[Place], &[u32])) -> Answer {
        let Some(&index) = self.flight.front() else { return Answer::Pending };
        if self.device.is_lost() {
            return Answer::Lost;
        }
        if let Err(error) = self.device.device.poll(wgpu::PollType::Poll) {
            tracing::debug!(%error, "GPU");
            return Answer::Lost;
        }
        match self.slots[index].mapped.load(Ordering::Acquire) {
            0..MAPPINGS => return Answer::Pending,
            MAPPINGS => {}
            _ => return Answer::Lost,
        }
        let Some(bytes) = self.read(index, read) else { return Answer::Lost };
        self.flight.pop_front();
        self.free.push(index);
        Answer::Done { bytes }
    }

    /// Reads what a slot brought; none when it makes no sense.
    fn read(&self, index: usize, read: impl FnOnce(&[Place], &[u32])) -> Option<u64> {
        let slot = &self.slots[index];
        let head = slot.head.slice(..).get_mapped_range().ok()?;
        let count = u64::from(*bytemuck::from_bytes::<u32>(head.get(..4)?));
        if count > self.grid.len() as u64 {
            tracing::warn!(count, "the GPU answers nonsense");
            return None;
        }
        let listed = head_bytes(count) as usize;
        let places: &[Place] = bytemuck::cast_slice(head.get(4 * HEAD_WORDS as usize..listed)?);
        let fits = |place: &Place| {
            let (cols, cell) = (usize::from(self.grid.cols()).max(1), place.cell as usize);
            let rect = self.grid.rect((cell % cols) as u16, (cell / cols) as u16);
            let [x0, y0, x1, y1] = place.extent().map(u16::from);
            cell < self.grid.len() && x0 < x1 && y0 < y1 && x1 <= rect.w && y1 <= rect.h
        };
        if let Some(place) = places.iter().find(|place| !fits(place)) {
            tracing::warn!(?place, "the GPU answers nonsense");
            return None;
        }
        let bytes = count * u64::from(CELL_WORDS) * 4;
        if count > 0 {
            let tiles = slot.tiles.slice(..bytes).get_mapped_range().ok()?;
            read(places, bytemuck::cast_slice(&tiles));
        } else {
            read(places, &[]);
        }
        drop(head);
        slot.head.unmap();
        slot.tiles.unmap();
        Some(head_bytes(count) + bytes)
    }

    /// New pictures under way.
    pub fn under_way(&self) -> usize {
        self.flight.len()
    }
}

fn head_bytes(cells: u64) -> u64 {
    4 * u64::from(HEAD_WORDS) + cells * size_of::<Place>() as u64
}

/// A whole picture without gaps, cell by cell.
pub(super) fn whole(size: Size) -> Vec<Job> {
    let grid = Grid::new(size);
    let cells = (0..grid.rows()).flat_map(|row| (0..grid.cols()).map(move |col| (col, row)));
    let job = |(col, row)| {
        let cell = grid.rect(col, row);
        let clip = u32::from_le_bytes([0, 0, cell.w as u8, cell.h as u8]);
        let (base, stride) = (u32::from(cell.y) * u32::from(size.w) + u32::from(cell.x), size.w.into());
        Job { cell: grid.index(col, row) as u32, clip, base, stride }
    };
    cells.map(job).collect()
}

/// A buffer in the device's own memory.
pub(super) fn plain(device: &wgpu::Device, label: &'static str, size: u64) -> wgpu::Buffer {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
}

/// Makes something on a device, or says why it cannot be made.
pub(super) fn checked<T>(device: &wgpu::Device, make: impl FnOnce() -> T) -> Result<T, String> {
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let valid = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let made = make();
    let failed = pollster::block_on(valid.pop());
    let failed = failed.or(pollster::block_on(memory.pop()));
    failed.map_or(Ok(made), |error| Err(one_line(&error)))
}

const _: () = assert!(CELL == crate::tile::CELL as u32, "shaders and engine cut pictures alike");
