//! The lines that lead a viewer through SSH to a listener of this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::net::ListenAddr;

/// Who tunnels where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The user on this machine; the viewer's own name there when none.
    pub user: Option<String>,
    /// This machine, as the viewer's knows it.
    pub host: String,
    /// The port of this machine's SSH server, when it is not 22.
    pub ssh_port: Option<u16>,
    /// The port on the viewer's machine.
    pub local_port: u16,
}

/// Why there is no line to print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TunnelError {
    /// A user's name that would not reach SSH as one.
    #[error("user {0:?} (expected a name of letters, digits and . _ - + without a leading -)")]
    User(String),
    /// A host's name that would not reach SSH as one.
    #[error("host {0:?} (expected a name or an address without a leading -)")]
    Host(String),
    /// No listener that a tunnel could lead to.
    #[error(
        "no listener that a tunnel can lead to (listeners: {0}); add one that only this machine reaches: --listen unix: or --listen 127.0.0.1:5900"
    )]
    NoListener(String),
}

/// Where a tunnel ends on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Socket(String),
    Port(IpAddr, u16),
}

impl End {
    /// Where SSH's server has to connect to reach this listener; none when it cannot.
    fn of(listener: &ListenAddr) -> Option<End> {
        match listener {
            ListenAddr::Unix(path) => socket(path).map(End::Socket),
            ListenAddr::Tcp(to) if to.port() > 0 => {
                let ip = match to.ip()? {
                    IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                    ip => ip,
                };
                Some(End::Port(ip, to.port()))
            }
            // browsers speak WebSocket, viewers do not
            ListenAddr::Tcp(_) | ListenAddr::Ws(_) | ListenAddr::Wss(_) => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            End::Socket(_) => 0,
            End::Port(ip, _) if ip.is_loopback() => 1,
            End::Port(..) => 2,
        }
    }

    /// As `-L` takes it behind the local port.
    fn written(&self) -> String {
        match self {
            End::Socket(path) => path.clone(),
            End::Port(IpAddr::V4(ip), port) => format!("{ip}:{port}"),
            End::Port(IpAddr::V6(ip), port) => format!("[{ip}]:{port}"),
        }
    }
}

