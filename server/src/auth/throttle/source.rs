//! Where a caller comes from, as failures are counted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The network that a caller comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// This machine: loopback or a Unix socket. Never counted by address.
    Local,
    /// A listed proxy that does not tell whom it speaks for. Never counted by address.
    Proxy,
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 /64 network: the upper half of its addresses.
    V6(u64),
}

/// Why a text is no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("source {0:?} (expected an IPv4 address, an IPv6 address or /64 network, local or proxy)")]
pub struct SourceError(String);

/// The upper half of an address.
fn upper(ip: Ipv6Addr) -> u64 {
    u64::try_from(ip.to_bits() >> 64).unwrap_or(u64::MAX)
}

fn network(upper: u64) -> Ipv6Addr {
    Ipv6Addr::from_bits(u128::from(upper) << 64)
}

/// The /48 network around a /64 one, as text.
pub(super) fn site_text(site: u64) -> String {
    format!("{}/48", network(site << 16))
}

/// Reads what [`site_text`] writes.
pub(super) fn site(text: &str) -> Option<u64> {
    let ip: Ipv6Addr = text.strip_suffix("/48")?.parse().ok()?;
    let bits = ip.to_bits();
    (bits << 48 == 0).then_some(upper(ip) >> 16)
}

impl Source {
    /// The source of a connection: its peer's address (none over a Unix socket), and whether a listed proxy carries it. What a
    /// proxy says is never taken for this machine.
    pub fn of(ip: Option<IpAddr>, by_proxy: bool) -> Self {
        match ip.map(|ip| ip.to_canonical()) {
            Some(ip) if ip.is_loopback() => {
                if by_proxy {
                    Source::Proxy
                } else {
                    Source::Local
                }
            }
            None if by_proxy => Source::Proxy,
            None => Source::Local,
            Some(IpAddr::V4(ip)) => Source::V4(ip),
            Some(IpAddr::V6(ip)) => Source::V6(upper(ip)),
        }
    }

    /// Whether failures are counted by its address at all.
    pub const fn is_counted(self) -> bool {
        matches!(self, Source::V4(_) | Source::V6(_))
    }

    /// The /48 network that it lies in.
    pub(super) const fn site(self) -> Option<u64> {
        match self {
            Source::V6(upper) => Some(upper >> 16),
            _ => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Local => f.write_str("local"),
            Source::Proxy => f.write_str("proxy"),
            Source::V4(ip) => write!(f, "{ip}"),
            Source::V6(upper) => write!(f, "{}/64", network(*upper)),
        }
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let wrong = || SourceError(text.chars().take(64).collect());
        match text {
            "local" => return Ok(Source::Local),
            "proxy" => return Ok(Source::Proxy),
            _ => {}
        }
        match text.strip_suffix("/64") {
            Some(net) => net.parse().map(|ip| Source::V6(upper(ip))).map_err(|_| wrong()),
            None => text.parse().map(|ip| Source::of(Some(ip), false)).map_err(|_| wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Source {
        Source::of(Some(text.parse().unwrap()), false)
    }

    #[test]
    fn addresses_fall_into_their_networks() {
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("2001:db8:0:1::1").site(), of("2001:db8::1").site());
        assert_ne!(of("2001:db8:1::1").site(), of("2001:db8::1").site());
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        for local in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of(local), Source::Local);
            assert_eq!(
                Source::of(Some(local.parse().unwrap()), true),
                Source::Proxy,
                "a proxy's word for this machine"
            );
        }
        assert_eq!((Source::of(None, false), Source::of(None, true)), (Source::Local, Source::Proxy));
    }

    #[test]
    fn sources_print_as_they_are_read() {
        for text in ["local", "proxy", "192.0.2.1", "2001:db8::/64", "::/64"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        assert_eq!("2001:db8::77".parse::<Source>().unwrap().to_string(), "2001:db8::/64");
        for wrong in ["", "192.0.2.1/64", "192.0.2.1/32", "2001:db8::/48", "example.org"] {
            assert!(wrong.parse::<Source>().is_err(), "{wrong}");
        }
        assert_eq!(site("2001:db8:7::/48").map(site_text).as_deref(), Some("2001:db8:7::/48"));
        assert_eq!(site("2001:db8:7:1::/48"), None);
    }
}
