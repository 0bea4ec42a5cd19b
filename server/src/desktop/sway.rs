//! The Wayland compositor of a desktop: sway without a screen and without a GPU.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use super::child::{Child, command, how};
use super::parts::{SWAY_CONFIG, SWAY_CONTROL, SWAY_SOCKETS};
use super::screen::Screen;
use super::{DesktopError, Place, Wish};

/// How long it may take to come up.
const READY: Duration = Duration::from_secs(20);

/// One output of this size, and windows that fill it.
fn config(wish: &Wish) -> String {
    let (w, h) = (wish.size.w, wish.size.h);
    format!("output HEADLESS-1 resolution {w}x{h} position 0,0\ndefault_border none\nxwayland disable\n")
}

/// The socket that a compositor has made in its folder.
fn socket(folder: &Path) -> Option<String> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.find(|name| name.starts_with("wayland-") && !name.ends_with(".lock"))
}

/// Starts it with its sockets in a folder of the desktop's own.
pub(super) async fn start(wish: &Wish, place: &Place, log: &File) -> Result<Screen, DesktopError> {
    let file = place.write(SWAY_CONFIG, config(wish).as_bytes())?;
    let (folder, control) = (place.folder(SWAY_SOCKETS)?, place.path(SWAY_CONTROL));
    let mut sway = command("sway", log).map_err(DesktopError::io("sway"))?;
    // noscanout: sway 1.7 takes one output's scanned-out window for another's
    sway.args(["-D", "noscanout", "-c"]).arg(file);
    for other in ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"] {
        sway.env_remove(other);
    }
    let settings = [
        ("WLR_BACKENDS", "headless"),
        ("WLR_RENDERER", "pixman"),
        ("WLR_HEADLESS_OUTPUTS", "1"),
        ("WLR_LIBINPUT_NO_DEVICES", "1"),
    ];
    sway.envs(settings).env("XDG_RUNTIME_DIR", &folder).env("SWAYSOCK", &control);
    let mut child = Child::start(&mut sway).map_err(DesktopError::io("sway"))?;
    let end = Instant::now() + READY;
    let how = loop {
        if let (Some(socket), true) = (socket(&folder), control.exists()) {
            let path = folder.join(&socket);
            return Ok(Screen {
                child,
                name: "sway",
                env: vec![
                    ("WAYLAND_DISPLAY", path.display().to_string()),
                    ("SWAYSOCK", control.display().to_string()),
                    ("XDG_SESSION_TYPE", "wayland".into()),
                    ("XDG_CURRENT_DESKTOP", "sway".into()),
                ],
                source: "wlroots".into(),
                socket: path,
                display: socket,
                port: 0,
            });
        }
        if let Ok(Some(status)) = child.process.try_wait() {
            break how(status);
        }
        if Instant::now() > end {
            break format!("was not up within {READY:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    child.end(Duration::from_secs(1)).await;
    Err(DesktopError::Ended { what: "sway".into(), how, log: wish.log.clone() })
}
