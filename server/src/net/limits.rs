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
/// For the version and the security type.
pub const VERSION_AND_TYPE: Duration = Duration::from_secs(5);
/// For the key exchange of an encrypted security type.
pub const KEY_EXCHANGE: Duration = Duration::from_secs(10);
/// For the whole login, from the first byte to the verdict.
pub const LOGIN: Duration = Duration::from_secs(120);
/// Bytes that are read before the verdict.
pub const BYTES_BEFORE_AUTH: usize = 64 * 1024;
