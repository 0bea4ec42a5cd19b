//! The measurement of one turn: frames at a steady rate, or nothing at all.

use super::{Encoding, Host, Programs};
use crate::definition::{Mode, Server};
use crate::draw::{Drawer, Drawn, Shared};
use crate::link::{Link, Proxy};
use crate::process::Use;
use crate::replay::frames_seen;
use crate::rfb::{Client, Style};
use crate::stats::percentile;
use anyhow::Context;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is measured in one turn.
pub struct Cell<'a> {
    /// The server.
    pub server: &'a Server,
    /// Where the programs are.
    pub programs: &'a Programs,
    /// The workload at its size.
    pub shared: &'a Arc<Shared>,
    /// The encoding.
    pub encoding: Encoding,
    /// How long.
    pub seconds: f64,
}

/// What one turn gave: figures by name (`report::METRICS` says what they are), and every latency.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Figures.
    pub values: BTreeMap<&'static str, f64>,
    /// Milliseconds, one for each event or frame seen.
    pub latencies_ms: Vec<f64>,
    /// The server's command line.
    pub command: String,
}

impl Sample {
    /// Notes a figure.
    pub fn set(&mut self, name: &'static str, value: f64) {
        if value.is_finite() {
            self.values.insert(name, value);
        }
    }

    /// Notes latencies and their percentiles.
    pub fn set_latencies(&mut self, ms: Vec<f64>) {
        for (name, share) in [("latency_p50_ms", 0.5), ("latency_p95_ms", 0.95), ("latency_p99_ms", 0.99)] {
            if let Some(value) = percentile(&ms, share) {
                self.set(name, value);
            }
        }
        self.latencies_ms = ms;
    }
}

/// A stretch of time and what was used in it.
pub struct Window {
    began: Instant,
    before: (Use, Use),
}

impl Window {
    /// Begins now.
    pub fn begin(host: &Host) -> Self {
        Self { before: host.used(), began: Instant::now() }
    }

    /// When it began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Ends now: seconds, CPU seconds of the VNC server and of its display, and sleeps of the server's threads.
    pub fn end(&self, host: &Host) -> (f64, f64, f64, f64) {
        let seconds = self.began.elapsed().as_secs_f64();
        let (server, display) = host.used();
        let cpu = |after: Use, before: Use| (after.cpu_s - before.cpu_s).max(0.0);
        let sleeps = server.sleeps.saturating_sub(self.before.0.sleeps) as f64;
        (seconds, cpu(server, self.before.0), cpu(display, self.before.1), sleeps)
    }
}

/// A viewer that reads on a thread of its own until it is told to stop.
struct Watching {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Client>>,
}

impl Watching {
    fn start(mut client: Client) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("viewer".into()).spawn({
            let stop = stop.clone();
            move || {
                while !stop.load(Ordering::SeqCst) {
                    client.read(Duration::from_millis(100))?;
                }
                client.settle(Duration::from_millis(300), Duration::from_secs(3))?;
                Ok(client)
            }
        })?;
        Ok(Self { stop, thread })
    }

    fn end(self) -> anyhow::Result<Client> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().map_err(|_| anyhow::anyhow!("the viewer's thread ended badly"))?
    }
}

