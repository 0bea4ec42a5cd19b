//! Text that was copied, on its way from or to a client.

pub mod exchange;
pub mod incoming;
pub mod outgoing;
pub mod pipe;
pub mod text;
pub mod types;

use std::sync::Arc;

/// The desktop's clipboard. Texts that were copied on the desktop arrive as backend events.
pub trait Clipboard: Send + Sync {
    /// A client copied this text (UTF-8, line ends LF): the desktop may paste it from now on. Does not wait. The
    /// same text coming back from the desktop because of this call is not reported as an event.
    fn offer(&self, text: Arc<str>);
}

/// How the desktop's clipboard is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipboardOptions {
    /// The largest text that is carried, in bytes.
    pub cap_bytes: usize,
    /// PRIMARY (what is selected with the mouse) is shared as well as CLIPBOARD, where there is one.
    pub primary: bool,
}

impl Default for ClipboardOptions {
    fn default() -> Self {
        Self { cap_bytes: 1 << 20, primary: false }
    }
}
