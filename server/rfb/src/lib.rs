//! The RFB protocol, version 3.3 to 3.8, without I/O and without a clock.
//!
//! Both directions of every message are here: a server parses what a client sends and writes what it answers, a client
//! (a test, a viewer) does the mirror image. Bytes come in as slices and go out into a `Vec<u8>`; nothing blocks, nothing
//! reads ahead, and no buffer is sized by a number that a peer merely claims.
//!
//! - [`handshake`]: from the version banner to ServerInit, as a machine that a connection feeds.
//! - [`client_msg`] and [`server_msg`]: the messages after it.
//! - [`ext`]: pseudo-encodings and extensions, one file each.
//! - [`limits`]: every cap in one table.
//! - [`error`]: what can be wrong and whose fault it is.
//!
//! INVARIANT: no input makes this crate panic, loop without progress or consume more than it was given. Tested by
//! transcripts of real sessions, by cutting them at every byte, and by random bytes.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod client_msg;
pub mod cut_text;
pub mod encoding;
pub mod error;
pub mod ext;
pub mod handshake;
pub mod limits;
pub mod pixel_format;
pub mod server_msg;
pub mod version;
pub mod wire;

pub use client_msg::{ClientMessage, ClientParser};
pub use encoding::Encoding;
pub use error::{Fault, ProtocolError};
pub use pixel_format::PixelFormat;
pub use server_msg::ServerMessage;
pub use version::Version;
pub use wire::Area;
