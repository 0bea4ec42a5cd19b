//! Another canvas on wish of a client, by RandR.
//!
//! Only a server with one output takes any size: Xvfb and other virtual ones. There the mode is made when it lacks it, and
//! several wished screens become RandR monitors. A desktop with real monitors keeps what its owner set.

use x11rb::connection::Connection;
use x11rb::errors::{ReplyError, ReplyOrIdError};
use x11rb::protocol::randr::{
    ConnectionExt as _, GetOutputInfoReply, GetScreenResourcesCurrentReply, ModeFlag, ModeInfo, MonitorInfo, Rotation,
    SetConfig,
};
use x11rb::protocol::xproto::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

use super::monitors::OURS;
use crate::backend::wish::check;
use crate::backend::{Layout, LayoutOutput, OutputId, ResizeAnswer};
use farpane_engine::geometry::Size;

/// Does what a client wishes, as far as this server can.
pub fn apply(conn: &RustConnection, root: u32, wish: &Layout) -> ResizeAnswer {
    if let Err(answer) = check(wish) {
        return answer;
    }
    let grabbed = conn.grab_server().is_ok();
    let answer = canvas(conn, root, wish).and_then(|answer| match answer {
        ResizeAnswer::Done => monitors(conn, root, wish).map(|()| ResizeAnswer::Done),
        other => Ok(other),
    });
    if grabbed {
        let _ = conn.ungrab_server();
        let _ = conn.flush();
    }
    answer.unwrap_or_else(|error| {
        tracing::debug!(%error, "the X server does not take another size");
        ResizeAnswer::OutOfResources
    })
}

/// Gives the desktop of the display that the environment names a size.
///
/// # Errors
/// When there is none, or it does not take the size.
pub fn set_size(size: Size) -> Result<(), String> {
    let (conn, screen) = x11rb::connect(None).map_err(|error| error.to_string())?;
    let root = conn.setup().roots.get(screen).ok_or("no screen")?.root;
    let one = LayoutOutput { id: OutputId(0), name: String::new(), rect: size.rect() };
    match apply(&conn, root, &Layout { size, outputs: vec![one] }) {
        ResizeAnswer::Done => Ok(()),
        other => Err(format!("the X server does not take {}x{}: {other:?}", size.w, size.h)),
    }
}

fn canvas(conn: &RustConnection, root: u32, wish: &Layout) -> Result<ResizeAnswer, ReplyOrIdError> {
    let (w, h) = (wish.size.w, wish.size.h);
    let now = conn.get_geometry(root)?.reply()?;
    if (now.width, now.height) == (w, h) {
        return Ok(ResizeAnswer::Done);
    }
    let resources = conn.randr_get_screen_resources_current(root)?.reply()?;
    let mut lit = Vec::new();
    for crtc in &resources.crtcs {
        let info = conn.randr_get_crtc_info(*crtc, resources.config_timestamp)?.reply()?;
        if info.mode != 0 {
            lit.push((*crtc, info.outputs));
        }
    }
    let [(crtc, outputs)] = lit.as_slice() else { return Ok(ResizeAnswer::Prohibited) };
    let Some(output) = outputs.first().copied() else { return Ok(ResizeAnswer::Prohibited) };
    let range = conn.randr_get_screen_size_range(root)?.reply()?;
    if w > range.max_width || h > range.max_height {
        return Ok(ResizeAnswer::OutOfResources);
    }
    if w < range.min_width || h < range.min_height {
        return Ok(ResizeAnswer::InvalidLayout);
    }
    let output_info = conn.randr_get_output_info(output, resources.config_timestamp)?.reply()?;
    let mode = mode(conn, root, &resources, (output, &output_info), (w, h))?;
    let mm = |px: u16| u32::from(px) * 254 / 960;
    let time = x11rb::CURRENT_TIME;
    let config = resources.config_timestamp;
    let rotation = Rotation::ROTATE0;
    // the canvas must always hold the lit part: grow first, shrink last
    let (wide, high) = (w.max(now.width), h.max(now.height));
    let set = |w, h| conn.randr_set_screen_size(root, w, h, mm(w), mm(h));
    let grown = (wide, high) != (now.width, now.height);
    if grown && set(wide, high)?.check().is_err() {
        // some servers take only sizes of modes: set the mode alone
        tracing::debug!("the X server sets its canvas by mode");
    }
    let status = conn.randr_set_crtc_config(*crtc, time, config, 0, 0, mode, rotation, &[output])?.reply()?.status;
    if status != SetConfig::SUCCESS {
        let _ = set(now.width, now.height)?.check();
        return Ok(ResizeAnswer::Prohibited);
    }
    let after = conn.get_geometry(root)?.reply()?;
    if (after.width, after.height) != (w, h) {
        let _ = set(w, h)?.check();
    }
    let after = conn.get_geometry(root)?.reply()?;
    Ok(if (after.width, after.height) == (w, h) { ResizeAnswer::Done } else { ResizeAnswer::OutOfResources })
}

