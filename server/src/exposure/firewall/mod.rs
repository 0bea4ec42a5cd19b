//! Rule sets that let the named networks at the listeners, and log and drop everybody else.
//!
//! A rule set touches the listeners' ports alone and stands in a table or in chains of its own, so that it can be taken away
//! again without a trace. Traffic within the machine passes. How it is tested: `server/tests/exposure` loads both kinds in
//! network namespaces and knocks.

mod iptables;
mod nftables;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::net::{HostPort, IfaceName, ListenAddr};

/// What stands before every line of the log.
pub const LOG_PREFIX: &str = "farpane drop: ";

/// What a rule set is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A script for `nft -f -`.
    Nftables,
    /// Input of `iptables-restore --noflush`, and the same of `ip6tables-restore --noflush`.
    Iptables,
}

/// A network that is let in: `10.0.0.0/8`, `2001:db8::/32`, or a single address.
///
/// ```
/// use farpane_server::exposure::firewall::Network;
/// assert_eq!("192.0.2.7".parse::<Network>().unwrap().to_string(), "192.0.2.7/32");
/// assert!("192.0.2.7/24".parse::<Network>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It has neither form.
    #[error("network {0:?} (expected an address, or an address and prefix length like 10.0.0.0/8 or 2001:db8::/32)")]
    Form(String),
    /// It names a host and a prefix length that leaves room for more.
    #[error("network {0} has bits set behind its prefix (expected {1})")]
    HostBits(IpNet, IpNet),
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let host = |_| text.parse::<IpAddr>().map(IpNet::from);
        let net = text.parse::<IpNet>().or_else(host).map_err(|_| NetworkError::Form(text.to_owned()))?;
        if net == net.trunc() { Ok(Network(net)) } else { Err(NetworkError::HostBits(net, net.trunc())) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why there is no rule set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FirewallError {
    /// The port is another one at each start.
    #[error("listener {0} picks its port when it starts (expected a port that rules can name)")]
    NoPort(ListenAddr),
    /// Nothing can be reached from a network.
    #[error("no listener is open to a network (listeners: {0}); a firewall has nothing to do")]
    AllLocal(String),
}

/// Where the packets of one listener go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// To every IPv4 address.
    AnyV4,
    /// To every IPv6 address.
    AnyV6,
    /// To one address.
    Address(IpAddr),
    /// To whatever address of an interface, through it.
    Iface(IfaceName),
}

/// One listener that a network can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Door {
    written: String,
    target: Target,
    port: u16,
}

/// What rules are made from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    doors: Vec<Door>,
    /// Listeners that need no rule.
    local: Vec<String>,
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl Plan {
    fn new(listeners: &[ListenAddr], allow: &[Network]) -> Result<Self, FirewallError> {
        let (local, open): (Vec<&ListenAddr>, Vec<&ListenAddr>) = listeners.iter().partition(|l| l.is_local());
        let doors = open.iter().filter_map(|l| l.host_port().map(|hp| Door::new(l, hp)));
        let doors: Vec<Door> = doors.collect::<Result<_, _>>()?;
        if doors.is_empty() {
            let all: Vec<String> = listeners.iter().map(ListenAddr::to_string).collect();
            return Err(FirewallError::AllLocal(all.join(", ")));
        }
        let nets: Vec<IpNet> = allow.iter().map(|n| n.0).collect();
        let merged = IpNet::aggregate(&nets);
        let v4 = merged.iter().filter_map(|n| if let IpNet::V4(n) = n { Some(*n) } else { None }).collect();
        let v6 = merged.iter().filter_map(|n| if let IpNet::V6(n) = n { Some(*n) } else { None }).collect();
        Ok(Plan { doors, local: local.iter().map(|l| l.to_string()).collect(), v4, v6 })
    }
}

impl Door {
    fn new(listener: &ListenAddr, to: HostPort) -> Result<Self, FirewallError> {
        if to.port() == 0 {
            return Err(FirewallError::NoPort(listener.clone()));
        }
        let target = match (to.iface(), to.ip()) {
            (Some(name), _) => Target::Iface(name),
            (None, Some(IpAddr::V4(ip))) if !ip.is_unspecified() => Target::Address(ip.into()),
            (None, Some(IpAddr::V6(ip))) if !ip.is_unspecified() => Target::Address(ip.into()),
            (None, Some(IpAddr::V6(_))) => Target::AnyV6,
            (None, _) => Target::AnyV4,
        };
        Ok(Door { written: listener.to_string(), target, port: to.port() })
    }
}

/// The rule set that lets `allow` at `listeners` and nobody else.
///
/// # Errors
/// When a listener has no fixed port, or none is open to a network.
pub fn rules(backend: Backend, listeners: &[ListenAddr], allow: &[Network]) -> Result<String, FirewallError> {
    let plan = Plan::new(listeners, allow)?;
    Ok(match backend {
        Backend::Nftables => nftables::rules(&plan),
        Backend::Iptables => iptables::rules(&plan),
    })
}

/// What takes a rule set away again.
pub fn removal(backend: Backend) -> &'static str {
    match backend {
        Backend::Nftables => nftables::REMOVAL,
        Backend::Iptables => iptables::REMOVAL,
    }
}

/// Lines of comment that open every rule set.
fn heading(plan: &Plan, load: &[&str]) -> String {
    let mut out =
        String::from("# farpane: the named networks reach the listeners, everybody else is logged and dropped\n");
    for line in load {
        out.push_str(&format!("# {line}\n"));
    }
    for name in &plan.local {
        out.push_str(&format!("# {name}: only this machine reaches it, no rule is needed\n"));
    }
    if plan.v4.is_empty() && plan.v6.is_empty() {
        out.push_str("# no network is allowed: only this machine itself gets through\n");
    }
    out
}

#[cfg(test)]
mod tests;
