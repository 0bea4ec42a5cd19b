//! Files of an audit log, opened and put aside for a process that may touch no name in their folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::folder::{self, FolderError, Others};

/// Why a log cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LogFileError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Others could change it for another.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Others can read or change it.
    #[error("mode {0:o} lets others at it (expected 600); run: chmod 600 {path}", path = .1.display())]
    Mode(u32, PathBuf),
    /// It is somebody else's.
    #[error("belongs to user {0} (expected {1} or root)")]
    Owner(u32, u32),
    /// It is no regular file.
    #[error("is no regular file")]
    Kind,
    /// Another server has it.
    #[error("another server writes it; give each its own")]
    InUse,
}

impl From<LogFileError> for io::Error {
    fn from(error: LogFileError) -> Self {
        match error {
            LogFileError::Io(error) => error,
            other => io::Error::other(other),
        }
    }
}

/// The name of a file that was put aside: the newest is number 1.
pub fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Opens a log for going on with it, made if it is not there, and locks it.
///
/// # Errors
/// When others can get at it, another server has it, or the system refuses.
pub fn open(path: &Path) -> Result<File, LogFileError> {
    folder::make(folder::of(path), Others::Sticky)?;
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(flags.bits().cast_signed());
    let file = options.open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(LogFileError::Kind);
    }
    let us = rustix::process::geteuid().as_raw();
    if meta.uid() != us && meta.uid() != 0 {
        return Err(LogFileError::Owner(meta.uid(), us));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(LogFileError::Mode(meta.mode() & 0o7777, path.to_owned()));
    }
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogFileError::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Puts the log aside, and those that were before it up by a number, of which `keep` stay; opens a new one.
///
/// # Errors
/// As [`open`].
pub fn next(path: &Path, keep: u32) -> Result<File, LogFileError> {
    folder::trusted(folder::of(path), Others::Sticky)?;
    let moved = |from: &Path, to: &Path| match std::fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    for number in (1..keep).rev() {
        moved(&aside(path, number), &aside(path, number.saturating_add(1)))?;
    }
    moved(path, &aside(path, 1))?;
    open(path)
}
