//! The parts of the configuration, each with its names, units and ranges.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::input::layout::LayoutName;
use crate::net::{HostPort, ListenAddr, ListenerSettings, UnixPeers, limits};
use crate::security::SecurityKind;
use crate::session;

/// A number outside of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {value} (expected {low}..={high})")]
pub struct RangeError {
    name: &'static str,
    value: u64,
    low: u64,
    high: u64,
}

fn range(name: &'static str, value: u64, low: u64, high: u64) -> Result<(), RangeError> {
    if (low..=high).contains(&value) { Ok(()) } else { Err(RangeError { name, value, low, high }) }
}

/// Security types, best first. Reads from an array, or from one text with commas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecurityList(pub Vec<SecurityKind>);

impl std::str::FromStr for SecurityList {
    type Err = crate::security::UnknownSecurity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut list = Vec::new();
        for word in text.split(',').map(str::trim) {
            let kind = word.parse()?;
            if !list.contains(&kind) {
                list.push(kind);
            }
        }
        Ok(SecurityList(list))
    }
}

impl<'de> Deserialize<'de> for SecurityList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = SecurityList;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of security types")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<SecurityList, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<SecurityList, A::Error> {
                let mut list = Vec::new();
                while let Some(kind) = seq.next_element()? {
                    if !list.contains(&kind) {
                        list.push(kind);
                    }
                }
                Ok(SecurityList(list))
            }
        }
        deserializer.deserialize_any(List)
    }
}

/// One `[[listener]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerSection {
    /// Where.
    pub address: ListenAddr,
    /// What it offers, best first; the common `security` when it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<SecurityList>,
    /// What its clients see: `all` monitors on one canvas, one monitor by name (`farpane probe` and the log name them), or `side-car`: one
    /// that is made for them.
    pub view: String,
    /// How large a side-car is at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<session::SideCarSize>,
    /// What becomes of the monitors that nobody looks at by name while a client of this listener is there.
    pub others: Others,
    /// How large they see it: a part of what it is (`50%`), or made to fit into so many pixels (`1280x800`).
    pub scale: session::ScaleSpec,
    /// Its clients see and do not touch.
    pub view_only: bool,
    /// Origins of web pages that may connect over WebSocket, besides loopback ones.
    pub allowed_origins: Vec<String>,
    /// Who may connect over a Unix socket, besides the user that serves and root.
    pub unix_peers: UnixPeers,
}

impl Default for ListenerSection {
    fn default() -> Self {
        ListenerSection::at(ListenAddr::Tcp(HostPort::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5900)))
    }
}

impl ListenerSection {
    /// A listener at this address with everything else by default.
    pub fn at(address: ListenAddr) -> Self {
        ListenerSection {
            address,
            security: None,
            view: "all".into(),
            size: None,
            others: Others::default(),
            scale: session::ScaleSpec::default(),
            view_only: false,
            allowed_origins: Vec::new(),
            unix_peers: UnixPeers::default(),
        }
    }

    /// Whether a monitor is made for its clients.
    pub fn is_side_car(&self) -> bool {
        self.view == "side-car"
    }

    /// As the network takes it.
    pub fn settings(&self) -> ListenerSettings {
        ListenerSettings {
            address: self.address.clone(),
            allowed_origins: self.allowed_origins.clone(),
            unix_peers: self.unix_peers.clone(),
            secure: None,
        }
    }
}

/// What becomes of monitors beside the one that is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Others {
    /// They stay as they are.
    #[default]
    On,
    /// They are switched off meanwhile.
    Off,
}

/// How a client that does not want to share is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shared {
    /// It disconnects the others.
    #[default]
    AsAsked,
    /// Everybody shares.
    Always,
    /// Every newcomer disconnects the others.
    Never,
}

