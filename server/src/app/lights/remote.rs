//! The helper as the server asks it, by a thread: monitors take their time.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use farpane_engine::geometry::Size;

use super::{AppError, Ask, Told};
use crate::backend::lights::Dark;
use crate::backend::side_car::{Made, Wanted};
use crate::helper::{Calls, Line};
use crate::session::{Lighting, MonitorMade};

/// What switching monitors may take: real ones take seconds to change their modes.
const SWITCH_LIMIT: Duration = Duration::from_secs(15);
/// What leaving all as it was may take at the end of the server.
const LAST_MOMENT: Duration = Duration::from_secs(5);
/// A monitor that somebody else lights again is switched off once more at most so often.
const AT_MOST: usize = 3;
/// Within this time.
const WITHIN: Duration = Duration::from_secs(10);
/// How long a monitor that was made stays when nobody looks any more: a viewer that lost its connection finds its windows again.
const LINGER: Duration = Duration::from_secs(10);

/// What the thread that asks is told.
enum Wish {
    /// These alone are looked at; nothing is to be dark where none is named.
    Only(Vec<String>),
    /// These are to be there beside the desktop's own.
    SideCars(BTreeMap<u32, Size>),
    /// All is to be as it was, at once; say when it is.
    Settle(Sender<()>),
    /// Another helper is there, which knows of nothing.
    Anew,
}

/// The helper as the server asks it.
pub(in super::super) struct RemoteLights {
    calls: Arc<Calls<Ask, Told>>,
    wishes: Sender<Wish>,
    wished: Mutex<Option<Receiver<Wish>>>,
    /// The last wish for monitors that are made, and what became of it.
    side_cars: Arc<Mutex<SideCars>>,
}

#[derive(Default)]
struct SideCars {
    wanted: BTreeMap<u32, Size>,
    standing: BTreeMap<u32, MonitorMade>,
}

fn locked(side_cars: &Mutex<SideCars>) -> MutexGuard<'_, SideCars> {
    side_cars.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RemoteLights {
    /// Through a helper that has been told whose monitors it switches, and those that follow it. Starts no thread.
    pub(in super::super) fn over(line: Line) -> Self {
        let (wishes, wished) = channel();
        let side_cars = Arc::default();
        RemoteLights { calls: Arc::new(Calls::new(line)), wishes, wished: Mutex::new(Some(wished)), side_cars }
    }

    /// From here on the helper's end is noticed, and wishes are carried out: starts threads.
    pub(in super::super) fn watch(&self) -> Result<(), AppError> {
        let Some(wished) = self.wished.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        let (calls, anew) = (Arc::downgrade(&self.calls), self.wishes.clone());
        self.calls.when_again(move || drop(anew.send(Wish::Anew)));
        self.calls.watch().map_err(AppError::failed)?;
        let side_cars = Arc::clone(&self.side_cars);
        let run = move || {
            let (mut asker, mut maker) = (Asker::default(), MakerAsker::new(side_cars));
            while let (Some(wishes), Some(calls)) = (next(&wished, maker.due()), calls.upgrade()) {
                let Wishes { only, side_cars, anew, settled } = wishes;
                maker.carry_out(&calls, side_cars, anew, !settled.is_empty());
                asker.carry_out(&calls, only, anew, &maker.there());
                // those who wait are told by the end of this
                drop(settled);
            }
        };
        std::thread::Builder::new().name("farpane-lights".into()).spawn(run).map(drop).map_err(AppError::failed)
    }

    /// Has all as it was, and waits until it is: real monitors take a moment.
    pub(in super::super) fn settle(&self) {
        let (done, settled) = channel();
        if self.wishes.send(Wish::Settle(done)).is_ok() {
            // the helper goes on by itself where this is too short
            let _ = settled.recv_timeout(LAST_MOMENT);
        }
    }
}

impl Lighting for RemoteLights {
    fn only(&self, names: Vec<String>) {
        // where nobody receives any more, the server ends
        let _ = self.wishes.send(Wish::Only(names));
    }

    fn side_cars(&self, wanted: &BTreeMap<u32, Size>) {
        let mut side_cars = locked(&self.side_cars);
        if side_cars.wanted == *wanted {
            return;
        }
        // whoever wishes again wants to know what comes of this wish
        let SideCars { wanted: before, standing } = &mut *side_cars;
        for (id, _) in wanted.iter().filter(|(id, size)| before.get(id) != Some(size)) {
            if let Some(standing) = standing.get_mut(id) {
                standing.failed = None;
            }
        }
        before.clone_from(wanted);
        drop(side_cars);
        let _ = self.wishes.send(Wish::SideCars(wanted.clone()));
    }

    fn side_car(&self, id: u32) -> MonitorMade {
        locked(&self.side_cars).standing.get(&id).cloned().unwrap_or_default()
    }
}

/// Wishes that came together. Of several of a kind the last counts.
#[derive(Default)]
struct Wishes {
    only: Option<Vec<String>>,
    side_cars: Option<BTreeMap<u32, Size>>,
    anew: bool,
    settled: Vec<Sender<()>>,
}

/// Waits for wishes, until that time at most; none when nobody will wish any more.
fn next(wished: &Receiver<Wish>, due: Option<Instant>) -> Option<Wishes> {
    let first = match due {
        None => Some(wished.recv().ok()?),
        Some(due) => match wished.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(wish) => Some(wish),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return None,
        },
    };
    let mut all = Wishes::default();
    for wish in first.into_iter().chain(wished.try_iter()) {
        match wish {
            Wish::Only(names) => all.only = Some(names),
            Wish::SideCars(wanted) => all.side_cars = Some(wanted),
            Wish::Anew => all.anew = true,
            Wish::Settle(done) => {
                all.only = Some(Vec::new());
                all.side_cars = Some(BTreeMap::new());
                all.settled.push(done);
            }
        }
    }
    Some(all)
}

