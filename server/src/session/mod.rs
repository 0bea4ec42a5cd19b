//! From a connection to a client: handshake, then messages in and updates out.
//!
//! [`serve`] runs one connection to its end. The protocol's bytes are the RFB crate's, pictures are the engine's, the
//! desktop is the [`Hub`]'s; here is what ties them to one client.

mod access;
mod caps;
mod clipboard;
mod driver;
mod fault;
mod gate;
mod handshake;
mod held;
mod hub;
mod lighting;
#[cfg(test)]
mod link_desktop_tests;
#[cfg(test)]
mod link_tests;
mod log;
mod notice;
mod outbox;
mod pseudo;
mod resize;
mod roster;
mod rules;
#[cfg(test)]
mod rules_tests;
mod scale;
mod side_car;
mod smaller;
mod stall;
mod state;
mod terms;
mod touch;
mod updates;
mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use access::Access;
pub use caps::{Caps, CursorKind};
#[cfg(feature = "notification")]
pub use gate::Notification;
pub use gate::{Asking, Doorkeeper, Gate, Hook, Knock, Said, Verdict};
pub use handshake::{Authenticator, Denied, HandshakeFailed, Proved, Proving};
pub use hub::{ClientId, DesktopState, Hub, HubEvent, Membership, Reached, Stage, WAKE_LIMIT};
pub use lighting::{Lighting, Sight};
pub use log::{EndKind, Ended, Goodbye, SessionLog};
pub use notice::MAX_MESSAGE;
pub use roster::{Described, Entry, NotJoined, SessionSummary, Standing};
pub use scale::{ScaleError, ScaleSpec};
pub use side_car::{MonitorMade, SideCar, SideCarSize, SideCarSizeError};
pub use stall::LIMIT as STALL_LIMIT;
pub use state::SessionError;
pub use view::{Places, Seen, ViewSpec};

use crate::net::{Transport, limits};
use crate::policy::Permissions;

/// How a client that does not want to share is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedPolicy {
    /// It disconnects the others, as the protocol says.
    #[default]
    AsAsked,
    /// Everybody always shares.
    Always,
    /// Every newcomer disconnects the others.
    Never,
}

/// What becomes of a client that wants the desktop alone while others are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exclusive {
    /// It disconnects them if they are all of its own user or it has [`Permission::DisconnectOthers`](crate::policy::Permission::DisconnectOthers); else it is refused.
    #[default]
    TakeOver,
    /// It is refused.
    Refuse,
    /// As `take_over`, but where that refuses, the person at the desktop is asked.
    Ask,
}

/// How a client comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Beside the others.
    Shared,
    /// In place of the others, as far as the rule lets it.
    Alone(Exclusive),
    /// In place of the others, with leave of the person at the desktop.
    AloneByConsent,
}

/// When the person at the desktop is asked about clients, and what is done without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateRules {
    /// Every client that has proved itself is asked about.
    pub ask: bool,
    /// An answer that has not come by then is a no.
    pub limit: Duration,
    /// Where nobody is there to be asked, clients are let in.
    pub allow_if_nobody: bool,
}

impl Default for GateRules {
    fn default() -> Self {
        GateRules { ask: false, limit: Duration::from_secs(30), allow_if_nobody: false }
    }
}

