//! The handshake of one connection: version, security, ClientInit, ServerInit, each step under a deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use farpane_engine::geometry::Size;
use farpane_rfb::error::Fault;
use farpane_rfb::handshake::{HandshakeError, SecurityType, ServerEvent, ServerHandshake, ServerInit};
use farpane_rfb::version::Banner;
use farpane_rfb::{PixelFormat, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::gate::let_in;
use super::hub::{Hub, Membership, WAKE_LIMIT};
use super::log::EndKind;
use super::roster::{Described, NotJoined};
use super::{Access, Exclusive, Settings, Sharing, Sight, ViewSpec};
use crate::net::{ConnInfo, Progress, Transport};
use crate::security::{Negotiated, SecurityFailed, SecurityKind};

/// Why a peer is not let in: words for the peer, and how long to keep it waiting for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// What the peer is told.
    pub reason: String,
    /// The answer is held back this long: guessing takes time, and good and bad guesses take the same.
    pub delay: Duration,
    /// The reason for the audit log.
    pub kind: EndKind,
}

impl Denied {
    /// A no that is told at once.
    pub fn now(kind: EndKind, reason: impl Into<String>) -> Self {
        Denied { reason: reason.into(), delay: Duration::ZERO, kind }
    }
}

impl From<Denied> for HandshakeFailed {
    fn from(denied: Denied) -> Self {
        HandshakeFailed::Denied(denied.reason, denied.kind)
    }
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

    /// Notes that a peer talked nonsense or took too long before it had logged in.
    fn broke(&self, _: &ConnInfo) {}

    /// Carries out a security type that takes over the stream, from its choice to where SecurityResult is due. Whoever offers
    /// no such type has none to carry out.
    fn prove<'a>(&'a self, transport: Transport, negotiated: &'a Negotiated) -> Proving<'a> {
        drop(transport);
        let chosen = negotiated.chosen;
        Box::pin(std::future::ready(Err(SecurityFailed::NotServed(chosen).into())))
    }
}

/// A login that is on its way.
pub type Proving<'a> = Pin<Box<dyn Future<Output = Result<Proved, HandshakeFailed>> + Send + 'a>>;

/// What came of a login.
pub struct Proved {
    /// What SecurityResult and everything after it goes through.
    pub transport: Transport,
    /// Let in, or not.
    pub verdict: Result<Access, Denied>,
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
    Denied(String, EndKind),
    /// The peer broke the protocol, or speaks something that is not served.
    #[error("{fault}: {0}", fault = .0.fault())]
    Protocol(#[from] HandshakeError),
    /// A security type could not be carried out.
    #[error(transparent)]
    Security(#[from] SecurityFailed),
    /// The connection broke.
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
}

impl HandshakeFailed {
    /// Whether the peer did what no honest viewer does: it broke a protocol, or held its place until a deadline took it.
    pub(super) fn is_the_peers_fault(&self) -> bool {
        match self {
            HandshakeFailed::TooSlow(_) => true,
            HandshakeFailed::Protocol(error) => error.fault() == Fault::PeerMisbehaved,
            HandshakeFailed::Security(error) => error.is_the_peers_fault(),
            HandshakeFailed::Left | HandshakeFailed::Denied(..) | HandshakeFailed::Io(_) => false,
        }
    }
}

/// A client that was let in.
pub(super) struct Entered {
    pub transport: Transport,
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
    // every read has a nearer deadline: this one is for a peer that reads nothing of what it is sent
    let asking = settings.gate.limit.saturating_mul(2);
    let limit = settings.greeting_limit.saturating_mul(2).saturating_add(settings.login_limit).saturating_add(asking);
    let limit = limit.saturating_add(WAKE_LIMIT);
    match tokio::time::timeout(limit, Talk::new(hub, settings, authenticator).run(transport)).await {
        Ok(result) => result,
        Err(_) => Err(HandshakeFailed::TooSlow(limit)),
    }
}

/// One handshake.
struct Talk<'a> {
    hub: &'a Arc<Hub>,
    settings: &'a Settings,
    authenticator: &'a dyn Authenticator,
    input: BytesMut,
    who: Option<Described>,
    banner: Option<Banner>,
    chosen: SecurityType,
    challenge: [u8; 16],
    /// How long what is awaited may take, and when that began.
    limit: (Duration, Instant),
}

async fn send(transport: &mut Transport, bytes: &[u8]) -> std::io::Result<()> {
    transport.write_all(bytes).await?;
    transport.flush().await
}

impl<'a> Talk<'a> {
    fn new(hub: &'a Arc<Hub>, settings: &'a Settings, authenticator: &'a dyn Authenticator) -> Self {
        let input = BytesMut::with_capacity(256);
        let limit = (settings.greeting_limit, Instant::now());
        let (chosen, challenge) = (SecurityType::NONE, [0; 16]);
        Talk { hub, settings, authenticator, input, who: None, banner: None, chosen, challenge, limit }
    }

