//! The configuration: what the file says, what the command line says over it, and the defaults under both.
//!
//! [`Config`] is the effective configuration. It prints as TOML in full, and reading that print gives the same
//! configuration again. Nothing here touches the environment: the text comes from the caller.

mod layers;
mod nearest;
mod policy;
mod sections;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::audit::{AuditRangeError, AuditSettings};
use crate::auth;
use crate::backend::{Arrange, Sources};
use crate::net::{ListenAddr, UnixPeersError};
use crate::policy::{AccessSettings, PermissionSettings};
use crate::sandbox;
use crate::security::{InsecureAllow, PolicyError, SecurityKind, channel, check_offer, rsa_aes, tls};

pub use layers::{Attempt, Explained, Layers, Origin};
pub use nearest::nearest;
pub use policy::{Lock, POLICY_FOLDER, Policy, PolicyFileError};
pub use sections::{
    CaptureSection, DmaBufUse, EncodeSection, Gatekeeping, GpuUse, InputSection, ListenerSection, LogFormat, LogLevel,
    LogSection, NetworkSection, Others, RangeError, SecurityList, SessionSection, Shared,
};

/// The effective configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What to share: one desktop, or several on one canvas.
    pub source: Sources,
    /// Where the next of several lies.
    pub arrange: Arrange,
    /// What listeners offer that say nothing themselves; none leaves it to what is best for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<SecurityList>,
    /// Exceptions from the rule that weak security types stay on this machine.
    pub insecure_allow: Vec<InsecureAllow>,
    /// The file with the VncAuth passwords; without one a one-time password is made at every start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The folder for keys and state; systemd's or the user's own when none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_folder: Option<PathBuf>,
    /// Who gets in.
    pub auth: auth::Settings,
    /// From where.
    pub access: AccessSettings,
    /// What they may do.
    pub permissions: PermissionSettings,
    /// Where it is written who came and what became of it.
    pub audit: AuditSettings,
    /// The encrypted channel.
    pub channel: channel::Settings,
    /// The server's certificate, and those of clients.
    pub tls: tls::Settings,
    /// RSA-AES.
    pub rsa_aes: rsa_aes::Settings,
    /// Whether the server shuts itself in once it listens.
    pub sandbox: sandbox::Mode,
    /// Sessions.
    pub session: SessionSection,
    /// Capture.
    pub capture: CaptureSection,
    /// Input.
    pub input: InputSection,
    /// Encoding.
    pub encode: EncodeSection,
    /// Connections.
    pub network: NetworkSection,
    /// The log.
    pub log: LogSection,
    /// Where to listen; 127.0.0.1:5900 when there is none.
    #[serde(rename = "listener")]
    pub listeners: Vec<ListenerSection>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            source: Sources::default(),
            arrange: Arrange::default(),
            security: None,
            insecure_allow: Vec::new(),
            password_file: None,
            state_folder: None,
            auth: auth::Settings::default(),
            access: AccessSettings::default(),
            permissions: PermissionSettings::default(),
            audit: AuditSettings::default(),
            tls: tls::Settings::default(),
            channel: channel::Settings::default(),
            rsa_aes: rsa_aes::Settings::default(),
            sandbox: sandbox::Mode::On,
            session: SessionSection::default(),
            capture: CaptureSection::default(),
            input: InputSection::default(),
            encode: EncodeSection::default(),
            network: NetworkSection::default(),
            log: LogSection::default(),
            listeners: Vec::new(),
        }
    }
}

/// What the command line says; what is none leaves the file's word or the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// What to share.
    pub source: Option<Sources>,
    /// Where to listen, in place of all listeners of the file.
    pub listen: Vec<ListenAddr>,
    /// What every listener offers, in place of what the file says for each.
    pub security: Option<SecurityList>,
    /// More exceptions.
    pub insecure_allow: Vec<InsecureAllow>,
    /// The password file.
    pub password_file: Option<PathBuf>,
    /// The desktop's name.
    pub desktop_name: Option<String>,
    /// Clients see and do not touch.
    pub view_only: bool,
    /// Updates a second at most.
    pub max_fps: Option<u32>,
    /// Kilobits a second at most.
    pub max_rate_kbps: Option<u64>,
    /// Only exact pixels.
    pub lossless: bool,
    /// Whether a GPU compares pictures.
    pub gpu: Option<GpuUse>,
    /// The log's form.
    pub log_format: Option<LogFormat>,
    /// The log's level.
    pub log_level: Option<LogLevel>,
}

