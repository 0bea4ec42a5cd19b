//! Versions and security types, up to the first message.

use super::{V38, serve, still_serves};
use farpane_engine::geometry::Size;
use farpane_engine::pixel::ClientFormat;
use farpane_test_support::ClientError;

#[test]
fn every_version_gets_in_without_security() {
    let server = serve();
    for version in ["003.003", "003.004", "003.005", "003.006", "003.007", "003.008", "003.014", "003.889"] {
        let text = format!("RFB {version}\n");
        // versions above 3.8 are spoken to as 3.8
        let mut raw = server.raw();
        raw.versions(&text).expect("a version");
        let minor: u16 = version[4..].parse().expect("a number");
        if minor < 7 {
            assert_eq!(raw.imposed_type().expect("a type"), 1, "{version}");
        } else {
            assert_eq!(raw.security_types().expect("types"), [1], "{version}");
            raw.send(&[1]).expect("a choice");
        }
        if minor >= 8 {
            raw.security_result(true).expect("success");
        }
        let init = raw.init(true).unwrap_or_else(|e| panic!("{version}: {e}"));
        assert_eq!(init.size, Size::new(333, 227), "{version}");
        assert_eq!(init.format, ClientFormat::BGRX);
    }
}

#[test]
fn another_major_version_is_refused_with_a_reason() {
    let server = serve();
    let mut raw = server.raw();
    raw.versions("RFB 004.001\n").expect("a version");
    let refused = raw.security_types();
    assert!(matches!(&refused, Err(ClientError::Refused(reason)) if !reason.is_empty()), "{refused:?}");
    raw.read_to_close().expect("a close");
    still_serves(&server);
}

#[test]
fn what_is_no_version_is_closed_without_an_answer() {
    let server = serve();
    for garbage in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "RFB 003_008\n", "\0\0\0\0\0\0\0\0\0\0\0\0"] {
        let mut raw = server.raw();
        raw.read(12).expect("the banner");
        raw.send(garbage.as_bytes()).expect("garbage");
        assert_eq!(raw.read_to_close().expect("a close"), [], "{garbage:?}");
    }
    still_serves(&server);
}

#[test]
fn a_type_that_was_not_offered_is_refused() {
    let server = serve();
    for chosen in [0, 2, 5, 16, 19, 255] {
        let mut raw = server.raw();
        raw.versions(V38).expect("a version");
        assert_eq!(raw.security_types().expect("types"), [1]);
        raw.send(&[chosen]).expect("a choice");
        let answer = raw.read_to_close().expect("a close");
        assert_ne!(answer.get(..4), Some(&[0; 4][..]), "type {chosen} was let in");
    }
    still_serves(&server);
}

#[test]
fn a_client_that_leaves_at_any_byte_of_the_handshake_harms_nobody() {
    let server = serve();
    let spoken = [V38.as_bytes(), &[1, 1]].concat();
    for n in 0..=spoken.len() {
        let mut raw = server.raw();
        raw.send(&spoken[..n]).expect("some bytes");
    }
    still_serves(&server);
}

#[test]
fn a_handshake_in_single_bytes_succeeds() {
    let server = serve();
    let mut raw = server.raw();
    for byte in [V38.as_bytes(), &[1, 1]].concat() {
        raw.send(&[byte]).expect("a byte");
    }
    // banner, one type, result, then the size
    let answer = raw.read(12 + 2 + 4 + 4).expect("an answer");
    assert_eq!(answer[12..], [1, 1, 0, 0, 0, 0, 1, 77, 0, 227]);
}
