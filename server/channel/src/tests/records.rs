//! Records that were changed, moved or cut; sizes; new keys; pieces.

use super::*;
use crate::error::ChannelError;
use crate::limits;
use crate::record::Close;
use proptest::prelude::*;
use std::time::Duration;

/// Some records of RFB, each by itself.
fn records(from: &mut Channel, n: usize) -> Vec<Vec<u8>> {
    (0..n)
        .map(|i| {
            let mut wire = Vec::new();
            from.write(&vec![i as u8; 30 + 200 * i], None, Instant::now(), &mut wire).expect("open");
            from.flush(&mut wire).expect("open");
            wire
        })
        .collect()
}

/// What breaks stays broken: neither end's calls do anything any more.
fn assert_broken(channel: &mut Channel, wire: &[u8], what: &str) {
    assert_eq!(receive(channel, wire), Err(ChannelError::Broken), "{what}");
    let mut out = Vec::new();
    assert_eq!(channel.open(&[], Instant::now()), Err(ChannelError::Broken));
    assert_eq!(channel.write(b"x", None, Instant::now(), &mut out), Err(ChannelError::Broken));
    assert_eq!(channel.flush(&mut out), Err(ChannelError::Broken));
    assert_eq!(channel.close(Close::because(crate::CloseReason::Done), &mut out), Err(ChannelError::Broken));
    assert_eq!(channel.end(), Err(ChannelError::Broken));
    assert!(out.is_empty(), "a broken channel spoke");
}

#[test]
fn a_flipped_bit_anywhere_breaks_the_channel() {
    let (mut server, _) = open_pair();
    let good = records(&mut server, 1).remove(0);
    for at in 0..good.len() {
        for bit in [0, 7] {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            // a length that grew waits for more: give it that
            bad.resize(70_000, 0);
            let (_, mut viewer) = open_pair();
            assert_broken(&mut viewer, &bad, &format!("bit {bit} of byte {at}"));
        }
    }
    let (_, mut viewer) = open_pair();
    assert_eq!(receive(&mut viewer, &good), Ok(vec![Got::Rfb(vec![0; 30])]), "unchanged it opens");
}

#[test]
fn swapped_repeated_missing_and_reflected_records_break_the_channel() {
    let (mut server, mut viewer) = open_pair();
    let (there, back) = (records(&mut server, 3), records(&mut viewer, 1));
    let orders: [(&str, Vec<&Vec<u8>>); 4] = [
        ("swapped", vec![&there[1], &there[0]]),
        ("repeated", vec![&there[0], &there[0]]),
        ("missing", vec![&there[0], &there[2]]),
        ("reflected", vec![&back[0]]),
    ];
    for (what, order) in orders {
        let (_, mut viewer) = open_pair();
        let wire: Vec<u8> = order.into_iter().flatten().copied().collect();
        assert_broken(&mut viewer, &wire, what);
    }
    // of another connection with the same static keys
    let (mut other, _) = connect(
        server_with(Engine::default(), transcript().with_session([1; 16]), 1),
        viewer_with(Engine::default(), transcript().with_session([1; 16])),
        9,
    );
    let mut wire = Vec::new();
    other.write(b"x", None, Instant::now(), &mut wire).expect("open");
    other.flush(&mut wire).expect("open");
    assert_broken(&mut viewer, &wire, "another connection's");
}

#[test]
fn a_record_cut_anywhere_is_truncation() {
    let (mut server, _) = open_pair();
    let good = records(&mut server, 1).remove(0);
    for end in 0..good.len() {
        let (_, mut viewer) = open_pair();
        assert_eq!(receive(&mut viewer, &good[..end]), Ok(vec![]));
        assert_eq!(viewer.end(), Err(ChannelError::Truncated), "{end} bytes");
    }
    // bytes taken out: what follows is read as the rest
    for at in [2, 20, good.len() - 1] {
        let (_, mut viewer) = open_pair();
        let mut bad = good.clone();
        bad.remove(at);
        bad.push(0);
        assert_broken(&mut viewer, &bad, &format!("without byte {at}"));
    }
}

