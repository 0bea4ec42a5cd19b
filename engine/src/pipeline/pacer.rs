//! When a client may get its next update, and how large: pure, with time as an argument.
//!
//! With fences every update is followed by one, and on an idle link preceded by one: their answers tell the link's rate, its
//! round trip and how long bytes stand in its queue. What is under way is held to what the link carries in a round trip and a short
//! queue, so a slow link is kept full and input echoes stay quick. Without fences one update is under way at a time: the
//! next may go when the one before is known to have arrived, by the kernel's own count or else by the client's request. In both
//! cases an update waits until the one before has left for the kernel.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::link::Link;
use super::quality::Quality;
use super::total_rate::RateShare;

/// Smallest and largest window, and where it starts, in bytes.
const MIN_WINDOW: f64 = 8.0 * 1024.0;
const MAX_WINDOW: f64 = 16.0 * 1024.0 * 1024.0;
const START_WINDOW: f64 = 192.0 * 1024.0;

/// The queue in front of a link of unknown rate.
const QUEUE_S: f64 = 0.020;

/// Bytes are sent this much faster than the link was measured, so that it stays full.
const MARGIN: f64 = 1.05;

/// An update takes the link this long, and longer on links so fast that it matters less than fewer, larger updates.
const UPDATE_S: f64 = 0.020;
const FAST_UPDATE_S: f64 = 0.050;
const FAST: f64 = 16e6;

/// Without fences an update takes as many round trips, within these bounds: the link idles for one after each.
const ROUND_TRIPS: f64 = 2.5;
const TURN_S: std::ops::RangeInclusive<f64> = 0.1..=0.25;

/// Quality is lowered while what waits takes the link longer than this.
const RENEWED_S: f64 = 0.15;

/// How often the kernel is asked while an update drains.
const DRAIN_POLL: std::ops::RangeInclusive<f64> = 0.002..=0.020;

/// What changes this soon after input is what the user waits for.
const FOLLOWS: Duration = Duration::from_millis(500);

/// Below this rate compression is worth more time, until it is above the other.
const THIN: f64 = 500e3;
const NOT_THIN: f64 = 1e6;

/// The effort on thin links, at least.
const THIN_COMPRESSION: u8 = 6;

/// Bounds of one update, in bytes.
pub const MIN_UPDATE: usize = 8 * 1024;
/// The largest update, in bytes.
pub const MAX_UPDATE: usize = 4 * 1024 * 1024;
/// The largest while nothing is known of the link: with fences, and without. Who asks for one picture gets one.
const START_UPDATE: [usize; 2] = [64 * 1024, 1024 * 1024];

/// What the pacer learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaceEvent {
    /// An update of so many bytes was handed to the connection. With fences, one was put behind it, and one before it when
    /// `probed`.
    Sent {
        /// Its size.
        bytes: usize,
        /// [`Pacer::wants_probe`] was heeded.
        probed: bool,
        /// About how many bytes were ready and had to be left for the next one; none where that says nothing of the link.
        left_waiting: Option<u64>,
    },
    /// The oldest outstanding fence was answered.
    Pong,
    /// How far the last update got, while the client waits for another.
    Unsent {
        /// Its bytes that have not left for the kernel.
        bytes: usize,
        /// Bytes that the kernel holds and that have not arrived, where it tells.
        below: Option<usize>,
    },
    /// Whether the client answers fences.
    Fences(bool),
    /// The user typed or pointed.
    Input,
}

/// Leave to send one update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How large it should be at most, encoded.
    pub bytes: usize,
    /// Steps down the quality ladder that the link asks for; 0 is what the client asked for.
    pub quality_step: u8,
    /// The least effort of compression that the link is worth, 0 to 9.
    pub compression: u8,
    /// What small change goes before what else waits.
    pub small: Small,
}

/// How small changes are treated beside large ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Small {
    /// They lead the update that holds all.
    #[default]
    First,
    /// They go alone, what else waits goes with the next update: the user waits for them.
    Ahead,
    /// Nothing else may go: the link is full.
    Only,
}

/// The answer to whether an update may go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Go(Grant),
    /// Not before this time.
    At(Instant),
    /// Not before something is heard: a pong, the socket draining.
    Wait,
}

#[derive(Clone, Copy, Debug)]
struct Ping {
    at: Instant,
    /// Bytes sent up to it.
    position: u64,
}

/// Paces one client.
#[derive(Debug)]
pub struct Pacer {
    fences: bool,
    /// Time between two updates on average; zero for no bound.
    frame_interval: Duration,
    /// Bytes a second; none for no bound.
    max_rate: Option<u64>,
    share: Option<RateShare>,
    unsent: usize,
    below: Option<usize>,
    sent: u64,
    acked: u64,
    /// With fences those that were not answered; without, the update under way.
    pings: VecDeque<Ping>,
    link: Link,
    quality: Quality,
    thin: bool,
    last_grant: usize,
    /// When the link should have carried all that was sent, at its measured rate.
    free_at: Option<Instant>,
    last_input: Option<Instant>,
    /// Earliest time of the next update by rate bounds.
    not_before: Option<Instant>,
    /// The same by frame rate: an update that is late is not held against the next one.
    next_frame: Option<Instant>,
}

