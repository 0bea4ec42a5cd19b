//! The blocks of one update through the encoders: on the caller's thread when they are few, else on the lane of its size.

use std::sync::Arc;

use rayon::prelude::*;

use super::cache::Key;
use super::output::Shared;
use super::picture::to_canvas;
use super::stats::Stats;
use super::view::Pointer;
use crate::damage::MirrorData;
use crate::encode::{Encoded, Overlay, Params, encode_rect};
use crate::geometry::{Point, Rect};

/// One block's rectangles: its own, or those that another client's block was encoded to.
pub(super) enum Made {
    Own(Vec<Encoded>),
    Shared(Arc<[Encoded]>),
}

impl std::ops::Deref for Made {
    type Target = [Encoded];

    fn deref(&self) -> &[Encoded] {
        match self {
            Self::Own(rects) => rects,
            Self::Shared(rects) => rects,
        }
    }
}

/// What encoding a block needs to know of its output.
pub(super) struct Place<'a> {
    pub shared: &'a Shared,
    pub at: Point,
    pub data: &'a MirrorData,
    pub epoch: u64,
    /// Others watch this output, too: what is encoded is worth keeping.
    pub sharing: bool,
}

/// One block to encode, of one output.
pub(super) struct Job {
    pub attached: usize,
    pub rect: Rect,
    /// Not lossy, whatever the parameters say.
    pub exact: bool,
    /// When its output's turn comes, by [`Turns`](super::turns::Turns).
    pub turn: u64,
}

/// Encodes the blocks, in their order, on the threads of `lane`, or at once. Not to be called from a worker of `lane`. Nothing comes of blocks
/// of outputs without a place; those that `goes` says no to when their turn comes are left out.
pub(super) fn encode_blocks(
    jobs: &[Job],
    places: &[Option<Place<'_>>],
    pointer: Option<&Pointer>,
    params: &Params,
    lane: Option<&rayon::ThreadPool>,
    goes: &(dyn Fn(&Job) -> bool + Sync),
) -> Vec<Option<Made>> {
    let one = |job: &Job| -> Made {
        let Some(&Place { shared, at, data, epoch, sharing }) = places[job.attached].as_ref() else {
            return Made::Own(Vec::new());
        };
        let params = if job.exact { Params { jpeg: None, ..*params } } else { *params };
        let overlay = pointer.filter(|p| p.rect().overlaps(&to_canvas(at, &job.rect))).map(|p| Overlay {
            image: &p.image,
            x: i32::from(p.at.x) - i32::from(p.image.hotspot.x) - i32::from(at.x),
            y: i32::from(p.at.y) - i32::from(p.image.hotspot.y) - i32::from(at.y),
        });
        let make = || {
            let mut out = Vec::new();
            encode_rect(data, &job.rect, overlay.as_ref(), &params, &mut out);
            Stats::count(&shared.stats.encoded_rects, out.len() as u64);
            Stats::count(&shared.stats.encoded_px, job.rect.area());
            Stats::count(&shared.stats.encoded_bytes, out.iter().map(Encoded::wire_len).sum::<usize>() as u64);
            out
        };
        if !sharing {
            return Made::Own(make());
        }
        let key = Key {
            rect: job.rect,
            seq: data.newest(&job.rect),
            epoch,
            params,
            overlay: overlay.map(|o| (o.image.serial, o.x, o.y)),
        };
        let (encoded, was_shared) = shared.cache.get(key, make);
        if was_shared {
            Stats::count(&shared.stats.shared_rects, encoded.len() as u64);
        }
        Made::Shared(encoded)
    };
    let one = |job: &Job| goes(job).then(|| one(job));
    match lane {
        Some(pool) => pool.install(|| jobs.par_iter().with_max_len(1).map(one).collect()),
        None => jobs.iter().map(one).collect(),
    }
}
