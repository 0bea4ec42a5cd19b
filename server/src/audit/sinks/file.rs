//! A file that only its owner reads, each line chained to the one before.
//!
//! A file that a crash left with half a line is rotated away as it is, and the next one goes on from its last whole line. Files are
//! opened and rotated by an [`Opener`]: who writes the log needs no right in its folder.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Line, Sink, SinkError};
use crate::audit::chain::{self, Hash};
use crate::auth::Moment;
use crate::helper::{OpenRequest, Opener};

/// So much of a file's end is searched for its last line.
const TAIL: u64 = 1 << 18;

/// An open file of a chain.
pub struct ChainFile {
    path: PathBuf,
    opener: Arc<dyn Opener>,
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
    pub fn open(path: &Path, most: u64, keep: u32, opener: Arc<dyn Opener>, now: Moment) -> Result<Self, SinkError> {
        let fail = |error| SinkError::File(path.to_owned(), error);
        let (mut file, len) = open(opener.as_ref(), &OpenRequest::Log(path.to_owned()), path)?;
        let end = if len == 0 { None } else { Some(end_of(&mut file, len).map_err(fail)?) };
        let last = end.as_ref().and_then(|end| end.last).unwrap_or(Hash::START);
        let whole = end.as_ref().is_none_or(|end| end.whole);
        let mut sink = ChainFile { path: path.to_owned(), opener, file, len, last, most, keep, unsettled: false };
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
        self.settle()?;
        let next = OpenRequest::NextLog { path: self.path.clone(), keep: self.keep };
        let (file, len) = open(self.opener.as_ref(), &next, &self.path)?;
        (self.file, self.len) = (file, len);
        self.begin(now)
    }
}

/// Has a file opened; how long it is.
fn open(opener: &dyn Opener, request: &OpenRequest, path: &Path) -> Result<(File, u64), SinkError> {
    let file = File::from(opener.open(request)?);
    let meta = file.metadata().map_err(|error| SinkError::File(path.to_owned(), error))?;
    Ok((file, meta.len()))
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
