//! Who gets in through a Unix socket.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use farpane_server::net::{Bound, ListenerId, ListenerSettings, UnixPeers};
use farpane_test_support::namespace::find;
use farpane_test_support::xvfb::skip;
use farpane_test_support::{Client, PATIENCE, Raw, Security, Server};

use super::{FARPANE, Scratch};

/// Says hello over a Unix socket and prints all that comes back.
const CALLER: &str = "
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
said = b''
while True:
    more = s.recv(4096)
    if not more: break
    said += more
    if said == b'RFB 003.008\\n': break
sys.stdout.buffer.write(said)
";

fn serve(path: &str) -> Server {
    let listener = format!("unix:{path}");
    let common = ["serve", "--source", "synthetic:64x64:still", "--security", "none", "--listen"];
    Server::start(FARPANE, &[&common[..], &[&listener]].concat())
}

#[test]
fn its_own_user_gets_in_and_another_is_told_why_not() {
    let scratch = Scratch::new("unix");
    let path = scratch.path("farpane.sock");
    let server = serve(&path);
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let raw = Raw::connect(&format!("unix:{path}"), PATIENCE).expect("a connection");
    Client::handshake(raw, "RFB 003.008\n", Security::None, true).expect("its own user gets in");

    // not the first in PATH, which may be one that another user cannot run
    let python = "/usr/bin/python3";
    if !rustix::process::geteuid().is_root() || find("setpriv").is_none() || !Path::new(python).exists() {
        return skip("another user needs root, setpriv and /usr/bin/python3");
    }
    // an administrator's mistake: the file lets everybody at the socket
    std::fs::set_permissions(&scratch.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let call = |user: &str| {
        let user = [format!("--reuid={user}"), format!("--regid={user}")];
        let words = ["--clear-groups", python, "-c", CALLER, path.as_str()];
        let output = Command::new("setpriv").args(user).args(words).output().expect("setpriv runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = call("65534");
    assert!(said.contains("not for user 65534") && said.contains("serves user 0"), "{said:?}");
    server.wait_for_log("not for user 65534");
    assert_eq!(call("0"), "RFB 003.008\n");
    server.stop();
}

#[test]
fn the_file_lets_in_whom_the_settings_name_and_both_kinds_at_once_are_refused() {
    let scratch = Scratch::new("unix-peers");
    let bound = |name: &str, unix_peers: UnixPeers| {
        let address = format!("unix:{}", scratch.path(name)).parse().unwrap();
        Bound::bind(ListenerId(0), &ListenerSettings { address, allowed_origins: vec![], unix_peers, secure: None })
    };
    let mode = |name: &str| std::fs::metadata(scratch.path(name)).unwrap().mode() & 0o7777;
    let _named = bound("named", UnixPeers { users: vec![65534], group: None }).unwrap();
    assert_eq!(mode("named"), 0o666);
    let ours = rustix::process::getegid().as_raw();
    let _group = bound("group", UnixPeers { users: vec![], group: Some(ours) }).unwrap();
    assert_eq!(mode("group"), 0o660);
    assert_eq!(std::fs::metadata(scratch.path("group")).unwrap().gid(), ours);
    let both = bound("both", UnixPeers { users: vec![1], group: Some(ours) }).err().unwrap().to_string();
    assert!(both.contains("expected one of them"), "{both}");
}

#[test]
fn unix_alone_is_in_the_runtime_folder() {
    let scratch = Scratch::new("runtime");
    let run = |folder: Option<&str>| {
        let mut command = Command::new(FARPANE);
        command.args(["check", "--listen", "unix:"]).env("HOME", "/nonexistent").env_remove("XDG_CONFIG_HOME");
        match folder {
            Some(folder) => command.env("XDG_RUNTIME_DIR", folder),
            None => command.env_remove("XDG_RUNTIME_DIR"),
        };
        command.output().expect("farpane runs")
    };
    let folder = scratch.0.to_str().unwrap();
    let printed = String::from_utf8(run(Some(folder)).stdout).unwrap();
    assert!(printed.contains(&format!("address = \"unix:{folder}/farpane.sock\"")), "{printed}");
    let without = run(None);
    assert_eq!(without.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&without.stderr).contains("XDG_RUNTIME_DIR"));
}
