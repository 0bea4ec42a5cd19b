//! The folder of a desktop, and which desktops run.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{DesktopError, Name, Told};
use crate::helper::folder::{Others, make, trusted};

/// How long a desktop may take to end.
const END: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// The file in it that holds what the server said.
pub(super) const SAID: &str = "said";

/// The folder of one desktop, held by its supervisor.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    name: Name,
    /// Locked as long as the supervisor lives.
    _lock: File,
}

fn folder_of(runtime: &Path, name: &Name) -> PathBuf {
    runtime.join("desktops").join(name.to_string())
}

fn lock_in(folder: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).mode(0o600).open(folder.join("lock"))
}

fn folder_error(error: impl std::fmt::Display) -> DesktopError {
    DesktopError::Io("no folder for the desktop".into(), io::Error::other(error.to_string()))
}

impl Place {
    /// Takes the folder of `name` under `runtime`, the user's folder for sockets. What a supervisor left that was killed is removed.
    ///
    /// # Errors
    /// When a desktop of that name runs, or the folder cannot be had.
    pub fn take(runtime: &Path, name: &Name) -> Result<Self, DesktopError> {
        let folder = folder_of(runtime, name);
        for part in [runtime, &runtime.join("desktops"), &folder] {
            make(part, Others::None).map_err(folder_error)?;
            trusted(part, Others::None).map_err(folder_error)?;
        }
        let lock = lock_in(&folder).map_err(DesktopError::io(folder.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DesktopError::Taken(name.clone())),
            Err(TryLockError::Error(error)) => return Err(DesktopError::Io(folder.display().to_string(), error)),
        }
        let place = Self { folder, name: name.clone(), _lock: lock };
        place.clear();
        Ok(place)
    }

    /// The folder itself.
    pub(super) fn root(&self) -> &Path {
        &self.folder
    }

    /// A file or folder in it.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Makes a folder in it.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, DesktopError> {
        let path = self.path(name);
        make(&path, Others::None).map_err(folder_error)?;
        Ok(path)
    }

    /// Removes a file, or a folder with all that is in it.
    pub(super) fn remove(&self, name: &str) {
        remove(&self.path(name));
    }

    /// Writes a file that only its owner can read.
    pub(super) fn write(&self, file: &str, bytes: &[u8]) -> Result<PathBuf, DesktopError> {
        let (path, new) = (self.path(file), self.path("new"));
        let write = || {
            let _ = std::fs::remove_file(&new);
            File::options().create_new(true).write(true).mode(0o600).open(&new)?.write_all(bytes)?;
            std::fs::rename(&new, &path)
        };
        write().map_err(DesktopError::io(path.display()))?;
        Ok(path)
    }

    /// Tells whoever lists desktops.
    pub(super) fn tell(&self, told: &Told) -> Result<(), DesktopError> {
        let text = serde_json::to_vec(told).map_err(folder_error)?;
        self.write("desktop.json", &text).map(drop)
    }

    /// Removes everything in it but the lock.
    fn clear(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| !path.ends_with("lock")) {
            remove(&path);
        }
    }
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "left behind");
        }
        _ => {}
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear();
        // the lock goes last: whoever finds it free finds nothing else
        let _ = std::fs::remove_file(self.folder.join("lock"));
        let _ = std::fs::remove_dir(&self.folder);
        tracing::debug!(name = %self.name, "the desktop's folder is gone");
    }
}

/// A desktop that runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// What its supervisor says; none while it comes up.
    pub told: Option<Told>,
    /// Its name.
    pub name: Name,
    folder: PathBuf,
}

