//! An output's picture in a device's memory.
//!
//! A new picture lies in memory of its source that the device has taken, or is put into memory that both see and that the GPU reads once.
//! Passes then compare it with the resident picture, bring that up to date, and pack what changed into memory that the processor reads, cells
//! of few colours as indices: what crosses the bus is what changed, or less, and a list of it. Pictures that do not lie in rows are read as images.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use farpane_shaders::{CELL, CELL_WORDS, CHANGED_WORDS, FEW, HEAD_WORDS, Job, Picture, Place, Record};

use super::Ring;
use super::device::{Device, GpuError, one_line};
use super::foreign::Owner;
use super::imports::{Fresh, Import, Imports};
use super::packed::PackedCells;
use super::vulkan::Wait;
use crate::frame::Frame;
use crate::geometry::Size;
use crate::pixel::Layout;
use crate::tile::Grid;

/// New pictures that may be under way at once.
const SLOTS: usize = 2;
/// In [`Slot::waits`]: a mapping failed.
const FAILED: u32 = 1 << 16;

/// A picture that stays on a device.
pub struct GpuPicture {
    device: Arc<Device>,
    pub(super) grid: Grid,
    mask: u32,
    pub(super) resident: wgpu::Buffer,
    pub(super) records: wgpu::Buffer,
    /// Which cells changed, and the arguments of a dispatch of one workgroup for each.
    pub(super) changed: wgpu::Buffer,
    /// How many colours each changed cell has,
    pub(super) counts: wgpu::Buffer,
    /// and which.
    pub(super) colours: wgpu::Buffer,
    pub(super) slots: Vec<Slot>,
    free: Vec<usize>,
    flight: VecDeque<usize>,
    last: Option<wgpu::SubmissionIndex>,
    imports: Imports,
}

