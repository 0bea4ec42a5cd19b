use super::*;
use crate::channel::Binding;
use crate::hello::{ClientHello, HelloError};
use crate::identity::Identity;
use crate::tests::{
    RFB, connect, feed_server, feed_viewer, hello, server, server_with, transcript, viewer, viewer_with,
};
use crate::transcript::Transcript;
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// Message 1 with its suite, message 2 and message 3 of a handshake between the usual ends, which need no random bytes.
fn messages() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (mut server, mut viewer) = (server(), viewer());
    let (first, _) = feed_viewer(&mut viewer, &server.offer(), 99).expect("an offer");
    let (second, _) = feed_server(&mut server, &first, 99).expect("message 1");
    feed_viewer(&mut viewer, &second, 9999).expect("message 2");
    (first, second, viewer.proceed(&hello()).expect("message 3"))
}

#[test]
fn both_ends_agree_whatever_the_pieces() {
    let mut hashes = Vec::new();
    for piece in [1, 2, 3, 31, 35, 10_000] {
        let (server, viewer) = connect(server(), viewer(), piece);
        assert_eq!(server.handshake_hash(), viewer.handshake_hash());
        assert_eq!(server.binding(), viewer.binding());
        assert_eq!(server.peer(), Identity::from_secret(&[2; 32]).public());
        assert_eq!(viewer.peer(), Identity::from_secret(&[1; 32]).public());
        assert!(!server.is_authenticated());
        hashes.push(*server.handshake_hash());
    }
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "the same entropy gives the same handshake");
}

#[test]
fn the_binding_is_hkdf_of_the_handshake_hash() {
    use hkdf::hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;
    let hmac = |key: &[u8], data: &[u8]| -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
        mac.update(data);
        mac.finalize().into_bytes().into()
    };
    let (server, _) = connect(server(), viewer(), 100);
    let key = hmac(&[0; 32], server.handshake_hash());
    let by_hand = hmac(&key, b"farpane-bind/1\x01");
    let binding: Binding = server.binding();
    assert_eq!(*binding.as_bytes(), by_hand);
    assert_ne!(binding.as_bytes(), server.handshake_hash());
}

#[test]
fn the_events_carry_what_the_peer_said() {
    let (mut server, mut viewer) = (server(), viewer());
    let (first, _) = feed_viewer(&mut viewer, &server.offer(), 99).expect("an offer");
    assert_eq!(first.len(), 1 + 2 + 32);
    let (second, _) = feed_server(&mut server, &first, 99).expect("message 1");
    assert_eq!(second.len(), 2 + 96 + 8);
    let (_, event) = feed_viewer(&mut viewer, &second, 99).expect("message 2");
    let key = Identity::from_secret(&[1; 32]).public();
    let said = crate::hello::ServerHello { auth: crate::hello::AuthKinds::PASSWORD, ..Default::default() };
    assert_eq!(event, Some(ViewerEvent::Server { key, hello: said }));
    let third = viewer.proceed(&hello()).expect("message 3");
    let (_, event) = feed_server(&mut server, &third, 99).expect("message 3");
    let key = Identity::from_secret(&[2; 32]).public();
    assert_eq!(event, Some(ServerEvent::Viewer { key, hello: hello() }));
}

#[test]
fn bytes_behind_the_handshake_are_left_for_the_channel() {
    let (first, _, third) = messages();
    let mut server = server();
    feed_server(&mut server, &first, 99).expect("message 1");
    let with_more = [&third[..], b"record"].concat();
    let step = server.advance(&with_more, Instant::now()).expect("message 3");
    assert_eq!(step.used, third.len());
    assert!(server.advance(b"record", Instant::now()).expect("done").is_idle());
    assert_eq!(server.deadline(), None);
    assert!(server.into_channel().is_ok());
}

/// Runs a handshake whose ends heard different things; the first error, and of which end.
fn with_ends(
    server_said: Transcript,
    viewer_said: Transcript,
    offer: Option<[u8; 4]>,
    suite: u8,
) -> Result<(), (bool, HandshakeError)> {
    let engine = Engine::default();
    let (mut server, mut viewer) = (server_with(engine, server_said, 1), viewer_with(engine, viewer_said));
    let offer = offer.unwrap_or(server.offer());
    let (mut first, _) = feed_viewer(&mut viewer, &offer, 99).map_err(|e| (false, e))?;
    first[0] = suite;
    let (second, _) = feed_server(&mut server, &first, 99).map_err(|e| (true, e))?;
    feed_viewer(&mut viewer, &second, 9999).map_err(|e| (false, e))?;
    let third = viewer.proceed(&hello()).map_err(|e| (false, e))?;
    feed_server(&mut server, &third, 99).map_err(|e| (true, e))?;
    Ok(())
}

