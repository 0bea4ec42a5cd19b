//! When and what to send: requests, pacing, pseudo-rectangles, and the encoding job.
//!
//! An update may go when the client asked for one (a request, or continuous updates), the one before has left, and the
//! pacer grants it. Only then do the pipelines capture for this client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farpane_engine::encode::{Params, lower};
use farpane_engine::geometry::Region;
use farpane_engine::pipeline::{Budget, ClientPicture, EncodedUpdate, FilmWish, Lanes, PaceEvent, Small, Verdict};
use farpane_rfb::ext::fence::{Fence, FenceFlags};

use super::state::{Session, SessionError};

/// Payload of the fence behind every update.
pub(super) const UPDATE_FENCE: &[u8] = b"u";

/// An update of more bytes than this, on an idle link, has a fence in front as well.
const PROBE_BYTES: usize = 2048;

/// A source of anything that moves has a frame within this time.
const ASKED: Duration = Duration::from_millis(100);

/// An update being encoded away from the session; the picture comes back with it.
pub(super) struct Job {
    picture: ClientPicture,
    area: Region,
    requested: Region,
    pixels_owed: bool,
    budget: Budget,
    params: Params,
    quiet: Duration,
    lanes: Arc<Lanes>,
}

/// What a job brings back.
pub(super) struct JobDone {
    picture: ClientPicture,
    update: EncodedUpdate,
    /// The requests that it answers, and whether one of them was for pixels whatever the client shows.
    requested: Region,
    pixels_owed: bool,
}

impl Job {
    /// Encodes. Waits for pixels that are being written: not for the network threads, nor for the encoding pool.
    pub fn run(mut self, now: Instant) -> JobDone {
        let update = self.picture.encode(&self.area, self.budget, &self.params, self.quiet, &self.lanes, now);
        JobDone { picture: self.picture, update, requested: self.requested, pixels_owed: self.pixels_owed }
    }
}

