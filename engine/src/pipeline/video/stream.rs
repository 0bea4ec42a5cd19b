//! One chain of coded pictures of one region: encoded once, away from whoever waits for it, and kept a little for the others.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::output::Shared;
use super::super::stats::Stats;
use crate::damage::MirrorData;
use crate::encode::h264::{I420, VideoEncoder, VideoStep};
use crate::geometry::Rect;

/// Pictures kept for viewers that are a little behind, and their bytes.
const KEPT: usize = 8;
const KEPT_BYTES: usize = 1 << 20;

/// Between two key pictures of a chain, at least.
const KEY_EVERY: Duration = Duration::from_secs(1);

/// One coded picture.
#[derive(Clone, Debug)]
pub(in crate::pipeline) struct Coded {
    /// Its place in the chain.
    pub index: u64,
    /// It refers to none before.
    pub key: bool,
    /// The newest content of the mirror that is in it.
    pub seq: u64,
    pub bytes: Arc<[u8]>,
}

/// How a chain stands for one viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline) enum Stand {
    /// Pictures wait that it can take.
    Ready,
    /// One is being encoded.
    Busy,
    /// Neither.
    Idle,
    /// The encoder failed: nothing comes from here any more.
    Failed,
}

pub(in crate::pipeline) struct Stream {
    pub region: u64,
    pub rect: Rect,
    inner: Mutex<Inner>,
}

struct Inner {
    /// What a picture is encoded with; away while one is.
    tools: Option<Box<(Box<dyn VideoEncoder>, I420)>>,
    failed: bool,
    coded: VecDeque<Coded>,
    next: u64,
    key_at: Option<Instant>,
    step: VideoStep,
}

impl Stream {
    /// A chain without an encoder has failed from the start.
    pub fn new(region: u64, rect: Rect, encoder: Option<Box<dyn VideoEncoder>>, step: VideoStep) -> Self {
        let tools = encoder.map(|encoder| Box::new((encoder, I420::default())));
        let failed = tools.is_none();
        let inner = Inner { tools, failed, coded: VecDeque::new(), next: 0, key_at: None, step };
        Self { region, rect, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn step(&self) -> VideoStep {
        self.inner().step
    }

    /// Another quality from the next picture on.
    pub fn set_step(&self, step: VideoStep) {
        self.inner().step = step;
    }

    /// How it stands for a viewer that needs picture `next`, or a key picture.
    pub fn stand(&self, next: Option<u64>) -> Stand {
        let inner = self.inner();
        if inner.failed {
            Stand::Failed
        } else if inner.first_for(next).is_some() {
            Stand::Ready
        } else if inner.tools.is_none() {
            Stand::Busy
        } else {
            Stand::Idle
        }
    }

    /// Whether picture `next` was made and is kept no longer: who needs it is too far behind.
    pub fn is_past(&self, next: u64) -> bool {
        let inner = self.inner();
        next < inner.coded.front().map_or(inner.next, |first| first.index)
    }

    /// What a viewer takes that needs picture `next`, or a key picture: all pictures from there on. Empty when there are none.
    pub fn take(&self, next: Option<u64>) -> Vec<Coded> {
        let inner = self.inner();
        inner.first_for(next).map_or_else(Vec::new, |first| inner.coded.range(first..).cloned().collect())
    }

    /// Begins a picture of what the mirror shows now, unless the chain has it already, is busy or has failed. A viewer that needs
    /// a key picture gets one when the last is long enough ago. Returns whether a picture that it can take is on the way.
    pub fn begin(
        self: &Arc<Self>,
        mirror: &MirrorData,
        next: Option<u64>,
        shared: &Arc<Shared>,
        pool: &rayon::ThreadPool,
        now: Instant,
    ) -> bool {
        let mut inner = self.inner();
        let needs_key = next.is_none_or(|next| next < inner.next);
        let key_due = inner.key_at.is_none_or(|at| now.saturating_duration_since(at) >= KEY_EVERY);
        let seq = mirror.newest(&self.rect);
        let is_there = !needs_key && inner.coded.back().is_some_and(|last| last.seq >= seq);
        if inner.failed || is_there || (needs_key && !key_due) {
            return false;
        }
        let Some(mut tools) = inner.tools.take() else { return !needs_key };
        if !tools.1.load(mirror, &self.rect) {
            inner.failed = true;
            return false;
        }
        if needs_key {
            inner.key_at = Some(now);
        }
        let step = inner.step;
        drop(inner);
        let (stream, shared) = (Arc::downgrade(self), Arc::downgrade(shared));
        pool.spawn(move || {
            let mut bytes = Vec::new();
            let started = Instant::now();
            let (encoder, picture) = &mut *tools;
            let result = encoder.encode(picture, needs_key, step, &mut bytes);
            // whoever watched has gone meanwhile
            let (Some(stream), Some(shared)) = (stream.upgrade(), shared.upgrade()) else { return };
            let mut inner = stream.inner();
            match result {
                Ok(key) => {
                    Stats::count(&shared.stats.video_pictures, 1);
                    Stats::count(&shared.stats.video_keys, u64::from(key));
                    Stats::count(&shared.stats.encoded_bytes, bytes.len() as u64);
                    shared.stats.encode.add(started.elapsed());
                    inner.tools = Some(tools);
                    inner.push(key, seq, bytes.into());
                }
                Err(error) => {
                    inner.failed = true;
                    tracing::warn!(%error, rect = ?stream.rect, "a film is sent as JPEG: its encoder failed");
                }
            }
            drop(inner);
            for s in shared.live() {
                (s.notify)();
            }
        });
        true
    }
}

impl Inner {
    /// Where in `coded` a viewer begins.
    fn first_for(&self, next: Option<u64>) -> Option<usize> {
        match next {
            Some(next) => self.coded.iter().position(|c| c.index == next),
            None => self.coded.iter().rposition(|c| c.key),
        }
    }

    fn push(&mut self, key: bool, seq: u64, bytes: Arc<[u8]>) {
        self.coded.push_back(Coded { index: self.next, key, seq, bytes });
        self.next += 1;
        let mut all: usize = self.coded.iter().map(|c| c.bytes.len()).sum();
        while self.coded.len() > 1 && (self.coded.len() > KEPT || all > KEPT_BYTES) {
            all -= self.coded.pop_front().map_or(0, |c| c.bytes.len());
        }
    }
}
