//! Events on their way from the network to the sinks.
//!
//! INVARIANT: [`Audit::record`] never waits. Each sink has a bounded queue and a thread of its own, so that one that hangs holds up
//! neither the network nor the others. What a queue has no room for, and what a sink does not take, is counted, and the count is written as an
//! event `lost` before the next line that is. Events that anybody can cause are bounded ([`flood`](super::flood)), and take no
//! more than a quarter of a queue: there is always room for logins.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::event::{Event, What};
use super::flood::{self, Bucket};
use super::sinks::{Line, Sink};
use crate::auth::Moment;

/// Events that wait for a sink at most.
const ROOM: usize = 4096;

enum Item {
    Event(Moment, Arc<Event>, Option<Guest>),
    /// Answers once everything before it is written, and writes what was lost.
    Flush(Moment, SyncSender<()>),
}

/// An event in a queue that anybody can cause; counted while it waits.
struct Guest(Arc<AtomicUsize>);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One sink's queue.
struct Outlet {
    queue: SyncSender<Item>,
    lost: Arc<AtomicU64>,
    guests: Arc<AtomicUsize>,
    /// Guests at once.
    most_guests: usize,
}

impl Outlet {
    fn hand_on(&self, event: &Arc<Event>, now: Moment, anybodys: bool) {
        let guest = anybodys.then(|| {
            let others = self.guests.fetch_add(1, Ordering::Relaxed);
            (others < self.most_guests, Guest(Arc::clone(&self.guests)))
        });
        let room = guest.as_ref().is_none_or(|(room, _)| *room);
        let item = Item::Event(now, Arc::clone(event), guest.map(|(_, guest)| guest));
        if !room || self.queue.try_send(item).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Takes events; clones go to the same sinks. Dropping the last one ends the threads once their queues are empty.
#[derive(Clone)]
pub struct Audit {
    outlets: Arc<[Outlet]>,
    bucket: Arc<Mutex<Bucket>>,
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Audit to {} sinks", self.outlets.len())
    }
}

impl Audit {
    /// Takes events and forgets them.
    pub fn off() -> Self {
        Audit { outlets: Arc::new([]), bucket: Arc::default() }
    }

    /// Starts a thread for each sink.
    ///
    /// # Errors
    /// When the system has no threads left.
    pub fn start(sinks: Vec<Box<dyn Sink>>) -> std::io::Result<Self> {
        Self::with_room(sinks, ROOM)
    }

    fn with_room(sinks: Vec<Box<dyn Sink>>, room: usize) -> std::io::Result<Self> {
        let start = |sink: Box<dyn Sink>| {
            let (queue, items) = sync_channel(room);
            let lost = Arc::new(AtomicU64::new(0));
            let writer = Writer { sink, lost: Arc::clone(&lost), failing: false, missing: 0 };
            std::thread::Builder::new().name("farpane-audit".into()).spawn(move || writer.run(&items))?;
            Ok(Outlet { queue, lost, guests: Arc::default(), most_guests: room / 4 })
        };
        let outlets: std::io::Result<Vec<Outlet>> = sinks.into_iter().map(start).collect();
        Ok(Audit { outlets: outlets?.into(), bucket: Arc::default() })
    }

    /// Hands an event on. Never waits.
    pub fn record(&self, event: Event, now: Moment) {
        let anybodys = flood::is_anybodys(&event);
        let Some(kept_back) = self.bucket().pass(&event, now) else { return };
        self.tell_kept_back(kept_back, now);
        self.hand_on(event, now, anybodys);
    }

    fn bucket(&self) -> std::sync::MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_on(&self, event: Event, now: Moment, anybodys: bool) {
        let event = Arc::new(event);
        self.outlets.iter().for_each(|outlet| outlet.hand_on(&event, now, anybodys));
    }

    fn tell_kept_back(&self, events: u64, now: Moment) {
        if events > 0 {
            self.hand_on(Event::of_server(What::Unwritten { events }), now, false);
        }
    }

