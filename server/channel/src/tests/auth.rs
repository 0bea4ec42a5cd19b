//! Which record may come when, and the limits before authentication.

use super::*;
use crate::error::ChannelError;
use crate::limits;
use crate::record::{Close, CloseReason, Ping};
use std::time::Duration;

#[test]
fn authentication_goes_both_ways_until_the_server_sends_rfb() {
    let (mut server, mut viewer) = fresh();
    let mut wire = Vec::new();
    server.auth(b"who?", &mut wire).expect("open");
    assert_eq!(receive(&mut viewer, &wire), Ok(vec![Got::Auth(b"who?".to_vec())]));
    wire.clear();
    viewer.auth(b"ann", &mut wire).expect("open");
    assert_eq!(viewer.write(b"early", None, Instant::now(), &mut wire), Err(ChannelError::OutOfTurn));
    assert_eq!(receive(&mut server, &wire), Ok(vec![Got::Auth(b"ann".to_vec())]));
    assert!(!server.is_authenticated() && !viewer.is_authenticated());
    wire.clear();
    server.write(&[0; 4], None, Instant::now(), &mut wire).expect("the end of authentication");
    server.flush(&mut wire).expect("open");
    assert_eq!(receive(&mut viewer, &wire), Ok(vec![Got::Rfb(vec![0; 4])]));
    wire.clear();
    viewer.write(b"\x01", None, Instant::now(), &mut wire).expect("open");
    viewer.flush(&mut wire).expect("open");
    assert_eq!(receive(&mut server, &wire), Ok(vec![Got::Rfb(vec![1])]));
    assert_eq!(server.auth(b"late", &mut wire), Err(ChannelError::OutOfTurn));
    assert_eq!(viewer.auth(b"late", &mut wire), Err(ChannelError::OutOfTurn));
}

#[test]
fn rfb_before_the_end_of_authentication_breaks_the_servers_end() {
    let (mut server, mut viewer) = fresh();
    let mut unheard = Vec::new();
    // a viewer that believes itself admitted: its own machine would refuse
    let (mut other, _) = fresh();
    other.write(&[0; 4], None, Instant::now(), &mut unheard).expect("open");
    other.flush(&mut unheard).expect("open");
    receive(&mut viewer, &unheard).expect("the same keys");
    let mut wire = Vec::new();
    viewer.write(b"x", None, Instant::now(), &mut wire).expect("admitted, as it believes");
    viewer.flush(&mut wire).expect("open");
    assert_eq!(receive(&mut server, &wire), Err(ChannelError::Broken));
    assert_eq!(server.auth(b"x", &mut wire), Err(ChannelError::Broken), "closed for good");
    assert_eq!(receive(&mut server, &[0; 19]), Err(ChannelError::Broken));
}

#[test]
fn authentication_messages_after_its_end_break_the_channel() {
    let (server, mut viewer) = fresh();
    let mut late = Vec::new();
    viewer.auth(b"late", &mut late).expect("open");
    let mut server = server;
    server.write(&[0; 4], None, Instant::now(), &mut Vec::new()).expect("the end");
    assert_eq!(receive(&mut server, &late), Err(ChannelError::Broken));
}

#[test]
fn a_stranger_gets_64_kib_read_and_no_more() {
    let (mut server, mut viewer) = fresh();
    let mut read = 0;
    loop {
        let mut wire = Vec::new();
        viewer.auth(&[7; 16_000], &mut wire).expect("open");
        read += wire.len();
        let result = receive(&mut server, &wire);
        assert_eq!(result.is_ok(), read <= limits::BEFORE_AUTH, "{read} bytes");
        if result.is_err() {
            break;
        }
    }
    assert!(read > limits::BEFORE_AUTH);
}

#[test]
fn too_many_small_records_a_second_break_the_channel() {
    let (mut server, mut viewer) = open_pair();
    let begun = Instant::now();
    let mut sent = |viewer: &mut Channel, n: u32, at: Instant, data: &[u8]| {
        for _ in 0..n {
            let mut wire = Vec::new();
            viewer.write(data, None, at, &mut wire).expect("open");
            viewer.flush(&mut wire).expect("open");
            server.open(&wire, at)?;
        }
        Ok(())
    };
    let (later, most) = (begun + Duration::from_secs(1), limits::SMALL_RECORDS_PER_SECOND);
    assert_eq!(sent(&mut viewer, most, begun, &[0; 63]), Ok(()));
    assert_eq!(sent(&mut viewer, 5, begun, &[0; 64]), Ok(()), "64 bytes are not small");
    assert_eq!(sent(&mut viewer, most, later, &[0; 63]), Ok(()), "another second");
    assert_eq!(sent(&mut viewer, 1, later, &[]), Ok(()), "nothing is sent for nothing");
    assert_eq!(sent(&mut viewer, 1, later, &[0]), Err(ChannelError::Broken));
}

#[test]
fn messages_too_long_are_refused_and_may_be_tried_shorter() {
    let (mut server, mut viewer) = fresh();
    let mut wire = Vec::new();
    assert_eq!(viewer.auth(&[0; limits::AUTH_MESSAGE + 1], &mut wire), Err(ChannelError::AuthTooLong(16_385)));
    assert!(wire.is_empty());
    viewer.auth(&[0; limits::AUTH_MESSAGE], &mut wire).expect("the longest");
    assert_eq!(receive(&mut server, &wire), Ok(vec![Got::Auth(vec![0; 16_384])]));
}

#[test]
fn a_close_is_the_last_word_and_its_absence_is_truncation() {
    let (mut server, mut viewer) = open_pair();
    let mut wire = Vec::new();
    server.write(b"last", None, Instant::now(), &mut wire).expect("open");
    let close = Close { reason: CloseReason::TryLater, retry_after_s: 30 };
    server.close(close, &mut wire).expect("open");
    assert_eq!(server.write(b"more", None, Instant::now(), &mut wire), Err(ChannelError::Closed));
    assert_eq!(server.flush(&mut wire), Err(ChannelError::Closed));
    assert_eq!(server.ping(Ping { answer: false, token: 1 }, &mut wire), Err(ChannelError::Closed));
    assert_eq!(server.close(close, &mut wire), Err(ChannelError::Closed));
    wire.extend(b"what an attacker appends");
    assert_eq!(receive(&mut viewer, &wire), Ok(vec![Got::Rfb(b"last".to_vec()), Got::Close(close)]));
    assert_eq!(viewer.end(), Ok(close));
    // the other direction is still open, and ends without a word
    assert_eq!(server.end(), Err(ChannelError::Truncated));
    assert_eq!(receive(&mut server, &[0; 2]), Err(ChannelError::Broken));
}

#[test]
fn pings_carry_their_token_both_ways() {
    let (mut server, mut viewer) = fresh();
    let (mut wire, ask) = (Vec::new(), Ping { answer: false, token: 0x1234_5678_9abc_def0 });
    server.ping(ask, &mut wire).expect("open");
    assert_eq!(receive(&mut viewer, &wire), Ok(vec![Got::Ping(ask)]));
    wire.clear();
    viewer.ping(Ping { answer: true, ..ask }, &mut wire).expect("open");
    assert_eq!(receive(&mut server, &wire), Ok(vec![Got::Ping(Ping { answer: true, ..ask })]));
}
