//! Sessions on a simulated link: the test owns the clock, the rate, the delay and the queue; encoders and pipeline are real.
//!
//! A desktop shows a 1080p film at 30 pictures a second and, beside it, letters that a user types. Measured is the time from a
//! key leaving the viewer to the last byte of the update that shows its letter reaching it, in simulated time: a busy machine
//! makes the test slower and changes no figure.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use farpane_engine::geometry::{Rect, Region};
use farpane_engine::pipeline::{Lanes, Verdict};
use farpane_rfb::ClientMessage;
use farpane_rfb::encoding::Encoding;
use farpane_rfb::ext::fence::{Fence, FenceFlags};
use farpane_rfb::wire::Area;
use tokio::sync::mpsc::unbounded_channel;

use super::link_desktop_tests::{Desktop, LIMIT, SCREEN, Screen, Stage, photo};
use super::state::Session;
use super::{Access, Described, Hub, Settings, Sharing};
use crate::backend::{BackendEvent, Layout, LayoutOutput, OutputId};
use crate::net::ConnInfo;

const MS: Duration = Duration::from_millis(1);

#[derive(Clone, Copy)]
struct Line {
    bytes_per_s: f64,
    /// There and back.
    rtt: Duration,
}

/// How a viewer keeps updates coming.
#[derive(Clone, Copy, PartialEq)]
enum Viewer {
    /// Fences and continuous updates.
    Fences,
    /// A request when an update has arrived whole.
    AsksAfter,
    /// A request as soon as an update begins to arrive.
    AsksBefore,
}

/// What a run showed.
#[derive(Debug, Default)]
struct Seen {
    /// From key to last byte, sorted.
    latencies: Vec<Duration>,
    /// Part of the line that was used.
    used: f64,
    updates: u64,
    /// Updates that were sent while bytes of the one before were still under way.
    queued: u64,
    frames: u64,
    worst_queue: Duration,
}

impl Seen {
    fn p95(&self) -> Duration {
        self.latencies[self.latencies.len() * 95 / 100]
    }
}

/// Bytes that the kernel takes at most beyond those on the line.
const SOCKET: usize = 256 * 1024;

struct Simulation {
    screen: Screen,
    session: Session,
    _runtime: tokio::runtime::Runtime,
    _member: super::Membership,
    epoch: Instant,
    now: Duration,
    viewer: Viewer,
    /// Whether the kernel's count is there for the pacer.
    counted: bool,
    /// Bytes in the socket, in front of the line, with the place of the last one.
    socket: VecDeque<u8>,
    /// The part of a byte that the line could have carried.
    credit: f64,
    /// Bytes queued, put into the socket and carried so far.
    queued: u64,
    carried: u64,
    /// When each stretch of carried bytes reaches the viewer: up to which byte.
    arriving: VecDeque<(Duration, u64)>,
    /// The last bytes that were carried, to find fences in.
    tail: VecDeque<u8>,
    /// Messages on their way to the server.
    messages: VecDeque<(Duration, ClientMessage)>,
    /// First and last byte of updates under way.
    updates: VecDeque<(u64, u64)>,
    acked: u64,
}

fn fence_bytes() -> Vec<u8> {
    let mut bytes = Vec::new();
    let fence = Fence::new(FenceFlags::REQUEST.union(FenceFlags::BLOCK_BEFORE), super::updates::UPDATE_FENCE);
    fence.expect("a fence").write(&mut bytes);
    bytes
}

