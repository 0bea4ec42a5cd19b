//! A recorded trace as a desktop: one output, no pointer, no input.
//!
//! A trace is read through once when it is opened, so that a damaged one is refused before anybody connects; one that was cut
//! off plays up to there. It plays from its start when the first viewer comes, and its last picture stays until the last
//! viewer has gone.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use farpane_engine::capture::replay::{Playback, RecordKind, ReplaySource, TraceError, TraceReader};
use farpane_engine::capture::{Doorbell, OutputInfo, Source, SourceError, SourceEvent};
use farpane_engine::frame::CursorImage;
use farpane_engine::geometry::{Point, Size};

use super::{Backend, BackendEvent, Events, Layout, LayoutOutput, OutputId, ResizeAnswer};
use crate::clipboard::Clipboard;
use crate::helper::{OpenRequest, Opener, OpenerError};
use crate::input::InputSink;

/// The only output.
const OUTPUT: OutputId = OutputId(0);

/// Why a trace cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ReplayOpenError {
    /// The file cannot be opened.
    #[error("trace {0}; name a file that farpane record made")]
    Open(#[from] OpenerError),
    /// It is no trace, or a damaged one.
    #[error("{file}: {error}; name a file that farpane record made, or record it again")]
    Trace {
        /// The file.
        file: String,
        /// What is wrong, and where.
        #[source]
        error: TraceError,
    },
    /// There is nothing to show in it.
    #[error("{0}: the trace holds no whole picture; record it again")]
    Empty(String),
}

/// A desktop that shows a recorded trace.
pub struct ReplayBackend {
    name: String,
}

impl ReplayBackend {
    /// Opens a trace and reads it through.
    ///
    /// Cost: one pass over the file, with every picture unpacked once.
    ///
    /// # Errors
    /// When the file cannot be opened, is no trace, is damaged or holds no picture.
    pub fn open(path: &Path, opener: &dyn Opener, events: Events) -> Result<Self, ReplayOpenError> {
        let file = path.display().to_string();
        let opened = File::from(opener.open(&OpenRequest::Trace(path.to_owned()))?);
        let damaged = |error| ReplayOpenError::Trace { file: file.clone(), error };
        let (pictures, cut) = read_through(&opened).map_err(damaged)?;
        if pictures == 0 {
            return Err(ReplayOpenError::Empty(file));
        }
        if let Some(error) = cut {
            tracing::warn!(%file, %error, "the trace is cut off and plays up to there");
        }
        let source = ReplaySource::new(opened, Playback::Once).map_err(damaged)?;
        let OutputInfo { name: output, size, .. } = source.info();
        let player = Player { source, output, told: size, events: events.clone() };
        let layout = player.layout(size);
        let none = CursorImage { size: Size::default(), hotspot: Point::default(), rgba: Vec::new(), serial: 0 };
        for event in [
            BackendEvent::OutputAdded(OUTPUT, Box::new(player)),
            BackendEvent::LayoutChanged(layout),
            BackendEvent::Cursor(Arc::new(none)),
            BackendEvent::Leds(0),
        ] {
            let _ = events.send(event);
        }
        let short = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        Ok(Self { name: format!("replay {short}") })
    }
}

/// Reads every record; returns how many pictures there are and where the file was cut off, if it was. Leaves the file at its
/// start.
fn read_through(mut file: &File) -> Result<(u64, Option<TraceError>), TraceError> {
    let mut reader = TraceReader::new(BufReader::new(file))?;
    let mut pictures = 0;
    let cut = loop {
        match reader.next_record() {
            Ok(Some(record)) => pictures += u64::from(matches!(record.kind, RecordKind::Frame { .. })),
            Ok(None) => break None,
            Err(error @ TraceError::Cut { .. }) => break Some(error),
            Err(error) => return Err(error),
        }
    };
    file.rewind()?;
    Ok((pictures, cut))
}

impl Backend for ReplayBackend {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn input(&self) -> Option<Arc<dyn InputSink>> {
        None
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        None
    }

    fn resize(&self, _layout: &Layout) -> ResizeAnswer {
        ResizeAnswer::Prohibited
    }

    fn watch(&self, _watched: bool) {}
}

/// The trace's source, which also tells the desktop's size as it changes.
struct Player {
    source: ReplaySource,
    output: String,
    told: Size,
    events: Events,
}

impl Player {
    fn layout(&self, size: Size) -> Layout {
        // the place that the output had among others is not kept: alone it fills the canvas
        Layout { size, outputs: vec![LayoutOutput { id: OUTPUT, name: self.output.clone(), rect: size.rect() }] }
    }

    fn tell(&mut self, size: Size) {
        if std::mem::replace(&mut self.told, size) != size {
            let _ = self.events.send(BackendEvent::LayoutChanged(self.layout(size)));
        }
    }
}

impl Source for Player {
    fn info(&self) -> OutputInfo {
        OutputInfo { position: Point::default(), ..self.source.info() }
    }

    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError> {
        self.source.start(bell)?;
        self.tell(self.source.info().size);
        Ok(())
    }

    fn stop(&mut self) {
        self.source.stop();
    }

    fn take(&mut self, now: Instant) -> Option<SourceEvent> {
        loop {
            match self.source.take(now)? {
                // Losing it would begin the trace anew: what was played until then stays instead.
                SourceEvent::Lost(error) => tracing::warn!(%error, "the trace ends here"),
                SourceEvent::Resized(size) => {
                    self.tell(size);
                    return Some(SourceEvent::Resized(size));
                }
                frame @ SourceEvent::Frame(_) => return Some(frame),
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.source.next_due()
    }
}

#[cfg(test)]
mod tests;