/// `[session]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionSection {
    /// The desktop's name as viewers show it; made from the host's and the source's name when none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desktop_name: Option<String>,
    /// Clients see and do not touch.
    pub view_only: bool,
    /// Updates a second at most; 0 for no bound.
    pub max_fps: u32,
    /// Kilobits a second at most to each client; 0 for no bound.
    pub max_rate_kbps: u64,
    /// Kilobits a second at most to all clients together, shared evenly by those that are sent something; 0 for no bound.
    pub max_total_rate_kbps: u64,
    /// Never send anything but exact pixels.
    pub lossless: bool,
    /// Moving parts go as H.264 to viewers that show it (and take lossy pixels).
    pub h264: bool,
    /// Pixels sent lossy are sent exactly after this long without change.
    pub refresh_quiet_ms: u64,
    /// Texts copied on the desktop reach clients.
    pub clipboard_to_clients: bool,
    /// Texts copied by clients reach the desktop.
    pub clipboard_from_clients: bool,
    /// Longest text taken, either way.
    pub clipboard_max_bytes: u64,
    /// The X11 primary selection (what is marked) counts as copied too.
    pub primary_selection: bool,
    /// How a client that does not want to share is treated.
    pub shared: Shared,
    /// Whether such a client gets the desktop alone while others are there.
    pub exclusive: session::Exclusive,
    /// Clients at once.
    pub max_clients: u32,
    /// A client that has not typed, pointed or copied for so long is closed; 0 for no bound.
    pub idle_timeout_s: u64,
    /// The same for clients that may neither type nor point.
    pub idle_view_only: bool,
    /// A client is closed after so long; 0 for no bound.
    pub max_time_s: u64,
    /// Whether the person at the desktop is asked before a client gets in.
    pub gatekeeping: Gatekeeping,
    /// Without a command, a notification with two buttons asks.
    pub gatekeeping_notification: bool,
    /// The command that asks, as a list of words.
    pub gatekeeping_hook: Vec<String>,
    /// An answer that has not come by then is a no.
    pub gatekeeping_timeout_s: u64,
    /// Where the command says that nobody is there to be asked, clients are let in.
    pub allow_if_nobody: bool,
}

/// Whether the person at the desktop is asked before a client gets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gatekeeping {
    /// Nobody is asked.
    #[default]
    Off,
    /// Always.
    Ask,
}

impl Default for SessionSection {
    fn default() -> Self {
        let session = session::Settings::default();
        SessionSection {
            desktop_name: None,
            view_only: session.view_only,
            max_fps: session.max_fps,
            max_rate_kbps: 0,
            max_total_rate_kbps: 0,
            lossless: session.lossless,
            h264: session.h264,
            refresh_quiet_ms: 1000,
            clipboard_to_clients: session.clipboard_out,
            clipboard_from_clients: session.clipboard_in,
            clipboard_max_bytes: 1 << 20,
            primary_selection: false,
            shared: Shared::AsAsked,
            exclusive: session.exclusive,
            max_clients: 64,
            idle_timeout_s: 3600,
            idle_view_only: session.idle_view_only,
            max_time_s: 0,
            gatekeeping: Gatekeeping::Off,
            gatekeeping_notification: true,
            gatekeeping_hook: Vec::new(),
            gatekeeping_timeout_s: 30,
            allow_if_nobody: session.gate.allow_if_nobody,
        }
    }
}

impl SessionSection {
    /// # Errors
    /// The first number that is out of its range.
    pub(super) fn check(&self) -> Result<(), RangeError> {
        range("max_fps", u64::from(self.max_fps), 0, 1000)?;
        range("max_rate_kbps", self.max_rate_kbps, 0, 1_000_000_000)?;
        range("max_total_rate_kbps", self.max_total_rate_kbps, 0, 1_000_000_000)?;
        range("refresh_quiet_ms", self.refresh_quiet_ms, 50, 600_000)?;
        range("clipboard_max_bytes", self.clipboard_max_bytes, 0, 1 << 20)?;
        range("max_clients", u64::from(self.max_clients), 1, 10_000)?;
        range("idle_timeout_s", self.idle_timeout_s, 0, 31_536_000)?;
        range("max_time_s", self.max_time_s, 0, 31_536_000)?;
        range("gatekeeping_timeout_s", self.gatekeeping_timeout_s, 1, 300)
    }

    fn gate(&self) -> session::GateRules {
        session::GateRules {
            ask: self.gatekeeping == Gatekeeping::Ask,
            limit: Duration::from_secs(self.gatekeeping_timeout_s),
            allow_if_nobody: self.allow_if_nobody,
        }
    }

    /// Bytes a second at most to all clients together; none for no bound.
    pub fn total_rate(&self) -> Option<u64> {
        bytes_a_second(self.max_total_rate_kbps)
    }

    /// As sessions take it. `name` is the desktop's name when none was given.
    pub fn settings(&self, name: &str, network: &NetworkSection) -> session::Settings {
        session::Settings {
            view: session::ViewSpec::All,
            others_off: false,
            side_car: None,
            scale: session::ScaleSpec::default(),
            name: self.desktop_name.clone().unwrap_or_else(|| name.to_owned()),
            view_only: self.view_only,
            max_fps: self.max_fps,
            max_rate: bytes_a_second(self.max_rate_kbps),
            lossless: self.lossless,
            h264: self.h264,
            refresh_quiet: Duration::from_millis(self.refresh_quiet_ms),
            clipboard_out: self.clipboard_to_clients,
            clipboard_in: self.clipboard_from_clients,
            clipboard_max_bytes: usize::try_from(self.clipboard_max_bytes).unwrap_or(usize::MAX),
            shared: match self.shared {
                Shared::AsAsked => session::SharedPolicy::AsAsked,
                Shared::Always => session::SharedPolicy::Always,
                Shared::Never => session::SharedPolicy::Never,
            },
            exclusive: self.exclusive,
            max_clients: usize::try_from(self.max_clients).unwrap_or(usize::MAX),
            idle_limit: seconds(self.idle_timeout_s),
            idle_view_only: self.idle_view_only,
            time_limit: seconds(self.max_time_s),
            gate: self.gate(),
            stall_limit: session::STALL_LIMIT,
            greeting_limit: network.greeting_limit(),
            login_limit: network.login_limit(),
        }
    }
}

