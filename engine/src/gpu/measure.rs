//! What the two passes cost on a device: times that the GPU itself takes, and those of the processor around them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farpane_shaders::{Job, Picture};

use super::Ring;
use super::device::{Device, GpuError};
use super::handle::Gpu;
use super::jobs::whole;
use super::picture::{GpuPicture, checked, plain};
use crate::geometry::Size;

/// Stamps that one round takes: before and after the compare from the processor's memory, that from the device's own, the packing and the
/// plain copy.
const STAMPS: u32 = 8;
/// How long a round may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Medians over some rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpuTimes {
    /// Rounds.
    pub rounds: usize,
    /// Cells that changed, and came back.
    pub cells: u64,
    /// The processor puts the new picture into memory that the GPU reads.
    pub upload: Duration,
    /// The GPU compares it from there.
    pub compare_host: Duration,
    /// The GPU compares it from its own memory.
    pub compare: Duration,
    /// The GPU packs what changed.
    pub compact: Duration,
    /// The GPU copies as many bytes as a picture has inside its memory: the yardstick.
    pub copy: Duration,
    /// The processor reads what came back.
    pub read: Duration,
}

/// Times pictures of a size of which about so many percent of the cells change, for about so long, twice at least.
///
/// # Errors
/// When the device has no room, takes no times, or is lost meanwhile.
pub fn measure(gpu: &Gpu, size: Size, percent: u32, budget: Duration) -> Result<GpuTimes, GpuError> {
    let begun = Instant::now();
    let mut bench = Rounds::new(gpu, size)?;
    let mut rounds: Vec<GpuTimes> = Vec::new();
    while rounds.len() < 2 || begun.elapsed() < budget {
        rounds.push(bench.take(percent)?);
    }
    // the first round compiles and touches memory for the first time
    rounds.remove(0);
    let median = |of: fn(&GpuTimes) -> Duration| {
        let mut all: Vec<Duration> = rounds.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    Ok(GpuTimes {
        rounds: rounds.len(),
        cells: rounds.last().map_or(0, |round| round.cells),
        upload: median(|t| t.upload),
        compare_host: median(|t| t.compare_host),
        compare: median(|t| t.compare),
        compact: median(|t| t.compact),
        copy: median(|t| t.copy),
        read: median(|t| t.read),
    })
}

/// Takes the times of pictures of a size, one after the other.
///
/// Memory: on the device six pictures, three of them in memory that the processor sees; one here.
pub struct Rounds {
    device: Arc<Device>,
    picture: GpuPicture,
    size: Size,
    jobs: Vec<Job>,
    /// What is uploaded.
    fresh: Vec<u32>,
    /// What the cells that change next are filled with.
    flip: u32,
    /// The new picture in the device's memory, and where it is copied.
    local: wgpu::Buffer,
    copied: wgpu::Buffer,
    stamps: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    told: wgpu::Buffer,
}

impl Rounds {
    /// Prepares a device for them.
    ///
    /// # Errors
    /// When it has no room, takes no times, or is lost.
    pub fn new(gpu: &Gpu, size: Size) -> Result<Self, GpuError> {
        let unfit = |why: &str| GpuError::Unfit(gpu.adapter().to_string(), why.to_owned());
        let device = gpu.device(Instant::now()).ok_or_else(|| unfit("it is lost"))?;
        if !device.takes_times() {
            return Err(unfit("it takes no times"));
        }
        let mut picture = GpuPicture::new(Arc::clone(&device), size, u32::MAX)?;
        let fresh = vec![0; size.area() as usize];
        picture.set(&fresh);
        let room = |why| GpuError::Room(device.adapter().to_string(), size, why);
        let bytes = size.area() * 4;
        let raw = &device.device;
        checked(raw, || {
            let told = raw.create_buffer(&wgpu::BufferDescriptor {
                label: Some("told"),
                size: u64::from(STAMPS) * 8,
                usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                mapped_at_creation: false,
            });
            let resolved = raw.create_buffer(&wgpu::BufferDescriptor {
                label: Some("resolved"),
                size: u64::from(STAMPS) * 8,
                usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::QUERY_RESOLVE,
                mapped_at_creation: false,
            });
            let stamps = raw.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("stamps"),
                ty: wgpu::QueryType::Timestamp,
                count: STAMPS,
            });
            let copyable = |label| {
                let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
                raw.create_buffer(&wgpu::BufferDescriptor {
                    label: Some(label),
                    size: bytes,
                    usage,
                    mapped_at_creation: false,
                })
            };
            let (local, copied) = (copyable("local"), copyable("copied"));
            let (device, jobs) = (Arc::clone(&device), whole(size));
            Self { device, picture, size, jobs, fresh, flip: 0, local, copied, stamps, resolved, told }
        })
        .map_err(room)
    }

    /// Changes about so many percent of the cells and takes all times. The first one compiles and touches memory for the first time.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn take(&mut self, percent: u32) -> Result<GpuTimes, GpuError> {
        self.flip = self.flip % 2 + 1;
        self.round(percent).ok_or_else(|| GpuError::Unfit(self.device.adapter().to_string(), "it is lost".into()))
    }

    fn round(&mut self, percent: u32) -> Option<GpuTimes> {
        let flip = self.flip;
        let width = usize::from(self.size.w);
        for (i, job) in self.jobs.iter().enumerate() {
            // spread over the picture
            if (i as u32 * percent) % 100 < percent {
                let [_, _, w, h] = job.clip.to_le_bytes().map(usize::from);
                // of many colours, like a photograph: what costs most to bring back
                for y in 0..h {
                    let row = job.base + (y * width) as u32;
                    let noise = |x: u32| ((row + x) * 2 + flip).wrapping_mul(2_654_435_761) >> 8;
                    (0u32..).zip(&mut self.fresh[row as usize..][..w]).for_each(|(x, pixel)| *pixel = noise(x));
                }
            }
        }
        let begun = Instant::now();
        let mut upload = self.picture.begin()?;
        upload.write(0, &self.fresh);
        let uploaded = begun.elapsed();
        drop(upload.view);
        let slot = &self.picture.slots[upload.slot];
        let fresh = slot.fresh.as_ref()?;
        fresh.unmap();
        let Device { device, queue, tile_diff, palette_count, compact, .. } = &*self.device;
        let GpuPicture { resident, records, changed, grid, .. } = &self.picture;
        let count = self.jobs.len() as u32;
        let (width, height, cols) = (self.size.w.into(), self.size.h.into(), u32::from(grid.cols()));
        let shape = Picture { width, height, cols, mask: u32::MAX, jobs: count, texel: 0 };
        queue.write_buffer(&slot.uniform, 0, bytemuck::bytes_of(&shape));
        queue.write_buffer(&slot.jobs, 0, bytemuck::cast_slice(&self.jobs));
        queue.write_buffer(&self.local, 0, bytemuck::cast_slice(&self.fresh));
        let local = tile_diff.bind(device, [&slot.uniform, &slot.jobs, &self.local, resident, records, changed]);
        // the compare from the processor's memory goes to a picture of its own, so that the one that counts finds changes
        let aside = plain(device, "aside", self.size.area() * 4);
        let host = tile_diff.bind(device, [&slot.uniform, &slot.jobs, fresh, &aside, records, changed]);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        let across = count.min(1024);
        type Step<'a> = (&'a super::program::Program, &'a wgpu::BindGroup);
        // one workgroup for each of so many jobs, or for each cell that changed
        let timed = |encoder: &mut wgpu::CommandEncoder, at: u32, steps: &[Step<'_>], jobs: Option<u32>| {
            let timestamp_writes = Some(wgpu::ComputePassTimestampWrites {
                query_set: &self.stamps,
                beginning_of_pass_write_index: Some(at),
                end_of_pass_write_index: Some(at + 1),
            });
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes });
            for (program, group) in steps {
                pass.set_pipeline(&program.pipeline);
                pass.set_bind_group(0, *group, &[]);
                match jobs {
                    Some(jobs) => pass.dispatch_workgroups(across, jobs.div_ceil(across), 1),
                    None => pass.dispatch_workgroups_indirect(changed, 0),
                }
            }
        };
        self.picture.clear(upload.slot, &mut encoder);
        timed(&mut encoder, 0, &[(tile_diff, &host)], Some(count));
        self.picture.clear(upload.slot, &mut encoder);
        timed(&mut encoder, 2, &[(tile_diff, &local)], Some(count));
        let packing = [(palette_count, &slot.palette_count), (compact, &slot.compact)];
        timed(&mut encoder, 4, &packing, None);
        encoder.write_timestamp(&self.stamps, 6);
        encoder.copy_buffer_to_buffer(&self.local, 0, &self.copied, 0, None);
        encoder.write_timestamp(&self.stamps, 7);
        encoder.resolve_query_set(&self.stamps, 0..STAMPS, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.told, 0, None);
        let (done, _) = self.device.submit([encoder.finish()], None).ok()?;
        let index = upload.slot;
        let nobody: Ring = Arc::new(|| ());
        self.picture.await_slot(index, true, &nobody);
        self.told.slice(..).map_async(wgpu::MapMode::Read, |_| ());
        self.device.wait(done, PATIENCE);
        let (mut cells, mut read) = (0, Duration::ZERO);
        let mut copy = Vec::new();
        let from = Instant::now();
        self.picture.poll(|packed| {
            cells = packed.places().len() as u64;
            packed.unpack(&mut copy);
            read = from.elapsed();
        });
        let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&self.told.slice(..).get_mapped_range().ok()?);
        self.told.unmap();
        let period = f64::from(queue.get_timestamp_period());
        let between =
            |at: usize| Duration::from_nanos((stamps[at + 1].saturating_sub(stamps[at]) as f64 * period) as u64);
        (!self.device.is_lost() && copy.len() as u64 == cells * 4096).then(|| GpuTimes {
            rounds: 1,
            cells,
            upload: uploaded,
            compare_host: between(0),
            compare: between(2),
            compact: between(4),
            copy: between(6),
            read,
        })
    }
}
