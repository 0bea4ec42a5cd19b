//! The built server against a client that shares no code with it.
//!
//! Every test starts its own server on a loopback port; the picture expected is the scene's, made by rule.

use farpane_engine::capture::synthetic::{self, picture};
use farpane_engine::geometry::{Rect, Size};
use farpane_engine::pixel::{ClientFormat, Layout};
use farpane_test_support::{Client, ClientError, Raw, Security, Server, encoding};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_farpane");
/// Odd in both directions, so that no tile ends where the picture does.
const STILL: &str = "333x227:still";
const V38: &str = "RFB 003.008\n";

fn serve() -> Server {
    Server::synthetic(BINARY, STILL, &[])
}

/// Picture 0 of a scene as bytes R, G, B.
fn expected(scene: &str) -> Vec<u8> {
    let spec = synthetic::parse(scene).expect("a good scene");
    picture(&spec, 0).iter().flat_map(|p| Layout::BGRX.rgb(*p)).collect()
}

/// Checks that the server still serves whoever comes.
fn still_serves(server: &Server) {
    let mut client = server.client().expect("another client");
    client.set_encodings(&[encoding::RAW, encoding::CURSOR]).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&expected(STILL)).expect("the scene");
}

// ---- versions and security ----

#[test]
fn every_version_gets_in_without_security() {
    let server = serve();
    for version in ["003.003", "003.004", "003.005", "003.006", "003.007", "003.008", "003.014", "003.889"] {
        let text = format!("RFB {version}\n");
        // versions above 3.8 are spoken to as 3.8
        let mut raw = server.raw();
        raw.versions(&text).expect("a version");
        let minor: u16 = version[4..].parse().expect("a number");
        if minor < 7 {
            assert_eq!(raw.imposed_type().expect("a type"), 1, "{version}");
        } else {
            assert_eq!(raw.security_types().expect("types"), [1], "{version}");
            raw.send(&[1]).expect("a choice");
        }
        if minor >= 8 {
            raw.security_result(true).expect("success");
        }
        let init = raw.init(true).unwrap_or_else(|e| panic!("{version}: {e}"));
        assert_eq!(init.size, Size::new(333, 227), "{version}");
        assert_eq!(init.format, ClientFormat::BGRX);
    }
}

#[test]
fn another_major_version_is_refused_with_a_reason() {
    let server = serve();
    let mut raw = server.raw();
    raw.versions("RFB 004.001\n").expect("a version");
    let refused = raw.security_types();
    assert!(matches!(&refused, Err(ClientError::Refused(reason)) if !reason.is_empty()), "{refused:?}");
    raw.read_to_close().expect("a close");
    still_serves(&server);
}

#[test]
fn what_is_no_version_is_closed_without_an_answer() {
    let server = serve();
    for garbage in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "RFB 003_008\n", "\0\0\0\0\0\0\0\0\0\0\0\0"] {
        let mut raw = server.raw();
        raw.read(12).expect("the banner");
        raw.send(garbage.as_bytes()).expect("garbage");
        assert_eq!(raw.read_to_close().expect("a close"), [], "{garbage:?}");
    }
    still_serves(&server);
}

#[test]
fn a_type_that_was_not_offered_is_refused() {
    let server = serve();
    for chosen in [0, 2, 5, 16, 19, 255] {
        let mut raw = server.raw();
        raw.versions(V38).expect("a version");
        assert_eq!(raw.security_types().expect("types"), [1]);
        raw.send(&[chosen]).expect("a choice");
        let answer = raw.read_to_close().expect("a close");
        assert_ne!(answer.get(..4), Some(&[0; 4][..]), "type {chosen} was let in");
    }
    still_serves(&server);
}

#[test]
fn a_client_that_leaves_at_any_byte_of_the_handshake_harms_nobody() {
    let server = serve();
    let spoken = [V38.as_bytes(), &[1, 1]].concat();
    for n in 0..=spoken.len() {
        let mut raw = server.raw();
        raw.send(&spoken[..n]).expect("some bytes");
    }
    still_serves(&server);
}

#[test]
fn a_handshake_in_single_bytes_succeeds() {
    let server = serve();
    let mut raw = server.raw();
    for byte in [V38.as_bytes(), &[1, 1]].concat() {
        raw.send(&[byte]).expect("a byte");
    }
    // banner, one type, result, then the size
    let answer = raw.read(12 + 2 + 4 + 4).expect("an answer");
    assert_eq!(answer[12..], [1, 1, 0, 0, 0, 0, 1, 77, 0, 227]);
}

