//! The self-measurement: captures a picture of the user's desktop where there is one, and measures on it and on made ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farpane_engine::capture::{Doorbell, Source, SourceEvent};
use farpane_engine::damage::{CpuDamage, DamageEngine, Mirror, Progress};
use farpane_engine::frame::Frame;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;

use crate::backend::SourceSpec;
use crate::bench::{self, Captured, Clocks, Picture, Plan};
use crate::clipboard::ClipboardOptions;
use crate::config::LogSection;

use super::{AppError, logging, record, run};

pub use crate::bench::Encoder;

/// How long a desktop may take to be opened, and then to show its first picture.
const PATIENCE: Duration = Duration::from_secs(5);
/// Captures that are timed at most.
const CAPTURES: usize = 15;

/// What the user wants to know.
#[derive(Clone, Debug)]
pub struct Benchmark {
    /// The desktop to capture one picture of.
    pub source: SourceSpec,
    /// The encoders to measure; none means all.
    pub encoders: Vec<Encoder>,
    /// About how long it may take.
    pub seconds: u32,
    /// JSON instead of a table.
    pub json: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The table, or the JSON.
    pub text: String,
    /// Rows that were wrong and have no figures.
    pub excluded: usize,
}

/// Measures and returns the table or the JSON. That there is no desktop is said on stderr and is no failure.
///
/// # Errors
/// When the report cannot be written as JSON.
pub fn bench(wish: &Benchmark, log: LogSection) -> Result<Measured, AppError> {
    logging::start(log);
    let budget = Duration::from_secs(wish.seconds.into());
    let begun = Instant::now();
    let desktop = capture(&wish.source, budget / 10);
    if let Err(why) = &desktop {
        eprintln!("farpane: no picture of a desktop ({why}); going on with the built-in ones");
    }
    let mut encoders = if wish.encoders.is_empty() { Encoder::ALL.to_vec() } else { Vec::new() };
    for encoder in &wish.encoders {
        if !encoders.contains(encoder) {
            encoders.push(*encoder);
        }
    }
    let wall = || begun.elapsed();
    let plan = Plan { encoders, size: bench::BUILT_IN, budget: budget.saturating_sub(begun.elapsed()), desktop };
    let report = bench::run(plan, Clocks { cpu: &thread_cpu, wall: &wall });
    let text = if wish.json { report.json().map_err(AppError::failed)? } else { report.to_string() };
    Ok(Measured { text, excluded: report.excluded.len() })
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

/// A picture of the first output of a desktop, captured a few times.
fn capture(spec: &SourceSpec, time: Duration) -> Result<Captured, String> {
    let failed = |e: std::io::Error| format!("no resources to run: {e}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let opened = runtime.block_on(async {
        let (events, mut received) = mpsc::unbounded_channel();
        let opening = async {
            let backend = run::open(spec.clone(), ClipboardOptions::default(), events).await?;
            let (_, source) = record::choose(&mut received, None, &backend.name()).await?;
            Ok::<_, AppError>((backend, source))
        };
        tokio::time::timeout(PATIENCE, opening).await
    });
    let result = match opened {
        Err(_) => Err(format!("{spec} did not open within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok((backend, mut source))) => {
            let captured = frames(source.as_mut(), &backend.name(), time);
            source.stop();
            captured
        }
    };
    // a thread that waits for a dead desktop must not hold up the rest
    runtime.shutdown_background();
    result
}

fn frames(source: &mut dyn Source, what: &str, time: Duration) -> Result<Captured, String> {
    let bell = Doorbell::new();
    let begun = Instant::now();
    let (mut times, mut mirror) = (Vec::new(), None);
    while times.len() < CAPTURES && (mirror.is_none() || begun.elapsed() < time) {
        let before = Instant::now();
        source.start(Arc::clone(&bell)).map_err(|e| e.to_string())?;
        let frame = whole_frame(source, &bell, before + PATIENCE)?;
        times.push(before.elapsed());
        if mirror.is_none() {
            mirror = Some(keep(frame)?);
        }
        source.stop();
    }
    let mirror = mirror.ok_or("no picture came")?;
    Ok(Captured { picture: Picture { name: "desktop".into(), what: what.into(), mirror }, times })
}

fn whole_frame(source: &mut dyn Source, bell: &Doorbell, until: Instant) -> Result<Frame, String> {
    loop {
        let now = Instant::now();
        match source.take(now) {
            Some(SourceEvent::Frame(frame)) => {
                let has: u64 = frame.pieces.iter().map(|p| p.rect.area()).sum();
                return if has >= frame.size.area() { Ok(frame) } else { Err("only part of a picture came".into()) };
            }
            Some(SourceEvent::Resized(_)) => {}
            Some(SourceEvent::Lost(error)) => return Err(error.to_string()),
            None if now >= until => return Err(format!("no picture came within {} s", PATIENCE.as_secs())),
            None => {
                let due = source.next_due().map_or(until, |due| due.min(until));
                bell.wait(Some(due));
            }
        }
    }
}

/// The frame's pixels in a mirror of their own.
fn keep(frame: Frame) -> Result<Mirror, String> {
    let layout = frame.fourcc.layout().ok_or_else(|| format!("the format {:?} is not handled", frame.fourcc))?;
    let now = frame.captured_at;
    let mirror = Mirror::new(frame.size, layout, now);
    let mut engine = CpuDamage::new();
    let ticket = engine.submit(frame, &mirror, now);
    match engine.poll(ticket, &mirror, now) {
        Progress::Done(_) => Ok(mirror),
        Progress::Pending | Progress::Failed { .. } => Err("the picture could not be read".into()),
    }
}
