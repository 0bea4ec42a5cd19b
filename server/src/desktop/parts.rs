//! Where the parts of a desktop are in its folder. A server on demand is told before there are any.

use std::path::{Path, PathBuf};

/// The variable that names a desktop's folder to a server that is to wait for its first login.
pub const ON_DEMAND: &str = "FARPANE_ON_DEMAND";

/// Where the server asks for the desktop.
pub(super) const DOOR: &str = "door";
/// All that goes with the display server.
pub(super) const SCREEN: &str = "screen";
/// Where the display server listens, whatever number it has: a link.
pub(super) const DISPLAY: &str = "screen/display";
/// The cookie.
pub(super) const AUTHORITY: &str = "screen/Xauthority";
/// Where Xvfb's picture lies.
pub(super) const PICTURES: &str = "screen/fb";
pub(super) const SWAY_CONFIG: &str = "screen/sway.conf";
pub(super) const SWAY_CONTROL: &str = "screen/sway.sock";
pub(super) const SWAY_SOCKETS: &str = "screen/wl";

/// What a server on demand needs of its desktop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Where it asks for the desktop.
    pub door: PathBuf,
    /// Where the display server listens then.
    pub display: PathBuf,
    /// An X server's authority file.
    pub authority: PathBuf,
    /// An Xvfb's picture.
    pub framebuffer: PathBuf,
}

impl Parts {
    /// Those of the desktop that has this folder.
    pub fn of(folder: &Path) -> Self {
        Self {
            door: folder.join(DOOR),
            display: folder.join(DISPLAY),
            authority: folder.join(AUTHORITY),
            framebuffer: folder.join(PICTURES).join("Xvfb_screen0"),
        }
    }
}