// ---- pictures ----

/// 16 bits, six of them green.
const RGB565: ClientFormat = ClientFormat {
    bpp: 16,
    depth: 16,
    big_endian: false,
    true_colour: true,
    r_max: 31,
    g_max: 63,
    b_max: 31,
    r_shift: 11,
    g_shift: 5,
    b_shift: 0,
};

fn formats() -> Vec<(&'static str, ClientFormat)> {
    let high = ClientFormat { r_shift: 24, g_shift: 16, b_shift: 8, ..ClientFormat::BGRX };
    vec![
        ("bgrx", ClientFormat::BGRX),
        ("rgbx", ClientFormat::RGBX),
        ("big endian", ClientFormat { big_endian: true, ..ClientFormat::BGRX }),
        ("high bytes", high),
        ("high bytes, big endian", ClientFormat { big_endian: true, ..high }),
        ("depth 32", ClientFormat { depth: 32, ..ClientFormat::BGRX }),
        ("565", RGB565),
        ("565 big endian", ClientFormat { big_endian: true, ..RGB565 }),
        ("555 in 32", ClientFormat { bpp: 32, depth: 15, g_max: 31, r_shift: 10, ..RGB565 }),
        ("332", ClientFormat { true_colour: true, ..ClientFormat::COLOUR_MAP }),
        ("222", ClientFormat { bpp: 8, depth: 6, r_max: 3, g_max: 3, b_max: 3, r_shift: 4, g_shift: 2, ..RGB565 }),
        ("colour map", ClientFormat::COLOUR_MAP),
    ]
}

const CODECS: [(&str, i32); 7] = [
    ("raw", encoding::RAW),
    ("rre", encoding::RRE),
    ("hextile", encoding::HEXTILE),
    ("zlib", encoding::ZLIB),
    ("tight", encoding::TIGHT),
    ("zrle", encoding::ZRLE),
    ("tight with copies", encoding::TIGHT),
];

#[test]
fn every_codec_in_every_format_shows_the_exact_scene() {
    let server = serve();
    let want = expected(STILL);
    for (codec, number) in CODECS {
        for (name, format) in formats() {
            let mut client = server.client().expect("a client");
            client.set_format(format).expect("a format");
            let mut list = vec![number, encoding::CURSOR, encoding::LAST_RECT];
            if codec == "tight with copies" {
                list.push(encoding::COPY_RECT);
            }
            client.set_encodings(&list).expect("a list");
            client.watch().expect("a request");
            client.wait_for_picture(&want).unwrap_or_else(|e| panic!("{codec}, {name}: {e}"));
            let used = client.traffic.updates.iter().flat_map(|u| &u.update.rects).map(|r| r.head.encoding);
            assert!(used.into_iter().any(|e| e == number), "{codec}, {name}: the codec was not used");
            assert_eq!(client.traffic.colour_maps > 0, !format.true_colour, "{codec}, {name}");
        }
    }
}

#[test]
fn the_comparison_sees_one_wrong_pixel() {
    let server = serve();
    let mut want = expected(STILL);
    let mut client = server.client().expect("a client");
    client.set_encodings(&[encoding::ZRLE, encoding::CURSOR]).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&want).expect("the scene");
    want[3 * (100 * 333 + 50) + 1] ^= 1;
    let difference = client.first_difference(&want).expect("a difference");
    assert!(difference.contains("(50, 100)"), "{difference}");
}

