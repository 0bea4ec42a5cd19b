//! The handshake of one connection: version, security, ClientInit, ServerInit, all under one deadline.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use farpane_engine::geometry::Size;
use farpane_rfb::handshake::{HandshakeError, SecurityType, ServerEvent, ServerHandshake, ServerInit};
use farpane_rfb::{PixelFormat, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::hub::{Hub, Membership};
use super::{Access, Settings, SharedPolicy};
use crate::net::{ConnInfo, Transport};

/// Why a peer is not let in: words for the peer, and how long to keep it waiting for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// What the peer is told.
    pub reason: String,
    /// The answer is held back this long: guessing takes time, and good and bad guesses take the same.
    pub delay: Duration,
}

/// Decides who gets in.
pub trait Authenticator: Send + Sync {
    /// The security types to offer on this connection, best first.
    ///
    /// # Errors
    /// When this peer is not to be talked to now.
    fn offer(&self, info: &ConnInfo) -> Result<Vec<SecurityType>, Denied>;

    /// Sixteen fresh random bytes.
    ///
    /// # Errors
    /// When the system has no random numbers.
    fn challenge(&self) -> Result<[u8; 16], Denied>;

    /// Judges the answer to a challenge.
    ///
    /// # Errors
    /// When it is wrong, or the peer has failed too often.
    fn vnc_auth(&self, info: &ConnInfo, challenge: &[u8; 16], response: &[u8; 16]) -> Result<Access, Denied>;