    /// Waits until everything recorded so far is written, at most `limit` for each sink; says whether it is. For the end of a program.
    pub fn flush(&self, now: Moment, limit: Duration) -> bool {
        let kept_back = self.bucket().kept_back();
        self.tell_kept_back(kept_back, now);
        let asked: Vec<Option<Receiver<()>>> = self
            .outlets
            .iter()
            .map(|outlet| {
                let (done, answered) = sync_channel(1);
                outlet.queue.try_send(Item::Flush(now, done)).ok().map(|()| answered)
            })
            .collect();
        let mut all = true;
        for answered in asked {
            // every sink gets its time, also behind one that did not answer
            all &= answered.is_some_and(|answered| answered.recv_timeout(limit).is_ok());
        }
        all
    }
}

struct Writer {
    sink: Box<dyn Sink>,
    lost: Arc<AtomicU64>,
    failing: bool,
    /// Events that were not written since it began to fail.
    missing: u64,
}

fn line(event: &Event, at: Moment) -> Line {
    Line { at, event: event.what.name(), severity: event.what.severity(), json: event.json(at) }
}

impl Writer {
    fn run(mut self, items: &Receiver<Item>) {
        loop {
            let item = match items.try_recv() {
                Ok(item) => item,
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    self.settle();
                    match items.recv() {
                        Ok(item) => item,
                        Err(_) => return,
                    }
                }
            };
            match item {
                Item::Event(at, event, _guest) => {
                    self.tell_lost(at);
                    if !self.write(&line(&event, at)) {
                        self.lost.fetch_add(1, Ordering::Relaxed);
                        self.missing += 1;
                    }
                }
                Item::Flush(at, done) => {
                    self.tell_lost(at);
                    self.settle();
                    // whoever asked may have given up
                    let _ = done.send(());
                }
            }
        }
    }

    fn tell_lost(&mut self, at: Moment) {
        let events = self.lost.swap(0, Ordering::Relaxed);
        if events > 0 && !self.write(&line(&Event::of_server(What::Lost { events }), at)) {
            self.lost.fetch_add(events, Ordering::Relaxed);
        }
    }

    fn write(&mut self, line: &Line) -> bool {
        let written = self.sink.write(line);
        self.note(written.map_err(|error| error.to_string()))
    }

    fn settle(&mut self) {
        let settled = self.sink.settle();
        self.note(settled.map_err(|error| error.to_string()));
    }

