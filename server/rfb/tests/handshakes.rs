//! Recorded handshakes replay against both sides, byte for byte.

use std::path::Path;

use farpane_rfb::error::Fault;
use farpane_rfb::handshake::{
    ClientEvent, ClientHandshake, HandshakeError, SecurityType, ServerEvent, ServerHandshake, ServerInit,
};
use farpane_rfb::{PixelFormat, Version};

struct Transcript {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    order: Vec<(bool, usize)>,
}

/// A recorded session; `order` holds (from the server, bytes).
fn transcript(name: &str) -> Transcript {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let bytes = |file: &str| std::fs::read(folder.join(file)).unwrap();
    let order = String::from_utf8(bytes("order.tsv")).unwrap();
    let line = |line: &str| {
        let fields: Vec<_> = line.split('\t').collect();
        (fields[0] == "S", fields[2].parse().unwrap())
    };
    Transcript {
        to_server: bytes("c2s.bin"),
        to_client: bytes("s2c.bin"),
        order: order.lines().skip(1).map(line).collect(),
    }
}

/// How a replayed session ended for the server.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Done,
    Rejected,
    Waiting(Option<SecurityType>),
    Failed(HandshakeError),
}

/// What the recorded server offered when it had a password.
const WITH_PASSWORD: [SecurityType; 2] = [SecurityType::VNC_AUTH, SecurityType::NONE];
const REASON: &str = "Authentication failure";

/// Replays the client's bytes in pieces and returns what the server sent and how it ended.
fn replay(session: &Transcript, offer: &[SecurityType], good: bool, piece: usize) -> (Vec<u8>, End) {
    let init = ServerInit { width: 200, height: 136, pixel_format: PixelFormat::BGRX, name: "golden".into() };
    let mut server = ServerHandshake::new(offer);
    let (mut sent, mut start, mut end) = (Vec::new(), 0, 0);
    let mut chosen = None;
    loop {
        let step = match server.advance(&session.to_server[start..end]) {
            Ok(step) => step,
            Err(error) => return (sent, End::Failed(error)),
        };
        start += step.used;
        sent.extend(&step.output);
        if step.is_idle() {
            if end == session.to_server.len() {
                return (sent, End::Waiting(chosen));
            }
            end = session.to_server.len().min(end + piece);
        }
        match step.event {
            Some(ServerEvent::SecurityChosen(SecurityType::NONE)) => sent.extend(server.accept().unwrap()),
            Some(ServerEvent::SecurityChosen(SecurityType::VNC_AUTH)) => {
                // The challenge was random then: take it from where it lies in the recording.
                let challenge = session.to_client[sent.len()..][..16].try_into().unwrap();
                sent.extend(server.challenge(challenge).unwrap());
            }
            Some(ServerEvent::SecurityChosen(kind)) => chosen = Some(kind),
            Some(ServerEvent::VncAuthResponse(_)) if good => sent.extend(server.accept().unwrap()),
            Some(ServerEvent::VncAuthResponse(response)) => {
                assert!(session.to_server.ends_with(&response));
                sent.extend(server.reject(REASON).unwrap());
                return (sent, End::Rejected);
            }
            Some(ServerEvent::ClientInit { shared }) => {
                assert!(shared);
                assert_eq!(start, session.to_server.len());
                sent.extend(server.server_init(&init).unwrap());
                return (sent, End::Done);
            }
            Some(ServerEvent::Refused(error)) => return (sent, End::Failed(error)),
            Some(ServerEvent::Version { .. }) | None => {}
        }
    }
}

fn assert_replays(name: &str, offer: &[SecurityType], good: bool, expected: End) {
    let session = transcript(name);
    for piece in [1, 3, usize::MAX / 2] {
        let (sent, end) = replay(&session, offer, good, piece);
        assert_eq!(end, expected, "{name}");
        assert_eq!(sent, session.to_client, "{name} in pieces of {piece}");
    }
}

#[test]
fn recorded_sessions_replay_byte_for_byte() {
    for name in ["sec-none-3.3", "sec-none-3.5", "sec-none-3.7", "sec-none-3.8", "sec-none-3.889"] {
        assert_replays(name, &[SecurityType::NONE], true, End::Done);
    }
    for version in ["3.3", "3.7", "3.8"] {
        assert_replays(&format!("sec-vncauth-{version}-ok"), &WITH_PASSWORD, true, End::Done);
        assert_replays(&format!("sec-vncauth-{version}-badpw"), &WITH_PASSWORD, false, End::Rejected);
    }
}

#[test]
fn a_replay_with_a_planted_fault_is_noticed() {
    let mut session = transcript("sec-vncauth-3.8-ok");
    *session.to_client.last_mut().unwrap() ^= 1;
    assert_ne!(replay(&session, &WITH_PASSWORD, true, 100).0, session.to_client);
    let session = transcript("sec-vncauth-3.8-badpw");
    assert_ne!(replay(&session, &WITH_PASSWORD, true, 100).0, session.to_client);
}

