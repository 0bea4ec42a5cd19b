//! Every cap of the channel in one table: no buffer grows beyond what stands here, whatever a peer claims.

use std::time::Duration;

/// The one version of the channel's own protocol.
pub const VERSION: u8 = 1;
/// Bytes of a public key.
pub const KEY: usize = 32;
/// Bytes of an AES-GCM tag.
pub const TAG: usize = 16;
/// Bytes of a record's length field.
pub const RECORD_HEAD: usize = 2;
/// The shortest record: a kind and a tag.
pub const RECORD_MIN: usize = TAG + 1;
/// The longest record that the length field can say.
pub const RECORD_MAX: usize = 65_535;
/// The longest record that a server takes unless it announces another: 16 KiB of data, a kind and a tag.
pub const SERVER_RECORD_MAX: u16 = 16_401;
/// The least that an end may announce as its longest record: 4 KiB of data, a kind and a tag.
pub const ANNOUNCED_RECORD_MIN: u16 = 4_113;
/// The first message: an ephemeral key and nothing else.
pub const MESSAGE_1: usize = KEY;
/// The largest ServerHello, what later versions may append included.
pub const SERVER_HELLO: usize = 256;
/// The largest ClientHello, what later versions may append included.
pub const CLIENT_HELLO: usize = 2_816;
/// Bytes of the user hint.
pub const USER_HINT: usize = 255;
/// Bytes of the first authentication message, which travels inside ClientHello.
pub const FIRST_AUTH: usize = 2_048;
/// Bytes of an authentication message in a record of its own.
pub const AUTH_MESSAGE: usize = 16_384;
/// Security types in the list of a server.
pub const SECURITY_TYPES: usize = 255;
/// From the choice of this security type to the first message.
pub const KEY_EXCHANGE: Duration = Duration::from_secs(10);
/// From the choice of this security type to the third message: a person may be comparing the catchphrase meanwhile.
pub const LOGIN: Duration = Duration::from_secs(120);
/// Bytes of records that are read before the authentication has ended.
pub const BEFORE_AUTH: usize = 65_536;
/// Records of fewer data bytes than this are small.
pub const SMALL_RECORD: usize = 64;
/// Small records that a peer may send in a second.
pub const SMALL_RECORDS_PER_SECOND: u32 = 20_000;
/// Records of one direction under one key.
pub const REKEY_EVERY: u64 = 65_536;
/// Bytes of a file of pins.
pub const PINS_TEXT: usize = 1 << 22;
/// Entries of a file of pins.
pub const PINS: usize = 8_192;
/// Bytes of a name in a file of pins.
pub const PIN_NAME: usize = 255;
