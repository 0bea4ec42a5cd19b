//! Both sides against each other, and each misuse.

use super::*;
use crate::version::Version;
use proptest::prelude::*;

fn init() -> ServerInit {
    ServerInit { width: 200, height: 136, pixel_format: PixelFormat::BGRX, name: "golden".into() }
}

/// Both machines joined by two buffers that hand over at most `piece` bytes at a time.
fn meet(newest: Version, offer: &[SecurityType], good: bool, piece: usize) -> Result<ServerInit, HandshakeError> {
    let (mut server, mut client) = (ServerHandshake::new(offer), ClientHandshake::new(newest, true));
    let (mut to_server, mut to_client) = (Vec::new(), Vec::<u8>::new());
    let (mut server_sees, mut client_sees) = (0, 0);
    for _ in 0..2_000 {
        server_sees = to_server.len().min(server_sees + piece);
        let step = server.advance(&to_server[..server_sees])?;
        to_server.drain(..step.used);
        server_sees -= step.used;
        to_client.extend(step.output);
        match step.event {
            Some(ServerEvent::SecurityChosen(SecurityType::VNC_AUTH)) => {
                to_client.extend(server.challenge([7; 16])?);
            }
            Some(ServerEvent::SecurityChosen(_)) => to_client.extend(server.accept()?),
            Some(ServerEvent::VncAuthResponse(bytes)) if bytes == [8; 16] => to_client.extend(server.accept()?),
            Some(ServerEvent::VncAuthResponse(_)) => to_client.extend(server.reject("wrong")?),
            Some(ServerEvent::ClientInit { shared }) => {
                assert!(shared);
                to_client.extend(server.server_init(&init())?);
            }
            Some(ServerEvent::Version { version, .. }) => assert_eq!(version, newest),
            Some(ServerEvent::Refused(_)) | None => {}
        }
        client_sees = to_client.len().min(client_sees + piece);
        let step = client.advance(&to_client[..client_sees])?;
        to_client.drain(..step.used);
        client_sees -= step.used;
        to_server.extend(step.output);
        match step.event {
            Some(ClientEvent::Offer(types)) => {
                assert_eq!(types, offer);
                to_server.extend(client.choose(types[0])?);
            }
            Some(ClientEvent::SecurityChosen(_)) => {}
            Some(ClientEvent::VncAuthChallenge(bytes)) => {
                assert_eq!(bytes, [7; 16]);
                to_server.extend(client.respond([if good { 8 } else { 9 }; 16])?);
            }
            Some(ClientEvent::ServerInit(init)) => {
                assert!(server.is_done() && client.is_done());
                assert!(to_server.is_empty() && to_client.is_empty());
                return Ok(init);
            }
            None => {}
        }
    }
    panic!("no end: server waits for {}", server.waits_for());
}

#[test]
fn both_sides_meet_in_every_version_however_bytes_are_cut() {
    for version in [Version::V3_3, Version::V3_7, Version::V3_8] {
        for kind in [SecurityType::NONE, SecurityType::VNC_AUTH] {
            for piece in [1, 2, 5, 1000] {
                assert_eq!(meet(version, &[kind], true, piece), Ok(init()), "{version} {kind} {piece}");
            }
        }
        let reason = if version == Version::V3_8 { "wrong" } else { "" };
        let refused = HandshakeError::Refused { reason: reason.into() };
        assert_eq!(meet(version, &[SecurityType::VNC_AUTH], false, 3), Err(refused));
    }
}

#[test]
fn an_offer_that_a_3_3_client_cannot_use_is_refused_with_words() {
    let error = meet(Version::V3_3, &[SecurityType::VENCRYPT], true, 100).unwrap_err();
    assert!(matches!(error, HandshakeError::Refused { reason } if reason.contains("No security type")));
    assert!(matches!(meet(Version::V3_8, &[], true, 100), Err(HandshakeError::Refused { .. })));
    // The strongest that 3.3 has is imposed, in the offer's order.
    let offer = [SecurityType::VENCRYPT, SecurityType::VNC_AUTH, SecurityType::NONE];
    assert_eq!(
        meet(Version::V3_3, &offer, false, 100),
        Err(HandshakeError::Refused { reason: String::new() }),
        "vnc auth was asked for"
    );
}

/// A server that has read `input` in 3.8 with this offer.
fn server_after(offer: &[SecurityType], mut input: &[u8]) -> (ServerHandshake, Vec<ServerEvent>) {
    let mut server = ServerHandshake::new(offer);
    let mut events = Vec::new();
    loop {
        let step = server.advance(input).unwrap();
        if step.is_idle() {
            return (server, events);
        }
        input = &input[step.used..];
        events.extend(step.event);
    }
}

