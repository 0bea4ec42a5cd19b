//! From the version banner to ServerInit, for both sides.
//!
//! [`ServerHandshake`] and [`ClientHandshake`] are fed what arrived and say how much of it they used, what to send and what
//! happened. They never use a byte more than the step at hand needs: a security type may take over the stream between any
//! two steps (TLS, an encrypted channel), and the handshake goes on inside it.
//!
//! INVARIANT: a security type is begun only if this connection offered it, and nothing but
//! [`ServerHandshake::accept`] leads past it.

mod client;
mod server;

use thiserror::Error;

use crate::error::{Fault, ProtocolError};
use crate::limits;
use crate::pixel_format::PixelFormat;
use crate::version::Banner;
use crate::wire::{Put, Reader};

pub use client::{ClientEvent, ClientHandshake};
pub use server::{ServerEvent, ServerHandshake};

/// The number of a security type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SecurityType(pub u8);

impl SecurityType {
    /// No authentication.
    pub const NONE: Self = Self(1);
    /// Challenge and response with an 8-character password.
    pub const VNC_AUTH: Self = Self(2);
    /// RSA-AES, 128 bits, encrypted session.
    pub const RA2: Self = Self(5);
    /// RSA-AES, 128 bits, only the authentication encrypted.
    pub const RA2_NE: Self = Self(6);
    /// TightVNC's.
    pub const TIGHT: Self = Self(16);
    /// Anonymous TLS (Vino).
    pub const TLS: Self = Self(18);
    /// VeNCrypt: TLS with or without certificates.
    pub const VENCRYPT: Self = Self(19);
    /// Apple's Diffie-Hellman.
    pub const APPLE_DH: Self = Self(30);
    /// farpane's encrypted channel (`docs/channel.md`).
    pub const CHANNEL: Self = Self(70);
    /// UltraVNC's MS-Logon II.
    pub const MS_LOGON_2: Self = Self(113);
    /// RSA-AES, 256 bits, encrypted session.
    pub const RA2_256: Self = Self(129);
    /// RSA-AES, 256 bits, only the authentication encrypted.
    pub const RA2_NE_256: Self = Self(130);

    /// The type's name; `None` for a number without one here.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::NONE => "None",
            Self::VNC_AUTH => "VncAuth",
            Self::RA2 => "RA2",
            Self::RA2_NE => "RA2ne",
            Self::TIGHT => "Tight",
            Self::TLS => "TLS",
            Self::VENCRYPT => "VeNCrypt",
            Self::APPLE_DH => "Apple DH",
            Self::CHANNEL => "channel",
            Self::MS_LOGON_2 => "MS-Logon II",
            Self::RA2_256 => "RA2_256",
            Self::RA2_NE_256 => "RA2ne_256",
            _ => return None,
        })
    }
}

impl std::fmt::Display for SecurityType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name().unwrap_or("unknown"), self.0)
    }
}

/// What the server tells about its framebuffer at the end of the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInit {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// The server's own pixel format.
    pub pixel_format: PixelFormat,
    /// The desktop's name.
    pub name: String,
}

impl ServerInit {
    /// Writes the message. The name is made printable and cut to [`limits::TEXT`].
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_u16(self.width);
        out.put_u16(self.height);
        self.pixel_format.write(out);
        out.put_text(&self.name);
    }

    /// Reads the message from the start of `input` and says how many bytes it took; `None` when incomplete.
    ///
    /// # Errors
    ///
    /// A size of zero or above [`limits::FRAMEBUFFER_SIDE`], an unusable pixel format, a name above [`limits::TEXT_WIRE`].
    pub fn parse(input: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let mut reader = Reader::new(input);
        let mut head = || Some((reader.u16()?, reader.u16()?, PixelFormat::read(&mut reader)?));
        let Some((width, height, pixel_format)) = head() else { return Ok(None) };
        if width.min(height) == 0 || width.max(height) > limits::FRAMEBUFFER_SIDE {
            return Err(ProtocolError::FramebufferSize { width, height });
        }
        pixel_format.validate()?;
        let Some(name) = reader.text()? else { return Ok(None) };
        Ok(Some((Self { width, height, pixel_format, name }, reader.used())))
    }
}

/// What one call of `advance` did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "used bytes must be dropped and output sent"]
pub struct Step<E> {
    /// Bytes of the input that were used; the rest must be given again.
    pub used: usize,
    /// Bytes to send.
    pub output: Vec<u8>,
    /// What happened. With `used` 0, no output and no event, more input is needed.
    pub event: Option<E>,
}

impl<E> Step<E> {
    fn nothing() -> Self {
        Self { used: 0, output: Vec::new(), event: None }
    }

    fn new(used: usize, output: Vec<u8>, event: Option<E>) -> Self {
        Self { used, output, event }
    }

    /// Whether nothing can happen without more input.
    pub fn is_idle(&self) -> bool {
        self.used == 0 && self.output.is_empty() && self.event.is_none()
    }
}

/// Why a handshake ends early.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The first bytes are no version banner. Close without a word.
    #[error("no rfb banner (expected RFB ddd.ddd)")]
    NotRfb,
    /// A version of another kind.
    #[error("protocol version {0} (expected 3.x)")]
    Version(Banner),
    /// The client chose what was not offered to it.
    #[error("security type {chosen} was not offered")]
    NotOffered {
        /// What it chose.
        chosen: SecurityType,
    },
    /// Nothing that was configured can be offered to a client of this version.
    #[error("no security type to offer to a client of version {0}")]
    NothingToOffer(Banner),
    /// The server refused.
    #[error("refused by the server: {reason}")]
    Refused {
        /// Its words; empty when it gave none.
        reason: String,
    },
    /// A SecurityResult without meaning.
    #[error("security result {0} (expected 0, 1 or 2)")]
    SecurityResult(u32),
    /// A broken message.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Our own code called a step that is not at hand.
    #[error("handshake step {called} in state {state}")]
    OutOfOrder {
        /// What was called.
        called: &'static str,
        /// What the handshake was waiting for.
        state: &'static str,
    },
}

impl HandshakeError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NotRfb | Self::NotOffered { .. } | Self::SecurityResult(_) => Fault::PeerMisbehaved,
            Self::Version(_) | Self::NothingToOffer(_) | Self::Refused { .. } => Fault::PeerIncompatible,
            Self::Protocol(error) => error.fault(),
            Self::OutOfOrder { .. } => Fault::Internal,
        }
    }
}

#[cfg(test)]
mod tests;
