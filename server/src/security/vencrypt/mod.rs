//! VeNCrypt 0.2: security type 19, which agrees on a subtype, puts TLS below the rest and says who the user is.
//!
//! [`Server`] and [`Client`] are machines over bytes; [`serve`] drives the server's over a transport. Subtypes with anonymous
//! TLS (257 to 259) do not exist here.
//!
//! INVARIANT: only a subtype that was offered on this connection begins, and no byte that came before TLS counts inside it.
//!
//! SOURCE: the VeNCrypt 0.2 protocol as in the community's RFB specification; recorded sessions in
//! `server/rfb/tests/golden/sec-vencrypt-*`.

mod client;
mod serve;
mod server;

pub use client::{Client, ClientEvent};
pub use serve::{Asked, Entered, serve};
pub use server::{Event, Server};

use super::offer::SecurityKind;
use super::tls::TlsError;
use crate::auth::login::{MAX_NAME, MAX_REPLY};

/// The version spoken: 0.2.
pub const VERSION: [u8; 2] = [0, 2];

/// What can be inside of VeNCrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subtype {
    /// User and password on the transport as it is: for one that is encrypted below, or that only this machine can reach.
    Plain,
    /// TLS; the client's certificate says who it is.
    X509None,
    /// TLS, with VncAuth inside.
    X509Vnc,
    /// TLS, with user and password inside.
    X509Plain,
}

impl Subtype {
    const ALL: [(u32, Subtype, SecurityKind); 4] = [
        (256, Subtype::Plain, SecurityKind::Plain),
        (260, Subtype::X509None, SecurityKind::X509None),
        (261, Subtype::X509Vnc, SecurityKind::X509Vnc),
        (262, Subtype::X509Plain, SecurityKind::X509Plain),
    ];

    /// Its number on the wire.
    pub fn number(self) -> u32 {
        Self::ALL.iter().find(|(_, subtype, _)| *subtype == self).map_or(0, |(number, ..)| *number)
    }

    /// The subtype with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.iter().find(|(n, ..)| *n == number).map(|(_, subtype, _)| *subtype)
    }

    /// Its name in the configuration.
    pub fn kind(self) -> SecurityKind {
        Self::ALL.iter().find(|(_, subtype, _)| *subtype == self).map_or(SecurityKind::None, |(.., kind)| *kind)
    }

    /// The subtype that carries this security type; none for those that are no part of VeNCrypt.
    pub fn of(kind: SecurityKind) -> Option<Self> {
        Self::ALL.iter().find(|(.., k)| *k == kind).map(|(_, subtype, _)| *subtype)
    }

    /// Whether TLS goes below it.
    pub fn has_tls(self) -> bool {
        self != Subtype::Plain
    }

    /// Whether user and password follow.
    pub fn has_password(self) -> bool {
        matches!(self, Subtype::Plain | Subtype::X509Plain)
    }
}

/// Why VeNCrypt came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum VeNCryptError {
    /// The client speaks another version.
    #[error("peer incompatible: VeNCrypt version {0}.{1} (expected 0.2)")]
    Version(u8, u8),
    /// The client chose what was not offered.
    #[error("peer misbehaved: VeNCrypt subtype {0} was not offered")]
    NotOffered(u32),
    /// A name or password that is too long; nothing of it was read.
    #[error("peer misbehaved: {0} of {1} bytes (expected at most {2})")]
    Long(&'static str, u32, usize),
    /// A name or password that is no text.
    #[error("peer misbehaved: {0} is not UTF-8")]
    NotText(&'static str),
    /// The server answered what no server does.
    #[error("peer misbehaved: VeNCrypt answer {0} (expected {1})")]
    Answer(u8, &'static str),
    /// TLS did not come about.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The client's certificate names no user, and nothing else is asked.
    #[error("refused: the client certificate names no user")]
    Nobody,
    /// The client did not choose.
    #[error("peer misbehaved: no VeNCrypt version and subtype within {0} s")]
    TooSlow(u64),
    /// The client left.
    #[error("peer left")]
    Left,
    /// The connection broke.
    #[error("connection: {0}")]
    Io(std::io::Error),
    /// The server may not offer this here: the configuration lets through what it should not.
    #[error("internal: VeNCrypt {0} cannot be offered here: {1}")]
    Unfit(SecurityKind, &'static str),
    /// There is nothing to offer.
    #[error("internal: VeNCrypt without subtypes (expected 1..=255)")]
    Nothing,
    /// The machine was driven out of order.
    #[error("internal: VeNCrypt called out of order")]
    OutOfOrder,
}

/// What a client is told before the connection closes, if anything.
impl VeNCryptError {
    fn parting(&self) -> &'static [u8] {
        match self {
            VeNCryptError::Version(..) => &[0xff],
            // those with TLS are acknowledged by one byte, which tells others that it is over; Plain is not
            VeNCryptError::NotOffered(257..) => &[0],
            _ => &[],
        }
    }
}

/// Caps a length before anything is read by it.
fn capped(what: &'static str, length: [u8; 4], most: usize) -> Result<usize, VeNCryptError> {
    let length = u32::from_be_bytes(length);
    match usize::try_from(length) {
        Ok(bytes) if bytes <= most => Ok(bytes),
        _ => Err(VeNCryptError::Long(what, length, most)),
    }
}

/// Longest message that a client sends: the lengths, a name and a password.
const LONGEST: usize = 8 + MAX_NAME + MAX_REPLY;

#[cfg(test)]
mod tests;
