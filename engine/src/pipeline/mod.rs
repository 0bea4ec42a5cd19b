//! Per-output pipelines: capture on demand, damage, fan-out to clients, encoding on every core.
//!
//! One [`Output`] per monitor owns its source, its mirror and a thread. Clients [subscribe](Output::subscribe) and say when
//! they can take an update; only then does the thread ask the source for a picture, so a still screen and a slow client
//! cost nothing and the newest picture always wins. What changed is merged into each subscriber's inbox in the same step in which
//! the mirror changes (the *gate*), so an update always shows one consistent picture.
//!
//! A [`ClientPicture`] holds what one client shows of all outputs of its view and encodes its updates.
//!
//! INVARIANT: for every subscriber, inbox + what was sent = mirror, whenever the gate is free.

mod backoff;
mod blocks;
mod cache;
mod encode_blocks;
mod inbox;
mod lanes;
mod link;
mod output;
mod pacer;
mod picture;
mod quality;
mod scaled;
mod stats;
mod total_rate;
mod turns;
mod urgent;
mod video;
mod view;
mod worker;

pub use backoff::Backoff;
pub use lanes::Lanes;
pub use output::{Output, OutputEvent, Subscription};
pub use pacer::{Grant, MAX_UPDATE, MIN_UPDATE, PaceEvent, Pacer, Small, Verdict};
pub use picture::{Budget, ClientPicture, EncodedUpdate, Film, FilmWish};
pub use scaled::ScaledSource;
pub use stats::{BUCKETS, Histogram, Stats};
pub use total_rate::{RateShare, TotalRate};
pub use view::{Pointer, View, ViewOutput};
