//! What no proper client sends: its sender is closed, the others are served. And odd pieces and fences, which are proper.

use std::time::Duration;

use super::{STILL, expected, serve, still_serves};
use farpane_test_support::{Raw, Server, encoding};

#[test]
fn the_whole_list_of_65535_encodings_is_read() {
    let server = serve();
    let mut client = server.client().expect("a client");
    let mut list = vec![encoding::ZRLE, encoding::CURSOR];
    list.extend((0..65_533).map(|n| 0x6000_0000 + n));
    client.set_encodings(&list).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&expected(STILL)).expect("the scene");
}

#[test]
fn absurd_requests_are_clipped() {
    let server = serve();
    let mut client = server.client().expect("a client");
    client.set_encodings(&[encoding::RAW, encoding::CURSOR]).expect("a list");
    for (x, y, w, h) in [(65_535, 65_535, 65_535, 65_535), (333, 0, 1, 1), (0, 0, 0, 0), (0, 0, 65_535, 65_535)] {
        let place = [x, y, w, h].map(u16::to_be_bytes).concat();
        for incremental in [1, 0] {
            client.raw().send(&[&[3, incremental][..], &place].concat()).expect("a request");
        }
    }
    client.wait_for_picture(&expected(STILL)).expect("the scene");
}

/// Sends bytes that no proper client sends; only this client is closed, and the log names `fault`.
fn closes_only_this_client(server: &Server, bytes: &[u8], fault: &str) {
    let mut other = server.client().expect("another client");
    let mut client = server.client().expect("a client");
    client.raw().send(bytes).expect("bad bytes");
    client.raw().read_to_close().expect("a close");
    server.wait_for_log(fault);
    other.set_encodings(&[encoding::ZRLE, encoding::CURSOR]).expect("a list");
    other.watch().expect("a request");
    other.wait_for_picture(&expected(STILL)).expect("the scene");
}

#[test]
fn an_unknown_message_closes_only_its_sender() {
    closes_only_this_client(&serve(), &[99], "99");
}

#[test]
fn formats_that_make_no_sense_close_only_their_sender() {
    let server = serve();
    let good = [0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];
    let edits: [(&str, &[(usize, u8)]); 8] = [
        ("24 bits", &[(4, 24)]),
        ("no bits", &[(4, 0)]),
        ("depth above bits", &[(5, 33)]),
        ("crooked maximum", &[(9, 254)]),
        ("overlapping masks", &[(14, 8)]),
        ("a shift beyond the pixel", &[(14, 30)]),
        ("a shift of 255", &[(14, 255)]),
        ("a colour map of 32 bits", &[(7, 0)]),
    ];
    for (name, edit) in edits {
        let mut message = good;
        edit.iter().for_each(|(at, v)| message[*at] = *v);
        let mut client = server.client().expect("a client");
        client.raw().send(&message).expect("a bad format");
        client.raw().read_to_close().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    server.wait_for_log("peer");
    still_serves(&server);
}

#[test]
fn lengths_beyond_every_cap_close_only_their_sender() {
    let server = serve();
    let messages: [&[u8]; 3] = [
        // a clipboard length that cannot be negated, an extended one without flags, a fence of 255 bytes
        &[6, 0, 0, 0, 0x80, 0, 0, 0],
        &[6, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1],
        &[255, 77],
    ];
    for message in messages {
        let mut client = server.client().expect("a client");
        client.set_encodings(&[encoding::RAW, encoding::EXTENDED_CLIPBOARD]).expect("a list");
        client.raw().send(message).expect("a bad message");
        client.raw().read_to_close().unwrap_or_else(|e| panic!("{message:?}: {e}"));
    }
    still_serves(&server);
}

#[test]
fn raw_bytes_and_requests_in_any_pieces_are_understood() {
    let server = serve();
    let mut client = server.client().expect("a client");
    let mut bytes = vec![2, 0, 0, 2];
    bytes.extend([encoding::RAW, encoding::CURSOR].iter().flat_map(|e| e.to_be_bytes()));
    bytes.extend([3, 0, 0, 0, 0, 0, 1, 77, 0, 227]);
    client.set_encodings(&[encoding::RAW, encoding::CURSOR]).expect("a list");
    for byte in bytes {
        client.raw().send(&[byte]).expect("a byte");
    }
    client.wait_for_picture(&expected(STILL)).expect("the scene");
    let lone: Result<Raw, _> = Raw::connect(&server.listener(), Duration::from_secs(1));
    assert!(lone.is_ok());
}

#[test]
fn fences_come_back_with_their_payload() {
    let server = serve();
    let mut client = server.client().expect("a client");
    client.set_encodings(&[encoding::RAW, encoding::CURSOR, encoding::FENCE]).expect("a list");
    client.wait_until("the server's fence", |c| c.traffic.fences > 0).expect("a fence");
    client.send_fence(0x107, b"payload").expect("a fence");
    client.send_fence(0, &[7; 64]).expect("a fence");
    client.send_fence(0, &[]).expect("a fence");
    client.wait_until("three answers", |c| c.traffic.pongs.len() == 3).expect("answers");
    assert_eq!(client.traffic.pongs, [(7, b"payload".to_vec()), (0, vec![7; 64]), (0, Vec::new())]);
}
