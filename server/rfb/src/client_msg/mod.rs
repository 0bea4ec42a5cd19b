//! Messages from a client, after the handshake.
//!
//! [`ClientParser`] reads them, [`ClientMessage::write`] writes them. Bodies above their cap and messages of extensions that
//! are not served but whose size is known are passed over without being kept.

mod parse;
mod write;

use crate::encoding::Encoding;
use crate::ext::audio::AudioRequest;
use crate::ext::clipboard::ExtendedClipboard;
use crate::ext::desktop_size::Layout;
use crate::ext::fence::Fence;
use crate::pixel_format::PixelFormat;
use crate::wire::Area;

pub use parse::{ClientParser, ParseContext, Parsed};

/// Bits of a pointer event's buttons.
pub mod buttons {
    /// Left.
    pub const LEFT: u16 = 1;
    /// Middle.
    pub const MIDDLE: u16 = 1 << 1;
    /// Right.
    pub const RIGHT: u16 = 1 << 2;
    /// Wheel up.
    pub const WHEEL_UP: u16 = 1 << 3;
    /// Wheel down.
    pub const WHEEL_DOWN: u16 = 1 << 4;
    /// Wheel left.
    pub const WHEEL_LEFT: u16 = 1 << 5;
    /// Wheel right.
    pub const WHEEL_RIGHT: u16 = 1 << 6;
    /// Back.
    pub const BACK: u16 = 1 << 7;
    /// Forward; only with extended mouse buttons.
    pub const FORWARD: u16 = 1 << 8;
}

/// A message that is known by its size alone and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stranger {
    /// UltraVNC's file transfer (7).
    FileTransfer,
    /// UltraVNC's SetServerInput (9).
    SetServerInput,
    /// UltraVNC's SetSW (10).
    SetSingleWindow,
    /// UltraVNC's TextChat (11).
    TextChat,
    /// UltraVNC's KeepAlive (13).
    KeepAlive,
    /// UltraVNC's RequestSession (20).
    RequestSession,
    /// UltraVNC's SetSession (21).
    SetSession,
    /// Generic input devices (253).
    Gii,
}

/// Cut text whose body was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DroppedText {
    /// Bytes of the body.
    pub length: u32,
    /// Whether it was an extended clipboard message.
    pub extended: bool,
}

/// A message from a client.
#[derive(Clone, PartialEq, Eq)]
pub enum ClientMessage {
    /// 0: pixels in this format from the next update on. The format was validated.
    SetPixelFormat(PixelFormat),
    /// 2: what the client understands, best first; replaces the list before.
    SetEncodings {
        /// The first [`limits::ENCODINGS`](crate::limits::ENCODINGS), duplicates and unknown ones included.
        encodings: Vec<Encoding>,
        /// How many the client listed.
        listed: u16,
    },
    /// 3: an update is wanted.
    FramebufferUpdateRequest {
        /// Only what changed; otherwise everything in the area.
        incremental: bool,
        /// The area, unclipped.
        area: Area,
    },
    /// 4: a key.
    KeyEvent {
        /// Pressed (or repeated), not released.
        down: bool,
        /// X11 keysym.
        keysym: u32,
    },
    /// 5: the pointer.
    PointerEvent {
        /// Buttons that are down, see [`buttons`].
        buttons: u16,
        /// Column.
        x: u16,
        /// Row.
        y: u16,
    },
    /// 6: Latin-1 text was copied; see [`cut_text`](crate::cut_text).
    CutText(Vec<u8>),
    /// 6 with a negative length.
    ExtendedClipboard(ExtendedClipboard),
    /// 6 with a body above its cap; it is being passed over.
    CutTextDropped(DroppedText),
    /// 150: updates without requests, in this area, or no longer.
    EnableContinuousUpdates {
        /// On or off.
        on: bool,
        /// The area, unclipped.
        area: Area,
    },
    /// 248: a fence or the answer to one.
    Fence(Fence),
    /// 250: shut down (2), reboot (3) or reset (4).
    Xvp {
        /// Version, 1.
        version: u8,
        /// The operation.
        code: u8,
    },
    /// 251: another layout is wanted; not validated, for the answer tells what is wrong.
    SetDesktopSize(Layout),
    /// UltraVNC's SetScale (8), PalmVNC's SetScaleFactor (15): the picture this many times smaller; 1 is as large as it is.
    SetScale(u8),
    /// 255, 0: a key with its scan code.
    QemuKey {
        /// Pressed (or repeated), not released.
        down: bool,
        /// X11 keysym.
        keysym: u32,
        /// Scan code as sent; see [`XtCode`](crate::ext::qemu_key::XtCode).
        keycode: u32,
    },
    /// 255, 1: about sound.
    QemuAudio(AudioRequest),
    /// A message of an extension that is not served; its body is passed over.
    Ignored(Stranger),
}

impl ClientMessage {
    /// The message's name in the protocol's words, for logs and counters.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SetPixelFormat(_) => "SetPixelFormat",
            Self::SetEncodings { .. } => "SetEncodings",
            Self::FramebufferUpdateRequest { .. } => "FramebufferUpdateRequest",
            Self::KeyEvent { .. } => "KeyEvent",
            Self::PointerEvent { .. } => "PointerEvent",
            Self::CutText(_) | Self::CutTextDropped(_) | Self::ExtendedClipboard(_) => "ClientCutText",
            Self::EnableContinuousUpdates { .. } => "EnableContinuousUpdates",
            Self::Fence(_) => "ClientFence",
            Self::Xvp { .. } => "xvp",
            Self::SetDesktopSize(_) => "SetDesktopSize",
            Self::SetScale(_) => "SetScale",
            Self::QemuKey { .. } => "QemuKey",
            Self::QemuAudio(_) => "QemuAudio",
            Self::Ignored(_) => "ignored",
        }
    }
}

/// Without what was typed or copied: both may be passwords.
impl std::fmt::Debug for ClientMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SetPixelFormat(format) => write!(f, "SetPixelFormat({format})"),
            Self::SetEncodings { encodings, listed } => write!(f, "SetEncodings({listed} listed, {encodings:?})"),
            Self::FramebufferUpdateRequest { incremental, area } => {
                write!(f, "FramebufferUpdateRequest(incremental {incremental}, {area:?})")
            }
            Self::KeyEvent { down, .. } => write!(f, "KeyEvent(down {down})"),
            Self::PointerEvent { buttons, x, y } => write!(f, "PointerEvent({buttons:#x} at {x},{y})"),
            Self::CutText(bytes) => write!(f, "CutText({} bytes)", bytes.len()),
            Self::ExtendedClipboard(message) => write!(f, "{message:?}"),
            Self::CutTextDropped(dropped) => write!(f, "{dropped:?}"),
            Self::EnableContinuousUpdates { on, area } => write!(f, "EnableContinuousUpdates({on}, {area:?})"),
            Self::Fence(fence) => write!(f, "{fence:?}"),
            Self::Xvp { version, code } => write!(f, "Xvp(version {version}, code {code})"),
            Self::SetDesktopSize(layout) => write!(f, "SetDesktopSize({layout:?})"),
            Self::SetScale(divisor) => write!(f, "SetScale({divisor})"),
            Self::QemuKey { down, .. } => write!(f, "QemuKey(down {down})"),
            Self::QemuAudio(request) => write!(f, "QemuAudio({request:?})"),
            Self::Ignored(stranger) => write!(f, "Ignored({stranger:?})"),
        }
    }
}

#[cfg(test)]
mod tests;
