//! Virtual desktops of the binary: what they show, whom they outlive, what they leave behind, and what cannot be one.

#![cfg(feature = "x11")]

mod on_demand;
mod user;

use std::process::Command;
use std::time::Duration;

use farpane_engine::geometry::Size;
use user::{Desktop, User, colours, is_alive, kill, process_of, runs, wait_for, waits};

#[test]
fn a_desktop_shows_its_program_outlives_viewers_and_leaves_nothing() {
    let Some(user) = User::new("life") else { return };
    let desktop = user.start("life", &[], &["xterm", "-geometry", "40x10+50+50", "-e", "sleep 1000"]);
    let mut first = desktop.look();
    assert_eq!(first.picture().size(), Size::new(640, 480));
    first.wait_until("the terminal", |c| colours(c) >= 2).expect("it is shown");
    wait_for("a viewer in the list", || user.told("life").is_some_and(|told| told["viewers"] == 1));
    drop(first);
    wait_for("no viewer in the list", || user.told("life").is_some_and(|told| told["viewers"] == 0));
    let mut second = desktop.look();
    second.wait_until("the terminal, again", |c| colours(c) >= 2).expect("it is still there");
    // as large as the X server was made, and no larger
    second.set_encodings(&[16, -223, -308]).expect("sent");
    second.set_desktop_size(Size::new(1000, 700), &[(0, Size::new(1000, 700).rect())]).expect("sent");
    second.wait_until("the new size", |c| c.picture().size() == Size::new(1000, 700)).expect("it grows");
    let list = String::from_utf8(user.farpane(&["list"]).stdout).expect("text");
    assert!(list.contains("life") && list.contains(&desktop.listener) && list.contains("xterm -geometry"), "{list}");
    let pids = [user.process("life", "pid"), user.process("life", "server")];
    assert!(user.farpane(&["stop", "life"]).status.success());
    // the folder's lock goes a moment before its process
    wait_for("the supervisor's end", || pids.iter().all(|pid| !is_alive(*pid)));
    assert!(desktop.is_gone() && user.is_clean());
    assert_eq!(user.farpane(&["list"]).stdout, b"no desktop runs\n");
}

#[test]
fn a_desktop_that_nobody_looks_at_sleeps() {
    let Some(user) = User::new("idle") else { return };
    user.start("idle", &[], &["sleep", "1000"]);
    let pids = ["pid", "server"].map(|which| user.process("idle", which));
    wait_for("rest", || {
        let before = pids.map(waits);
        std::thread::sleep(Duration::from_secs(2));
        let woken: u64 = pids.map(waits).iter().zip(before).map(|(after, before)| after - before).sum();
        woken <= 2
    });
}

#[test]
fn the_log_says_as_much_as_it_is_asked_to() {
    let Some(user) = User::new("log") else { return };
    let log = |name: &str, more: &[&str]| {
        user.start(name, more, &["sleep", "1000"]);
        std::fs::read_to_string(user.folder.join(format!("state/farpane/desktops/{name}.log"))).expect("a log")
    };
    let (usual, more) = (log("usual", &[]), log("more", &["--log-level", "debug", "--log-format", "json"]));
    assert!(usual.contains(" INFO ") && !usual.contains("DEBUG"), "{usual}");
    assert!(more.contains("\"level\":\"DEBUG\"") && !more.contains(" INFO "), "{more}");
}

#[test]
fn what_a_server_said_at_first_can_be_read_again() {
    let Some(user) = User::new("show") else { return };
    let words = ["start", "--name", "show", "--listen", "127.0.0.1:0", "--", "sleep", "1000"];
    let done = user.farpane(&words);
    let said = String::from_utf8(done.stdout).expect("text");
    assert!(said.contains("farpane: password for this run, with any user name: "), "{said}");
    let shown = String::from_utf8(user.farpane(&["show", "show"]).stdout).expect("text");
    let (before, last) = said.trim_end().rsplit_once('\n').expect("lines");
    assert_eq!((shown.trim_end(), last.starts_with("farpane: desktop show is on display :")), (before, true));
    let mode = std::fs::metadata(user.folder.join("run/farpane/desktops/show/said")).expect("a file").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    assert!(user.refused(&["show", "nobody"]).contains("no desktop nobody runs"));
}

#[test]
fn a_wayland_desktop_shows_its_program_grows_and_leaves_nothing() {
    let Some(user) = User::new("sway") else { return };
    let config =
        ["--kind", "sway", "--name", "sway", "--size", "640x480", "--security", "none", "--listen", "127.0.0.1:0"];
    let done = user.plain(&[&["start"], &config[..], &["--", "sleep", "1000"]].concat());
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    let listener = said.lines().find_map(|line| line.strip_prefix("farpane: listening on ")).expect("a listener");
    let mut client = Desktop { listener: listener.into(), display: 0 }.look();
    assert_eq!(client.picture().size(), Size::new(640, 480));
    client.set_desktop_size(Size::new(1000, 700), &[(0, Size::new(1000, 700).rect())]).expect("sent");
    client.wait_until("the new size", |c| c.picture().size() == Size::new(1000, 700)).expect("it grows");
    let server = user.process("sway", "server");
    assert!(user.farpane(&["stop", "sway"]).status.success());
    assert!(!is_alive(server) && user.is_clean());
    let told = user.plain(&[&["start"], &config[..]].concat());
    assert!(String::from_utf8_lossy(&told.stderr).contains("name what to run"), "{told:?}");
}