impl Pacer {
    /// A pacer for a client of unknown abilities. `max_fps` 0 means no bound; `max_rate` is in bytes a second; `share` is the
    /// client's part of a bound for all.
    ///
    /// ```
    /// use farpane_engine::pipeline::{Pacer, Verdict};
    /// let now = std::time::Instant::now();
    /// let pacer = Pacer::new(60, None, None);
    /// assert!(matches!(pacer.verdict(now), Verdict::Go(_)));
    /// ```
    pub fn new(max_fps: u32, max_rate: Option<u64>, share: Option<RateShare>) -> Self {
        Self {
            fences: false,
            frame_interval: if max_fps == 0 { Duration::ZERO } else { Duration::from_secs(1) / max_fps },
            max_rate,
            share,
            unsent: 0,
            below: None,
            sent: 0,
            acked: 0,
            pings: VecDeque::new(),
            link: Link::default(),
            quality: Quality::default(),
            thin: false,
            last_grant: MAX_UPDATE,
            free_at: None,
            last_input: None,
            not_before: None,
            next_frame: None,
        }
    }

    /// Takes in what happened.
    pub fn on_event(&mut self, event: PaceEvent, now: Instant) {
        match event {
            PaceEvent::Fences(on) => {
                self.fences = on;
                self.pings.clear();
                self.acked = self.sent;
                self.link = Link::default();
            }
            PaceEvent::Unsent { bytes, below } => {
                (self.unsent, self.below) = (bytes, below);
                if !self.fences && bytes == 0 && below.unwrap_or(0) == 0 {
                    self.arrived_whole(now);
                }
            }
            PaceEvent::Sent { bytes, probed, left_waiting } => {
                if let Some(left) = left_waiting {
                    // what the link renews within this time is no reason to make it worse
                    let soon = self.link.rate().map_or(0.0, |rate| rate * RENEWED_S);
                    self.quality.update(left as f64 > soon, now);
                }
                self.on_sent(bytes, probed, now);
            }
            PaceEvent::Pong => self.on_pong(now),
            PaceEvent::Input => self.last_input = Some(now),
        }
    }

    fn on_sent(&mut self, bytes: usize, probed: bool, now: Instant) {
        if let Verdict::Go(grant) = self.grant(Small::First) {
            self.last_grant = grant.bytes;
        }
        let carried = self.link.rate().map(|rate| Duration::from_secs_f64(bytes as f64 / (rate * MARGIN)));
        self.free_at = carried.map(|took| self.free_at.map_or(now, |t| t.max(now)) + took);
        self.unsent = bytes;
        if probed && self.fences {
            self.pings.push_back(Ping { at: now, position: self.sent });
        }
        self.sent += bytes as u64;
        self.pings.push_back(Ping { at: now, position: self.sent });
        // encoding takes longer now and then: counted from when each was sent, frames would come ever later
        let on_time = now.checked_sub(self.frame_interval).unwrap_or(now);
        self.next_frame = Some(self.next_frame.map_or(on_time, |t| t.max(on_time)) + self.frame_interval);
        let mut next = now;
        if let Some(rate) = self.max_rate {
            let start = self.not_before.map_or(now, |t| t.max(now));
            next = start + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        }
        if let Some(share) = &mut self.share {
            next = next.max(share.sent(bytes, now));
        }
        self.not_before = Some(next);
    }

    fn on_pong(&mut self, now: Instant) {
        if !self.fences {
            return;
        }
        let Some(ping) = self.pings.pop_front() else { return };
        let bytes = ping.position - self.acked;
        self.acked = ping.position;
        self.link.arrived(ping.at, bytes, now);
        self.note_rate();
        if let (Some(rate), Some(free_at)) = (self.link.rate(), self.free_at) {
            // what has arrived stands in no queue, whatever its rate was thought to be
            let left = Duration::from_secs_f64((self.sent - self.acked) as f64 / (rate * MARGIN));
            self.free_at = Some(free_at.min(now + left));
        }
    }

    /// Without fences: nothing of the update under way is left anywhere that is known of.
    fn arrived_whole(&mut self, now: Instant) {
        let Some(ping) = self.pings.pop_front() else { return };
        self.pings.clear();
        let bytes = self.sent - self.acked;
        self.acked = self.sent;
        let took = now.saturating_duration_since(ping.at).max(Duration::from_micros(20));
        self.link.round_trip(took, now);
        // An update that was not full takes mostly the way there and back: it can show a link to be better, never worse.
        let faster = self.link.rate().is_none_or(|r| bytes as f64 / took.as_secs_f64() > r);
        if bytes >= 4 * 1024 && (faster || bytes * 2 >= self.last_grant as u64) {
            self.link.count(bytes, took);
        }
        self.note_rate();
    }

