use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::auth::login::Secret;

const OFFER: [Subtype; 2] = [Subtype::X509Plain, Subtype::X509None];

/// Gives a machine what it needs from `input`, over and over; returns what it sent, what it saw and what was left.
fn drive(offer: &[Subtype], mut input: &[u8]) -> (Vec<u8>, Vec<Event>, Result<usize, VeNCryptError>) {
    let mut server = Server::new(offer).unwrap();
    let (mut sent, mut seen) = (server.opening().to_vec(), Vec::new());
    while !server.is_done() {
        let Some((part, rest)) = input.split_at_checked(server.needs()) else { break };
        input = rest;
        match server.step(part) {
            Err(error) => {
                sent.extend(error.parting());
                return (sent, seen, Err(error));
            }
            Ok((output, event)) => {
                sent.extend(output);
                if matches!(event, Some(Event::Chosen(subtype)) if subtype.has_tls()) {
                    server.secured().unwrap();
                }
                seen.extend(event);
            }
        }
    }
    let done = server.is_done();
    (sent, seen, if done { Ok(input.len()) } else { Err(VeNCryptError::Left) })
}

fn session(number: u32, inside: &[u8]) -> Vec<u8> {
    [&[0, 2], &number.to_be_bytes()[..], inside].concat()
}

fn lengths(user: u32, password: u32, texts: &[u8]) -> Vec<u8> {
    [&user.to_be_bytes()[..], &password.to_be_bytes(), texts].concat()
}

#[test]
fn a_user_and_a_password_come_out_and_nothing_beyond_is_taken() {
    let inside = [&lengths(5, 6, b"alicesecret")[..], b"more"].concat();
    for (number, offer) in [(262, Subtype::X509Plain), (256, Subtype::Plain)] {
        let (sent, seen, left) = drive(&[offer], &session(number, &inside));
        let acknowledged: &[u8] = if number == 262 { &[1] } else { &[] };
        assert_eq!(sent, [&[0, 2, 0, 1][..], &number.to_be_bytes(), acknowledged].concat());
        let credentials = Event::Credentials { user: "alice".into(), password: Secret::new("secret".into()) };
        assert_eq!(seen, [Event::Chosen(offer), credentials]);
        assert_eq!(left.unwrap(), 4);
    }
    let (_, seen, _) = drive(&OFFER, &session(262, &lengths(0, 0, b"")));
    assert!(
        matches!(&seen[..], [_, Event::Credentials { user, password }] if user.is_empty() && password.reveal().is_empty())
    );
}

#[test]
fn other_versions_are_refused_in_one_byte() {
    for version in [[0, 1], [0, 0], [0, 3], [1, 0], [2, 0], [0xff, 0xff]] {
        let (sent, seen, end) = drive(&OFFER, &version);
        assert_eq!((&sent[..], &seen[..]), (&[0, 2, 0xff][..], &[][..]));
        assert!(matches!(end, Err(VeNCryptError::Version(a, b)) if [a, b] == version));
    }
}

#[test]
fn only_what_was_offered_on_this_connection_begins() {
    let mut numbers: Vec<u32> = (255..=270).collect();
    numbers.extend([0, 1, 2, 19, u32::MAX, 262 << 8]);
    for number in numbers {
        let (sent, seen, end) = drive(&[Subtype::X509Plain], &session(number, &[]));
        if number == 262 {
            assert_eq!(seen, [Event::Chosen(Subtype::X509Plain)]);
            continue;
        }
        assert!(seen.is_empty(), "{number}");
        assert!(matches!(end, Err(VeNCryptError::NotOffered(n)) if n == number), "{number}: {end:?}");
        let parting: &[u8] = if number > 256 { &[0] } else { &[] };
        assert_eq!(&sent[8..], parting, "{number}");
    }
    assert!(matches!(Server::new(&[]), Err(VeNCryptError::Nothing)));
}

#[test]
fn anonymous_tls_has_no_subtype() {
    assert!([257, 258, 259].into_iter().all(|number| Subtype::from_number(number).is_none()));
    for subtype in [Subtype::Plain, Subtype::X509None, Subtype::X509Vnc, Subtype::X509Plain] {
        assert_eq!(Subtype::from_number(subtype.number()), Some(subtype));
        assert_eq!(Subtype::of(subtype.kind()), Some(subtype));
    }
    assert_eq!(Subtype::of(SecurityKind::Channel), None);
}