    /// What is offered, unless the peer is to be turned away.
    fn offer(&self, info: &ConnInfo) -> Result<Vec<SecurityType>, Denied> {
        let no = |reason: String| Err(Denied::now(EndKind::Full, reason));
        let Settings { max_clients, view, .. } = self.settings;
        if self.hub.clients() >= *max_clients {
            return no(format!("too many clients (at most {max_clients}); try again later"));
        }
        let comes = self.hub.may_light() || self.hub.sleeps() || *view == ViewSpec::SideCar;
        if !self.hub.shows(view) && !comes {
            return no(format!("monitor {view} is not connected; try again later"));
        }
        self.authenticator.offer(info)
    }

    fn within(&mut self, limit: Duration) {
        self.limit = (limit, Instant::now());
    }

    async fn run(mut self, mut transport: Transport) -> Result<Entered, HandshakeFailed> {
        let offer = match self.offer(transport.info()) {
            Ok(offer) => offer,
            Err(denied) => {
                send(&mut transport, &ServerHandshake::early_refusal(&denied.reason)).await?;
                return Err(denied.into());
            }
        };
        let mut handshake = ServerHandshake::new(&offer);
        loop {
            let step = handshake.advance(&self.input)?;
            self.input.advance(step.used);
            let idle = step.is_idle();
            send(&mut transport, &step.output).await?;
            match step.event {
                None => {}
                Some(ServerEvent::Version { banner, .. }) => self.banner = Some(banner),
                Some(ServerEvent::SecurityChosen(chosen)) => {
                    self.within(self.settings.login_limit);
                    transport = self.chosen(&mut handshake, transport, chosen, &offer).await?;
                }
                Some(ServerEvent::VncAuthResponse(response)) => {
                    let verdict = self.authenticator.vnc_auth(transport.info(), &self.challenge, &response);
                    transport = self.judged(&mut handshake, transport, verdict).await?;
                }
                Some(ServerEvent::ClientInit { shared }) => return self.enter(&mut handshake, transport, shared).await,
                Some(ServerEvent::Refused(error)) => {
                    drain(&mut transport).await;
                    return Err(error.into());
                }
            }
            if idle {
                let (limit, since) = self.limit;
                let left = limit.saturating_sub(since.elapsed());
                match tokio::time::timeout(left, transport.read_buf(&mut self.input)).await {
                    Ok(Ok(0)) => return Err(HandshakeFailed::Left),
                    Ok(came) => came?,
                    Err(_) => return Err(HandshakeFailed::TooSlow(limit)),
                };
            }
        }
    }

    /// Begins the security type that was chosen.
    async fn chosen(
        &mut self,
        handshake: &mut ServerHandshake,
        mut transport: Transport,
        chosen: SecurityType,
        offer: &[SecurityType],
    ) -> Result<Transport, HandshakeFailed> {
        self.chosen = chosen;
        match chosen {
            SecurityType::NONE => {
                transport.reached(Progress::Chose(SecurityKind::None.name()));
                let access = self.authenticator.none(transport.info());
                self.judged(handshake, transport, Ok(access)).await
            }
            SecurityType::VNC_AUTH => {
                transport.reached(Progress::Chose(SecurityKind::VncAuth.name()));
                self.challenge = self.authenticator.challenge()?;
                send(&mut transport, &handshake.challenge(self.challenge)?).await?;
                Ok(transport)
            }
            _ => {
                let Some(banner) = self.banner else { return Err(HandshakeError::NotRfb.into()) };
                let negotiated = Negotiated { banner, offer: offer.to_vec(), chosen };
                // the type takes over between two bytes: what was read too early is its own
                transport.unread(&self.input.split());
                let limit = self.settings.login_limit;
                let proving = tokio::time::timeout(limit, self.authenticator.prove(transport, &negotiated));
                let proved = proving.await.map_err(|_| HandshakeFailed::TooSlow(limit))??;
                self.judged(handshake, proved.transport, proved.verdict).await
            }
        }
    }

