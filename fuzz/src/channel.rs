//! The targets of the channel, and their seeds: handshakes need computed bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farpane_channel::auth::{Answer, Ask};
use farpane_channel::handshake::{
    ServerEvent, ServerHandshake, ServerSettings, ViewerEvent, ViewerHandshake, ViewerSettings,
};
use farpane_channel::hello::{ClientHello, ServerHello, ViewerKind};
use farpane_channel::pins::Pins;
use farpane_channel::{
    Channel, ChannelError, Close, CloseReason, Engine, Entropy, Identity, Phrase, Ping, Record, Transcript,
};

fn said() -> Transcript {
    Transcript::new(*b"RFB 003.008\n", *b"RFB 003.008\n", &[70, 19], 70).expect("offered")
}

fn server(now: Instant) -> ServerHandshake {
    let key = Arc::new(Identity::from_secret(&[1; 32]));
    let settings = ServerSettings { key, engine: Engine::Portable, hello: ServerHello::default() };
    ServerHandshake::new(settings, said(), Entropy::new([3; 32]), now).expect("good settings")
}

fn viewer(now: Instant) -> ViewerHandshake {
    let settings = ViewerSettings { key: Arc::new(Identity::from_secret(&[2; 32])), engine: Engine::Portable };
    ViewerHandshake::new(settings, said(), Entropy::new([4; 32]), now)
}

fn hello() -> ClientHello {
    ClientHello { viewer: ViewerKind::Native, user_hint: "ann".into(), first_auth: b"first".to_vec().into() }
}

/// The messages of one handshake, which is the same every time, and both channels.
fn handshake(now: Instant) -> (Vec<u8>, Vec<u8>, Vec<u8>, Channel, Channel) {
    let (mut server, mut viewer) = (server(now), viewer(now));
    let first = viewer.advance(&server.offer(), now).expect("an offer").output;
    let used = server.advance(&first, now).expect("a suite").used;
    let second = server.advance(&first[used..], now).expect("message 1").output;
    viewer.advance(&second, now).expect("message 2");
    let third = viewer.proceed(&hello()).expect("message 3");
    server.advance(&third, now).expect("message 3");
    (first, second, third, server.into_channel().expect("complete"), viewer.into_channel().expect("complete"))
}

/// A viewer's bytes to the server's handshake. The first byte says in which pieces they come.
pub fn channel_server(data: &[u8]) {
    let Some((&mode, stream)) = data.split_first() else { return };
    let now = Instant::now();
    let mut server = server(now);
    for mut piece in stream.chunks(1 + usize::from(mode)) {
        while !piece.is_empty() {
            let Ok(step) = server.advance(piece, now) else {
                assert!(server.advance(piece, now).is_err() && server.into_channel().is_err(), "a fault is forgotten");
                return;
            };
            assert!(step.used <= piece.len(), "{} of {} bytes used", step.used, piece.len());
            if let Some(ServerEvent::Viewer { .. }) = step.event {
                assert!(server.into_channel().is_ok(), "an event without a channel");
                return;
            }
            assert!(!step.is_idle(), "no progress");
            piece = &piece[step.used..];
        }
    }
    assert!(server.into_channel().is_err(), "a channel without an event");
}

/// A server's bytes to the viewer's handshake. The first byte says in which pieces they come.
pub fn channel_viewer(data: &[u8]) {
    let Some((&mode, stream)) = data.split_first() else { return };
    let now = Instant::now();
    let mut viewer = viewer(now);
    for mut piece in stream.chunks(1 + usize::from(mode)) {
        while !piece.is_empty() {
            let Ok(step) = viewer.advance(piece, now) else {
                assert!(viewer.advance(piece, now).is_err() && viewer.into_channel().is_err(), "a fault is forgotten");
                return;
            };
            assert!(step.used <= piece.len(), "{} of {} bytes used", step.used, piece.len());
            if let Some(ViewerEvent::Server { .. }) = step.event {
                assert!(
                    viewer.proceed(&hello()).is_ok() && viewer.into_channel().is_ok(),
                    "an event without a channel"
                );
                return;
            }
            assert!(!step.is_idle(), "no progress");
            piece = &piece[step.used..];
        }
    }
    assert!(viewer.into_channel().is_err(), "a channel without an event");
}

