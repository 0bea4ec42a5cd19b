//! The processes of a desktop: none outlives its supervisor.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal};
use tokio::process::Command;

use crate::helper::THIS_PROGRAM;

/// The subcommand of a program that becomes another one.
pub const BECOME: &str = "desktop-child";

/// A program of the desktop: it is told to end when its supervisor dies, has a process group of its own and writes into the log.
pub(super) fn command(program: &str, log: &File) -> io::Result<Command> {
    let mut command = Command::new(THIS_PROGRAM);
    command.arg(BECOME).arg(std::process::id().to_string()).arg("--").arg(program);
    command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    Ok(command)
}

/// Becomes the program that the words name, as a child of process `parent` that ends when that does. Returns why it cannot.
pub fn be_child(parent: u32, words: &[OsString]) -> io::Error {
    let Some((program, arguments)) = words.split_first() else { return io::ErrorKind::InvalidInput.into() };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::TERM)) {
        return error.into();
    }
    // it may have died before the kernel knew what to do then
    if rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs()) != Some(parent) {
        return io::Error::other("the desktop has ended");
    }
    std::process::Command::new(program).args(arguments).exec()
}

/// A program that runs.
pub(super) struct Child {
    pub process: tokio::process::Child,
    group: Option<Pid>,
}

impl Child {
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let process = command.spawn()?;
        let group = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { process, group })
    }

    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Asks it and its group to end, and ends them after `patience`.
    pub async fn end(&mut self, patience: Duration) {
        for signal in [Signal::TERM, Signal::KILL] {
            if let Some(group) = self.group {
                // nobody of the group may be left
                let _ = kill_process_group(group, signal);
            }
            if tokio::time::timeout(patience, self.process.wait()).await.is_ok() && !self.has_others() {
                return;
            }
        }
    }

    /// Whether processes of its group are left.
    fn has_others(&self) -> bool {
        self.group.is_some_and(|group| rustix::process::test_kill_process_group(group).is_ok())
    }
}

/// How a process ended, in words.
pub(super) fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}

/// The file that a program's name stands for.
pub(super) fn find(program: &str, path: &str) -> Option<PathBuf> {
    let is_program = |file: &Path| {
        use std::os::unix::fs::PermissionsExt;
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|file| is_program(file));
    }
    path.split(':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| Path::new(folder).join(program))
        .find(|f| is_program(f))
}

/// Ends what programs of the desktop have left that belongs to no group of ours any more: this process is the parent of those whose own
/// is gone. `but` is a child that stays.
pub(super) async fn end_orphans(patience: Duration, but: Option<u32>) {
    let others = || children().into_iter().filter(|pid| but != Some(number(*pid))).collect::<Vec<_>>();
    for signal in [Signal::TERM, Signal::KILL] {
        let left = others();
        if left.is_empty() {
            return;
        }
        for pid in left {
            let _ = rustix::process::kill_process(pid, signal);
        }
        let rounds = patience.as_millis() / 20;
        for _ in 0..rounds {
            reap(&[but]);
            if others().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Buries children that have ended, but for those of our `own` that somebody waits for.
pub(super) fn reap(own: &[Option<u32>]) {
    let waited_for = |pid: &Pid| own.contains(&Some(number(*pid)));
    for pid in children().into_iter().filter(|pid| !waited_for(pid)) {
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
    }
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

/// The processes whose parent this one is.
fn children() -> Vec<Pid> {
    let own = std::process::id();
    let text = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use farpane_test_support::openssl::Folder;

    use super::*;

    #[test]
    fn programs_are_found_as_shells_find_them() {
        let folder = Folder::new("desktop");
        let file = folder.path().join("tool");
        std::fs::write(&file, "").expect("written");
        let path = format!("/nonexistent::{}", folder.path().display());
        assert_eq!(find("tool", &path), None, "it may not be run");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("changed");
        assert_eq!(find("tool", &path), Some(file.clone()));
        assert_eq!(find(file.to_str().expect("text"), ""), Some(file));
        assert_eq!(find("no-such-tool", &path), None);
        assert_eq!(find(folder.path().to_str().expect("text"), ""), None, "a folder is no program");
    }
}
