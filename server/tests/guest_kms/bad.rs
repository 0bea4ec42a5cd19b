//! Clients of the helper that may not, or that say what nobody understands.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::room::{FARPANE, Helper, in_guest, painter, said, scene, share, shows, side_by_side, viewer};

const ONE: [(u16, u16); 1] = [(640, 480)];

fn message(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes()[..], text].concat()
}

/// Reads until the helper closes; says whether it did within a time.
fn is_closed(socket: &mut UnixStream) -> bool {
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    let mut rest = Vec::new();
    match socket.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_stranger_is_told_nothing() {
    if !in_guest() {
        return;
    }
    let _painter = painter(&ONE);
    let helper = Helper::start(&["--allow", "12345"]);
    let mut socket = helper.connect();
    let mut first = Vec::new();
    socket.read_to_end(&mut first).expect("is closed");
    assert!(first.is_empty(), "{first:?}");
    let mut serve = Command::new(FARPANE);
    serve.args(["serve", "--source", "kms", "--listen", "127.0.0.1:0", "--security", "none"]);
    let (good, text) = said({
        serve.envs(helper.environment());
        serve
    });
    assert!(!good && text.contains("is user 0 among those of its --allow?"), "{text}");
}

#[test]
fn what_nobody_understands_ends_its_client_and_nobody_else() {
    if !in_guest() {
        return;
    }
    let mut painter = painter(&ONE);
    let mut helper = Helper::start(&["--allow", "root"]);
    let server = share(&helper, "kms");
    let mut client = viewer(&server);
    shows(&server, &mut client, &side_by_side(&ONE, |_, x, y| scene(0)(x, y)), "the first picture");
    let wrong = [
        message(b"{}"),
        message(b"nonsense"),
        message(br#"{"watch":"card0"}"#),
        message(br#"{"watch":0,"also":1}"#),
        message(br#"{"events":[{"key":{"code":70000,"down":true}}]}"#),
        message(&vec![b' '; 16 * 1024]),
        (16 * 1024u32 + 1).to_be_bytes().to_vec(),
        u32::MAX.to_be_bytes().to_vec(),
        vec![0; 4],
    ];
    for bytes in wrong {
        let mut socket = helper.connect();
        socket.write_all(&bytes).expect("takes it");
        assert!(is_closed(&mut socket), "{bytes:?}");
    }
    // out of order, and of screens that are not there: nothing happens, or it is said so
    let mut socket = helper.connect();
    for ask in [&br#"{"next":0}"#[..], br#"{"leave":7}"#, br#"{"watch":4294967295}"#, br#"{"input":false}"#] {
        socket.write_all(&message(ask)).expect("takes it");
    }
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    let mut told = String::new();
    let mut bytes = [0; 4096];
    while !told.contains("lost") {
        let read = socket.read(&mut bytes).expect("is answered");
        assert!(read > 0, "closed after {told}");
        told.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    // a message that never ends
    let mut slow = helper.connect();
    slow.write_all(&[0, 0]).expect("takes it");
    assert!(is_closed(&mut slow), "half a message");
    assert!(helper.runs());
    painter.paint(0, scene(3));
    shows(&server, &mut client, &side_by_side(&ONE, |_, x, y| scene(3)(x, y)), "the next picture");
}

#[test]
fn no_more_clients_than_a_machine_has_servers() {
    if !in_guest() {
        return;
    }
    let _painter = painter(&ONE);
    let helper = Helper::start(&["--allow", "root"]);
    // the place of who looked whether it listens is free again
    std::thread::sleep(Duration::from_millis(500));
    let mut clients: Vec<UnixStream> = (0..8).map(|_| helper.connect()).collect();
    for client in &mut clients {
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        client.read_exact(&mut [0; 8]).expect("is told the screens");
    }
    assert!(is_closed(&mut helper.connect()), "the ninth");
    drop(clients.pop());
    let mut again = helper.connect();
    again.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    // its place is free once its thread has ended
    let mut tries = 0;
    while again.read_exact(&mut [0; 8]).is_err() {
        tries += 1;
        assert!(tries < 50, "no place is ever free again");
        std::thread::sleep(Duration::from_millis(100));
        again = helper.connect();
    }
}