#[test]
fn every_edit_of_what_was_negotiated_ends_at_message_2() {
    let said = |server: [u8; 12], viewer: [u8; 12], types: &[u8], chosen| {
        Transcript::new(server, viewer, types, chosen).expect("offered")
    };
    let honest = || said(RFB, RFB, &[70, 19, 129], 70);
    assert_eq!(with_ends(honest(), honest(), None, 1), Ok(()));
    let edits = [
        ("server's version", said(*b"RFB 003.007\n", RFB, &[70, 19, 129], 70)),
        ("viewer's version", said(RFB, *b"RFB 003.007\n", &[70, 19, 129], 70)),
        ("a type taken out", said(RFB, RFB, &[70, 19], 70)),
        ("a type put in", said(RFB, RFB, &[70, 19, 129, 2], 70)),
        ("the order", said(RFB, RFB, &[19, 70, 129], 70)),
        ("the choice", said(RFB, RFB, &[70, 19, 129], 19)),
        ("the session", honest().with_session([1; 16])),
    ];
    for (what, edited) in edits {
        let found = with_ends(honest(), edited, None, 1);
        assert_eq!(found, Err((false, HandshakeError::Refused(2))), "{what}");
    }
    // each byte of the offer, to every value
    for at in 0..4 {
        for value in 0..=255u8 {
            let mut offer = server().offer();
            if offer[at] == value {
                continue;
            }
            offer[at] = value;
            let expected = match at {
                0 => HandshakeError::Version(value),
                1 if value & 1 == 0 => HandshakeError::NoCommonSuite(value),
                _ => HandshakeError::Refused(2),
            };
            assert_eq!(with_ends(honest(), honest(), Some(offer), 1), Err((false, expected)), "{offer:?}");
        }
    }
    for suite in (0..=255).filter(|suite| *suite != 1) {
        assert_eq!(with_ends(honest(), honest(), None, suite), Err((true, HandshakeError::SuiteNotOffered(suite))));
    }
}

#[test]
fn a_flipped_bit_in_any_message_is_found() {
    let (first, second, third) = messages();
    for at in 3..first.len() {
        let mut bad = first.clone();
        bad[at] ^= 1;
        let (mut server, mut viewer) = (server(), viewer());
        feed_viewer(&mut viewer, &server.offer(), 9).expect("an offer");
        // any 32 bytes are a key: it shows when the answer does not open. The top bit of a key does not count in X25519,
        // but it is hashed
        let (second, _) = feed_server(&mut server, &bad, 99).expect("a key");
        assert_eq!(feed_viewer(&mut viewer, &second, 9999), Err(HandshakeError::Refused(2)), "byte {at} of message 1");
    }
    for at in 2..second.len() {
        let mut bad = second.clone();
        bad[at] ^= 0x80;
        let mut viewer = viewer();
        feed_viewer(&mut viewer, &server().offer(), 9).expect("an offer");
        assert_eq!(feed_viewer(&mut viewer, &bad, 9999), Err(HandshakeError::Refused(2)), "byte {at} of message 2");
        assert_eq!(viewer.proceed(&hello()), Err(HandshakeError::OutOfTurn));
        assert_eq!(viewer.advance(&[], Instant::now()), Err(HandshakeError::OutOfTurn));
    }
    for at in 2..third.len() {
        let mut bad = third.clone();
        bad[at] ^= 1;
        let mut server = server();
        feed_server(&mut server, &first, 99).expect("message 1");
        assert_eq!(feed_server(&mut server, &bad, 9999), Err(HandshakeError::Refused(3)), "byte {at} of message 3");
        assert_eq!(server.advance(&[], Instant::now()), Err(HandshakeError::OutOfTurn));
        assert!(server.into_channel().is_err());
    }
}

#[test]
fn lengths_that_cannot_be_are_refused_before_the_message_comes() {
    let (first, ..) = messages();
    for length in [0u16, 1, 31, 33, 65_535] {
        let bad = [&[1][..], &length.to_be_bytes()].concat();
        let error = HandshakeError::Length { message: 1, length: length.into(), least: 32, most: 32 };
        assert_eq!(feed_server(&mut server(), &bad, 99), Err(error));
    }
    for length in [0u16, 95, 353, 65_535] {
        let mut viewer = viewer();
        feed_viewer(&mut viewer, &server().offer(), 9).expect("an offer");
        let error = HandshakeError::Length { message: 2, length: length.into(), least: 96, most: 352 };
        assert_eq!(feed_viewer(&mut viewer, &length.to_be_bytes(), 1), Err(error));
    }
    for length in [0u16, 63, 2_881, 65_535] {
        let mut server = server();
        feed_server(&mut server, &first, 99).expect("message 1");
        let error = HandshakeError::Length { message: 3, length: length.into(), least: 64, most: 2_880 };
        assert_eq!(feed_server(&mut server, &length.to_be_bytes(), 1), Err(error));
    }
}

