//! Which security types a listener offers, and where they may be offered.

use std::fmt;
use std::str::FromStr;

use farpane_rfb::handshake::SecurityType;
use serde::{Deserialize, Serialize};

use crate::net::ListenAddr;

/// A way for client and server to agree who they are, by its name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SecurityKind {
    /// Asks nothing.
    None,
    /// Asks for a password of eight characters; nothing is encrypted.
    VncAuth,
    /// farpane's own encrypted channel.
    Channel,
    /// TLS with a certificate, user and password inside.
    X509Plain,
    /// TLS with a certificate, nothing inside.
    X509None,
    /// TLS with a certificate, VncAuth inside.
    X509Vnc,
    /// User and password in the clear.
    Plain,
    /// RSA-AES with 128 bits.
    Ra2,
    /// RSA-AES with 256 bits.
    Ra2x256,
    /// RSA-AES with 128 bits for the login alone.
    Ra2Ne,
    /// RSA-AES with 256 bits for the login alone.
    Ra2Nex256,
}

const NAMES: [(&str, SecurityKind); 11] = [
    ("none", SecurityKind::None),
    ("vncauth", SecurityKind::VncAuth),
    ("channel", SecurityKind::Channel),
    ("x509plain", SecurityKind::X509Plain),
    ("x509none", SecurityKind::X509None),
    ("x509vnc", SecurityKind::X509Vnc),
    ("plain", SecurityKind::Plain),
    ("ra2", SecurityKind::Ra2),
    ("ra2_256", SecurityKind::Ra2x256),
    ("ra2ne", SecurityKind::Ra2Ne),
    ("ra2ne_256", SecurityKind::Ra2Nex256),
];

/// Why a name is no security type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown security type {0:?} (expected none, vncauth, channel, x509plain, x509none, x509vnc, plain, ra2, ra2_256, \
     ra2ne or ra2ne_256)"
)]
pub struct UnknownSecurity(String);

impl SecurityKind {
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Whether it proves who the peer is by more than eight characters.
    fn is_strong(self) -> bool {
        !matches!(self, SecurityKind::None | SecurityKind::VncAuth | SecurityKind::X509Vnc)
    }

    /// Whether its keys have fewer than 256 bits whatever is agreed on.
    pub const fn is_128_bits(self) -> bool {
        matches!(self, SecurityKind::Ra2 | SecurityKind::Ra2Ne)
    }

    /// Whether it asks for a user: by a password, prompts or a certificate.
    pub fn asks_for_users(self) -> bool {
        !matches!(self, SecurityKind::None | SecurityKind::VncAuth | SecurityKind::X509Vnc)
    }

    /// Whether it encrypts all that follows.
    fn encrypts(self) -> bool {
        matches!(
            self,
            SecurityKind::Channel
                | SecurityKind::X509Plain
                | SecurityKind::X509None
                | SecurityKind::X509Vnc
                | SecurityKind::Ra2
                | SecurityKind::Ra2x256
        )
    }

    /// Whether it may be offered on this listener without being excepted by name: nobody on the way can read or change what
    /// follows, and no stranger gets in by guessing eight characters.
    pub fn is_fit_for(self, listener: &ListenAddr) -> bool {
        listener.is_local() || (self.is_strong() && (self.encrypts() || listener.is_encrypted()))
    }

    /// What a listener offers that nobody configured, best first.
    ///
    /// A Unix socket lets only its owner and root connect, so that nothing more is asked there. Browsers know no TLS inside
    /// RFB: where TLS is below it, they get what proves a user without it.
    pub fn defaults(listener: &ListenAddr) -> &'static [SecurityKind] {
        match listener {
            ListenAddr::Unix(_) => &[SecurityKind::None],
            ListenAddr::Wss(_) => &[SecurityKind::Channel, SecurityKind::Ra2Ne, SecurityKind::Plain],
            _ => &[SecurityKind::Channel, SecurityKind::X509Plain, SecurityKind::Ra2x256],
        }
    }

    /// The security type that carries it.
    pub const fn security_type(self) -> SecurityType {
        match self {
            SecurityKind::None => SecurityType::NONE,
            SecurityKind::VncAuth => SecurityType::VNC_AUTH,
            SecurityKind::Channel => SecurityType::CHANNEL,
            SecurityKind::X509Plain | SecurityKind::X509None | SecurityKind::X509Vnc | SecurityKind::Plain => {
                SecurityType::VENCRYPT
            }
            SecurityKind::Ra2 => SecurityType::RA2,
            SecurityKind::Ra2x256 => SecurityType::RA2_256,
            SecurityKind::Ra2Ne => SecurityType::RA2_NE,
            SecurityKind::Ra2Nex256 => SecurityType::RA2_NE_256,
        }
    }
}