impl Simulation {
    fn new(viewer: Viewer, counted: bool) -> Self {
        let pixels = vec![0x00f0_f0f0; SCREEN.area() as usize];
        let stage = Stage { pixels, photo: photo(), changed: Region::new(), bell: None, idle: 0, frames: 0 };
        let screen = Screen(Arc::new(Mutex::new(stage)));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (events, received) = unbounded_channel();
        let lanes = Arc::new(Lanes::new(2, 0).expect("threads"));
        let hub = {
            let _inside = runtime.enter();
            Hub::start(
                Arc::new(Desktop),
                received,
                lanes,
                None,
                Box::new(|| Box::new(farpane_engine::damage::CpuDamage::new())),
            )
        };
        let layout = Layout {
            size: SCREEN,
            outputs: vec![LayoutOutput { id: OutputId(0), name: "test".into(), rect: SCREEN.rect() }],
        };
        let told = events.send(BackendEvent::OutputAdded(OutputId(0), Box::new(screen.clone())));
        assert!(told.is_ok() && events.send(BackendEvent::LayoutChanged(layout)).is_ok());
        let end = Instant::now() + LIMIT;
        while !hub.is_ready() {
            assert!(Instant::now() < end, "no layout");
            std::thread::yield_now();
        }
        // exact pixels are a matter of another test: none are due before the end
        let settings = Settings { refresh_quiet: Duration::from_secs(3600), ..Settings::default() };
        let info = ConnInfo::in_process("test");
        let who = Described::new(hub.new_id(), Access::anonymous(false), &info, "None (1)".into(), Instant::now());
        let member = hub.join(who, Sharing::Shared, 1).expect("a place");
        let session = Session::new(Arc::clone(&member.entry), Arc::clone(&hub), Arc::new(settings), Arc::new(|| {}));
        let mut simulation = Self {
            screen,
            session,
            _runtime: runtime,
            _member: member,
            epoch: Instant::now(),
            now: Duration::ZERO,
            viewer,
            counted,
            socket: VecDeque::new(),
            credit: 0.0,
            queued: 0,
            carried: 0,
            arriving: VecDeque::new(),
            tail: VecDeque::new(),
            messages: VecDeque::new(),
            updates: VecDeque::new(),
            acked: 0,
        };
        let mut list = vec![Encoding(7), Encoding(1), Encoding(-24), Encoding(-239)];
        if viewer == Viewer::Fences {
            list.extend([Encoding::FENCE, Encoding::CONTINUOUS_UPDATES]);
        }
        let area = Area { x: 0, y: 0, width: SCREEN.w, height: SCREEN.h };
        let mut begin = vec![ClientMessage::SetEncodings { listed: list.len() as u16, encodings: list }];
        if viewer == Viewer::Fences {
            begin.extend(Fence::announcement().answer().map(ClientMessage::Fence));
            begin.push(ClientMessage::EnableContinuousUpdates { on: true, area });
        } else {
            begin.push(ClientMessage::FramebufferUpdateRequest { incremental: false, area });
        }
        simulation.messages.extend(begin.into_iter().map(|m| (Duration::ZERO, m)));
        simulation
    }

    fn clock(&self) -> Instant {
        self.epoch + self.now
    }

    /// Lets the session do what it can; notes updates that it made.
    fn pump(&mut self, seen: &mut Seen) {
        loop {
            let now = self.clock();
            let before = self.session.updates_sent;
            let unacked = (self.queued - self.acked) as usize;
            let below = (self.counted && self.session.wants_count()).then_some(unacked);
            self.session.count_below(below);
            let job = self.session.pump(now).expect("a session");
            let encoded = job.is_some();
            if let Some(job) = job {
                let done = job.run(now);
                self.session.job_done(done, now);
            }
            let start = self.queued;
            let waiting = self.session.outbox.waiting() as u64 + self.taken_of_outbox();
            if waiting > self.queued {
                self.queued = waiting;
            }
            if self.session.updates_sent > before {
                seen.updates += 1;
                seen.queued += u64::from(self.carried < start);
                self.updates.push_back((start, self.queued));
            } else if !encoded {
                return;
            }
        }
    }

    /// Bytes that left the outbox so far.
    fn taken_of_outbox(&self) -> u64 {
        self.carried + self.socket.len() as u64
    }

    /// Whether the session takes pictures: then what was painted has to be seen before it goes on.
    fn takes(&self) -> bool {
        let asked = self.session.continuous.is_some() || !self.session.requested.is_empty();
        let go = matches!(self.session.pacer.verdict(self.clock()), Verdict::Go(_));
        (asked && go) || self.session.pacer.follows_input(self.clock())
    }

