//! A user with folders of their own, and what their desktops show and leave behind.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use farpane_test_support::xvfb::is_installed;
use farpane_test_support::{Client, Raw, Security};

const BINARY: &str = env!("CARGO_BIN_EXE_farpane");
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A user of their own, with folders for sockets and state; all their desktops end with the test.
pub struct User {
    pub folder: PathBuf,
}

impl User {
    pub fn new(test: &str) -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let folder = std::env::temp_dir().join(format!("farpane-desktops-{}-{test}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("run")).expect("a folder");
        std::fs::set_permissions(folder.join("run"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .expect("changed");
        Some(Self { folder })
    }

    pub fn farpane(&self, words: &[&str]) -> Output {
        self.run(Command::new(BINARY), words)
    }

    /// As no root, which sway does not run as.
    pub fn plain(&self, words: &[&str]) -> Output {
        if rustix::process::geteuid().is_root() {
            let mut command = Command::new("unshare");
            command.args(["-U", "--map-user=1000", "--map-group=1000", BINARY]);
            return self.run(command, words);
        }
        self.farpane(words)
    }

    pub fn run(&self, mut command: Command, words: &[&str]) -> Output {
        command.env("XDG_RUNTIME_DIR", self.folder.join("run")).env("XDG_STATE_HOME", self.folder.join("state"));
        command.env("HOME", &self.folder).env_remove("RUNTIME_DIRECTORY").env_remove("STATE_DIRECTORY");
        command.arg("desktop").args(words).output().expect("it runs")
    }

    /// Starts a desktop of 640x480 and returns its name and listener.
    pub fn start(&self, name: &str, more: &[&str], command: &[&str]) -> Desktop {
        let mut words =
            vec!["start", "--name", name, "--size", "640x480", "--security", "none", "--listen", "127.0.0.1:0"];
        words.extend(more);
        words.push("--");
        words.extend(command);
        let done = self.farpane(&words);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
        let value = |what: &str| said.lines().find_map(|line| line.strip_prefix(what)).map(str::to_owned);
        let listener = value("farpane: listening on ").unwrap_or_else(|| panic!("no listener: {said}"));
        let up = value(&format!("farpane: desktop {name} is on display :")).unwrap_or_else(|| panic!("not up: {said}"));
        Desktop { listener, display: up.parse().expect("a number") }
    }

    /// What the list says of one desktop.
    pub fn told(&self, name: &str) -> Option<serde_json::Value> {
        let done = self.farpane(&["list", "--json"]);
        assert!(done.status.success());
        let list: Vec<serde_json::Value> = serde_json::from_slice(&done.stdout).expect("JSON");
        list.into_iter().find(|told| told["name"] == name)
    }

    pub fn process(&self, name: &str, which: &str) -> u32 {
        let told = self.told(name).expect("it runs");
        u32::try_from(told[which].as_u64().expect("a process")).expect("a number")
    }

    /// The error that a command line gives: one line.
    pub fn refused(&self, words: &[&str]) -> String {
        let done = self.farpane(words);
        assert!(!done.status.success(), "{words:?} was taken");
        let said = String::from_utf8(done.stderr).expect("text");
        said.trim_end().to_owned()
    }

    pub fn is_clean(&self) -> bool {
        std::fs::read_dir(self.folder.join("run/farpane/desktops")).map_or(0, Iterator::count) == 0
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.farpane(&["stop", "--all"]);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub struct Desktop {
    pub listener: String,
    /// The X display's number.
    pub display: u32,
}

impl Desktop {
    pub fn look(&self) -> Client {
        let raw = Raw::connect(&self.listener, PATIENCE).expect("a connection");
        let mut client = Client::handshake(raw, "RFB 003.008\n", Security::None, true).expect("let in");
        client.set_encodings(&[16, 1, -239, -223, -308]).expect("sent");
        client.watch().expect("sent");
        client
    }

    /// Whether the X server has left nothing in the places of all X servers.
    pub fn is_gone(&self) -> bool {
        let n = self.display;
        [format!("/tmp/.X11-unix/X{n}"), format!("/tmp/.X{n}-lock")].iter().all(|path| !Path::new(path).exists())
    }
}

pub fn wait_for(what: &str, mut test: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !test() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The process whose command line is what is asked for.
fn find_process(is: impl Fn(&str) -> bool) -> Option<u32> {
    let found = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok).find(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        is(String::from_utf8_lossy(&line).replace('\0', " ").trim_end())
    });
    found?.file_name().to_str()?.parse().ok()
}

/// The process whose command line has these words.
pub fn process_of(words: &str) -> Option<u32> {
    find_process(|line| line.contains(words))
}

/// The process whose command line is these words and no others.
pub fn process_called(words: &str) -> Option<u32> {
    find_process(|line| line == words)
}

/// Processes that this one has started, or that were left to it.
pub fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

pub fn runs(words: &str) -> bool {
    process_of(words).is_some()
}

pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

pub fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs").success());
}

/// Shows the number of colours: a desktop with a program on it has several.
pub fn colours(client: &Client) -> usize {
    client.picture().pixels().iter().collect::<std::collections::BTreeSet<_>>().len()
}

/// How often a process has waited for something so far, all its threads together.
pub fn waits(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").filter_map(Result::ok);
    let of = |status: String| {
        status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok())
    };
    tasks.filter_map(|task| of(std::fs::read_to_string(task.path().join("status")).ok()?)).sum()
}