impl Running {
    /// What its server said when it came up, password for this run included.
    pub fn said(&self) -> Option<String> {
        std::fs::read_to_string(self.folder.join(SAID)).ok()
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it cannot be asked, or does not end.
    pub fn stop(&self) -> Result<(), DesktopError> {
        let what = || format!("desktop {}", self.name);
        let told = self.told.as_ref().ok_or_else(|| DesktopError::Unknown(self.name.clone()))?;
        let pid = i32::try_from(told.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| DesktopError::Unknown(self.name.clone()))?;
        let failed = |error: Errno| DesktopError::Io(what(), error.into());
        let process = pidfd_open(pid, PidfdFlags::empty()).map_err(failed)?;
        if !is_held(&self.folder) {
            // it has ended meanwhile, and its number may be another process'
            return Ok(());
        }
        pidfd_send_signal(&process, Signal::TERM).map_err(failed)?;
        // the folder goes a moment before the process: who is told that it has ended finds neither
        let mut ended = [PollFd::new(&process, PollFlags::IN)];
        loop {
            match poll(&mut ended, Some(&END)) {
                Ok(0) => {
                    let late = format!("has not ended within {} s", END.tv_sec);
                    return Err(DesktopError::Io(what(), io::Error::other(late)));
                }
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

/// Whether a supervisor holds the folder.
fn is_held(folder: &Path) -> bool {
    let Ok(lock) = File::options().write(true).open(folder.join("lock")) else { return false };
    matches!(lock.try_lock(), Err(TryLockError::WouldBlock))
}

/// The desktops that run, by name. `runtime` as for [`Place::take`].
pub fn running(runtime: &Path) -> Vec<Running> {
    let Ok(entries) = std::fs::read_dir(runtime.join("desktops")) else { return Vec::new() };
    let mut found: Vec<Running> = entries
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let name = folder.file_name()?.to_str()?.parse().ok()?;
            let told = std::fs::read(folder.join("desktop.json")).ok();
            let told = told.and_then(|text| serde_json::from_slice(&text).ok());
            is_held(&folder).then_some(Running { told, name, folder })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[cfg(test)]
mod tests {
    use farpane_test_support::openssl::Folder;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn told(name: &Name) -> Told {
        Told {
            name: name.clone(),
            pid: std::process::id(),
            server: None,
            display: Some(":7".into()),
            listens: vec!["127.0.0.1:5907".into()],
            command: vec!["xterm".into()],
            since: 1,
            restarts: 0,
        }
    }

    #[test]
    fn a_name_is_taken_once_and_free_again_when_its_place_goes() {
        let root = Folder::new("desktop");
        let runtime = root.path().join("farpane");
        assert!(running(&runtime).is_empty());
        let a = name("a");
        let place = Place::take(&runtime, &a).expect("free");
        assert!(matches!(Place::take(&runtime, &a), Err(DesktopError::Taken(taken)) if taken == a));
        assert!(running(&runtime).iter().all(|r| r.told.is_none()));
        place.tell(&told(&a)).expect("written");
        let other = Place::take(&runtime, &name("b")).expect("free");
        let list = running(&runtime);
        assert_eq!(list.iter().map(|r| r.name.to_string()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(list[0].told, Some(told(&a)));
        drop((place, other));
        assert!(running(&runtime).is_empty());
        assert_eq!(std::fs::read_dir(runtime.join("desktops")).expect("there").count(), 0, "nothing is left");
    }

    #[test]
    fn what_a_killed_supervisor_left_is_not_listed_and_is_cleared() {
        let root = Folder::new("desktop");
        let folder = root.path().join("desktops/old");
        std::fs::create_dir_all(folder.join("fb")).expect("made");
        for part in [root.path(), &root.path().join("desktops"), &folder] {
            std::fs::set_permissions(part, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("changed");
        }
        std::fs::write(folder.join("lock"), "").expect("written");
        std::fs::write(folder.join("desktop.json"), "{\"broken").expect("written");
        assert!(running(root.path()).is_empty());
        let place = Place::take(root.path(), &name("old")).expect("free");
        assert!(!folder.join("fb").exists() && !folder.join("desktop.json").exists());
        drop(place);
        assert!(!folder.exists());
    }
}
