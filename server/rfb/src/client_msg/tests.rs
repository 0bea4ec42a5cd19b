//! Round trips, cuts, caps and noise.

use super::*;
use crate::error::ProtocolError;
use crate::ext::audio::{AudioFormat, SampleFormat};
use crate::ext::clipboard::{Caps, ClipboardError, Formats, ProvidedText};
use crate::ext::desktop_size::Screen;
use crate::ext::fence::FenceFlags;
use crate::limits;
use proptest::prelude::*;

fn context() -> ParseContext {
    ParseContext { extended_mouse_buttons: true, extended_clipboard: true, ..ParseContext::default() }
}

/// Feeds `wire` so that the parser sees `piece` more bytes each time.
fn parse_all(context: ParseContext, wire: &[u8], piece: usize) -> Result<(Vec<ClientMessage>, usize), ProtocolError> {
    let mut parser = ClientParser::new(context);
    let (mut messages, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        let parsed = parser.parse(&wire[start..end])?;
        assert!(parsed.used <= end - start, "used more than given");
        start += parsed.used;
        let idle = parsed.used == 0;
        assert!(!idle || parsed.message.is_none(), "a message of no bytes");
        messages.extend(parsed.message);
        if idle && end == wire.len() {
            return Ok((messages, start));
        }
        if idle {
            end = wire.len().min(end + piece);
        }
    }
}

fn every_message() -> Vec<ClientMessage> {
    let area = Area { x: 1, y: 2, width: 65_535, height: 4 };
    let strangers = [
        Stranger::FileTransfer,
        Stranger::SetServerInput,
        Stranger::SetSingleWindow,
        Stranger::TextChat,
        Stranger::KeepAlive,
        Stranger::RequestSession,
        Stranger::SetSession,
        Stranger::Gii,
    ];
    let screen = Screen { id: 9, area, flags: 5 };
    let audio = AudioFormat { sample: SampleFormat::U32, channels: 1, hz: 48_000 };
    let mut all = vec![
        ClientMessage::SetPixelFormat(PixelFormat::RGBX),
        ClientMessage::SetEncodings { encodings: vec![Encoding::ZRLE, Encoding(-1), Encoding::ZRLE], listed: 3 },
        ClientMessage::SetEncodings { encodings: vec![], listed: 0 },
        ClientMessage::FramebufferUpdateRequest { incremental: true, area },
        ClientMessage::KeyEvent { down: true, keysym: 0x0101_f600 },
        ClientMessage::PointerEvent { buttons: 0x7f, x: 65_535, y: 0 },
        ClientMessage::PointerEvent { buttons: buttons::BACK, x: 3, y: 4 },
        ClientMessage::PointerEvent { buttons: buttons::FORWARD | buttons::RIGHT, x: 3, y: 4 },
        ClientMessage::PointerEvent { buttons: 0x1ff, x: 3, y: 4 },
        ClientMessage::CutText(b"gr\xfcn".to_vec()),
        ClientMessage::CutText(vec![]),
        ClientMessage::ExtendedClipboard(ExtendedClipboard::Caps(Caps::text(9))),
        ClientMessage::ExtendedClipboard(ExtendedClipboard::Request(Formats::TEXT)),
        ClientMessage::ExtendedClipboard(ExtendedClipboard::Peek),
        ClientMessage::ExtendedClipboard(ExtendedClipboard::Notify(Formats(0))),
        ClientMessage::ExtendedClipboard(ExtendedClipboard::Provide(ProvidedText::Text("\u{20ac}\n".into()))),
        ClientMessage::CutTextDropped(DroppedText { length: 262_145, extended: false }),
        ClientMessage::EnableContinuousUpdates { on: true, area },
        ClientMessage::Fence(Fence::new(FenceFlags(0x8000_0001), &[5; 64]).unwrap()),
        ClientMessage::Fence(Fence::new(FenceFlags(0), &[]).unwrap()),
        ClientMessage::Xvp { version: 1, code: 3 },
        ClientMessage::SetDesktopSize(Layout { width: 7, height: 8, screens: vec![screen; 3] }),
        ClientMessage::SetDesktopSize(Layout::default()),
        ClientMessage::SetScale(3),
        ClientMessage::QemuKey { down: true, keysym: 0x61, keycode: 0x1e },
        ClientMessage::QemuAudio(AudioRequest::Enable),
        ClientMessage::QemuAudio(AudioRequest::Disable),
        ClientMessage::QemuAudio(AudioRequest::SetFormat(audio)),
    ];
    all.extend(strangers.map(ClientMessage::Ignored));
    all
}

