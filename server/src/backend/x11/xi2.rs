//! The two requests of the X Input extension that tell of pointer motion by others, without polling.
//!
//! SOURCE: X Input extension protocol 2.3: XIQueryVersion (47), XISelectEvents (46), RawMotion (17), Motion (6).

use std::io::IoSlice;

use x11rb::connection::RequestConnection;
use x11rb::errors::ReplyError;
use x11rb::protocol::xproto::GetInputFocusReply;
use x11rb::rust_connection::RustConnection;

const NAME: &str = "XInputExtension";
const ALL_MASTER_DEVICES: u16 = 1;
/// Raw motion comes from devices wherever the pointer is; plain motion also when a program moves it.
const MOTIONS: u32 = 1 << 17 | 1 << 6;
const GENERIC_EVENT: u8 = 35;

/// Announces version 2.0. Returns the extension's opcode, or none where the server lacks it.
pub fn init(conn: &RustConnection) -> Result<Option<u8>, ReplyError> {
    let Some(info) = conn.extension_information(NAME)? else { return Ok(None) };
    let mut request = vec![info.major_opcode, 47];
    for value in [2u16, 2, 0] {
        request.extend(value.to_ne_bytes());
    }
    // any reply of 32 bytes reads as this one; nothing in it is used
    let cookie = conn.send_request_with_reply::<GetInputFocusReply>(&[IoSlice::new(&request)], Vec::new())?;
    Ok(cookie.reply().ok().map(|_| info.major_opcode))
}

/// Asks to be told of every motion, or no more.
pub fn select(conn: &RustConnection, opcode: u8, root: u32, on: bool) -> Result<(), ReplyError> {
    let mut request = vec![opcode, 46];
    request.extend(5u16.to_ne_bytes());
    request.extend(root.to_ne_bytes());
    for value in [1u16, 0, ALL_MASTER_DEVICES, 1] {
        request.extend(value.to_ne_bytes());
    }
    request.extend((if on { MOTIONS } else { 0 }).to_ne_bytes());
    conn.send_request_without_reply(&[IoSlice::new(&request)], Vec::new())?;
    Ok(())
}

/// Whether an event that x11rb does not know is one of ours.
pub fn is_motion(event: &[u8], opcode: u8) -> bool {
    matches!(event, [kind, extension, ..] if kind & 0x7f == GENERIC_EVENT && *extension == opcode)
}
