//! The process that looks at the screens of graphics cards and makes input devices: what needs rights, and nothing else.
//!
//! Only who has CAP_SYS_ADMIN is handed the memory that a screen shows. So `farpane kms-helper` runs beside the server, as a service of its own. It
//! reads no byte of the network and not a pixel; it passes descriptors of what is shown to the users that it was told of, and takes short requests
//! from them: which screens to look at, and what is typed. A server that was taken over can look at screens and type, which it could before, and
//! nothing besides.
//!
//! Each client has a thread, which opens the cards for itself: handles that a card may have lent go when the client goes.

mod client;
mod listen;
mod messages;

pub use listen::{Allowed, KmsHelper, KmsHelperError};
pub use messages::{Ask, BufferNote, LayerNote, PointerNote, ScreenNote, Told, picture};

/// Where the helper listens unless told otherwise.
pub const SOCKET: &str = "/run/farpane-kms/socket";