/// A mode of that size that an output has, or has now.
pub(super) fn mode(
    conn: &RustConnection,
    root: u32,
    resources: &GetScreenResourcesCurrentReply,
    (output, info): (u32, &GetOutputInfoReply),
    (w, h): (u16, u16),
) -> Result<u32, ReplyError> {
    let fits = |m: &&ModeInfo| (m.width, m.height) == (w, h);
    if let Some(listed) = resources.modes.iter().filter(fits).find(|m| info.modes.contains(&m.id)) {
        return Ok(listed.id);
    }
    let mode = match resources.modes.iter().find(fits) {
        Some(mode) => mode.id,
        None => make_mode(conn, root, w, h)?,
    };
    conn.randr_add_output_mode(output, mode)?.check()?;
    Ok(mode)
}

/// What the names of modes end with that are made here.
pub(super) const MADE: &str = "_farpane";

fn make_mode(conn: &RustConnection, root: u32, w: u16, h: u16) -> Result<u32, ReplyError> {
    let name = format!("{w}x{h}{MADE}");
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    let (htotal, vtotal) = (w.saturating_add(160), h.saturating_add(30));
    let info = ModeInfo {
        id: 0,
        width: w,
        height: h,
        dot_clock: u32::from(htotal).saturating_mul(u32::from(vtotal)).saturating_mul(60),
        hsync_start: w.saturating_add(48),
        hsync_end: w.saturating_add(80),
        htotal,
        hskew: 0,
        vsync_start: h.saturating_add(3),
        vsync_end: h.saturating_add(8),
        vtotal,
        name_len: length,
        mode_flags: ModeFlag::from(0u32),
    };
    Ok(conn.randr_create_mode(root, info, name.as_bytes())?.reply()?.mode)
}

/// Makes the wished screens monitors; a single one that fills the canvas needs none.
fn monitors(conn: &RustConnection, root: u32, wish: &Layout) -> Result<(), ReplyOrIdError> {
    let current = conn.randr_get_monitors(root, true)?.reply()?.monitors;
    let whole = wish.outputs.len() == 1 && wish.outputs.iter().all(|o| o.rect == wish.size.rect());
    let mut stale = Vec::new();
    for m in &current {
        let name = conn.get_atom_name(m.name)?.reply()?.name;
        if !m.automatic || name.starts_with(OURS.as_bytes()) {
            stale.push(m.name);
        }
    }
    for name in stale {
        conn.randr_delete_monitor(root, name)?.check()?;
    }
    if whole {
        return Ok(());
    }
    let resources = conn.randr_get_screen_resources_current(root)?.reply()?;
    let output = resources.outputs.first().copied();
    for (i, o) in wish.outputs.iter().enumerate() {
        // ids that are known keep their names, so that they stay the same screens
        let name = if o.name.is_empty() { format!("{OURS}{}", o.id.0) } else { o.name.clone() };
        let atom = conn.intern_atom(false, name.as_bytes())?.reply()?.atom;
        let info = MonitorInfo {
            name: atom,
            primary: i == 0,
            automatic: false,
            x: i16::try_from(o.rect.x).unwrap_or(i16::MAX),
            y: i16::try_from(o.rect.y).unwrap_or(i16::MAX),
            width: o.rect.w,
            height: o.rect.h,
            width_in_millimeters: u32::from(o.rect.w) * 254 / 960,
            height_in_millimeters: u32::from(o.rect.h) * 254 / 960,
            // the real output goes to the first, or the server would keep a monitor of its own for it
            outputs: output.filter(|_| i == 0).into_iter().collect(),
        };
        conn.randr_set_monitor(root, info)?.check()?;
    }
    Ok(())
}
