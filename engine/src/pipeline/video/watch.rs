//! One client's place in the chains that it watches, and the contexts that its viewer keeps for them.

use std::sync::Arc;
use std::time::Instant;

use super::rate::FilmRate;
use super::{Films, Moving, Stand, Stream};
use crate::encode::h264::VideoStep;
use crate::encode::h264::{RESET_ALL_CONTEXTS, RESET_CONTEXT};
use crate::encode::number;
use crate::geometry::Rect;

/// Viewers keep 64 contexts and drop the oldest unasked.
const MOST_CONTEXTS: usize = 48;

/// The contexts of one connection: rectangles on the canvas.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Contexts {
    begun: Vec<Rect>,
}

impl Contexts {
    /// The flags of a payload that begins a chain at `rect`. With [`RESET_ALL_CONTEXTS`] every other chain begins anew.
    pub fn begin(&mut self, rect: Rect) -> u32 {
        if self.begun.contains(&rect) {
            return RESET_CONTEXT;
        }
        let full = self.begun.len() >= MOST_CONTEXTS;
        if full {
            self.begun.clear();
        }
        self.begun.push(rect);
        if full { RESET_ALL_CONTEXTS } else { RESET_CONTEXT }
    }
}

/// A client watches a region.
pub(in crate::pipeline) struct Watch {
    pub moving: Moving,
    pub stream: Arc<Stream>,
    pub since: Instant,
    /// The picture that its viewer can decode next; none: it needs a key picture.
    pub next: Option<u64>,
    rate: FilmRate,
}

/// What a client takes of a film with one update.
pub(in crate::pipeline) struct Taken {
    /// The newest content that is in it.
    pub seq: u64,
    pub rects: u16,
    /// All contexts were reset: the other chains begin anew.
    pub reset_all: bool,
}

impl Watch {
    pub fn new(moving: &Moving, films: &Films, ceiling: VideoStep, now: Instant) -> Self {
        let stream = films.join(moving, ceiling);
        Self { moving: moving.clone(), stream, since: now, next: None, rate: FilmRate::new(ceiling) }
    }

    /// Follows its link: another quality of its own chain, or another chain where others watch this one.
    pub fn adjust(&mut self, films: &Films, ceiling: VideoStep) {
        self.rate.set_ceiling(ceiling);
        let step = self.rate.step();
        if step == self.stream.step() {
            return;
        }
        if Arc::strong_count(&self.stream) == 1 {
            return self.stream.set_step(step);
        }
        let other = films.join(&self.moving, step);
        if !Arc::ptr_eq(&other, &self.stream) {
            (self.stream, self.next) = (other, None);
        }
    }

    /// How its chain stands.
    pub fn stand(&self) -> Stand {
        self.stream.stand(self.next)
    }

    /// Writes what is ready, if anything: a rectangle for each picture. `at` is its place on the canvas.
    pub fn write(
        &mut self,
        at: Rect,
        contexts: &mut Contexts,
        link: Option<f64>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Option<Taken> {
        if self.next.is_some_and(|next| self.stream.is_past(next)) {
            self.next = None;
        }
        let coded = self.stream.take(self.next);
        let last = coded.last()?;
        let mut reset_all = false;
        for picture in &coded {
            let begins = self.next.is_none();
            let flags = if begins { contexts.begin(at) } else { 0 };
            reset_all |= flags == RESET_ALL_CONTEXTS;
            for v in [at.x, at.y, at.w, at.h] {
                out.extend_from_slice(&v.to_be_bytes());
            }
            out.extend_from_slice(&number::H264.to_be_bytes());
            out.extend_from_slice(&(picture.bytes.len() as u32).to_be_bytes());
            out.extend_from_slice(&flags.to_be_bytes());
            out.extend_from_slice(&picture.bytes);
            self.next = Some(picture.index + 1);
            self.rate.taken(picture.bytes.len(), picture.key, link, now);
        }
        Some(Taken { seq: last.seq, rects: coded.len() as u16, reset_all })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn contexts_are_reset_before_viewers_drop_them() {
        let mut contexts = Contexts::default();
        let rect = |i| Rect::new(i, 0, 100, 100);
        for i in 0..MOST_CONTEXTS as u16 {
            assert_eq!(contexts.begin(rect(i)), RESET_CONTEXT);
        }
        assert_eq!(contexts.begin(rect(0)), RESET_CONTEXT, "a context begun anew is no further one");
        assert_eq!(contexts.begin(rect(900)), RESET_ALL_CONTEXTS);
        assert_eq!(contexts.begin(rect(0)), RESET_CONTEXT);
    }

    /// The contexts of a viewer as TigerVNC keeps them: 64, and the oldest made goes first.
    #[derive(Default)]
    struct Kept(Vec<Rect>);

    impl Kept {
        /// Takes a payload; false when it would be decoded by a context that has not seen what it refers to.
        fn take(&mut self, rect: Rect, flags: u32, is_key: bool) -> bool {
            if flags & RESET_ALL_CONTEXTS != 0 {
                self.0.clear();
            }
            if flags & RESET_CONTEXT != 0 {
                self.0.retain(|kept| *kept != rect);
            }
            if self.0.contains(&rect) {
                return true;
            }
            if self.0.len() == 64 {
                self.0.remove(0);
            }
            self.0.push(rect);
            is_key
        }
    }

    proptest! {
        #[test]
        fn whatever_begins_and_goes_on_the_viewer_has_its_context(
            steps in proptest::collection::vec((0u16..150, any::<bool>()), 0..600)
        ) {
            let (mut contexts, mut kept) = (Contexts::default(), Kept::default());
            let mut goes_on = std::collections::BTreeSet::new();
            for (place, begins) in steps {
                let rect = Rect::new(place * 8, 0, 200, 100);
                let is_key = begins || !goes_on.contains(&place);
                let flags = if is_key { contexts.begin(rect) } else { 0 };
                if flags == RESET_ALL_CONTEXTS {
                    goes_on.clear();
                }
                goes_on.insert(place);
                prop_assert!(kept.take(rect, flags, is_key), "{} of {}", place, goes_on.len());
            }
        }
    }
}
