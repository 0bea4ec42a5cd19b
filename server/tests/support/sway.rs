//! A private sway without a screen, and a client of it that paints.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::xvfb::skip;
use farpane_engine::geometry::Size;

/// The socket's name, as `WAYLAND_DISPLAY` has it: the first that sway takes.
pub const DISPLAY: &str = "wayland-1";

/// A running sway.
pub struct Sway {
    child: Child,
    /// Its folder, `XDG_RUNTIME_DIR` of its clients, removed at the end.
    pub dir: PathBuf,
    outputs: usize,
    /// Hands it the card, where it drives one.
    seat: Option<Child>,
}

impl Sway {
    /// Starts one with outputs `HEADLESS-1` and so on of these sizes (`1920x1080`), side by side.
    ///
    /// Returns none, having said so, when there is no sway on this machine; with FARPANE_REQUIRE_ALL=1 that is a failure.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(sizes: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("farpane-sway-{}-{count}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        private(&dir);
        let names: Vec<String> = (1..=sizes.len()).map(|i| format!("HEADLESS-{i}")).collect();
        configure(&dir, &names.iter().map(String::as_str).zip(sizes.iter().copied()).collect::<Vec<_>>());
        let child = match launch(&dir, sizes.len()) {
            Ok(child) => child,
            Err(error) => {
                skip(&format!("sway does not start: {error}"));
                return None;
            }
        };
        let mut sway = Self { child, dir, outputs: sizes.len(), seat: None };
        sway.wait();
        Some(sway)
    }

    /// Starts one on a graphics card's screens, of these connectors and sizes, side by side. It is user 65534, and a seat daemon of its own hands it the
    /// card: for machines of the test's own, where this is root and nobody else is at the card.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_on_card(card: &str, screens: &[(&str, &str)]) -> Self {
        let dir = std::env::temp_dir().join(format!("farpane-sway-card-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        private(&dir);
        std::os::unix::fs::chown(&dir, Some(65_534), Some(65_534)).expect("this is root");
        configure(&dir, screens);
        let mut seat = Command::new("seatd");
        let seat = seat.args(["-u", "nobody"]).env("SEATD_VTBOUND", "0").stdin(Stdio::null()).stderr(Stdio::null());
        let seat = seat.spawn().expect("seatd is installed");
        let end = Instant::now() + PATIENCE;
        while !Path::new("/run/seatd.sock").exists() {
            assert!(Instant::now() < end, "no seat");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=44", "--clear-groups", "sway"]);
        command.envs([("LIBSEAT_BACKEND", "seatd"), ("WLR_BACKENDS", "drm"), ("WLR_DRM_DEVICES", card)]);
        let child = run(command, &dir).expect("sway is installed");
        let mut sway = Self { child, dir, outputs: screens.len(), seat: Some(seat) };
        sway.wait();
        sway
    }

    /// Starts it again in the same place, after [`Sway::kill`].
    ///
    /// # Panics
    /// When it does not come up.
    pub fn again(&mut self) {
        self.child = launch(&self.dir, self.outputs).expect("sway started before");
        self.wait();
    }

    fn wait(&mut self) {
        let end = Instant::now() + PATIENCE;
        while !self.answers() {
            let ended = self.child.try_wait().expect("is a child");
            let log = || std::fs::read_to_string(self.dir.join("sway.log")).unwrap_or_default();
            assert!(ended.is_none(), "sway ended: {}\n{}", ended.expect("it did"), log());
            assert!(Instant::now() < end, "sway does not come up\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let there = self.dir.join("sway.sock").exists() && self.socket().exists();
        there && self.command("swaymsg").args(["-t", "get_outputs"]).output().is_ok_and(|o| o.status.success())
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.dir.join(DISPLAY)
    }

    /// What its clients have in their environment.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        let path = |p: &Path| p.to_str().expect("a plain path").to_owned();
        [
            ("WAYLAND_DISPLAY", DISPLAY.to_owned()),
            ("XDG_RUNTIME_DIR", path(&self.dir)),
            ("SWAYSOCK", path(&self.dir.join("sway.sock"))),
        ]
    }

    /// A program of this desktop.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.environment()).env_remove("DISPLAY").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command
    }

    /// Has sway do something.
    ///
    /// # Panics
    /// When it refuses.
    pub fn tell(&self, words: &str) {
        let done = self.command("swaymsg").args(["--", words]).output().expect("swaymsg comes with sway");
        assert!(done.status.success(), "swaymsg {words}: {}", String::from_utf8_lossy(&done.stdout));
    }

    /// What an output shows, as grim sees it: rows of `0x00RRGGBB`. None when there is no grim.
    ///
    /// # Panics
    /// When grim fails or writes no picture.
    pub fn grim(&self, output: &str) -> Option<(Size, Vec<u32>)> {
        let shot = match self.command("grim").args(["-t", "ppm", "-o", output, "-"]).output() {
            Ok(shot) => shot,
            Err(error) => {
                skip(&format!("grim: {error}"));
                return None;
            }
        };
        assert!(shot.status.success(), "grim: {}", String::from_utf8_lossy(&shot.stderr));
        let mut rest = shot.stdout.as_slice();
        let mut word = || {
            let at = rest.iter().position(u8::is_ascii_whitespace).expect("a header");
            let (word, tail) = rest.split_at(at);
            rest = &tail[1..];
            String::from_utf8_lossy(word).into_owned()
        };
        assert_eq!(word(), "P6");
        let size = Size::new(word().parse().expect("a width"), word().parse().expect("a height"));
        assert_eq!(word(), "255");
        let px: Vec<u32> =
            rest.as_chunks::<3>().0.iter().map(|[r, g, b]| u32::from_be_bytes([0, *r, *g, *b])).collect();
        assert_eq!(px.len() as u64, size.area());
        Some((size, px))
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        // unshare becomes sway
        self.child.id()
    }

    /// Ends it now.
    pub fn kill(&mut self) {
        // they may have ended already
        for child in [Some(&mut self.child), self.seat.as_mut()].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // a lock that nobody holds would lead the next one to another name
        for left in [DISPLAY.to_owned(), format!("{DISPLAY}.lock"), "sway.sock".to_owned()] {
            let _ = std::fs::remove_file(self.dir.join(left));
        }
    }
}

impl Drop for Sway {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Writes sway's configuration: these outputs and sizes, side by side.
fn configure(dir: &Path, outputs: &[(&str, &str)]) {
    let mut config = String::from("default_border none\nxwayland disable\nfocus_follows_mouse no\n");
    let mut x = 0;
    for (name, size) in outputs {
        let width: u32 = size.split('x').next().and_then(|w| w.parse().ok()).expect("a size like 640x480");
        config.push_str(&format!("output {name} resolution {size} position {x},0\n"));
        x += width;
    }
    std::fs::write(dir.join("sway.conf"), config).expect("a file");
}

fn private(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).expect("is ours");
}

fn launch(dir: &Path, outputs: usize) -> std::io::Result<Child> {
    // sway will not run where it could become root again: a user namespace without uid 0 is enough
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if root { "unshare" } else { "sway" });
    if root {
        which("sway")?;
        command.args(["-U", "--map-user=1000", "--map-group=1000", "sway"]);
    }
    command.env("WLR_BACKENDS", "headless").env("WLR_HEADLESS_OUTPUTS", outputs.to_string());
    run(command, dir)
}

/// Starts sway by a command that ends with its name.
fn run(mut command: Command, dir: &Path) -> std::io::Result<Child> {
    let log = std::fs::File::create(dir.join("sway.log"))?;
    command
        // sway 1.7 takes one output's scanned-out window for another's and draws both again and again
        .args(["-D", "noscanout", "-c"])
        .arg(dir.join("sway.conf"))
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("DISPLAY")
        .env("XDG_RUNTIME_DIR", dir)
        .env("HOME", dir)
        .env("SWAYSOCK", dir.join("sway.sock"))
        .env("WLR_RENDERER", "pixman")
        .env("WLR_LIBINPUT_NO_DEVICES", "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

fn which(program: &str) -> std::io::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|folder| folder.join(program).exists());
    if there { Ok(()) } else { Err(std::io::Error::other(format!("{program} is not installed"))) }
}
