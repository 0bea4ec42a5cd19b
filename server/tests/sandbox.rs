//! The server shut in: seen from outside in /proc, and from inside by the doctor.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use farpane_test_support::{PATIENCE, Server};

const FARPANE: &str = env!("CARGO_BIN_EXE_farpane");

fn doctor(more: &[&str]) -> Output {
    Command::new(FARPANE).args(["doctor", "sandbox"]).args(more).output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_doctor_finds_everything_denied_and_serving_at_work() {
    let output = doctor(&[]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", text(&output.stderr));
    let lines: HashSet<&str> = said.lines().collect();
    for line in [
        "ok  denied: open a file for reading",
        "ok  denied: connect by TCP",
        "ok  denied: send a datagram to an address",
        "ok  denied: open the audit log by itself",
        "ok  works: begin an audit log and put it aside, through the helper",
        "ok  works: send a line to a log, through the helper",
        "ok  works: read a dma-buf",
        "ok  denied: trace a process",
        "ok  denied: trace a process (an earlier thread)",
        "ok  denied: start a process (a later thread)",
        "ok  denied: run a program",
        "ok  works: accept a connection, read and write",
    ] {
        assert!(lines.contains(line), "{line:?} is missing:\n{said}");
    }
    assert!(!said.contains("NO"), "{said}");
}

#[test]
fn without_the_sandbox_the_doctor_says_no_to_every_promise() {
    let output = doctor(&["--off"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for line in [
        "open a file for reading",
        "send a datagram to an address",
        "connect by TCP",
        "trace a process",
        "start a process",
        "run a program",
    ] {
        assert!(said.lines().any(|l| l == format!("NO  not denied: {line}")), "{line}:\n{said}");
    }
    // later threads find a process that is traced already, which is a refusal of another kind
    assert!(!said.lines().any(|l| l.starts_with("ok  denied") && !l.contains("thread)")), "{said}");
}

/// What /proc says of each thread of a process: its name and one field of its status.
fn threads(pid: u32, field: &str) -> Vec<(String, String)> {
    let of = |task: PathBuf| {
        let status = std::fs::read_to_string(task.join("status")).ok()?;
        let value = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        Some((value("Name")?.to_owned(), value(field).unwrap_or("absent").to_owned()))
    };
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("runs");
    tasks.filter_map(|task| of(task.ok()?.path())).collect()
}

fn assert_shut_in(pid: u32) {
    for (field, wanted) in [("Seccomp", "2"), ("Seccomp_filters", "2"), ("NoNewPrivs", "1")] {
        let threads = threads(pid, field);
        assert!(threads.len() > 3, "{threads:?}");
        assert!(threads.iter().all(|(_, value)| value == wanted), "{field}: {threads:?}");
    }
}

/// Processes that this one started, and those that they did, by name.
fn helpers(pid: u32) -> Vec<(String, u32)> {
    let mut all: Vec<(String, u32)> = Vec::new();
    for child in children(pid) {
        let name = std::fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        all.push((name.trim().to_owned(), child));
        all.extend(helpers(child));
    }
    all.sort();
    all
}

fn gone(processes: &[(String, u32)]) -> bool {
    processes.iter().all(|(_, pid)| !Path::new(&format!("/proc/{pid}")).exists())
}

fn named(processes: &[(String, u32)]) -> Vec<&str> {
    processes.iter().map(|(name, _)| name.as_str()).collect()
}

/// Processes that this one started.
fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("runs");
    list.split_whitespace().map(|n| n.parse().expect("a number")).collect()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn limit(pid: u32, name: &str) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("runs");
    let line = limits.lines().find(|l| l.starts_with(name)).expect("a limit");
    line[name.len()..].split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_thread_of_a_server_is_shut_in_and_its_helper_ends_with_it() {
    let server = Server::synthetic(FARPANE, "640x480", &[]);
    let _client = server.client().expect("is let in");
    assert_shut_in(server.pid());
    assert_eq!(limit(server.pid(), "Max open files"), "384 384");
    assert_eq!(limit(server.pid(), "Max core file size"), "0 0");
    // one that nobody needed so far may not have come to tell its name
    until("the helpers' names", || named(&helpers(server.pid())) == ["farpane-open", "farpane-start"]);
    let helpers = helpers(server.pid());
    for ((_, helper), gains_nothing) in helpers.iter().zip(["1", "0"]) {
        assert!(threads(*helper, "NoNewPrivs").iter().all(|(_, value)| value == gains_nothing), "{helpers:?}");
        assert_eq!(limit(*helper, "Max core file size"), "0 0");
    }
    server.stop();
    until("the helpers end", || gone(&helpers));
}

#[test]
fn users_log_in_through_the_process_that_holds_their_secrets() {
    let state = std::env::temp_dir().join(format!("farpane-sandbox-state-{}", std::process::id()));
    let file = state.with_extension("toml");
    std::fs::write(&file, format!("state_folder = \"{}\"\n", state.display())).expect("a file");
    let config = file.to_str().expect("plain");
    let server = Server::synthetic(FARPANE, "64x48", &["--config", config, "--security", "channel"]);
    let names = ["farpane-auth", "farpane-open", "farpane-start"];
    until("the helpers' names", || named(&helpers(server.pid())) == names);
    let helpers = helpers(server.pid());
    assert_eq!(threads(server.pid(), "Seccomp_filters").iter().filter(|(_, v)| v != "2").count(), 0);
    server.stop();
    until("the helpers end", || gone(&helpers));
    std::fs::remove_file(file).and_then(|()| std::fs::remove_dir_all(state)).expect("are there");
}

#[test]
fn a_server_that_is_killed_leaves_neither_helper_nor_socket() {
    let path = std::env::temp_dir().join(format!("farpane-sandbox-{}.sock", std::process::id()));
    let listen = format!("unix:{}", path.display());
    let server =
        Server::start(FARPANE, &["serve", "--source", "synthetic:64x48", "--security", "none", "--listen", &listen]);
    let helpers = helpers(server.pid());
    assert!(path.exists() && helpers.len() == 2, "{helpers:?}");
    let pid = rustix::process::Pid::from_raw(i32::try_from(server.pid()).expect("small")).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("is ours");
    until("the helpers end", || gone(&helpers));
    assert!(!path.exists());
}

#[test]
fn off_means_off() {
    let file = std::env::temp_dir().join(format!("farpane-sandbox-{}.toml", std::process::id()));
    std::fs::write(&file, "sandbox = \"off\"\n").expect("a file");
    let server = Server::synthetic(FARPANE, "64x48", &["--config", file.to_str().expect("plain")]);
    std::fs::remove_file(&file).expect("is there");
    assert_eq!(children(server.pid()), [0u32; 0]);
    assert!(threads(server.pid(), "Seccomp").iter().all(|(_, value)| value == "0"));
    server.wait_for_log("the sandbox is off");
}

#[cfg(feature = "x11")]
mod x11 {
    use super::*;
    use farpane_engine::geometry::Size;
    use farpane_test_support::{encoding, xvfb::Xvfb};

    /// Shares a display that ends, and comes back with another size.
    fn back_again(arguments: &[&str]) {
        let Some(mut xvfb) = Xvfb::with("640x480", arguments) else { return };
        let source = format!("x11:{}", xvfb.display);
        let listen = ["--security", "none", "--listen", "127.0.0.1:0"];
        let server = Server::start(FARPANE, &[&["serve", "--source", &source][..], &listen].concat());
        let mut client = server.client().expect("is let in");
        client.set_encodings(&[encoding::ZRLE, encoding::DESKTOP_SIZE]).expect("a list");
        client.watch().expect("asks");
        client.wait_until("a picture", |c| !c.traffic.updates.is_empty()).expect("a picture");
        assert_shut_in(server.pid());
        xvfb.kill();
        server.wait_for_log("the X server is gone");
        let (display, dir) = (xvfb.display.clone(), xvfb.dir.to_str().expect("plain").to_owned());
        let same_place: Vec<String> = arguments.iter().map(|a| a.replace("{dir}", &dir)).collect();
        let mut again = vec![display.as_str()];
        again.extend(same_place.iter().map(String::as_str));
        let _second = Xvfb::with("800x600", &again).expect("starts again");
        let seen = client.wait_until("the display that came back", |c| c.picture().size() == Size::new(800, 600));
        seen.expect("a picture of it");
        let updates = client.traffic.updates.len();
        client.request(false, Size::new(800, 600).rect()).expect("asks");
        client.wait_until("another picture", |c| c.traffic.updates.len() > updates).expect("a picture");
        assert_shut_in(server.pid());
    }

    #[test]
    fn a_display_that_goes_and_comes_back_is_served_again() {
        back_again(&[]);
    }

    #[test]
    fn a_display_whose_pixels_lie_in_a_file_is_served_again() {
        back_again(&["-fbdir", "{dir}"]);
    }
}
