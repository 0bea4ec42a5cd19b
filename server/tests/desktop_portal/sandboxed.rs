//! The built server, shut in, with a viewer: the portal is asked before, and again through the opener.

use farpane_engine::geometry::Size;
use farpane_test_support::desktop::Desktop;
use farpane_test_support::{Server, encoding};

const FARPANE: &str = env!("CARGO_BIN_EXE_farpane");

/// Every thread's value of a line in its status.
fn threads(pid: u32, line: &str) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("runs").flatten();
    let status = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
    status.filter_map(|s| s.lines().find_map(|l| l.strip_prefix(line)).map(|v| v.trim().to_owned())).collect()
}

#[test]
fn a_shut_in_server_shares_gnome_and_finds_it_again_after_a_crash() {
    let Some(mut desktop) = Desktop::start("mutter", &["--monitor", "640x480", "--monitor", "320x240"]) else { return };
    let state = desktop.dir().join("state");
    let mut environment: Vec<(&str, &str)> =
        desktop.environment.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    environment.push(("XDG_STATE_HOME", state.to_str().expect("plain")));
    // nothing of this machine's displays; and `auto` finds the session
    environment.push(("DISPLAY", ""));
    let arguments = ["serve", "--source", "auto", "--security", "none", "--listen", "127.0.0.1:0"];
    let server = Server::start_in(FARPANE, &arguments, &environment);
    server.wait_for_log("chose what to share");
    let mut client = server.client().expect("is let in");
    client.set_encodings(&[encoding::ZRLE, encoding::DESKTOP_SIZE]).expect("a list");
    client.watch().expect("asks");
    client.wait_until("a picture", |c| !c.traffic.updates.is_empty()).expect("a picture");
    assert_eq!(client.picture().size(), Size::new(960, 480));
    let seccomp = threads(server.pid(), "Seccomp:");
    assert!(seccomp.len() > 4 && seccomp.iter().all(|v| v == "2"), "{seccomp:?}");
    desktop.stop("mutter");
    server.wait_for_log("the desktop is gone");
    desktop.again("mutter");
    server.wait_for_log("desktop is back");
    // the first may be of what was there before
    for _ in 0..2 {
        let before = client.traffic.updates.len();
        client.request(false, Size::new(960, 480).rect()).expect("asks");
        client.wait_until("a picture of it", |c| c.traffic.updates.len() > before).expect("a picture");
    }
    assert!(threads(server.pid(), "Seccomp:").iter().all(|v| v == "2"));
}
