//! farpane's own encrypted channel as a security type (`docs/channel.md`): key exchange, login, and RFB inside.
//!
//! The crate `farpane-channel` has the protocol; here it meets sockets, clocks and whoever judges logins.

mod login;
mod settings;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use farpane_channel::handshake::{ServerEvent, ServerHandshake, ServerSettings, Step};
use farpane_channel::hello::{AuthKinds, ServerHello};
use farpane_channel::{Engine, Entropy, HandshakeError, PublicKey, StaticKey, Transcript};
use farpane_rfb::handshake::SecurityType;
use farpane_rfb::version::{Banner, SERVER_BANNER};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::net::{Identity, Progress, Transport, TransportParts, limits};

pub use login::{ChannelLogin, LoginFailed, Said};
pub use settings::{Library, Settings};
pub use stream::ChannelStream;

/// Its name in the configuration.
const NAME: &str = "channel";
/// What encrypts, for the log.
const CIPHER: &str = "AES-256-GCM X25519";
/// Most bytes of the handshake that are read ahead.
const READ: usize = 4096;

/// What a server brings to each channel.
#[derive(Clone)]
pub struct ChannelServer {
    settings: ServerSettings,
}

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub enum ChannelFailed {
    /// The peer broke the channel's protocol, or was too slow.
    #[error("channel: {0}")]
    Handshake(#[from] HandshakeError),
    /// The peer closed the connection.
    #[error("peer left")]
    Left,
    /// The connection broke.
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

impl ChannelFailed {
    /// Whether the peer took too long.
    pub fn is_too_slow(&self) -> bool {
        matches!(self, ChannelFailed::Handshake(HandshakeError::TooSlow { .. }))
    }

    /// Whether the peer chose a suite that it was not offered.
    pub fn is_not_offered(&self) -> bool {
        matches!(self, ChannelFailed::Handshake(HandshakeError::SuiteNotOffered(_)))
    }
}

// the channel's crate has no limits but its own: they are those of every security type
const _: () = assert!(limits::KEY_EXCHANGE.as_secs() == farpane_channel::limits::KEY_EXCHANGE.as_secs());
const _: () = assert!(limits::LOGIN.as_secs() == farpane_channel::limits::LOGIN.as_secs());
const _: () = assert!(limits::BYTES_BEFORE_AUTH == farpane_channel::limits::BEFORE_AUTH);

/// What was said in the open before a security type was chosen: the channel binds itself to it.
#[derive(Clone, Debug)]
pub struct Negotiated {
    /// The client's version as it said it.
    pub banner: Banner,
    /// The types offered on this connection, in their order.
    pub offer: Vec<SecurityType>,
    /// The one that was chosen.
    pub chosen: SecurityType,
}

impl Negotiated {
    fn transcript(&self) -> Result<Transcript, HandshakeError> {
        let offer: Vec<u8> = self.offer.iter().map(|kind| kind.0).collect();
        Transcript::new(SERVER_BANNER, self.banner.bytes(), &offer, self.chosen.0)
    }
}

impl ChannelServer {
    /// A server known by `key`. `prompts`: it can ask for more than a name and a password.
    pub fn new(key: Arc<dyn StaticKey>, engine: Engine, prompts: bool) -> Self {
        let auth = if prompts { AuthKinds::PASSWORD.with(AuthKinds::PROMPTS) } else { AuthKinds::PASSWORD };
        let hello = ServerHello { auth, ..ServerHello::default() };
        ChannelServer { settings: ServerSettings { key, engine, hello } }
    }

    /// The server's public key.
    pub fn public(&self) -> PublicKey {
        self.settings.key.public()
    }

    /// Takes a connection on which the channel was chosen through the key exchange.
    ///
    /// # Errors
    /// When the peer breaks the protocol, is too slow or leaves. Nothing is said to it then.
    pub async fn accept(&self, transport: Transport, negotiated: &Negotiated) -> Result<ChannelLogin, ChannelFailed> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice())?;
        let transcript = negotiated.transcript()?;
        let handshake = ServerHandshake::new(self.settings.clone(), transcript, Entropy::new(*seed), Instant::now())?;
        exchange(transport, handshake).await
    }
}

async fn exchange(mut transport: Transport, mut handshake: ServerHandshake) -> Result<ChannelLogin, ChannelFailed> {
    transport.reached(Progress::Chose(NAME));
    transport.write_all(&handshake.offer()).await?;
    transport.flush().await?;
    let mut input = BytesMut::with_capacity(READ);
    let (key, hello) = loop {
        let step;
        (step, handshake, input) = advance(handshake, input).await?;
        input.advance(step.used);
        transport.write_all(&step.output).await?;
        transport.flush().await?;
        if !step.output.is_empty() {
            // message 2 is all that is sent here: the server's key
            transport.reached(Progress::Shown(NAME));
        }
        if let Some(ServerEvent::Viewer { key, hello }) = step.event {
            break (key, hello);
        }
        if step.used == 0 && step.output.is_empty() && !more(&mut transport, &mut input, handshake.deadline()).await? {
            return Err(ChannelFailed::Left);
        }
    };
    transport.reached(Progress::Exchanged);
    let channel = handshake.into_channel()?;
    let mut parts = transport.into_parts();
    // what was read ahead comes before what was given back
    input.extend_from_slice(&parts.unread);
    parts.info.encrypted = true;
    parts.info.cipher = Some(CIPHER.into());
    parts.info.identity = Some(Identity { name: key.to_string(), method: "channel" });
    parts.info.channel_binding = Some(Arc::from(&channel.binding().as_bytes()[..]));
    let TransportParts { stream, info, slot, .. } = parts;
    Ok(ChannelLogin::new(ChannelStream::new(stream, channel, input), info, slot, key, hello))
}

/// Reads more; false when the peer has left. Past the deadline nothing came, and the next step says what was too slow.
async fn more(transport: &mut Transport, input: &mut BytesMut, deadline: Option<Instant>) -> std::io::Result<bool> {
    let read = transport.read_buf(input);
    match deadline {
        Some(at) => match tokio::time::timeout_at(at.into(), read).await {
            Ok(came) => Ok(came? > 0),
            Err(_) => Ok(true),
        },
        None => Ok(read.await? > 0),
    }
}

/// One step, off the network threads: an agreement costs a third of a millisecond, and a key may be held by another process.
async fn advance(
    mut handshake: ServerHandshake,
    input: BytesMut,
) -> Result<(Step<ServerEvent>, ServerHandshake, BytesMut), ChannelFailed> {
    let done = tokio::task::spawn_blocking(move || {
        let step = handshake.advance(&input, Instant::now())?;
        Ok((step, handshake, input))
    });
    done.await.map_err(std::io::Error::other)?
}
