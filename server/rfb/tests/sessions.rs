//! Recorded sessions parse into the messages that their clients and servers are known to have sent.

use std::path::Path;

use farpane_rfb::client_msg::{ClientParser, ParseContext};
use farpane_rfb::encoding::Hints;
use farpane_rfb::ext::clipboard::{Caps, ExtendedClipboard};
use farpane_rfb::ext::desktop_size::{Layout, Reason, Screen, Status};
use farpane_rfb::ext::fence::{Fence, FenceFlags};
use farpane_rfb::ext::led::LedState;
use farpane_rfb::handshake::ServerInit;
use farpane_rfb::server_msg::{CursorPicture, PseudoRect, RectHeader};
use farpane_rfb::{Area, ClientMessage, Encoding, PixelFormat, ServerMessage};

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

/// Version, choice of None, ClientInit.
const CLIENT_HANDSHAKE: usize = 14;
/// Version, types, SecurityResult.
const SERVER_HANDSHAKE: usize = 18;

/// Feeds `wire` so that the parser sees `piece` more bytes each time; all must be used up.
fn client_messages(wire: &[u8], piece: usize) -> Vec<ClientMessage> {
    let mut parser = ClientParser::new(ParseContext { extended_clipboard: true, ..ParseContext::default() });
    let (mut messages, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        let parsed = parser.parse(&wire[start..end]).unwrap();
        start += parsed.used;
        let idle = parsed.used == 0;
        messages.extend(parsed.message);
        if idle && end == wire.len() {
            assert_eq!(start, end, "bytes left over");
            return messages;
        }
        if idle {
            end = wire.len().min(end + piece);
        }
    }
}

/// What TigerVNC's viewer 1.12 lists before and after the encoding it prefers.
fn viewer_list(encodings: &[i32]) -> ClientMessage {
    const VMWARE: i32 = 0x574d_5664;
    let before = [-314, VMWARE, -239, -240, VMWARE + 2, -223, -308, -307, -224, -1_063_131_698, -313, -312, -258];
    let encodings: Vec<_> = before.iter().chain(encodings).copied().map(Encoding).collect();
    ClientMessage::SetEncodings { listed: encodings.len().try_into().unwrap(), encodings }
}

fn fence(flags: u32, payload: &[u8]) -> ClientMessage {
    ClientMessage::Fence(Fence::new(FenceFlags(flags), payload).unwrap())
}

#[test]
fn whole_sessions_of_a_real_viewer_are_understood() {
    let area = Area::whole(200, 136);
    let request = |incremental| ClientMessage::FramebufferUpdateRequest { incremental, area };
    for (name, list, pongs) in [
        ("viewer-zrle", &[16, 1, 7, 5, 2, 1, 0, -254][..], 6),
        ("viewer-tight-nojpeg", &[7, 1, 16, 5, 2, 1, 0, -254], 6),
        ("viewer-tight-jpeg", &[7, 1, 16, 5, 2, 1, 0, -254, -26], 10),
        ("viewer-hextile", &[5, 1, 16, 7, 2, 1, 0, -254], 6),
        ("viewer-zrle-256colours", &[16, 1, 7, 5, 2, 1, 0, -254], 6),
    ] {
        let wire = &golden(&format!("{name}/c2s.bin"))[CLIENT_HANDSHAKE..];
        let messages = client_messages(wire, usize::MAX / 2);
        let mut expected = Vec::new();
        if name.ends_with("256colours") {
            let Some(&ClientMessage::SetPixelFormat(format)) = messages.first() else { panic!("{messages:?}") };
            assert_eq!(format.to_string(), "8 bpp depth 8 le r7<<5 g7<<2 b3<<0");
            expected.push(ClientMessage::SetPixelFormat(format));
        }
        expected.extend([
            viewer_list(list),
            request(false),
            fence(0, &[0]),
            ClientMessage::ExtendedClipboard(ExtendedClipboard::parse(&[0x1f, 0, 0, 1, 0, 0, 0, 0], 0).unwrap()),
            request(true),
            ClientMessage::EnableContinuousUpdates { on: true, area },
        ]);
        expected.extend((0..pongs).map(|_| fence(1, &[1])));
        assert_eq!(messages, expected, "{name}");
        for piece in [1, 2, 13] {
            assert_eq!(client_messages(wire, piece), expected, "{name} in pieces of {piece}");
        }
    }
}

