//! What was said before the keys: the versions, the list of security types and the choices.
//!
//! All of it is hashed into the handshake. An edit by somebody in the middle makes message 2 fail to open.

use std::fmt;

use crate::error::HandshakeError;
use crate::limits;

/// The label that opens the prologue.
const LABEL: &[u8] = b"farpane-noise/1";
/// `Noise_XX_25519_AESGCM_SHA256`.
pub const SUITE_XX_25519: u8 = 1;
/// The bit of suite 1 in a bitmap of suites.
pub(crate) const SUITES: u8 = 1 << (SUITE_XX_25519 - 1);
/// Bytes of the server's offer: version, suites, flags.
pub(crate) const OFFER: usize = 4;

/// The connection up to the choice of the security type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    server_version: [u8; 12],
    viewer_version: [u8; 12],
    types: Vec<u8>,
    chosen: u8,
    session: [u8; 16],
}

impl Transcript {
    /// Both version strings with their line ends, the list as sent on this connection, and the type chosen from it.
    ///
    /// # Errors
    /// When the list is empty or too long, or does not hold the chosen type.
    pub fn new(
        server_version: [u8; 12],
        viewer_version: [u8; 12],
        types: &[u8],
        chosen: u8,
    ) -> Result<Self, HandshakeError> {
        if types.is_empty() || types.len() > limits::SECURITY_TYPES {
            return Err(HandshakeError::TypeList(types.len()));
        }
        if !types.contains(&chosen) {
            return Err(HandshakeError::TypeNotOffered(chosen));
        }
        Ok(Self { server_version, viewer_version, types: types.to_vec(), chosen, session: [0; 16] })
    }

    /// The session that a relay named; without a relay it is zero.
    #[must_use]
    pub fn with_session(mut self, session: [u8; 16]) -> Self {
        self.session = session;
        self
    }

    /// The bytes that both ends hash: everything above, the server's offer and the suite.
    pub(crate) fn prologue(&self, offer: [u8; OFFER], suite: u8) -> Vec<u8> {
        // INVARIANT: `new` holds the list to 255 types
        let count = u8::try_from(self.types.len()).unwrap_or(u8::MAX);
        let parts: [&[u8]; 8] = [
            LABEL,
            &self.server_version,
            &self.viewer_version,
            &[count],
            &self.types,
            &[self.chosen],
            &offer,
            &[suite],
        ];
        let mut out = parts.concat();
        out.extend_from_slice(&self.session);
        out
    }
}

/// Both versions and what was chosen, for a log.
impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = |bytes: &[u8]| bytes.trim_ascii().escape_ascii().to_string();
        let (server, viewer) = (version(&self.server_version), version(&self.viewer_version));
        write!(f, "{server}, {viewer}, type {} of {:?}", self.chosen, self.types)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: [u8; 12] = *b"RFB 003.008\n";

    #[test]
    fn the_prologue_is_the_bytes_of_the_document() {
        let transcript = Transcript::new(SERVER, *b"RFB 003.889\n", &[70, 19], 70).expect("offered");
        let prologue = transcript.with_session([9; 16]).prologue([1, 1, 0, 0], 1);
        let document = [&b"farpane-noise/1RFB 003.008\nRFB 003.889\n"[..], &[2, 70, 19, 70, 1, 1, 0, 0, 1], &[9; 16]];
        assert_eq!(prologue, document.concat());
    }

    #[test]
    fn a_type_must_have_been_offered() {
        assert_eq!(Transcript::new(SERVER, SERVER, &[2, 19], 70), Err(HandshakeError::TypeNotOffered(70)));
        assert_eq!(Transcript::new(SERVER, SERVER, &[], 70), Err(HandshakeError::TypeList(0)));
        assert_eq!(Transcript::new(SERVER, SERVER, &[70; 256], 70), Err(HandshakeError::TypeList(256)));
    }
}
