//! A server under test on a screen of its own: started, found ready, ended.

use crate::definition::{Kind, Server};
use crate::process::{Child, Use, usage};
use anyhow::{Context, bail};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use x11rb::connection::Connection;
use x11rb::protocol::randr::{ConnectionExt as _, MonitorInfo};
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat};
use x11rb::rust_connection::RustConnection;

use crate::paint::Picture;

/// Programs that only the user can name.
#[derive(Clone, Debug)]
pub struct Programs {
    /// farpane's binary.
    pub farpane: PathBuf,
    /// TurboVNC's Xvnc.
    pub turbovnc: Option<PathBuf>,
}

impl Programs {
    /// The program of a server.
    ///
    /// # Errors
    /// When it is one that the user has to name and has not.
    pub fn of(&self, server: &Server) -> anyhow::Result<String> {
        match server.program.as_str() {
            "{farpane}" => Ok(self.farpane.display().to_string()),
            "{turbovnc}" => match &self.turbovnc {
                Some(path) => Ok(path.display().to_string()),
                None => bail!("not named: --turbovnc PATH-OF-ITS-XVNC"),
            },
            program => Ok(program.to_owned()),
        }
    }
}

/// A folder that goes when this is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("farpane-perf-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // a leftover in the temporary folder harms nobody
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server and its display.
#[derive(Debug)]
pub struct Host {
    server: Child,
    display_server: Option<Child>,
    more: Vec<Child>,
    /// Name of the X display.
    pub display: String,
    /// The server's port on loopback.
    pub port: u16,
    folder: Folder,
}

const READY: Duration = Duration::from_secs(30);

