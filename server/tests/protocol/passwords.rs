//! VncAuth: the right password, wrong ones, and challenges.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{BINARY, STILL, V38};
use farpane_test_support::{Client, ClientError, Security, Server};

/// A server that asks for `goldpass`, and the file that holds it.
fn guarded() -> (Server, PathBuf) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("farpane-protocol-{}-{number}.passwd", std::process::id()));
    let mut make = Command::new(BINARY)
        .args(["password".as_ref(), path.as_os_str()])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the password command");
    make.stdin.take().expect("a pipe").write_all(b"goldpass\n").expect("a line");
    assert!(make.wait().expect("an end").success());
    let file = path.to_str().expect("a plain path");
    (Server::synthetic(BINARY, STILL, &["--security", "vncauth", "--password-file", file]), path)
}

#[test]
fn the_right_password_gets_in_by_every_version() {
    let (server, path) = guarded();
    for version in ["RFB 003.003\n", "RFB 003.007\n", V38] {
        Client::handshake(server.raw(), version, Security::VncAuth("goldpass"), true)
            .unwrap_or_else(|e| panic!("{version:?}: {e}"));
    }
    let none = Client::handshake(server.raw(), V38, Security::None, true);
    assert!(matches!(none, Err(ClientError::Handshake(_))), "None was offered");
    std::fs::remove_file(path).expect("the password file");
}

#[test]
fn a_wrong_password_is_refused_late_and_with_a_reason_only_in_3_8() {
    let (server, path) = guarded();
    for (version, reason) in [("RFB 003.003\n", false), ("RFB 003.007\n", false), (V38, true)] {
        let start = Instant::now();
        match Client::handshake(server.raw(), version, Security::VncAuth("wrongpw1"), true) {
            Err(ClientError::Refused(words)) => assert_eq!(!words.is_empty(), reason, "{version:?}"),
            other => panic!("{version:?}: {other:?}"),
        }
        assert!(start.elapsed() >= Duration::from_millis(50), "{version:?}: refused at once");
    }
    std::fs::remove_file(path).expect("the password file");
}

#[test]
fn challenges_are_never_repeated() {
    let (server, path) = guarded();
    let challenges: std::collections::BTreeSet<Vec<u8>> = (0..8)
        .map(|_| {
            let mut raw = server.raw();
            raw.versions(V38).expect("a version");
            assert_eq!(raw.security_types().expect("types"), [2]);
            raw.send(&[2]).expect("a choice");
            raw.read(16).expect("a challenge")
        })
        .collect();
    assert_eq!(challenges.len(), 8);
    std::fs::remove_file(path).expect("the password file");
}