#[test]
fn a_session_with_every_extension_is_understood_and_written_the_same() {
    let wire = &golden("pseudo-mix/c2s.bin")[CLIENT_HANDSHAKE..];
    let list = [0, 1, -223, -308, -307, -224, -261, -312, -313, -258, -316, -1_063_131_698].map(Encoding);
    let screen = |id, x, width, height| Screen { id, area: Area { x, y: 0, width, height }, flags: 0 };
    let small = Area::whole(8, 8);
    let resize = |width, height, screens| ClientMessage::SetDesktopSize(Layout { width, height, screens });
    let request = |incremental| ClientMessage::FramebufferUpdateRequest { incremental, area: Area::whole(4, 4) };
    let expected = client_messages(wire, usize::MAX / 2);
    assert_eq!(
        expected,
        [
            ClientMessage::SetEncodings { listed: 12, encodings: list.to_vec() },
            ClientMessage::FramebufferUpdateRequest { incremental: false, area: small },
            fence(0x8000_0003, b"fence"),
            fence(0x8000_0107, b""),
            ClientMessage::EnableContinuousUpdates { on: true, area: small },
            ClientMessage::EnableContinuousUpdates { on: false, area: Area::default() },
            resize(160, 120, vec![screen(0x1122_3344, 0, 160, 120)]),
            request(false),
            resize(160, 120, vec![screen(1, 0, 300, 120)]),
            resize(160, 120, vec![]),
            resize(300, 200, vec![screen(1, 0, 150, 200), screen(2, 150, 150, 200)]),
            request(true),
        ]
    );
    for n in 1..wire.len() {
        assert_eq!(client_messages(wire, n), expected, "pieces of {n}");
    }
    let mut written = Vec::new();
    for message in &expected {
        message.write(false, &mut written);
    }
    assert_eq!(written, wire);

    let ClientMessage::SetDesktopSize(outside) = &expected[8] else { panic!() };
    assert_eq!(outside.validate(), Err(Status::InvalidLayout));
    let ClientMessage::SetDesktopSize(none) = &expected[9] else { panic!() };
    assert_eq!(none.validate(), Err(Status::InvalidLayout));
    let ClientMessage::SetDesktopSize(two) = &expected[10] else { panic!() };
    assert_eq!(two.validate(), Ok(()));
}

#[test]
fn cutting_a_session_at_any_byte_gives_a_prefix_of_its_messages() {
    for name in ["pseudo-mix", "viewer-tight-jpeg", "viewer-zrle-256colours", "pseudo-cursor"] {
        let wire = &golden(&format!("{name}/c2s.bin"))[CLIENT_HANDSHAKE..];
        let all = client_messages(wire, usize::MAX / 2);
        for cut in 0..wire.len() {
            let context = ParseContext { extended_clipboard: true, ..ParseContext::default() };
            let mut parser = ClientParser::new(context);
            let (mut rest, mut count) = (&wire[..cut], 0);
            loop {
                let parsed = parser.parse(rest).unwrap();
                rest = &rest[parsed.used..];
                if let Some(message) = parsed.message {
                    assert_eq!(message, all[count], "{name} cut at {cut}");
                    count += 1;
                } else if parsed.used == 0 {
                    break;
                }
            }
            assert!(count < all.len());
        }
    }
}

/// What stands in a server's stream.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Message(ServerMessage),
    Rect(PseudoRect),
    Raw(Area),
}

/// Reads a server's stream after the handshake; pixels must be Raw, 32 bits.
fn server_stream(name: &str) -> (ServerInit, Vec<Seen>) {
    let wire = golden(&format!("{name}/s2c.bin"));
    let (init, used) = ServerInit::parse(&wire[SERVER_HANDSHAKE..]).unwrap().unwrap();
    let mut rest = &wire[SERVER_HANDSHAKE + used..];
    let mut seen = Vec::new();
    while !rest.is_empty() {
        let (message, used) = ServerMessage::parse(rest).unwrap().unwrap();
        rest = &rest[used..];
        let rects = if let ServerMessage::FramebufferUpdate { rects } = message { rects } else { 0 };
        seen.push(Seen::Message(message));
        for _ in 0..rects {
            let header = RectHeader::parse(rest).unwrap();
            rest = &rest[RectHeader::LENGTH..];
            let (rect, used) = PseudoRect::parse(header, 4, rest).unwrap().unwrap();
            rest = &rest[used..];
            let last = rect == Some(PseudoRect::LastRect);
            match rect {
                Some(rect) => seen.push(Seen::Rect(rect)),
                None => {
                    assert_eq!(header.encoding, Encoding::RAW);
                    rest = &rest[usize::try_from(header.area.pixels()).unwrap() * 4..];
                    seen.push(Seen::Raw(header.area));
                }
            }
            if last {
                break;
            }
        }
    }
    (init, seen)
}

