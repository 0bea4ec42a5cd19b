//! Processes that the suite starts and ends by itself, and what `/proc` says of them.

use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A child with a log file; it is ended when this is dropped.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    /// What it was started as.
    pub command: String,
    log: PathBuf,
}

impl Child {
    /// Starts a program; its output goes to `log`.
    ///
    /// # Errors
    /// When it cannot be started: the text names it.
    pub fn start(argv: &[String], env: &[(String, String)], log: &Path) -> anyhow::Result<Self> {
        let out = fs::File::create(log)?;
        let Some((program, args)) = argv.split_first() else { bail!("an empty command") };
        let path = find(program).with_context(|| format!("{program} cannot be started: it is not installed"))?;
        // the kernel ends it when we are killed
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(path)
            .args(args)
            .envs(env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("{program} cannot be started"))?;
        Ok(Self { child, command: argv.join(" "), log: log.to_owned() })
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The last lines of its log.
    pub fn tail(&self, lines: usize) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// When the program ends first or the time is up, with its log's last lines.
    pub fn until(&mut self, what: &str, limit: Duration, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let end = Instant::now() + limit;
        while !ready() {
            if !self.alive() {
                bail!("{} ended before {what}; its log ends:\n{}", self.command, self.tail(12));
            }
            if Instant::now() > end {
                bail!("{}: no {what} after {} s; its log ends:\n{}", self.command, limit.as_secs(), self.tail(12));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.alive() {
            return;
        }
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            // it may have ended a moment ago
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let end = Instant::now() + Duration::from_secs(3);
        while self.alive() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a program lies: at the path it is named by, or in one of the folders for programs.
fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|p| p.is_file());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|f| f.join(program)).find(|p| p.is_file())
}

/// The unit of `/proc/PID/stat`, which Linux has fixed on every machine farpane runs on.
const TICKS_A_SECOND: f64 = 100.0;

/// What a process and its descendants have used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Use {
    /// CPU time, user and system, of all threads.
    pub cpu_s: f64,
    /// How often a thread went to sleep by itself: each is a wake-up that followed.
    pub sleeps: u64,
    /// Largest resident memory, in KiB, of all processes added up.
    pub peak_kib: u64,
}

/// The process and its descendants.
fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        if let Some(parent) = stat(pid).and_then(|s| s.get(1)?.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut all, mut at) = (vec![root], 0);
    while at < all.len() {
        all.extend(children.get(&all[at]).into_iter().flatten());
        at += 1;
    }
    all
}

/// Fields of `/proc/PID/stat` from the state on.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn status_field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// What a process and its descendants have used.
pub fn usage(root: u32) -> Use {
    let mut sum = Use::default();
    for pid in tree(root) {
        let ticks: f64 = stat(pid)
            .map(|s| [11, 12, 13, 14].iter().filter_map(|i| s.get(*i)?.parse::<f64>().ok()).sum())
            .unwrap_or(0.0);
        let mut exact_ns = 0_u64;
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            exact_ns += read("schedstat").split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
            sum.sleeps += status_field(&read("status"), "voluntary_ctxt_switches:");
        }
        // the scheduler's nanoseconds know living threads only, the ticks all of them, more coarsely
        sum.cpu_s += (exact_ns as f64 / 1e9).max(ticks / TICKS_A_SECOND - 0.02);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        sum.peak_kib += status_field(&status, "VmHWM:");
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_work_shows_in_what_we_used() {
        let before = usage(std::process::id());
        let end = Instant::now() + Duration::from_secs(20);
        let mut x = 1_u64;
        while usage(std::process::id()).cpu_s < before.cpu_s + 0.05 && Instant::now() < end {
            for i in 0..1_000_000 {
                x = std::hint::black_box(x.wrapping_mul(31).wrapping_add(i));
            }
        }
        let after = usage(std::process::id());
        assert!(after.cpu_s >= before.cpu_s + 0.05, "{before:?} {after:?}");
        assert!(after.peak_kib > 1000);
    }

    #[test]
    fn a_program_that_ends_at_once_is_reported_with_its_last_words() {
        let log = std::env::temp_dir().join(format!("farpane-perf-log-{}", std::process::id()));
        let argv = ["sh", "-c", "echo no screen found; exit 3"].map(str::to_owned);
        let mut child = Child::start(&argv, &[], &log).expect("sh");
        let error = child.until("port", Duration::from_secs(20), || false).expect_err("it has ended").to_string();
        assert!(error.contains("no screen found"), "{error}");
        let missing = Child::start(&["/no/such/program".to_owned()], &[], &log).expect_err("not there");
        assert!(missing.to_string().contains("/no/such/program"));
        // a leftover of the test, of no importance
        let _ = fs::remove_file(&log);
    }

    #[test]
    fn children_are_counted_with_their_parent() {
        assert!(tree(std::process::id()).contains(&std::process::id()));
        let log = std::env::temp_dir().join(format!("farpane-perf-tree-{}", std::process::id()));
        let child = Child::start(&["sleep", "60"].map(str::to_owned), &[], &log).expect("sleep");
        assert!(tree(std::process::id()).contains(&child.pid()));
        let _ = fs::remove_file(&log);
    }
}