#[test]
fn lengths_are_capped_before_anything_is_read_by_them() {
    for (user, password) in [(256, 0), (u32::MAX, 0), (0, 1025), (0, u32::MAX), (u32::MAX, 1), (1 << 31, 1 << 31)] {
        let (_, _, end) = drive(&OFFER, &session(262, &lengths(user, password, &[])));
        assert!(matches!(end, Err(VeNCryptError::Long(..))), "{user} {password}: {end:?}");
    }
    let texts = vec![b'x'; 255 + 1024];
    let (_, seen, end) = drive(&OFFER, &session(262, &lengths(255, 1024, &texts)));
    assert_eq!((seen.len(), end.unwrap()), (2, 0));
    let said = drive(&OFFER, &session(262, &lengths(256, 0, &[]))).2.unwrap_err().to_string();
    assert_eq!(said, "peer misbehaved: user name of 256 bytes (expected at most 255)");
}

#[test]
fn what_is_no_text_is_refused_without_a_word_of_it() {
    for inside in [lengths(1, 1, &[0xff, b'x']), lengths(1, 1, &[b'x', 0xff])] {
        let (_, _, end) = drive(&OFFER, &session(262, &inside));
        assert!(matches!(end, Err(VeNCryptError::NotText(_))), "{end:?}");
    }
}

#[test]
fn a_client_that_leaves_at_any_byte_leaves_the_machine_waiting() {
    let whole = session(262, &lengths(5, 6, b"alicesecret"));
    for cut in 0..whole.len() {
        assert!(matches!(drive(&OFFER, &whole[..cut]).2, Err(VeNCryptError::Left)), "cut at {cut}");
    }
    assert!(drive(&OFFER, &whole).2.is_ok());
}

#[test]
fn steps_out_of_order_are_errors() {
    let mut server = Server::new(&OFFER).unwrap();
    assert!(matches!(server.secured(), Err(VeNCryptError::OutOfOrder)));
    assert!(matches!(server.step(&[0]), Err(VeNCryptError::OutOfOrder)));
    assert!(matches!(server.step(&[0, 2, 0]), Err(VeNCryptError::OutOfOrder)));
    server.step(&[0, 2]).unwrap();
    server.step(&262u32.to_be_bytes()).unwrap();
    assert_eq!(server.needs(), 0);
    assert!(matches!(server.step(&[]), Err(VeNCryptError::OutOfOrder)), "no byte counts before TLS is there");
    let mut client = Client::new();
    assert!(matches!(client.choose(262), Err(VeNCryptError::OutOfOrder)));
    assert!(matches!(client.credentials("a", &Secret::default()), Err(VeNCryptError::OutOfOrder)));
    assert!(matches!(client.step(&[0, 1]), Err(VeNCryptError::Version(0, 1))));
}

/// Client and server talk to each other; returns what the server saw.
fn talk(offer: &[Subtype], number: u32, user: &str, password: &str) -> Result<Vec<Event>, VeNCryptError> {
    let (mut client, mut server, mut seen) = (Client::new(), Server::new(offer)?, Vec::new());
    let mut to_client = server.opening().to_vec();
    let mut to_server = Vec::new();
    while !server.is_done() {
        while client.needs() > 0 && to_client.len() >= client.needs() {
            let part: Vec<u8> = to_client.drain(..client.needs()).collect();
            let (output, event) = client.step(&part)?;
            to_server.extend(output);
            match event {
                Some(ClientEvent::Offer(list)) => {
                    assert_eq!(list, offer.iter().map(|s| s.number()).collect::<Vec<_>>());
                    to_server.extend(client.choose(number)?);
                    if number == 256 {
                        to_server.extend(client.credentials(user, &Secret::new(password.into()))?.iter());
                    }
                }
                Some(ClientEvent::Secure) if number == 262 => {
                    to_server.extend(client.credentials(user, &Secret::new(password.into()))?.iter());
                }
                Some(ClientEvent::Secure) | None => {}
            }
        }
        let part: Vec<u8> = to_server.drain(..server.needs()).collect();
        let (output, event) = server.step(&part)?;
        to_client.extend(output);
        if matches!(event, Some(Event::Chosen(subtype)) if subtype.has_tls()) {
            server.secured()?;
        }
        seen.extend(event);
    }
    Ok(seen)
}