/// Kilobits a second as bytes a second; 0 stands for no bound.
fn bytes_a_second(kbps: u64) -> Option<u64> {
    (kbps > 0).then_some(kbps.saturating_mul(125))
}

/// Seconds as a time; 0 stands for no bound.
fn seconds(s: u64) -> Option<Duration> {
    (s > 0).then_some(Duration::from_secs(s))
}

/// `[capture]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureSection {
    /// Whether PipeWire is asked for memory of the graphics hardware before shared memory.
    pub dma_bufs: DmaBufUse,
    /// Whether a GPU compares pictures.
    pub gpu: GpuUse,
}

/// Whether dma-bufs are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DmaBufUse {
    /// Where a GPU compares them.
    #[default]
    Auto,
    /// Without a GPU, too: those of plain rows, which the processor reads. That is fast where graphics memory is the machine's own, and slow
    /// on cards with memory of their own.
    On,
    /// Never.
    Off,
}

/// Whether a GPU compares pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuUse {
    /// Graphics hardware does, where there is any that takes them, for pictures that lie in its memory; the processor does for all others,
    /// which is faster for these.
    #[default]
    Auto,
    /// The processor does.
    Off,
    /// Any Vulkan device does, a program that plays one too, or the server does not start.
    Force,
}

impl std::str::FromStr for GpuUse {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            "force" => Ok(Self::Force),
            other => Err(format!("{other:?} (expected auto, off or force)")),
        }
    }
}

/// `[input]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputSection {
    /// The desktop's keyboard layout, where it does not tell (KMS): `de`, `de:nodeadkeys,caps:escape`. The system's when none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyboard: Option<LayoutName>,
}

/// `[encode]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncodeSection {
    /// How far large encoding jobs stand back behind the desktop: added to the niceness of their threads, 0 to 19.
    pub nice: u8,
}

impl Default for EncodeSection {
    fn default() -> Self {
        EncodeSection { nice: 5 }
    }
}

impl EncodeSection {
    /// # Errors
    /// The first number that is out of its range.
    pub(super) fn check(&self) -> Result<(), RangeError> {
        range("nice", u64::from(self.nice), 0, 19)
    }
}

/// `[network]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSection {
    /// Connections at once that have not proved who they are; more are turned away.
    pub max_unauthenticated: u32,
    /// What a peer says by itself must come within this time: its version and the choice of a security type, a WebSocket
    /// request, ClientInit.
    pub greeting_timeout_s: u64,
    /// A login must be through after this long: a person may be asked for something.
    pub login_timeout_s: u64,
}

impl Default for NetworkSection {
    fn default() -> Self {
        NetworkSection {
            max_unauthenticated: u32::try_from(limits::UNAUTHENTICATED).unwrap_or(u32::MAX),
            greeting_timeout_s: limits::GREETING.as_secs(),
            login_timeout_s: limits::LOGIN.as_secs(),
        }
    }
}

impl NetworkSection {
    /// # Errors
    /// The first number that is out of its range.
    pub(super) fn check(&self) -> Result<(), RangeError> {
        range("max_unauthenticated", u64::from(self.max_unauthenticated), 1, 10_000)?;
        range("greeting_timeout_s", self.greeting_timeout_s, 1, 600)?;
        range("login_timeout_s", self.login_timeout_s, 1, 600)
    }

    /// The time for what a peer says by itself.
    pub fn greeting_limit(&self) -> Duration {
        Duration::from_secs(self.greeting_timeout_s)
    }

    /// The time a login may take.
    pub fn login_limit(&self) -> Duration {
        Duration::from_secs(self.login_timeout_s)
    }
}

/// The form of the log on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much the log says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Faults of farpane itself.
    Error,
    /// Also what goes wrong with clients, the network and the desktop.
    Warn,
    /// Also what begins and ends.
    #[default]
    Info,
    /// Also single events.
    Debug,
    /// Everything.
    Trace,
}

/// `[log]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// Its form.
    pub format: LogFormat,
    /// How much.
    pub level: LogLevel,
}