#[test]
fn every_message_survives_the_wire_alone_and_in_a_row_however_it_is_cut() {
    let mut row = Vec::new();
    for message in every_message() {
        let mut wire = Vec::new();
        message.write(true, &mut wire);
        assert_eq!(parse_all(context(), &wire, usize::MAX / 2), Ok((vec![message], wire.len())));
        row.extend(wire);
    }
    for piece in [1, 7, 4096] {
        assert_eq!(parse_all(context(), &row, piece), Ok((every_message(), row.len())), "piece {piece}");
    }
}

#[test]
fn no_message_is_made_of_a_part_of_it() {
    for message in every_message() {
        let mut wire = Vec::new();
        message.write(true, &mut wire);
        if matches!(message, ClientMessage::CutTextDropped(_)) {
            wire.truncate(8);
        }
        for n in 0..wire.len() {
            assert_eq!(parse_all(context(), &wire[..n], usize::MAX / 2), Ok((vec![], 0)), "{message:?} cut at {n}");
        }
    }
}

#[test]
fn of_65535_encodings_the_first_1024_count_and_the_rest_is_passed_over() {
    let mut wire = vec![2, 0, 0xff, 0xff];
    wire.extend((0..65_535).flat_map(i32::to_be_bytes));
    wire.extend([4, 0, 0, 0, 0, 0, 0, 1]);
    let (messages, used) = parse_all(context(), &wire, 1000).unwrap();
    assert_eq!(used, wire.len());
    let ClientMessage::SetEncodings { encodings, .. } = &messages[0] else { panic!("{messages:?}") };
    assert!(encodings.capacity() <= 2 * limits::ENCODINGS, "allocated by the client's wish");
    let expected: Vec<_> = (0..1024).map(Encoding).collect();
    assert_eq!(messages[0], ClientMessage::SetEncodings { encodings: expected, listed: 65_535 });
    assert_eq!(messages[1..], [ClientMessage::KeyEvent { down: false, keysym: 1 }]);
}

#[test]
fn long_text_is_dropped_and_endless_text_refused() {
    let key = [4, 0, 0, 0, 0, 0, 0, 1];
    let mut parser = ClientParser::new(context());
    let length = limits::SKIPPED_BODY;
    let head = [&[6, 0, 0, 0][..], &length.to_be_bytes()].concat();
    let parsed = parser.parse(&head).unwrap();
    assert_eq!(parsed.message, Some(ClientMessage::CutTextDropped(DroppedText { length, extended: false })));
    let chunk = vec![6; 1 << 20];
    for _ in 0..16 {
        assert_eq!(parser.parse(&chunk).unwrap(), Parsed { used: chunk.len(), message: None });
    }
    assert_eq!(parser.to_skip(), 0);
    assert_eq!(parser.parse(&key).unwrap().message, Some(ClientMessage::KeyEvent { down: false, keysym: 1 }));

    let length = limits::SKIPPED_BODY + 1;
    let head = [&[6, 0, 0, 0][..], &length.to_be_bytes()].concat();
    assert_eq!(parser.parse(&head), Err(ProtocolError::BodyTooLong { what: "cut text", length }));
}

#[test]
fn negative_lengths_need_the_extended_clipboard_and_an_opposite() {
    let message = |length: i32| [&[6, 0, 0, 0][..], &length.to_be_bytes(), &[1, 0, 0, 0]].concat();
    for (on, length) in [(false, -4), (true, i32::MIN), (false, i32::MIN)] {
        let context = ParseContext { extended_clipboard: on, ..context() };
        let result = ClientParser::new(context).parse(&message(length));
        assert_eq!(result, Err(ProtocolError::CutTextLength(length)));
    }
    let result = ClientParser::new(context()).parse(&message(-3));
    assert_eq!(result, Err(ProtocolError::Clipboard(ClipboardError::NoFlags(3))));
    let result = ClientParser::new(context()).parse(&message(-(2 << 20))).unwrap();
    assert_eq!(result.message, Some(ClientMessage::CutTextDropped(DroppedText { length: 2 << 20, extended: true })));
}