#[test]
fn both_sides_understand_each_other() {
    let everything = [Subtype::X509Plain, Subtype::X509None, Subtype::X509Vnc, Subtype::Plain];
    for (number, events) in [(256, 2), (260, 1), (261, 1), (262, 2)] {
        assert_eq!(talk(&everything, number, "älice", "pässword").unwrap().len(), events);
    }
    assert!(matches!(talk(&everything, 258, "", ""), Err(VeNCryptError::NotOffered(258))));
    assert!(matches!(talk(&everything, 262, &"x".repeat(256), ""), Err(VeNCryptError::Long("user name", 256, 255))));
    assert!(matches!(talk(&everything, 262, "", &"x".repeat(1025)), Err(VeNCryptError::Long("password", 1025, 1024))));
}

/// The bytes of a recorded session, from where VeNCrypt begins: to the server and to the client.
fn recorded(name: &str) -> (Vec<u8>, Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rfb/tests/golden").join(format!("sec-vencrypt-{name}"));
    let bytes = |file: &str, from: usize| std::fs::read(folder.join(file)).unwrap().split_off(from);
    // version and choice of 19; version and list of types
    (bytes("c2s.bin", 13), bytes("s2c.bin", 14))
}

#[test]
fn recorded_sessions_replay_up_to_where_they_had_other_subtypes() {
    let (to_server, to_client) = recorded("0.1");
    assert_eq!(drive(&OFFER, &to_server).0, to_client);

    let (to_server, to_client) = recorded("x509none");
    let (sent, seen, end) = drive(&[Subtype::X509None, Subtype::Plain], &to_server);
    assert_eq!(seen, [Event::Chosen(Subtype::X509None)]);
    assert_eq!(end.unwrap(), 0);
    assert_eq!((&sent[..3], sent.last()), (&to_client[..3], to_client.last()));

    let (to_server, _) = recorded("plain");
    assert_eq!(drive(&[Subtype::Plain], &to_server).1, [Event::Chosen(Subtype::Plain)]);

    let (to_server, _) = recorded("tlsnone");
    let everything = [Subtype::X509Plain, Subtype::X509None, Subtype::X509Vnc, Subtype::Plain];
    assert!(matches!(drive(&everything, &to_server).2, Err(VeNCryptError::NotOffered(257))));
}

#[test]
fn the_clients_side_replays_recorded_sessions_whole() {
    for (name, number) in [("plain", 256), ("tlsnone", 257), ("x509none", 260)] {
        let (to_server, to_client) = recorded(name);
        let (mut client, mut input, mut sent) = (Client::new(), &to_client[..], Vec::new());
        while client.needs() > 0 {
            let (part, rest) = input.split_at(client.needs());
            input = rest;
            let (output, event) = client.step(part).unwrap();
            sent.extend(output);
            if let Some(ClientEvent::Offer(list)) = event {
                assert_eq!(list, [257, 260, 256, 258]);
                sent.extend(client.choose(number).unwrap());
            }
        }
        assert_eq!((sent, input.len()), (to_server, 0), "{name}");
    }
    let (_, to_client) = recorded("0.1");
    let mut client = Client::new();
    client.step(&to_client[..2]).unwrap();
    assert!(matches!(client.step(&to_client[2..3]), Err(VeNCryptError::Answer(0xff, _))));
}

#[test]
fn a_replay_with_a_planted_fault_is_noticed() {
    let (to_server, mut to_client) = recorded("0.1");
    *to_client.last_mut().unwrap() ^= 1;
    assert_ne!(drive(&OFFER, &to_server).0, to_client);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn no_bytes_panic_and_none_are_wanted_beyond_the_cap(
        bytes in proptest::collection::vec(any::<u8>(), 0..64),
        head in prop_oneof![Just(vec![]), Just(vec![0, 2]), Just(session(262, &[])), Just(session(256, &[]))],
    ) {
        let input = [head, bytes].concat();
        let (sent, _, _) = drive(&[Subtype::X509Plain, Subtype::Plain], &input);
        prop_assert!(sent.len() <= LONGEST);
        let mut client = Client::new();
        let mut rest = &input[..];
        while let Some((part, more)) = rest.split_at_checked(client.needs()).filter(|_| client.needs() > 0) {
            rest = more;
            if client.step(part).is_err() {
                break;
            }
        }
    }
}
