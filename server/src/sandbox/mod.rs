//! The server shuts itself in: what reads the network can open, connect to, run and trace nothing.
//!
//! In two steps. [`enter_early`] comes after the listeners are bound and helpers are started, before any other thread: Landlock
//! holds for the thread that asks for it and those it starts. [`Early::enter_late`] comes once the desktop is open: seccomp then
//! holds for all threads at once. What is still to be opened afterwards goes through the helper that opens
//! (`helper::RemoteOpener`).
//!
//! What a kernel lacks is said, and the server goes on with the rest, unless [`Mode::Require`] asks for all of it.
//! `farpane doctor sandbox` tries from inside; `docs/processes.md` is the list for people.

mod calls;
mod files;

use std::io;
use std::path::PathBuf;

use rustix::process::{DumpableBehavior, Resource, Rlimit};
use serde::{Deserialize, Serialize};

use calls::Also;
pub use files::Files;

/// Whether the server shuts itself in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// As far as the kernel can.
    #[default]
    On,
    /// Not at all.
    Off,
    /// Wholly, or the server does not start.
    Require,
}

/// What the server needs once it is shut in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Whether at all.
    pub mode: Mode,
    /// Clients at once: decides how many descriptors there may be.
    pub clients: u32,
    /// Files and folders that stay readable.
    pub read: Vec<PathBuf>,
    /// Folders in which files may be read, made, replaced and removed. Where there are none, and none to read, nothing at all can
    /// be opened any more.
    pub write: Vec<PathBuf>,
    /// Files and folders that stay readable until the second step, and after it where anything does: a GPU's driver.
    pub read_early: Vec<PathBuf>,
    /// Devices that may be opened until then, and controlled ever after.
    pub devices: Vec<PathBuf>,
    /// TCP ports of listeners that follow the addresses of an interface: they may be bound later.
    pub ports: Vec<u16>,
}

/// Why the server cannot be shut in.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Landlock would hold for one thread of several.
    #[error("the sandbox comes too late: {0} threads are running (expected 1); please report this")]
    Threads(usize),
    /// The kernel lacks something, and everything was required.
    #[error("this kernel cannot shut the server in: {0}; use sandbox = \"on\" to go on without, or a newer kernel")]
    Missing(String),
    /// A path that is to stay readable is not there, or the kernel refused a rule.
    #[error("landlock: {0}")]
    Files(#[from] landlock::RulesetError),
    /// A path that is to stay readable cannot be opened.
    #[error("landlock: {0}")]
    Path(#[from] landlock::PathFdError),
    /// The filter of system calls cannot be had.
    #[error("seccomp: {0}")]
    Calls(#[from] seccompiler::Error),
    /// The system refused a limit.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
}

/// The first step is done.
#[derive(Debug)]
#[must_use = "the second step is still to come"]
pub struct Early {
    mode: Mode,
    also: Also,
    /// What Landlock does here.
    pub files: Files,
}

/// What each process of the server does, helpers too: no core files, and nobody of the same user looks into its memory.
///
/// # Errors
/// When the system refuses.
pub fn keep_private() -> Result<(), SandboxError> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none).map_err(|e| SandboxError::System("core files", e.into()))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|e| SandboxError::System("dumpable", e.into()))
}

/// What a helper that never runs another program does: it cannot gain rights by running one.
///
/// # Errors
/// When the system refuses.
pub fn gain_nothing() -> Result<(), SandboxError> {
    rustix::thread::set_no_new_privs(true).map_err(|e| SandboxError::System("no_new_privs", e.into()))
}

/// Descriptors for so many clients.
fn descriptors(clients: u32) -> u64 {
    u64::from(clients) * 4 + 128
}

fn limit_descriptors(clients: u32) -> Result<(), SandboxError> {
    let had = rustix::process::getrlimit(Resource::Nofile);
    let least = |had: Option<u64>| Some(had.map_or(descriptors(clients), |had| had.min(descriptors(clients))));
    let limit = Rlimit { current: least(had.maximum), maximum: least(had.maximum) };
    rustix::process::setrlimit(Resource::Nofile, limit).map_err(|e| SandboxError::System("descriptors", e.into()))
}

/// Threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, |tasks| tasks.flatten().count())
}

/// The first step: no files, no connections by TCP, no signals to others, no new rights, no core files, few descriptors.
///
/// To be called by the main thread before any other is started, and after listeners are bound.
///
/// # Errors
/// When another thread runs already, the system refuses, or something that is required is missing.
pub fn enter_early(plan: &Plan) -> Result<Early, SandboxError> {
    if plan.mode == Mode::Off {
        tracing::warn!("the sandbox is off: what reads the network may open and run whatever this user may");
        return Ok(Early { mode: plan.mode, also: Also::default(), files: Files::Off });
    }
    match threads() {
        1 => {}
        several => return Err(SandboxError::Threads(several)),
    }
    keep_private()?;
    limit_descriptors(plan.clients)?;
    gain_nothing()?;
    let files = files::restrict(plan)?;
    if let Some(missing) = files.missing() {
        if plan.mode == Mode::Require {
            return Err(SandboxError::Missing(missing));
        }
        tracing::warn!(missing, "the kernel's Landlock is not all there; the filter of system calls stands in");
    }
    // without Landlock an open that is let through would be an open of anything
    let (reads, writes) = (files.holds() && !plan.read.is_empty(), files.holds() && !plan.write.is_empty());
    let also = Also { reads, writes, listens: !plan.ports.is_empty(), devices: !plan.devices.is_empty() };
    Ok(Early { mode: plan.mode, also, files })
}

impl Early {
    /// The second step, for all threads at once: only system calls that serving needs.
    ///
    /// What is not in the list fails with EPERM. Nothing is killed for it: a C library that tries something harmless and goes on
    /// without must not end a session, and what an intruder tries fails all the same.
    ///
    /// # Errors
    /// When it is required and cannot be had.
    pub fn enter_late(self) -> Result<(), SandboxError> {
        if self.mode == Mode::Off {
            return Ok(());
        }
        match calls::restrict(self.also) {
            Ok(()) => {
                tracing::info!(landlock = %self.files, "shut in: nothing can be opened, connected to or run");
                Ok(())
            }
            Err(error) if self.mode == Mode::Require => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "the kernel does not filter system calls; going on without");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_refused_where_it_would_hold_for_some_threads_only() {
        // the test runner's threads: more than one in any case
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || ended.recv().is_err());
        let said = enter_early(&Plan::default()).expect_err("there are two threads at least");
        assert!(matches!(said, SandboxError::Threads(n) if n >= 2), "{said}");
        drop(end);
        assert!(other.join().expect("ends"));
    }

    #[test]
    fn off_does_nothing_at_all() {
        let plan = Plan { mode: Mode::Off, ..Plan::default() };
        let before = rustix::process::getrlimit(Resource::Nofile);
        enter_early(&plan).expect("does nothing").enter_late().expect("does nothing");
        assert_eq!(rustix::process::getrlimit(Resource::Nofile), before);
        assert_eq!(rustix::thread::no_new_privs(), Ok(false));
    }

    #[test]
    fn descriptors_are_four_for_each_client_and_some() {
        assert_eq!(descriptors(64), 384);
        assert_eq!(descriptors(u32::MAX), u64::from(u32::MAX) * 4 + 128);
    }

    #[test]
    fn modes_are_written_as_words() {
        let words = [Mode::On, Mode::Off, Mode::Require].map(|mode| serde_json::to_string(&mode).expect("a word"));
        assert_eq!(words, ["\"on\"", "\"off\"", "\"require\""]);
    }
}
