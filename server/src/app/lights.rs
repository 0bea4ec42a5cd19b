//! Who switches monitors off and on again: a process of its own, which lights them however the server ends.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::backend::lights::{Dark, Keeper, Switchable};
use crate::config::LogSection;
use crate::helper::wire::{self, WireError};
use crate::helper::{Calls, InProcess, Line, Numbered, private};
use crate::session::Lighting;

use super::{AppError, logging};

/// What switching monitors may take: real ones take seconds to change their modes.
const SWITCH_LIMIT: Duration = Duration::from_secs(15);
/// The longest file of what is dark.
const MOST_MEMORY: u64 = 64 * 1024;
/// What the first message may take.
const SETUP_LIMIT: Duration = Duration::from_secs(10);
/// What lighting all again may take at the end of the server.
const LAST_MOMENT: Duration = Duration::from_secs(5);
/// A monitor that somebody else lights again is switched off once more at most so often.
const AT_MOST: usize = 3;
/// Within this time.
const WITHIN: Duration = Duration::from_secs(10);

/// What the helper is told first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setup {
    /// Whose monitors.
    pub(super) desktop: Switchable,
    /// The file that tells the next server what is dark, should this one and its helper be killed together.
    pub(super) memory: PathBuf,
    /// How the log is written.
    pub(super) log: LogSection,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Ask {
    /// Leave these on alone; all, where none is named. `dark` is what a helper before this one switched off.
    Only { names: Vec<String>, dark: Vec<Dark> },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Told {
    /// It is so; these are dark that were not before, so many of them were just switched off.
    Done {
        dark: Vec<Dark>,
        off: usize,
    },
    Failed {
        why: String,
        dark: Vec<Dark>,
    },
}

/// Switches monitors as a server asks, and lights them again when the server ends.
///
/// # Errors
/// When this process was not started by a server, or is told what it does not understand.
pub fn switch_monitors(socket: UnixStream) -> Result<(), AppError> {
    match answer(socket) {
        Ok(()) | Err(WireError::Closed) => Ok(()),
        Err(error) => Err(AppError::Failed(format!("lights-helper: {error}"))),
    }
}

fn answer(socket: UnixStream) -> Result<(), WireError> {
    let (mut sender, mut receiver) = wire::ends(socket);
    let (Setup { desktop, memory, log }, _) = receiver.receive::<Setup>(Some(SETUP_LIMIT))?;
    logging::start(log);
    let memory = Memory(memory);
    let mut keeper = Keeper::new(desktop.lights(&InProcess));
    keeper.inherit(memory.recall());
    all_again(&mut keeper, &memory);
    let ended = loop {
        let (id, Ask::Only { names, dark }) = match receiver.receive::<Numbered<Ask>>(None) {
            Ok((Numbered { id, body }, _)) => (id, body),
            Err(error) => break error,
        };
        keeper.inherit(dark);
        let done = keeper.only(&names, |dark| memory.keep(dark));
        let dark = keeper.dark().to_vec();
        if names.is_empty() {
            memory.keep(&dark);
        }
        let body = match done {
            Ok(off) => Told::Done { dark, off },
            Err(error) => Told::Failed { why: error.to_string(), dark },
        };
        if let Err(error) = sender.send(&Numbered { id, body }, &[]) {
            break error;
        }
    };
    all_again(&mut keeper, &memory);
    Err(ended)
}

/// Lights what is dark, if anything is.
fn all_again(keeper: &mut Keeper<'_>, memory: &Memory) {
    if keeper.dark().is_empty() {
        return;
    }
    match keeper.only(&[], |_| ()) {
        Ok(_) => memory.keep(&[]),
        Err(error) => {
            tracing::error!(%error, "monitors that were switched off stay dark; switch them on by the desktop's settings");
        }
    }
}

/// What is dark, in a file.
struct Memory(PathBuf);

impl Memory {
    /// What was dark when the last server of this desktop ended, unless it was lit again.
    fn recall(&self) -> Vec<Dark> {
        let read = private::read(&self.0, MOST_MEMORY).map_err(|error| error.to_string());
        let dark = read.and_then(|bytes| match bytes {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            None => Ok(Vec::new()),
        });
        dark.unwrap_or_else(|error| {
            tracing::warn!(file = %self.0.display(), error, "what was dark is not known");
            Vec::new()
        })
    }

    /// This is dark now.
    fn keep(&self, dark: &[Dark]) {
        if dark.is_empty() {
            // mostly there is none
            let _ = std::fs::remove_file(&self.0);
            return;
        }
        let written = serde_json::to_vec(dark).map_err(|error| error.to_string());
        if let Err(error) = written.and_then(|bytes| private::write(&self.0, &bytes).map_err(|e| e.to_string())) {
            tracing::warn!(file = %self.0.display(), error, "what is dark stays so if farpane is killed");
        }
    }
}

/// What the thread that asks is told.
enum Wish {
    /// These alone are looked at; nothing is to be dark where none is named.
    Only(Vec<String>),
    /// Say when all that was wished is done.
    Settle(Sender<()>),
    /// Another helper is there, which knows of nothing.
    Anew,
}

/// The helper as the server asks it, by a thread: monitors take their time.
pub(super) struct RemoteLights {
    calls: Arc<Calls<Ask, Told>>,
    wishes: Sender<Wish>,
    wished: Mutex<Option<Receiver<Wish>>>,
}

impl RemoteLights {
    /// Through a helper that has been told whose monitors it switches, and those that follow it. Starts no thread.
    pub(super) fn over(line: Line) -> Self {
        let (wishes, wished) = channel();
        RemoteLights { calls: Arc::new(Calls::new(line)), wishes, wished: Mutex::new(Some(wished)) }
    }

    /// From here on the helper's end is noticed, and wishes are carried out: starts threads.
    pub(super) fn watch(&self) -> Result<(), AppError> {
        let Some(wished) = self.wished.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        let (calls, anew) = (Arc::downgrade(&self.calls), self.wishes.clone());
        self.calls.when_again(move || drop(anew.send(Wish::Anew)));
        self.calls.watch().map_err(AppError::failed)?;
        let run = move || {
            let mut asker = Asker::default();
            while let (Ok(wish), Some(calls)) = (wished.recv(), calls.upgrade()) {
                asker.carry_out(&calls, std::iter::once(wish).chain(wished.try_iter()));
            }
        };
        std::thread::Builder::new().name("farpane-lights".into()).spawn(run).map(drop).map_err(AppError::failed)
    }
}

impl RemoteLights {
    /// Has all lit again, and waits until it is: real monitors take a moment.
    pub(super) fn settle(&self) {
        let (done, settled) = channel();
        let wishes = [Wish::Only(Vec::new()), Wish::Settle(done)];
        if wishes.into_iter().all(|wish| self.wishes.send(wish).is_ok()) {
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
    /// Of several wishes the last counts.
    fn carry_out(&mut self, calls: &Calls<Ask, Told>, wishes: impl Iterator<Item = Wish>) {
        let (mut anew, mut wanted) = (false, None);
        // told by their end, once this is done
        let mut settled = Vec::new();
        for wish in wishes {
            match wish {
                Wish::Only(names) => wanted = Some(names),
                Wish::Anew => anew = true,
                Wish::Settle(done) => settled.push(done),
            }
        }
        let same = wanted.as_ref().is_none_or(|names| *names == self.wanted);
        self.wanted = wanted.unwrap_or_else(|| std::mem::take(&mut self.wanted));
        let nothing = self.wanted.is_empty() && self.dark.is_empty();
        if nothing || (same && !anew && self.gives_up()) {
            return;
        }
        let ask = Ask::Only { names: self.wanted.clone(), dark: self.dark.clone() };
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
