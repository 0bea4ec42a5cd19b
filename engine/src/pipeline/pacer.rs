//! When a client may get its next update, and how large: pure, with time as an argument.
//!
//! With fences the pacer keeps a congestion window by delay: every update is followed by a fence whose answer tells how
//! long its bytes took. The window grows while answers come as fast as the fastest ever seen and shrinks when they are late,
//! so a slow link holds few bytes and input echoes stay quick. Without fences a client is paced by its own requests and by
//! the socket draining. In both cases an update waits until the one before has left for the kernel.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Smallest and largest window, and where it starts, in bytes.
const MIN_WINDOW: f64 = 16.0 * 1024.0;
const MAX_WINDOW: f64 = 16.0 * 1024.0 * 1024.0;
const START_WINDOW: f64 = 256.0 * 1024.0;

/// Extra delay below which the window grows, and above which it shrinks.
const LOW_DELAY: Duration = Duration::from_millis(5);
const HIGH_DELAY: Duration = Duration::from_millis(50);

/// After this long without traffic an old measurement says little about the link.
const IDLE: Duration = Duration::from_secs(2);

/// Bounds of one update, in bytes.
pub const MIN_UPDATE: usize = 64 * 1024;
/// The largest update, in bytes.
pub const MAX_UPDATE: usize = 4 * 1024 * 1024;

/// What the pacer learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaceEvent {
    /// An update of so many bytes was handed to the connection. With fences, one was put behind it.
    Sent {
        /// Its size.
        bytes: usize,
    },
    /// The oldest outstanding fence was answered.
    Pong,
    /// So many bytes have not left for the kernel yet.
    Unsent {
        /// Bytes still in our hands.
        bytes: usize,
    },
    /// Whether the client answers fences.
    Fences(bool),
}

/// Leave to send one update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How large it should be at most, encoded.
    pub bytes: usize,
    /// Steps down the quality ladder that the link asks for; 0 is what the client asked for.
    pub quality_step: u8,
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
    /// Bytes sent up to and with the update it follows.
    position: u64,
}

/// Paces one client.
#[derive(Debug)]
pub struct Pacer {
    fences: bool,
    /// Shortest time between two updates; zero for none.
    frame_interval: Duration,
    /// Bytes a second; none for no bound.
    max_rate: Option<u64>,
    unsent: usize,
    sent: u64,
    acked: u64,
    pings: VecDeque<Ping>,
    base_rtt: Option<Duration>,
    window: f64,
    slow_start: bool,
    /// Bytes a second that the link carried, smoothed; none until measured.
    rate: Option<f64>,
    last_pong: Option<(Instant, u64)>,
    last_sent: Option<Instant>,
    /// Earliest time of the next update by frame rate and rate bound.
    not_before: Option<Instant>,
    congested_since: Option<Instant>,
}

impl Pacer {
    /// A pacer for a client of unknown abilities. `max_fps` 0 means no bound; `max_rate` is in bytes a second.
    ///
    /// ```
    /// use farpane_engine::pipeline::{Pacer, Verdict};
    /// let now = std::time::Instant::now();
    /// let pacer = Pacer::new(60, None);
    /// assert!(matches!(pacer.verdict(now), Verdict::Go(_)));
    /// ```
    pub fn new(max_fps: u32, max_rate: Option<u64>) -> Self {
        Self {
            fences: false,
            frame_interval: if max_fps == 0 { Duration::ZERO } else { Duration::from_secs(1) / max_fps },
            max_rate,
            unsent: 0,
            sent: 0,
            acked: 0,
            pings: VecDeque::new(),
            base_rtt: None,
            window: START_WINDOW,
            slow_start: true,
            rate: None,
            last_pong: None,
            last_sent: None,
            not_before: None,
            congested_since: None,
        }
    }

    /// Takes in what happened.
    pub fn on_event(&mut self, event: PaceEvent, now: Instant) {
        match event {
            PaceEvent::Fences(on) => {
                self.fences = on;
                if !on {
                    self.pings.clear();
                    self.acked = self.sent;
                }
            }
            PaceEvent::Unsent { bytes } => self.unsent = bytes,
            PaceEvent::Sent { bytes } => self.on_sent(bytes, now),
            PaceEvent::Pong => self.on_pong(now),
        }
    }

