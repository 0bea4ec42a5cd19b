//! Round trips, cuts, caps and noise.

use super::*;
use crate::encoding::Encoding;
use crate::ext::clipboard::{Caps, ProvidedText};
use crate::ext::desktop_size::{Layout, Reason, Status};
use crate::ext::led::LedState;
use proptest::prelude::*;

fn messages() -> Vec<ServerMessage> {
    vec![
        ServerMessage::FramebufferUpdate { rects: RECTS_UNTIL_LAST },
        ServerMessage::SetColourMapEntries { first: 3, colours: vec![[1, 2, 3], [65_535, 0, 9]] },
        ServerMessage::Bell,
        ServerMessage::CutText(b"x\n".to_vec()),
        ServerMessage::ExtendedClipboard(ExtendedClipboard::Caps(Caps::text(0))),
        ServerMessage::ExtendedClipboard(ExtendedClipboard::Provide(ProvidedText::Text("y".into()))),
        ServerMessage::EndOfContinuousUpdates,
        ServerMessage::Fence(Fence::announcement()),
        ServerMessage::Xvp { version: 1, code: 1 },
        ServerMessage::AudioBegin,
        ServerMessage::AudioData(vec![1, 2, 3, 4]),
        ServerMessage::AudioEnd,
    ]
}

fn rects() -> Vec<PseudoRect> {
    let cursor = |width, height, picture| PseudoRect::Cursor(Cursor { hot_x: 2, hot_y: 3, width, height, picture });
    vec![
        PseudoRect::LastRect,
        PseudoRect::DesktopSize { width: 3840, height: 2160 },
        PseudoRect::ExtendedDesktopSize {
            reason: Reason::ThisClient,
            status: Status::InvalidLayout,
            layout: Layout::single(300, 200, 7),
        },
        PseudoRect::DesktopName("b\u{fc}ro".into()),
        PseudoRect::PointerPos { x: 5, y: 6 },
        PseudoRect::VmwareCursorPosition { x: 5, y: 6 },
        PseudoRect::QemuPointerMode { absolute: true },
        PseudoRect::QemuKeyAck,
        PseudoRect::QemuAudioAck,
        PseudoRect::ExtendedMouseButtonsAck,
        PseudoRect::Led(LedState::CAPS),
        PseudoRect::VmwareLed(LedState::NUM),
        cursor(9, 2, CursorPicture::Pixels { pixels: vec![1; 72], mask: vec![2; 4] }),
        cursor(0, 0, CursorPicture::Pixels { pixels: vec![], mask: vec![] }),
        cursor(
            9,
            2,
            CursorPicture::TwoColour { foreground: [1; 3], background: [2; 3], bitmap: vec![3; 4], mask: vec![4; 4] },
        ),
        cursor(9, 2, CursorPicture::Premultiplied(vec![5; 72])),
        cursor(9, 2, CursorPicture::Straight(vec![6; 72])),
        cursor(9, 2, CursorPicture::AndXor { and: vec![7; 72], xor: vec![8; 72] }),
    ]
}

#[test]
fn every_message_survives_the_wire_and_no_part_of_it_is_one() {
    for message in messages() {
        let mut wire = Vec::new();
        message.write(&mut wire);
        let whole = wire.len();
        wire.push(0xaa);
        assert_eq!(ServerMessage::parse(&wire), Ok(Some((message, whole))));
        for n in 0..whole {
            assert_eq!(ServerMessage::parse(&wire[..n]), Ok(None));
        }
    }
}

#[test]
fn every_pseudo_rectangle_survives_the_wire_and_no_part_of_it_is_one() {
    for rect in rects() {
        let mut wire = Vec::new();
        rect.write(&mut wire);
        let header = RectHeader::parse(&wire).unwrap();
        assert_eq!(header.encoding, rect.encoding());
        let body = &wire[RectHeader::LENGTH..];
        for n in 0..body.len() {
            assert_eq!(PseudoRect::parse(header, 4, &body[..n]), Ok(None), "{rect:?} cut at {n}");
        }
        assert_eq!(PseudoRect::parse(header, 4, body), Ok(Some((Some(rect), body.len()))));
        assert_eq!(RectHeader::parse(&wire[..11]), None);
    }
}

#[test]
fn pixels_are_left_to_the_caller() {
    let header = RectHeader { area: crate::Area::whole(8, 8), encoding: Encoding::ZRLE };
    assert_eq!(PseudoRect::parse(header, 4, &[1, 2, 3]), Ok(Some((None, 0))));
}

#[test]
fn absurd_sizes_are_refused_before_their_bodies_come() {
    let header = |encoding, width, height| RectHeader { area: crate::Area::whole(width, height), encoding };
    for encoding in [Encoding::CURSOR, Encoding::X_CURSOR, Encoding::CURSOR_WITH_ALPHA, Encoding::VMWARE_CURSOR] {
        let result = PseudoRect::parse(header(encoding, 257, 1), 4, &[]);
        assert_eq!(result, Err(ProtocolError::CursorSize { width: 257, height: 1 }));
    }
    for encoding in [Encoding::DESKTOP_SIZE, Encoding::EXTENDED_DESKTOP_SIZE] {
        assert!(PseudoRect::parse(header(encoding, 16_385, 1), 4, &[]).is_err());
        assert!(PseudoRect::parse(header(encoding, 0, 1), 4, &[]).is_err());
    }
    for wire in
        [&[3, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff][..], &[3, 0, 0, 0, 0x80, 0, 0, 0], &[255, 1, 0, 2, 0, 0x10, 0, 1]]
    {
        assert!(matches!(ServerMessage::parse(wire), Err(ProtocolError::BodyTooLong { .. })), "{wire:?}");
    }
    assert_eq!(ServerMessage::parse(&[77]), Err(ProtocolError::UnknownServerMessage(77)));
}

#[test]
fn a_name_is_cut_at_a_characters_edge_and_has_no_controls() {
    let mut wire = Vec::new();
    PseudoRect::DesktopName(format!("\x1b{}", "\u{20ac}".repeat(400))).write(&mut wire);
    assert_eq!(wire.len(), 12 + 4 + 1023);
    let header = RectHeader::parse(&wire).unwrap();
    let (rect, _) = PseudoRect::parse(header, 4, &wire[12..]).unwrap().unwrap();
    assert_eq!(rect, Some(PseudoRect::DesktopName("\u{20ac}".repeat(341))));
}

proptest! {
    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), index in 0_usize..18) {
        if let Ok(Some((_, used))) = ServerMessage::parse(&bytes) {
            prop_assert!(used <= bytes.len());
        }
        let encoding = rects()[index].encoding();
        if let Some(header) = RectHeader::parse(&bytes) {
            let header = RectHeader { encoding, ..header };
            if let Ok(Some((_, used))) = PseudoRect::parse(header, 2, &bytes[12..]) {
                prop_assert!(used <= bytes.len() - 12);
            }
        }
    }
}
