//! Connections: listeners, and the byte streams that come from them.
//!
//! Nothing here knows RFB. A listener accepts, caps what strangers may cost and hands a [`Transport`] on.

mod address;
mod capped;
mod ears;
mod iface;
mod iface_name;
pub mod limits;
mod listener;
mod meter;
pub mod proxy;
mod rtnetlink;
mod secure;
mod serve;
#[cfg(test)]
mod serve_tests;
mod slots;
mod transport;
mod unix_peers;
mod websocket;

pub use address::{HostPort, ListenAddr, ListenAddrError};
pub use iface_name::{IfaceName, IfaceNameError};
pub use listener::{BindError, Bound, Incoming, Listener, ListenerSettings};
pub use meter::Meter;
pub use secure::{Secure, SecureError, SecureLayer};
pub use serve::{ConnectionHandler, Refusal, TurnedAway, serve};
pub use slots::{Eviction, Progress, Slot, SlotLimits, Slots};
pub use transport::{
    ByteStream, ConnInfo, Identity, ListenerId, ReadStream, Transport, TransportParts, TransportReader,
    TransportWriter, WriteStream,
};
pub use unix_peers::{UnixPeers, UnixPeersError};
pub use websocket::{WebSocketError, WsStream, accept as accept_websocket, origin_allowed};

/// TCP keeps at most about this much data that was written and not yet sent (`TCP_NOTSENT_LOWAT`); beyond it writes wait.
///
/// The send buffer itself is left to the kernel, which grows it to the link's bandwidth-delay product: setting
/// `SO_SNDBUF` would switch that off and cap the rate of long fast links. What must stay small for pacing is only the
/// part that waits behind the link, and this bounds exactly that.
pub const NOT_SENT_LIMIT_BYTES: u32 = 128 * 1024;
