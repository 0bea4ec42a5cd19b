//! The control socket: who owns the server lists sessions, ends them, sends them words and answers at the gate.
//!
//! A Unix socket of mode 600 in a folder that only its owner can write; the peer's user is checked as well. Both ways go lines
//! of JSON of at most [`MAX_LINE`] bytes: one [`Request`] each, answered by [`Reply::Session`] lines and then one
//! [`Reply::Done`] or [`Reply::Error`].

mod client;
mod server;

use serde::{Deserialize, Serialize};

pub use client::{Answer, Control, ControlError, Server, servers};
pub use server::{BindError, Bound};

use crate::session::SessionSummary;

/// Longest line either way, in bytes and without its end.
pub const MAX_LINE: usize = 16 * 1024;

/// What can be asked of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Who is there, and who waits at the gate.
    List {},
    /// End one session.
    Kick {
        /// Which.
        id: u64,
        /// Why, for the log.
        #[serde(default)]
        reason: String,
    },
    /// Say something to one client, or to all.
    Message {
        /// To whom; none for all.
        #[serde(default)]
        id: Option<u64>,
        /// What.
        text: String,
    },
    /// Let a client in that waits at the gate.
    Accept {
        /// Which.
        id: u64,
    },
    /// Do not let it in.
    Refuse {
        /// Which.
        id: u64,
    },
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// One client of a list; more lines follow.
    Session(Box<SessionSummary>),
    /// It was done; the answer ends.
    Done(Done),
    /// It was not done; the answer ends.
    Error(String),
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Sessions that were listed, ended, let in, refused or spoken to.
    pub sessions: usize,
    /// Of those spoken to, how many show words; the others only rang their bell.
    pub shown: usize,
}

#[cfg(test)]
mod tests;