#[test]
fn nothing_leads_past_vnc_auth_but_a_judged_response() {
    let (mut server, _) = server_after(&[SecurityType::VNC_AUTH], b"RFB 003.008\n\x02\x01");
    assert!(matches!(server.accept(), Err(HandshakeError::OutOfOrder { .. })));
    assert!(matches!(server.server_init(&init()), Err(HandshakeError::OutOfOrder { .. })));
    assert_eq!(server.challenge([1; 16]).unwrap(), [1; 16]);
    assert!(matches!(server.accept(), Err(HandshakeError::OutOfOrder { .. })));
    assert!(matches!(server.challenge([2; 16]), Err(HandshakeError::OutOfOrder { .. })));
    assert!(server.advance(&[0; 15]).unwrap().is_idle());
    let step = server.advance(&[0; 40]).unwrap();
    assert_eq!((step.used, step.event), (16, Some(ServerEvent::VncAuthResponse([0; 16]))));
    let refusal = server.reject("no").unwrap();
    assert_eq!(refusal, [0, 0, 0, 1, 0, 0, 0, 2, b'n', b'o']);
    assert!(server.advance(&[1; 40]).unwrap().is_idle(), "closed for good");
    assert!(server.accept().is_err());
}

#[test]
fn a_type_in_charge_keeps_its_bytes() {
    let (mut server, events) = server_after(&[SecurityType::VENCRYPT], b"RFB 003.008\n\x13\x00\x02junk");
    assert_eq!(events.last(), Some(&ServerEvent::SecurityChosen(SecurityType::VENCRYPT)));
    assert!(server.advance(b"\x00\x02junk").unwrap().is_idle());
    assert_eq!(server.accept().unwrap(), [0; 4]);
}

#[test]
fn every_type_but_the_offered_is_refused() {
    let offer = [SecurityType::VENCRYPT, SecurityType::VNC_AUTH];
    for number in 0..=255 {
        let (mut server, _) = server_after(&offer, b"RFB 003.008\n");
        let result = server.advance(&[number]);
        if offer.contains(&SecurityType(number)) {
            assert!(result.is_ok());
        } else {
            let error = result.unwrap_err();
            assert_eq!(error, HandshakeError::NotOffered { chosen: SecurityType(number) });
            assert_eq!(error.fault(), Fault::PeerMisbehaved);
            assert!(server.accept().is_err() && server.advance(&[2]).unwrap().is_idle());
        }
    }
}

#[test]
fn an_offer_can_still_be_withdrawn_before_it_is_sent() {
    let mut server = ServerHandshake::new(&[SecurityType::NONE]);
    let _ = server.advance(&[]).unwrap();
    let step = server.advance(b"RFB 003.007\n").unwrap();
    assert!(matches!(step.event, Some(ServerEvent::Version { version: Version::V3_7, .. })));
    assert_eq!(server.refuse_offer("no").unwrap(), [0, 0, 0, 0, 2, b'n', b'o']);
    assert!(server.refuse_offer("no").is_err());
}

#[test]
fn a_client_shows_no_control_characters_of_a_reason_and_reads_no_endless_one() {
    let mut client = ClientHandshake::new(Version::V3_8, false);
    let step = client.advance(b"RFB 003.008\n").unwrap();
    assert_eq!(step.output, b"RFB 003.008\n");
    let error = client.advance(b"\0\0\0\0\x05a\x1b[b\n").unwrap_err();
    assert_eq!(error, HandshakeError::Refused { reason: "a[b".into() });
    let error = client.advance(b"\0\xff\xff\xff\xff").unwrap_err();
    assert_eq!(error, HandshakeError::Protocol(ProtocolError::TextTooLong { length: u32::MAX }));
}

#[test]
fn a_client_takes_no_absurd_server_init() {
    let mut wire = Vec::new();
    ServerInit { width: 16_385, ..init() }.write(&mut wire);
    assert!(matches!(ServerInit::parse(&wire), Err(ProtocolError::FramebufferSize { .. })));
    wire.clear();
    init().write(&mut wire);
    for n in 0..wire.len() {
        assert_eq!(ServerInit::parse(&wire[..n]), Ok(None));
    }
    assert_eq!(ServerInit::parse(&wire), Ok(Some((init(), wire.len()))));
}

proptest! {
    #[test]
    fn random_bytes_never_pass_vnc_auth_nor_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        for lead in [&b""[..], b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n", b"RFB 003.008\n\x02"] {
            let input = [lead, &bytes].concat();
            let mut rest = &input[..];
            let mut server = ServerHandshake::new(&[SecurityType::VNC_AUTH]);
            while let Ok(step) = server.advance(rest) {
                if step.is_idle() {
                    break;
                }
                prop_assert!(step.used <= rest.len());
                rest = &rest[step.used..];
                let reached_init = matches!(step.event, Some(ServerEvent::ClientInit { .. }));
                prop_assert!(!reached_init);
                if let Some(ServerEvent::SecurityChosen(_)) = step.event {
                    prop_assert!(server.challenge([0; 16]).is_ok());
                }
            }
            let mut client = ClientHandshake::new(Version::V3_8, true);
            let mut rest = &input[..];
            while let Ok(step) = client.advance(rest) {
                if step.is_idle() {
                    break;
                }
                prop_assert!(step.used <= rest.len());
                rest = &rest[step.used..];
                if let Some(ClientEvent::Offer(types)) = step.event {
                    let _ = client.choose(types[0]);
                }
            }
        }
    }
}
