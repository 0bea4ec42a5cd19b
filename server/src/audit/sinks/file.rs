//! A file that only its owner reads, each line chained to the one before.
//!
//! A file that a crash left with half a line is rotated away as it is, and the next one goes on from its last whole line.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Line, Sink, SinkError};
use crate::audit::chain::{self, Hash};
use crate::auth::Moment;

/// So much of a file's end is searched for its last line.
const TAIL: u64 = 1 << 18;

/// An open file of a chain.
#[derive(Debug)]
pub struct ChainFile {
    path: PathBuf,
    file: File,
    len: u64,
    last: Hash,
    most: u64,
    keep: u32,
    unsettled: bool,
}

/// What the end of a file is like.
struct End {
    last: Option<Hash>,
    whole: bool,
}

/// Reads the last line.
fn end_of(file: &mut File, len: u64) -> io::Result<End> {
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let hash = |line: &[u8]| std::str::from_utf8(line).ok().and_then(chain::parts).map(|(_, hash)| hash);
    let mut lines = tail.split(|byte| *byte == b'\n').rev();
    let rest = lines.next().unwrap_or_default();
    let last = lines.next();
    let read = last.and_then(hash);
    Ok(End { last: read, whole: rest.is_empty() && read.is_some() })
}

impl ChainFile {
    /// Opens a file and goes on from its end, or begins a new one. Beyond `most` bytes it is rotated away; `keep` rotated files stay.
    ///
    /// # Errors
    /// When others can get at it, another server has it, or the system refuses.
    pub fn open(path: &Path, most: u64, keep: u32, now: Moment) -> Result<Self, SinkError> {
        let fail = |error| SinkError::File(path.to_owned(), error);
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fail)?;
        }
        let (mut file, len) = open(path)?;
        let end = if len == 0 { None } else { Some(end_of(&mut file, len).map_err(fail)?) };
        let last = end.as_ref().and_then(|end| end.last).unwrap_or(Hash::START);
        let whole = end.as_ref().is_none_or(|end| end.whole);
        let mut sink = ChainFile { path: path.to_owned(), file, len, last, most, keep, unsettled: false };
        if !whole {
            tracing::warn!(file = %path.display(), "audit log ends in the middle of a line; it is rotated away");
            sink.rotate(now)?;
        } else if len == 0 {
            sink.begin(now)?;
        }
        Ok(sink)
    }

    fn fail(&self, error: io::Error) -> SinkError {
        SinkError::File(self.path.clone(), error)
    }

    /// Writes the first line of a file.
    fn begin(&mut self, now: Moment) -> Result<(), SinkError> {
        // a rotated file that is the newest there goes on here, even where this process did not write it
        self.append(&chain::head(self.last, now))
    }

    fn append(&mut self, body: &str) -> Result<(), SinkError> {
        let (text, hash) = chain::line(self.last, body);
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            // half a line would break the chain for good
            let _ = self.file.set_len(self.len);
            return Err(self.fail(error));
        }
        self.len = self.len.saturating_add(text.len() as u64);
        self.last = hash;
        self.unsettled = true;
        Ok(())
    }

    /// Moves the file away, and the older ones up by a number; begins a new one.
    fn rotate(&mut self, now: Moment) -> Result<(), SinkError> {
        let moved = |from: &Path, to: &Path| match std::fs::rename(from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SinkError::File(from.to_owned(), error)),
            _ => Ok(()),
        };
        self.settle()?;
        for number in (1..self.keep).rev() {
            moved(&chain::rotated(&self.path, number), &chain::rotated(&self.path, number.saturating_add(1)))?;
        }
        moved(&self.path, &chain::rotated(&self.path, 1))?;
        let (file, len) = open(&self.path)?;
        (self.file, self.len) = (file, len);
        self.begin(now)
    }
}

/// Opens a file for appending, made if it is not there, and locks it.
fn open(path: &Path) -> Result<(File, u64), SinkError> {
    let fail = |error| SinkError::File(path.to_owned(), error);
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(flags.bits().cast_signed());
    let file = options.open(path).map_err(fail)?;
    let meta = file.metadata().map_err(fail)?;
    if !meta.is_file() {
        return Err(SinkError::Kind(path.to_owned()));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(SinkError::Mode(path.to_owned(), meta.mode() & 0o7777));
    }
    match file.try_lock() {
        Ok(()) => Ok((file, meta.len())),
        Err(std::fs::TryLockError::WouldBlock) => Err(SinkError::InUse(path.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(fail(error)),
    }
}

impl Sink for ChainFile {
    fn name(&self) -> String {
        format!("file {}", self.path.display())
    }

    fn write(&mut self, line: &Line) -> Result<(), SinkError> {
        if self.len.saturating_add(line.json.len() as u64) > self.most {
            self.rotate(line.at)?;
        }
        self.append(&line.json)
    }

    fn settle(&mut self) -> Result<(), SinkError> {
        if self.unsettled {
            self.file.sync_data().map_err(|error| self.fail(error))?;
            self.unsettled = false;
        }
        Ok(())
    }
}