    fn on_sent(&mut self, bytes: usize, now: Instant) {
        if self.last_sent.is_some_and(|t| now.saturating_duration_since(t) > IDLE) && self.pings.is_empty() {
            // An old route says little: measure again, but keep what the link carried.
            self.base_rtt = None;
            self.last_pong = None;
            self.congested_since = None;
        }
        self.last_sent = Some(now);
        self.unsent = bytes;
        self.sent += bytes as u64;
        if self.fences {
            self.pings.push_back(Ping { at: now, position: self.sent });
        } else {
            self.acked = self.sent;
        }
        let mut next = now + self.frame_interval;
        if let Some(rate) = self.max_rate {
            let start = self.not_before.map_or(now, |t| t.max(now));
            next = next.max(start + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64));
        }
        self.not_before = Some(next);
    }

    fn on_pong(&mut self, now: Instant) {
        let Some(ping) = self.pings.pop_front() else { return };
        let rtt = now.saturating_duration_since(ping.at);
        let base = self.base_rtt.map_or(rtt, |b| b.min(rtt));
        self.base_rtt = Some(base);
        let bytes = ping.position - self.acked;
        self.acked = ping.position;

        // What the link carried: between two pongs while it was never empty, else over the whole round trip.
        let busy_from = match self.last_pong {
            Some((at, position)) if ping.at < at && position < ping.position => at,
            _ => ping.at,
        };
        let took = now.saturating_duration_since(busy_from).max(Duration::from_micros(50)).as_secs_f64();
        if bytes >= 8 * 1024 {
            let measured = bytes as f64 / took;
            self.rate = Some(self.rate.map_or(measured, |r| r + (measured - r) * 0.25));
        }
        self.last_pong = Some((now, ping.position));

        let extra = rtt.saturating_sub(base);
        // Bytes of one window need this long at the measured rate even on an empty link; only queueing beyond it is late.
        let own = self.rate.map_or(Duration::ZERO, |r| Duration::from_secs_f64(bytes as f64 / r.max(1.0)));
        let late = extra.saturating_sub(own);
        if late > HIGH_DELAY {
            self.slow_start = false;
            let scale = (base.as_secs_f64() + HIGH_DELAY.as_secs_f64()) / rtt.as_secs_f64().max(1e-6);
            self.window = (self.window * scale.clamp(0.5, 1.0)).max(MIN_WINDOW);
            self.congested_since.get_or_insert(now);
        } else if late < LOW_DELAY {
            let grow = if self.slow_start { bytes as f64 } else { 8.0 * 1024.0 };
            self.window = (self.window + grow).min(MAX_WINDOW);
            self.congested_since = None;
        } else {
            self.slow_start = false;
        }
    }

    /// Whether an update may go now, and how large it should be.
    pub fn verdict(&self, now: Instant) -> Verdict {
        if self.unsent > 0 {
            return Verdict::Wait;
        }
        if self.fences && !self.pings.is_empty() && (self.sent - self.acked) as f64 >= self.window {
            return Verdict::Wait;
        }
        if let Some(at) = self.not_before.filter(|&at| at > now) {
            return Verdict::At(at);
        }
        let fair = self.rate.map_or(MAX_UPDATE as f64 / 4.0, |r| r * 0.05);
        let bound = match self.max_rate {
            Some(rate) => fair.min(rate as f64 * 0.05),
            None => fair,
        };
        Verdict::Go(Grant {
            bytes: (bound as usize).clamp(MIN_UPDATE, MAX_UPDATE),
            quality_step: self.quality_step(now),
        })
    }

    /// Congested for a while: lower quality until the link breathes.
    fn quality_step(&self, now: Instant) -> u8 {
        match self.congested_since.map(|t| now.saturating_duration_since(t)) {
            Some(d) if d > Duration::from_secs(2) => 2,
            Some(d) if d > Duration::from_millis(300) => 1,
            _ => 0,
        }
    }

    /// The best round trip seen since the link was last idle.
    pub fn base_rtt(&self) -> Option<Duration> {
        self.base_rtt
    }

    /// Bytes that the client has not acknowledged.
    pub fn in_flight(&self) -> u64 {
        self.sent - self.acked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link of one rate and delay on a clock that the test owns: bytes queue in front of it.
    struct Link {
        now: Instant,
        free_at: Instant,
        rate: f64,
        delay: Duration,
        pongs: VecDeque<Instant>,
    }

    impl Link {
        fn new(rate: f64, delay_ms: u64) -> Self {
            let now = Instant::now();
            Self { now, free_at: now, rate, delay: Duration::from_millis(delay_ms), pongs: VecDeque::new() }
        }

        /// Runs a client that always has `want` bytes to send, for `secs`; returns bytes sent and the longest queue seen.
        fn run(&mut self, pacer: &mut Pacer, secs: u64, want: usize) -> (u64, Duration) {
            let end = self.now + Duration::from_secs(secs);
            let settled = self.now + Duration::from_secs(secs / 2);
            let (mut total, mut worst) = (0u64, Duration::ZERO);
            while self.now < end {
                while self.pongs.front().is_some_and(|&t| t <= self.now) {
                    self.pongs.pop_front();
                    pacer.on_event(PaceEvent::Pong, self.now);
                }
                let mut next = self.now + Duration::from_millis(1);
                match pacer.verdict(self.now) {
                    Verdict::Go(grant) => {
                        let bytes = want.min(grant.bytes);
                        self.free_at = self.free_at.max(self.now) + Duration::from_secs_f64(bytes as f64 / self.rate);
                        self.pongs.push_back(self.free_at + self.delay);
                        total += bytes as u64;
                        if self.now > settled {
                            worst = worst.max(self.free_at - self.now);
                        }
                        pacer.on_event(PaceEvent::Sent { bytes }, self.now);
                        pacer.on_event(PaceEvent::Unsent { bytes: 0 }, self.now);
                    }
                    Verdict::At(at) => next = at,
                    Verdict::Wait => next = self.pongs.front().copied().unwrap_or(next),
                }
                self.now = self.now.max(next.min(end));
            }
            (total, worst)
        }
    }

    fn fenced(max_fps: u32, max_rate: Option<u64>) -> Pacer {
        let mut p = Pacer::new(max_fps, max_rate);
        p.on_event(PaceEvent::Fences(true), Instant::now());
        p
    }

    #[test]
    fn a_slow_link_is_filled_but_its_queue_stays_short() {
        let rate = 1_000_000.0;
        let mut link = Link::new(rate, 20);
        let (sent, queue) = link.run(&mut fenced(0, None), 20, 4 << 20);
        assert!(sent as f64 > rate * 20.0 * 0.7, "used {} of the link", sent as f64 / (rate * 20.0));
        assert!(queue < Duration::from_millis(400), "queue of {queue:?}");
    }

    #[test]
    fn a_fast_link_is_not_held_back() {
        let rate = 500_000_000.0;
        let (sent, _) = Link::new(rate, 1).run(&mut fenced(0, None), 5, 4 << 20);
        assert!(sent as f64 > rate * 5.0 * 0.5, "used {} of the link", sent as f64 / (rate * 5.0));
    }

    #[test]
    fn the_check_sees_a_pacer_that_ignores_delay() {
        let mut link = Link::new(1_000_000.0, 20);
        let (_, queue) = link.run(&mut Pacer::new(0, None), 5, 4 << 20);
        assert!(queue > Duration::from_secs(1));
    }

    #[test]
    fn frame_rate_and_rate_bounds_hold() {
        let (sent, _) = Link::new(1e9, 0).run(&mut fenced(30, None), 10, 1000);
        assert!((290_000..=301_000).contains(&sent), "{sent} bytes in 10 s at 30 updates of 1000");
        let (sent, _) = Link::new(1e9, 0).run(&mut fenced(0, Some(200_000)), 10, 4 << 20);
        assert!((1_500_000..=2_300_000).contains(&sent), "{sent} bytes in 10 s at 200 kB/s");
    }

    #[test]
    fn nothing_is_granted_while_the_last_update_is_unsent() {
        let now = Instant::now();
        let mut p = Pacer::new(0, None);
        p.on_event(PaceEvent::Sent { bytes: 10 }, now);
        assert_eq!(p.verdict(now), Verdict::Wait);
        p.on_event(PaceEvent::Unsent { bytes: 0 }, now);
        assert!(matches!(p.verdict(now), Verdict::Go(g) if (MIN_UPDATE..=MAX_UPDATE).contains(&g.bytes)));
    }

    #[test]
    fn stray_pongs_are_harmless() {
        let now = Instant::now();
        let mut p = fenced(0, None);
        p.on_event(PaceEvent::Pong, now);
        assert_eq!(p.in_flight(), 0);
    }
}