/// Records to a viewer. The first byte says in which pieces they come.
pub fn channel_records(data: &[u8]) {
    let Some((&mode, stream)) = data.split_first() else { return };
    let now = Instant::now();
    let (.., mut viewer) = handshake(now);
    for mut piece in stream.chunks(1 + usize::from(mode) * 5) {
        while !piece.is_empty() {
            let Ok(opened) = viewer.open(piece, now) else {
                assert_eq!(viewer.open(piece, now), Err(ChannelError::Broken), "a fault is forgotten");
                assert_eq!(viewer.flush(&mut Vec::new()), Err(ChannelError::Broken));
                return;
            };
            let used = opened.used;
            assert!((1..=piece.len()).contains(&used), "{used} of {} bytes used", piece.len());
            piece = &piece[used..];
        }
    }
}

/// What crypto protects, by itself: both hellos, and one record's plaintext. The first byte says which.
pub fn channel_payloads(data: &[u8]) {
    let Some((&mode, payload)) = data.split_first() else { return };
    match mode % 5 {
        3 => {
            if let Ok(answer) = Answer::parse(payload) {
                let bytes = answer.to_bytes().expect("it was within the limits");
                assert_eq!(bytes.as_slice(), payload);
            }
        }
        4 => {
            if let Ok(ask) = Ask::parse(payload) {
                assert_eq!(ask.to_bytes().expect("it was within the limits"), payload);
            }
        }
        0 => {
            if let Ok(hello) = ServerHello::parse(payload) {
                assert_eq!(ServerHello::parse(&hello.to_bytes()), Ok(hello));
            }
        }
        1 => {
            if let Ok(hello) = ClientHello::parse(payload) {
                let bytes = hello.to_bytes().expect("it was within the limits");
                assert_eq!(ClientHello::parse(&bytes), Ok(hello));
            }
        }
        _ => match Record::parse(payload) {
            Some(Record::Rfb(data) | Record::Auth(data)) => assert_eq!(data.len() + 1, payload.len()),
            Some(Record::Close(_)) => assert_eq!(payload.len(), 4),
            Some(Record::Ping(_)) => assert_eq!(payload.len(), 10),
            None => {}
        },
    }
}

/// A file of pins, and a phrase as somebody typed it.
pub fn channel_pins(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(pins) = text.parse::<Pins>() {
        assert_eq!(pins.to_string().parse(), Ok(pins));
    }
    if let Ok(phrase) = Phrase::parse(text) {
        assert_eq!(Phrase::parse(&phrase.to_string()), Ok(phrase));
    }
}

/// Good inputs of a target; none for another's name.
pub fn seeds(target: &str) -> Option<Vec<Vec<u8>>> {
    let now = Instant::now();
    let (first, second, third, mut server, _) = handshake(now);
    let with_mode = |mode: u8, parts: &[&[u8]]| [&[mode], &parts.concat()[..]].concat();
    Some(match target {
        "channel_server" => [0, 6, 255].map(|mode| with_mode(mode, &[&first, &third])).to_vec(),
        "channel_viewer" => [0, 6, 255].map(|mode| with_mode(mode, &[&[1, 1, 0, 0], &second])).to_vec(),
        "channel_records" => {
            let mut wire = Vec::new();
            server.auth(b"who?", &mut wire).expect("open");
            server.ping(Ping { answer: false, token: 1 }, &mut wire).expect("open");
            server.write(&[7; 9000], None, now + Duration::from_secs(1), &mut wire).expect("open");
            server.close(Close::because(CloseReason::Done), &mut wire).expect("open");
            [0, 40, 255].map(|mode| with_mode(mode, &[&wire])).to_vec()
        }
        "channel_payloads" => {
            let client = hello().to_bytes().expect("short fields");
            let close = with_mode(2, &[&[5, 0, 30, 2]]);
            let ping = with_mode(2, &[&[1, 0, 0, 0, 0, 0, 0, 0, 9, 3]]);
            let said = [with_mode(3, &[b"\x01\x03ann\0\x02pw"]), with_mode(3, &[b"\x03\x01\0\x06123456"])];
            let asked = with_mode(4, &[b"\x01\x02\x02\0\x05Hello\x01\0\x05Code:"]);
            let hellos = [with_mode(0, &[&ServerHello::default().to_bytes()]), with_mode(1, &[&client])];
            [&hellos[..], &said[..], &[asked, close, ping, with_mode(2, &[b"rfb\0"]), with_mode(2, &[b"auth\x01"])]]
                .concat()
        }
        "channel_pins" => {
            let mut pins = Pins::default();
            let today = "2026-11-22".parse().expect("a date");
            let key = handshake(now).4.peer();
            pins.note("desk.example:5900", &[70, 19], Some((key, 1)), today).expect("a first visit");
            pins.note("old:5901", &[2, 19], None, today).expect("a first visit");
            vec![pins.to_string().into_bytes(), key.fingerprint().phrase().to_string().into_bytes()]
        }
        _ => return None,
    })
}