    /// Tells the verdict.
    async fn judged(
        &mut self,
        handshake: &mut ServerHandshake,
        mut transport: Transport,
        verdict: Result<Access, Denied>,
    ) -> Result<Transport, HandshakeFailed> {
        let verdict = match verdict {
            Ok(access) => self.let_in(&mut transport, access).await?,
            Err(denied) => Err(denied),
        };
        match verdict {
            Ok(()) => {
                self.within(self.settings.greeting_limit);
                transport.reached(Progress::Proved);
                send(&mut transport, &handshake.accept()?).await?;
                Ok(transport)
            }
            Err(denied) => {
                tokio::time::sleep(denied.delay).await;
                send(&mut transport, &handshake.reject(&denied.reason)?).await?;
                drain(&mut transport).await;
                Err(denied.into())
            }
        }
    }

    /// Whether a peer that has proved itself gets in.
    async fn let_in(
        &mut self,
        transport: &mut Transport,
        mut access: Access,
    ) -> Result<Result<(), Denied>, HandshakeFailed> {
        access.permissions = self.settings.limit(access.permissions);
        let (id, chosen) = (self.hub.new_id(), self.chosen.to_string());
        let who = self.who.insert(Described::new(id, access, transport.info(), chosen, Instant::now()));
        let_in(self.hub, self.settings, transport, &mut self.input, who, 0).await
    }

    /// Makes a client of the peer.
    async fn enter(
        self,
        handshake: &mut ServerHandshake,
        mut transport: Transport,
        shared: bool,
    ) -> Result<Entered, HandshakeFailed> {
        let Talk { hub, settings, who, mut input, .. } = self;
        let Some(who) = who else { return Err(HandshakeError::NotRfb.into()) };
        transport.authenticated();
        let (view, _light) = match settings.side_car {
            None => (settings.view.clone(), hub.wait_for_light(&settings.view).await),
            Some(car) => match hub.wait_for_side_car(car).await {
                Ok((view, awaited)) => (view, Some(awaited)),
                Err(why) => return refuse(handshake, transport, Denied::now(EndKind::Full, why)).await,
            },
        };
        let Some(size) = hub.canvas(&view, settings.scale) else {
            return Err(Denied::now(EndKind::Full, format!("monitor {view} is not there")).into());
        };
        let (others_off, side_car) = (settings.others_off, settings.side_car);
        let who = who.seeing(Sight { view, others_off, side_car });
        // those who shook hands at the same time may have taken the last place
        let (sharing, most) = (settings.sharing(shared), settings.max_clients);
        let kind = |e: &NotJoined| match e {
            NotJoined::Occupied { .. } => EndKind::Exclusive,
            NotJoined::Full(_) => EndKind::Full,
            NotJoined::Ended => EndKind::ServerEnds,
        };
        let denied = |e: NotJoined| (Denied::now(kind(&e), e.to_string()), e);
        let mut joined = hub.join(who.clone(), sharing, most).map_err(denied);
        if let (Sharing::Alone(Exclusive::Ask), Err((no, NotJoined::Occupied { count, .. }))) = (sharing, &mut joined) {
            match let_in(hub, settings, &mut transport, &mut input, &who, *count).await? {
                Ok(()) => joined = hub.join(who, Sharing::AloneByConsent, most).map_err(denied),
                Err(denied) => *no = denied,
            }
        }
        let membership = match joined.and_then(|membership| is_there(hub, membership)) {
            Ok(membership) => membership,
            Err((denied, _)) => return refuse(handshake, transport, denied).await,
        };
        let init = ServerInit {
            width: size.w.max(1),
            height: size.h.max(1),
            pixel_format: PixelFormat::BGRX,
            name: settings.name.clone(),
        };
        send(&mut transport, &handshake.server_init(&init)?).await?;
        let told = Size::new(init.width, init.height);
        Ok(Entered { transport, membership, early: input, told })
    }
}

/// Turns a client away that was let in already: this late the protocol has no words for it but the desktop's name.
async fn refuse(
    handshake: &mut ServerHandshake,
    mut transport: Transport,
    denied: Denied,
) -> Result<Entered, HandshakeFailed> {
    let name = format!("Refused: {}", denied.reason);
    let init = ServerInit { width: 1, height: 1, pixel_format: PixelFormat::BGRX, name };
    send(&mut transport, &handshake.server_init(&init)?).await?;
    drain(&mut transport).await;
    Err(denied.into())
}

/// A place at a desktop on demand that has not ended since its client was let in: from here on the hub tells of its end.
fn is_there(hub: &Hub, membership: Membership) -> Result<Membership, (Denied, NotJoined)> {
    if !hub.sleeps() {
        return Ok(membership);
    }
    Err((Denied::now(EndKind::ServerEnds, NotJoined::Ended.to_string()), NotJoined::Ended))
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
