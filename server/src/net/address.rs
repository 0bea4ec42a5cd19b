//! Where to listen, as written after `--listen` and in the configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A Unix socket's path has at most this many bytes on Linux.
const MAX_UNIX_PATH: usize = 107;

/// A place to listen: an address and port for plain RFB or for WebSocket, or the path of a Unix socket.
///
/// ```
/// use farpane_server::net::ListenAddr;
/// let a: ListenAddr = "ws:[::1]:5700".parse().unwrap();
/// assert!(a.is_local());
/// assert_eq!(a.to_string(), "ws:[::1]:5700");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ListenAddr {
    /// RFB over TCP.
    Tcp(HostPort),
    /// RFB over a Unix socket.
    Unix(PathBuf),
    /// RFB over WebSocket.
    Ws(HostPort),
    /// RFB over WebSocket over TLS.
    Wss(HostPort),
}

/// An address and a port; keeps whether it was written as a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: Host,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Host {
    Localhost,
    Ip(IpAddr),
}

/// Why an address cannot be read as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddrError {
    /// It has none of the known forms.
    #[error("listen address {0:?} (expected ADDR:PORT, [V6]:PORT, unix:PATH, ws:ADDR:PORT or wss:ADDR:PORT)")]
    Form(String),
    /// The host is no address.
    #[error("host {0:?} (expected an IPv4 address, an IPv6 address in brackets, or localhost)")]
    Host(String),
    /// The port is out of range.
    #[error("port {0:?} (expected 0..=65535)")]
    Port(String),
    /// The socket path is empty or too long.
    #[error("socket path of {0} bytes (expected 1..=107)")]
    Path(usize),
}

impl HostPort {
    /// An address and a port.
    pub fn new(ip: IpAddr, port: u16) -> Self {
        HostPort { host: Host::Ip(ip), port }
    }

    /// The socket address to bind; `localhost` means 127.0.0.1.
    pub fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip(), self.port)
    }

    /// The address alone.
    pub fn ip(&self) -> IpAddr {
        match self.host {
            Host::Localhost => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Host::Ip(ip) => ip,
        }
    }

    /// The port; 0 lets the system pick one.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same host with another port.
    pub fn with_port(self, port: u16) -> Self {
        HostPort { port, ..self }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Host::Localhost => write!(f, "localhost:{}", self.port),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}:{}", self.port),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
        }
    }
}

/// Reads a host: an IPv4 address, an IPv6 address in brackets, or `localhost`.
fn host(text: &str) -> Result<Host, ListenAddrError> {
    let wrong = || ListenAddrError::Host(text.to_owned());
    if text == "localhost" {
        return Ok(Host::Localhost);
    }
    match text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().map(|ip| Host::Ip(IpAddr::V6(ip))).map_err(|_| wrong()),
        None => text.parse::<Ipv4Addr>().map(|ip| Host::Ip(IpAddr::V4(ip))).map_err(|_| wrong()),
    }
}

impl FromStr for HostPort {
    type Err = ListenAddrError;

    fn from_str(text: &str) -> Result<Self, ListenAddrError> {
        let (h, p) = text.rsplit_once(':').ok_or_else(|| ListenAddrError::Form(text.to_owned()))?;
        if h.is_empty() {
            return Err(ListenAddrError::Form(text.to_owned()));
        }
        let digits = !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
        let port = p.parse().ok().filter(|_| digits).ok_or_else(|| ListenAddrError::Port(p.to_owned()))?;
        Ok(HostPort { host: host(h)?, port })
    }
}

impl ListenAddr {
    /// Only this machine can reach it: a Unix socket or a loopback address.
    pub fn is_local(&self) -> bool {
        self.host_port().is_none_or(|hp| hp.ip().to_canonical().is_loopback())
    }

    /// Address and port; none for a Unix socket.
    pub fn host_port(&self) -> Option<HostPort> {
        match self {
            ListenAddr::Tcp(hp) | ListenAddr::Ws(hp) | ListenAddr::Wss(hp) => Some(*hp),
            ListenAddr::Unix(_) => None,
        }
    }

    /// The same with another port; a Unix socket stays what it is.
    pub fn with_port(&self, port: u16) -> Self {
        match self {
            ListenAddr::Tcp(hp) => ListenAddr::Tcp(hp.with_port(port)),
            ListenAddr::Ws(hp) => ListenAddr::Ws(hp.with_port(port)),
            ListenAddr::Wss(hp) => ListenAddr::Wss(hp.with_port(port)),
            ListenAddr::Unix(path) => ListenAddr::Unix(path.clone()),
        }
    }