#[test]
fn a_servers_stream_with_every_extension_is_understood_and_written_the_same() {
    let (init, seen) = server_stream("pseudo-mix");
    assert_eq!(init.pixel_format, PixelFormat::BGRX);
    let update = |rects| Seen::Message(ServerMessage::FramebufferUpdate { rects });
    let fence =
        |flags, payload: &[u8]| Seen::Message(ServerMessage::Fence(Fence::new(FenceFlags(flags), payload).unwrap()));
    let size = |reason, status, layout: &Layout| {
        Seen::Rect(PseudoRect::ExtendedDesktopSize { reason, status, layout: layout.clone() })
    };
    let first = Layout::single(200, 136, 1_804_289_383);
    let caps = Seen::Message(ServerMessage::ExtendedClipboard(ExtendedClipboard::Caps(Caps::text(0))));
    let mut expected = vec![
        fence(0x8000_0000, &[0]),
        Seen::Message(ServerMessage::EndOfContinuousUpdates),
        caps,
        update(3),
        Seen::Rect(PseudoRect::Led(LedState(0))),
        Seen::Rect(PseudoRect::QemuKeyAck),
        size(Reason::Server, Status::Ok, &first),
        fence(3, b"fence"),
        fence(7, b""),
        fence(0x8000_0001, &[1]),
        update(65_535),
        Seen::Raw(Area::whole(8, 8)),
        Seen::Rect(PseudoRect::LastRect),
        fence(0x8000_0001, &[1]),
        Seen::Message(ServerMessage::EndOfContinuousUpdates),
    ];
    let (ok, bad) = (Status::Ok, Status::InvalidLayout);
    let second = Layout::single(160, 120, 0x1122_3344);
    expected.push(update(6));
    for reason in [0, 0, 0, 0, 1, 0] {
        expected.push(size(Reason::from_number(reason), ok, &second));
    }
    let half = |id, x| Screen { id, area: Area { x, y: 0, width: 150, height: 200 }, flags: 0 };
    let third = Layout { width: 300, height: 200, screens: vec![half(1, 0), half(2, 150)] };
    expected.push(update(7));
    for (reason, status) in [(1, bad), (1, bad), (0, ok), (0, ok), (0, ok), (0, ok), (1, ok)] {
        expected.push(size(Reason::from_number(reason), status, &third));
    }
    assert_eq!(seen, expected);

    // Everything but the pixels is written as it was read.
    let wire = golden("pseudo-mix/s2c.bin");
    let mut written = Vec::new();
    init.write(&mut written);
    for part in &seen {
        match part {
            Seen::Message(message) => message.write(&mut written),
            Seen::Rect(rect) => rect.write(&mut written),
            Seen::Raw(_) => written.extend(&wire[SERVER_HANDSHAKE + written.len()..][..12 + 8 * 8 * 4]),
        }
    }
    assert_eq!(written, wire[SERVER_HANDSHAKE..]);
}

#[test]
fn cursors_of_a_real_server_are_read_and_written_the_same() {
    for (name, encoding) in [
        ("pseudo-cursor", Encoding::CURSOR),
        ("pseudo-xcursor", Encoding::X_CURSOR),
        ("pseudo-alphacursor", Encoding::CURSOR_WITH_ALPHA),
        ("pseudo-vmwarecursor", Encoding::VMWARE_CURSOR),
    ] {
        let (_, seen) = server_stream(name);
        let Seen::Rect(rect) = &seen[1] else { panic!("{name}: {seen:?}") };
        let PseudoRect::Cursor(cursor) = rect else { panic!("{name}: {rect:?}") };
        assert_eq!((rect.encoding(), cursor.hot_x, cursor.hot_y), (encoding, 2, 3), "{name}");
        assert_eq!((cursor.width, cursor.height), (10, 9), "{name}");
        assert_eq!(seen[2..], [Seen::Raw(Area::whole(16, 16)), Seen::Rect(PseudoRect::LastRect)]);
        if let CursorPicture::Pixels { pixels, mask } = &cursor.picture {
            assert_eq!((pixels.len(), mask.len()), (360, 18));
        }
        let mut written = Vec::new();
        rect.write(&mut written);
        // Header of the update, then this rectangle.
        assert_eq!(written, golden(&format!("{name}/s2c.bin"))[52..][..written.len()], "{name}");
    }
}

#[test]
fn a_viewers_quality_wishes_are_found() {
    let wire = &golden("viewer-tight-jpeg/c2s.bin")[CLIENT_HANDSHAKE..];
    let Some(ClientMessage::SetEncodings { encodings, .. }) = client_messages(wire, 9).into_iter().next() else {
        panic!()
    };
    let hints = Hints::of(&encodings);
    assert_eq!((hints.compression, hints.jpeg_quality, hints.subsampling), (Some(2), Some(6), None));
}
