//! How a connection proves who is at its other end.

pub mod channel;
mod offer;
pub mod rsa_aes;
pub mod tls;
pub mod vencrypt;
pub mod vnc_auth;

pub use channel::Negotiated;
pub use offer::{InsecureAllow, InsecureAllowError, PolicyError, SecurityKind, UnknownSecurity, check_offer};
pub use vnc_auth::{Grant, PasswordError, Passwords};

/// Why a security type that takes over the stream came to no verdict. The peer is told nothing.
#[derive(Debug, thiserror::Error)]
pub enum SecurityFailed {
    /// The channel.
    #[error(transparent)]
    Channel(#[from] channel::ChannelFailed),
    /// The login in the channel.
    #[error(transparent)]
    Login(#[from] channel::LoginFailed),
    /// RSA-AES.
    #[error("rsa-aes: {0}")]
    RsaAes(#[from] rsa_aes::RsaAesError),
    /// VeNCrypt, or TLS below it.
    #[error("VeNCrypt: {0}")]
    VeNCrypt(#[from] vencrypt::VeNCryptError),
    /// Chosen although it is not served.
    #[error("security type {0} is not served here")]
    NotServed(farpane_rfb::handshake::SecurityType),
}

impl SecurityFailed {
    /// Whether the peer broke a protocol. One that does not like our certificate breaks nothing.
    pub fn is_the_peers_fault(&self) -> bool {
        use channel::{ChannelFailed, LoginFailed};
        use rsa_aes::RsaAesError;
        use tls::TlsError;
        use vencrypt::VeNCryptError;
        match self {
            SecurityFailed::Channel(error) => matches!(error, ChannelFailed::Handshake(_)),
            SecurityFailed::Login(error) => matches!(error, LoginFailed::Message(_) | LoginFailed::OutOfTurn(_)),
            SecurityFailed::RsaAes(error) => {
                matches!(error, RsaAesError::PeerKey(_) | RsaAesError::TooSlow(_) | RsaAesError::Failed(_))
            }
            SecurityFailed::VeNCrypt(error) => matches!(
                error,
                VeNCryptError::NotOffered(_)
                    | VeNCryptError::Long(..)
                    | VeNCryptError::NotText(_)
                    | VeNCryptError::TooSlow(_)
                    | VeNCryptError::Tls(TlsError::TooSlow(_))
            ),
            SecurityFailed::NotServed(_) => false,
        }
    }
}
