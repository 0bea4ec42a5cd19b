use super::super::total_rate::TotalRate;
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
                    let probed = pacer.wants_probe();
                    if probed {
                        self.pongs.push_back(self.free_at.max(self.now) + self.delay);
                    }
                    self.free_at = self.free_at.max(self.now) + Duration::from_secs_f64(bytes as f64 / self.rate);
                    self.pongs.push_back(self.free_at + self.delay);
                    total += bytes as u64;
                    if self.now > settled {
                        worst = worst.max(self.free_at - self.now);
                    }
                    let left_waiting = Some((want - bytes) as u64);
                    pacer.on_event(PaceEvent::Sent { bytes, probed, left_waiting }, self.now);
                    pacer.on_event(PaceEvent::Unsent { bytes: 0, below: None }, self.now);
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
    let mut p = Pacer::new(max_fps, max_rate, None);
    p.on_event(PaceEvent::Fences(true), Instant::now());
    p
}

const IDLE_SOCKET: PaceEvent = PaceEvent::Unsent { bytes: 0, below: None };

fn sent(bytes: usize) -> PaceEvent {
    PaceEvent::Sent { bytes, probed: false, left_waiting: None }
}

#[test]
fn links_of_every_kind_are_filled_and_their_queues_stay_short() {
    for (rate, delay) in [(250e3, 40), (250e3, 200), (1e6, 20), (2.5e6, 40), (2.5e6, 300), (12e6, 10), (100e6, 100)] {
        let (sent, queue) = Link::new(rate, delay).run(&mut fenced(0, None), 20, 4 << 20);
        let used = sent as f64 / (rate * 20.0);
        assert!(used > 0.85, "{rate} B/s, {delay} ms: {used} of it used");
        let most = Duration::from_secs_f64((2.2 * update_s(rate)).max(2.0 * MIN_UPDATE as f64 / rate) + 0.02);
        assert!(queue < most, "{rate} B/s, {delay} ms: queue of {queue:?}");
    }
}

#[test]
fn a_fast_link_is_not_held_back() {
    for delay in [0, 1] {
        let rate = 500e6;
        let (sent, _) = Link::new(rate, delay).run(&mut fenced(0, None), 5, 4 << 20);
        assert!(sent as f64 > rate * 5.0 * 0.5, "used {} of the link", sent as f64 / (rate * 5.0));
    }
}

#[test]
fn the_check_sees_a_pacer_that_ignores_delay() {
    let mut link = Link::new(1_000_000.0, 20);
    let (_, queue) = link.run(&mut Pacer::new(0, None, None), 5, 4 << 20);
    assert!(queue > Duration::from_secs(1));
}

#[test]
fn frame_rate_and_rate_bounds_hold() {
    let (sent, _) = Link::new(1e9, 0).run(&mut fenced(30, None), 10, 1000);
    assert!((290_000..=302_000).contains(&sent), "{sent} bytes in 10 s at 30 updates of 1000");
    let (sent, _) = Link::new(1e9, 0).run(&mut fenced(0, Some(200_000)), 10, 4 << 20);
    assert!((1_500_000..=2_300_000).contains(&sent), "{sent} bytes in 10 s at 200 kB/s");
    let mut shared = Pacer::new(0, None, Some(TotalRate::new(200_000).join()));
    shared.on_event(PaceEvent::Fences(true), Instant::now());
    let (sent, _) = Link::new(1e9, 0).run(&mut shared, 10, 4 << 20);
    assert!((1_500_000..=2_300_000).contains(&sent), "{sent} bytes in 10 s at 200 kB/s for all");
}

#[test]
fn a_late_frame_does_not_delay_the_next_one() {
    // a source at the bound's rate whose frames take between nothing and half an interval to encode
    let (mut p, start, frame) = (fenced(50, None), Instant::now(), Duration::from_millis(20));
    for n in 1..500u32 {
        let drawn = start + frame * n;
        assert!(matches!(p.verdict(drawn), Verdict::Go(_)), "frame {n} has to wait");
        p.on_event(sent(1000), drawn + frame * (n * 7 % 11) / 22);
        p.on_event(IDLE_SOCKET, drawn);
        p.on_event(PaceEvent::Pong, drawn + frame / 2);
    }
}

#[test]
fn what_has_arrived_is_not_waited_for() {
    let (mut p, now) = (fenced(0, None), Instant::now());
    let ms = |n| now + Duration::from_millis(n);
    for (at, bytes, arrived) in [(0, 10, 1), (100, 1_000_000, 200), (300, 1_000_000, 310)] {
        p.on_event(sent(bytes), ms(at));
        p.on_event(IDLE_SOCKET, ms(at));
        p.on_event(PaceEvent::Pong, ms(arrived));
    }
    // at the rate known when it was sent the last would have taken longer
    p.on_event(sent(10), ms(311));
    p.on_event(IDLE_SOCKET, ms(311));
    assert!(matches!(p.verdict(ms(312)), Verdict::Go(_)), "{:?}", p.verdict(ms(312)));
}

#[test]
fn nothing_is_granted_while_the_last_update_is_unsent() {
    let now = Instant::now();
    let mut p = Pacer::new(0, None, None);
    p.on_event(sent(10), now);
    assert_eq!(p.verdict(now), Verdict::Wait);
    p.on_event(IDLE_SOCKET, now);
    assert!(matches!(p.verdict(now), Verdict::Go(g) if (MIN_UPDATE..=MAX_UPDATE).contains(&g.bytes)));
}

#[test]
fn without_fences_the_kernels_count_holds_the_next_update_back() {
    let now = Instant::now();
    let mut p = Pacer::new(0, None, None);
    p.on_event(sent(100_000), now);
    assert!(p.wants_count());
    p.on_event(PaceEvent::Unsent { bytes: 0, below: Some(40_000) }, now);
    assert!(matches!(p.verdict(now), Verdict::At(at) if at > now));
    p.on_event(PaceEvent::Unsent { bytes: 0, below: Some(0) }, now);
    assert!(matches!(p.verdict(now), Verdict::Go(_)));
    assert!(!p.wants_count());
}

#[test]
fn what_follows_input_may_pass_a_full_window() {
    let now = Instant::now();
    let mut p = fenced(0, None);
    p.on_event(sent(START_WINDOW as usize), now);
    p.on_event(IDLE_SOCKET, now);
    assert_eq!(p.verdict(now), Verdict::Wait);
    p.on_event(PaceEvent::Input, now);
    assert!(matches!(p.verdict(now), Verdict::Go(Grant { small: Small::Only, .. })));
    assert_eq!(p.verdict(now + FOLLOWS), Verdict::Wait);
    p.on_event(sent(START_WINDOW as usize), now);
    p.on_event(IDLE_SOCKET, now);
    assert_eq!(p.verdict(now), Verdict::Wait, "not without bound");
}

#[test]
fn stray_pongs_are_harmless() {
    let now = Instant::now();
    let mut p = fenced(0, None);
    p.on_event(PaceEvent::Pong, now);
    assert_eq!(p.in_flight(), 0);
    let mut p = Pacer::new(0, None, None);
    p.on_event(sent(10), now);
    p.on_event(PaceEvent::Pong, now);
    assert_eq!(p.in_flight(), 10);
}
