//! Input from clients: keys and the pointer, on their way to the desktop.

#[cfg(any(feature = "portal", feature = "kms"))]
pub mod keyboard;
pub mod keymap;
pub mod layout;
pub mod locks;
#[cfg(any(feature = "x11", feature = "wayland"))]
pub mod queue;
pub mod record;
pub mod scancode;
pub mod typist;
pub mod xkb;

/// A key event of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInput {
    /// Pressed or released.
    pub down: bool,
    /// X11 keysym; 0 when the client sent none.
    pub keysym: u32,
    /// The key's XT set 1 scan code (`0xe0` prefix as bit 7, as QEMU sends it), when the client sent one.
    pub scancode: Option<u32>,
}

/// A pointer event of a client, in pixels of the desktop's canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PointerInput {
    /// Column.
    pub x: u16,
    /// Row.
    pub y: u16,
    /// Buttons that are down: bit 0 left, 1 middle, 2 right, 3 wheel up, 4 wheel down, 5 wheel left, 6 wheel right, 7 back,
    /// 8 forward.
    pub buttons: u16,
}

/// Where input goes. Calls do not wait for the desktop and never fail: what cannot be delivered is logged once.
///
/// The caller tracks what each client holds down and releases it when the client goes.
pub trait InputSink: Send + Sync {
    /// A key goes down, up or repeats.
    fn key(&self, key: KeyInput);
    /// The pointer moved or its buttons changed.
    fn pointer(&self, pointer: PointerInput);
}