impl Cell<'_> {
    /// Starts the server afresh with the workload on its screen.
    pub(super) fn open(&self) -> anyhow::Result<(Host, Drawer)> {
        let d = &self.shared.scene.definition;
        let host = Host::start(self.server, self.programs, (self.shared.scene.w, self.shared.scene.h), d.cores)?;
        let drawer = Drawer::start(&host.display, self.shared.clone())
            .with_context(|| format!("drawing on {}; its log ends:\n{}", host.display, host.tail()))?;
        Ok((host, drawer))
    }

    /// How the viewer behaves.
    pub(super) fn style(&self, asks: bool) -> Style {
        let fences = self.shared.scene.definition.fences;
        Style { encodings: self.encoding.listed(fences), continuous: fences && asks, asks, keeps: true }
    }

    /// Connects a viewer, over the workload's link.
    pub(super) fn viewer(&self, host: &Host, asks: bool) -> anyhow::Result<(Client, Option<Proxy>)> {
        let d = &self.shared.scene.definition;
        let proxy = match d.link_mbit > 0.0 {
            true => Some(Proxy::start(host.port, Link::new(d.link_mbit, d.link_rtt_ms))?),
            false => None,
        };
        let port = proxy.as_ref().map_or(host.port, |p| p.port);
        Ok((Client::connect(port, self.style(asks))?, proxy))
    }

    /// Measures one turn.
    ///
    /// # Errors
    /// When server, display or viewer fail; the text says which and holds the log's last lines.
    pub fn measure(&self) -> anyhow::Result<Sample> {
        let (mut host, drawer) = self.open()?;
        let result = match self.shared.scene.definition.mode {
            Mode::Stream => self.stream(&host, &drawer),
            Mode::Idle => self.idle(&host),
            Mode::Keys => self.keys(&host, &drawer),
            Mode::KeysBeside => self.keys_beside(&host, &drawer),
            Mode::Encoder | Mode::EncoderStill => self.encoder(&host, &drawer),
        };
        let mut sample = result.with_context(|| {
            let state = if host.alive() { "runs" } else { "has ended" };
            format!("{} ({state}); its log ends:\n{}", self.server.name, host.tail())
        })?;
        let (server, display) = host.used();
        sample.set("peak_mib", server.peak_kib as f64 / 1024.0);
        sample.set("peak_display_mib", display.peak_kib as f64 / 1024.0);
        sample.command = host.command().to_owned();
        Ok(sample)
    }

    fn stream(&self, host: &Host, drawer: &Drawer) -> anyhow::Result<Sample> {
        let d = &self.shared.scene.definition;
        // what the desktop costs, and how fast it is, when nobody watches
        drawer.run(d.hz)?;
        std::thread::sleep(Duration::from_millis(300));
        let (alone, first) = (Window::begin(host), drawer.count());
        std::thread::sleep(Duration::from_secs_f64((self.seconds / 2.0).max(1.0)));
        let (alone_s, alone_vnc, alone_display, _) = alone.end(host);
        let alone_frames = f64::from(drawer.count() - first).max(1.0);
        let alone_cpu_a_frame = (alone_vnc + alone_display) / alone_frames;
        drawer.stop();

        let (mut client, _link) = self.viewer(host, true)?;
        client.first_picture(Duration::from_millis(500), Duration::from_secs(30))?;
        let mut others = Vec::new();
        for _ in 1..d.viewers {
            let mut other = Client::connect(host.port, Style { keeps: false, ..self.style(true) })?;
            other.first_picture(Duration::from_millis(100), Duration::from_secs(30))?;
            others.push(Watching::start(other)?);
        }
        let watching = Watching::start(client)?;
        drawer.run(d.hz)?;
        std::thread::sleep(Duration::from_secs(1));
        drawer.take_drawn();
        let (window, first) = (Window::begin(host), drawer.count());
        std::thread::sleep(Duration::from_secs_f64(self.seconds));
        let (seconds, vnc, display, _) = window.end(host);
        let frames = f64::from(drawer.count() - first);
        drawer.stop();
        let client = watching.end()?;
        let others = others.into_iter().map(Watching::end).collect::<anyhow::Result<Vec<_>>>()?;
        let drawn = drawer.take_drawn();

        let mut s = Sample::default();
        let end = window.began() + Duration::from_secs_f64(seconds);
        let within = |at: Instant| window.began() <= at && at <= end;
        let of = |client: &Client| {
            let updates: Vec<_> = client.updates.iter().filter(|u| within(u.at)).collect();
            let bytes: usize = updates.iter().map(|u| u.bytes).sum();
            (updates.len() as f64, updates.iter().map(|u| u.px()).sum::<u64>() as f64, bytes as f64)
        };
        let (updates, px, bytes) = of(&client);
        let all_px: f64 = px + others.iter().map(|c| of(c).1).sum::<f64>();
        let extra = vnc + display - alone_cpu_a_frame * frames;
        s.set("cpu_s_per_s", (vnc + display) / seconds);
        s.set("cpu_vnc_s_per_s", vnc / seconds);
        s.set("extra_cpu_s_per_s", extra / seconds);
        s.set("updates_per_s", updates / seconds);
        s.set("mpx_sent_per_s", px / seconds / 1e6);
        s.set("bytes_per_px", bytes / px);
        s.set("mbit_per_s", bytes * 8.0 / seconds / 1e6);
        s.set("extra_ms_per_mpx_sent", extra * 1e3 / (all_px / 1e6));
        s.set("frames_drawn_per_s", frames / seconds);
        s.set("desktop_rate", (frames / seconds) / (alone_frames / alone_s));
        self.ages(&mut s, &client, &drawn, within, seconds, extra)?;
        if let Some(seen) = s.values.get("frames_seen_per_s").copied() {
            s.set("bytes_per_px_shown", bytes / (seen * seconds * self.shared.scene.changed_px() as f64));
        }
        Ok(s)
    }

    /// Which frames were seen, and how old each was when it was there.
    fn ages(
        &self,
        s: &mut Sample,
        client: &Client,
        drawn: &[Drawn],
        within: impl Fn(Instant) -> bool,
        seconds: f64,
        extra: f64,
    ) -> anyhow::Result<()> {
        let scene = &self.shared.scene;
        if scene.markers.is_empty() {
            return Ok(());
        }
        let seen = frames_seen(client, &scene.markers)?;
        let mut ages = Vec::new();
        for (frame, at) in seen.iter().filter(|(_, at)| within(*at)) {
            if let Some(d) = drawn.iter().find(|d| d.number == *frame) {
                // an update may overtake the drawer's own answer from the X server
                ages.push(at.saturating_duration_since(d.at).as_secs_f64() * 1e3);
            }
        }
        s.set("frames_seen_per_s", ages.len() as f64 / seconds);
        let shown_mpx = ages.len() as f64 * scene.changed_px() as f64 / 1e6;
        s.set("extra_ms_per_mpx_shown", extra * 1e3 / shown_mpx);
        s.set_latencies(ages);
        Ok(())
    }

    fn idle(&self, host: &Host) -> anyhow::Result<Sample> {
        let (mut client, _link) = self.viewer(host, true)?;
        // longer than any server's lossless refresh takes
        client.first_picture(Duration::from_secs(3), Duration::from_secs(30))?;
        let before = (client.received, client.updates.len());
        let watching = Watching::start(client)?;
        let window = Window::begin(host);
        std::thread::sleep(Duration::from_secs_f64(self.seconds.max(5.0)));
        let (seconds, vnc, display, sleeps) = window.end(host);
        let client = watching.end()?;
        let mut s = Sample::default();
        s.set("idle_cpu_s_per_s", (vnc + display) / seconds);
        s.set("cpu_vnc_s_per_s", vnc / seconds);
        s.set("wakeups_per_s", sleeps / seconds);
        s.set("updates_per_s", (client.updates.len() - before.1) as f64 / seconds);
        s.set("mbit_per_s", (client.received - before.0) as f64 * 8.0 / seconds / 1e6);
        Ok(s)
    }
}