    /// Says in the log when a sink begins to fail and when it works again, and not for every line.
    fn note(&mut self, result: Result<(), String>) -> bool {
        match &result {
            Err(error) if !self.failing => {
                tracing::error!(sink = %self.sink.name(), %error, "audit events are lost");
            }
            Ok(()) if self.failing => {
                let (sink, missing) = (self.sink.name(), std::mem::take(&mut self.missing));
                tracing::warn!(%sink, "audit events are written again; {missing} events were not written");
            }
            _ => {}
        }
        self.failing = result.is_err();
        result.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::SinkError;
    use std::sync::mpsc::{Sender, channel};

    /// Hands lines to the test, and waits for a word before each if it is gated.
    struct Test {
        out: Sender<String>,
        gate: Option<Receiver<bool>>,
    }

    impl Sink for Test {
        fn name(&self) -> String {
            "test".into()
        }
        fn write(&mut self, line: &Line) -> Result<(), SinkError> {
            if let Some(gate) = &self.gate
                && !gate.recv().unwrap_or(true)
            {
                return Err(SinkError::Journal(std::io::ErrorKind::Other.into()));
            }
            let _ = self.out.send(line.json.clone());
            Ok(())
        }
    }

    fn event(n: u64) -> Event {
        Event::of_server(What::Config { settings: n })
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn a_sink_that_hangs_holds_up_nobody_and_what_was_lost_is_told() {
        let ((slow_out, slow), (quick_out, quick)) = (channel(), channel());
        let (open, gate) = channel();
        let sinks: Vec<Box<dyn Sink>> =
            vec![Box::new(Test { out: slow_out, gate: Some(gate) }), Box::new(Test { out: quick_out, gate: None })];
        let audit = Audit::with_room(sinks, 4).unwrap();
        for n in 0..100 {
            audit.record(event(n), Moment::default());
            // the quick sink keeps up: its queue has room whenever it was heard
            assert!(quick.recv_timeout(PATIENCE).unwrap().contains(&format!("\"count\":{n}")));
        }
        for _ in 0..101 {
            open.send(true).unwrap();
        }
        // a flush finds room once the queue has moved
        let end = std::time::Instant::now() + PATIENCE;
        while !audit.flush(Moment::default(), PATIENCE) {
            assert!(std::time::Instant::now() < end, "never flushed");
            std::thread::yield_now();
        }
        let told: Vec<String> = slow.try_iter().collect();
        let lost: u64 = told
            .iter()
            .map(|json| serde_json::from_str::<serde_json::Value>(json).unwrap())
            .filter(|json| json["event"] == "lost")
            .map(|json| json["count"].as_u64().unwrap())
            .sum();
        let written = told.iter().filter(|json| json.contains("\"event\":\"config\"")).count() as u64;
        assert_eq!(lost + written, 100, "{told:?}");
        assert!(lost >= 90, "{lost}");
    }

    #[test]
    fn a_flood_of_strangers_takes_no_room_from_a_login_and_is_told() {
        let (out, told) = channel();
        let (open, gate) = channel();
        let audit = Audit::with_room(vec![Box::new(Test { out, gate: Some(gate) })], 40).unwrap();
        let login = || Event::of_server(What::AuthFail { reason: crate::audit::Reason::WrongProof });
        for n in 0..1000 {
            audit.record(Event::of_server(What::Connect), Moment::default());
            if n % 50 == 0 {
                audit.record(login(), Moment::default());
            }
        }
        drop(open);
        let end = std::time::Instant::now() + PATIENCE;
        while !audit.flush(Moment::default(), PATIENCE) {
            assert!(std::time::Instant::now() < end, "never flushed");
        }
        let told: Vec<serde_json::Value> = told.try_iter().map(|json| serde_json::from_str(&json).unwrap()).collect();
        let count = |event: &str| told.iter().filter(|json| json["event"] == event).count() as u64;
        let sum = |event: &str| -> u64 {
            told.iter().filter(|json| json["event"] == event).filter_map(|json| json["count"].as_u64()).sum()
        };
        assert_eq!(count("auth-fail"), 20, "none had to make room");
        assert!(count("connect") <= 11, "a quarter of the queue, and the one that is being written");
        assert_eq!(sum("unwritten"), 900);
        assert_eq!(count("connect") + sum("lost"), 100);
    }

    #[test]
    fn what_a_sink_refuses_is_counted_too() {
        let (out, told) = channel();
        let (say, gate) = channel();
        let audit = Audit::with_room(vec![Box::new(Test { out, gate: Some(gate) })], 100).unwrap();
        // two are refused: the first, and the word that it was lost; then the second is
        for word in [false, false, false, true, true] {
            say.send(word).unwrap();
        }
        drop(say);
        for n in 0..3 {
            audit.record(event(n), Moment::default());
        }
        assert!(audit.flush(Moment::default(), PATIENCE));
        let told: Vec<String> = told.try_iter().collect();
        assert!(told[0].contains("\"event\":\"lost\",\"count\":2") && told[1].contains("\"count\":2"), "{told:?}");
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn without_sinks_nothing_happens() {
        let audit = Audit::off();
        audit.record(event(1), Moment::default());
        assert!(audit.flush(Moment::default(), Duration::ZERO));
    }
}
