//! Why a handshake came to nothing, in one word for the audit log.

use std::io::{self, ErrorKind};

use farpane_rfb::Fault;
use farpane_rfb::handshake::HandshakeError;

use super::handshake::HandshakeFailed;
use super::log::EndKind;
use crate::security::SecurityFailed;
use crate::security::channel::{ChannelFailed, LoginFailed};
use crate::security::rsa_aes::RsaAesError;
use crate::security::tls::TlsError;
use crate::security::vencrypt::VeNCryptError;

/// A connection that broke during the handshake: the peer left, or what came through a layer was no good.
fn of_io(error: &io::Error) -> EndKind {
    match error.kind() {
        ErrorKind::UnexpectedEof => EndKind::Left,
        ErrorKind::InvalidData => EndKind::Misbehaved,
        _ => EndKind::Lost,
    }
}

fn of_tls(error: &TlsError) -> EndKind {
    match error {
        TlsError::NoCertificate | TlsError::Certificate(_) | TlsError::NotTrusted(_) => EndKind::Identity,
        TlsError::Incompatible(_) | TlsError::Misbehaved(_) => EndKind::Misbehaved,
        TlsError::TooSlow(_) => EndKind::TooSlow,
        TlsError::Io(error) => of_io(error),
    }
}

fn of_vencrypt(error: &VeNCryptError) -> EndKind {
    match error {
        VeNCryptError::NotOffered(_) => EndKind::NotOffered,
        VeNCryptError::Tls(error) => of_tls(error),
        VeNCryptError::Nobody => EndKind::Identity,
        VeNCryptError::Left => EndKind::Left,
        VeNCryptError::TooSlow(_) => EndKind::TooSlow,
        VeNCryptError::Io(error) => of_io(error),
        VeNCryptError::Unfit(..) | VeNCryptError::Nothing | VeNCryptError::OutOfOrder => EndKind::Internal,
        VeNCryptError::Version(..)
        | VeNCryptError::Long(..)
        | VeNCryptError::NotText(_)
        | VeNCryptError::Answer(..) => EndKind::Misbehaved,
    }
}

fn of_security(failed: &SecurityFailed) -> EndKind {
    match failed {
        SecurityFailed::Channel(failed) if failed.is_too_slow() => EndKind::TooSlow,
        SecurityFailed::Channel(failed) if failed.is_not_offered() => EndKind::NotOffered,
        SecurityFailed::Channel(ChannelFailed::Handshake(_)) => EndKind::Misbehaved,
        SecurityFailed::Channel(ChannelFailed::Left) | SecurityFailed::Login(LoginFailed::Left) => EndKind::Left,
        SecurityFailed::Channel(ChannelFailed::Io(error)) | SecurityFailed::Login(LoginFailed::Io(error)) => {
            of_io(error)
        }
        SecurityFailed::Login(LoginFailed::Message(_) | LoginFailed::OutOfTurn(_)) => EndKind::Misbehaved,
        SecurityFailed::RsaAes(error) => match error {
            RsaAesError::Left => EndKind::Left,
            RsaAesError::TooSlow(_) => EndKind::TooSlow,
            RsaAesError::PeerKey(_) => EndKind::Identity,
            RsaAesError::Failed(_) => EndKind::Misbehaved,
            RsaAesError::Io(error) => of_io(error),
            RsaAesError::Random(_) => EndKind::Internal,
        },
        SecurityFailed::VeNCrypt(error) => of_vencrypt(error),
        SecurityFailed::Channel(ChannelFailed::Random(_)) | SecurityFailed::NotServed(_) => EndKind::Internal,
    }
}

impl HandshakeFailed {
    /// The reason for the audit log.
    pub fn kind(&self) -> EndKind {
        match self {
            HandshakeFailed::Left => EndKind::Left,
            HandshakeFailed::TooSlow(_) => EndKind::TooSlow,
            HandshakeFailed::Denied(_, kind) => *kind,
            HandshakeFailed::Protocol(HandshakeError::NotOffered { .. } | HandshakeError::NothingToOffer(_)) => {
                EndKind::NotOffered
            }
            HandshakeFailed::Protocol(error) if error.fault() == Fault::Internal => EndKind::Internal,
            HandshakeFailed::Protocol(_) => EndKind::Misbehaved,
            HandshakeFailed::Security(failed) => of_security(failed),
            HandshakeFailed::Io(error) => of_io(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farpane_rfb::handshake::SecurityType;

    #[test]
    fn each_failure_has_its_own_word() {
        let io = |kind: ErrorKind| io::Error::from(kind);
        let vencrypt = |error: VeNCryptError| HandshakeFailed::from(SecurityFailed::from(error));
        for (failed, kind) in [
            (HandshakeFailed::Left, EndKind::Left),
            (HandshakeError::NotOffered { chosen: SecurityType::NONE }.into(), EndKind::NotOffered),
            (HandshakeError::NotRfb.into(), EndKind::Misbehaved),
            (HandshakeError::OutOfOrder { called: "a", state: "b" }.into(), EndKind::Internal),
            (HandshakeFailed::Denied("later".into(), EndKind::Waiting), EndKind::Waiting),
            (vencrypt(VeNCryptError::TooSlow(10)), EndKind::TooSlow),
            (vencrypt(TlsError::TooSlow(10).into()), EndKind::TooSlow),
            (vencrypt(TlsError::NoCertificate.into()), EndKind::Identity),
            (SecurityFailed::from(RsaAesError::TooSlow(10)).into(), EndKind::TooSlow),
            (io(ErrorKind::InvalidData).into(), EndKind::Misbehaved),
            (io(ErrorKind::UnexpectedEof).into(), EndKind::Left),
            (io(ErrorKind::ConnectionReset).into(), EndKind::Lost),
        ] {
            assert_eq!(failed.kind(), kind, "{failed}");
        }
    }
}
