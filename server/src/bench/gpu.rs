//! `farpane bench gpu`: what comparing a picture costs on a GPU and on the processor, side by side.

use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farpane_engine::damage::{CpuDamage, DamageEngine, Mirror, Progress};
use farpane_engine::frame::{Frame, Hint, Memory, Piece};
use farpane_engine::geometry::Size;
use farpane_engine::gpu::{Gpu, GpuError, GpuTimes, Kind, measure};
use farpane_engine::pixel::{Fourcc, Layout, Modifier};
use serde::Serialize;

use super::median;

/// The pictures: one monitor, a larger one, three of these side by side.
const SIZES: [Size; 3] = [Size::new(1920, 1080), Size::new(3840, 2160), Size::new(11_520, 2160)];
/// How many of a hundred cells change.
const CHANGES: [u32; 5] = [0, 1, 5, 25, 100];

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct GpuReport {
    /// farpane's version.
    pub version: String,
    /// The device, its kind and its driver.
    pub device: String,
    /// What of others it reads where it lies.
    pub takes: String,
    /// Whether it is a program on the processor, whose times say nothing about graphics hardware.
    pub software: bool,
    /// One row for each picture and share of it that changes.
    pub rows: Vec<GpuRow>,
    /// Rows that could not be measured.
    pub missing: Vec<String>,
}

/// A picture of which a part changes. Times are medians in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct GpuRow {
    /// The picture's width.
    pub width: u16,
    /// The picture's height.
    pub height: u16,
    /// How many of a hundred cells change, about.
    pub changed_percent: u32,
    /// Cells that came back.
    pub cells: u64,
    /// Rounds that were timed.
    pub runs: usize,
    /// The processor puts the picture into memory that the GPU reads.
    pub upload_ms: f64,
    /// The GPU compares it from there.
    pub compare_host_ms: f64,
    /// The GPU compares it from its own memory.
    pub compare_ms: f64,
    /// The GPU packs the cells that changed.
    pub compact_ms: f64,
    /// The GPU copies as many bytes inside its memory.
    pub copy_ms: f64,
    /// The processor reads the cells that came back.
    pub read_ms: f64,
    /// The processor compares the picture in its memory on all cores, and copies what changed.
    pub cpu_ms: f64,
}

/// Measures every picture on a device, for about so long in all.
pub fn run(gpu: &Gpu, budget: Duration) -> GpuReport {
    let mut report = GpuReport {
        version: env!("CARGO_PKG_VERSION").into(),
        device: gpu.adapter().to_string(),
        takes: gpu.adapter().paths.to_string(),
        software: gpu.adapter().kind == Kind::Software,
        rows: Vec::new(),
        missing: Vec::new(),
    };
    let share = budget / (SIZES.len() * CHANGES.len() * 2) as u32;
    for size in SIZES {
        for percent in CHANGES {
            match row(gpu, size, percent, share) {
                Ok(row) => report.rows.push(row),
                Err(error) => report.missing.push(format!("{size}, {percent} %: {error}")),
            }
        }
    }
    report
}

fn row(gpu: &Gpu, size: Size, percent: u32, share: Duration) -> Result<GpuRow, GpuError> {
    let GpuTimes { rounds, cells, upload, compare_host, compare, compact, copy, read } =
        measure(gpu, size, percent, share)?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(GpuRow {
        width: size.w,
        height: size.h,
        changed_percent: percent,
        cells,
        runs: rounds,
        upload_ms: ms(upload),
        compare_host_ms: ms(compare_host),
        compare_ms: ms(compare),
        compact_ms: ms(compact),
        copy_ms: ms(copy),
        read_ms: ms(read),
        cpu_ms: ms(on_cpu(size, percent, share)),
    })
}

/// The same on the processor.
fn on_cpu(size: Size, percent: u32, share: Duration) -> Duration {
    let begun = Instant::now();
    let (cols, width) = (usize::from(size.w).div_ceil(64), usize::from(size.w));
    let [one, other]: [Arc<[u32]>; 2] = [1, 2].map(|value| {
        let changes = |i: usize| ((i / width / 64 * cols + i % width / 64) as u32 * percent) % 100 < percent;
        (0..width * usize::from(size.h)).map(|i| if changes(i) { value } else { 0 }).collect()
    });
    let mirror = Mirror::new(size, Layout::BGRX, begun);
    let mut engine = CpuDamage::new();
    let mut times = Vec::new();
    while times.len() < 3 || begun.elapsed() < share {
        let frame = Frame {
            size,
            fourcc: Fourcc::XRGB8888,
            modifier: Modifier::LINEAR,
            pieces: vec![Piece { rect: size.rect(), offset: 0, stride: width * 4 }],
            memory: Memory::Heap(Arc::clone(if times.len() % 2 == 0 { &one } else { &other })),
            hint: Hint::Everything,
            acquire: None,
            seq: 0,
            captured_at: begun,
            release: None,
        };
        let from = Instant::now();
        let ticket = engine.submit(frame, &mirror, from);
        if let Progress::Done(damage) = engine.poll(ticket, &mirror, from) {
            times.push(from.elapsed());
            engine.recycle(damage);
        }
    }
    // the first two touch memory for the first time
    times.drain(..2);
    median(&mut times).unwrap_or_default()
}

impl GpuReport {
    /// The report as one JSON object with a line's end.
    ///
    /// # Errors
    /// When a figure is no number.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Display for GpuReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, device, takes, .. } = self;
        writeln!(f, "farpane {version} on {device}; takes {takes}")?;
        if self.software {
            writeln!(f, "a program that plays a GPU: its times say nothing about graphics hardware")?;
        }
        writeln!(
            f,
            "milliseconds\n{:>10} {:>7} {:>6} {:>8} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>5}",
            "size", "changed", "cells", "upload", "cmp host", "compare", "compact", "copy", "read", "cpu", "runs"
        )?;
        for r in &self.rows {
            let size = format!("{}x{}", r.width, r.height);
            writeln!(
                f,
                "{size:>10} {:>5} % {:>6} {:>8.3} {:>9.3} {:>8.3} {:>8.3} {:>8.3} {:>8.3} {:>8.3} {:>5}",
                r.changed_percent,
                r.cells,
                r.upload_ms,
                r.compare_host_ms,
                r.compare_ms,
                r.compact_ms,
                r.copy_ms,
                r.read_ms,
                r.cpu_ms,
                r.runs
            )?;
        }
        for row in &self.missing {
            writeln!(f, "NOT MEASURED {row}")?;
        }
        Ok(())
    }
}
