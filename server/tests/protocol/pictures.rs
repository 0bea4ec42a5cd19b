//! Pictures, exact in every codec and format, for one client and for many; and what goes with updates.

use std::time::Duration;

use super::{BINARY, STILL, V38, expected, serve};
use farpane_engine::capture::synthetic;
use farpane_engine::geometry::Rect;
use farpane_engine::pixel::ClientFormat;
use farpane_test_support::{Client, Security, Server, encoding};

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
    let folder = std::env::temp_dir().join(format!("farpane-twenty-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("farpane.toml");
    // all of them shake hands at the same time
    std::fs::write(&file, "[network]\nmax_unauthenticated = 32\n").expect("a file");
    let server = Server::synthetic(BINARY, STILL, &["--config", file.to_str().expect("a plain path")]);
    std::fs::remove_dir_all(&folder).expect("a folder");
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