    /// One millisecond of the line.
    fn carry(&mut self, line: Line, seen: &mut Seen, measured: bool) {
        while self.socket.len() < SOCKET {
            let room = SOCKET - self.socket.len();
            let Some(front) = self.session.outbox().front() else { break };
            let n = front.len().min(room);
            self.socket.extend(&front[..n]);
            self.session.outbox().written(n);
        }
        let could = line.bytes_per_s / 1000.0;
        self.credit = (self.credit + could).min(could.max(1.0) + self.credit.fract());
        let n = (self.credit as usize).min(self.socket.len());
        self.credit = if self.socket.len() > n { self.credit - n as f64 } else { 0.0 };
        let fence = fence_bytes();
        for _ in 0..n {
            let Some(byte) = self.socket.pop_front() else { break };
            self.carried += 1;
            self.tail.push_back(byte);
            if self.tail.len() > fence.len() {
                self.tail.pop_front();
            }
            if self.viewer == Viewer::Fences && self.tail.iter().eq(&fence) {
                let answer = Fence::new(FenceFlags::BLOCK_BEFORE, super::updates::UPDATE_FENCE);
                self.messages.push_back((self.now + line.rtt, ClientMessage::Fence(answer.expect("a fence"))));
            }
        }
        if n > 0 {
            self.arriving.push_back((self.now + line.rtt / 2, self.carried));
        }
        if measured {
            seen.used += n as f64 / line.bytes_per_s;
            seen.worst_queue =
                seen.worst_queue.max(Duration::from_secs_f64(self.socket.len() as f64 / line.bytes_per_s));
        }
    }

    /// Runs for so long; `keys` says whether the user types. The first two seconds are not measured.
    fn run(&mut self, line: Line, time: Duration, keys: bool) -> Seen {
        let mut seen = Seen::default();
        let (began, end) = (self.now, self.now + time);
        let warm = began + Duration::from_secs(2);
        let mut film = 0usize;
        let mut next_film = began;
        let mut next_key = began + MS * 300;
        // letters pressed: when, and once painted where; once sent up to which byte
        let mut pressed: VecDeque<(Duration, Duration)> = VecDeque::new();
        let mut painted: VecDeque<(Duration, Rect)> = VecDeque::new();
        let mut sent: VecDeque<(Duration, u64)> = VecDeque::new();
        let mut place = 0u16;
        let mut asked = self.updates.len();
        while self.now < end {
            while self.messages.front().is_some_and(|(at, _)| *at <= self.now) {
                let Some((_, message)) = self.messages.pop_front() else { break };
                let now = self.clock();
                assert!(self.session.on_message(message, now).is_ok());
            }
            if self.now >= next_film {
                film += 1;
                next_film += Duration::from_nanos(33_333_333);
                self.screen.stage().film(film);
            }
            if keys && self.now >= next_key && next_key + Duration::from_secs(1) < end {
                next_key += MS * 113;
                let key = ClientMessage::KeyEvent { down: true, keysym: 0x61 };
                self.messages.push_back((self.now + line.rtt / 2, key));
                self.messages.make_contiguous().sort_by_key(|(at, _)| *at);
                pressed.push_back((self.now, self.now + line.rtt / 2 + MS * 3));
            }
            while pressed.front().is_some_and(|(_, at)| *at <= self.now) {
                let Some((key, _)) = pressed.pop_front() else { break };
                // a cell away from the film: what is nearer is one change with it
                let rect = Rect::new(2064 + place % 23 * 10, 80 + place / 23 % 50 * 20, 10, 20);
                place += 1;
                self.screen.stage().fill(rect, |x, y| if (x + y + place).is_multiple_of(3) { 0 } else { 0x00f0_f0f0 });
                painted.push_back((key, rect));
            }
            let updates = self.updates.len();
            self.pump(&mut seen);
            if self.takes() && !self.screen.stage().changed.is_empty() {
                self.screen.settle();
                self.pump(&mut seen);
            }
            if self.updates.len() > updates || !painted.is_empty() {
                let picture = self.session.picture.as_ref().expect("it is here");
                let clean = self.screen.stage().changed.is_empty();
                while let Some((key, rect)) = painted.front().copied() {
                    if !clean || picture.has_pending(&Region::from(rect)) {
                        break;
                    }
                    sent.push_back((key, self.queued));
                    painted.pop_front();
                }
            }
            self.carry(line, &mut seen, self.now >= warm);
            self.now += MS;
            while self.arriving.front().is_some_and(|(at, _)| *at <= self.now) {
                let Some((_, upto)) = self.arriving.pop_front() else { break };
                self.acked = upto;
                while self.updates.get(asked).is_some_and(|(first, last)| match self.viewer {
                    Viewer::AsksBefore => *first < upto,
                    _ => *last <= upto,
                }) {
                    asked += 1;
                    if self.viewer != Viewer::Fences {
                        let area = Area { x: 0, y: 0, width: SCREEN.w, height: SCREEN.h };
                        let request = ClientMessage::FramebufferUpdateRequest { incremental: true, area };
                        self.messages.push_back((self.now + line.rtt / 2, request));
                    }
                }
                while sent.front().is_some_and(|(_, last)| *last <= upto) {
                    let Some((key, _)) = sent.pop_front() else { break };
                    if key >= warm {
                        seen.latencies.push(self.now - key);
                    }
                }
            }
        }
        seen.latencies.sort_unstable();
        seen.used /= (end.saturating_sub(warm)).as_secs_f64();
        seen.frames = self.screen.stage().frames;
        assert!(!keys || seen.latencies.len() >= 8, "{} letters of {place} arrived", seen.latencies.len());
        seen
    }
}

