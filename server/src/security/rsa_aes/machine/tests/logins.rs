//! What the server's end takes and refuses, step by step.

use super::super::*;
use super::{real_keys, terms};
use crate::auth::Secret;
use crate::security::rsa_aes::RsaAesError;
use crate::security::rsa_aes::key::{KEY_BITS, RsaKey, choose};

#[test]
fn keys_that_are_not_taken_are_refused_at_their_length() {
    let public = real_keys()[0].public();
    for (bits, taken) in [(1024u32, false), (2047, false), (2048, true), (4096, true), (4097, false), (16_384, false)] {
        let terms = ServerTerms { client_bits: 2048..=4096, ..terms(public, Subtype::UserPassword) };
        let mut machine = ServerMachine::new(Kind::Ra2x256, terms, &[3; 32], &[4; 32]);
        match machine.advance(&bits.to_be_bytes()) {
            Ok(step) => assert!(taken && step.used == 4 && step.is_idle(), "{bits}"),
            Err(RsaAesError::PeerKey(KeyError::Bits { least: 2048, most: 4096, .. })) => assert!(!taken, "{bits}"),
            Err(other) => panic!("{bits}: {other}"),
        }
        assert!(taken || machine.advance(&[]).is_err(), "once refused, always refused");
        assert!(machine.inbox.0.capacity() < 64, "nothing was kept for {bits} bits");
    }
    for (at, byte) in [(4 + 255, 0), (4, 0), (515, 0), (515, 1), (300, 1)] {
        let mut block = real_keys()[1].public().block().to_vec();
        block[at] = byte;
        if at == 515 {
            block[513] = 0;
        }
        let mut machine = ServerMachine::new(Kind::Ra2x256, terms(public, Subtype::UserPassword), &[3; 32], &[4; 32]);
        assert!(matches!(machine.advance(&block), Err(RsaAesError::PeerKey(_))), "{byte} at {at}");
    }
}

/// A server that has got as far as the client's random number.
fn at_random(kind: Kind) -> ServerMachine {
    let terms = terms(real_keys()[0].public(), Subtype::UserPassword);
    let mut machine = ServerMachine::new(kind, terms, &[3; 32], &[4; 32]);
    machine.advance(real_keys()[1].public().block()).expect("a key");
    machine.encrypted(Some(vec![9; 256])).expect("sent");
    machine
}

#[test]
fn what_cannot_be_decrypted_looks_like_what_can() {
    for plain in [None, Some(&[][..]), Some(&[5; 15]), Some(&[5; 16]), Some(&[5; 31]), Some(&[5; 33])] {
        let mut machine = at_random(Kind::Ra2x256);
        let step = machine.advance(&[&[1, 0][..], &[7; 256]].concat()).expect("a block");
        assert!(matches!(step.event, Some(ServerEvent::Decrypt(block)) if block == [7; 256]));
        let said = machine.decrypted(plain).expect("a record all the same");
        assert_eq!(said.len(), 2 + 32 + 16);
        // only the hash shows it, as any wrong hash does
        let bad = machine.advance(&[&[0, 32][..], &[0; 48]].concat());
        assert!(matches!(bad, Err(RsaAesError::Failed(Failed))));
    }
    // a length that the key does not have says nothing about its bytes
    for length in [0u16, 1, 255, 257, 384, 0xffff] {
        assert!(matches!(at_random(Kind::Ra2x256).advance(&length.to_be_bytes()), Err(RsaAesError::Failed(_))));
    }
}

#[test]
fn the_spare_number_is_taken_where_the_other_is_none() {
    assert_eq!(choose(Some(&[1, 2, 3]), &[7, 8, 9]).as_slice(), [1, 2, 3]);
    for bad in [None, Some(&[][..]), Some(&[1, 2]), Some(&[1, 2, 3, 4])] {
        assert_eq!(choose(bad, &[7, 8, 9]).as_slice(), [7, 8, 9]);
    }
}

/// A server that has proved itself and knows that the client did, and the client's link.
fn proved(kind: Kind) -> (ServerMachine, Link) {
    let mut machine = at_random(kind);
    machine.advance(&[&[1, 0][..], &[7; 256]].concat()).expect("a block");
    let random = vec![5; kind.secret_len()];
    let mut said = machine.decrypted(Some(&random)).expect("sent");
    let server_random = vec![3; kind.secret_len()];
    let mut link = kind.link(&random, &server_random).expect("keys");
    link.opener.open(&mut said).expect("the server's hash");
    let (ours, theirs) = (real_keys()[1].public().block(), real_keys()[0].public().block());
    let hash = link.seal(&kind.hash(ours, theirs)).expect("sent");
    let mut subtype = machine.advance(&hash).expect("the hash").output;
    assert_eq!(link.opener.open(&mut subtype).expect("a record"), [1]);
    (machine, link)
}

