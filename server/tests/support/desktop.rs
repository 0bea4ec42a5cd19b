//! A private desktop of `tests/desktops/desktop.py` that lives as long as the value.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::xvfb::skip;

/// A running desktop.
#[derive(Debug)]
pub struct Desktop {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// What it says of itself: XDG_RUNTIME_DIR, WAYLAND_DISPLAY …
    pub environment: Vec<(String, String)>,
}

impl Desktop {
    /// Starts one of a kind (`mutter`, `pipewire` …), with more arguments (`--monitor`, `640x480`).
    ///
    /// Returns none, having said so, when it cannot be had on this machine; with FARPANE_REQUIRE_ALL=1 that is a failure.
    ///
    /// # Panics
    /// When it starts and does not say where it is.
    pub fn start(kind: &str, arguments: &[&str]) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/desktops/desktop.py");
        let started = Command::new("python3")
            .arg(script)
            .arg(kind)
            .args(arguments)
            .arg("--hold")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                skip(&format!("python3: {error}"));
                return None;
            }
        };
        let orders = child.stdin.take().expect("a pipe");
        let mut answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut environment = Vec::new();
        loop {
            let mut line = String::new();
            answers.read_line(&mut line).expect("readable");
            match line.trim_end_matches('\n').split_once('=') {
                Some((name, value)) => environment.push((name.to_owned(), value.to_owned())),
                None if line.is_empty() => {
                    let said = child.wait_with_output().map(|o| String::from_utf8_lossy(&o.stderr).into_owned());
                    skip(&format!("no {kind} desktop: {}", said.unwrap_or_default().trim()));
                    return None;
                }
                None => break,
            }
        }
        Some(Self { child, orders, answers, environment })
    }

    /// What the desktop says of itself under this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The folder that everything of it lies in.
    ///
    /// # Panics
    /// When it told none.
    pub fn dir(&self) -> PathBuf {
        self.get("DESKTOP_DIR").expect("a folder").into()
    }

    /// A program of this desktop, which knows of no other.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for name in ["DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"] {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().cloned()).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command
    }

    /// Ends a program of the desktop as a crash would (`mutter`, `pipewire` …).
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn stop(&mut self, part: &str) {
        self.order("stop", part);
    }

    /// Starts a program that was stopped, and waits until it can be used.
    ///
    /// # Panics
    /// When it does not start.
    pub fn again(&mut self, part: &str) {
        self.order("start", part);
    }

    fn order(&mut self, what: &str, part: &str) {
        writeln!(self.orders, "{what} {part}").expect("takes orders");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("answers");
        assert_eq!(answer.trim(), "ok", "{what} {part}");
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        let term = rustix::process::Signal::TERM;
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, term);
        }
        let _ = self.child.wait();
    }
}