/// What the thread knows.
#[derive(Default)]
struct Asker {
    wanted: Vec<String>,
    /// What the helper switched off.
    dark: Vec<Dark>,
    /// When somebody else lit what was switched off.
    fought: Vec<Instant>,
}

impl Asker {
    /// `made` are there for viewers, and stay on: whoever wants one may be known by its name only when it is there.
    fn carry_out(&mut self, calls: &Calls<Ask, Told>, wanted: Option<Vec<String>>, anew: bool, made: &[String]) {
        if wanted.is_none() && !anew {
            return;
        }
        let same = wanted.as_ref().is_none_or(|names| *names == self.wanted);
        self.wanted = wanted.unwrap_or_else(|| std::mem::take(&mut self.wanted));
        let nothing = self.wanted.is_empty() && self.dark.is_empty();
        if nothing || (same && !anew && self.gives_up()) {
            return;
        }
        let mut names = self.wanted.clone();
        if !names.is_empty() {
            names.extend(made.iter().filter(|name| !self.wanted.contains(name)).cloned());
        }
        let ask = Ask::Only { names, dark: self.dark.clone() };
        let failed = match calls.call(ask, SWITCH_LIMIT).map(|(told, _)| told) {
            Ok(Told::Done { dark, off }) => {
                self.dark = dark;
                if same && off > 0 {
                    self.fought.push(Instant::now());
                }
                return;
            }
            Ok(Told::Failed { why, dark }) => {
                self.dark = dark;
                why
            }
            Ok(Told::SideCars { .. }) => "the helper answers something else".into(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(why = failed, only = self.wanted.join(","), "monitors are not switched as they should be");
    }

    /// Somebody keeps lighting what is switched off, and wins.
    fn gives_up(&mut self) -> bool {
        self.fought.retain(|at| at.elapsed() < WITHIN);
        let over = self.fought.len() >= AT_MOST;
        if over && !self.wanted.is_empty() {
            tracing::warn!(
                only = self.wanted.join(","),
                "the other monitors are switched on by somebody else and left so"
            );
        }
        over
    }
}

/// What the thread knows of monitors that are made.
struct MakerAsker {
    side_cars: Arc<Mutex<SideCars>>,
    wanted: BTreeMap<u32, Size>,
    /// Those that nobody wants any more, how large they are and until when they stay.
    lingering: BTreeMap<u32, (Size, Instant)>,
    made: Vec<Made>,
}

impl MakerAsker {
    fn new(side_cars: Arc<Mutex<SideCars>>) -> Self {
        Self { side_cars, wanted: BTreeMap::new(), lingering: BTreeMap::new(), made: Vec::new() }
    }

    /// The names of those that are there for somebody, or may be.
    fn there(&self) -> Vec<String> {
        let is_meant = |id| self.wanted.contains_key(&id) || self.lingering.contains_key(&id);
        self.made.iter().filter(|made| is_meant(made.id)).map(|made| made.name.clone()).collect()
    }

    /// When one has stayed long enough.
    fn due(&self) -> Option<Instant> {
        self.lingering.values().map(|(_, until)| *until).min()
    }

    fn carry_out(&mut self, calls: &Calls<Ask, Told>, wanted: Option<BTreeMap<u32, Size>>, anew: bool, at_once: bool) {
        let now = Instant::now();
        if let Some(wanted) = wanted {
            let gone = self.wanted.iter().filter(|(id, _)| !wanted.contains_key(id));
            self.lingering.extend(gone.map(|(id, size)| (*id, (*size, now + LINGER))));
            self.wanted = wanted;
        } else if !anew && self.due().is_none_or(|due| due > now) {
            return;
        }
        let wanted = &self.wanted;
        self.lingering.retain(|id, (_, until)| !at_once && *until > now && !wanted.contains_key(id));
        let lingering = self.lingering.iter().map(|(id, (size, _))| (id, size));
        let all = self.wanted.iter().chain(lingering);
        let all: Vec<Wanted> = all.map(|(id, size)| Wanted { id: *id, size: (size.w, size.h) }).collect();
        if all.is_empty() && self.made.is_empty() {
            return;
        }
        let ask = Ask::SideCars { wanted: all.clone(), made: self.made.clone() };
        let failed = match calls.call(ask, SWITCH_LIMIT).map(|(told, _)| told) {
            Ok(Told::SideCars { made, failed }) => {
                self.made = made;
                failed
            }
            Ok(_) => all.iter().map(|one| (one.id, "the helper answers something else".to_owned())).collect(),
            Err(error) => all.iter().map(|one| (one.id, error.to_string())).collect(),
        };
        let mut side_cars = locked(&self.side_cars);
        side_cars.standing.clear();
        for made in self.made.iter().filter(|made| all.iter().any(|one| one.id == made.id)) {
            let made_now = Some((made.name.clone(), Size::new(made.size.0, made.size.1)));
            side_cars.standing.insert(made.id, MonitorMade { made: made_now, failed: None });
        }
        for (id, why) in failed {
            tracing::warn!(why, "a monitor for viewers is not as it should be");
            side_cars.standing.entry(id).or_default().failed = Some(why);
        }
    }
}
