//! The door of one connection: its login is proved, and it is let in or not.

use bytes::BytesMut;
use tokio::io::AsyncReadExt;

use super::super::log::EndKind;
use super::super::roster::Described;
use super::super::{Denied, HandshakeFailed, Hub, Settings};
use crate::net::Transport;
use crate::policy::Permission;

/// Bytes that a client may send ahead while it waits; the rest stays in its socket.
const AHEAD: usize = 4096;

/// Lets a client in, perhaps after the person at the desktop was asked, and once the desktop is there. `disconnects` others would have to
/// go; then it is always asked. Bytes that the client sends meanwhile go into `input`.
///
/// # Errors
/// When the client leaves while it waits.
pub(in super::super) async fn let_in(
    hub: &Hub,
    settings: &Settings,
    transport: &mut Transport,
    input: &mut BytesMut,
    who: &Described,
    disconnects: usize,
) -> Result<Result<(), Denied>, HandshakeFailed> {
    if !who.permissions().has(Permission::View) {
        if let Some(log) = hub.log() {
            log.denied(who, Permission::View);
        }
        return Ok(Err(Denied::now(EndKind::NoPermission, "You are not permitted to see this desktop")));
    }
    if !settings.gate.ask && disconnects == 0 {
        return awake(hub, settings, transport, input).await;
    }
    // it has proved itself: it holds no place among strangers while it waits
    transport.authenticated();
    let verdict = tokio::select! {
        verdict = hub.ask_about(who, disconnects, &settings.gate) => verdict,
        left = leaves(transport, input) => return Err(left),
    };
    if !verdict.lets_in() {
        return Ok(Err(Denied::now(EndKind::Gate, verdict.reason())));
    }
    awake(hub, settings, transport, input).await
}

/// Waits for a desktop that is started on demand, by this client if by nobody before.
async fn awake(
    hub: &Hub,
    settings: &Settings,
    transport: &mut Transport,
    input: &mut BytesMut,
) -> Result<Result<(), Denied>, HandshakeFailed> {
    if !hub.sleeps() {
        return Ok(Ok(()));
    }
    transport.authenticated();
    let woken = tokio::select! {
        woken = hub.wake() => woken,
        left = leaves(transport, input) => return Err(left),
    };
    let there = woken.and_then(|()| match hub.shows(&settings.view) {
        true => Ok(()),
        false => Err(format!("monitor {} is not connected; try again later", settings.view)),
    });
    Ok(there.map_err(|why| Denied::now(EndKind::Full, why)))
}

/// Ends when the client does.
async fn leaves(transport: &mut Transport, input: &mut BytesMut) -> HandshakeFailed {
    while input.len() < AHEAD {
        match transport.read_buf(input).await {
            Ok(0) => return HandshakeFailed::Left,
            Ok(_) => {}
            Err(error) => return error.into(),
        }
    }
    std::future::pending().await
}
