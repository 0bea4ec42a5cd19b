//! Logins: from the choice of a security type that takes over the stream to a verdict.

use std::sync::Arc;
use std::time::Duration;

use farpane_channel::PublicKey;
use farpane_rfb::handshake::SecurityType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::audit::Reason;
use crate::auth::{Attempt, Caller, FactorName, Granted, Secret, Try, Turn};
use crate::net::{ConnInfo, Transport, limits};
use crate::policy::Permissions;
use crate::security::channel::{ChannelLogin, ChannelServer, Said};
use crate::security::rsa_aes::{self, Credentials, Kind};
use crate::security::vencrypt::{self, Asked, Entered, Subtype};
use crate::security::{Negotiated, SecurityFailed, SecurityKind};
use crate::session::{Access, Authenticator, Denied, EndKind, HandshakeFailed, Proved};

use super::gate::{Gate, Keys, now, too_many};
use super::trail::Known;

/// What is told when no verdict could be reached.
const UNAVAILABLE: &str = "Logins cannot be checked just now; try again in a moment";

/// Who tries, and by what.
struct Knock {
    info: ConnInfo,
    security: SecurityKind,
    device: Option<String>,
}

impl Knock {
    fn over(info: &ConnInfo, security: SecurityKind) -> Self {
        Knock { info: info.clone(), security, device: None }
    }

    fn known<'a>(&'a self, user: &'a str) -> Known<'a> {
        Known { device: self.device.as_deref(), user: Some(user) }
    }

    fn attempt<'a>(&'a self, user: &'a str) -> Attempt<'a> {
        Attempt { source: self.info.source(), user, device: self.device.as_deref() }
    }
}

/// The name in the configuration of a type of RSA-AES.
const fn kind_of(kind: Kind) -> SecurityKind {
    match kind {
        Kind::Ra2 => SecurityKind::Ra2,
        Kind::Ra2x256 => SecurityKind::Ra2x256,
        Kind::Ra2Ne => SecurityKind::Ra2Ne,
        Kind::Ra2Nex256 => SecurityKind::Ra2Nex256,
    }
}

impl Gate {
    /// Carries out the security type that was chosen.
    pub(super) async fn carry_out(
        &self,
        transport: Transport,
        negotiated: &Negotiated,
    ) -> Result<Proved, HandshakeFailed> {
        let Keys { channel, rsa, .. } = &self.means.keys;
        match (negotiated.chosen, Kind::of(negotiated.chosen)) {
            (SecurityType::CHANNEL, _) if let Some(server) = channel => {
                self.by_channel(server, transport, negotiated).await
            }
            (SecurityType::VENCRYPT, _) => self.by_vencrypt(transport).await,
            (_, Some(kind)) if let Some((key, settings)) = rsa => {
                let said = rsa_aes::serve(transport, kind, Arc::clone(key), settings).await;
                let Credentials { user, password, transport } = said.map_err(SecurityFailed::from)?;
                let knock = Knock::over(transport.info(), kind_of(kind));
                let verdict = self.by_password(&knock, user, password).await;
                Ok(Proved { transport, verdict })
            }
            (chosen, _) => Err(SecurityFailed::NotServed(chosen).into()),
        }
    }

    async fn by_vencrypt(&self, transport: Transport) -> Result<Proved, HandshakeFailed> {
        let offer: Vec<Subtype> = self.kinds(transport.info()).iter().filter_map(|kind| Subtype::of(*kind)).collect();
        let entered = vencrypt::serve(transport, &offer, self.means.keys.tls.as_deref()).await;
        let Entered { mut transport, subtype, asked } = entered.map_err(SecurityFailed::from)?;
        let knock = Knock::over(transport.info(), subtype.kind());
        let verdict = match asked {
            Asked::Password { user, password } => self.by_password(&knock, user, password).await,
            Asked::Nothing => self.by_certificate(&knock).await,
            Asked::VncAuth => match self.challenge() {
                Ok(challenge) => {
                    transport.write_all(&challenge).await?;
                    transport.flush().await?;
                    let mut response = [0; 16];
                    transport.read_exact(&mut response).await?;
                    self.vnc_auth(&knock.info, &challenge, &response)
                }
                Err(denied) => Err(denied),
            },
        };
        Ok(Proved { transport, verdict })
    }

    /// Judges a login that brings a certificate and nothing else.
    async fn by_certificate(&self, knock: &Knock) -> Result<Access, Denied> {
        let user = knock.info.identity.as_ref().map_or("", |identity| identity.name.as_str());
        let delay = self.may_try(&knock.attempt(user))?;
        let turn = match &self.means.judge {
            // who shows nothing but a certificate is who it says: no name was given
            Some(judge) => judge.begin(self.caller(knock), String::new()).next(Vec::new()).await,
            None => Turn::Unavailable,
        };
        self.verdict(knock, user, turn, delay).await
    }