/// Settings of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The desktop's name as viewers show it.
    pub name: String,
    /// What clients see of the desktop.
    pub view: ViewSpec,
    /// Monitors that nobody looks at by name are switched off meanwhile.
    pub others_off: bool,
    /// The monitor that is made for them, where the view is one.
    pub side_car: Option<SideCar>,
    /// How large they see it, until they ask for another scale.
    pub scale: ScaleSpec,
    /// Clients see and do not touch.
    pub view_only: bool,
    /// Updates a second at most; 0 for no bound.
    pub max_fps: u32,
    /// Bytes a second at most; none for no bound.
    pub max_rate: Option<u64>,
    /// Never send anything but exact pixels.
    pub lossless: bool,
    /// Films go as H.264 to viewers that show it.
    pub h264: bool,
    /// Pixels sent lossy are sent exactly after this long without change.
    pub refresh_quiet: Duration,
    /// Texts copied on the desktop reach clients.
    pub clipboard_out: bool,
    /// Texts copied by clients reach the desktop.
    pub clipboard_in: bool,
    /// Longest text taken from a client.
    pub clipboard_max_bytes: usize,
    /// Who may stay when a client wants the desktop alone.
    pub shared: SharedPolicy,
    /// Whether it gets it.
    pub exclusive: Exclusive,
    /// Clients at once; one more is refused.
    pub max_clients: usize,
    /// A client that has not typed, pointed or copied for so long is closed; none for no bound.
    pub idle_limit: Option<Duration>,
    /// The same for clients that may not.
    pub idle_view_only: bool,
    /// A client is closed after so long; none for no bound.
    pub time_limit: Option<Duration>,
    /// Who is let in only after a question.
    pub gate: GateRules,
    /// Version, choice of the security type and ClientInit must each have come after this long.
    pub greeting_limit: Duration,
    /// A client that takes nothing of what it is sent for this long is closed.
    pub stall_limit: Duration,
    /// A login must be through after this long.
    pub login_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "farpane".into(),
            view: ViewSpec::All,
            others_off: false,
            side_car: None,
            scale: ScaleSpec::default(),
            view_only: false,
            max_fps: 60,
            max_rate: None,
            lossless: false,
            h264: true,
            refresh_quiet: Duration::from_secs(1),
            clipboard_out: true,
            clipboard_in: true,
            clipboard_max_bytes: 1 << 20,
            shared: SharedPolicy::AsAsked,
            exclusive: Exclusive::TakeOver,
            max_clients: 64,
            idle_limit: Some(Duration::from_secs(3600)),
            idle_view_only: false,
            time_limit: None,
            gate: GateRules::default(),
            stall_limit: STALL_LIMIT,
            greeting_limit: limits::GREETING,
            login_limit: limits::LOGIN,
        }
    }
}

impl Settings {
    /// What is left of a login's permissions here.
    fn limit(&self, permissions: Permissions) -> Permissions {
        if self.view_only { permissions.and(Permissions::VIEW_ONLY) } else { permissions }
    }

    /// The same for a client whose monitor has got its name.
    fn seeing(self: Arc<Self>, view: &ViewSpec) -> Arc<Self> {
        if self.view == *view { self } else { Arc::new(Self { view: view.clone(), ..(*self).clone() }) }
    }

    /// How a client comes in that asks to share, or not to.
    fn sharing(&self, shared: bool) -> Sharing {
        match (self.shared, shared) {
            (SharedPolicy::Always, _) | (SharedPolicy::AsAsked, true) => Sharing::Shared,
            (SharedPolicy::Never, _) | (SharedPolicy::AsAsked, false) => Sharing::Alone(self.exclusive),
        }
    }
}

/// Serves one connection until it ends, and logs why it did.
pub async fn serve(
    transport: Transport,
    hub: Arc<Hub>,
    settings: Arc<Settings>,
    authenticator: Arc<dyn Authenticator>,
) {
    let info = transport.info().clone();
    let (peer, listener) = (info.peer.clone(), Arc::clone(&info.listener_name));
    let began = Instant::now();
    match handshake::run(transport, &hub, &settings, &*authenticator).await {
        Ok(entered) => {
            let handshake::Entered { transport, membership, early, told } = entered;
            let entry = Arc::clone(&membership.entry);
            let settings = settings.seeing(&entry.who.sight.view);
            let (id, user, permissions) = (entry.who.id, &entry.who.access.user, entry.who.permissions());
            tracing::info!(client = %id, user, %peer, %listener, ?permissions, "client connected");
            let mut log = log::Told::started(hub.log().cloned(), Arc::clone(&entry));
            let ended = driver::run(transport, early, told, membership, Arc::clone(&hub), settings).await;
            match &ended {
                Ok(()) => tracing::info!(client = %id, %peer, "client left"),
                Err(SessionError::Io(error)) => tracing::info!(client = %id, %peer, %error, "connection lost"),
                Err(SessionError::Closed(reason)) => tracing::info!(client = %id, %peer, %reason, "client closed"),
                Err(error) => tracing::warn!(client = %id, %peer, %error, "client closed"),
            }
            match ended {
                Ok(()) => log.ends(EndKind::Left, "client left".into()),
                Err(error) => log.ends(error.kind(), error.to_string()),
            }
        }
        Err(error) => {
            match &error {
                HandshakeFailed::Left => tracing::debug!(%peer, %listener, "peer left during the handshake"),
                error => tracing::warn!(%peer, %listener, %error, "handshake failed"),
            }
            if let Some(log) = hub.log() {
                log.failed(&info, error.kind(), began.elapsed());
            }
            if error.is_the_peers_fault() {
                authenticator.broke(&info);
            }
        }
    }
}