#[test]
fn a_handshake_cut_anywhere_waits_and_is_no_channel() {
    let (first, second, third) = messages();
    let all = [&first[..], &third].concat();
    for end in 0..all.len() {
        let mut server = server();
        let (_, event) = feed_server(&mut server, &all[..end], 99).expect("a good start");
        assert_eq!(event, None, "{end} bytes");
        assert!(server.into_channel().is_err(), "{end} bytes");
    }
    let all = [&server().offer()[..], &second].concat();
    for end in 0..all.len() {
        let mut viewer = viewer();
        let (_, event) = feed_viewer(&mut viewer, &all[..end], 9999).expect("a good start");
        assert_eq!(event, None, "{end} bytes");
        assert_eq!(viewer.proceed(&hello()), Err(HandshakeError::OutOfTurn));
        assert!(viewer.into_channel().is_err(), "{end} bytes");
    }
}

#[test]
fn keys_of_low_order_are_refused_at_every_place() {
    let (_, second, third) = messages();
    let mut one = [0; 32];
    one[0] = 1;
    for key in [[0; 32], one] {
        let first = [&[1, 0, 32][..], &key].concat();
        assert_eq!(feed_server(&mut server(), &first, 99), Err(HandshakeError::Refused(1)));
        let mut bad = second.clone();
        bad[2..34].copy_from_slice(&key);
        let mut viewer = viewer();
        feed_viewer(&mut viewer, &server().offer(), 9).expect("an offer");
        assert_eq!(feed_viewer(&mut viewer, &bad, 999), Err(HandshakeError::Refused(2)));
    }
    drop(third);
}

#[test]
fn somebody_in_between_shows_another_key_or_another_handshake() {
    // with a key of his own he can complete the handshake, but the viewer sees that key before anything secret leaves
    let mut viewer = viewer();
    let mut middle = server_with(Engine::default(), transcript(), 9);
    let (first, _) = feed_viewer(&mut viewer, &middle.offer(), 99).expect("an offer");
    let (second, _) = feed_server(&mut middle, &first, 99).expect("message 1");
    let (_, event) = feed_viewer(&mut viewer, &second, 999).expect("message 2");
    let Some(ViewerEvent::Server { key, .. }) = event else { panic!("no key") };
    let pinned = Identity::from_secret(&[1; 32]).public();
    assert_ne!(key, pinned);
    let mut pins = crate::pins::Pins::default();
    let today = "2026-11-22".parse().expect("a date");
    pins.note("desk", &[70], Some((pinned, 1)), today).expect("a first visit");
    assert!(matches!(pins.check("desk", key), crate::pins::Verdict::Changed { .. }));
    // two handshakes, to the server and from the viewer, have two hashes: no proof passes from one to the other
    let (to_server, _) = connect(server(), viewer_with(Engine::default(), transcript()), 99);
    let (_, from_viewer) = connect(server_with(Engine::default(), transcript(), 9), crate::tests::viewer(), 99);
    assert_ne!(to_server.binding(), from_viewer.binding());
}

/// A server that names another's key: it holds the secret of key 9 and claims key 1.
struct Impostor(Identity);

impl StaticKey for Impostor {
    fn public(&self) -> PublicKey {
        Identity::from_secret(&[1; 32]).public()
    }

    fn agree(&self, their: &PublicKey) -> Option<crate::SharedSecret> {
        self.0.agree(their)
    }
}

#[test]
fn a_key_that_is_claimed_but_not_held_is_refused() {
    let settings = ServerSettings {
        key: Arc::new(Impostor(Identity::from_secret(&[9; 32]))),
        engine: Engine::default(),
        hello: Default::default(),
    };
    let entropy = Entropy::new([8; 32]);
    let mut impostor = ServerHandshake::new(settings, transcript(), entropy, Instant::now()).expect("good settings");
    let mut viewer = viewer();
    let (first, _) = feed_viewer(&mut viewer, &impostor.offer(), 99).expect("an offer");
    let (second, _) = feed_server(&mut impostor, &first, 99).expect("message 1");
    assert_eq!(feed_viewer(&mut viewer, &second, 999), Err(HandshakeError::Refused(2)));
}

#[test]
fn a_holder_that_does_not_answer_ends_the_handshake() {
    struct Mute;
    impl StaticKey for Mute {
        fn public(&self) -> PublicKey {
            Identity::from_secret(&[1; 32]).public()
        }
        fn agree(&self, _: &PublicKey) -> Option<crate::SharedSecret> {
            None
        }
    }
    let settings = ServerSettings { key: Arc::new(Mute), engine: Engine::default(), hello: Default::default() };
    let mut server =
        ServerHandshake::new(settings, transcript(), Entropy::new([8; 32]), Instant::now()).expect("good settings");
    let (first, ..) = messages();
    assert_eq!(feed_server(&mut server, &first, 99), Err(HandshakeError::Refused(1)));
}

