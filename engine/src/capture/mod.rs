//! Sources: where pictures come from. One source per output (monitor).

#[cfg(any(feature = "wayland", feature = "x11"))]
mod bands;
#[cfg(feature = "kms")]
pub mod drm;
#[cfg(feature = "pipewire")]
pub mod pipewire;
pub mod replay;
pub mod synthetic;
#[cfg(feature = "wayland")]
pub mod wayland;
#[cfg(feature = "x11")]
pub mod x11;

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::frame::Frame;
use crate::geometry::{Point, Size};
use crate::pixel::Fourcc;

/// What is known of an output before its first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputInfo {
    /// The name users know it by: a connector, a RandR monitor, `synthetic`.
    pub name: String,
    /// Its place on the desktop's canvas.
    pub position: Point,
    /// Its size.
    pub size: Size,
    /// The format of its frames.
    pub fourcc: Fourcc,
}

/// What a source has to say.
#[derive(Debug)]
pub enum SourceEvent {
    /// A picture, newer than the one before.
    Frame(Frame),
    /// The output has another size from now on; frames of the new size follow.
    Resized(Size),
    /// The source cannot go on; the reason is for the log. `take` may be called again and may recover.
    Lost(SourceError),
}

/// Why a source could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The desktop went away or refused.
    #[error("{0}")]
    Gone(String),
    /// A trace, a mapping or a socket could not be read.
    #[error("{what}: {source}")]
    Io {
        /// What was being read.
        what: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The picture has a form that is not handled.
    #[error("{0}")]
    Unsupported(String),
}

/// Wakes a pipeline: rung by a source that has something, by a client that wants something, by shutdown.
#[derive(Debug, Default)]
pub struct Doorbell {
    rung: Mutex<bool>,
    waiter: Condvar,
}

impl Doorbell {
    /// A bell that has not been rung.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Wakes the waiter, now or at its next wait. Many rings before a wait are one.
    pub fn ring(&self) {
        *self.rung.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = true;
        self.waiter.notify_one();
    }

    /// Waits until the bell is rung or `deadline` has passed; without a deadline, for as long as it takes.
    /// Returns whether it was rung.
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut rung = self.rung.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while !*rung {
            rung = match deadline {
                None => self.waiter.wait(rung).unwrap_or_else(std::sync::PoisonError::into_inner),
                Some(end) => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left == Duration::ZERO {
                        return false;
                    }
                    self.waiter.wait_timeout(rung, left).unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
            };
        }
        *rung = false;
        true
    }
}

/// One output's stream of pictures.
///
/// A pipeline thread owns the source. It calls [`Source::start`] when the first client watches and
/// [`Source::stop`] when the last one left; in between it calls [`Source::take`] whenever the bell rang or
/// [`Source::next_due`] came, and only while some client can take an update. A source must not capture before
/// `start`, and rings the bell when something changed (from any thread it likes).
pub trait Source: Send {
    /// Name, place, size and format now.
    fn info(&self) -> OutputInfo;

    /// Somebody watches from now on. The first `take` after it gives a whole picture.
    ///
    /// # Errors
    /// When the desktop cannot be captured; the text says what to do.
    fn start(&mut self, bell: Arc<Doorbell>) -> Result<(), SourceError>;

    /// Nobody watches any more: release buffers, stop timers, ask for no more events.
    fn stop(&mut self);

    /// The next event, or none when nothing changed. Does not wait for a change.
    fn take(&mut self, now: Instant) -> Option<SourceEvent>;

    /// A frame could not be read by anybody and was dropped: others are wanted, and the next one whole.
    fn unreadable(&mut self) {}

    /// A frame was compared with the one before, and whether anything differed.
    fn compared(&mut self, _changed: bool, _now: Instant) {}

    /// Bytes of pixels that the source copied by itself on their way from the desktop's memory to the frames' so far: none where
    /// frames lie where the desktop wrote them.
    fn staged_bytes(&self) -> u64 {
        0
    }

    /// When `take` should be called even though nobody rang: for sources that make pictures by the clock.
    fn next_due(&self) -> Option<Instant> {
        None
    }
}
