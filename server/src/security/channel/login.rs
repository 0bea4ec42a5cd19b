//! A login inside the channel: prompts and replies in records of their own, until SecurityResult is due.

use farpane_channel::PublicKey;
use farpane_channel::auth::{Answer, Ask, AuthError, Prompt, PromptKind};
use farpane_channel::hello::ClientHello;
use zeroize::Zeroizing;

use super::stream::{Came, ChannelStream};
use crate::auth::{self, Secret};
use crate::net::{ConnInfo, Slot, Transport, TransportParts};

/// A channel whose peer has not logged in.
pub struct ChannelLogin {
    stream: Box<ChannelStream>,
    info: ConnInfo,
    slot: Option<Slot>,
    device: PublicKey,
    /// What came with the hello, until it is read.
    first: Option<Zeroizing<Vec<u8>>>,
}

/// How a viewer begins.
pub enum Said {
    /// With everything at once.
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// With a name, to be asked.
    Begin {
        /// The user's name.
        user: String,
    },
}

/// Why a login in the channel ends without a verdict.
#[derive(Debug, thiserror::Error)]
pub enum LoginFailed {
    /// The peer closed the connection.
    #[error("peer left during the login")]
    Left,
    /// A message that cannot be read.
    #[error("peer misbehaved: {0}")]
    Message(#[from] AuthError),
    /// A message that does not belong there.
    #[error("peer misbehaved: {0}")]
    OutOfTurn(&'static str),
    /// The connection broke.
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
}

impl ChannelLogin {
    pub(super) fn new(
        stream: ChannelStream,
        info: ConnInfo,
        slot: Option<Slot>,
        device: PublicKey,
        hello: ClientHello,
    ) -> Self {
        let first = Some(hello.first_auth).filter(|first| !first.is_empty());
        ChannelLogin { stream: Box::new(stream), info, slot, device, first }
    }

    /// The key that the viewer proved to hold.
    pub fn device(&self) -> PublicKey {
        self.device
    }

    /// The viewer's device is one that is known: strangers do not push its connection out.
    pub fn recognised(&self) {
        if let Some(slot) = &self.slot {
            slot.recognised();
        }
    }

    /// What is known about the connection.
    pub fn info(&self) -> &ConnInfo {
        &self.info
    }

    async fn receive(&mut self) -> Result<Answer, LoginFailed> {
        let message = match self.first.take() {
            Some(first) => first,
            None => match self.stream.receive_auth().await? {
                Came::Auth(message) => message,
                Came::Closed => return Err(LoginFailed::Left),
            },
        };
        Ok(Answer::parse(&message)?)
    }

    /// What the viewer begins with.
    ///
    /// # Errors
    /// When it leaves, or says something else.
    pub async fn begin(&mut self) -> Result<Said, LoginFailed> {
        match self.receive().await? {
            Answer::Password { user, password } => {
                Ok(Said::Password { user, password: Secret::new(password.as_str().to_owned()) })
            }
            Answer::Begin { user } => Ok(Said::Begin { user }),
            Answer::Replies(_) => Err(LoginFailed::OutOfTurn("replies although nothing was asked")),
        }
    }

    /// Shows prompts; returns one reply for each that asks.
    ///
    /// # Errors
    /// When the viewer leaves, or answers something else.
    pub async fn ask(&mut self, prompts: &[auth::Prompt]) -> Result<Vec<Secret>, LoginFailed> {
        let asked = prompts.iter().filter(|p| p.kind.asks()).count();
        let prompts = prompts.iter().map(|p| Prompt { kind: wire(p.kind), text: p.text.clone() });
        self.stream.send_auth(&Ask(prompts.collect()).to_bytes()?).await?;
        match self.receive().await? {
            Answer::Replies(replies) if replies.len() == asked => {
                Ok(replies.iter().map(|reply| Secret::new(reply.as_str().to_owned())).collect())
            }
            Answer::Replies(_) => Err(LoginFailed::OutOfTurn("another number of replies than prompts")),
            Answer::Password { .. } | Answer::Begin { .. } => Err(LoginFailed::OutOfTurn("a login within a login")),
        }
    }

    /// The login is over: what SecurityResult and all of RFB go through.
    pub fn into_transport(self) -> Transport {
        let unread = bytes::BytesMut::new();
        Transport::from_parts(TransportParts { stream: self.stream, unread, info: self.info, slot: self.slot })
    }
}

const fn wire(kind: auth::PromptKind) -> PromptKind {
    match kind {
        auth::PromptKind::Visible => PromptKind::Visible,
        auth::PromptKind::Hidden => PromptKind::Hidden,
        auth::PromptKind::Info => PromptKind::Info,
        auth::PromptKind::Error => PromptKind::Error,
    }
}