    fn note_rate(&mut self) {
        if let Some(rate) = self.link.rate() {
            self.thin = rate < if self.thin { NOT_THIN } else { THIN };
        }
    }

    /// Whether the next update should have a fence in front: it finds the link idle, so the answer tells its round trip.
    pub fn wants_probe(&self) -> bool {
        self.fences && self.pings.is_empty()
    }

    /// Whether the kernel's count of bytes under way is of use.
    pub fn wants_count(&self) -> bool {
        !self.fences && !self.pings.is_empty()
    }

    /// Whether the user has just typed or pointed: what changes is worth taking even while nothing may be sent, so that it can go
    /// ahead of what waits.
    pub fn follows_input(&self, now: Instant) -> bool {
        self.last_input.is_some_and(|t| now.saturating_duration_since(t) < FOLLOWS)
    }

    /// Whether an update may go now, and how large it should be.
    pub fn verdict(&self, now: Instant) -> Verdict {
        self.decide(now, self.follows_input(now))
    }

    /// The same for what does not follow input.
    pub fn verdict_of_the_rest(&self, now: Instant) -> Verdict {
        self.decide(now, false)
    }

    fn decide(&self, now: Instant, follows_input: bool) -> Verdict {
        if self.unsent > 0 {
            return Verdict::Wait;
        }
        if !self.fences && !self.pings.is_empty() {
            // Drains in the kernel: it is asked again; or a request is to tell.
            return self.below.map_or(Verdict::Wait, |below| {
                let left = below as f64 / self.link.rate().unwrap_or(f64::INFINITY);
                Verdict::At(now + Duration::from_secs_f64(left.clamp(*DRAIN_POLL.start(), *DRAIN_POLL.end())))
            });
        }
        let mut small = if follows_input { Small::Ahead } else { Small::First };
        if self.fences && !self.pings.is_empty() {
            let under_way = (self.sent - self.acked) as f64;
            let window = self.window();
            if self.link.base_is_old(now) {
                return Verdict::Wait;
            }
            let full = under_way >= window;
            let queue = self.free_at.map_or(Duration::ZERO, |t| t.saturating_duration_since(now));
            let over = queue.saturating_sub(Duration::from_secs_f64(self.queue_s()));
            if full || over > Duration::ZERO {
                if small == Small::First || under_way >= window * 1.25 + MIN_UPDATE as f64 {
                    return if full { Verdict::Wait } else { Verdict::At(now + over) };
                }
                small = Small::Only;
            }
        }
        match self.not_before.max(self.next_frame) {
            Some(at) if at > now => Verdict::At(at),
            _ => self.grant(small),
        }
    }

    /// The queue in front of the link that keeps it busy: as long as the next update takes to be asked for and made.
    fn queue_s(&self) -> f64 {
        self.link.rate().map_or(QUEUE_S, update_s)
    }

    /// Bytes that may be under way.
    fn window(&self) -> f64 {
        match (self.link.rate(), self.link.base()) {
            (Some(rate), Some(base)) => (rate * (base.as_secs_f64() + self.queue_s())).clamp(MIN_WINDOW, MAX_WINDOW),
            _ => START_WINDOW,
        }
    }

    fn grant(&self, small: Small) -> Verdict {
        let fair = match self.link.rate() {
            None => START_UPDATE[usize::from(!self.fences)] as f64,
            Some(rate) if self.fences => rate * update_s(rate),
            Some(rate) => {
                let turn = self.link.base().map_or(*TURN_S.start(), |b| b.as_secs_f64() * ROUND_TRIPS);
                rate * turn.clamp(*TURN_S.start(), *TURN_S.end())
            }
        };
        let bound = self.max_rate.map_or(fair, |rate| fair.min(rate as f64 * FAST_UPDATE_S));
        let bound = self.share.as_ref().map_or(bound, |share| bound.min(share.rate() * FAST_UPDATE_S));
        Verdict::Go(Grant {
            bytes: (bound as usize).clamp(MIN_UPDATE, MAX_UPDATE),
            quality_step: self.quality.step(),
            compression: if self.thin { THIN_COMPRESSION } else { 0 },
            small,
        })
    }

    /// The best round trip seen since the link was last idle.
    pub fn base_rtt(&self) -> Option<Duration> {
        self.link.base()
    }

    /// Steps down the quality ladder that the link asks for.
    pub fn quality_step(&self) -> u8 {
        self.quality.step()
    }

    /// Bytes a second that the link carries, as far as measured.
    pub fn rate(&self) -> Option<f64> {
        self.link.rate()
    }

    /// Bytes that the client has not acknowledged.
    pub fn in_flight(&self) -> u64 {
        self.sent - self.acked
    }
}

/// How long one update may take a link of this rate, with fences.
fn update_s(rate: f64) -> f64 {
    UPDATE_S + (FAST_UPDATE_S - UPDATE_S) * (rate / FAST).min(1.0)
}

#[cfg(test)]
mod tests;
