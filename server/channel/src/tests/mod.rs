//! Both ends together: what the tests of handshake and channel share, and the tests of the channel.

mod auth;
mod records;
mod stream;
mod webcrypto;

use std::sync::Arc;
use std::time::Instant;

use zeroize::Zeroizing;

use crate::channel::Channel;
use crate::handshake::{ServerEvent, ServerHandshake, ServerSettings, ViewerEvent, ViewerHandshake, ViewerSettings};
use crate::hello::{AuthKinds, ClientHello, ServerHello, ViewerKind};
use crate::identity::{Entropy, Identity};
use crate::record::Record;
use crate::resolver::Engine;
use crate::transcript::Transcript;

pub(crate) const RFB: [u8; 12] = *b"RFB 003.008\n";

pub(crate) fn transcript() -> Transcript {
    Transcript::new(RFB, RFB, &[70, 19, 129], 70).expect("offered")
}

pub(crate) fn server_with(engine: Engine, transcript: Transcript, key: u8) -> ServerHandshake {
    let hello = ServerHello { auth: AuthKinds::PASSWORD, ..ServerHello::default() };
    let settings = ServerSettings { key: Arc::new(Identity::from_secret(&[key; 32])), engine, hello };
    ServerHandshake::new(settings, transcript, Entropy::new([key ^ 0x55; 32]), Instant::now()).expect("good settings")
}

pub(crate) fn viewer_with(engine: Engine, transcript: Transcript) -> ViewerHandshake {
    let settings = ViewerSettings { key: Arc::new(Identity::from_secret(&[2; 32])), engine };
    ViewerHandshake::new(settings, transcript, Entropy::new([4; 32]), Instant::now())
}

pub(crate) fn server() -> ServerHandshake {
    server_with(Engine::default(), transcript(), 1)
}

pub(crate) fn viewer() -> ViewerHandshake {
    viewer_with(Engine::default(), transcript())
}

pub(crate) fn hello() -> ClientHello {
    ClientHello { viewer: ViewerKind::Native, user_hint: "ann".into(), first_auth: Zeroizing::new(b"secret".to_vec()) }
}

/// Feeds all of `input` to the server in pieces; what it answers, and its event.
pub(crate) fn feed_server(
    server: &mut ServerHandshake,
    input: &[u8],
    piece: usize,
) -> Result<(Vec<u8>, Option<ServerEvent>), crate::HandshakeError> {
    let (mut output, mut event) = (Vec::new(), None);
    for mut part in input.chunks(piece.max(1)) {
        while !part.is_empty() {
            let step = server.advance(part, Instant::now())?;
            assert!(!step.is_idle(), "bytes that nobody takes");
            output.extend(step.output);
            event = event.or(step.event);
            part = &part[step.used..];
        }
    }
    Ok((output, event))
}

/// Feeds all of `input` to the viewer in pieces; what it answers, and its event.
pub(crate) fn feed_viewer(
    viewer: &mut ViewerHandshake,
    input: &[u8],
    piece: usize,
) -> Result<(Vec<u8>, Option<ViewerEvent>), crate::HandshakeError> {
    let (mut output, mut event) = (Vec::new(), None);
    for mut part in input.chunks(piece.max(1)) {
        while !part.is_empty() {
            let step = viewer.advance(part, Instant::now())?;
            assert!(!step.is_idle(), "bytes that nobody takes");
            output.extend(step.output);
            event = event.or(step.event);
            part = &part[step.used..];
        }
    }
    Ok((output, event))
}

/// Both ends after a handshake, in pieces of this size.
pub(crate) fn connect(mut server: ServerHandshake, mut viewer: ViewerHandshake, piece: usize) -> (Channel, Channel) {
    let (first, none) = feed_viewer(&mut viewer, &server.offer(), piece).expect("an offer");
    assert_eq!(none, None);
    let (second, none) = feed_server(&mut server, &first, piece).expect("message 1");
    assert_eq!(none, None);
    let (nothing, event) = feed_viewer(&mut viewer, &second, piece).expect("message 2");
    assert!(nothing.is_empty() && matches!(event, Some(ViewerEvent::Server { .. })), "{event:?}");
    let third = viewer.proceed(&hello()).expect("message 3");
    let (nothing, event) = feed_server(&mut server, &third, piece).expect("message 3");
    assert!(nothing.is_empty() && matches!(event, Some(ServerEvent::Viewer { .. })), "{event:?}");
    (server.into_channel().expect("complete"), viewer.into_channel().expect("complete"))
}

/// Server's and viewer's channel, before authentication.
pub(crate) fn fresh() -> (Channel, Channel) {
    connect(server(), viewer(), 10_000)
}

/// Server's and viewer's channel with RFB both ways.
pub(crate) fn open_pair() -> (Channel, Channel) {
    let (mut server, mut viewer) = fresh();
    let mut wire = Vec::new();
    server.write(&[0; 4], None, Instant::now(), &mut wire).expect("open");
    server.flush(&mut wire).expect("open");
    assert_eq!(receive(&mut viewer, &wire), Ok(vec![Got::Rfb(vec![0; 4])]));
    assert!(server.is_authenticated() && viewer.is_authenticated());
    (server, viewer)
}

/// A record that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Rfb(Vec<u8>),
    Auth(Vec<u8>),
    Close(crate::Close),
    Ping(crate::Ping),
}

impl Got {
    pub(crate) fn of(record: Record<'_>) -> Self {
        match record {
            Record::Rfb(data) => Self::Rfb(data.to_vec()),
            Record::Auth(data) => Self::Auth(data.to_vec()),
            Record::Close(close) => Self::Close(close),
            Record::Ping(ping) => Self::Ping(ping),
        }
    }
}

/// Feeds all of `wire`; every record, or the error.
pub(crate) fn receive(channel: &mut Channel, wire: &[u8]) -> Result<Vec<Got>, crate::ChannelError> {
    let (mut rest, mut got) = (wire, Vec::new());
    while !rest.is_empty() {
        let opened = channel.open(rest, Instant::now())?;
        assert!(opened.used > 0, "no progress");
        let used = opened.used;
        got.extend(opened.record.map(Got::of));
        rest = &rest[used..];
    }
    Ok(got)
}
