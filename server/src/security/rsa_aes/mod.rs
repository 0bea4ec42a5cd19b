//! RSA-AES: security types 5, 6, 129 and 130. RSA keys at both ends, AES-EAX records, user and password inside.
//!
//! [`serve`] takes a connection right after the client chose one of the types and ends when it knows user and password. With
//! types 5 and 129 all that follows goes through records; with 6 and 130 nothing that follows is encrypted, so they are
//! only for connections that something else encrypts. There is no forward secrecy: whoever steals the key can open
//! what was recorded before.
//!
//! - [`key`]: keys and who holds them. [`machine`]: both ends of the handshake, without I/O.
//! - [`stream`]: the connection inside records.
//!
//! INVARIANT: a client is told nothing about what was wrong, and a key that it sends is checked before anything is kept for it.
//!
//! Tested against computed transcripts of all four types (`server/tests/golden/rsa-aes`) and a client that shares no code.

pub mod key;
pub mod machine;
mod record;
pub mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use farpane_rfb::handshake::SecurityType;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

pub use key::{KeyError, LocalRsaKey, RsaKey, RsaPublic};
pub use machine::Subtype;
pub use record::BadRecord;

use super::offer::SecurityKind;
use crate::auth::Secret;
use crate::net::{Progress, Transport, limits};
use machine::{ServerEvent, ServerMachine, ServerTerms};
use stream::RecordStream;

/// What is read at once during the handshake.
const READ: usize = 2048;

/// Which of the four types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Type 5: AES-128 for everything.
    Ra2,
    /// Type 129: AES-256 for everything.
    Ra2x256,
    /// Type 6: AES-128 for the login alone.
    Ra2Ne,
    /// Type 130: AES-256 for the login alone.
    Ra2Nex256,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ra2, Self::Ra2x256, Self::Ra2Ne, Self::Ra2Nex256];

    /// Its number on the wire.
    pub const fn security_type(self) -> SecurityType {
        match self {
            Self::Ra2 => SecurityType::RA2,
            Self::Ra2x256 => SecurityType::RA2_256,
            Self::Ra2Ne => SecurityType::RA2_NE,
            Self::Ra2Nex256 => SecurityType::RA2_NE_256,
        }
    }

    /// The one with this number, if it is one.
    pub fn of(number: SecurityType) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.security_type() == number)
    }

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        let kind = match self {
            Self::Ra2 => SecurityKind::Ra2,
            Self::Ra2x256 => SecurityKind::Ra2x256,
            Self::Ra2Ne => SecurityKind::Ra2Ne,
            Self::Ra2Nex256 => SecurityKind::Ra2Nex256,
        };
        kind.name()
    }

    /// What encrypts.
    pub const fn cipher(self) -> &'static str {
        if self.is_256() { "AES-256-EAX" } else { "AES-128-EAX" }
    }

    /// Whether what follows the login is encrypted too.
    pub const fn encrypts(self) -> bool {
        matches!(self, Self::Ra2 | Self::Ra2x256)
    }

    const fn is_256(self) -> bool {
        matches!(self, Self::Ra2x256 | Self::Ra2Nex256)
    }
}

/// What an administrator decides about these types.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The shortest key of a client that is taken, in bits.
    pub least_client_bits: u32,
    /// The longest key of a client that is taken, in bits: long keys cost the server time.
    pub most_client_bits: u32,
    /// What clients are asked for.
    pub asks_for: Subtype,
}

impl Default for Settings {
    fn default() -> Self {
        Self { least_client_bits: 2048, most_client_bits: 4096, asks_for: Subtype::UserPassword }
    }
}

/// Why settings are no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "keys of {least}..={most} bits can never come in (expected least_client_bits and most_client_bits within 2048..=8192, \
     the first not above the second)"
)]
pub struct SettingsError {
    least: u32,
    most: u32,
}

impl Settings {
    /// Whether they let any client in.
    ///
    /// # Errors
    /// When they do not, or name keys that are not computed with.
    pub fn check(&self) -> Result<(), SettingsError> {
        let (least, most) = (self.least_client_bits, self.most_client_bits);
        let usable = |bits| key::USABLE_BITS.contains(&bits);
        if usable(least) && usable(most) && least <= most { Ok(()) } else { Err(SettingsError { least, most }) }
    }
}

