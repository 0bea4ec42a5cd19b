//! What a caller may cost before it has logged in, in one table. All times are wall clock: a byte a second extends none of them.

use std::time::Duration;

/// Connections at once that have not logged in.
pub const UNAUTHENTICATED: usize = 10;
/// Of one network (an IPv4 address or an IPv6 /64) at once.
pub const PER_NETWORK: usize = 3;
/// Of all, kept for callers that are known.
pub const RESERVED: usize = 2;
/// For the header of a listed proxy.
pub const PROXY_HEADER: Duration = Duration::from_secs(5);
/// Headers of listed proxies that are read at once.
pub const PROXY_HEADERS: usize = 256;
/// For what a viewer says by itself in the clear: its version and the choice of a security type, a WebSocket request, ClientInit.
pub const GREETING: Duration = Duration::from_secs(5);
/// For what a viewer says by itself in a key exchange: all but where a person may be comparing the server's key or a card may be
/// asking for its PIN, which [`LOGIN`] bounds.
pub const KEY_EXCHANGE: Duration = Duration::from_secs(10);
/// For the whole login, from the choice of a security type to the verdict: a person may be asked for something.
pub const LOGIN: Duration = Duration::from_secs(120);
/// Bytes that are read off the socket before the verdict.
pub const BYTES_BEFORE_AUTH: usize = 64 * 1024;
