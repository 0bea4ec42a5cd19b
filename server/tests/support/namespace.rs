//! Network namespaces of a test's own: machines with interfaces and addresses, joined by cables, gone with the test.

use crate::Server;
use crate::xvfb::skip;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Child, Command, Output, Stdio};

/// Set in the process that a test runs itself in anew, where it has rights over networks of its own.
const INSIDE: &str = "FARPANE_TEST_INSIDE_NAMESPACE";

/// One network namespace: a machine as far as the network goes.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
}

/// Runs `body` where it may make namespaces: here, or, for a user without rights, in a process of its own that is root over
/// nothing but its namespaces. `test` is the name that the test runner knows the test by. Where neither goes, and where one
/// of `programs` is missing, the test is skipped; with FARPANE_REQUIRE_ALL=1 that is a failure.
///
/// # Panics
/// When the body fails.
pub fn with_namespaces(test: &str, programs: &[&str], body: impl FnOnce()) {
    for program in ["unshare", "nsenter", "ip"].iter().chain(programs) {
        if find(program).is_none() {
            return skip(&format!("{program} is not installed"));
        }
    }
    if may(&["-n"]) {
        return body();
    }
    if std::env::var_os(INSIDE).is_some() || !may(&["-U", "-r", "-n"]) {
        return skip("no right to make network namespaces (root, or unprivileged user namespaces)");
    }
    let own = std::env::current_exe().expect("the test's own program");
    let status = Command::new("unshare")
        .args(["-U", "-r", "-n"])
        .arg(own)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare runs");
    assert!(status.success(), "{test}, run with rights of its own: {status}");
}

fn may(flags: &[&str]) -> bool {
    let tried = Command::new("unshare").args(flags).arg("true").stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// A program in PATH or where Debian puts an administrator's.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(own).map(|folder| folder.join(program)).find(|file| file.is_file())
}

impl Namespace {
    /// A new one, with loopback up and nothing else.
    ///
    /// # Panics
    /// When it cannot be had.
    pub fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["-n", "sh", "-c", "ip link set lo up && echo up && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut line = String::new();
        let out = holder.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("a line");
        assert_eq!(line, "up\n", "no network namespace");
        Namespace { holder }
    }

    /// The arguments of `nsenter` that run a program in here.
    pub fn enter(&self) -> [String; 2] {
        [format!("--target={}", self.holder.id()), "--net".into()]
    }

    /// Runs the server in here and waits until it listens.
    ///
    /// # Panics
    /// As [`Server::start`].
    pub fn serve(&self, binary: &str, arguments: &[&str]) -> Server {
        let enter = self.enter();
        let mut all: Vec<&str> = enter.iter().map(String::as_str).collect();
        all.push(binary);
        all.extend(arguments);
        Server::start("nsenter", &all)
    }

    /// A program that runs in here.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(self.enter()).arg(find(program).unwrap_or_else(|| program.into())).stdin(Stdio::null());
        command
    }

    /// Runs a command line (words parted by spaces) in here and returns what it said.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, line: &str) -> String {
        let output = self.try_run(line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {}: {said}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same, whether it fails or not.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn try_run(&self, line: &str) -> Output {
        let mut words = line.split_whitespace();
        let program = words.next().expect("a program");
        self.command(program).args(words).output().unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    /// Lays a cable from interface `ours` in here to `theirs` in another one; both have no address and are down.
    pub fn cable(&self, ours: &str, other: &Namespace, theirs: &str) {
        self.run(&format!("ip link add {ours} type veth peer name {theirs} netns {}", other.holder.id()));
    }

    /// Gives an interface addresses, which count at once, and switches it on.
    pub fn addresses(&self, interface: &str, addresses: &[&str]) {
        for address in addresses {
            let at_once = if address.contains(':') { "nodad" } else { "" };
            self.run(&format!("ip address add {address} dev {interface} {at_once}"));
        }
        self.run(&format!("ip link set {interface} up"));
    }

    /// Runs `work` in a thread of its own whose sockets are in here.
    ///
    /// # Panics
    /// When the work does.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let net = File::open(format!("/proc/{}/ns/net", self.holder.id())).expect("the namespace");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network)).expect("the right to enter");
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
