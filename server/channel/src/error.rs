//! What can go wrong, sorted by whose fault it is.

use thiserror::Error;

use crate::hello::HelloError;

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The peer, or somebody between the peer and us, broke the protocol.
    PeerMisbehaved,
    /// The peer keeps to the protocol but needs what is not offered here.
    PeerIncompatible,
    /// Our own code called things in an order that makes no sense.
    Internal,
}

/// Why a handshake ended without a channel. The connection is of no use afterwards: close it without a word.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The security type was not in the list of this connection.
    #[error("security type {0} was not offered on this connection (expected one of its list)")]
    TypeNotOffered(u8),
    /// The list of security types is empty or too long.
    #[error("list of {0} security types (expected 1..=255)")]
    TypeList(usize),
    /// The server speaks another version of the channel.
    #[error("channel version {0} (expected 1): update the viewer")]
    Version(u8),
    /// The server offers no suite that we have.
    #[error("suites {0:#04x} (expected bit 0, Noise_XX_25519_AESGCM_SHA256): update the server")]
    NoCommonSuite(u8),
    /// The viewer chose a suite that was not offered.
    #[error("suite {0} was not offered (expected 1)")]
    SuiteNotOffered(u8),
    /// A message of the handshake has a length that it cannot have.
    #[error("handshake message {message} of {length} bytes (expected {least}..={most})")]
    Length {
        /// Which message, 1 to 3.
        message: u8,
        /// Its announced length.
        length: usize,
        /// The shortest.
        least: usize,
        /// The longest.
        most: usize,
    },
    /// A message does not open: what was negotiated differs at both ends, a key is not what it claims, or bytes were changed.
    #[error("handshake message {0} does not open: somebody changed what was negotiated, or the peer is broken")]
    Refused(u8),
    /// What a message carries is malformed.
    #[error("{0}")]
    Hello(#[from] HelloError),
    /// The peer was too slow.
    #[error("no handshake message {message} within {seconds} s")]
    TooSlow {
        /// Which message was awaited, 0 for the bytes before message 1.
        message: u8,
        /// How long was allowed.
        seconds: u64,
    },
    /// A step out of turn, or after an error.
    #[error("the handshake is not at this step, or is over")]
    OutOfTurn,
}

impl HandshakeError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Version(1..) | Self::NoCommonSuite(_) => Fault::PeerIncompatible,
            Self::OutOfTurn | Self::TypeList(_) => Fault::Internal,
            Self::Hello(error) => error.fault(),
            _ => Fault::PeerMisbehaved,
        }
    }
}

/// Why a channel cannot go on, or why it did not take a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// A record that cannot be: its length, kind, tag, order or number. There is no detail, so that none can be given away.
    #[error("the channel is broken: close the connection")]
    Broken,
    /// The stream ended without a close record: somebody cut it off.
    #[error("the stream ended without a close record: it was cut off")]
    Truncated,
    /// We closed the channel; nothing more can be sent.
    #[error("the channel is closed")]
    Closed,
    /// RFB before authentication has ended, or an authentication message after.
    #[error("records of this kind cannot be sent before, or after, the end of authentication")]
    OutOfTurn,
    /// An authentication message that is too long.
    #[error(
        "authentication message of {0} bytes (expected 0..=16384, or less where the server announced shorter records)"
    )]
    AuthTooLong(usize),
}

impl ChannelError {
    /// Whose fault it is.
    pub fn fault(self) -> Fault {
        match self {
            Self::Broken | Self::Truncated => Fault::PeerMisbehaved,
            Self::Closed | Self::OutOfTurn | Self::AuthTooLong(_) => Fault::Internal,
        }
    }
}
