//! What an event may be made of. No field takes a secret: there is no way from `Secret` to any of these types, and each has
//! either few values or a form of its own.
//!
//! ```compile_fail
//! use farpane_server::{audit::UserName, auth::Secret};
//! let name = UserName::new(Secret::new("hunter2".into()));
//! ```

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::json::cut;

/// A word of the program's own text.
pub type Word = &'static str;

/// A user's name as the peer said it, or as the login found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName(String);

impl UserName {
    /// Takes a name over, cut to 1 KiB.
    pub fn new(name: &str) -> Self {
        UserName(cut(name))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A listener as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerName(String);

impl ListenerName {
    /// Takes a listener's name over, cut to 1 KiB.
    pub fn new(name: &str) -> Self {
        ListenerName(cut(name))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Over the network.
    Address(SocketAddr),
    /// An address without a port.
    Ip(IpAddr),
    /// Over a Unix socket, by its user if that is known.
    Unix(Option<u32>),
}

impl Peer {
    /// Reads a peer as connections name it: an address with its port, or `unix uid N`; none for anything else.
    pub fn read(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Peer::Address(address));
        }
        if let Ok(ip) = text.parse() {
            return Some(Peer::Ip(ip));
        }
        match text.strip_prefix("unix") {
            Some("") => Some(Peer::Unix(None)),
            Some(rest) => Some(Peer::Unix(Some(rest.strip_prefix(" uid ")?.parse().ok()?))),
            None => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Address(address) => write!(f, "{address}"),
            Peer::Ip(ip) => write!(f, "{ip}"),
            Peer::Unix(None) => f.write_str("unix"),
            Peer::Unix(Some(uid)) => write!(f, "unix uid {uid}"),
        }
    }
}

/// How a connection came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// From the source itself.
    #[default]
    Direct,
    /// Through a listed proxy.
    Proxy(IpAddr),
    /// Through a relay, by its number.
    Relay(u64),
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Via::Direct => f.write_str("direct"),
            Via::Proxy(ip) => write!(f, "proxy {ip}"),
            Via::Relay(id) => write!(f, "relay {id}"),
        }
    }
}

/// The fingerprint of a device key or certificate: digits, letters and colons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Longest fingerprint.
    pub const MOST: usize = 128;

    /// Takes a fingerprint over; none if it has another form.
    pub fn new(text: &str) -> Option<Self> {
        let fit =
            (1..=Self::MOST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b':');
        fit.then(|| Fingerprint(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What encrypts a connection: the names of cipher and key exchange, in letters, digits, underscores and dashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cipher(String);

impl Cipher {
    /// Takes names over; none if they have another form.
    pub fn new(text: &str) -> Option<Self> {
        let fit = |b: u8| b.is_ascii_alphanumeric() || b"_- ".contains(&b);
        ((1..=128).contains(&text.len()) && text.bytes().all(fit)).then(|| Cipher(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A way of proving who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// The password of farpane's own user file.
    UserFile,
    /// A time-based code.
    Totp,
    /// The system's own login (PAM).
    System,
    /// A client certificate.
    Certificate,
    /// The one-time password of this run.
    Session,
    /// A VNC password.
    Vnc,
    /// The peer's user over a Unix socket.
    Unix,
    /// A factor that this list does not have.
    Other,
}

impl Factor {
    /// The factor that a login names.
    pub fn read(name: &str) -> Self {
        match name {
            "userfile" => Factor::UserFile,
            "totp" => Factor::Totp,
            "system" => Factor::System,
            "certificate" => Factor::Certificate,
            "session" => Factor::Session,
            "vncauth" => Factor::Vnc,
            "unix" => Factor::Unix,
            _ => Factor::Other,
        }
    }

    /// Its name.
    pub const fn name(self) -> Word {
        match self {
            Factor::UserFile => "userfile",
            Factor::Totp => "totp",
            Factor::System => "system",
            Factor::Certificate => "certificate",
            Factor::Session => "session",
            Factor::Vnc => "vncauth",
            Factor::Unix => "unix",
            Factor::Other => "other",
        }
    }
}

/// The name of a setting, never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingName(String);

impl SettingName {
    /// Takes a name over: letters, digits, dots, dashes, underscores and brackets; anything else becomes `?`.
    pub fn new(name: &str) -> Self {
        let fit = |c: char| c.is_ascii_alphanumeric() || "._-[]".contains(c);
        SettingName(name.chars().take(128).map(|c| if fit(c) { c } else { '?' }).collect())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_take_their_own_form_and_nothing_else() {
        for text in ["192.0.2.1:5900", "[2001:db8::1]:5900", "192.0.2.1", "unix", "unix uid 1000"] {
            assert_eq!(Peer::read(text).map(|p| p.to_string()).as_deref(), Some(text));
        }
        for wrong in ["", "hunter2", "unix uid", "unix uid -1", "example.org:5900"] {
            assert_eq!(Peer::read(wrong), None, "{wrong}");
        }
        assert!(Fingerprint::new("AB:cd:01").is_some());
        for wrong in ["", "a b", "a\"b", &"a".repeat(129)] {
            assert_eq!(Fingerprint::new(wrong), None, "{wrong}");
        }
        assert!(Cipher::new("TLS13_AES_256_GCM_SHA384 X25519MLKEM768").is_some());
        assert_eq!((Cipher::new(""), Cipher::new("a\"b")), (None, None));
        assert_eq!(SettingName::new("listener[0].security = x").as_str(), "listener[0].security???x");
        assert_eq!(Factor::read("hunter2").name(), "other");
        for name in ["userfile", "totp", "system", "certificate", "session", "vncauth", "unix"] {
            assert_eq!(Factor::read(name).name(), name);
        }
    }
}
