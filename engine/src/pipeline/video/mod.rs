//! Films: what moves is found, encoded as video once for all who watch it, and shown by each as far as its link carries.
//!
//! The [`Finder`] on the output's thread tells rectangles from the history of damage; [`Films`] publishes them with the chains of
//! coded pictures; a client's [`Watch`] is its place in one chain. A picture is encoded away from the update that asked for it:
//! meanwhile everything else goes on, and the film's pixels stay pending until the picture has been sent.

mod finder;
mod rate;
mod stream;
mod watch;

pub(super) use finder::{Finder, Moving};
pub(super) use stream::{Stand, Stream};
pub(super) use watch::{Contexts, Watch};

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::encode::h264::{MakeEncoder, VideoStep, parts, software};

/// Chains of one region: viewers of very different links get their own.
const MOST_STREAMS: usize = 3;

/// What moves on an output, and who encodes it.
pub(super) struct Films {
    regions: Mutex<Arc<[Moving]>>,
    streams: Mutex<Vec<Weak<Stream>>>,
    encoder: Mutex<Arc<MakeEncoder>>,
}

impl Default for Films {
    fn default() -> Self {
        Self { regions: Mutex::default(), streams: Mutex::default(), encoder: Mutex::new(Arc::new(software)) }
    }
}

impl Films {
    /// What encodes the chains that begin from now on.
    pub fn set_encoder(&self, make: Arc<MakeEncoder>) {
        *self.encoder.lock().unwrap_or_else(PoisonError::into_inner) = make;
    }

    /// What moves now; rectangles that are too large for an encoder are told in parts.
    pub fn publish<'a>(&self, regions: impl Iterator<Item = &'a Moving>) {
        let parts = regions.flat_map(|moving| {
            // an id each: a region of the largest picture has fewer than 256 parts
            parts(moving.rect).into_iter().enumerate().map(|(part, rect)| {
                let mut exact = moving.exact.clone();
                exact.intersect_rect(&rect);
                Moving { id: moving.id << 8 | part as u64, rect, exact }
            })
        });
        *self.regions.lock().unwrap_or_else(PoisonError::into_inner) = parts.collect();
    }

    /// What moves.
    pub fn regions(&self) -> Arc<[Moving]> {
        Arc::clone(&self.regions.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The chain of a region at this quality, shared with whoever watches it already.
    pub fn join(&self, moving: &Moving, step: VideoStep) -> Arc<Stream> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|s| s.strong_count() > 0);
        let here = streams.iter().filter_map(Weak::upgrade).filter(|s| s.region == moving.id);
        let here: Vec<_> = here.collect();
        // where one encoder failed another of its kind would
        if let Some(failed) = here.iter().find(|s| s.stand(None) == Stand::Failed) {
            return Arc::clone(failed);
        }
        let nearest = here.iter().min_by_key(|s| step_distance(s.step(), step));
        if let Some(s) = nearest.filter(|s| s.step() == step || here.len() >= MOST_STREAMS) {
            return Arc::clone(s);
        }
        let encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner)();
        let stream = Arc::new(Stream::new(moving.id, moving.rect, encoder, step));
        streams.push(Arc::downgrade(&stream));
        stream
    }
}

fn step_distance(a: VideoStep, b: VideoStep) -> u8 {
    a.quantiser().abs_diff(b.quantiser())
}
