//! A long stream across rekeys. `FARPANE_STREAM_GIB=10 cargo test --release -p farpane-channel stream` sends 10 GiB, which
//! is 165,000 records of the largest size and two real rekeys; without the variable it is 32 MiB across small intervals.

use super::*;
use crate::record::{Close, CloseReason};

/// Eight bytes of the stream, by their place: a record in the wrong place cannot pass.
fn word(place: u64) -> [u8; 8] {
    (place ^ place.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

#[test]
fn a_long_stream_arrives_whole_across_rekeys() {
    let gib: Option<u64> = std::env::var("FARPANE_STREAM_GIB").ok().map(|n| n.parse().expect("a number"));
    let total = gib.map_or(32 << 20, |gib| gib << 30);
    let (mut server, mut viewer) = open_pair();
    if gib.is_none() {
        (server.rekey_every, viewer.rekey_every) = (100, 100);
    }
    let now = Instant::now();
    let (mut chunk, mut wire, mut place, mut checked) = (vec![0; 1 << 20], Vec::new(), 0, 0);
    while place < total / 8 {
        for word_of in chunk.chunks_exact_mut(8) {
            word_of.copy_from_slice(&word(place));
            place += 1;
        }
        wire.clear();
        server.write(&chunk, Some(1 << 40), now, &mut wire).expect("open");
        server.flush(&mut wire).expect("open");
        let (mut rest, mut at) = (&wire[..], 0);
        while !rest.is_empty() {
            let opened = viewer.open(rest, now).expect("good records");
            let Some(Record::Rfb(data)) = opened.record else { panic!("a record of RFB") };
            assert!(data == &chunk[at..at + data.len()], "after {checked} bytes");
            at += data.len();
            checked += data.len() as u64;
            rest = &rest[opened.used..];
        }
    }
    assert_eq!(checked, total);
    wire.clear();
    server.close(Close::because(CloseReason::Done), &mut wire).expect("open");
    receive(&mut viewer, &wire).expect("a close");
    assert!(viewer.end().is_ok());
}
