//! Desktops on demand: what starts them and what does not, who shares them, how they end and come again.

use std::path::PathBuf;
use std::time::Duration;

use farpane_engine::geometry::Size;
use farpane_test_support::{Client, ClientError, Raw, Security};

use super::user::{PATIENCE, User, children, colours, is_alive, kill, process_called, runs, wait_for, waits};

/// A desktop that waits: where it listens, and the words that it said.
struct Waiting<'a> {
    user: &'a User,
    name: &'a str,
    listener: String,
    said: String,
}

impl<'a> Waiting<'a> {
    fn start(user: &'a User, name: &'a str, more: &[&str], command: &[&str]) -> Self {
        let mut words = vec!["start", "--on-demand", "--name", name, "--size", "640x480", "--listen", "127.0.0.1:0"];
        words.extend(more);
        words.push("--");
        words.extend(command);
        let done = if more.contains(&"sway") { user.plain(&words) } else { user.farpane(&words) };
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
        assert!(said.ends_with(&format!("farpane: desktop {name} waits for its first login\n")), "{said}");
        let listener = said.lines().find_map(|line| line.strip_prefix("farpane: listening on ")).expect("a listener");
        Waiting { user, name, listener: listener.into(), said }
    }

    /// One that asks nobody for a password.
    fn open(user: &'a User, name: &'a str, command: &[&str]) -> Self {
        Self::start(user, name, &["--security", "none"], command)
    }

    fn log_in(&self, security: Security<'_>) -> Result<Client, ClientError> {
        let raw = Raw::connect(&self.listener, PATIENCE).expect("a connection");
        let mut client = Client::handshake(raw, "RFB 003.008\n", security, true)?;
        client.set_encodings(&[16, 1, -239, -223, -308]).expect("sent");
        client.watch().expect("sent");
        Ok(client)
    }

    fn look(&self) -> Client {
        self.log_in(Security::None).expect("let in")
    }

    /// In whose words a client is refused.
    fn refusal(&self, security: Security<'_>) -> String {
        match self.log_in(security) {
            Err(ClientError::Refused(why)) => why,
            other => panic!("not refused: {:?}", other.map(|client| client.picture().size())),
        }
    }

    /// The number of its X display, while it has one.
    fn display(&self) -> Option<u32> {
        let told = self.user.told(self.name).expect("it is listed");
        told["display"].as_str().map(|display| display.trim_start_matches(':').parse().expect("a number"))
    }

    fn path(&self, file: &str) -> PathBuf {
        self.user.folder.join("run/farpane/desktops").join(self.name).join(file)
    }

    /// Whether it is listed and nothing but the supervisor and the server is there.
    fn is_asleep(&self) -> bool {
        let xvfb = format!("Xvfb -displayfd 1 -noreset -nolisten tcp -auth {}", self.path("").display());
        let Some(told) = self.user.told(self.name) else { return false };
        let process = |which: &str| told[which].as_u64().and_then(|pid| u32::try_from(pid).ok());
        told["display"].is_null()
            && !runs(&xvfb)
            && !self.path("screen").exists()
            && process("pid").is_some_and(|pid| children(pid).into_iter().all(|child| Some(child) == process("server")))
    }

    fn log(&self) -> String {
        let log = self.user.folder.join(format!("state/farpane/desktops/{}.log", self.name));
        std::fs::read_to_string(log).expect("a log")
    }
}

fn is_no_display(number: u32) -> bool {
    !PathBuf::from(format!("/tmp/.X11-unix/X{number}")).exists()
}

/// Waits until the server has ended a session.
fn is_closed(mut client: Client) {
    let end = client.wait_until("never", |_| false);
    assert!(matches!(end, Err(ClientError::Closed)), "{end:?}");
}

