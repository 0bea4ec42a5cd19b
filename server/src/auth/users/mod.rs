//! The server's own users: one file, one line a user, read by its owner alone.
//!
//! [`Users`] is the file as read (`format` reads and prints it); [`UserFile`] is the file on disk. It is read
//! again whenever it changed, and changed under a lock: two who change it at once lose nothing, and readers see the old file
//! or the new one, whole.

mod format;
#[cfg(test)]
mod tests;

use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::stored::{Cost, Stored, StoredError};
use super::totp::{Recovery, RecoveryHash, Seed, Used};
use crate::helper::folder;
use crate::helper::private::{self, PrivateError};

pub use format::parse;

/// The largest user file that is read.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Why the user file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UserFileError {
    /// It cannot be read or written.
    #[error("user file {0}")]
    File(#[from] PrivateError),
    /// It cannot be locked.
    #[error("user file: lock {0}: {1}")]
    Lock(PathBuf, io::Error),
    /// Something in it is wrong.
    #[error("user file {}line {line}: {what}", path.as_ref().map(|p| format!("{}, ", p.display())).unwrap_or_default())]
    Line {
        /// Which file.
        path: Option<PathBuf>,
        /// Which line, from 1.
        line: usize,
        /// What is wrong and what to do.
        what: String,
    },
    /// A name that cannot be a user's.
    #[error("user name {0:?} (expected 1 to 255 bytes without white space, control characters or # at its start)")]
    Name(String),
    /// A name that cannot be a group's.
    #[error("group name {0:?} (expected 1 to 255 bytes without white space, control characters or commas)")]
    Group(String),
    /// No such user.
    #[error("user {0}: not in the file; `farpane user list` shows who is")]
    Unknown(String),
    /// There is such a user.
    #[error("user {0}: is in the file; `farpane user passwd {0}` changes the password")]
    Exists(String),
    /// Somebody else used the code at the same time.
    #[error("code was used before")]
    Spent,
    /// A password cannot be kept.
    #[error(transparent)]
    Stored(#[from] StoredError),
}

/// One user.
#[derive(Clone, Default)]
pub struct User {
    /// The name.
    pub name: String,
    /// The groups, for permissions.
    pub groups: Vec<String>,
    /// Whether nobody may log in as this user, in whatever way.
    pub disabled: bool,
    /// The password; without one the factor `userfile` cannot be proved.
    pub password: Option<Stored>,
    /// The secret of the authenticator app; without one the factor `totp` can be proved by recovery codes alone.
    pub seed: Option<Seed>,
    /// Codes that were taken.
    pub used: Used,
    /// Recovery codes that are left.
    pub recovery: Recovery,
}

impl User {
    /// A user with a name and nothing else.
    ///
    /// # Errors
    /// When it cannot be a name.
    pub fn named(name: &str) -> Result<Self, UserFileError> {
        if !format::is_name(name) {
            return Err(UserFileError::Name(name.to_owned()));
        }
        Ok(User { name: name.to_owned(), ..User::default() })
    }
}

/// What a right login changes.
#[derive(Clone)]
pub enum Spending {
    /// A code of the app was used.
    Step(u64),
    /// A recovery code was used.
    Recovery(RecoveryHash),
}

enum Line {
    /// A comment or an empty line.
    Kept(String),
    User(Box<User>),
}

/// The file as read: its users, and the comments between them.
#[derive(Default)]
pub struct Users {
    lines: Vec<Line>,
}

impl Users {
    /// The users in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.lines.iter().filter_map(|line| match line {
            Line::User(user) => Some(user.as_ref()),
            Line::Kept(_) => None,
        })
    }

    /// The user with this name.
    pub fn get(&self, name: &str) -> Option<&User> {
        self.iter().find(|user| user.name == name)
    }

    /// The user with this name, to be changed.
    ///
    /// # Errors
    /// When there is none.
    pub fn get_mut(&mut self, name: &str) -> Result<&mut User, UserFileError> {
        let found = self.lines.iter_mut().find_map(|line| match line {
            Line::User(user) if user.name == name => Some(user.as_mut()),
            _ => None,
        });
        found.ok_or_else(|| UserFileError::Unknown(name.to_owned()))
    }

    /// Adds a user at the end.
    ///
    /// # Errors
    /// When there is one of this name, or a name or group cannot be one.
    pub fn add(&mut self, user: User) -> Result<(), UserFileError> {
        if !format::is_name(&user.name) {
            return Err(UserFileError::Name(user.name));
        }
        if let Some(wrong) = user.groups.iter().find(|group| !format::is_group(group)) {
            return Err(UserFileError::Group(wrong.clone()));
        }
        if self.get(&user.name).is_some() {
            return Err(UserFileError::Exists(user.name));
        }
        self.lines.push(Line::User(Box::new(user)));
        Ok(())
    }

    /// Removes a user.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn remove(&mut self, name: &str) -> Result<(), UserFileError> {
        self.get_mut(name)?;
        self.lines.retain(|line| !matches!(line, Line::User(user) if user.name == name));
        Ok(())
    }

    /// What judging a password has to cost, so that it tells nothing about the user: that of new passwords, and each that
    /// occurs in the file.
    pub fn costs(&self) -> Vec<Cost> {
        let kept = self.iter().filter_map(|user| user.password.as_ref()).filter_map(Stored::cost);
        let mut costs: Vec<Cost> = kept.chain([Cost::OWN]).collect();
        costs.sort_unstable();
        costs.dedup();
        costs
    }
}