impl Overrides {
    /// What it says, by the keys of the configuration.
    pub(super) fn told(&self) -> Vec<(&'static str, toml::Value)> {
        let mut all: Vec<(&'static str, toml::Value)> = Vec::new();
        let mut tell = |key, value: Option<toml::Value>| all.extend(value.map(|value| (key, value)));
        let text = |text: String| toml::Value::String(text);
        let listener = |address: &ListenAddr| {
            toml::Value::Table([("address".to_owned(), text(address.to_string()))].into_iter().collect())
        };
        let list = |values: Vec<toml::Value>| (!values.is_empty()).then_some(toml::Value::Array(values));
        let number = |n: u64| toml::Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
        let word = |value: Result<toml::Value, toml::ser::Error>| value.ok();
        tell("source", self.source.as_ref().and_then(|s| word(toml::Value::try_from(s))));
        tell("listener", list(self.listen.iter().map(listener).collect()));
        tell("security", self.security.as_ref().and_then(|s| word(toml::Value::try_from(s))));
        tell("insecure_allow", list(self.insecure_allow.iter().map(|a| text(a.to_string())).collect()));
        tell("password_file", self.password_file.as_ref().map(|p| text(p.display().to_string())));
        tell("session.desktop_name", self.desktop_name.clone().map(text));
        tell("session.view_only", self.view_only.then_some(toml::Value::Boolean(true)));
        tell("session.max_fps", self.max_fps.map(|n| number(n.into())));
        tell("session.max_rate_kbps", self.max_rate_kbps.map(number));
        tell("session.lossless", self.lossless.then_some(toml::Value::Boolean(true)));
        tell("capture.gpu", self.gpu.and_then(|gpu| toml::Value::try_from(gpu).ok()));
        tell("log.format", self.log_format.and_then(|f| word(toml::Value::try_from(f))));
        tell("log.level", self.log_level.and_then(|l| word(toml::Value::try_from(l))));
        all
    }
}

/// What is wrong with a configuration: all of these are for the user to mend.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// The file is no configuration.
    #[error("configuration{0}: {1}")]
    Parse(String, String),
    /// A number is out of its range.
    #[error("configuration: {0}")]
    Range(#[from] RangeError),
    /// A listener is named twice.
    #[error("listener {0} is named twice (expected each once)")]
    Twice(ListenAddr),
    /// A listener without anything to see.
    #[error("listener {0} has an empty view (expected all, or a monitor's name)")]
    NoView(ListenAddr),
    /// All monitors are seen, and the others are to be off.
    #[error(
        "listener {0} shows all monitors, so that there are no others to switch off (give it a view, or take others out)"
    )]
    NoOthers(ListenAddr),
    /// A size without a monitor that is made.
    #[error(
        "listener {0} has a size and no side-car (a size is that of a monitor made for the viewer: view = \"side-car\")"
    )]
    NoSideCar(ListenAddr),
    /// Something that may not be offered there.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A password file that nobody asks after.
    #[error(
        "password file {0}: no listener offers vncauth, which it is for (add vncauth to security, or leave it out)"
    )]
    PasswordFile(PathBuf),
    /// Logins.
    #[error("configuration: {0}")]
    Auth(#[from] auth::SettingsError),
    /// TLS.
    #[error("configuration: {0}")]
    Tls(#[from] tls::SettingsError),
    /// The audit log.
    #[error("configuration: [audit] {0}")]
    Audit(#[from] AuditRangeError),
    /// Who may connect over a Unix socket.
    #[error("configuration: {0}")]
    UnixPeers(#[from] UnixPeersError),
    /// RSA-AES.
    #[error("configuration: security type {0} has keys of 128 bits and tls.min_bits is {1}: take one of them out")]
    TooFewBits(SecurityKind, u16),
    /// RSA-AES is set up wrong.
    #[error("configuration: [rsa_aes] {0}")]
    RsaAes(#[from] rsa_aes::SettingsError),
    /// A certificate is what x509none asks for.
    #[error(
        "security x509none on {0} would let everybody in: it needs client_certificates = \"demanded\" in [tls], and a chain \
         [\"certificate\"] in auth.chains"
    )]
    NoCertificates(ListenAddr),
    /// There is no such key.
    #[error("key {0:?}: {1}")]
    Key(String, String),
    /// The policy cannot be relied on.
    #[error(transparent)]
    PolicyFile(#[from] PolicyFileError),
    /// It cannot be printed.
    #[error("configuration cannot be printed: {0}")]
    Print(#[from] toml::ser::Error),
}

/// A weak security type that is offered beyond this machine, because somebody asked for it by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The type.
    pub kind: SecurityKind,
    /// Where.
    pub listener: ListenAddr,
}

impl Config {
    fn check_parts(&self) -> Result<(), ConfigError> {
        self.session.check()?;
        self.encode.check()?;
        self.network.check()?;
        self.auth.check()?;
        self.tls.check()?;
        self.audit.check()?;
        self.listeners.iter().try_for_each(|l| l.unix_peers.check())?;
        let too_short = || self.listeners.iter().flat_map(|l| self.offer(l)).find(|kind| kind.is_128_bits());
        if self.tls.min_bits > 128
            && let Some(kind) = too_short()
        {
            return Err(ConfigError::TooFewBits(kind, self.tls.min_bits));
        }
        Ok(self.rsa_aes.check()?)
    }

    /// Reads a configuration. `origin` is where the text came from, for the error.
    ///
    /// # Errors
    /// With the line, what is wrong there and, for an unknown name, the nearest known one.
    pub fn parse(text: &str, origin: Option<&Path>) -> Result<Self, ConfigError> {
        let config: Config = toml::from_str(text).map_err(|error| {
            let line = error.span().and_then(|span| text.get(..span.start)).map(|t| t.matches('\n').count() + 1);
            let place = match (origin, line) {
                (Some(path), Some(line)) => format!(" file {}, line {line}", path.display()),
                (Some(path), None) => format!(" file {}", path.display()),
                (None, Some(line)) => format!(", line {line}"),
                (None, None) => String::new(),
            };
            ConfigError::Parse(place, explain(error.message()))
        })?;
        config.check_parts()?;
        Ok(config)
    }

    /// Lays the command line over it and fills in what follows from the rest.
    ///
    /// # Errors
    /// When a number is out of range.
    pub fn with(self, over: Overrides) -> Result<Self, ConfigError> {
        self.lay(over).finish()
    }

    /// Lays the command line over it.
    fn lay(mut self, over: Overrides) -> Self {
        self.source = over.source.unwrap_or(self.source);
        if !over.listen.is_empty() {
            self.listeners = over.listen.into_iter().map(ListenerSection::at).collect();
        }
        if let Some(list) = over.security {
            self.listeners.iter_mut().for_each(|l| l.security = None);
            self.security = Some(list);
        }
        self.insecure_allow.extend(over.insecure_allow);
        self.password_file = over.password_file.or(self.password_file);
        self.session.desktop_name = over.desktop_name.or(self.session.desktop_name);
        self.session.view_only |= over.view_only;
        self.session.max_fps = over.max_fps.unwrap_or(self.session.max_fps);
        self.session.max_rate_kbps = over.max_rate_kbps.unwrap_or(self.session.max_rate_kbps);
        self.session.lossless |= over.lossless;
        self.capture.gpu = over.gpu.unwrap_or(self.capture.gpu);
        self.log.format = over.log_format.unwrap_or(self.log.format);
        self.log.level = over.log_level.unwrap_or(self.log.level);
        self
    }

    /// Lays the policy over it.
    fn under(self, policy: &Policy) -> Result<Self, ConfigError> {
        if policy.locks().is_empty() {
            return Ok(self);
        }
        let mut table = toml::Table::try_from(self)?;
        policy.lay_over(&mut table);
        table.try_into().map_err(|error: toml::de::Error| ConfigError::Parse(String::new(), explain(error.message())))
    }

    /// Fills in what follows from the rest, so that nothing is left to be guessed.
    fn finish(mut self) -> Result<Self, ConfigError> {
        if self.listeners.is_empty() {
            self.listeners.push(ListenerSection::default());
        }
        for listener in &mut self.listeners {
            let common = || self.security.clone();
            listener.security = listener.security.take().or_else(common).or_else(|| Some(best(&listener.address)));
        }
        self.check_parts()?;
        Ok(self)
    }

    /// Checks it against the policy and against what this build has; returns the exceptions that were asked for by name.
    ///
    /// # Errors
    /// Before anything listens: the first thing that is refused.
    pub fn check(&self) -> Result<Vec<Exception>, ConfigError> {
        let mut exceptions = Vec::new();
        for (n, listener) in self.listeners.iter().enumerate() {
            let address = &listener.address;
            let picked = address.host_port().is_some_and(|hp| hp.port() == 0);
            if !picked && self.listeners.iter().take(n).any(|other| other.address == *address) {
                return Err(ConfigError::Twice(address.clone()));
            }
            if listener.view.is_empty() {
                return Err(ConfigError::NoView(address.clone()));
            }
            if listener.others == Others::Off && listener.view == "all" {
                return Err(ConfigError::NoOthers(address.clone()));
            }
            if listener.size.is_some() && !listener.is_side_car() {
                return Err(ConfigError::NoSideCar(address.clone()));
            }
            if self.offer(listener).contains(&SecurityKind::X509None) && !self.certificates_suffice() {
                return Err(ConfigError::NoCertificates(address.clone()));
            }
            let found = check_offer(address, &self.offer(listener), &self.insecure_allow)?;
            exceptions.extend(found.into_iter().map(|kind| Exception { kind, listener: address.clone() }));
        }
        let offers = |kind| self.listeners.iter().any(|l| self.offer(l).contains(&kind));
        if let Some(path) =
            self.password_file.as_ref().filter(|_| !offers(SecurityKind::VncAuth) && !offers(SecurityKind::X509Vnc))
        {
            return Err(ConfigError::PasswordFile(path.clone()));
        }
        for allow in &self.insecure_allow {
            let used = |l: &ListenerSection| self.offer(l).iter().any(|k| allow.covers(*k, &l.address));
            if !self.listeners.iter().any(used) {
                let all: Vec<String> = self.listeners.iter().map(|l| l.address.to_string()).collect();
                return Err(PolicyError::Unused(allow.clone(), all.join(", ")).into());
            }
        }
        Ok(exceptions)
    }

    /// Whether a client certificate is asked for, and lets its user in without more.
    fn certificates_suffice(&self) -> bool {
        let alone = |chain: &auth::Chain| **chain == [auth::FactorName::Certificate];
        self.tls.client_certificates == tls::ClientCertificates::Demanded
            && self.auth.chains.iter().flatten().any(alone)
    }

    /// What a listener offers.
    pub fn offer(&self, listener: &ListenerSection) -> Vec<SecurityKind> {
        let said = listener.security.as_ref().or(self.security.as_ref());
        said.map_or_else(|| best(&listener.address).0, |list| list.0.clone())
    }

    /// How many settings differ from their defaults.
    pub fn changed(&self) -> usize {
        let flat =
            |config: &Config| toml::Table::try_from(config).map(|table| policy::flat(&table)).unwrap_or_default();
        let defaults = flat(&Config::default());
        flat(self).iter().filter(|setting| !defaults.contains(setting)).count()
    }

    /// Prints it in full as TOML.
    ///
    /// # Errors
    /// When a path in it is not text.
    pub fn print(&self) -> Result<String, ConfigError> {
        Ok(toml::to_string(self)?)
    }
}

/// What a listener offers that nobody configured.
fn best(address: &ListenAddr) -> SecurityList {
    SecurityList(SecurityKind::defaults(address).to_vec())
}

/// A parse error in our words: for an unknown name, the nearest known one in place of the whole list.
fn explain(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (Some(wrong), true) =
        (quoted.next(), message.starts_with("unknown field") || message.starts_with("unknown variant"))
    else {
        return message.lines().collect::<Vec<_>>().join("; ");
    };
    let known: Vec<&str> = quoted.collect();
    let is_key = message.starts_with("unknown field");
    let what = if is_key { "unknown key" } else { "unknown value" };
    match (nearest(wrong, &known), is_key.then(|| elsewhere(wrong)).flatten()) {
        (Some(near), _) => format!("{what} `{wrong}`: did you mean `{near}`?"),
        (None, Some(home)) => format!("{what} `{wrong}` here: it belongs into {home}"),
        (None, None) => format!("{what} `{wrong}` (expected one of {})", known.join(", ")),
    }
}

/// The section that a key belongs into, for one that was written somewhere else.
fn elsewhere(key: &str) -> Option<String> {
    let tables = toml::Table::try_from(Config::default()).ok()?;
    let found = tables.into_iter().find(|(_, section)| section.as_table().is_some_and(|t| t.contains_key(key)));
    found.map(|(name, _)| format!("[{name}]"))
}

#[cfg(test)]
mod tests;
