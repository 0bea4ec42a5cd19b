//! The built server as a child process.

use crate::{Client, ClientError, Raw, Security};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a test waits for a state that should come at once, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long the server may take to end.
const END: Duration = Duration::from_secs(1);

/// Lines of one output of the child, as they come.
#[derive(Debug, Default)]
struct Lines {
    state: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Lines {
    fn read(self: Arc<Self>, from: impl Read + Send + 'static) {
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                self.state.lock().unwrap_or_else(PoisonError::into_inner).0.push(line);
                self.more.notify_all();
            }
            self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
            self.more.notify_all();
        });
    }

    fn all(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Waits until `done` says yes to the lines so far; false when the output ended or time ran out before.
    fn wait(&self, limit: Duration, mut done: impl FnMut(&[String]) -> bool) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if done(&state.0) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if state.1 || left.is_zero() {
                return false;
            }
            state = self.more.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A running server, ended when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    stdout: Arc<Lines>,
    stderr: Arc<Lines>,
}

impl Server {
    /// Starts `binary` (`env!("CARGO_BIN_EXE_farpane")`) with these arguments and waits for nothing.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(binary: &str, arguments: &[&str]) -> Self {
        Self::spawn_in(binary, arguments, &[])
    }

    /// The same with these variables in its environment.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn_in(binary: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(binary)
            .args(arguments)
            .envs(environment.iter().copied())
            // keys are made once for all servers of a run, and never where those of this machine lie
            .env("STATE_DIRECTORY", Self::state_folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{binary}: {e}"));
        let (stdout, stderr) = (Arc::new(Lines::default()), Arc::new(Lines::default()));
        Arc::clone(&stdout).read(child.stdout.take().expect("a pipe"));
        Arc::clone(&stderr).read(child.stderr.take().expect("a pipe"));
        Self { child, stdout, stderr }
    }

    /// Where servers of this test keep their keys.
    pub fn state_folder() -> std::path::PathBuf {
        std::env::temp_dir().join(format!("farpane-tests-{}-state", std::process::id()))
    }

    /// Starts the server and waits until it says where it listens, once for each `--listen`.
    ///
    /// # Panics
    /// When it ends before or takes too long; the message holds its log.
    pub fn start(binary: &str, arguments: &[&str]) -> Self {
        Self::start_in(binary, arguments, &[])
    }

    /// The same with these variables in its environment.
    ///
    /// # Panics
    /// As [`Server::start`].
    pub fn start_in(binary: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let server = Self::spawn_in(binary, arguments, environment);
        let listeners = arguments.iter().filter(|a| **a == "--listen").count().max(1);
        let up = server
            .stdout
            .wait(PATIENCE, |lines| lines.iter().filter(|l| l.starts_with(LISTENING)).count() >= listeners);
        assert!(up, "the server does not listen\n{}", server.log());
        server
    }

    /// A synthetic source (`640x480:still`) on a loopback port without security, and `more` arguments.
    ///
    /// # Panics
    /// As [`Server::start`].
    pub fn synthetic(binary: &str, scene: &str, more: &[&str]) -> Self {
        let source = format!("synthetic:{scene}");
        let mut arguments = vec!["serve", "--source", &source, "--listen", "127.0.0.1:0"];
        if !more.contains(&"--security") {
            arguments.extend(["--security", "none"]);
        }
        arguments.extend(more);
        Self::start(binary, &arguments)
    }

    /// Where it listens, in the order of its arguments.
    pub fn listeners(&self) -> Vec<String> {
        self.stdout.all().iter().filter_map(|l| l.strip_prefix(LISTENING)).map(str::to_owned).collect()
    }

    /// Waits until so many listeners are there, and returns them.
    ///
    /// # Panics
    /// When they are not in time.
    pub fn wait_for_listeners(&self, count: usize) -> Vec<String> {
        let listens = |l: &String| l.starts_with(LISTENING);
        let up = self.stdout.wait(PATIENCE, |lines| lines.iter().filter(|l| listens(l)).count() >= count);
        assert!(up, "not {count} listeners\n{}", self.log());
        self.listeners()
    }

    /// The first listener.
    ///
    /// # Panics
    /// When there is none.
    pub fn listener(&self) -> String {
        self.listeners().into_iter().next().expect("a listener")
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection to the first listener, before any byte.
    ///
    /// # Panics
    /// When nobody listens there.
    pub fn raw(&self) -> Raw {
        Raw::connect(&self.listener(), PATIENCE).expect("a connection")
    }

    /// A client past the handshake of version 3.8 without security, sharing the desktop.
    ///
    /// # Errors
    /// When the server does not let it in.
    pub fn client(&self) -> Result<Client, ClientError> {
        Client::handshake(self.raw(), "RFB 003.008\n", Security::None, true)
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        self.stderr.all().join("\n")
    }

    /// What it printed on stdout so far.
    pub fn lines(&self) -> Vec<String> {
        self.stdout.all()
    }

    /// Waits for a line on stdout that starts with `start`.
    ///
    /// # Panics
    /// When none comes; the message holds the log.
    pub fn wait_for_line(&self, start: &str) {
        let seen = self.stdout.wait(PATIENCE, |lines| lines.iter().any(|l| l.starts_with(start)));
        assert!(seen, "no line {start:?} in {:?}:\n{}", self.lines(), self.log());
    }

    /// Waits for a line of the log that contains `text`, in any case.
    ///
    /// # Panics
    /// When none comes; the message holds the log.
    pub fn wait_for_log(&self, text: &str) {
        let text = text.to_lowercase();
        let seen = self.stderr.wait(PATIENCE, |lines| lines.iter().any(|l| l.to_lowercase().contains(&text)));
        assert!(seen, "no line with {text:?} in the log:\n{}", self.log());
    }

    /// Waits until the process ended by itself.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        self.try_end(limit).unwrap_or_else(|| panic!("the server did not end within {limit:?}\n{}", self.log()))
    }

    fn try_end(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    // its last words may still be in the pipes
                    self.stdout.wait(END * 5, |_| false);
                    self.stderr.wait(END * 5, |_| false);
                    return Some(status);
                }
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(2)),
                _ => return None,
            }
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // a process that ended by itself is waited for all the same
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends it by SIGTERM and checks that it does so within a second, with status 0.
    ///
    /// # Panics
    /// When it takes longer or fails.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait_for_end(END);
        assert!(status.success(), "the server ended with {status}\n{}", self.log());
    }
}

const LISTENING: &str = "farpane: listening on ";

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        if self.try_end(END * 5).is_none() {
            self.signal(Signal::KILL);
            self.try_end(END * 5);
        }
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
            return;
        }
        crate::secrets::tell_keys(&Self::state_folder());
        let found = crate::secrets::found_in(&self.log());
        assert!(found.is_empty(), "secrets in the server's log: {found:?}\n{}", self.log());
    }
}

/// The process of that name among those that this one started, and those that they did.
pub fn helper(pid: u32, name: &str) -> Option<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children: Vec<u32> = list.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let alive = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        status.contains(&format!("({name})")) && !status.contains(") Z ")
    };
    let here = children.iter().copied().find(alive);
    here.or_else(|| children.iter().find_map(|child| helper(*child, name)))
}

/// Has the system end a process at once; does not wait for it.
///
/// # Panics
/// When there is none.
pub fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::KILL).expect("is ours");
}