#[test]
fn a_format_may_change_while_updates_flow() {
    let server = Server::synthetic(BINARY, "320x240@30:scroll", &[]);
    let mut client = server.client().expect("a client");
    client.set_encodings(&[encoding::ZRLE, encoding::CURSOR, encoding::FENCE]).expect("a list");
    client.watch().expect("a request");
    client.wait_until("fences", |c| c.traffic.fences > 0).expect("fences");
    for (name, format) in formats() {
        let before = client.traffic.updates.len();
        client.set_format(format).unwrap_or_else(|e| panic!("{name}: {e}"));
        let arrived = |c: &Client| c.picture().format() == format && c.traffic.updates.len() > before + 2;
        client.wait_until("updates in the new format", arrived).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn continuous_updates_need_no_requests() {
    let server = Server::synthetic(BINARY, "320x240@30:scroll", &[]);
    let mut client = server.client().expect("a client");
    let list = [encoding::ZRLE, encoding::CURSOR, encoding::FENCE, encoding::CONTINUOUS_UPDATES];
    client.set_encodings(&list).expect("a list");
    client.wait_until("the offer", |c| c.traffic.ends == 1).expect("the offer");
    client.watch_continuously().expect("updates on");
    client.wait_until("ten updates", |c| c.traffic.updates.len() >= 10).expect("updates");
    client.stop_continuous().expect("updates off");
    client.wait_until("the end", |c| c.traffic.ends == 2).expect("the end");
    let after = client.traffic.updates.len();
    client.bytes_within(Duration::from_millis(300)).expect("quiet");
    assert_eq!(client.traffic.updates.len(), after, "updates after the end");
}

#[test]
fn a_still_scene_sends_nothing_more() {
    let server = serve();
    let mut client = server.client().expect("a client");
    client.set_encodings(&[encoding::TIGHT, encoding::CURSOR, encoding::LAST_RECT]).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&expected(STILL)).expect("the scene");
    // what was already on its way, then a quiet second
    client.bytes_within(Duration::from_millis(500)).expect("quiet");
    assert_eq!(client.bytes_within(Duration::from_secs(1)).expect("quiet"), 0);
}

// ---- bad input ----

#[test]
fn the_whole_list_of_65535_encodings_is_read() {
    let server = serve();
    let mut client = server.client().expect("a client");
    let mut list = vec![encoding::ZRLE, encoding::CURSOR];
    list.extend((0..65_533).map(|n| 0x6000_0000 + n));
    client.set_encodings(&list).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&expected(STILL)).expect("the scene");
}

#[test]
fn absurd_requests_are_clipped() {
    let server = serve();
    let mut client = server.client().expect("a client");
    client.set_encodings(&[encoding::RAW, encoding::CURSOR]).expect("a list");
    for (x, y, w, h) in [(65_535, 65_535, 65_535, 65_535), (333, 0, 1, 1), (0, 0, 0, 0), (0, 0, 65_535, 65_535)] {
        let place = [x, y, w, h].map(u16::to_be_bytes).concat();
        for incremental in [1, 0] {
            client.raw().send(&[&[3, incremental][..], &place].concat()).expect("a request");
        }
    }
    client.wait_for_picture(&expected(STILL)).expect("the scene");
}

/// Sends bytes that no proper client sends; only this client is closed, and the log names `fault`.
fn closes_only_this_client(server: &Server, bytes: &[u8], fault: &str) {
    let mut other = server.client().expect("another client");
    let mut client = server.client().expect("a client");
    client.raw().send(bytes).expect("bad bytes");
    client.raw().read_to_close().expect("a close");
    server.wait_for_log(fault);
    other.set_encodings(&[encoding::ZRLE, encoding::CURSOR]).expect("a list");
    other.watch().expect("a request");
    other.wait_for_picture(&expected(STILL)).expect("the scene");
}

#[test]
fn an_unknown_message_closes_only_its_sender() {
    closes_only_this_client(&serve(), &[99], "99");
}