impl FromStr for SecurityKind {
    type Err = UnknownSecurity;

    fn from_str(text: &str) -> Result<Self, UnknownSecurity> {
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, kind)| *kind).ok_or_else(|| UnknownSecurity(text.to_owned()))
    }
}

impl fmt::Display for SecurityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<SecurityKind> for String {
    fn from(kind: SecurityKind) -> Self {
        kind.to_string()
    }
}

impl TryFrom<String> for SecurityKind {
    type Error = UnknownSecurity;

    fn try_from(text: String) -> Result<Self, UnknownSecurity> {
        text.parse()
    }
}

/// One exception: `TYPE@ADDR`, where TYPE is a security type that is not fit for networks and ADDR a listener as written, or its
/// address without the port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InsecureAllow {
    kind: SecurityKind,
    listener: String,
}

/// Why an exception cannot be read as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("exception {0:?} (expected none, vncauth, x509vnc, plain, ra2ne or ra2ne_256, then @ADDR as in --listen)")]
pub struct InsecureAllowError(String);

impl InsecureAllow {
    /// Whether this exception is for `kind` on `listener`.
    pub fn covers(&self, kind: SecurityKind, listener: &ListenAddr) -> bool {
        self.kind == kind && listener.is_named_by(&self.listener)
    }
}

impl FromStr for InsecureAllow {
    type Err = InsecureAllowError;

    fn from_str(text: &str) -> Result<Self, InsecureAllowError> {
        let wrong = || InsecureAllowError(text.to_owned());
        let (kind, to) = text.split_once('@').ok_or_else(wrong)?;
        let kind: SecurityKind = kind.parse().map_err(|_| wrong())?;
        let weak = !kind.is_strong() || !kind.encrypts();
        if to.is_empty() || !weak { Err(wrong()) } else { Ok(Self { kind, listener: to.to_owned() }) }
    }
}

impl fmt::Display for InsecureAllow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.kind, self.listener)
    }
}

impl From<InsecureAllow> for String {
    fn from(allow: InsecureAllow) -> Self {
        allow.to_string()
    }
}

impl TryFrom<String> for InsecureAllow {
    type Error = InsecureAllowError;

    fn try_from(text: String) -> Result<Self, InsecureAllowError> {
        text.parse()
    }
}

/// Why the wished security is not had: refused before anything listens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not fit for a network, and no exception was made.
    #[error(
        "security {0} on {1} is refused: others on the network could listen in or guess; offer channel, x509plain or ra2_256, or \
         listen on 127.0.0.1 and use an SSH tunnel, or add --insecure-allow {0}@{1}"
    )]
    NotFit(SecurityKind, ListenAddr),
    /// No type at all.
    #[error("listener {0} offers no security type (expected at least one)")]
    Nothing(ListenAddr),
    /// An exception that no listener uses.
    #[error("--insecure-allow {0} names no listener that offers it (listeners: {1})")]
    Unused(InsecureAllow, String),
}