fn login(machine: &mut ServerMachine, wire: &[u8]) -> Result<Option<(String, String)>, RsaAesError> {
    let mut at = 0;
    loop {
        let step = machine.advance(&wire[at..])?;
        at += step.used;
        match step.event {
            Some(ServerEvent::Login { user, password }) => return Ok(Some((user, password.reveal().to_owned()))),
            _ if step.is_idle() => return Ok(None),
            _ => {}
        }
    }
}

#[test]
fn credentials_may_be_as_long_as_they_get_and_come_in_any_records() {
    let longest = [&[255][..], &[b'u'; 255], &[255], &[b'p'; 255]].concat();
    for size in [1, 7, 256, 512] {
        let (mut machine, mut link) = proved(Kind::Ra2x256);
        let wire: Vec<u8> = longest.chunks(size).flat_map(|part| link.seal(part).expect("sent")).collect();
        let login = login(&mut machine, &wire).expect("good").expect("whole");
        assert_eq!(login, ("u".repeat(255), "p".repeat(255)));
    }
    // what follows in the same record is RFB, where RFB is in records
    let behind = [&b"\x03ann\x02pw"[..], &[1]].concat();
    let (mut machine, mut link) = proved(Kind::Ra2);
    let wire = link.seal(&behind).expect("sent");
    assert_eq!(login(&mut machine, &wire).expect("good"), Some(("ann".into(), "pw".into())));
    assert_eq!(machine.into_records().expect("complete").early.as_slice(), [1]);
    let (mut machine, mut link) = proved(Kind::Ra2Ne);
    let wire = link.seal(&behind).expect("sent");
    assert!(login(&mut machine, &wire).is_err());
}

#[test]
fn credentials_that_are_no_text_or_in_bad_records_are_refused() {
    let (kind, good) = (Kind::Ra2x256, &b"\x03ann\x02pw"[..]);
    let after = |wire: &dyn Fn(&mut Link) -> Vec<u8>| {
        let (mut machine, mut link) = proved(kind);
        let wire = wire(&mut link);
        login(&mut machine, &wire)
    };
    assert_eq!(after(&|link| link.seal(good).expect("sent")).expect("good"), Some(("ann".into(), "pw".into())));
    assert!(after(&|link| link.seal(b"\x03an\xff\x02pw").expect("sent")).is_err(), "no UTF-8");
    assert!(after(&|link| link.seal(b"\x03ann\x02p\xff").expect("sent")).is_err(), "no UTF-8");
    assert!(after(&|link| link.seal(&[]).expect("sent")).is_err(), "an empty record");
    assert!(after(&|link| link.seal(&[0; 1025]).expect("sent")).is_err(), "a long record");
    assert_eq!(after(&|link| link.seal(b"\x03ann\x09pw").expect("sent")).expect("good so far"), None, "not whole");
    let skipped = after(&|link| {
        link.seal(good).expect("a lost record");
        link.seal(good).expect("sent")
    });
    assert!(skipped.is_err(), "a wrong number");
    let replayed = after(&|link| {
        let first = link.seal(&good[..3]).expect("sent");
        [&first[..], &first].concat()
    });
    assert!(replayed.is_err(), "a record twice");
    let swapped = after(&|link| {
        let (first, second) = (link.seal(&good[..3]).expect("sent"), link.seal(&good[3..]).expect("sent"));
        [second, first].concat()
    });
    assert!(swapped.is_err(), "records swapped");
}

#[test]
fn a_password_alone_comes_without_a_name() {
    let say = |user: &[u8]| {
        let (mut machine, mut link) = proved(Kind::Ra2x256);
        machine.terms.subtype = Subtype::Password;
        let wire = link.seal(&[&[user.len() as u8], user, b"\x02pw"].concat()).expect("sent");
        login(&mut machine, &wire)
    };
    assert_eq!(say(b"").expect("good"), Some((String::new(), "pw".into())));
    assert!(say(b"ann").is_err());
    assert_eq!((Subtype::of(0), Subtype::of(3)), (None, None));
}

#[test]
fn calls_out_of_turn_fail() {
    let mut machine = at_random(Kind::Ra2);
    assert!(machine.decrypted(Some(&[5; 16])).is_err());
    assert!(machine.advance(&[]).is_err(), "and the machine is over");
    let mut machine = at_random(Kind::Ra2);
    assert!(machine.encrypted(Some(vec![0; 256])).is_err());
    assert!(at_random(Kind::Ra2).into_records().is_err());
    let mut client = ClientMachine::new(Kind::Ra2, real_keys()[1].public().clone(), KEY_BITS, &[5; 32]);
    assert!(client.log_in("ann", &Secret::new("pw".into())).is_err() && client.advance(&[]).is_err());
}

#[test]
fn nothing_secret_is_printed() {
    let event = ServerEvent::Login { user: "ann".into(), password: Secret::new("hunter2".into()) };
    assert!(!format!("{event:?}").contains("hunter2"));
}