#[test]
fn refused_clients_get_what_a_real_server_says() {
    let chosen = SecurityType::VNC_AUTH;
    let error = HandshakeError::NotOffered { chosen };
    assert_eq!(error.fault(), Fault::PeerMisbehaved);
    assert_replays("sec-sectype-not-offered", &[SecurityType::NONE], true, End::Failed(error));
    assert_replays("sec-ver-garbage", &[SecurityType::NONE], true, End::Failed(HandshakeError::NotRfb));

    let session = transcript("sec-blacklisted");
    assert_eq!(ServerHandshake::early_refusal("Too many security failures"), session.to_client);

    // Other words in the same frame.
    let session = transcript("sec-ver-4.1");
    let (sent, end) = replay(&session, &[SecurityType::NONE], true, 5);
    let End::Failed(HandshakeError::Version(banner)) = end else { panic!("{end:?}") };
    assert_eq!((banner.major, banner.minor), (4, 1));
    assert_eq!(sent[..16], session.to_client[..16]);
    assert_eq!(sent.len(), 17 + usize::from(sent[16]));
}

#[test]
fn vencrypt_keeps_its_bytes_from_the_handshake() {
    for name in ["sec-vencrypt-0.1", "sec-vencrypt-plain", "sec-vencrypt-tlsnone", "sec-vencrypt-x509none"] {
        let session = transcript(name);
        let (sent, end) = replay(&session, &[SecurityType::VENCRYPT], true, 1);
        assert_eq!(end, End::Waiting(Some(SecurityType::VENCRYPT)), "{name}");
        assert_eq!(sent, session.to_client[..14], "{name}: banner and type list");
    }
}

#[test]
fn a_client_that_leaves_at_any_byte_leaves_the_server_waiting() {
    for name in ["sec-none-3.3", "sec-none-3.7", "sec-none-3.8", "sec-vncauth-3.3-ok", "sec-vncauth-3.8-ok"] {
        let offer = [if name.contains("none") { SecurityType::NONE } else { SecurityType::VNC_AUTH }];
        let session = transcript(name);
        for cut in 0..session.to_server.len() {
            let mut server = ServerHandshake::new(&offer);
            let mut rest = &session.to_server[..cut];
            loop {
                let step = server.advance(rest).unwrap();
                rest = &rest[step.used..];
                if step.is_idle() {
                    break;
                }
                match step.event {
                    Some(ServerEvent::SecurityChosen(SecurityType::NONE)) | Some(ServerEvent::VncAuthResponse(_)) => {
                        let _ = server.accept().unwrap();
                    }
                    Some(ServerEvent::SecurityChosen(_)) => {
                        let _ = server.challenge([0; 16]).unwrap();
                    }
                    _ => {}
                }
            }
            assert!(!server.is_done(), "{name} cut at {cut}, waits for {}", server.waits_for());
        }
    }
}

/// Replays a recording against the client's side, in the recorded order.
fn replay_client(name: &str, version: Version, piece: usize) -> (Vec<u8>, Result<ServerInit, HandshakeError>) {
    let session = transcript(name);
    assert_eq!(session.order.iter().filter(|(s, _)| *s).map(|(_, n)| n).sum::<usize>(), session.to_client.len());
    let mut client = ClientHandshake::new(version, true);
    let (mut sent, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        let step = match client.advance(&session.to_client[start..end]) {
            Ok(step) => step,
            Err(error) => return (sent, Err(error)),
        };
        start += step.used;
        sent.extend(&step.output);
        if step.is_idle() {
            assert!(end < session.to_client.len(), "{name}: the client waits for more than was recorded");
            end = session.to_client.len().min(end + piece);
        }
        match step.event {
            Some(ClientEvent::Offer(types)) => sent.extend(client.choose(types[0]).unwrap()),
            Some(ClientEvent::VncAuthChallenge(_)) => {
                let response = session.to_server[sent.len()..][..16].try_into().unwrap();
                sent.extend(client.respond(response).unwrap());
            }
            Some(ClientEvent::ServerInit(init)) => {
                assert_eq!(start, session.to_client.len());
                return (sent, Ok(init));
            }
            Some(ClientEvent::SecurityChosen(_)) | None => {}
        }
    }
}

#[test]
fn the_clients_side_replays_too() {
    let version = |name: &str| match name {
        name if name.contains("-3.3") => Version::V3_3,
        name if name.contains("-3.7") => Version::V3_7,
        _ => Version::V3_8,
    };
    for kind in ["none-3.3", "none-3.7", "none-3.8", "vncauth-3.3-ok", "vncauth-3.7-ok", "vncauth-3.8-ok"] {
        let name = format!("sec-{kind}");
        for piece in [1, 1000] {
            let (sent, end) = replay_client(&name, version(&name), piece);
            assert_eq!(sent, transcript(&name).to_server, "{name}");
            assert_eq!(end.unwrap().name, "golden");
        }
    }
    for (kind, words) in [("3.3", ""), ("3.7", ""), ("3.8", REASON)] {
        let name = format!("sec-vncauth-{kind}-badpw");
        let (sent, end) = replay_client(&name, version(&name), 1);
        assert_eq!(sent, transcript(&name).to_server, "{name}");
        assert_eq!(end, Err(HandshakeError::Refused { reason: words.into() }));
    }
    let (_, end) = replay_client("sec-blacklisted", Version::V3_8, 1);
    assert_eq!(end, Err(HandshakeError::Refused { reason: "Too many security failures".into() }));
}
