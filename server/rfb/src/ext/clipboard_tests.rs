//! Tests of the extended clipboard.

use super::*;
use proptest::prelude::*;

const CAP: usize = 64 * 1024;

fn provide(plain: &[u8], flush: DeflateFlush) -> Vec<u8> {
    let mut body = vec![0x10, 0, 0, 1];
    let mut block = vec![0; plain.len() + 1024];
    let mut deflate = Deflate::new(9, true, 15);
    deflate.compress(plain, &mut block, flush).unwrap();
    body.extend_from_slice(&block[..deflate.total_out() as usize]);
    body
}

fn text_of(body: &[u8]) -> Result<ProvidedText, ClipboardError> {
    match ExtendedClipboard::parse(body, CAP)? {
        ExtendedClipboard::Provide(text) => Ok(text),
        other => panic!("not a provide: {other:?}"),
    }
}

fn round_trip(message: ExtendedClipboard) {
    let mut body = Vec::new();
    message.write(&mut body);
    assert_eq!(ExtendedClipboard::parse(&body, CAP), Ok(message));
}

#[test]
fn every_action_survives_the_wire() {
    round_trip(ExtendedClipboard::Caps(Caps { actions: NOTIFY | REQUEST, formats: Formats(5), text_size: 77 }));
    round_trip(ExtendedClipboard::Request(Formats::TEXT));
    round_trip(ExtendedClipboard::Peek);
    round_trip(ExtendedClipboard::Notify(Formats(3)));
    round_trip(ExtendedClipboard::Notify(Formats(0)));
    round_trip(ExtendedClipboard::Provide(ProvidedText::Text("z\u{fc}rich \u{1f600}\nzwei".into())));
    round_trip(ExtendedClipboard::Provide(ProvidedText::Text(String::new())));
}

#[test]
fn the_wire_has_crlf_a_nul_and_a_size_that_counts_it() {
    let mut body = Vec::new();
    ExtendedClipboard::Provide(ProvidedText::Text("a\nb\0secret".into())).write(&mut body);
    let mut inflate = Inflate::new(true, 15);
    let mut plain = [0; 64];
    assert_eq!(inflate.decompress(&body[4..], &mut plain, InflateFlush::Finish), Ok(Status::StreamEnd));
    assert_eq!(&plain[..inflate.total_out() as usize], b"\0\0\0\x05a\r\nb\0");
}

#[test]
fn finished_and_flushed_streams_are_both_read() {
    for flush in [DeflateFlush::Finish, DeflateFlush::SyncFlush] {
        assert_eq!(text_of(&provide(b"\0\0\0\x04ab\r\0", flush)), Ok(ProvidedText::Text("ab\n".into())));
        assert_eq!(text_of(&provide(b"\0\0\0\0", flush)), Ok(ProvidedText::Text(String::new())));
        // Html behind the text is not even looked at.
        assert_eq!(text_of(&provide(b"\0\0\0\x02a\0\0\0\0\x02b\0", flush)), Ok(ProvidedText::Text("a".into())));
    }
}

#[test]
fn a_size_beyond_the_data_is_an_error_and_beyond_the_cap_is_dropped() {
    let body = provide(b"\0\0\0\x09ab\0", DeflateFlush::SyncFlush);
    assert_eq!(text_of(&body), Err(ClipboardError::Truncated { got: 3, expected: 9 }));
    assert_eq!(
        text_of(&provide(b"\0\0", DeflateFlush::Finish)),
        Err(ClipboardError::Truncated { got: 2, expected: 4 })
    );
    let body = provide(b"\xff\xff\xff\xffab\0", DeflateFlush::SyncFlush);
    assert_eq!(text_of(&body), Ok(ProvidedText::TooLong { size: u32::MAX }));
    assert_eq!(text_of(&[0x10, 0, 0, 1]), Err(ClipboardError::Truncated { got: 0, expected: 4 }));
    assert_eq!(text_of(&[0x10, 0, 0, 1, 9, 9, 9]), Err(ClipboardError::Zlib));
    assert_eq!(text_of(&provide(b"\0\0\0\x02\xff\0", DeflateFlush::Finish)), Ok(ProvidedText::NotUtf8));
}