/// What one new picture needs on its way.
pub(super) struct Slot {
    pub(super) uniform: wgpu::Buffer,
    pub(super) jobs: wgpu::Buffer,
    /// Memory for a picture that has to be put somewhere; made when it is first wanted.
    pub(super) fresh: Option<wgpu::Buffer>,
    head: wgpu::Buffer,
    tiles: wgpu::Buffer,
    pub(super) palette_count: wgpu::BindGroup,
    pub(super) compact: wgpu::BindGroup,
    /// Mappings that are not there yet.
    waits: Arc<AtomicU32>,
    /// What the work waited for, and what it reads.
    fence: Option<Wait>,
    import: Option<Import>,
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
        let [resident, records, changed, counts, colours] = checked(&device.device, || {
            let buffer = |label, bytes| plain(&device.device, label, bytes);
            [
                buffer("resident", size.area().max(1) * 4),
                buffer("records", cells * size_of::<Record>() as u64),
                list(&device.device, cells),
                buffer("counts", cells * 4),
                buffer("colours", cells * u64::from(FEW) * 4),
            ]
        })
        .map_err(room)?;
        let mut picture = Self {
            device: Arc::clone(&device),
            grid,
            mask,
            resident,
            records,
            changed,
            counts,
            colours,
            slots: Vec::new(),
            free: Vec::new(),
            flight: VecDeque::new(),
            last: None,
            imports: Imports::default(),
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
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("picture"),
            size: size_of::<Picture>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let jobs = plain(device, "jobs", jobs * size_of::<Job>() as u64);
        let cleared = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let head = mapped(device, "head", head_bytes(cells), cleared);
        let tiles = mapped(device, "tiles", cells * u64::from(CELL_WORDS) * 4, wgpu::BufferUsages::MAP_READ);
        let Self { resident, records, changed, counts, colours, .. } = self;
        let palette_count = self.device.palette_count.bind(device, [&uniform, changed, resident, counts, colours]);
        let compact =
            self.device.compact.bind(device, [&uniform, changed, records, counts, colours, resident, &head, &tiles]);
        let waits = Arc::new(AtomicU32::new(0));
        Slot { uniform, jobs, fresh: None, head, tiles, palette_count, compact, waits, fence: None, import: None }
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

    /// A slot that nothing is under way in; none when all are taken, or the device has no room for another.
    fn free_slot(&mut self) -> Option<usize> {
        if self.free.is_empty() && self.slots.len() < SLOTS {
            let slot = checked(&self.device.device, || self.slot(self.grid.len() as u64)).ok()?;
            self.free.push(self.slots.len());
            self.slots.push(slot);
        }
        self.free.pop()
    }

    /// Memory for a new picture; none when all is under way, or the device is lost.
    pub fn begin(&mut self) -> Option<Upload> {
        let slot = self.free_slot()?;
        let view = self.fresh(slot).and_then(|fresh| match fresh.slice(..).get_mapped_range_mut() {
            Ok(view) => Some(view),
            Err(error) => {
                tracing::debug!(%error, "no memory for a new picture");
                None
            }
        });
        match view {
            Some(view) => Some(Upload { slot, view }),
            None => {
                self.free.push(slot);
                None
            }
        }
    }

    /// A slot's memory for a picture, mapped.
    fn fresh(&mut self, slot: usize) -> Option<&wgpu::Buffer> {
        if self.slots[slot].fresh.is_none() {
            let (device, size) = (&self.device.device, self.grid.size().area().max(1) * 4);
            let make = || {
                let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::STORAGE;
                let label = Some("fresh");
                device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: true })
            };
            self.slots[slot].fresh = checked(device, make).ok();
        }
        self.slots[slot].fresh.as_ref()
    }

    /// Takes the memory that a frame lies in; the same memory again costs nothing.
    ///
    /// # Errors
    /// When the device does not take it.
    pub fn import(&mut self, frame: &Frame) -> Result<Import, String> {
        self.imports.of(&self.device, frame)
    }

    /// Has the jobs of a new picture compared; `ring` is told when there is an answer.
    pub fn submit(&mut self, upload: Upload, jobs: &[Job], ring: &Ring) {
        let Upload { slot, view } = upload;
        drop(view);
        let Some(fresh) = self.slots[slot].fresh.clone() else { return };
        fresh.unmap();
        // what waits for no fence is not refused
        let _ = self.run(slot, &Fresh::Words(&fresh), None, None, jobs, ring);
    }

    /// The same for a picture that lies in memory of its source; an image has the jobs of rows without gaps. Work begins once the fence has
    /// signalled.
    ///
    /// # Errors
    /// When all is under way, or the device cannot wait for the fence.
    pub fn submit_import(
        &mut self,
        import: &Import,
        fence: Option<OwnedFd>,
        jobs: &[Job],
        ring: &Ring,
    ) -> Result<(), String> {
        let slot = self.free_slot().ok_or("all is under way")?;
        let done = self.run(slot, &import.fresh(), Some(import), fence, jobs, ring);
        if done.is_err() {
            self.free.push(slot);
        }
        done
    }

    /// Hands a slot's work over.
    fn run(
        &mut self,
        index: usize,
        fresh: &Fresh<'_>,
        import: Option<&Import>,
        fence: Option<OwnedFd>,
        jobs: &[Job],
        ring: &Ring,
    ) -> Result<(), String> {
        let Device { device, queue, tile_diff, image_diff, palette_count, compact, .. } = &*self.device;
        let wanted = size_of_val(jobs) as u64;
        if self.slots[index].jobs.size() < wanted {
            self.slots[index].jobs = plain(device, "jobs", wanted.next_power_of_two());
        }
        let slot = &self.slots[index];
        let size = self.grid.size();
        let cols = u32::from(self.grid.cols());
        let count = jobs.len() as u32;
        let (width, height) = (size.w.into(), size.h.into());
        let (diff, fresh, texel) = match *fresh {
            Fresh::Words(words) => (tile_diff, words.as_entire_binding(), 0),
            Fresh::Texels(view, layout) => (image_diff, wgpu::BindingResource::TextureView(view), texel(layout)),
        };
        let picture = Picture { width, height, cols, mask: self.mask, jobs: count, texel };
        queue.write_buffer(&slot.uniform, 0, bytemuck::bytes_of(&picture));
        queue.write_buffer(&slot.jobs, 0, bytemuck::cast_slice(jobs));
        let all = wgpu::Buffer::as_entire_binding;
        let [uniform, listed, resident, records, changed] =
            [&slot.uniform, &slot.jobs, &self.resident, &self.records, &self.changed].map(all);
        let group = diff.bind_all(device, [uniform, listed, fresh, resident, records, changed]);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        self.clear(index, &mut encoder);
        {
            let mut pass =
                encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: None });
            if count > 0 {
                // no side of a dispatch is longer than what every device takes
                let across = count.min(1024);
                pass.set_pipeline(&diff.pipeline);
                pass.set_bind_group(0, &group, &[]);
                pass.dispatch_workgroups(across, count.div_ceil(across), 1);
            }
            for (program, group) in [(palette_count, &slot.palette_count), (compact, &slot.compact)] {
                pass.set_pipeline(&program.pipeline);
                pass.set_bind_group(0, group, &[]);
                pass.dispatch_workgroups_indirect(&self.changed, 0);
            }
        }
        let foreign = import.and_then(Import::foreign);
        let hand = |to| foreign.map(|what| self.device.vulkan.hand(what, to));
        let work = hand(Owner::Ours).into_iter().chain([encoder.finish()]).chain(hand(Owner::Theirs));
        let (done, fence) = self.device.submit(work, fence)?;
        self.slots[index].fence = fence;
        self.slots[index].import = import.cloned();
        self.await_slot(index, import.is_none(), ring);
        self.device.watch(done.clone());
        self.last = Some(done);
        Ok(())
    }

    /// Clears what the shaders add to, before the work of a slot.
    pub(super) fn clear(&self, index: usize, encoder: &mut wgpu::CommandEncoder) {
        encoder.clear_buffer(&self.records, 0, None);
        encoder.clear_buffer(&self.changed, 0, Some(list_bytes(0)));
        encoder.clear_buffer(&self.counts, 0, None);
        encoder.clear_buffer(&self.slots[index].head, 0, Some(head_bytes(0)));
    }

    /// Has the memory of a slot whose work was handed over given back once that is done, and then tells `ring`.
    pub(super) fn await_slot(&mut self, index: usize, uploaded: bool, ring: &Ring) {
        let slot = &self.slots[index];
        let read = [(&slot.head, wgpu::MapMode::Read), (&slot.tiles, wgpu::MapMode::Read)];
        // of memory that was put elsewhere this is already mapped
        let fresh = slot.fresh.as_ref().filter(|_| uploaded).map(|fresh| (fresh, wgpu::MapMode::Write));
        slot.waits.store(2 + u32::from(fresh.is_some()), Ordering::Release);
        for (buffer, mode) in read.into_iter().chain(fresh) {
            let (waits, ring) = (Arc::clone(&slot.waits), Arc::clone(ring));
            buffer.slice(..).map_async(mode, move |result| {
                let last = match result {
                    Ok(()) => waits.fetch_sub(1, Ordering::AcqRel) == 1,
                    Err(_) => waits.fetch_or(FAILED, Ordering::AcqRel) > 0,
                };
                if last {
                    ring();
                }
            });
        }
        self.flight.push_back(index);
    }

    /// What came of the oldest new picture under way. `read` is given the changed cells in their order.
    pub fn poll(&mut self, read: impl FnOnce(PackedCells<'_>)) -> Answer {
        let Some(&index) = self.flight.front() else { return Answer::Pending };
        if self.device.is_lost() {
            return Answer::Lost;
        }
        if let Err(error) = self.device.device.poll(wgpu::PollType::Poll) {
            tracing::debug!(%error, "GPU");
            return Answer::Lost;
        }
        match self.slots[index].waits.load(Ordering::Acquire) {
            0 => {}
            1..FAILED => return Answer::Pending,
            _ => return Answer::Lost,
        }
        let Some(bytes) = self.read(index, read) else { return Answer::Lost };
        self.flight.pop_front();
        self.free.push(index);
        self.slots[index].import = None;
        if let Some(fence) = self.slots[index].fence.take() {
            self.device.vulkan.done(fence);
        }
        Answer::Done { bytes }
    }

    /// Reads what a slot brought; none when it makes no sense.
    fn read(&self, index: usize, read: impl FnOnce(PackedCells<'_>)) -> Option<u64> {
        let slot = &self.slots[index];
        let head = slot.head.slice(..).get_mapped_range().ok()?;
        let [count, words] = *bytemuck::from_bytes::<[u32; 2]>(head.get(..8)?);
        let (count, words) = (u64::from(count), u64::from(words));
        if count > self.grid.len() as u64 || words > count * u64::from(CELL_WORDS) {
            tracing::warn!(count, words, "the GPU answers nonsense");
            return None;
        }
        let listed = head_bytes(count) as usize;
        let places: &[Place] = bytemuck::cast_slice(head.get(4 * HEAD_WORDS as usize..listed)?);
        let tiles = match words {
            0 => None,
            words => Some(slot.tiles.slice(..words * 4).get_mapped_range().ok()?),
        };
        let tiles_words: &[u32] = tiles.as_deref().map(bytemuck::cast_slice).unwrap_or_default();
        let Some(packed) = PackedCells::new(&self.grid, places, tiles_words) else {
            tracing::warn!(?places, "the GPU answers nonsense");
            return None;
        };
        read(packed);
        drop(tiles);
        drop(head);
        slot.head.unmap();
        slot.tiles.unmap();
        Some(head_bytes(count) + words * 4)
    }

    /// Waits until nothing reads memory of a source any more, at most for so long; a device that takes longer is given up.
    pub fn finish(&self, limit: Duration) {
        let Some(last) = self.last.clone().filter(|_| !self.flight.is_empty()) else { return };
        if !self.device.wait(last, limit) {
            self.give_up();
        }
    }

    /// Lets go of all memory of sources, once the device is done with it.
    pub fn let_go(&mut self) {
        self.imports = Imports::default();
        self.slots.iter_mut().for_each(|slot| slot.import = None);
        // wgpu lets go of what was dropped when it looks
        let _ = self.device.device.poll(wgpu::PollType::Poll);
    }

    /// New pictures under way.
    pub fn under_way(&self) -> usize {
        self.flight.len()
    }
}

fn head_bytes(cells: u64) -> u64 {
    4 * u64::from(HEAD_WORDS) + cells * size_of::<Place>() as u64
}

fn list_bytes(cells: u64) -> u64 {
    4 * (u64::from(CHANGED_WORDS) + cells)
}

/// A list of that many cells, of which a dispatch is told.
fn list(device: &wgpu::Device, cells: u64) -> wgpu::Buffer {
    let (label, size) = (Some("changed"), list_bytes(cells));
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::INDIRECT;
    device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false })
}

/// What a shader is told of texels with these channels.
fn texel(layout: Layout) -> u32 {
    u32::from_le_bytes([layout.r_shift, layout.g_shift, layout.b_shift, layout.bits])
}

/// A buffer in memory that the processor maps.
fn mapped(device: &wgpu::Device, label: &'static str, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    let usage = usage | wgpu::BufferUsages::STORAGE;
    device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
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
