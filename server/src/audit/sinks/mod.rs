//! What events are written to. All of this blocks, and runs on a thread of its own.

mod file;
mod journald;
mod syslog;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::settings::{AuditSettings, SinkSpec};
use crate::auth::Moment;
use crate::helper::{OpenRequest, Opener, OpenerError};

pub use file::ChainFile;
pub use journald::{JOURNAL, Journald};
pub use syslog::Syslog;

/// How much an event matters, as syslog counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something was refused or went wrong.
    Warning,
    /// What begins and ends.
    Notice,
    /// The rest.
    Info,
}

impl Severity {
    /// The number. SOURCE: RFC 5424, section 6.2.1.
    pub const fn number(self) -> u8 {
        match self {
            Severity::Warning => 4,
            Severity::Notice => 5,
            Severity::Info => 6,
        }
    }
}

/// An event as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it happened.
    pub at: Moment,
    /// Its name.
    pub event: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The JSON object, printable ASCII.
    pub json: String,
}

/// The machine and process that events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The host's name.
    pub host: String,
    /// The number of the process.
    pub pid: u32,
}

/// Why an event is not written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The journal does not take it.
    #[error("journal: {0}")]
    Journal(io::Error),
    /// The journal or the syslog server cannot be connected to, or the file not be opened.
    #[error("{0}")]
    Open(#[from] OpenerError),
    /// The syslog server does not take it.
    #[error("{0}: {1}")]
    Syslog(SinkSpec, io::Error),
    /// The syslog server did not take a connection a moment ago.
    #[error("{0}: is tried again in a moment")]
    Resting(SinkSpec),
    /// The file cannot be written.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
}

/// Takes lines.
pub trait Sink: Send {
    /// Its name for people.
    fn name(&self) -> String;

    /// Writes a line.
    ///
    /// # Errors
    /// When it is not written; the next one may be tried.
    fn write(&mut self, line: &Line) -> Result<(), SinkError>;

    /// Makes sure that what was written stays. Called whenever no line waits.
    ///
    /// # Errors
    /// What the system says.
    fn settle(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// What these settings may have to be opened or connected to.
pub fn requests(settings: &AuditSettings) -> Vec<OpenRequest> {
    let one = |spec: &SinkSpec| match spec {
        SinkSpec::Journald => vec![OpenRequest::Datagrams(JOURNAL.into())],
        SinkSpec::SyslogUnix(path) => vec![OpenRequest::Datagrams(path.clone())],
        SinkSpec::SyslogUdp(to) => vec![OpenRequest::Udp(*to)],
        SinkSpec::SyslogTcp(to) => vec![OpenRequest::Tcp(*to)],
        SinkSpec::File(path) => {
            let next = OpenRequest::NextLog { path: path.clone(), keep: settings.keep_files };
            vec![OpenRequest::Log(path.clone()), next]
        }
    };
    settings.sinks.iter().flat_map(one).collect()
}

/// Opens every sink of the settings; `opener` does it. What can be connected later too (journal, syslog) is not missed here
/// when it is not there.
///
/// # Errors
/// When a file cannot be opened: a server that should write one is not to run without.
pub fn open(
    settings: &AuditSettings,
    machine: &Machine,
    opener: &Arc<dyn Opener>,
    now: Moment,
) -> Result<Vec<Box<dyn Sink>>, SinkError> {
    let one = |spec: &SinkSpec| -> Result<Box<dyn Sink>, SinkError> {
        Ok(match spec {
            SinkSpec::Journald => Box::new(Journald::new(JOURNAL.into(), Arc::clone(opener))),
            SinkSpec::File(path) => {
                let opener = Arc::clone(opener);
                Box::new(ChainFile::open(path, settings.max_file_bytes, settings.keep_files, opener, now)?)
            }
            syslog => Box::new(Syslog::new(syslog.clone(), machine.clone(), Arc::clone(opener))),
        })
    };
    settings.sinks.iter().map(one).collect()
}
