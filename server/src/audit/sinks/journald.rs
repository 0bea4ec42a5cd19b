//! The journal of systemd, over its native protocol.
//!
//! SOURCE: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>. A datagram holds fields as lines `NAME=value`; our values have no line ends.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Line, Sink, SinkError};
use crate::helper::{OpenRequest, Opener, Relay};

/// Where the journal listens.
pub const JOURNAL: &str = "/run/systemd/journal/socket";

/// The journal.
pub struct Journald {
    path: PathBuf,
    opener: Arc<dyn Opener>,
    socket: Option<Relay>,
}

impl Journald {
    /// The journal that listens at `path`; `opener` connects to it here if it is there, else with the first line.
    pub fn new(path: PathBuf, opener: Arc<dyn Opener>) -> Self {
        let mut journal = Journald { path, opener, socket: None };
        journal.socket = journal.connect().ok();
        journal
    }

    fn connect(&self) -> Result<Relay, SinkError> {
        let end = self.opener.open(&OpenRequest::Datagrams(self.path.clone()))?;
        Relay::over(end).map_err(SinkError::Journal)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        // a journal that was started anew needs a new connection
        if let Some(socket) = &self.socket
            && socket.send(bytes).is_ok()
        {
            return Ok(());
        }
        self.socket = None;
        let socket = self.connect()?;
        socket.send(bytes).map_err(SinkError::Journal)?;
        self.socket = Some(socket);
        Ok(())
    }
}

impl Sink for Journald {
    fn name(&self) -> String {
        "journald".into()
    }

    fn write(&mut self, line: &Line) -> Result<(), SinkError> {
        let Line { json, event, severity, .. } = line;
        let priority = severity.number();
        let fields = format!(
            "MESSAGE={json}\nPRIORITY={priority}\nSYSLOG_IDENTIFIER=farpane\nSYSLOG_FACILITY=10\nFARPANE_EVENT={event}\n"
        );
        self.send(fields.as_bytes())
    }
}
