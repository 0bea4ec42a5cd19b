//! The process: its listeners, and how it ends.

use std::time::{Duration, Instant};

use super::{BINARY, STILL, expected, serve};
use farpane_test_support::{ClientError, Server, encoding};

#[test]
fn a_unix_socket_serves_too_and_the_process_ends_at_once() {
    let path = std::env::temp_dir().join(format!("farpane-protocol-{}.sock", std::process::id()));
    let listener = format!("unix:{}", path.display());
    let source = format!("synthetic:{STILL}");
    let arguments = ["serve", "--source", &source, "--listen", &listener, "--security", "none"];
    let server = Server::start(BINARY, &arguments);
    assert_eq!(server.listeners(), [listener]);
    let mut client = server.client().expect("a client");
    client.set_encodings(&[encoding::HEXTILE, encoding::CURSOR]).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&expected(STILL)).expect("the scene");
    server.stop();
    assert!(matches!(client.pump(Instant::now() + Duration::from_secs(5)), Err(ClientError::Closed)));
}

#[test]
fn a_taken_port_is_one_clear_line_and_status_1() {
    let first = serve();
    let listener = first.listener();
    let mut second = Server::spawn(BINARY, &["serve", "--source", "synthetic:64x64", "--listen", &listener]);
    let status = second.wait_for_end(Duration::from_secs(10));
    assert_eq!(status.code(), Some(1), "{}", second.log());
    assert!(second.log().contains(&listener), "{}", second.log());
}

#[test]
fn none_off_loopback_is_refused_before_listening() {
    let mut server =
        Server::spawn(BINARY, &["serve", "--source", "synthetic:64x64", "--listen", "0.0.0.0:0", "--security", "none"]);
    assert_eq!(server.wait_for_end(Duration::from_secs(10)).code(), Some(2), "{}", server.log());
    assert_eq!(server.listeners(), Vec::<String>::new());
}