/// Checks what a listener is to offer, and returns the exceptions it makes use of.
///
/// # Errors
/// When something on the list is not built, or not fit for this listener and not allowed by name.
pub fn check_offer(
    listener: &ListenAddr,
    kinds: &[SecurityKind],
    allowed: &[InsecureAllow],
) -> Result<Vec<SecurityKind>, PolicyError> {
    if kinds.is_empty() {
        return Err(PolicyError::Nothing(listener.clone()));
    }
    let mut exceptions = Vec::new();
    for &kind in kinds {
        if kind.is_fit_for(listener) {
            continue;
        }
        if !allowed.iter().any(|a| a.covers(kind, listener)) {
            return Err(PolicyError::NotFit(kind, listener.clone()));
        }
        exceptions.push(kind);
    }
    Ok(exceptions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> ListenAddr {
        text.parse().unwrap()
    }

    fn allow(text: &str) -> Vec<InsecureAllow> {
        vec![text.parse().unwrap()]
    }

    #[test]
    fn every_name_prints_as_it_is_written() {
        for (name, kind) in NAMES {
            assert_eq!(name.parse::<SecurityKind>().unwrap(), kind);
            assert_eq!(kind.to_string(), name);
        }
        assert!("VncAuth".parse::<SecurityKind>().unwrap_err().to_string().contains("expected none, vncauth"));
    }

    #[test]
    fn weak_types_are_for_loopback_and_unix_sockets_alone() {
        use SecurityKind::{None, VncAuth};
        for local in ["127.0.0.1:1", "[::1]:1", "unix:/x", "ws:127.0.0.1:1"] {
            assert_eq!(check_offer(&at(local), &[VncAuth, None], &[]), Ok(vec![]));
        }
        for open in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "ws:0.0.0.0:1"] {
            assert_eq!(check_offer(&at(open), &[None], &[]), Err(PolicyError::NotFit(None, at(open))));
            assert_eq!(check_offer(&at(open), &[VncAuth], &[]), Err(PolicyError::NotFit(VncAuth, at(open))));
        }
    }

    #[test]
    fn an_exception_is_for_one_type_on_one_listener() {
        use SecurityKind::{None, VncAuth};
        let here = at("0.0.0.0:5900");
        assert_eq!(check_offer(&here, &[None], &allow("none@0.0.0.0:5900")), Ok(vec![None]));
        assert_eq!(check_offer(&here, &[VncAuth], &allow("vncauth@0.0.0.0")), Ok(vec![VncAuth]));
        assert!(check_offer(&here, &[None], &allow("vncauth@0.0.0.0:5900")).is_err());
        assert!(check_offer(&here, &[None], &allow("none@0.0.0.0:5901")).is_err());
        assert!(check_offer(&at("ws:0.0.0.0:5900"), &[None], &allow("none@0.0.0.0:5900")).is_err());
        for wrong in ["none", "none@", "@0.0.0.0", "channel@0.0.0.0", ""] {
            assert!(wrong.parse::<InsecureAllow>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_encrypts_is_fit_for_networks_and_what_only_logs_in_needs_tls_below() {
        use SecurityKind::{Channel, Plain, Ra2, Ra2Ne, Ra2Nex256, Ra2x256, X509None, X509Plain, X509Vnc};
        for kind in [Channel, X509Plain, X509None, Ra2, Ra2x256] {
            assert_eq!(check_offer(&at("0.0.0.0:1"), &[kind], &[]), Ok(vec![]), "{kind}");
        }
        for kind in [Plain, Ra2Ne, Ra2Nex256] {
            assert!(check_offer(&at("0.0.0.0:1"), &[kind], &[]).is_err(), "{kind}");
            assert_eq!(check_offer(&at("wss:0.0.0.0:1"), &[kind], &[]), Ok(vec![]), "{kind}");
            assert_eq!(check_offer(&at("127.0.0.1:1"), &[kind], &[]), Ok(vec![]), "{kind}");
            let allowed = allow(&format!("{kind}@0.0.0.0:1"));
            assert_eq!(check_offer(&at("0.0.0.0:1"), &[kind], &allowed), Ok(vec![kind]));
        }
        for kind in [SecurityKind::VncAuth, X509Vnc] {
            assert!(check_offer(&at("wss:0.0.0.0:1"), &[kind], &[]).is_err(), "eight characters");
            assert!(check_offer(&at("0.0.0.0:1"), &[kind], &[]).is_err(), "eight characters");
            assert_eq!(check_offer(&at("127.0.0.1:1"), &[kind], &[]), Ok(vec![]));
            let allowed = allow(&format!("{kind}@0.0.0.0:1"));
            assert_eq!(check_offer(&at("0.0.0.0:1"), &[kind], &allowed), Ok(vec![kind]));
        }
        assert_eq!(check_offer(&at("127.0.0.1:1"), &[], &[]), Err(PolicyError::Nothing(at("127.0.0.1:1"))));
    }
}
