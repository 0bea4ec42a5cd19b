//! An X server's keyboard as a table: its XKB map and state.

use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::xkb::{self, ConnectionExt as _, MapPart};
use x11rb::rust_connection::RustConnection;

use crate::input::keymap::{Group, Key, KeyType, Keymap};
use crate::input::typist::KeyboardState;

/// XKB's word for the keyboard that all others feed.
pub const CORE_KEYBOARD: u16 = 0x100;

/// Reads the whole map.
pub fn read_map(conn: &RustConnection) -> Result<Keymap, ReplyError> {
    let full = MapPart::KEY_TYPES | MapPart::KEY_SYMS | MapPart::MODIFIER_MAP;
    let none = xkb::VMod::from(0u16);
    let reply = conn
        .xkb_get_map(CORE_KEYBOARD, full, MapPart::from(0u16), 0, 0, 0, 0, 0, 0, 0, 0, none, 0, 0, 0, 0, 0, 0)?
        .reply()?;
    let types = reply.map.types_rtrn.unwrap_or_default().into_iter().map(|t| KeyType {
        mask: real(t.mods_mask),
        levels: t.map.iter().filter(|e| e.active).map(|e| (real(e.mods_mask), e.level)).collect(),
    });
    let mut map = Keymap { first: reply.first_key_sym, keys: Vec::new(), types: types.collect() };
    for key in reply.map.syms_rtrn.unwrap_or_default() {
        let count = usize::from(key.group_info & 0x0f).min(4);
        let width = usize::from(key.width).max(1);
        let rows = key.syms.chunks(width).zip(key.kt_index).take(count);
        let groups = rows.map(|(syms, t)| Group { key_type: usize::from(t), syms: syms.to_vec() }).collect();
        map.keys.push(Key { groups, clamps: key.group_info & 0xc0 == 0x40, modifiers: 0 });
    }
    for entry in reply.map.modmap_rtrn.unwrap_or_default() {
        let at = entry.keycode.checked_sub(map.first).map(usize::from);
        if let Some(key) = at.and_then(|i| map.keys.get_mut(i)) {
            key.modifiers = real(entry.mods);
        }
    }
    Ok(map)
}

/// Reads modifiers and group.
pub fn read_state(conn: &RustConnection) -> Result<KeyboardState, ReplyError> {
    let state = conn.xkb_get_state(CORE_KEYBOARD)?.reply()?;
    Ok(KeyboardState { mods: real(state.mods), group: u8::from(state.group) })
}

/// The lock keys as RFB's LED state has them: bit 0 scroll, 1 num, 2 caps.
pub fn read_leds(conn: &RustConnection) -> Result<u8, ReplyError> {
    let mut leds = 0;
    for (bit, name) in [(1, &b"Scroll Lock"[..]), (2, b"Num Lock"), (4, b"Caps Lock")] {
        use x11rb::protocol::xproto::ConnectionExt as _;
        let atom = conn.intern_atom(false, name)?.reply()?.atom;
        let led = conn.xkb_get_named_indicator(CORE_KEYBOARD, xkb::LedClass::DFLT_XI_CLASS, 0x400u16, atom)?.reply()?;
        if led.found && led.on {
            leds |= bit;
        }
    }
    Ok(leds)
}

/// Switches XKB on for this connection.
pub fn use_xkb(conn: &RustConnection) -> Result<bool, ReplyError> {
    use x11rb::connection::RequestConnection;
    if conn.extension_information(xkb::X11_EXTENSION_NAME)?.is_none() {
        return Ok(false);
    }
    Ok(conn.xkb_use_extension(1, 0)?.reply()?.supported)
}

fn real(mods: x11rb::protocol::xproto::ModMask) -> u8 {
    (u16::from(mods) & 0xff) as u8
}

/// Whether the server has what input needs.
pub fn has_xtest(conn: &RustConnection) -> bool {
    use x11rb::connection::RequestConnection;
    conn.extension_information(x11rb::protocol::xtest::X11_EXTENSION_NAME).ok().flatten().is_some()
        && !conn.setup().roots.is_empty()
}