#[test]
fn strangers_start_nothing_and_the_first_login_does() {
    let Some(user) = User::new("first") else { return };
    let program = ["xterm", "-geometry", "40x10+50+50", "-e", "sleep 1000"];
    let waiting = Waiting::start(&user, "first", &["--security", "vncauth"], &program);
    assert!(waiting.is_asleep());
    let list = String::from_utf8(user.farpane(&["list"]).stdout).expect("text");
    assert!(list.contains("waits") && list.contains(&waiting.listener), "{list}");
    // a connection, a half login, a wrong password
    let mut half = Raw::connect(&waiting.listener, PATIENCE).expect("a connection");
    half.versions("RFB 003.008\n").expect("versions");
    drop(Raw::connect(&waiting.listener, PATIENCE).expect("a connection"));
    assert!(!waiting.refusal(Security::VncAuth("wrong")).is_empty());
    assert!(waiting.is_asleep(), "{}", waiting.log());

    let password = waiting.said.lines().find_map(|l| l.strip_prefix("farpane: one-time password: ")).expect("one");
    let log_in = || waiting.log_in(Security::VncAuth(password)).expect("let in");
    let mut first = log_in();
    assert_eq!(first.picture().size(), Size::new(640, 480));
    first.wait_until("the terminal", |c| colours(c) >= 2).expect("it is shown");
    let display = waiting.display().expect("a display");
    // who comes later sees the same, and so does whoever comes when nobody looks
    let mut second = log_in();
    second.wait_until("the terminal", |c| colours(c) >= 2).expect("it is shown");
    second.set_desktop_size(Size::new(800, 600), &[(0, Size::new(800, 600).rect())]).expect("sent");
    first.wait_until("the size of the other", |c| c.picture().size() == Size::new(800, 600)).expect("it is shared");
    drop((first, second));
    wait_for("no viewer", || user.told("first").is_some_and(|told| told["viewers"] == 0));
    assert_eq!((log_in().picture().size(), waiting.display()), (Size::new(800, 600), Some(display)));
    drop(half);
    assert!(user.farpane(&["stop", "first"]).status.success());
    assert!(is_no_display(display) && user.is_clean());
}

#[test]
fn two_who_log_in_at_once_get_one_desktop() {
    let Some(user) = User::new("both") else { return };
    let starts = user.folder.join("starts");
    let program = format!("echo once >> {}; exec sleep 1000", starts.display());
    let waiting = Waiting::open(&user, "both", &["sh", "-c", &program]);
    let clients: Vec<Client> = std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| waiting.look()));
        both.map(|one| one.join().expect("no panic")).into()
    });
    assert!(clients.iter().all(|client| client.picture().size() == Size::new(640, 480)));
    assert_eq!(std::fs::read_to_string(starts).expect("it was started"), "once\n");
}

#[test]
fn a_desktop_whose_program_ends_goes_and_the_next_login_gets_another() {
    let Some(user) = User::new("next") else { return };
    let end = user.folder.join("end");
    let left = format!("5000.{}", std::process::id());
    // one of its processes leaves the group, and has to go all the same
    let program = format!("setsid sleep {left} & until [ -e {} ]; do sleep 0.05; done", end.display());
    let waiting = Waiting::open(&user, "next", &["sh", "-c", &program]);
    let server = user.process("next", "server");
    let mut cookies = Vec::new();
    for _ in 0..2 {
        let client = waiting.look();
        wait_for("all of it", || process_called(&format!("sleep {left}")).is_some());
        let display = waiting.display().expect("a display");
        cookies.push(std::fs::read(waiting.path("screen/Xauthority")).expect("a cookie"));
        std::fs::write(&end, "").expect("written");
        is_closed(client);
        wait_for("rest", || waiting.is_asleep());
        assert!(is_no_display(display) && process_called(&format!("sleep {left}")).is_none());
        assert_eq!(user.process("next", "server"), server, "it goes on listening");
        std::fs::remove_file(&end).expect("removed");
    }
    assert_ne!(cookies[0], cookies[1]);
    assert!(waiting.log().contains("it waits for the next login"), "{}", waiting.log());
    assert!(user.farpane(&["stop", "next"]).status.success());
    assert!(user.is_clean());
}

#[test]
fn a_desktop_stops_whatever_it_is_doing_and_leaves_nothing() {
    let Some(user) = User::new("stops") else { return };
    for (state, name) in ["waits", "starts", "runs", "rests"].into_iter().zip(["a", "b", "c", "d"]) {
        let end = user.folder.join("end");
        let program = format!("trap '' TERM; until [ -e {} ]; do sleep 0.05; done", end.display());
        let waiting = Waiting::open(&user, name, &["sh", "-c", &program]);
        let pids = ["pid", "server"].map(|which| user.process(name, which));
        let mut raw = None;
        match state {
            "starts" => {
                let mut begun = Raw::connect(&waiting.listener, PATIENCE).expect("a connection");
                begun.versions("RFB 003.008\n").expect("versions");
                begun.send(&[1]).expect("sent");
                wait_for("the beginning", || waiting.path("screen").exists());
                raw = Some(begun);
            }
            "runs" => drop(waiting.look()),
            "rests" => {
                let client = waiting.look();
                std::fs::write(&end, "").expect("written");
                is_closed(client);
            }
            _ => {}
        }
        let stopped = user.farpane(&["stop", name]);
        assert!(stopped.status.success(), "{state}: {}", String::from_utf8_lossy(&stopped.stderr));
        drop(raw);
        wait_for("the supervisor's end", || pids.iter().all(|pid| !is_alive(*pid)));
        assert!(user.is_clean() && !runs(&user.folder.display().to_string()), "{state}: {}", waiting.log());
        let _ = std::fs::remove_file(&end);
    }
}

