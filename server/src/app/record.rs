//! Recording: what one output shows, written into a trace until a signal or a bound ends it.
//!
//! No viewer is needed: a thread owns the output's source as a pipeline's would, and asks it for the newest picture whenever it
//! rang or its time came. Writing happens on that thread too, so a slow disk means fewer pictures and never a queue.

use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use farpane_engine::capture::replay::{TraceError, TraceWriter};
use farpane_engine::capture::{Doorbell, OutputInfo, Source, SourceEvent};
use farpane_engine::frame::Frame;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::backend::{BackendEvent, Layout, OutputId, SourceSpec};
use crate::clipboard::ClipboardOptions;
use crate::config::LogSection;

use super::{AppError, logging, run};

/// Pictures are at least this far apart: a little closer than those of the fastest scene.
const PACE: Duration = Duration::from_millis(4);

/// What is to be recorded.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What to record; no trace.
    pub source: SourceSpec,
    /// The output by its name, else the first.
    pub output: Option<String>,
    /// The trace to be made.
    pub file: PathBuf,
    /// An existing file may be overwritten.
    pub force: bool,
    /// Ends after so many seconds.
    pub seconds: Option<u32>,
    /// Ends after so many pictures that differ from the one before.
    pub frames: Option<u64>,
}

/// What was recorded.
#[derive(Clone, Debug, Default)]
struct Recorded {
    frames: u64,
    length: Duration,
    bytes: u64,
}

/// What came of a recording.
struct Outcome {
    recorded: Recorded,
    /// Why it could not go on, if it could not.
    failed: Option<String>,
}

