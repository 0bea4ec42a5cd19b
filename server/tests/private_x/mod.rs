//! A private Xvfb that lives as long as the value.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A running Xvfb.
pub struct Xvfb {
    child: Child,
    /// Its display's name.
    pub display: String,
}

impl Xvfb {
    /// Starts one with a screen like `1920x1080`, on a free display.
    ///
    /// Returns none, having said so, when there is no Xvfb on this machine; with FARPANE_REQUIRE_ALL=1 that is a failure.
    pub fn start(screen: &str) -> Option<Self> {
        Self::run(None, screen)
    }

    /// Starts one on the given display.
    pub fn run(display: Option<&str>, screen: &str) -> Option<Self> {
        let started = Command::new("Xvfb")
            .args(display)
            .args(["-displayfd", "1", "-noreset", "-nolisten", "tcp", "-screen", "0", &format!("{screen}x24")])
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
        Some(Self { child, display: format!(":{}", number.trim()) })
    }

    /// A program of this display.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("DISPLAY", &self.display).env_remove("XAUTHORITY").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command
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
    }
}

/// Says that a test cannot run here; with FARPANE_REQUIRE_ALL=1 that is a failure.
pub fn skip(why: &str) {
    let require = std::env::var("FARPANE_REQUIRE_ALL").is_ok_and(|v| v == "1");
    assert!(!require, "{why}");
    println!("skipped: {why}");
}