    async fn by_channel(
        &self,
        server: &ChannelServer,
        transport: Transport,
        negotiated: &Negotiated,
    ) -> Result<Proved, HandshakeFailed> {
        let source = transport.info().source();
        // networks that wait may cost little: one key exchange at a time and two a second, and none that waits for a person
        let accepted = match self.waits(transport.info()) {
            None => server.accept(transport, negotiated).await,
            Some(wait) => {
                let turn = self.exchanges.begin(source, now()).map_err(too_many)?;
                let exchange = tokio::time::timeout(limits::KEY_EXCHANGE, server.accept(transport, negotiated));
                tokio::select! {
                    biased;
                    accepted = exchange => accepted.map_err(|_| HandshakeFailed::TooSlow(limits::KEY_EXCHANGE))?,
                    () = turn.makes_way() => return Err(too_many(wait).into()),
                }
            }
        };
        let mut login = accepted.map_err(SecurityFailed::from)?;
        let device = login.device().to_string();
        let after = self.means.throttle.kept().lock().after_keys(source, &device, now());
        if self.means.throttle.kept().lock().knows_device(&device, now()) {
            login.recognised();
        }
        if let Try::Later(wait) = after {
            return Ok(Proved { transport: login.into_transport(), verdict: Err(too_many(wait)) });
        }
        let knock = Knock { info: login.info().clone(), security: SecurityKind::Channel, device: Some(device) };
        let verdict = match login.begin().await.map_err(SecurityFailed::from)? {
            Said::Password { user, password } => self.by_password(&knock, user, password).await,
            Said::Begin { user } => self.by_prompts(&mut login, &knock, user).await?,
        };
        Ok(Proved { transport: login.into_transport(), verdict })
    }

    /// Judges a name and a password that were said at once.
    async fn by_password(&self, knock: &Knock, user: String, password: Secret) -> Result<Access, Denied> {
        let delay = self.may_try(&knock.attempt(&user))?;
        let turn = match &self.means.judge {
            Some(judge) => judge.password(self.caller(knock), user.clone(), password).await,
            None => Turn::Unavailable,
        };
        self.verdict(knock, &user, turn, delay).await
    }

    async fn by_prompts(
        &self,
        login: &mut ChannelLogin,
        knock: &Knock,
        user: String,
    ) -> Result<Result<Access, Denied>, SecurityFailed> {
        let delay = match self.may_try(&knock.attempt(&user)) {
            Ok(delay) => delay,
            Err(denied) => return Ok(Err(denied)),
        };
        let Some(judge) = &self.means.judge else {
            return Ok(self.verdict(knock, &user, Turn::Unavailable, delay).await);
        };
        let mut judged = judge.begin(self.caller(knock), user.clone());
        let mut replies = Vec::new();
        loop {
            match judged.next(std::mem::take(&mut replies)).await {
                Turn::Ask(prompts) => replies = login.ask(&prompts).await?,
                turn => return Ok(self.verdict(knock, &user, turn, delay).await),
            }
        }
    }

    async fn verdict(&self, knock: &Knock, user: &str, turn: Turn, delay: Duration) -> Result<Access, Denied> {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let attempt = knock.attempt(user);
        match turn {
            Turn::Granted(granted) => {
                let access = self.access(knock, &granted);
                self.right(&knock.info, knock.known(user), &attempt, &access);
                Ok(access)
            }
            Turn::Unavailable => {
                self.trail.failed(&knock.info, knock.known(user), Reason::Unavailable);
                Err(Denied::now(EndKind::Unavailable, UNAVAILABLE))
            }
            // whoever asks where nothing can be asked has not decided
            Turn::Refused | Turn::Ask(_) => Err(self.wrong(&knock.info, knock.known(user), &attempt)),
        }
    }

    fn access(&self, knock: &Knock, granted: &Granted) -> Access {
        let info = &knock.info;
        tracing::info!(
            peer = %info.peer, listener = %info.listener_name, user = granted.user, factors = granted.factors.join(","),
            "logged in"
        );
        let Granted { user, groups, factors } = granted.clone();
        // a password of the run proves no name
        let nameless = factors.iter().all(|factor| factor == FactorName::Session.name());
        let settings = &self.permissions;
        let own = if nameless {
            settings.of_session_password()
        } else {
            settings.of_user(&user, &groups, self.chosen.has(&user, &factors))
        };
        if own.is_empty() && settings.names_nobody() {
            tracing::warn!(
                user,
                factors = factors.join(","),
                "this user has no permissions: [permissions] names nobody, and then only users of the user file, those of \
                 tls.client_users and the account of this server have any; add [permissions.users.NAME] or [permissions.groups.NAME]"
            );
        }
        let permissions = if self.view_only(info) { own.and(Permissions::VIEW_ONLY) } else { own };
        let device = knock.device.as_deref().and_then(PublicKey::from_hex);
        Access { user, factors, permissions, phrase: device.map(|key| key.fingerprint().phrase().to_string()) }
    }

    fn caller(&self, knock: &Knock) -> Caller {
        let Knock { info, security, device } = knock;
        let throttle = self.means.throttle.kept().lock();
        let known = throttle.knows_network(info.source(), now())
            || device.as_ref().is_some_and(|device| throttle.knows_device(device, now()));
        Caller {
            peer: info.peer.clone(),
            listener: info.listener_name.to_string(),
            security: *security,
            device: device.clone(),
            certificate: info.certificate.as_ref().map(|der| der.to_vec()),
            known,
            connection: info.number,
        }
    }
}