/// The handshake failed, and nothing tells at which check: the peer sees the connection close, and a log says no more. A
/// number that could not be decrypted ends here too, as the wrong hash that follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rsa-aes handshake failed")]
pub struct Failed;

/// Why there is no login.
#[derive(Debug, thiserror::Error)]
pub enum RsaAesError {
    /// The peer closed the connection.
    #[error("peer left")]
    Left,
    /// The peer's key is not taken. Nothing secret has been done with it.
    #[error("peer's key: {0}")]
    PeerKey(#[from] KeyError),
    /// The key exchange took too long.
    #[error("peer misbehaved: key exchange not through within {0} s of the peer's key")]
    TooSlow(u64),
    /// Anything that came after the keys was wrong.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The connection broke.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// A client that said who it is.
pub struct Credentials {
    /// The user; empty when only a password was asked for.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// What the verdict and all else goes through.
    pub transport: Transport,
}

/// Takes a client that chose `kind` up to where it has said user and password; nothing is judged. Every byte that it sent too
/// early comes out of the transport that is returned.
///
/// A person may be looking at the server's key before the client's comes, and typing after the hashes: between these the client
/// has [`limits::KEY_EXCHANGE`]. Whoever calls limits the time of the whole.
///
/// # Errors
/// When the client leaves or is refused: then the connection is to be closed without a word.
pub async fn serve(
    mut transport: Transport,
    kind: Kind,
    key: Arc<dyn RsaKey>,
    settings: &Settings,
) -> Result<Credentials, RsaAesError> {
    let (mut random, mut spare) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    getrandom::fill(&mut *random)?;
    getrandom::fill(&mut *spare)?;
    let client_bits = settings.least_client_bits..=settings.most_client_bits;
    let terms = ServerTerms { public: key.public().clone(), client_bits, subtype: settings.asks_for };
    let mut machine = ServerMachine::new(kind, terms, &random, &spare);
    let name = kind.name();
    transport.reached(Progress::Chose(name));
    send(&mut transport, &machine.offer()).await?;
    transport.reached(Progress::Shown(name));
    let mut deadline: Option<Instant> = None;
    let mut input = BytesMut::with_capacity(READ);
    loop {
        let step = machine.advance(&input)?;
        input.advance(step.used);
        let idle = step.is_idle();
        send(&mut transport, &step.output).await?;
        match step.event {
            None => {}
            Some(ServerEvent::Encrypt { to, plain }) => {
                deadline = Some(Instant::now() + limits::KEY_EXCHANGE);
                let output = machine.encrypted(to.encrypt(&plain))?;
                send(&mut transport, &output).await?;
            }
            Some(ServerEvent::Decrypt(block)) => {
                let (holder, length) = (Arc::clone(&key), kind.secret_len());
                // milliseconds of work, or a question to another process
                let decrypted = tokio::task::spawn_blocking(move || holder.decrypt(&block, length)).await;
                let plain = decrypted.unwrap_or(None);
                let output = machine.decrypted(plain.as_ref().map(|plain| plain.as_slice()))?;
                send(&mut transport, &output).await?;
            }
            Some(ServerEvent::Login { user, password }) => {
                transport.unread(&input);
                if kind.encrypts() {
                    let mut parts = transport.into_parts();
                    parts.stream = Box::new(RecordStream::new(parts.stream, &parts.unread, machine.into_records()?));
                    parts.unread = BytesMut::new();
                    parts.info.encrypted = true;
                    parts.info.cipher = Some(kind.cipher().into());
                    transport = Transport::from_parts(parts);
                }
                return Ok(Credentials { user, password, transport });
            }
        }
        if deadline.is_some() && machine.is_exchanged() {
            deadline = None;
            transport.reached(Progress::Exchanged);
        }
        if idle {
            let reading = transport.read_buf(&mut input);
            let came = match deadline {
                Some(at) => tokio::time::timeout_at(at.into(), reading)
                    .await
                    .map_err(|_| RsaAesError::TooSlow(limits::KEY_EXCHANGE.as_secs()))?,
                None => reading.await,
            };
            if came? == 0 {
                return Err(RsaAesError::Left);
            }
        }
    }
}

/// Writes in one piece, since some viewers take a length for the sign that all of it is there.
async fn send(transport: &mut Transport, output: &[u8]) -> io::Result<()> {
    if output.is_empty() {
        return Ok(());
    }
    transport.write_all(output).await?;
    transport.flush().await
}
