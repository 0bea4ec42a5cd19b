//! The asking end of the control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Done, MAX_LINE, Reply, Request};
use crate::session::SessionSummary;

/// A server that does not answer within this time is taken for hung.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody answers there.
    #[error("{0}: {1}; is the server running, and yours?")]
    Connect(PathBuf, io::Error),
    /// The connection broke.
    #[error("the server does not answer: {0}")]
    Io(#[from] io::Error),
    /// The server says something else.
    #[error("the server's answer is not understood: {0}")]
    Answer(#[from] serde_json::Error),
    /// The answer ends too early or is too long.
    #[error("the server's answer is cut off")]
    Cut,
    /// The server refuses.
    #[error("{0}")]
    Refused(String),
}

/// What a server answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Sessions, where a list was asked for.
    pub sessions: Vec<SessionSummary>,
    /// What was done.
    pub done: Done,
}

/// A connection to a server's control socket.
#[derive(Debug)]
pub struct Control {
    stream: BufReader<UnixStream>,
}

impl Control {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there, or not to us.
    pub fn connect(path: &Path) -> Result<Self, ControlError> {
        let stream = UnixStream::connect(path).map_err(|error| ControlError::Connect(path.to_owned(), error))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Control { stream: BufReader::new(stream) })
    }

    /// Asks and waits for the whole answer.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, ControlError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        let mut sessions = Vec::new();
        loop {
            let mut line = Vec::new();
            let most = u64::try_from(MAX_LINE).unwrap_or(u64::MAX).saturating_add(1);
            (&mut self.stream).take(most).read_until(b'\n', &mut line)?;
            if line.pop() != Some(b'\n') {
                return Err(ControlError::Cut);
            }
            match serde_json::from_slice(&line)? {
                Reply::Session(session) => sessions.push(*session),
                Reply::Done(done) => return Ok(Answer { sessions, done }),
                Reply::Error(reason) => return Err(ControlError::Refused(reason)),
            }
        }
    }
}

/// A server that has a control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What its socket is called after: its process number.
    pub name: String,
    /// The socket.
    pub path: PathBuf,
}

/// The servers whose control sockets in this folder somebody answers on, by name.
pub fn servers(folder: &Path) -> Vec<Server> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let named = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?.strip_prefix("control-")?.strip_suffix(".sock")?.to_owned();
        UnixStream::connect(&path).is_ok().then_some(Server { name, path })
    });
    let mut found: Vec<Server> = named.collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