#[test]
fn a_forged_record_before_a_good_one_breaks_the_channel() {
    let (mut server, mut viewer) = open_pair();
    let good = records(&mut server, 1).remove(0);
    let forged = [&[0, 17][..], &[0; 17], &good].concat();
    assert_broken(&mut viewer, &forged, "forged");
}

#[test]
fn lengths_that_cannot_be_are_refused_before_the_record_comes() {
    for length in 0..17u16 {
        let (mut server, mut viewer) = open_pair();
        assert_broken(&mut viewer, &length.to_be_bytes(), &format!("length {length}"));
        assert_broken(&mut server, &length.to_be_bytes(), &format!("length {length}"));
    }
    // a server announced 16,401, a viewer takes all
    let (mut server, mut viewer) = open_pair();
    assert_eq!(receive(&mut server, &16_401u16.to_be_bytes()), Ok(vec![]));
    assert_eq!(receive(&mut viewer, &u16::MAX.to_be_bytes()), Ok(vec![]));
    let (mut server, _) = open_pair();
    assert_broken(&mut server, &16_402u16.to_be_bytes(), "one more than announced");
}

#[test]
fn unknown_kinds_and_empty_plaintexts_break_the_channel() {
    for plain in [&[9u8, 4][..], &[255], &[], &[1, 1, 2], &[3]] {
        let (mut server, mut viewer) = open_pair();
        let mut sealed = vec![0; plain.len() + 16];
        let length = server.seal_plain_for_test(plain, &mut sealed);
        let wire = [&(length as u16).to_be_bytes()[..], &sealed[..length]].concat();
        assert_broken(&mut viewer, &wire, &format!("{plain:?}"));
    }
}

#[test]
fn records_are_as_large_as_the_rule_says_and_never_larger_than_announced() {
    let lengths = |wire: &[u8]| {
        let (mut rest, mut found) = (wire, Vec::new());
        while let [high, low, body @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            found.push(length - 17);
            rest = &body[length..];
        }
        found
    };
    let (mut server, mut viewer) = open_pair();
    let now = Instant::now() + Duration::from_secs(10);
    let (mut wire, data) = (Vec::new(), vec![5; 400_000]);
    server.write(&data, Some(1_000_000_000), now, &mut wire).expect("open");
    server.flush(&mut wire).expect("open");
    let mut wanted = vec![4096; 32];
    wanted.extend([65_518; 4]);
    wanted.push(400_000 - 32 * 4096 - 4 * 65_518);
    assert_eq!(lengths(&wire), wanted);
    let got = receive(&mut viewer, &wire).expect("good records");
    let joined: Vec<u8> =
        got.into_iter().flat_map(|got| if let Got::Rfb(data) = got { data } else { vec![] }).collect();
    assert_eq!(joined, data);
    wire.clear();
    viewer.write(&data, Some(1_000_000_000), now, &mut wire).expect("open");
    viewer.flush(&mut wire).expect("open");
    assert_eq!(lengths(&wire)[32], 16_384, "what the server announced");
    assert!(receive(&mut server, &wire).is_ok());
}

#[test]
fn nothing_is_held_back_by_a_flush_and_nothing_is_sent_without() {
    let (mut server, mut viewer) = open_pair();
    let mut wire = Vec::new();
    server.write(b"half", None, Instant::now(), &mut wire).expect("open");
    assert!(wire.is_empty());
    server.write(b"whole", None, Instant::now(), &mut wire).expect("open");
    server.flush(&mut wire).expect("open");
    assert_eq!(receive(&mut viewer, &wire), Ok(vec![Got::Rfb(b"halfwhole".to_vec())]));
    let length = wire.len();
    server.flush(&mut wire).expect("open");
    assert_eq!(wire.len(), length, "an empty flush sends nothing");
}

