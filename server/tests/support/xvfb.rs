//! A private Xvfb that lives as long as the value.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A running Xvfb.
pub struct Xvfb {
    child: Child,
    /// Its display's name.
    pub display: String,
    /// A directory of its own, removed at the end.
    pub dir: PathBuf,
}

/// Whether the server under test can start one; when not it is said, and with FARPANE_REQUIRE_ALL=1 that is a failure.
pub fn is_installed() -> bool {
    let there = Command::new("Xvfb").arg("-help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        skip("Xvfb is not installed");
    }
    there
}

impl Xvfb {
    /// Starts one with a screen like `1920x1080`, of 24 bits a pixel unless it says so (`1920x1080x16`), on a free display.
    ///
    /// Returns none, having said so, when there is no Xvfb on this machine; with FARPANE_REQUIRE_ALL=1 that is a failure.
    pub fn start(screen: &str) -> Option<Self> {
        Self::with(screen, &[])
    }

    /// Starts one on the display of another that has ended.
    pub fn again(display: &str, screen: &str) -> Option<Self> {
        Self::with(screen, &[display])
    }

    /// Starts one with more arguments; `{dir}` in them stands for its directory.
    pub fn with(screen: &str, more: &[&str]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("farpane-xvfb-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        let path = dir.to_str().expect("a plain path");
        let depth = if screen.matches('x').count() == 1 { "x24" } else { "" };
        let started = Command::new("Xvfb")
            .args(more.iter().map(|a| a.replace("{dir}", path)))
            .args(["-displayfd", "1", "-noreset", "-nolisten", "tcp", "-screen", "0", &format!("{screen}{depth}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                skip(&format!("Xvfb does not start: {error}"));
                return None;
            }
        };
        let mut number = String::new();
        let out = child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut number).expect("the display's number");
        assert!(number.ends_with('\n'), "Xvfb ended at once");
        Some(Self { child, display: format!(":{}", number.trim()), dir })
    }

    /// A program of this display.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("DISPLAY", &self.display).env_remove("XAUTHORITY").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it now.
    pub fn kill(&mut self) {
        // it may have ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Xvfb {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Says that a test cannot run here; with FARPANE_REQUIRE_ALL=1 that is a failure.
pub fn skip(why: &str) {
    let require = std::env::var("FARPANE_REQUIRE_ALL").is_ok_and(|v| v == "1");
    assert!(!require, "{why}");
    println!("skipped: {why}");
}