#[test]
fn a_program_that_fails_at_once_is_told_to_the_client_and_after_three_times_is_enough() {
    let Some(user) = User::new("fails") else { return };
    let told = user.refused(&["start", "--on-demand", "--name", "fails", "--", "no-such-program"]);
    assert_eq!(told, "farpane: no-such-program is not installed or not in PATH");
    assert!(user.is_clean());
    let waiting = Waiting::open(&user, "fails", &["sh", "-c", "echo last words; exit 3"]);
    for _ in 0..3 {
        let why = waiting.refusal(Security::None);
        assert_eq!(why, "the desktop did not start: it ended with status 3 at once");
        // the last one takes the supervisor along
        wait_for("rest", || waiting.is_asleep() || user.told("fails").is_none());
    }
    wait_for("the end", || user.told("fails").is_none() && user.is_clean());
    // said when all of it is cleared away
    let words = "farpane: sh -c echo last words; exit 3 ended with status 3 at once";
    wait_for("its last words", || waiting.log().contains(words));
    let log = waiting.log();
    assert_eq!(log.matches("last words\n").count(), 3, "{log}");
}

#[test]
fn a_program_that_keeps_failing_ends_the_desktop_as_any_other() {
    let Some(user) = User::new("storm") else { return };
    let waiting = Waiting::open(&user, "storm", &["sh", "-c", "echo again; sleep 0.6; exit 3"]);
    let client = waiting.look();
    wait_for("the end", || user.told("storm").is_none() && user.is_clean());
    is_closed(client);
    let log = waiting.log();
    assert_eq!(log.matches("again\n").count(), 3, "{log}");
    assert!(log.contains("ended with status 3; its last words are in "), "{log}");
}

#[test]
fn a_server_that_dies_finds_its_desktop_again() {
    let Some(user) = User::new("finds") else { return };
    let mark = format!("6000.{}", std::process::id());
    let waiting = Waiting::open(&user, "finds", &["sleep", &mark]);
    drop(waiting.look());
    let (display, program) = (waiting.display(), process_called(&format!("sleep {mark}")));
    let server = user.process("finds", "server");
    kill(server);
    wait_for("another server", || {
        user.told("finds").is_some_and(|told| told["server"].as_u64().is_some_and(|pid| pid != u64::from(server)))
    });
    assert_eq!(waiting.look().picture().size(), Size::new(640, 480));
    assert_eq!((waiting.display(), process_called(&format!("sleep {mark}"))), (display, program));
}

#[test]
fn one_that_waits_sleeps() {
    let Some(user) = User::new("sleeps") else { return };
    let waiting = Waiting::open(&user, "sleeps", &["sleep", "1000"]);
    let rest = || {
        let pids = ["pid", "server"].map(|which| user.process("sleeps", which));
        wait_for("rest", || {
            let before = pids.map(waits);
            std::thread::sleep(Duration::from_secs(2));
            pids.map(waits).iter().zip(before).map(|(after, before)| after - before).sum::<u64>() <= 2
        });
    };
    rest();
    drop(waiting.look());
    rest();
}

#[test]
fn a_wayland_desktop_comes_at_the_first_login_too() {
    let Some(user) = User::new("wayland") else { return };
    let end = user.folder.join("end");
    let program = format!("until [ -e {} ]; do sleep 0.05; done", end.display());
    let words = ["--kind", "sway", "--security", "none"];
    let waiting = Waiting::start(&user, "wayland", &words, &["sh", "-c", &program]);
    let server = user.process("wayland", "server");
    for _ in 0..2 {
        assert!(user.told("wayland").expect("it is listed")["display"].is_null() && !waiting.path("screen").exists());
        let mut client = waiting.look();
        assert_eq!(client.picture().size(), Size::new(640, 480));
        client.set_desktop_size(Size::new(1000, 700), &[(0, Size::new(1000, 700).rect())]).expect("sent");
        client.wait_until("the new size", |c| c.picture().size() == Size::new(1000, 700)).expect("it grows");
        std::fs::write(&end, "").expect("written");
        is_closed(client);
        wait_for("rest", || !waiting.path("screen").exists());
        std::fs::remove_file(&end).expect("removed");
    }
    assert!(user.farpane(&["stop", "wayland"]).status.success());
    assert!(!is_alive(server) && user.is_clean());
}
