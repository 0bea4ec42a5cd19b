//! Where to listen, as written after `--listen` and in the configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::iface_name::{IfaceName, IfaceNameError};

/// A Unix socket's path has at most this many bytes on Linux.
const MAX_UNIX_PATH: usize = 107;
/// The socket's name in the user's runtime folder, when `unix:` stands alone.
const SOCKET_NAME: &str = "farpane.sock";
/// The port of VNC's first display, when an interface is named without one.
const DEFAULT_PORT: u16 = 5900;

/// A place to listen: an address or interface and a port, for plain RFB or for WebSocket, or the path of a Unix socket.
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
    /// RFB over a Unix socket; an empty path stands for the one in the user's runtime folder ([`ListenAddr::in_runtime_dir`]).
    Unix(PathBuf),
    /// RFB over WebSocket.
    Ws(HostPort),
    /// RFB over WebSocket over TLS.
    Wss(HostPort),
}

/// An address or an interface, and a port; keeps whether it was written as a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: Host,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Host {
    Localhost,
    Ip(IpAddr),
    Iface(IfaceName),
}

/// Why an address cannot be read as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddrError {
    /// It has none of the known forms.
    #[error(
        "listen address {0:?} (expected ADDR:PORT, [V6]:PORT, iface:NAME:PORT, unix:PATH, or one with a port behind ws: or wss:)"
    )]
    Form(String),
    /// The host is no address.
    #[error("host {0:?} (expected an IPv4 address, an IPv6 address in brackets, localhost or iface:NAME)")]
    Host(String),
    /// The interface's name cannot be one.
    #[error(transparent)]
    Iface(#[from] IfaceNameError),
    /// An interface may get several addresses, which share one port.
    #[error("port 0 on interface {0} (expected 1..=65535: all its addresses share the port)")]
    IfacePort(IfaceName),
    /// The port is out of range.
    #[error("port {0:?} (expected 0..=65535)")]
    Port(String),
    /// The socket path is too long.
    #[error("socket path of {0} bytes (expected 1..=107)")]
    Path(usize),
    /// `unix:` alone, and nowhere to put the socket.
    #[error("unix: without a path needs XDG_RUNTIME_DIR (an absolute path); write unix:PATH")]
    NoRuntimeDir,
}

impl HostPort {
    /// An address and a port.
    pub fn new(ip: IpAddr, port: u16) -> Self {
        HostPort { host: Host::Ip(ip), port }
    }

    /// The socket address to bind; `localhost` means 127.0.0.1. None for an interface, whose addresses come and go.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.ip()?, self.port))
    }

    /// The address alone; none for an interface.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Host::Localhost => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Host::Ip(ip) => Some(ip),
            Host::Iface(_) => None,
        }
    }

    /// The interface, where one was named.
    pub fn iface(&self) -> Option<IfaceName> {
        match self.host {
            Host::Iface(name) => Some(name),
            _ => None,
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
            Host::Iface(name) => write!(f, "iface:{name}:{}", self.port),
        }
    }
}

/// Reads a host: an IPv4 address, an IPv6 address in brackets, `localhost`, or `iface:` and a name.
fn host(text: &str) -> Result<Host, ListenAddrError> {
    let wrong = || ListenAddrError::Host(text.to_owned());
    if text == "localhost" {
        return Ok(Host::Localhost);
    }
    if let Some(name) = text.strip_prefix("iface:") {
        return Ok(Host::Iface(name.parse()?));
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
        match host(h)? {
            Host::Iface(name) if port == 0 => Err(ListenAddrError::IfacePort(name)),
            host => Ok(HostPort { host, port }),
        }
    }
}

impl ListenAddr {
    /// Only this machine can reach it: a Unix socket or a loopback address. An interface is never local, whatever its name.
    pub fn is_local(&self) -> bool {
        self.host_port().is_none_or(|hp| hp.ip().is_some_and(|ip| ip.to_canonical().is_loopback()))
    }

    /// With `unix:` alone made `unix:RUNTIME_DIR/farpane.sock`; everything else stays what it is.
    ///
    /// # Errors
    /// When it is `unix:` alone and there is no runtime folder, or its path is too long for a socket.
    pub fn in_runtime_dir(self, runtime_dir: Option<&Path>) -> Result<Self, ListenAddrError> {
        match self {
            ListenAddr::Unix(path) if path.as_os_str().is_empty() => {
                let folder = runtime_dir.filter(|dir| dir.is_absolute()).ok_or(ListenAddrError::NoRuntimeDir)?;
                let path = folder.join(SOCKET_NAME);
                let len = path.as_os_str().len();
                if len <= MAX_UNIX_PATH { Ok(ListenAddr::Unix(path)) } else { Err(ListenAddrError::Path(len)) }
            }
            other => Ok(other),
        }
    }