/// Records an output into a file and prints what was recorded.
///
/// # Errors
/// When the source cannot be opened, the file cannot be made, or either failed before the end; what was recorded until then stays.
pub fn record(wish: Recording, log: LogSection) -> Result<(), AppError> {
    if let SourceSpec::Replay(file) = &wish.source {
        let file = file.display();
        return Err(AppError::Usage(format!("source replay:{file} is a recording already; copy the file instead")));
    }
    logging::start(log);
    if !wish.force && wish.file.symlink_metadata().is_ok() {
        return Err(AppError::Failed(there_already(&wish.file)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| AppError::Failed(format!("no resources to run: {e}")))?;
    let result = runtime.block_on(to_the_end(&wish));
    // A thread that waits for a dead desktop must not hold up the end.
    runtime.shutdown_background();
    let Outcome { recorded: Recorded { frames, length, bytes }, failed } = result?;
    let file = wish.file.display();
    if frames > 0 {
        let seconds = length.as_secs_f64();
        println!("farpane: recorded {file} (frames: {frames}, seconds: {seconds:.2}, bytes: {bytes})");
    }
    match failed {
        Some(reason) if frames > 0 => Err(AppError::Failed(format!("{reason}; what was recorded until then plays"))),
        Some(reason) => Err(AppError::Failed(reason)),
        None if frames == 0 => Err(AppError::Failed(format!("no picture came: {file} was not made"))),
        None => Ok(()),
    }
}

fn there_already(file: &Path) -> String {
    format!("{} is there already; name another file, or overwrite it with --force", file.display())
}

async fn to_the_end(wish: &Recording) -> Result<Outcome, AppError> {
    let mut term = signal(SignalKind::terminate()).map_err(AppError::failed)?;
    let mut int = signal(SignalKind::interrupt()).map_err(AppError::failed)?;
    let (events, mut received) = mpsc::unbounded_channel();
    let early = |name| Err(AppError::Failed(format!("ended by {name} before anything was recorded")));
    let opening = async {
        let backend = run::open(wish.source.clone(), ClipboardOptions::default(), events).await?;
        let chosen = choose(&mut received, wish.output.as_deref(), &backend.name()).await?;
        Ok::<_, AppError>((backend, chosen))
    };
    let (backend, (id, source)) = tokio::select! {
        opened = opening => opened?,
        _ = term.recv() => return early("SIGTERM"),
        _ = int.recv() => return early("SIGINT"),
    };
    let bell = Doorbell::new();
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, told) = oneshot::channel();
    let scribe = Scribe { source, bell: Arc::clone(&bell), stop: Arc::clone(&stop), wish: wish.clone(), trace: None };
    std::thread::Builder::new()
        .name("record".into())
        .spawn(move || scribe.run(tell))
        .map_err(|e| AppError::Failed(format!("no thread to record with: {e}")))?;
    tokio::pin!(told);
    let (mut gone, mut silent) = (None, false);
    let outcome = loop {
        tokio::select! {
            outcome = &mut told => break outcome,
            _ = term.recv() => tracing::info!(signal = "SIGTERM", "ends"),
            _ = int.recv() => tracing::info!(signal = "SIGINT", "ends"),
            event = received.recv(), if gone.is_none() && !silent => match event {
                Some(BackendEvent::Lost(reason)) => gone = Some(reason),
                Some(BackendEvent::OutputRemoved(removed)) if removed == id => gone = Some("the output is gone".into()),
                other => {
                    // a desktop on which nothing can happen says so at once
                    silent = other.is_none();
                    continue;
                }
            },
        }
        stop.store(true, Ordering::Release);
        bell.ring();
    };
    // Closing a desktop may wait for it.
    tokio::task::spawn_blocking(move || drop(backend));
    let Outcome { recorded, failed } = outcome.map_err(|_| AppError::Failed("the recording broke down".into()))?;
    Ok(Outcome { recorded, failed: failed.or(gone) })
}

/// Waits for the desktop's outputs and takes the source of the named one, or of the first.
pub(super) async fn choose(
    events: &mut mpsc::UnboundedReceiver<BackendEvent>,
    name: Option<&str>,
    desktop: &str,
) -> Result<(OutputId, Box<dyn Source>), AppError> {
    let mut sources = Vec::new();
    let layout = async {
        loop {
            match events.recv().await {
                Some(BackendEvent::OutputAdded(id, source)) => sources.push((id, source)),
                Some(BackendEvent::OutputRemoved(gone)) => sources.retain(|(id, _)| *id != gone),
                Some(BackendEvent::LayoutChanged(layout)) if !layout.outputs.is_empty() => break Some(layout),
                Some(BackendEvent::Lost(_)) | None => break None,
                Some(_) => {}
            }
        }
    };
    let late = |_| AppError::Failed(format!("{desktop} told no outputs within {} s", run::READY.as_secs()));
    let layout: Layout = tokio::time::timeout(run::READY, layout)
        .await
        .map_err(late)?
        .ok_or_else(|| AppError::Failed(format!("{desktop} is gone")))?;
    let found = match name {
        None => layout.outputs.first(),
        Some(name) => layout.outputs.iter().find(|o| o.name == name),
    };
    let at = found.and_then(|o| sources.iter().position(|(id, _)| *id == o.id));
    at.map(|at| sources.swap_remove(at)).ok_or_else(|| {
        let names: Vec<&str> = layout.outputs.iter().map(|o| o.name.as_str()).collect();
        AppError::Failed(format!("output {:?} (expected {})", name.unwrap_or_default(), names.join(", ")))
    })
}

/// The thread that records.
struct Scribe {
    source: Box<dyn Source>,
    bell: Arc<Doorbell>,
    stop: Arc<AtomicBool>,
    wish: Recording,
    trace: Option<TraceWriter<BufWriter<File>>>,
}

impl Scribe {
    fn run(mut self, tell: oneshot::Sender<Outcome>) {
        let mut recorded = Recorded::default();
        let mut failed = self.follow(&mut recorded).err();
        if let Some(trace) = self.trace.take()
            && let Err(error) = trace.finish(Instant::now())
        {
            failed = failed.or_else(|| Some(self.name_it(&error)));
        }
        if recorded.frames > 0 {
            recorded.bytes = self.wish.file.metadata().map_or(0, |m| m.len());
        }
        // Whoever waits is told first: a dead desktop may take its time to be stopped.
        let _ = tell.send(Outcome { recorded, failed });
        self.source.stop();
    }

    fn name_it(&self, error: &TraceError) -> String {
        format!("{}: {error}", self.wish.file.display())
    }

    /// What could not be written ends the trace there: nothing may follow a half-written record.
    fn cut<T>(&mut self, wrote: Result<T, TraceError>) -> Result<T, String> {
        wrote.map_err(|error| {
            self.trace = None;
            self.name_it(&error)
        })
    }

    fn follow(&mut self, recorded: &mut Recorded) -> Result<(), String> {
        self.source.start(Arc::clone(&self.bell)).map_err(|e| e.to_string())?;
        let begun = Instant::now();
        let until = self.wish.seconds.map(|s| begun + Duration::from_secs(u64::from(s)));
        let mut first = None;
        loop {
            let now = Instant::now();
            recorded.length = first.map_or(Duration::ZERO, |first| now.saturating_duration_since(first));
            let enough = self.wish.frames.is_some_and(|n| recorded.frames >= n) || until.is_some_and(|t| now >= t);
            if enough || self.stop.load(Ordering::Acquire) {
                return Ok(());
            }
            match self.source.take(now) {
                Some(SourceEvent::Frame(frame)) => {
                    if self.write(&frame)? {
                        recorded.frames += 1;
                    }
                    first.get_or_insert(now);
                    drop(frame);
                    std::thread::sleep((now + PACE).saturating_duration_since(Instant::now()));
                }
                Some(SourceEvent::Resized(size)) => {
                    let wrote = self.trace.as_mut().map_or(Ok(()), |trace| trace.resize(size, now));
                    self.cut(wrote)?;
                }
                Some(SourceEvent::Lost(error)) => return Err(error.to_string()),
                None => {
                    let due = [self.source.next_due(), until].into_iter().flatten().min();
                    self.bell.wait(due);
                }
            }
        }
    }

    /// Records a frame; the first one makes the file. Returns whether the picture differs from the one before.
    fn write(&mut self, frame: &Frame) -> Result<bool, String> {
        let wrote = match &mut self.trace {
            Some(trace) => trace.frame(frame),
            None => {
                let info = OutputInfo { size: frame.size, fourcc: frame.fourcc, ..self.source.info() };
                let file = create(&self.wish.file, self.wish.force)?;
                tracing::info!(output = %info.name, size = %info.size, file = %self.wish.file.display(), "recording");
                TraceWriter::new(BufWriter::new(file), &info).and_then(|trace| self.trace.insert(trace).frame(frame))
            }
        };
        self.cut(wrote)
    }
}

/// A file that nobody else may read, as what a desktop shows is nobody else's business.
fn create(path: &Path, force: bool) -> Result<File, String> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => there_already(path),
        _ => format!("{}: {error}; name a file that can be written", path.display()),
    })
}