#[test]
fn bit_seven_is_a_button_until_extended_buttons_are_agreed() {
    let wire = [5, 0x81, 0, 1, 0, 2];
    let plain = ClientParser::default().parse(&wire).unwrap();
    assert_eq!(plain.message, Some(ClientMessage::PointerEvent { buttons: 0x81, x: 1, y: 2 }));
    assert_eq!(ClientParser::new(context()).parse(&wire).unwrap(), Parsed { used: 0, message: None });
    let extended = ClientParser::new(context()).parse(&[5, 0x81, 0, 1, 0, 2, 0xfe]).unwrap();
    assert_eq!(extended.message, Some(ClientMessage::PointerEvent { buttons: 0x101, x: 1, y: 2 }));
}

#[test]
fn strangers_with_bodies_are_passed_over_whole() {
    let key = [4, 0, 0, 0, 0, 0, 0, 1];
    for (head, body) in [
        (&[7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0][..], 256),
        (&[11, 0, 0, 0, 0, 0, 0, 9], 9),
        (&[11, 0, 0, 0, 0xff, 0xff, 0xff, 0xfd], 0),
        (&[253, 0x81, 0x01, 0x00], 256),
        (&[253, 0x01, 0x00, 0x01], 256),
    ] {
        let wire = [head, &vec![0x61; body], &key].concat();
        let (messages, used) = parse_all(ParseContext::default(), &wire, 3).unwrap();
        assert_eq!(used, wire.len());
        assert!(matches!(messages[0], ClientMessage::Ignored(_)));
        assert_eq!(messages[1..], [ClientMessage::KeyEvent { down: false, keysym: 1 }]);
    }
    let result = ClientParser::default().parse(&[7, 1, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0]);
    assert!(matches!(result, Err(ProtocolError::BodyTooLong { what: "file transfer", .. })));
}

#[test]
fn unknown_types_are_named() {
    let known = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 20, 21, 150, 248, 250, 251, 253, 255];
    for kind in 0..=255 {
        let result = ClientParser::default().parse(&[kind]);
        if known.contains(&kind) {
            assert!(result.is_ok(), "{kind}");
        } else {
            assert_eq!(result, Err(ProtocolError::UnknownClientMessage(kind)));
        }
    }
    let result = ClientParser::default().parse(&[255, 9, 0, 1]);
    assert_eq!(result, Err(ProtocolError::UnknownQemuMessage { sub: 9, operation: 0 }));
    let result = ClientParser::default().parse(&[255, 1, 0, 9]);
    assert_eq!(result, Err(ProtocolError::UnknownQemuMessage { sub: 1, operation: 9 }));
}

#[test]
fn bad_formats_and_fences_are_refused() {
    let mut wire = Vec::new();
    ClientMessage::SetPixelFormat(PixelFormat { bits_per_pixel: 24, ..PixelFormat::BGRX }).write(false, &mut wire);
    assert!(matches!(ClientParser::default().parse(&wire), Err(ProtocolError::PixelFormat(_))));
    let fence = [248, 0, 0, 0, 0, 0, 0, 0, 65];
    assert_eq!(ClientParser::default().parse(&fence), Err(ProtocolError::FencePayload(65)));
}

#[test]
fn keys_and_text_are_not_in_debug_output() {
    let response = crate::handshake::ServerEvent::VncAuthResponse([0x61; 16]);
    assert_eq!(format!("{response:?}"), "VncAuthResponse");
    let text = format!("{:?}", ClientMessage::CutText(b"hunter2".to_vec()));
    assert_eq!(text, "CutText(7 bytes)");
    assert_eq!(format!("{:?}", ClientMessage::KeyEvent { down: true, keysym: 0x68 }), "KeyEvent(down true)");
}

proptest! {
    #[test]
    fn noise_never_panics_and_cuts_do_not_matter(bytes in proptest::collection::vec(any::<u8>(), 0..400), piece in 1_usize..50) {
        prop_assert_eq!(parse_all(context(), &bytes, piece), parse_all(context(), &bytes, usize::MAX / 2));
    }

    #[test]
    fn noise_behind_a_known_type_never_panics(index in 0_usize..21, bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let known = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 20, 21, 150, 248, 250, 251, 253, 255];
        let wire = [&[known[index]], &bytes[..]].concat();
        prop_assert_eq!(parse_all(context(), &wire, 1), parse_all(context(), &wire, usize::MAX / 2));
    }
}