#[test]
fn formats_that_make_no_sense_close_only_their_sender() {
    let server = serve();
    let good = [0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];
    let edits: [(&str, &[(usize, u8)]); 8] = [
        ("24 bits", &[(4, 24)]),
        ("no bits", &[(4, 0)]),
        ("depth above bits", &[(5, 33)]),
        ("crooked maximum", &[(9, 254)]),
        ("overlapping masks", &[(14, 8)]),
        ("a shift beyond the pixel", &[(14, 30)]),
        ("a shift of 255", &[(14, 255)]),
        ("a colour map of 32 bits", &[(7, 0)]),
    ];
    for (name, edit) in edits {
        let mut message = good;
        edit.iter().for_each(|(at, v)| message[*at] = *v);
        let mut client = server.client().expect("a client");
        client.raw().send(&message).expect("a bad format");
        client.raw().read_to_close().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    server.wait_for_log("peer");
    still_serves(&server);
}

#[test]
fn lengths_beyond_every_cap_close_only_their_sender() {
    let server = serve();
    let messages: [&[u8]; 3] = [
        // a clipboard length that cannot be negated, an extended one without flags, a fence of 255 bytes
        &[6, 0, 0, 0, 0x80, 0, 0, 0],
        &[6, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1],
        &[255, 77],
    ];
    for message in messages {
        let mut client = server.client().expect("a client");
        client.set_encodings(&[encoding::RAW, encoding::EXTENDED_CLIPBOARD]).expect("a list");
        client.raw().send(message).expect("a bad message");
        client.raw().read_to_close().unwrap_or_else(|e| panic!("{message:?}: {e}"));
    }
    still_serves(&server);
}

// ---- many clients ----

#[test]
fn a_client_that_does_not_share_sends_the_others_away() {
    let server = serve();
    let mut first = server.client().expect("a client");
    let mut second = Client::handshake(server.raw(), V38, Security::None, false).expect("a lone client");
    first.raw().read_to_close().expect("a close");
    second.set_encodings(&[encoding::ZRLE, encoding::CURSOR]).expect("a list");
    second.watch().expect("a request");
    second.wait_for_picture(&expected(STILL)).expect("the scene");
}

#[test]
fn twenty_clients_and_one_that_never_reads_all_see_the_scene() {
    let server = serve();
    let want = expected(STILL);
    let mut deaf = server.client().expect("a client that never reads");
    deaf.set_encodings(&[encoding::RAW]).expect("a list");
    for _ in 0..200 {
        deaf.request(false, Rect::new(0, 0, 333, 227)).expect("a request");
    }
    let formats = formats();
    std::thread::scope(|scope| {
        for n in 0..20 {
            let (codec, number) = CODECS[n % CODECS.len()];
            let (name, format) = formats[n % formats.len()];
            let (server, want) = (&server, &want);
            scope.spawn(move || {
                let mut client = server.client().expect("a client");
                client.set_format(format).expect("a format");
                client.set_encodings(&[number, encoding::CURSOR, encoding::LAST_RECT]).expect("a list");
                client.watch().expect("a request");
                client.wait_for_picture(want).unwrap_or_else(|e| panic!("{n}, {codec}, {name}: {e}"));
            });
        }
    });
}

// ---- the process ----

#[test]
fn a_unix_socket_serves_too_and_the_process_ends_at_once() {
    let path = std::env::temp_dir().join(format!("farpane-protocol-{}.sock", std::process::id()));
    let listener = format!("unix:{}", path.display());
    let source = format!("synthetic:{STILL}");
    let arguments = ["serve", "--source", &source, "--listen", &listener, "--security", "none"];
    let server = Server::start(BINARY, &arguments);
    assert_eq!(server.listeners(), [listener]);
    let mut client = server.client().expect("a client");
    client.set_encodings(&[encoding::HEXTILE, encoding::CURSOR]).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&expected(STILL)).expect("the scene");
    server.stop();
    assert!(matches!(client.pump(Instant::now() + Duration::from_secs(5)), Err(ClientError::Closed)));
}

#[test]
fn a_taken_port_is_one_clear_line_and_status_1() {
    let first = serve();
    let listener = first.listener();
    let mut second = Server::spawn(BINARY, &["serve", "--source", "synthetic:64x64", "--listen", &listener]);
    let status = second.wait_for_end(Duration::from_secs(10));
    assert_eq!(status.code(), Some(1), "{}", second.log());
    assert!(second.log().contains(&listener), "{}", second.log());
}

#[test]
fn none_off_loopback_is_refused_before_listening() {
    let mut server =
        Server::spawn(BINARY, &["serve", "--source", "synthetic:64x64", "--listen", "0.0.0.0:0", "--security", "none"]);
    assert_eq!(server.wait_for_end(Duration::from_secs(10)).code(), Some(2), "{}", server.log());
    assert_eq!(server.listeners(), Vec::<String>::new());
}

#[test]
fn fences_come_back_with_their_payload() {
    let server = serve();
    let mut client = server.client().expect("a client");
    client.set_encodings(&[encoding::RAW, encoding::CURSOR, encoding::FENCE]).expect("a list");
    client.wait_until("the server's fence", |c| c.traffic.fences > 0).expect("a fence");
    client.send_fence(0x107, b"payload").expect("a fence");
    client.send_fence(0, &[7; 64]).expect("a fence");
    client.send_fence(0, &[]).expect("a fence");
    client.wait_until("three answers", |c| c.traffic.pongs.len() == 3).expect("answers");
    assert_eq!(client.traffic.pongs, [(7, b"payload".to_vec()), (0, vec![7; 64]), (0, Vec::new())]);
}