    /// TLS is below RFB.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, ListenAddr::Wss(_))
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
        let is_bare_v6 = bare.contains(':') && !bare.starts_with('[') && !bare.starts_with("iface:");
        let bracketed = if is_bare_v6 { format!("[{bare}]") } else { bare.to_owned() };
        same_form && host(&bracketed).is_ok_and(|h| self.host_port().is_some_and(|hp| hp.host == h))
    }
}

impl FromStr for ListenAddr {
    type Err = ListenAddrError;

    fn from_str(text: &str) -> Result<Self, ListenAddrError> {
        match text.split_once(':') {
            Some(("unix", path)) if path.len() > MAX_UNIX_PATH || path.contains('\0') => {
                Err(ListenAddrError::Path(path.len()))
            }
            Some(("unix", path)) => Ok(ListenAddr::Unix(path.into())),
            Some(("ws", rest)) => Ok(ListenAddr::Ws(rest.parse()?)),
            Some(("wss", rest)) => Ok(ListenAddr::Wss(rest.parse()?)),
            Some(("iface", name)) if !name.contains(':') => {
                Ok(ListenAddr::Tcp(HostPort { host: Host::Iface(name.parse()?), port: DEFAULT_PORT }))
            }
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
            "iface:wg0:5900",
            "ws:iface:wg0:5700",
            "wss:iface:br-lan:443",
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
            ("iface:lo:1", false),
            ("iface:localhost:1", false),
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
            ("iface::1", "1 to 15"),
            ("iface:wg0:", "0..=65535"),
            ("iface:wg0:0", "share the port"),
            ("iface:a:b:5900", "1 to 15"),
            ("ws:iface:wg0", "0..=65535"),
            ("iface:", "1 to 15"),
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

    #[test]
    fn an_interface_has_no_address_and_the_port_of_display_0_by_default() {
        let wg: ListenAddr = "iface:wg0".parse().unwrap();
        assert_eq!(wg.to_string(), "iface:wg0:5900");
        let hp = wg.host_port().unwrap();
        assert_eq!((hp.ip(), hp.socket_addr(), hp.port()), (None, None, 5900));
        assert_eq!(hp.iface().unwrap().as_str(), "wg0");
        assert!(wg.is_named_by("iface:wg0") && wg.is_named_by("iface:wg0:5900"));
        assert!(!wg.is_named_by("iface:wg1") && !wg.is_named_by("iface:wg0:5901") && !wg.is_named_by("wg0"));
        let web: ListenAddr = "ws:iface:wg0:5700".parse().unwrap();
        assert!(web.is_named_by("ws:iface:wg0") && !web.is_named_by("iface:wg0"));
    }

    #[test]
    fn unix_alone_lies_in_the_runtime_folder_or_says_what_is_missing() {
        let alone: ListenAddr = "unix:".parse().unwrap();
        let at = |dir: &str| alone.clone().in_runtime_dir(Some(Path::new(dir)));
        assert_eq!(at("/run/user/7").unwrap().to_string(), "unix:/run/user/7/farpane.sock");
        assert_eq!(at("run"), Err(ListenAddrError::NoRuntimeDir));
        assert_eq!(alone.clone().in_runtime_dir(None), Err(ListenAddrError::NoRuntimeDir));
        assert_eq!(at(&format!("/{}", "x".repeat(100))), Err(ListenAddrError::Path(114)));
        let named: ListenAddr = "unix:/x".parse().unwrap();
        assert_eq!(named.clone().in_runtime_dir(None), Ok(named));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_text_panics_and_what_parses_prints_to_itself(text in "(unix:|ws:|wss:|iface:|ws:iface:|)[0-9a-f.:\\[\\]]{0,16}(:[0-9]{1,6})?") {
            if let Ok(addr) = text.parse::<ListenAddr>() {
                prop_assert_eq!(addr.to_string().parse::<ListenAddr>().unwrap(), addr.clone());
                prop_assert!(addr.is_named_by(&addr.to_string()));
            }
        }
    }
}
