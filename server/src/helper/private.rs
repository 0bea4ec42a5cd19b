//! Files that hold secrets or state of the server: only their owner reads them, and they are whole or not there.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::folder::{self, FolderError, Others};

/// Why a file of the server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, io::Error),
    /// It cannot be written.
    #[error("{0}: cannot be written: {1}")]
    Write(PathBuf, io::Error),
    /// Others can read or change it.
    #[error("{0}: mode {1:o} lets others at it (expected 600); run: chmod 600 {0}")]
    Mode(PathBuf, u32),
    /// It belongs to somebody else.
    #[error("{0}: belongs to user {1} (expected {2} or root)")]
    Owner(PathBuf, u32, u32),
    /// Others can change it for another.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// It is not a file.
    #[error("{0}: is no regular file")]
    Kind(PathBuf),
    /// It is larger than anything that belongs there.
    #[error("{0}: {1} bytes (expected at most {2})")]
    Size(PathBuf, u64, u64),
}

/// Reads the file that links lead to as [`read`] does: one that an administrator names, who may keep it elsewhere.
///
/// # Errors
/// As [`read`], of the file itself.
pub fn read_linked(path: &Path, most: u64) -> Result<Option<Zeroizing<Vec<u8>>>, PrivateError> {
    match std::fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PrivateError::Read(path.to_owned(), error)),
        Ok(real) => read(&real, most),
    }
}

/// Reads a file of at most `most` bytes that only its owner can read; none when it is not there. A link is no file.
///
/// # Errors
/// When others could read it or change it or its folder, it belongs to another user than this one or root, or the system
/// refuses.
pub fn read(path: &Path, most: u64) -> Result<Option<Zeroizing<Vec<u8>>>, PrivateError> {
    let fail = |error| PrivateError::Read(path.to_owned(), error);
    // neither led elsewhere nor kept waiting by a pipe
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(PrivateError::Kind(path.to_owned()));
        }
        opened => opened.map_err(fail)?,
    };
    folder::trusted(folder::of(path), Others::Sticky)?;
    let meta = file.metadata().map_err(fail)?;
    if !meta.is_file() {
        return Err(PrivateError::Kind(path.to_owned()));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(PrivateError::Mode(path.to_owned(), meta.mode() & 0o7777));
    }
    let us = rustix::process::geteuid().as_raw();
    if meta.uid() != us && meta.uid() != 0 {
        return Err(PrivateError::Owner(path.to_owned(), meta.uid(), us));
    }
    if meta.len() > most {
        return Err(PrivateError::Size(path.to_owned(), meta.len(), most));
    }
    // one byte more than may be: a file that grows while it is read is caught too, and no growing leaves a copy behind
    let room = usize::try_from(meta.len().saturating_add(1)).unwrap_or(0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > most {
        return Err(PrivateError::Size(path.to_owned(), bytes.len() as u64, most));
    }
    Ok(Some(bytes))
}

/// Writes a file with mode 0600 in place of one that may be there: readers see the old one or the new one, whole. Folders that
/// are missing above it are made with mode 0700.
///
/// # Errors
/// When the system refuses; the file that was there stays.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), PrivateError> {
    put(path, bytes, |new| std::fs::rename(new, path))
}

/// Reads a file as [`read`] does, or makes it of what `make` returns when it is not there. Of several processes that make it at
/// the same time all get what one of them made.
///
/// # Errors
/// As [`read`] and [`write()`], and as `make`.
pub fn read_or_make<E: From<PrivateError>>(
    path: &Path,
    most: u64,
    make: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, E>,
) -> Result<Zeroizing<Vec<u8>>, E> {
    if let Some(bytes) = read(path, most)? {
        return Ok(bytes);
    }
    let bytes = make()?;
    put(path, &bytes, |new| match std::fs::hard_link(new, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    })?;
    Ok(read(path, most)?.unwrap_or(bytes))
}

/// Opens a file that only its owner can read, for reading and writing, and makes it when it is not there. Folders that are missing above
/// it are made with mode 0700.
///
/// # Errors
/// When the system refuses, it is no regular file, or others than its owner can read or change it.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    folder::make(folder::of(path), Others::Sticky).map_err(io::Error::other)?;
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)?;
    let meta = file.metadata()?;
    let ours = meta.uid() == rustix::process::geteuid().as_raw();
    if !meta.is_file() || !ours || meta.mode() & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "is no file that only its owner can read (expected mode 600)",
        ));
    }
    Ok(file.into())
}

/// Writes a new file beside `path` and lets `place` put it there.
fn put(path: &Path, bytes: &[u8], place: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), PrivateError> {
    let folder = folder::of(path);
    match folder::make(folder, Others::Sticky) {
        // what root writes for another user lies in that user's folder
        Err(FolderError::Owner(..)) if rustix::process::geteuid().is_root() => {}
        Err(FolderError::Io(_, error)) => return Err(PrivateError::Write(path.to_owned(), error)),
        made => made?,
    }
    put_in(folder, path, bytes, place).map_err(|error| PrivateError::Write(path.to_owned(), error))
}

fn put_in(folder: &Path, path: &Path, bytes: &[u8], place: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut unique = name.to_owned();
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    unique.push(format!(".new-{:016x}", u64::from_ne_bytes(random)));
    let new = folder.join(unique);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        place(&new)
    })();
    // moved away already, unless something went wrong or another process was first
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => written?,
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("farpane-private-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn what_is_written_is_read_back_and_others_cannot() {
        let folder = folder("back");
        let path = folder.join("deep/er/secret");
        assert!(read(&path, 10).unwrap().is_none());
        write(&path, b"first and long").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(read(&path, 10).unwrap().unwrap().as_slice(), b"second");
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn of_many_that_make_a_file_at_once_all_get_the_same() {
        let folder = folder("make");
        let path = folder.join("key");
        let made: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let make = |n: u8| {
                let path = &path;
                scope.spawn(move || {
                    read_or_make(path, 64, || Ok::<_, PrivateError>(Zeroizing::new(vec![n; 32]))).unwrap().to_vec()
                })
            };
            let all: Vec<_> = (0..8).map(make).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|bytes| *bytes == made[0] && bytes.len() == 32), "{made:?}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn files_that_others_can_read_or_that_are_too_large_are_refused() {
        let folder = folder("refused");
        let path = folder.join("secret");
        write(&path, b"secret").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let said = read(&path, 10).unwrap_err().to_string();
            assert!(said.contains("chmod 600"), "{said}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(read(&path, 5), Err(PrivateError::Size(_, 6, 5))));
        assert!(matches!(read(&folder, 5), Err(PrivateError::Kind(_) | PrivateError::Mode(..))));
        assert!(matches!(write(Path::new("/proc/none/x"), b""), Err(PrivateError::Write(..))));
        let link = folder.join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(read(&link, 10), Err(PrivateError::Kind(_))), "a link leads elsewhere");
        assert_eq!(read_linked(&link, 10).unwrap().unwrap().as_slice(), b"secret");
        assert!(read_linked(&folder.join("none"), 10).unwrap().is_none());
        let pipe = folder.join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(matches!(read(&pipe, 10), Err(PrivateError::Kind(_))), "a pipe is not waited for");
        for mode in [0o777, 0o770] {
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&path, 10), Err(PrivateError::Folder(_))), "others may have put it there");
            assert!(matches!(write(&path, b"new"), Err(PrivateError::Folder(_))));
        }
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(read(&path, 10).unwrap().unwrap().as_slice(), b"secret");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