const fn line(bytes_per_s: f64, rtt_ms: u64) -> Line {
    Line { bytes_per_s, rtt: Duration::from_millis(rtt_ms) }
}

const TIME: Duration = Duration::from_secs(8);

fn told(what: &str, seen: &Seen) {
    let p50 = seen.latencies.get(seen.latencies.len() / 2);
    let p95 = (!seen.latencies.is_empty()).then(|| seen.p95());
    println!(
        "{what}: key to update {p50:?} median, {p95:?} p95, {:.0} % of the line used, {} updates, {} behind another, \
         longest queue {:?}",
        seen.used * 100.0,
        seen.updates,
        seen.queued,
        seen.worst_queue
    );
}

#[test]
fn at_20_mbit_and_40_ms_typing_stays_quick_beside_a_film_that_fills_the_line() {
    let seen = Simulation::new(Viewer::Fences, false).run(line(2.5e6, 40), TIME, true);
    told("20 Mbit/s, 40 ms, fences", &seen);
    assert!(seen.p95() <= MS * 120, "{:?}", seen.p95());
    assert!(seen.used >= 0.85, "{}", seen.used);
}

#[test]
fn at_2_mbit_without_fences_typing_is_quick_and_no_update_waits_behind_another() {
    for (viewer, counted) in [(Viewer::AsksAfter, true), (Viewer::AsksBefore, true), (Viewer::AsksAfter, false)] {
        let seen = Simulation::new(viewer, counted).run(line(250e3, 40), TIME, true);
        told("2 Mbit/s, 40 ms, no fences", &seen);
        assert!(seen.p95() <= MS * 400, "{:?}", seen.p95());
        assert_eq!(seen.queued, 0, "updates behind another");
        assert!(seen.used >= 0.4, "{}", seen.used);
    }
}

#[test]
fn on_loopback_every_picture_of_the_film_is_taken() {
    let mut simulation = Simulation::new(Viewer::Fences, false);
    simulation.run(line(1e9, 0), Duration::from_secs(2), false);
    let before = simulation.screen.stage().frames;
    let seen = simulation.run(line(1e9, 0), Duration::from_secs(3), false);
    told("loopback", &seen);
    let taken = seen.frames - before;
    assert!((89..=92).contains(&taken), "{taken} of 90 pictures");
}

#[test]
fn a_line_that_turns_slow_and_fast_again_is_followed() {
    let mut simulation = Simulation::new(Viewer::Fences, false);
    let fast = line(5e6, 20);
    told("40 Mbit/s", &simulation.run(fast, Duration::from_secs(5), true));
    // the longer way is seen once the line was found idle
    simulation.run(line(625e3, 60), Duration::from_secs(5), true);
    let slow = simulation.run(line(625e3, 60), TIME, true);
    told("then 5 Mbit/s", &slow);
    assert!(slow.p95() <= MS * 200, "{:?}", slow.p95());
    assert!(slow.used >= 0.85, "{}", slow.used);
    let step = simulation.session.pacer.quality_step();
    assert!(step >= 2, "quality is {step} steps down");
    let again = simulation.run(fast, TIME, true);
    told("then 40 Mbit/s again", &again);
    assert!(again.p95() <= MS * 120, "{:?}", again.p95());
    let step = simulation.session.pacer.quality_step();
    assert!(step <= 1, "quality is {step} steps down");
}

#[test]
fn the_figures_show_a_session_that_ignores_the_link() {
    // one that believes that a viewer without fences has got everything at once
    let mut simulation = Simulation::new(Viewer::AsksBefore, false);
    let seen = simulation.run(line(250e3, 40), TIME, true);
    told("2 Mbit/s, asked early and not counted", &seen);
    assert!(seen.queued > 0);
}