#[test]
fn a_bomb_inflates_no_further_than_its_announced_size() {
    let mut plain = vec![0, 0, 0, 2, b'a', 0];
    plain.resize(50 << 20, 0);
    let body = provide(&plain, DeflateFlush::Finish);
    assert_eq!(text_of(&body), Ok(ProvidedText::Text("a".into())));
}

#[test]
fn long_text_that_does_not_compress_survives_up_to_the_cap() {
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from_u32(0x20 + (seed >> 40) as u32 % 0x5f).unwrap()
    };
    let text: String = (0..CAP - 1).map(|_| noise()).collect();
    round_trip(ExtendedClipboard::Provide(ProvidedText::Text(text.clone())));
    let mut body = Vec::new();
    ExtendedClipboard::Provide(ProvidedText::Text(text + "x")).write(&mut body);
    assert_eq!(text_of(&body), Ok(ProvidedText::TooLong { size: CAP as u32 + 1 }));
}

#[test]
fn anything_but_one_action_is_an_error() {
    for flags in [0, 1, REQUEST | NOTIFY, PROVIDE | PEEK, 1 << 29] {
        assert_eq!(ExtendedClipboard::parse(&flags.to_be_bytes(), CAP), Err(ClipboardError::Action(flags)));
    }
    assert_eq!(ExtendedClipboard::parse(&[1, 2, 3], CAP), Err(ClipboardError::NoFlags(3)));
    let caps = [0x1f, 0, 0, 3, 0, 0, 0, 1];
    assert_eq!(ExtendedClipboard::parse(&caps, CAP), Err(ClipboardError::CapsSizes { sizes: 1, formats: 2 }));
}

#[test]
fn a_peer_gets_what_its_caps_allow() {
    let mut peer = Peer::default();
    assert_eq!(peer.caps().text_size(), 20 << 20);
    peer.set_caps(Caps::text(0));
    assert_eq!(peer.announce("x"), Announce::Notify);
    peer.set_caps(Caps::text(4));
    assert_eq!(peer.announce("a\n"), Announce::Provide);
    assert_eq!(peer.announce("ab\n"), Announce::Notify);
    peer.set_caps(Caps { actions: PROVIDE, formats: Formats::TEXT, text_size: 2 });
    assert_eq!((peer.announce("a"), peer.announce("ab")), (Announce::Provide, Announce::Nothing));
    peer.set_caps(Caps { actions: ACTIONS, formats: Formats::HTML, text_size: 0 });
    assert_eq!(peer.announce("a"), Announce::Nothing);
}

#[test]
fn text_is_not_in_debug_output() {
    assert!(!format!("{:?}", ProvidedText::Text("hunter2".into())).contains("hunter2"));
}

proptest! {
    #[test]
    fn random_bodies_do_no_harm(body in proptest::collection::vec(any::<u8>(), 0..200), action in 0_u8..32) {
        let _ = ExtendedClipboard::parse(&body, CAP);
        let mut aimed = vec![action, 0, 0, 1, 0x78, 0x01];
        aimed.extend_from_slice(&body);
        if let Ok(ExtendedClipboard::Provide(ProvidedText::Text(text))) = ExtendedClipboard::parse(&aimed, CAP) {
            prop_assert!(text.len() <= CAP);
        }
    }

    #[test]
    fn text_survives(text in "[^\0\r]{0,300}") {
        let mut body = Vec::new();
        let message = ExtendedClipboard::Provide(ProvidedText::Text(text));
        message.write(&mut body);
        prop_assert_eq!(ExtendedClipboard::parse(&body, CAP), Ok(message));
    }
}