#[test]
fn what_leaves_its_group_ends_with_the_desktop() {
    let Some(user) = User::new("orphans") else { return };
    let mark = format!("1000.{}", std::process::id());
    user.start("orphans", &[], &["sh", "-c", &format!("setsid sleep {mark} & exec sleep 2000")]);
    let words = format!("sleep {mark}");
    wait_for("the orphan", || runs(&words));
    assert!(user.farpane(&["stop", "orphans"]).status.success());
    assert!(!runs(&words), "it was left behind");
}

#[test]
fn two_desktops_stand_side_by_side() {
    let Some(user) = User::new("two") else { return };
    let [a, b] = ["a", "b"].map(|name| user.start(name, &[], &["sleep", "1000"]));
    assert_ne!((a.display, &a.listener), (b.display, &b.listener));
    let (one, two) = (a.look(), b.look());
    assert_eq!(one.picture().size(), two.picture().size());
    assert!(user.farpane(&["stop", "a"]).status.success());
    assert!(user.told("b").is_some() && a.is_gone() && !b.is_gone());
    assert!(user.farpane(&["stop", "--all"]).status.success());
    assert!(b.is_gone() && user.is_clean());
}

#[test]
fn a_program_that_is_killed_starts_again_and_one_that_ends_well_ends_the_desktop() {
    let Some(user) = User::new("again") else { return };
    let mark = format!("3000.{}", std::process::id());
    user.start("again", &[], &["sleep", &mark]);
    let killed = Command::new("pkill").args(["-9", "-f", &format!("^sleep {mark}")]).status().expect("pkill runs");
    assert!(killed.success());
    wait_for("another start", || user.told("again").is_some_and(|told| told["restarts"] == 1));
    assert!(runs(&format!("sleep {mark}")));
    let desktop = user.start("well", &[], &["sleep", "1"]);
    wait_for("its end", || user.told("well").is_none());
    assert!(desktop.is_gone());
}

#[test]
fn a_server_that_dies_starts_again_and_an_x_server_that_dies_ends_the_desktop() {
    let Some(user) = User::new("dies") else { return };
    let desktop = user.start("dies", &[], &["sleep", "1000"]);
    let server = user.process("dies", "server");
    kill(server);
    wait_for("another server", || {
        user.told("dies").is_some_and(|t| t["server"].as_u64().is_some_and(|s| s != u64::from(server)))
    });
    // where it listens is told already
    assert_eq!(user.told("dies").expect("it runs")["listens"][0], desktop.listener.as_str());
    desktop.look();
    kill(
        process_of(&format!("Xvfb -displayfd 1 -noreset -nolisten tcp -auth {}", user.folder.display())).expect("Xvfb"),
    );
    wait_for("the desktop's end", || user.told("dies").is_none());
    wait_for("an empty folder", || user.is_clean());
    let log = std::fs::read_to_string(user.folder.join("state/farpane/desktops/dies.log")).expect("a log");
    assert!(log.contains("Xvfb was ended by signal 9"), "{log}");
}

#[test]
fn a_supervisor_that_is_killed_takes_all_with_it_and_its_name_is_free() {
    let Some(user) = User::new("killed") else { return };
    let mark = format!("4000.{}", std::process::id());
    let desktop = user.start("killed", &[], &["sleep", &mark]);
    let [supervisor, server] = ["pid", "server"].map(|which| user.process("killed", which));
    kill(supervisor);
    wait_for("the others' end", || !is_alive(server) && !runs(&format!("sleep {mark}")) && desktop.is_gone());
    assert!(user.told("killed").is_none());
    user.start("killed", &[], &["sleep", "1000"]);
    assert!(user.farpane(&["stop", "killed"]).status.success());
    assert!(user.is_clean());
}

#[test]
fn what_cannot_be_a_desktop_is_refused_in_one_line_and_leaves_nothing() {
    let Some(user) = User::new("bad") else { return };
    let start =
        |more: &[&str]| user.refused(&[&["start", "--security", "none", "--listen", "127.0.0.1:0"], more].concat());
    assert_eq!(start(&["--", "no-such-program"]), "farpane: no-such-program is not installed or not in PATH");
    let told = start(&["--name", "gone", "--", "sh", "-c", "echo last words; exit 3"]);
    let log = user.folder.join("state/farpane/desktops/gone.log");
    assert_eq!(
        told,
        format!(
            "farpane: sh -c echo last words; exit 3 ended with status 3 at once; its last words are in {}",
            log.display()
        )
    );
    assert!(std::fs::read_to_string(log).expect("a log").contains("last words\n"));
    // a server that does not come up
    let told = start(&["--name", "taken", "--config", "/nonexistent.toml", "--", "sleep", "1000"]);
    assert!(told.starts_with("farpane: the server ended with status 2; its last words are in "), "{told}");
    for (words, why) in [
        (&["--size", "0x0"][..], "size \"0x0\""),
        (&["--size", "70000x64"], "64x64 to 16384x16384"),
        (&["--name", "../etc"], "desktop name \"../etc\""),
        (&["--size", "800x600", "--largest", "640x480"], "--largest 640x480 is smaller than --size 800x600"),
    ] {
        let told = start(words);
        assert!(told.contains(why), "{told}");
    }
    assert!(user.refused(&["stop", "nobody"]).contains("no desktop nobody runs"));
    user.start("once", &[], &["sleep", "1000"]);
    let told = start(&["--name", "once", "--", "sleep", "1000"]);
    assert!(told.contains("desktop once runs already"), "{told}");
    assert!(user.farpane(&["stop", "--all"]).status.success());
    assert!(user.is_clean());
}