/// What tells one state of a file from the next: every change makes a new file, or a new time in the old one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp([i64; 4], [u64; 3]);

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        Some(Stamp(times, [meta.dev(), meta.ino(), meta.size()]))
    }
}

/// The user file on disk.
pub struct UserFile {
    path: PathBuf,
    read: Mutex<Option<(Stamp, Arc<Users>)>>,
}

impl UserFile {
    /// The file at `path`, which need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        UserFile { path, read: Mutex::new(None) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its users; nobody where there is no file. Read only when it changed.
    ///
    /// # Errors
    /// When others can read it or something in it is wrong.
    pub fn load(&self) -> Result<Arc<Users>, UserFileError> {
        // taken before reading: a change while it is read is seen at the next call
        let Some(stamp) = Stamp::of(&self.path) else { return Ok(Arc::default()) };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, users)) = read.as_ref().filter(|(then, _)| *then == stamp) {
            return Ok(users.clone());
        }
        *read = None;
        let users = Arc::new(self.read()?);
        *read = Some((stamp, users.clone()));
        Ok(users)
    }

    fn read(&self) -> Result<Users, UserFileError> {
        let Some(bytes) = private::read(&self.path, MOST_BYTES)? else { return Ok(Users::default()) };
        parse(&bytes).map_err(|error| match error {
            UserFileError::Line { line, what, .. } => UserFileError::Line { path: Some(self.path.clone()), line, what },
            other => other,
        })
    }

    /// Changes the file, which is made where there is none: what `change` did is on disk when this returns. Nobody else's
    /// change is lost.
    ///
    /// # Errors
    /// Those of `change`, and when the file cannot be read, locked or written; then it is as it was.
    pub fn change<T>(&self, change: impl FnOnce(&mut Users) -> Result<T, UserFileError>) -> Result<T, UserFileError> {
        let _lock = self.lock()?;
        let mut users = self.read()?;
        let done = change(&mut users)?;
        private::write(&self.path, users.print().as_bytes())?;
        Ok(done)
    }

    /// Uses up what a right login used.
    ///
    /// # Errors
    /// When it was used before, the user is gone or disabled, or the file cannot be changed.
    pub fn spend(&self, name: &str, spendings: &[Spending]) -> Result<(), UserFileError> {
        self.change(|users| {
            let user = users.get_mut(name)?;
            let fresh = spendings.iter().all(|spending| match spending {
                Spending::Step(step) => user.used.spend(*step),
                Spending::Recovery(hash) => user.recovery.spend(hash),
            });
            if fresh && !user.disabled { Ok(()) } else { Err(UserFileError::Spent) }
        })
    }

    /// The lock is a file of its own: the user file is another one after each change.
    fn lock(&self) -> Result<std::fs::File, UserFileError> {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let fail = |error| UserFileError::Lock(path.clone(), error);
        folder::make(folder::of(&path), folder::Others::Sticky).map_err(PrivateError::from)?;
        let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let file = options.open(&path).map_err(fail)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).map_err(|e| fail(e.into()))?;
        Ok(file)
    }
}