impl Session {
    /// Does what can be done now. Returns a job to run elsewhere, if there is something large to encode.
    ///
    /// # Errors
    /// When the client does not read, or its time is over.
    pub fn pump(&mut self, now: Instant) -> Result<Option<Job>, SessionError> {
        self.keep_terms(now)?;
        self.wake_at = None;
        let Some(mut picture) = self.picture.take() else { return Ok(None) };
        for op in self.ops.drain(..) {
            op(&mut picture);
        }
        let result = self.pump_picture(&mut picture, now);
        match result {
            Ok(Some(mut job)) => {
                job.picture = picture;
                Ok(Some(job))
            }
            Ok(None) => {
                self.picture = Some(picture);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn pump_picture(&mut self, picture: &mut ClientPicture, now: Instant) -> Result<Option<Job>, SessionError> {
        let mut area = self.requested.clone();
        if let Some(rect) = self.continuous {
            area.add(&rect);
        }
        if area.is_empty() {
            self.caught_up_at = None;
            picture.set_wants(self.pacer.follows_input(now));
            return Ok(None);
        }
        let unsent = PaceEvent::Unsent { bytes: self.outbox.unsent_update(), below: self.below };
        self.pacer.on_event(unsent, now);
        let mut grant = match self.pacer.verdict(now) {
            Verdict::Go(grant) => grant,
            verdict => {
                if let Verdict::At(at) = verdict {
                    self.wake_at = Some(at);
                }
                picture.set_wants(self.pacer.follows_input(now));
                return Ok(None);
            }
        };
        if self.tell_layout(picture, now) {
            return Ok(None);
        }
        area.intersect_rect(&picture.canvas().rect());
        picture.set_wants(true);
        picture.set_focus(self.pointed_at);
        picture.set_films(self.films());
        self.tell_films(picture);
        let pending = picture.has_pending(&area);
        let refresh_at = self.refresh_at(picture, pending.then_some(&area), now);
        if !pending && refresh_at.is_none_or(|t| t > now) {
            self.wake_at = refresh_at;
            if self.pseudo.is_due() && !self.pixels_owed {
                self.send_update(EncodedUpdate::default(), now);
            }
            return Ok(None);
        }
        let mut params = self.params();
        params.jpeg = params.jpeg.map(|j| lower(j, grant.quality_step));
        params.compression = params.compression.max(grant.compression);
        let ahead = picture.goes_ahead(&area, grant.small);
        match grant.small {
            // the link is full but for what follows input, and that has not come yet
            Small::Only if !ahead => {
                if let Verdict::At(at) = self.pacer.verdict_of_the_rest(now) {
                    self.wake_at = Some(at);
                }
                return Ok(None);
            }
            Small::Ahead if !ahead => grant.small = Small::First,
            _ => {}
        }
        // exact pixels after lossy ones may be many, and none of them is pending
        if pending && (ahead || picture.is_small(&area)) {
            let quiet = self.settings.refresh_quiet;
            let update = picture.encode(&area, grant, &params, quiet, self.hub.lanes(), now);
            self.pixels_owed = false;
            if self.send_update(update, now) {
                self.wake_at = Some(now);
            }
            return Ok(None);
        }
        // the user types on one monitor while another plays a film
        let yields = self.pacer.follows_input(now);
        picture.wait_for_small(yields);
        // What is requested from here on gets an update of its own.
        Ok(Some(Job {
            picture: ClientPicture::new(),
            area,
            requested: std::mem::take(&mut self.requested),
            pixels_owed: std::mem::take(&mut self.pixels_owed),
            budget: Budget { yields, ..grant.into() },
            params,
            quiet: self.settings.refresh_quiet,
            lanes: Arc::clone(self.hub.lanes()),
        }))
    }

    /// When lossy pixels are to be sent again exactly, if any are shown.
    ///
    /// While a client takes long for an update nothing is captured for it, and what moves seems still: so the source is
    /// first asked for a while. What little is `pending` somewhere, such as a caret, is sent first and delays no more than that.
    fn refresh_at(&mut self, picture: &ClientPicture, pending: Option<&Region>, now: Instant) -> Option<Instant> {
        if let Some(area) = pending {
            if !picture.is_small(area) {
                self.caught_up_at = None;
            }
            return None;
        }
        let asked_since = *self.caught_up_at.get_or_insert(now);
        Some(picture.refresh_at(self.settings.refresh_quiet)?.max(asked_since + ASKED))
    }

    /// Takes a finished job back.
    pub fn job_done(&mut self, done: JobDone, now: Instant) {
        self.picture = Some(done.picture);
        let mut requested = std::mem::take(&mut self.requested);
        if !self.send_update(done.update, now) {
            requested.union(&done.requested);
            self.pixels_owed |= done.pixels_owed;
        }
        self.requested = requested;
    }

    /// Whether an update is being encoded: messages that change how updates look wait for it.
    pub fn is_encoding(&self) -> bool {
        self.picture.is_none()
    }

    /// Queues one FramebufferUpdate: the pseudo-rectangles that are due, then the encoded ones, then a fence. Without any
    /// rectangle nothing is sent (a pointer's shape may be due that nobody knows yet); returns whether something was.
    fn send_update(&mut self, update: EncodedUpdate, now: Instant) -> bool {
        let mut message = vec![0, 0, 0, 0];
        let pseudo = self.write_pseudo(&mut message);
        let count = pseudo.saturating_add(update.rects);
        if count == 0 {
            return false;
        }
        if let Some(slot) = message.get_mut(2..4) {
            slot.copy_from_slice(&count.to_be_bytes());
        }
        message.extend_from_slice(&update.bytes);
        self.queue_update(message, update.left_waiting, now);
        true
    }

    /// Queues a whole update message and its fence; it answers all requests so far.
    pub(super) fn queue_update(&mut self, mut message: Vec<u8>, left_waiting: Option<u64>, now: Instant) {
        self.requested.clear();
        let fence = Fence::new(FenceFlags::REQUEST.union(FenceFlags::BLOCK_BEFORE), UPDATE_FENCE);
        let fence = fence.filter(|_| self.fences_answered);
        let mut probed = false;
        if let Some(fence) = &fence {
            fence.write(&mut message);
            // what is as small tells the round trip itself
            probed = self.pacer.wants_probe() && message.len() > PROBE_BYTES;
            if probed {
                let mut probe = Vec::new();
                fence.write(&mut probe);
                self.outbox.push_update(probe);
            }
        }
        self.pacer.on_event(PaceEvent::Sent { bytes: message.len(), probed, left_waiting }, now);
        self.updates_sent += 1;
        self.outbox.push_update(message);
    }

    fn write_pseudo(&mut self, out: &mut Vec<u8>) -> u16 {
        if !self.pseudo.is_due() {
            return 0;
        }
        let Some(seen) = self.seen() else { return 0 };
        let pseudo = std::mem::take(&mut self.pseudo);
        let name = self.notices.before(&self.settings.name);
        let (count, left) = pseudo.write(&self.caps, &self.format, &seen, &name, out);
        self.pseudo = left;
        count
    }

    /// Whether what moves goes as H.264.
    fn films(&self) -> Option<FilmWish> {
        let ceiling = self.caps.h264.filter(|_| self.settings.h264 && !self.settings.lossless)?;
        Some(FilmWish { ceiling, link: self.pacer.rate() })
    }

    /// Keeps the list of sessions up with what goes as H.264.
    fn tell_films(&mut self, picture: &ClientPicture) {
        if picture.films().eq(self.films_told.iter().copied()) {
            return;
        }
        self.films_told = picture.films().collect();
        let told = self.caps.told_with_films(&self.films_told, self.settings.h264 && !self.settings.lossless);
        tracing::debug!(client = %self.id, %told, "films");
        self.entry.listed(told, self.caps.desktop_name);
    }

    /// What the client's pixels are encoded with.
    pub(super) fn params(&self) -> Params {
        let jpeg = if self.settings.lossless { None } else { self.caps.jpeg };
        Params { codec: self.caps.codec, format: self.format, compression: self.caps.compression, jpeg }
    }
}