/// Sends `records` records each way, one by one, and returns both ends.
fn cross(every: u64, records: u64) -> (Channel, Channel) {
    let (mut server, mut viewer) = fresh();
    (server.rekey_every, viewer.rekey_every) = (every, every);
    let (begun, mut wire) = (Instant::now(), Vec::new());
    for n in 0..records {
        // the limit of small records is per second
        let at = begun + Duration::from_millis(n);
        for server_sends in [true, false] {
            let (from, to) = if server_sends { (&mut server, &mut viewer) } else { (&mut viewer, &mut server) };
            wire.clear();
            from.write(&n.to_be_bytes(), None, at, &mut wire).expect("open");
            from.flush(&mut wire).expect("open");
            let opened = to.open(&wire, at).expect("the same keys");
            assert_eq!(opened.record, Some(Record::Rfb(&n.to_be_bytes())), "record {n}");
        }
    }
    (server, viewer)
}

#[test]
fn both_directions_cross_many_rekeys() {
    cross(1, 20);
    cross(7, 100);
}

#[test]
fn both_directions_cross_the_real_rekey() {
    cross(limits::REKEY_EVERY, limits::REKEY_EVERY + 3);
}

#[test]
fn an_end_that_does_not_rekey_is_found_out_at_the_record_after() {
    let (mut server, mut viewer) = open_pair();
    // one record went before
    server.rekey_every = 3;
    let wires = records(&mut server, 3);
    for wire in &wires[..2] {
        receive(&mut viewer, wire).expect("the old key");
    }
    assert_broken(&mut viewer, &wires[2], "a new key");
}

#[test]
fn all_engines_understand_each_other() {
    for (a, b) in Engine::ALL.iter().flat_map(|a| Engine::ALL.iter().map(move |b| (*a, *b))) {
        let (mut server, mut viewer) = connect(server_with(a, transcript(), 1), viewer_with(b, transcript()), 50);
        (server.rekey_every, viewer.rekey_every) = (2, 2);
        for n in 0..5u8 {
            let mut wire = Vec::new();
            server.write(&[n; 5000], None, Instant::now(), &mut wire).expect("open");
            server.flush(&mut wire).expect("open");
            receive(&mut viewer, &wire).expect("the same keys");
        }
        assert_eq!(server.binding(), viewer.binding());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_the_input_is_split_the_records_are_the_same(
        messages in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..6000), any::<bool>()), 1..8),
        cuts in prop::collection::vec(1usize..5000, 1..6),
    ) {
        let (mut server, mut viewer) = open_pair();
        let (mut wire, mut sent) = (Vec::new(), Vec::new());
        for (data, flush) in &messages {
            server.write(data, None, Instant::now(), &mut wire).expect("open");
            sent.extend_from_slice(data);
            if *flush {
                server.flush(&mut wire).expect("open");
            }
        }
        server.close(Close::because(crate::CloseReason::Done), &mut wire).expect("open");
        let (mut got, mut start, mut end) = (Vec::new(), 0, 0);
        for cut in cuts.iter().cycle() {
            if end == wire.len() {
                break;
            }
            end = wire.len().min(end + cut);
            while start < end {
                let opened = viewer.open(&wire[start..end], Instant::now()).expect("good records");
                prop_assert!(opened.used > 0);
                if let Some(Record::Rfb(data)) = opened.record {
                    got.extend_from_slice(data);
                }
                start += opened.used;
            }
        }
        prop_assert_eq!(got, sent);
        prop_assert_eq!(viewer.end(), Ok(Close::because(crate::CloseReason::Done)));
    }

    #[test]
    fn garbage_breaks_the_channel_or_waits_for_more(garbage in prop::collection::vec(any::<u8>(), 0..400)) {
        let (mut server, mut viewer) = open_pair();
        for channel in [&mut server, &mut viewer] {
            match receive(channel, &garbage) {
                Ok(got) => {
                    prop_assert!(got.is_empty());
                    prop_assert_eq!(channel.end(), Err(ChannelError::Truncated));
                }
                Err(error) => prop_assert_eq!(error, ChannelError::Broken),
            }
        }
    }
}
