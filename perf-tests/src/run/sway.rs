//! A headless sway with Xwayland, for servers that share Wayland desktops.

use crate::process::Child;
use anyhow::Context;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const READY: Duration = Duration::from_secs(30);

/// What a program on the desktop needs in its environment.
pub type Env = Vec<(String, String)>;

/// Starts sway on the software renderer; returns it, the display of its Xwayland, and the environment of its clients.
///
/// # Errors
/// When sway or Xwayland does not come up.
pub fn start(folder: &Path, (w, h): (u32, u32), _more: &mut Vec<Child>) -> anyhow::Result<(Child, String, Env)> {
    let told = folder.join("xwayland-display");
    let config = format!(
        "output HEADLESS-1 resolution {w}x{h} position 0,0\ndefault_border none\nxwayland force\nexec sh -c 'echo $DISPLAY > {}'\n",
        told.display()
    );
    fs::write(folder.join("sway.conf"), config)?;
    let mut argv: Vec<String> = Vec::new();
    if rustix::process::geteuid().is_root() {
        // sway does not run where it could become root again
        argv.extend(["unshare", "-U", "--map-user=1000", "--map-group=1000"].map(str::to_owned));
    }
    argv.extend(["sway".to_owned(), "-c".to_owned(), folder.join("sway.conf").display().to_string()]);
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    let run = folder.display().to_string();
    let env = vec![
        pair("XDG_RUNTIME_DIR", &run),
        pair("HOME", &run),
        pair("WLR_BACKENDS", "headless"),
        pair("WLR_RENDERER", "pixman"),
        pair("WLR_HEADLESS_OUTPUTS", "1"),
        pair("WLR_LIBINPUT_NO_DEVICES", "1"),
    ];
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    let mut child = Child::start(&argv, &env, &folder.join("sway.log"))?;
    let mut display = String::new();
    child.until("Xwayland", READY, || {
        display = fs::read_to_string(&told).unwrap_or_default().trim().to_owned();
        !display.is_empty()
    })?;
    let end = Instant::now() + READY;
    let wayland = loop {
        let found = fs::read_dir(folder)?.flatten().find_map(|e| {
            let name = e.file_name().to_str()?.to_owned();
            (name.starts_with("wayland-") && !name.ends_with(".lock")).then_some(name)
        });
        match found {
            Some(name) => break name,
            None if Instant::now() > end => return Err(anyhow::anyhow!("sway has no socket: {}", child.tail(12))),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let display = Some(display).filter(|d| d.starts_with(':')).context("Xwayland names no display")?;
    Ok((child, display, vec![pair("XDG_RUNTIME_DIR", &run), pair("WAYLAND_DISPLAY", &wayland)]))
}