/// A socket's path as SSH takes it: absolute, and without the colons that would part it.
fn socket(path: &Path) -> Option<String> {
    path.to_str().filter(|p| p.starts_with('/') && !p.contains(':')).map(str::to_owned)
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:.,_-+@=[]%".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

impl Tunnel {
    fn destination(&self) -> Result<String, TunnelError> {
        let host_fits = |c: char| c.is_ascii_alphanumeric() || ".:_-%".contains(c);
        if self.host.is_empty() || self.host.starts_with('-') || !self.host.chars().all(host_fits) {
            return Err(TunnelError::Host(self.host.clone()));
        }
        let Some(user) = &self.user else { return Ok(self.host.clone()) };
        let user_fits = |c: char| c.is_alphanumeric() || "._-+".contains(c);
        if user.is_empty() || user.starts_with('-') || !user.chars().all(user_fits) {
            return Err(TunnelError::User(user.clone()));
        }
        Ok(format!("{user}@{}", self.host))
    }

    /// What to type on the viewer's machine to reach the best of these listeners: a Unix socket before loopback, loopback
    /// before an address.
    ///
    /// # Errors
    /// When a name is none, or no listener can be reached from this machine itself.
    pub fn lines(&self, listeners: &[ListenAddr]) -> Result<String, TunnelError> {
        let to = self.destination()?;
        let mut ends: Vec<End> = listeners.iter().filter_map(End::of).collect();
        ends.sort_by_key(End::rank);
        let all = || listeners.iter().map(ListenAddr::to_string).collect::<Vec<_>>().join(", ");
        let best = ends.first().ok_or_else(|| TunnelError::NoListener(all()))?;
        let local = self.local_port;
        let forward = |end: &End| quoted(&format!("{local}:{}", end.written()));
        let port = |flag| self.ssh_port.map_or(String::new(), |p| format!("{flag} {p} "));
        let mut out = String::from("# on the viewer's machine; it runs until you end it\n");
        out.push_str(&format!("ssh -N {}-L {} {}\n", port("-p"), forward(best), quoted(&to)));
        match ends.iter().find(|end| matches!(end, End::Port(..))) {
            Some(end) => {
                out.push_str("# the same with PuTTY\n");
                out.push_str(&format!("plink -N {}-L {} {}\n", port("-P"), forward(end), quoted(&to)));
            }
            None => out.push_str(
                "# PuTTY's plink cannot forward to a Unix socket: for it, add a listener on loopback (--listen 127.0.0.1:5900)\n",
            ),
        }
        out.push_str(&format!("# then, beside it\nvncviewer 127.0.0.1::{local}\n"));
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(listeners: &[&str], tunnel: &Tunnel) -> Result<String, TunnelError> {
        let all: Vec<ListenAddr> = listeners.iter().map(|l| l.parse().unwrap()).collect();
        tunnel.lines(&all)
    }

    fn alice() -> Tunnel {
        Tunnel { user: Some("alice".into()), host: "desk".into(), ssh_port: None, local_port: 5901 }
    }

    fn typed(text: &str) -> Vec<&str> {
        text.lines().filter(|l| !l.starts_with('#')).collect()
    }

    #[test]
    fn a_unix_socket_is_best_and_plink_is_told_what_it_lacks() {
        let text = lines(&["0.0.0.0:5900", "unix:/run/user/1000/farpane.sock"], &alice()).unwrap();
        let wanted = [
            "ssh -N -L 5901:/run/user/1000/farpane.sock alice@desk",
            "plink -N -L 5901:127.0.0.1:5900 alice@desk",
            "vncviewer 127.0.0.1::5901",
        ];
        assert_eq!(typed(&text), wanted);
        let alone = lines(&["unix:/x"], &alice()).unwrap();
        assert_eq!(typed(&alone), ["ssh -N -L 5901:/x alice@desk", "vncviewer 127.0.0.1::5901"]);
        assert!(alone.contains("plink cannot forward to a Unix socket"), "{alone}");
    }

    #[test]
    fn loopback_comes_before_an_address_and_ports_are_named_where_they_differ() {
        let far = Tunnel { user: None, host: "2001:db8::7".into(), ssh_port: Some(2222), local_port: 5950 };
        let text = lines(&["192.0.2.4:5900", "[::1]:5901"], &far).unwrap();
        assert_eq!(
            typed(&text),
            [
                "ssh -N -p 2222 -L 5950:[::1]:5901 2001:db8::7",
                "plink -N -P 2222 -L 5950:[::1]:5901 2001:db8::7",
                "vncviewer 127.0.0.1::5950"
            ]
        );
        assert!(lines(&["[::]:5900"], &far).unwrap().contains("-L 5950:[::1]:5900"));
        assert!(lines(&["192.0.2.4:5900"], &far).unwrap().contains("-L 5950:192.0.2.4:5900"));
    }

    #[test]
    fn listeners_that_no_tunnel_reaches_are_named() {
        let none =
            lines(&["iface:wg0:5900", "ws:127.0.0.1:5700", "127.0.0.1:0", "unix:relative", "unix:/a:b"], &alice());
        let said = none.unwrap_err().to_string();
        assert!(said.contains("iface:wg0:5900, ws:127.0.0.1:5700") && said.contains("--listen unix:"), "{said}");
    }

    #[test]
    fn nothing_that_a_shell_or_ssh_would_take_for_something_else_is_printed() {
        let odd = lines(&["unix:/a b/it's $(x)"], &alice()).unwrap();
        assert_eq!(typed(&odd)[0], "ssh -N -L '5901:/a b/it'\\''s $(x)' alice@desk");
        for host in ["", "-oProxyCommand=x", "a b", "a;b", "a@b", "$(x)"] {
            let wrong = Tunnel { host: host.into(), ..alice() };
            assert_eq!(lines(&["unix:/x"], &wrong), Err(TunnelError::Host(host.into())));
        }
        for user in ["", "-l", "a b", "a@b", "a;b"] {
            let wrong = Tunnel { user: Some(user.into()), ..alice() };
            assert_eq!(lines(&["unix:/x"], &wrong), Err(TunnelError::User(user.into())));
        }
    }
}