impl Host {
    /// Starts the screen and the server and waits until both answer.
    ///
    /// # Errors
    /// When one of them does not; the text holds its log's last lines.
    pub fn start(server: &Server, programs: &Programs, size: (u32, u32), cores: u32) -> anyhow::Result<Self> {
        let program = programs.of(server)?;
        let folder = Folder::new()?;
        let port = free_port()?;
        let mut more = Vec::new();
        let (number, display_server, display, env) = match server.kind {
            Kind::Scrape => {
                let (child, number) = xvfb(&folder.0, size)?;
                (number, Some(child), format!(":{number}"), Vec::new())
            }
            Kind::Wayland => {
                let (child, display, env) = super::sway::start(&folder.0, size, &mut more)?;
                (0, Some(child), display, env)
            }
            Kind::Screen => {
                let number = free_display()?;
                (number, None, format!(":{number}"), Vec::new())
            }
            Kind::Alone => (0, None, String::new(), Vec::new()),
        };
        let mut argv = Vec::new();
        if cores > 0 {
            let last = cores - 1;
            argv.extend(["taskset".to_owned(), "-c".to_owned(), format!("0-{last}")]);
        }
        argv.push(program);
        for arg in &server.args {
            let arg = arg
                .replace("{display}", &display)
                .replace("{number}", &number.to_string())
                .replace("{port}", &port.to_string())
                .replace("{w}", &size.0.to_string())
                .replace("{h}", &size.1.to_string())
                .replace("{dir}", &folder.0.display().to_string());
            argv.push(arg);
        }
        let mut env: Vec<(String, String)> = env;
        env.push(("HOME".into(), folder.0.display().to_string()));
        env.push(("XDG_CONFIG_HOME".into(), folder.0.display().to_string()));
        let mut child = Child::start(&argv, &env, &folder.0.join("server.log"))?;
        if server.kind == Kind::Screen {
            child.until("X display", READY, || RustConnection::connect(Some(&display)).is_ok())?;
        }
        child.until("answer on its port", READY, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(Self { server: child, display_server, more, display, port, folder })
    }

    /// The command line that started the server.
    pub fn command(&self) -> &str {
        &self.server.command
    }

    /// What the VNC server and, where it is another process, the display have used so far.
    pub fn used(&self) -> (Use, Use) {
        let display = self.display_server.as_ref().map_or(Use::default(), |d| usage(d.pid()));
        (usage(self.server.pid()), display)
    }

    /// The last lines of the server's log.
    pub fn tail(&self) -> String {
        self.server.tail(12)
    }

    /// Whether server and display still run.
    pub fn alive(&mut self) -> bool {
        let display = self.display_server.as_mut().is_none_or(Child::alive);
        display && self.server.alive() && self.more.iter_mut().all(Child::alive) && self.folder.0.exists()
    }

    /// What a window that covers the screen shows. (A rootless Xwayland has no picture of its root.)
    ///
    /// # Errors
    /// When the display does not answer.
    pub fn picture(&self, window: u32) -> anyhow::Result<Picture> {
        let (c, screen) = RustConnection::connect(Some(&self.display))?;
        let screen = &c.setup().roots[screen];
        let (w, h) = (screen.width_in_pixels, screen.height_in_pixels);
        let mut px = Vec::with_capacity(usize::from(w) * usize::from(h));
        for y in (0..h).step_by(256) {
            let rows = 256.min(h - y);
            let image = c.get_image(ImageFormat::Z_PIXMAP, window, 0, y as i16, w, rows, !0)?.reply()?;
            px.extend(image.data.chunks_exact(4).map(|p| u32::from_le_bytes([p[0], p[1], p[2], 0])));
        }
        Ok(Picture { w: w.into(), h: h.into(), px })
    }
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A display number that nobody uses.
fn free_display() -> anyhow::Result<u32> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = 400 + std::process::id() % 4000;
    (first..first + 500)
        .map(|n| n + NEXT.fetch_add(1, Ordering::SeqCst))
        .find(|n| {
            !Path::new(&format!("/tmp/.X11-unix/X{n}")).exists() && !Path::new(&format!("/tmp/.X{n}-lock")).exists()
        })
        .context("no free X display number")
}

/// Monitors of 16 to 9, side by side, that a screen of this size is.
fn monitors(w: u32, h: u32) -> u32 {
    ((w * 9 + h * 8) / (h * 16)).max(1)
}

/// A private Xvfb; a very wide screen is several monitors side by side.
fn xvfb(folder: &Path, (w, h): (u32, u32)) -> anyhow::Result<(Child, u32)> {
    let screen = format!("{w}x{h}x24");
    let mut attempt = 0;
    let (child, number) = loop {
        attempt += 1;
        let number = free_display()?;
        let display = format!(":{number}");
        let argv =
            ["Xvfb", &display, "-screen", "0", &screen, "-nolisten", "tcp", "-ac", "-noreset"].map(str::to_owned);
        let mut child = Child::start(&argv, &[], &folder.join("xvfb.log"))?;
        // another program may have taken the number meanwhile
        match child.until("X display", READY / 2, || RustConnection::connect(Some(&display)).is_ok()) {
            Ok(()) => break (child, number),
            Err(e) if attempt == 3 => return Err(e),
            Err(_) => {}
        }
    };
    let count = monitors(w, h);
    if count > 1 {
        let (c, at) = RustConnection::connect(Some(&format!(":{number}")))?;
        let root = c.setup().roots[at].root;
        for i in 0..count {
            let name = c.intern_atom(false, format!("monitor{i}").as_bytes())?.reply()?.atom;
            let outputs = if i == 0 { c.randr_get_screen_resources(root)?.reply()?.outputs } else { Vec::new() };
            let (left, right) = (w * i / count, w * (i + 1) / count);
            let monitor = MonitorInfo {
                name,
                primary: i == 0,
                automatic: false,
                x: left as i16,
                y: 0,
                width: (right - left) as u16,
                height: h as u16,
                width_in_millimeters: 600,
                height_in_millimeters: 340,
                outputs,
            };
            c.randr_set_monitor(root, monitor)?.check()?;
        }
    }
    Ok((child, number))
}
