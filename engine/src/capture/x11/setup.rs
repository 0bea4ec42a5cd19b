//! What a server can do, asked once.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::xproto::{self, ChangeWindowAttributesAux, CreateWindowAux, EventMask, ImageOrder, WindowClass};
use x11rb::protocol::{damage, randr, shm, xfixes};
use x11rb::rust_connection::RustConnection;

use super::framebuffer::Framebuffer;
use super::shared::{Shared, State};
use super::{X11Error, monitors};
use crate::pixel::Fourcc;

pub(super) fn setup(c: RustConnection, screen: usize, framebuffer: Option<OwnedFd>) -> Result<Shared, X11Error> {
    let screens = c.setup().roots.len();
    let Some(roots) = c.setup().roots.get(screen) else { return Err(X11Error::Screen { screen, screens }) };
    let (root, depth) = (roots.root, roots.root_depth);
    let fourcc = fourcc(&c, roots)?;

    let has = |name: &'static str| c.extension_information(name).map(|e| e.is_some());
    if !has(damage::X11_EXTENSION_NAME)? {
        return Err(X11Error::Extension("DAMAGE"));
    }
    if !has(xfixes::X11_EXTENSION_NAME)? {
        return Err(X11Error::Extension("XFIXES"));
    }
    damage::query_version(&c, 1, 1)?.reply()?;
    xfixes::query_version(&c, 5, 0)?.reply()?;
    let randr = has(randr::X11_EXTENSION_NAME)? && {
        let version = randr::query_version(&c, 1, 5)?.reply()?;
        (version.major_version, version.minor_version) >= (1, 5)
    };
    let local =
        rustix::net::sockopt::socket_domain(c.stream().as_fd()).is_ok_and(|d| d == rustix::net::AddressFamily::UNIX);
    let shm = local && has(shm::X11_EXTENSION_NAME)? && {
        let version = shm::query_version(&c)?.reply()?;
        (version.major_version, version.minor_version) >= (1, 2)
    };

    let region = c.generate_id()?;
    xfixes::create_region(&c, region, &[])?.check()?;
    let events = ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY);
    xproto::change_window_attributes(&c, root, &events)?.check()?;
    if randr {
        use randr::NotifyMask as M;
        randr::select_input(&c, root, M::SCREEN_CHANGE | M::CRTC_CHANGE | M::OUTPUT_CHANGE)?.check()?;
    }
    // A message to a window of our own is what wakes the reader thread when the display is closed.
    let wake = c.generate_id()?;
    let plain = CreateWindowAux::new();
    xproto::create_window(&c, 0, wake, root, -1, -1, 1, 1, 0, WindowClass::INPUT_ONLY, 0, &plain)?.check()?;

    let (size, monitors) = monitors::query(&c, root, randr)?;
    let framebuffer = framebuffer.map(|fd| Framebuffer::new(fd, depth)).transpose()?;
    if framebuffer.as_ref().is_some_and(|f| !f.holds(size)) {
        return Err(X11Error::Framebuffer(format!("smaller than the screen's {size}")));
    }
    Ok(Shared {
        connection: Arc::new(c),
        root,
        region,
        wake,
        fourcc,
        randr,
        framebuffer,
        shm: AtomicBool::new(shm),
        fetched: AtomicU64::new(0),
        dirty: AtomicBool::new(false),
        closing: AtomicBool::new(false),
        lost: std::sync::Mutex::new(None),
        cursor: std::sync::Mutex::new(None),
        state: std::sync::Mutex::new(State { size, monitors, outputs: Vec::new(), watching: 0, damage: None }),
    })
}

/// The format of the root window's pixels.
fn fourcc(c: &RustConnection, screen: &xproto::Screen) -> Result<Fourcc, X11Error> {
    let depth = screen.root_depth;
    let setup = c.setup();
    let bits = setup.pixmap_formats.iter().find(|f| f.depth == depth).map_or(0, |f| f.bits_per_pixel);
    if !matches!(depth, 24 | 30 | 32) || bits != 32 {
        return Err(X11Error::Pixels(format!(
            "the screen has depth {depth} with {bits} bits per pixel (expected depth 24, 30 or 32 with 32 bits); start the X server with depth 24"
        )));
    }
    if setup.image_byte_order != ImageOrder::LSB_FIRST {
        return Err(X11Error::Pixels("the X server has its pixels big-endian (expected little-endian)".to_owned()));
    }
    let visuals = screen.allowed_depths.iter().flat_map(|d| &d.visuals);
    let masks = visuals
        .into_iter()
        .find(|v| v.visual_id == screen.root_visual)
        .map(|v| (v.red_mask, v.green_mask, v.blue_mask));
    match masks {
        Some((0xff_0000, 0xff00, 0xff)) => Ok(Fourcc::XRGB8888),
        Some((0xff, 0xff00, 0xff_0000)) => Ok(Fourcc::XBGR8888),
        Some((0x3ff0_0000, 0xf_fc00, 0x3ff)) => Ok(Fourcc::XRGB2101010),
        Some((0x3ff, 0xf_fc00, 0x3ff0_0000)) => Ok(Fourcc::XBGR2101010),
        Some((r, g, b)) => Err(X11Error::Pixels(format!(
            "colour masks {r:#x}, {g:#x}, {b:#x} (expected 8 or 10 bits each, green in the middle)"
        ))),
        None => Err(X11Error::Pixels("the screen's visual is not among those it lists".to_owned())),
    }
}