    /// Whether `text` names this listener: as it is written, or by its bare address without the port.
    pub fn is_named_by(&self, text: &str) -> bool {
        if text.parse::<ListenAddr>().is_ok_and(|named| named == *self) {
            return true;
        }
        let (form, bare) = match text.split_once(':') {
            Some((f @ ("ws" | "wss"), rest)) => (f, rest),
            _ => ("", text),
        };
        let same_form = match self {
            ListenAddr::Tcp(_) => form.is_empty(),
            ListenAddr::Ws(_) => form == "ws",
            ListenAddr::Wss(_) => form == "wss",
            ListenAddr::Unix(_) => false,
        };
        let bracketed =
            if bare.contains(':') && !bare.starts_with('[') { format!("[{bare}]") } else { bare.to_owned() };
        same_form && host(&bracketed).is_ok_and(|h| self.host_port().is_some_and(|hp| hp.host == h))
    }
}

impl FromStr for ListenAddr {
    type Err = ListenAddrError;

    fn from_str(text: &str) -> Result<Self, ListenAddrError> {
        match text.split_once(':') {
            Some(("unix", path)) if path.is_empty() || path.len() > MAX_UNIX_PATH || path.contains('\0') => {
                Err(ListenAddrError::Path(path.len()))
            }
            Some(("unix", path)) => Ok(ListenAddr::Unix(path.into())),
            Some(("ws", rest)) => Ok(ListenAddr::Ws(rest.parse()?)),
            Some(("wss", rest)) => Ok(ListenAddr::Wss(rest.parse()?)),
            _ => Ok(ListenAddr::Tcp(text.parse()?)),
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddr::Tcp(hp) => write!(f, "{hp}"),
            ListenAddr::Ws(hp) => write!(f, "ws:{hp}"),
            ListenAddr::Wss(hp) => write!(f, "wss:{hp}"),
            ListenAddr::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<ListenAddr> for String {
    fn from(addr: ListenAddr) -> Self {
        addr.to_string()
    }
}

impl TryFrom<String> for ListenAddr {
    type Error = ListenAddrError;

    fn try_from(text: String) -> Result<Self, ListenAddrError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_prints_as_it_was_written() {
        for text in [
            "127.0.0.1:5900",
            "0.0.0.0:0",
            "[::1]:5900",
            "[fe80::1]:1",
            "localhost:5901",
            "unix:/run/user/1000/farpane.sock",
            "unix:relative",
            "ws:127.0.0.1:5700",
            "wss:[::]:443",
        ] {
            assert_eq!(text.parse::<ListenAddr>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn only_loopback_and_unix_are_local() {
        for (text, local) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("localhost:1", true),
            ("unix:/x", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.168.1.4:1", false),
            ("ws:0.0.0.0:1", false),
        ] {
            assert_eq!(text.parse::<ListenAddr>().unwrap().is_local(), local, "{text}");
        }
    }

    #[test]
    fn wrong_addresses_are_named_with_what_was_expected() {
        for (text, says) in [
            ("", "expected ADDR:PORT"),
            ("5900", "expected ADDR:PORT"),
            (":5900", "expected ADDR:PORT"),
            ("127.0.0.1:65536", "0..=65535"),
            ("127.0.0.1:+1", "0..=65535"),
            ("127.0.0.1:", "0..=65535"),
            ("::1:5900", "in brackets"),
            ("example.org:5900", "expected an IPv4 address"),
            ("unix:", "1..=107"),
        ] {
            let said = text.parse::<ListenAddr>().unwrap_err().to_string();
            assert!(said.contains(says), "{text}: {said}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert_eq!(long.parse::<ListenAddr>(), Err(ListenAddrError::Path(108)));
    }

    #[test]
    fn a_listener_is_named_whole_or_by_its_address_and_by_nothing_else() {
        let tcp: ListenAddr = "0.0.0.0:5900".parse().unwrap();
        assert!(tcp.is_named_by("0.0.0.0:5900") && tcp.is_named_by("0.0.0.0"));
        assert!(!tcp.is_named_by("0.0.0.0:5901") && !tcp.is_named_by("ws:0.0.0.0") && !tcp.is_named_by("1.0.0.0"));
        let ws: ListenAddr = "ws:[::]:5700".parse().unwrap();
        assert!(ws.is_named_by("ws:[::]:5700") && ws.is_named_by("ws:[::]") && ws.is_named_by("ws:::"));
        assert!(!ws.is_named_by("[::]:5700") && !ws.is_named_by(""));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_text_panics_and_what_parses_prints_to_itself(text in "(unix:|ws:|wss:|)[0-9a-f.:\\[\\]]{0,16}(:[0-9]{1,6})?") {
            if let Ok(addr) = text.parse::<ListenAddr>() {
                prop_assert_eq!(addr.to_string().parse::<ListenAddr>().unwrap(), addr.clone());
                prop_assert!(addr.is_named_by(&addr.to_string()));
            }
        }
    }
}
