//! What the server's integration tests are made of: [`Server`] runs the built binary, [`Raw`] speaks bytes to it,
//! [`Client`] is a whole viewer that holds its picture in the engine's reference decoder.
//!
//! The client writes every message by hand and shares no code with the server, so that a mistake in one does not
//! hide in the other. All waits have deadlines; a test that runs into one fails with what it saw so far.

#![forbid(unsafe_code)]

pub mod channel;
mod client;
mod clipboard;
pub mod crowd;
pub mod desktop;
pub mod dice;
pub mod ears;
pub mod namespace;
pub mod openssl;
pub mod painter;
pub mod pam;
mod raw;
pub mod rsa_aes;
pub mod screens;
pub mod secrets;
mod server;
pub mod sway;
mod tls;
mod websocket;
pub mod xvfb;

pub use client::{Client, Mode, Traffic, UpdateStat};
pub use clipboard::Clipboard;
pub use farpane_engine::refdec::encoding;
pub use raw::{Raw, Security, ServerInit, Wire};
pub use server::{PATIENCE, Server, helper, kill};
pub use tls::{Tls, TlsFacts};

/// Why a client could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection failed or a read ran out of time.
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
    /// The server closed the connection.
    #[error("closed by the server")]
    Closed,
    /// The server refused, in its own words; without any in versions before 3.8.
    #[error("refused: {0}")]
    Refused(String),
    /// The server broke the protocol.
    #[error("protocol: {0}")]
    Protocol(#[from] farpane_engine::refdec::DecodeError),
    /// The server broke a rule of the handshake.
    #[error("handshake: {0}")]
    Handshake(String),
    /// A state did not come about in time.
    #[error("not within {limit:?}: {what} ({seen})")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        limit: std::time::Duration,
        /// What had happened by then.
        seen: String,
    },
}