    /// What a peer may do that had to prove nothing.
    fn none(&self, info: &ConnInfo) -> Access;
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeFailed {
    /// The peer closed the connection.
    #[error("peer left")]
    Left,
    /// The peer took too long.
    #[error("peer misbehaved: handshake not through within {0:?}")]
    TooSlow(Duration),
    /// The peer was not let in.
    #[error("refused: {0}")]
    Denied(String),
    /// The peer broke the protocol, or speaks something that is not served.
    #[error("{fault}: {0}", fault = .0.fault())]
    Protocol(#[from] HandshakeError),
    /// The connection broke.
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
}

/// A client that was let in.
pub(super) struct Entered {
    pub transport: Transport,
    pub access: Access,
    /// Its place among the clients. Taken before ServerInit: who has been told of the desktop is one of them, and clients
    /// come in the order in which they were told.
    pub membership: Membership,
    /// Bytes read beyond the handshake.
    pub early: BytesMut,
    /// The canvas that ServerInit told.
    pub told: Size,
}

/// Takes a connection through the handshake.
pub(super) async fn run(
    transport: Transport,
    hub: &Arc<Hub>,
    settings: &Settings,
    authenticator: &dyn Authenticator,
) -> Result<Entered, HandshakeFailed> {
    let limit = settings.handshake_limit;
    match tokio::time::timeout(limit, talk(transport, hub, settings, authenticator)).await {
        Ok(result) => result,
        Err(_) => Err(HandshakeFailed::TooSlow(limit)),
    }
}

async fn talk(
    mut transport: Transport,
    hub: &Arc<Hub>,
    settings: &Settings,
    authenticator: &dyn Authenticator,
) -> Result<Entered, HandshakeFailed> {
    let refusal = if hub.clients() >= settings.max_clients {
        Some(format!("too many clients (at most {}); try again later", settings.max_clients))
    } else {
        None
    };
    let refusal = refusal.or_else(|| match hub.seen(&settings.view) {
        Some(_) => None,
        None => Some(format!("monitor {} is not connected; try again later", settings.view)),
    });
    let offer = match refusal {
        Some(reason) => Err(Denied { reason, delay: Duration::ZERO }),
        None => authenticator.offer(transport.info()),
    };
    let offer = match offer {
        Ok(offer) => offer,
        Err(denied) => {
            transport.write_all(&ServerHandshake::early_refusal(&denied.reason)).await?;
            transport.flush().await?;
            return Err(HandshakeFailed::Denied(denied.reason));
        }
    };
    let mut handshake = ServerHandshake::new(&offer);
    let mut input = BytesMut::with_capacity(256);
    let mut access = Access::default();
    let mut challenge = [0; 16];
    loop {
        let step = handshake.advance(&input)?;
        input.advance(step.used);
        let idle = step.is_idle();
        transport.write_all(&step.output).await?;
        transport.flush().await?;
        match step.event {
            None => {}
            Some(ServerEvent::SecurityChosen(SecurityType::NONE)) => {
                access = authenticator.none(transport.info());
                let output = handshake.accept()?;
                transport.write_all(&output).await?;
                transport.flush().await?;
            }
            Some(ServerEvent::SecurityChosen(SecurityType::VNC_AUTH)) => match authenticator.challenge() {
                Ok(fresh) => {
                    challenge = fresh;
                    let output = handshake.challenge(challenge)?;
                    transport.write_all(&output).await?;
                    transport.flush().await?;
                }
                Err(denied) => return Err(HandshakeFailed::Denied(denied.reason)),
            },
            Some(ServerEvent::VncAuthResponse(response)) => {
                let verdict = authenticator.vnc_auth(transport.info(), &challenge, &response);
                match verdict {
                    Ok(granted) => {
                        access = granted;
                        let output = handshake.accept()?;
                        transport.write_all(&output).await?;
                    }
                    Err(denied) => {
                        tokio::time::sleep(denied.delay).await;
                        let output = handshake.reject(&denied.reason)?;
                        transport.write_all(&output).await?;
                        transport.flush().await?;
                        drain(&mut transport).await;
                        return Err(HandshakeFailed::Denied(denied.reason));
                    }
                }
                transport.flush().await?;
            }
            Some(ServerEvent::SecurityChosen(other)) => {
                return Err(HandshakeError::NotOffered { chosen: other }.into());
            }
            Some(ServerEvent::ClientInit { shared }) => {
                transport.authenticated();
                let Some(seen) = hub.seen(&settings.view) else {
                    return Err(HandshakeFailed::Denied(format!("monitor {} is not there", settings.view)));
                };
                let shared = match settings.shared {
                    SharedPolicy::AsAsked => shared,
                    SharedPolicy::Always => true,
                    SharedPolicy::Never => false,
                };
                // those who shook hands at the same time may have taken the last place
                let most = settings.max_clients;
                let Some(membership) = hub.join(shared, most) else {
                    return Err(HandshakeFailed::Denied(format!("too many clients (at most {most})")));
                };
                let size = seen.layout.size;
                let init = ServerInit {
                    width: size.w.max(1),
                    height: size.h.max(1),
                    pixel_format: PixelFormat::BGRX,
                    name: settings.name.clone(),
                };
                let output = handshake.server_init(&init)?;
                transport.write_all(&output).await?;
                transport.flush().await?;
                let told = Size::new(init.width, init.height);
                return Ok(Entered { transport, access, membership, early: input, told });
            }
            Some(ServerEvent::Refused(error)) => {
                drain(&mut transport).await;
                return Err(error.into());
            }
            Some(ServerEvent::Version { .. }) => {}
        }
        if idle && transport.read_buf(&mut input).await? == 0 {
            return Err(HandshakeFailed::Left);
        }
    }
}

/// Reads what the peer still sends for a moment: closing with unread bytes would cost it the reason it was just told.
async fn drain(transport: &mut Transport) {
    let _ = transport.shutdown().await;
    let mut waste = [0; 512];
    let mut left = limits::TEXT_WIRE;
    let _ = tokio::time::timeout(Duration::from_millis(500), async {
        while let Ok(n @ 1..) = transport.read(&mut waste).await {
            left = left.saturating_sub(n);
            if left == 0 {
                break;
            }
        }
    })
    .await;
}