#[test]
fn whoever_is_too_slow_is_told_by_the_clock_alone() {
    let (first, ..) = messages();
    let slow = |message, seconds| Some(HandshakeError::TooSlow { message, seconds });
    let mut server = server();
    let begun = server.deadline().expect("one") - Duration::from_secs(10);
    assert!(server.advance(&[], begun + Duration::from_secs(10)).expect("just in time").is_idle());
    let late = begun + Duration::from_millis(10_001);
    assert_eq!(server.advance(&first, late).err(), slow(0, 10));
    assert_eq!(server.advance(&first, begun), Err(HandshakeError::OutOfTurn), "over for good");
    let mut server = crate::tests::server();
    let begun = server.deadline().expect("one") - Duration::from_secs(10);
    server.advance(&first[..1], begun).expect("a suite");
    server.advance(&first[1..20], begun).expect("a part");
    assert_eq!(server.advance(&first[20..], begun + Duration::from_millis(10_001)).err(), slow(1, 10));
    let mut server = crate::tests::server();
    feed_server(&mut server, &first, 99).expect("message 1");
    let login = server.deadline().expect("one");
    assert_eq!(server.advance(&[], login), Ok(Step::used(0)));
    assert_eq!(server.advance(&[], login + Duration::from_millis(1)).err(), slow(3, 120));
    // a viewer waits for the server, and a person for as long as it takes
    let mut viewer = viewer();
    let limit = viewer.deadline().expect("one");
    assert_eq!(viewer.advance(&[], limit + Duration::from_millis(1)).err(), slow(0, 10));
    let (mut server, mut viewer) = (crate::tests::server(), crate::tests::viewer());
    let (first, _) = feed_viewer(&mut viewer, &server.offer(), 9).expect("an offer");
    let (second, _) = feed_server(&mut server, &first, 99).expect("message 1");
    feed_viewer(&mut viewer, &second, 999).expect("message 2");
    assert_eq!(viewer.deadline(), None);
    assert!(viewer.advance(&[], limit + Duration::from_secs(3600)).is_ok());
    assert!(viewer.proceed(&hello()).is_ok());
}

#[test]
fn hellos_that_are_wrong_are_found_on_both_sides() {
    let settings = ServerSettings {
        key: Arc::new(Identity::from_secret(&[1; 32])),
        engine: Engine::default(),
        hello: crate::hello::ServerHello { max_record: 100, ..Default::default() },
    };
    let refused = ServerHandshake::new(settings, transcript(), Entropy::new([8; 32]), Instant::now()).err();
    assert_eq!(refused, Some(HandshakeError::Hello(HelloError::MaxRecord(100))));
    // a viewer may correct its hello
    let (mut server, mut viewer) = (server(), viewer());
    let (first, _) = feed_viewer(&mut viewer, &server.offer(), 9).expect("an offer");
    let (second, _) = feed_server(&mut server, &first, 99).expect("message 1");
    feed_viewer(&mut viewer, &second, 999).expect("message 2");
    let long = ClientHello { user_hint: "x".repeat(256), ..hello() };
    assert_eq!(viewer.proceed(&long), Err(HandshakeError::Hello(HelloError::HintLength(256))));
    assert!(viewer.proceed(&hello()).is_ok());
    assert_eq!(viewer.proceed(&hello()), Err(HandshakeError::OutOfTurn), "message 3 is sent once");
}

#[test]
fn faults_are_sorted() {
    use crate::error::Fault;
    assert_eq!(HandshakeError::Version(2).fault(), Fault::PeerIncompatible);
    assert_eq!(HandshakeError::Version(0).fault(), Fault::PeerMisbehaved);
    assert_eq!(HandshakeError::NoCommonSuite(4).fault(), Fault::PeerIncompatible);
    assert_eq!(HandshakeError::Refused(2).fault(), Fault::PeerMisbehaved);
    assert_eq!(HandshakeError::OutOfTurn.fault(), Fault::Internal);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbage_never_makes_a_channel(garbage in prop::collection::vec(any::<u8>(), 0..3000), good in 0usize..40, piece in 1usize..400) {
        let (first, second, _) = messages();
        let mut server = server();
        let bytes = [&first[..good.min(first.len())], &garbage].concat();
        let _ = feed_server(&mut server, &bytes, piece);
        prop_assert!(server.into_channel().is_err());
        let mut viewer = viewer();
        let bytes = [&[1, 1, 0, 0][..], &second[..good], &garbage].concat();
        let _ = feed_viewer(&mut viewer, &bytes[good.min(4)..], piece);
        prop_assert!(viewer.proceed(&hello()).is_err() && viewer.into_channel().is_err());
    }
}
