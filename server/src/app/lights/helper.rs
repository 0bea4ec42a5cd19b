//! The process that switches and makes monitors.

use std::cell::RefCell;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AppError, Ask, Setup, Told, logging};
use crate::backend::lights::{Dark, Keeper, LightsError};
use crate::backend::side_car::{Made, Maker, Wanted};
use crate::helper::wire::{self, WireError};
use crate::helper::{InProcess, Numbered, private};

/// The longest file of what is dark and what was made.
const MOST_MEMORY: u64 = 64 * 1024;
/// What the first message may take.
const SETUP_LIMIT: Duration = Duration::from_secs(10);

/// Switches and makes monitors as a server asks, and leaves all as it was when the server ends.
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
    let memory = Memory::recalled(memory);
    let mut monitors = Monitors {
        keeper: Keeper::new(desktop.lights(&InProcess)),
        maker: Maker::new(desktop.makes(&InProcess)),
        memory: &memory,
    };
    let Kept { dark, made } = memory.kept();
    monitors.keeper.inherit(dark);
    monitors.maker.inherit(made);
    monitors.as_before();
    let ended = loop {
        let (id, ask) = match receiver.receive::<Numbered<Ask>>(None) {
            Ok((Numbered { id, body }, _)) => (id, body),
            Err(error) => break error,
        };
        let body = monitors.carry_out(ask);
        if let Err(error) = sender.send(&Numbered { id, body }, &[]) {
            break error;
        }
    };
    monitors.as_before();
    Err(ended)
}

/// What was done to a desktop's monitors.
struct Monitors<'a> {
    keeper: Keeper<'a>,
    maker: Maker<'a>,
    memory: &'a Memory,
}

impl Monitors<'_> {
    fn carry_out(&mut self, ask: Ask) -> Told {
        match ask {
            Ask::Only { names, dark } => {
                self.keeper.inherit(dark);
                let done = self.keeper.only(&names, |dark| self.memory.dark(dark));
                let dark = self.keeper.dark().to_vec();
                if names.is_empty() {
                    self.memory.dark(&dark);
                }
                match done {
                    Ok(off) => Told::Done { dark, off },
                    Err(error) => Told::Failed { why: error.to_string(), dark },
                }
            }
            Ask::SideCars { wanted, made } => {
                self.maker.inherit(made);
                let failed = self.make(&wanted);
                let failed = failed.into_iter().map(|(id, error)| (id, error.to_string())).collect();
                Told::SideCars { made: self.maker.made().to_vec(), failed }
            }
        }
    }

    fn make(&mut self, wanted: &[Wanted]) -> Vec<(u32, LightsError)> {
        let names = |made: &[Made]| made.iter().map(|made| made.name.clone()).collect::<Vec<_>>();
        let before = names(self.maker.made());
        // what is dark is somebody's
        let mut taken: Vec<String> = self.keeper.dark().iter().map(|dark| dark.name.clone()).collect();
        taken.retain(|name| !before.contains(name));
        let failed = self.maker.want(wanted, &taken, |made| self.memory.made(made));
        let after = names(self.maker.made());
        let gone: Vec<String> = before.into_iter().filter(|name| !after.contains(name)).collect();
        self.keeper.forget(&gone);
        self.memory.dark(self.keeper.dark());
        failed
    }

    /// Takes away what was made, and lights what is dark.
    fn as_before(&mut self) {
        if !self.maker.made().is_empty() {
            for (_, error) in self.make(&[]) {
                tracing::error!(%error, "a monitor that was made for a viewer stays; take it away by the desktop's settings");
            }
        }
        if self.keeper.dark().is_empty() {
            return;
        }
        match self.keeper.only(&[], |_| ()) {
            Ok(_) => self.memory.dark(&[]),
            Err(error) => {
                tracing::error!(%error, "monitors that were switched off stay dark; switch them on by the desktop's settings");
            }
        }
    }
}

/// What is to be undone.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    dark: Vec<Dark>,
    made: Vec<Made>,
}

/// The same in a file.
struct Memory {
    file: PathBuf,
    kept: RefCell<Kept>,
}

impl Memory {
    /// What was to be undone when the last server of this desktop ended, unless it was.
    fn recalled(file: PathBuf) -> Self {
        let read = private::read(&file, MOST_MEMORY).map_err(|error| error.to_string());
        let kept = read.and_then(|bytes| match bytes {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            None => Ok(Kept::default()),
        });
        let kept = kept.unwrap_or_else(|error| {
            tracing::warn!(file = %file.display(), error, "what was dark, or made, is not known");
            Kept::default()
        });
        Self { file, kept: RefCell::new(kept) }
    }

    fn kept(&self) -> Kept {
        self.kept.borrow().clone()
    }

    /// This is dark now.
    fn dark(&self, dark: &[Dark]) {
        self.keep(Kept { dark: dark.to_vec(), ..self.kept() });
    }

    /// This is there beside the desktop's own now.
    fn made(&self, made: &[Made]) {
        self.keep(Kept { made: made.to_vec(), ..self.kept() });
    }

    fn keep(&self, kept: Kept) {
        if self.kept.replace(kept.clone()) == kept {
            return;
        }
        if kept == Kept::default() {
            // mostly there is none
            let _ = std::fs::remove_file(&self.file);
            return;
        }
        let written = serde_json::to_vec(&kept).map_err(|error| error.to_string());
        if let Err(error) = written.and_then(|bytes| private::write(&self.file, &bytes).map_err(|e| e.to_string())) {
            tracing::warn!(file = %self.file.display(), error, "monitors stay as they are if farpane is killed");
        }
    }
}
