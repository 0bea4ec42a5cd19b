//! `[audit]`: where events go.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SinkSpec {
    /// The journal of systemd.
    Journald,
    /// Syslog over a Unix socket.
    SyslogUnix(PathBuf),
    /// Syslog over UDP.
    SyslogUdp(SocketAddr),
    /// Syslog over TCP.
    SyslogTcp(SocketAddr),
    /// A file with a chain of hashes.
    File(PathBuf),
}

/// Why a text is no sink.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "audit sink {0:?} (expected journald, syslog, syslog:udp:ADDR:PORT, syslog:tcp:ADDR:PORT, syslog:unix:PATH or \
     file:PATH with an absolute path)"
)]
pub struct SinkSpecError(String);

/// The socket that syslog servers listen on.
const DEV_LOG: &str = "/dev/log";

impl FromStr for SinkSpec {
    type Err = SinkSpecError;

    fn from_str(text: &str) -> Result<Self, SinkSpecError> {
        let wrong = || SinkSpecError(text.chars().take(256).collect());
        let path = |path: &str| Some(PathBuf::from(path)).filter(|p| p.is_absolute()).ok_or_else(wrong);
        let address = |text: &str| text.parse().map_err(|_| wrong());
        match text {
            "journald" => return Ok(SinkSpec::Journald),
            "syslog" => return Ok(SinkSpec::SyslogUnix(DEV_LOG.into())),
            _ => {}
        }
        if let Some(rest) = text.strip_prefix("file:") {
            return path(rest).map(SinkSpec::File);
        }
        let (kind, rest) = text.strip_prefix("syslog:").and_then(|rest| rest.split_once(':')).ok_or_else(wrong)?;
        match kind {
            "udp" => address(rest).map(SinkSpec::SyslogUdp),
            "tcp" => address(rest).map(SinkSpec::SyslogTcp),
            "unix" => path(rest).map(SinkSpec::SyslogUnix),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for SinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SinkSpec::Journald => f.write_str("journald"),
            SinkSpec::SyslogUnix(path) if path.as_os_str() == DEV_LOG => f.write_str("syslog"),
            SinkSpec::SyslogUnix(path) => write!(f, "syslog:unix:{}", path.display()),
            SinkSpec::SyslogUdp(address) => write!(f, "syslog:udp:{address}"),
            SinkSpec::SyslogTcp(address) => write!(f, "syslog:tcp:{address}"),
            SinkSpec::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl TryFrom<String> for SinkSpec {
    type Error = SinkSpecError;

    fn try_from(text: String) -> Result<Self, SinkSpecError> {
        text.parse()
    }
}

impl From<SinkSpec> for String {
    fn from(spec: SinkSpec) -> Self {
        spec.to_string()
    }
}

/// `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSettings {
    /// Where events go; nowhere when empty.
    pub sinks: Vec<SinkSpec>,
    /// A file is rotated away before it grows beyond this.
    pub max_file_bytes: u64,
    /// So many rotated files are kept.
    pub keep_files: u32,
}

impl Default for AuditSettings {
    fn default() -> Self {
        AuditSettings { sinks: vec![SinkSpec::Journald], max_file_bytes: 16 << 20, keep_files: 10 }
    }
}

/// A number outside of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {value} (expected {low}..={high})")]
pub struct AuditRangeError {
    name: &'static str,
    value: u64,
    low: u64,
    high: u64,
}

impl AuditSettings {
    /// Checks the numbers.
    ///
    /// # Errors
    /// The first number that is out of its range.
    pub fn check(&self) -> Result<(), AuditRangeError> {
        let ranges = [
            ("max_file_bytes", self.max_file_bytes, 64 << 10, 1 << 40),
            ("keep_files", u64::from(self.keep_files), 1, 9_999),
        ];
        let outside = ranges.into_iter().find(|(_, value, low, high)| !(*low..=*high).contains(value));
        outside.map_or(Ok(()), |(name, value, low, high)| Err(AuditRangeError { name, value, low, high }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_print_as_they_are_written_and_others_are_refused() {
        let all =
            "journald syslog syslog:unix:/x syslog:udp:192.0.2.1:514 syslog:tcp:[2001:db8::1]:6514 file:/var/log/f";
        for text in all.split(' ') {
            assert_eq!(text.parse::<SinkSpec>().unwrap().to_string(), text);
        }
        for wrong in ["", "journal", "file:relative", "file:", "syslog:udp:example.org:514", "syslog:tls:1.2.3.4:5"] {
            assert!(wrong.parse::<SinkSpec>().unwrap_err().to_string().contains("expected journald"), "{wrong}");
        }
    }

    #[test]
    fn settings_are_read_checked_and_printed() {
        let read: AuditSettings =
            toml::from_str("sinks = [\"file:/var/log/farpane/audit.log\"]\nkeep_files = 3").unwrap();
        assert_eq!(toml::from_str::<AuditSettings>(&toml::to_string(&read).unwrap()).unwrap(), read);
        assert_eq!(read.check(), Ok(()));
        let small = AuditSettings { max_file_bytes: 9, ..AuditSettings::default() };
        assert_eq!(small.check().unwrap_err().to_string(), "max_file_bytes 9 (expected 65536..=1099511627776)");
        assert!(AuditSettings { keep_files: 0, ..AuditSettings::default() }.check().is_err());
        assert!(toml::from_str::<AuditSettings>("sink = []").is_err());
    }
}