#[test]
fn clients_without_a_pointer_shape_see_it_in_the_picture() {
    let server = serve();
    let mut client = server.client().expect("a client");
    client.set_encodings(&[encoding::ZRLE]).expect("a list");
    client.watch().expect("a request");
    // the scene's pointer is in its middle: black edge at its tip
    let mut want = expected(STILL);
    let shape = synthetic::pointer_image();
    let (left, top) = (333 / 2, 227 / 2);
    for (i, p) in shape.rgba.chunks_exact(4).enumerate().filter(|(_, p)| p[3] == 255) {
        let w = usize::from(shape.size.w);
        let at = 3 * ((top + i / w) * 333 + left + i % w);
        want[at..at + 3].copy_from_slice(&p[..3]);
    }
    client.wait_for_picture(&want).expect("the scene with its pointer");
}

#[test]
fn raw_bytes_and_requests_in_any_pieces_are_understood() {
    let server = serve();
    let mut client = server.client().expect("a client");
    let mut bytes = vec![2, 0, 0, 2];
    bytes.extend([encoding::RAW, encoding::CURSOR].iter().flat_map(|e| e.to_be_bytes()));
    bytes.extend([3, 0, 0, 0, 0, 0, 1, 77, 0, 227]);
    client.set_encodings(&[encoding::RAW, encoding::CURSOR]).expect("a list");
    for byte in bytes {
        client.raw().send(&[byte]).expect("a byte");
    }
    client.wait_for_picture(&expected(STILL)).expect("the scene");
    let lone: Result<Raw, _> = Raw::connect(&server.listener(), Duration::from_secs(1));
    assert!(lone.is_ok());
}

// ---- passwords ----

/// A server that asks for `goldpass`, and the file that holds it.
fn guarded() -> (Server, PathBuf) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("farpane-protocol-{}-{number}.passwd", std::process::id()));
    let mut make = Command::new(BINARY)
        .args(["password".as_ref(), path.as_os_str()])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the password command");
    make.stdin.take().expect("a pipe").write_all(b"goldpass\n").expect("a line");
    assert!(make.wait().expect("an end").success());
    let file = path.to_str().expect("a plain path");
    (Server::synthetic(BINARY, STILL, &["--security", "vncauth", "--password-file", file]), path)
}

#[test]
fn the_right_password_gets_in_by_every_version() {
    let (server, path) = guarded();
    for version in ["RFB 003.003\n", "RFB 003.007\n", V38] {
        Client::handshake(server.raw(), version, Security::VncAuth("goldpass"), true)
            .unwrap_or_else(|e| panic!("{version:?}: {e}"));
    }
    let none = Client::handshake(server.raw(), V38, Security::None, true);
    assert!(matches!(none, Err(ClientError::Handshake(_))), "None was offered");
    std::fs::remove_file(path).expect("the password file");
}

#[test]
fn a_wrong_password_is_refused_late_and_with_a_reason_only_in_3_8() {
    let (server, path) = guarded();
    for (version, reason) in [("RFB 003.003\n", false), ("RFB 003.007\n", false), (V38, true)] {
        let start = Instant::now();
        match Client::handshake(server.raw(), version, Security::VncAuth("wrongpw1"), true) {
            Err(ClientError::Refused(words)) => assert_eq!(!words.is_empty(), reason, "{version:?}"),
            other => panic!("{version:?}: {other:?}"),
        }
        assert!(start.elapsed() >= Duration::from_millis(50), "{version:?}: refused at once");
    }
    std::fs::remove_file(path).expect("the password file");
}

#[test]
fn challenges_are_never_repeated() {
    let (server, path) = guarded();
    let challenges: std::collections::BTreeSet<Vec<u8>> = (0..8)
        .map(|_| {
            let mut raw = server.raw();
            raw.versions(V38).expect("a version");
            assert_eq!(raw.security_types().expect("types"), [2]);
            raw.send(&[2]).expect("a choice");
            raw.read(16).expect("a challenge")
        })
        .collect();
    assert_eq!(challenges.len(), 8);
    std::fs::remove_file(path).expect("the password file");
}
