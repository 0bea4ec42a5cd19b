//! From a connection to a client: handshake, then messages in and updates out.
//!
//! [`serve`] runs one connection to its end. The protocol's bytes are the RFB crate's, pictures are the engine's, the
//! desktop is the [`Hub`]'s; here is what ties them to one client.

mod caps;
mod clipboard;
mod driver;
mod handshake;
mod held;
mod hub;
#[cfg(test)]
mod link_tests;
mod outbox;
mod pseudo;
mod resize;
mod state;
mod updates;
mod view;

use std::sync::Arc;
use std::time::Duration;

pub use caps::{Caps, CursorKind};
pub use handshake::{Authenticator, Denied, HandshakeFailed, Proved, Proving};
pub use hub::{ClientId, DesktopState, Hub, HubEvent, Membership};
pub use state::SessionError;
pub use view::{Seen, ViewSpec};

use crate::net::Transport;

/// What a client is let do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// It sees and does not touch.
    pub view_only: bool,
}

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

/// Settings of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The desktop's name as viewers show it.
    pub name: String,
    /// What clients see of the desktop.
    pub view: ViewSpec,
    /// Clients see and do not touch.
    pub view_only: bool,
    /// Updates a second at most; 0 for no bound.
    pub max_fps: u32,
    /// Bytes a second at most; none for no bound.
    pub max_rate: Option<u64>,
    /// Never send anything but exact pixels.
    pub lossless: bool,
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
    /// Clients at once; one more is refused.
    pub max_clients: usize,
    /// Version, choice of the security type and ClientInit must each have come after this long.
    pub greeting_limit: Duration,
    /// A login must be through after this long.
    pub login_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "farpane".into(),
            view: ViewSpec::All,
            view_only: false,
            max_fps: 60,
            max_rate: None,
            lossless: false,
            refresh_quiet: Duration::from_secs(1),
            clipboard_out: true,
            clipboard_in: true,
            clipboard_max_bytes: 1 << 20,
            shared: SharedPolicy::AsAsked,
            max_clients: 64,
            greeting_limit: Duration::from_secs(u64::from(farpane_rfb::limits::GREETING_S)),
            login_limit: Duration::from_secs(u64::from(farpane_rfb::limits::LOGIN_S)),
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
    let peer = transport.info().peer.clone();
    let listener = Arc::clone(&transport.info().listener_name);
    match handshake::run(transport, &hub, &settings, &*authenticator).await {
        Ok(entered) => {
            let handshake::Entered { transport, access, membership, early, told } = entered;
            let id = membership.id;
            tracing::info!(client = %id, %peer, %listener, view_only = access.view_only || settings.view_only, "client connected");
            match driver::run(transport, early, told, membership, Arc::clone(&hub), settings, access).await {
                Ok(()) => tracing::info!(client = %id, %peer, "client left"),
                Err(SessionError::Io(error)) => tracing::info!(client = %id, %peer, %error, "connection lost"),
                Err(SessionError::Closed(reason)) => tracing::info!(client = %id, %peer, reason, "client closed"),
                Err(error) => tracing::warn!(client = %id, %peer, %error, "client closed"),
            }
        }
        Err(HandshakeFailed::Left) => tracing::debug!(%peer, %listener, "peer left during the handshake"),
        Err(error) => tracing::warn!(%peer, %listener, %error, "handshake failed"),
    }
}
