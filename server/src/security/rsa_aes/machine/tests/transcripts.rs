//! Handshakes whose every byte is known (`tests/golden/rsa-aes/PROVENANCE.md`).

use super::super::*;
use super::textbook::decrypt;
use super::{TestKey, hex, key_of, terms, vectors};
use crate::auth::Secret;
use crate::security::rsa_aes::key::KEY_BITS;
use serde_json::Value;

struct Transcript {
    kind: Kind,
    subtype: Subtype,
    user: String,
    password: String,
    server: TestKey,
    client: TestKey,
    server_random: Vec<u8>,
    client_random: Vec<u8>,
    s2c: Vec<Vec<u8>>,
    c2s: Vec<Vec<u8>>,
}

fn transcripts() -> Vec<Transcript> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let messages = |value: &Value| value.as_array().expect("a list").iter().map(|m| hex(&m["hex"])).collect::<Vec<_>>();
    let one = |vector: &Value| {
        let number = vector["type"].as_u64().expect("a number") as u8;
        Transcript {
            kind: Kind::of(farpane_rfb::handshake::SecurityType(number)).expect("one of ours"),
            subtype: Subtype::of(vector["subtype"].as_u64().expect("a number") as u8).expect("a subtype"),
            user: text(&vector["username"]),
            password: text(&vector["password"]),
            server: key_of(&text(&vector["server_private_key_pem"])),
            client: key_of(&text(&vector["client_private_key_pem"])),
            server_random: hex(&vector["server_random"]),
            client_random: hex(&vector["client_random"]),
            s2c: messages(&vector["s2c"]),
            c2s: messages(&vector["c2s"]),
        }
    };
    vectors().iter().map(one).collect()
}

fn fill(random: &[u8]) -> [u8; 32] {
    let mut out = [0xee; 32];
    out[..random.len()].copy_from_slice(random);
    out
}

/// Opens all records of some bytes.
fn open_all(records: &mut Records, wire: &[u8]) -> Vec<Vec<u8>> {
    let (mut wire, mut out) = (wire.to_vec(), Vec::new());
    let mut rest = &mut wire[..];
    while let Some(length) = record_len(rest) {
        let (record, behind) = rest.split_at_mut(length);
        out.push(records.opener.open(record).expect("a good record").to_vec());
        rest = behind;
    }
    out
}

/// Runs the server's end over a transcript; the first difference from it, if any.
fn server_differs(t: &Transcript) -> Option<&'static str> {
    let mut machine = ServerMachine::new(t.kind, terms(&t.server.public, t.subtype), &fill(&t.server_random), &[1; 32]);
    let same = |what, ours: &[u8], theirs: &[u8]| (ours != theirs).then_some(what);
    let mut found = same("key", &machine.offer(), &t.s2c[0]);
    let step = machine.advance(&t.c2s[0]).expect("a key");
    assert_eq!(step.used, t.c2s[0].len());
    let Some(ServerEvent::Encrypt { to, plain }) = step.event else { panic!("a key is to be used") };
    assert_eq!((to.block(), plain.as_slice()), (&t.c2s[0][..], &t.server_random[..]));
    let (random, block) = decrypt(&t.client, &t.s2c[1][2..]);
    found = found.or(same("server random", &random, &plain));
    found = found.or(same("encrypted random", &machine.encrypted(Some(block)).expect("sent"), &t.s2c[1]));
    let Some(ServerEvent::Decrypt(block)) = machine.advance(&t.c2s[1]).expect("a number").event else {
        panic!("a number is to be decrypted")
    };
    let (random, _) = decrypt(&t.server, &block);
    assert_eq!(random, t.client_random);
    found = found.or(same("server hash", &machine.decrypted(Some(&random)).expect("sent"), &t.s2c[2]));
    found = found.or(same("subtype", &machine.advance(&t.c2s[2]).expect("a hash").output, &t.s2c[3]));
    let Some(ServerEvent::Login { user, password }) = machine.advance(&t.c2s[3]).expect("credentials").event else {
        panic!("a login")
    };
    assert_eq!((&user, password.reveal()), (&t.user, &*t.password));
    let mut records = machine.into_records().expect("complete");
    if t.kind.encrypts() {
        let mut out = Vec::new();
        records.sealer.seal(&[0; 4], &mut out).expect("a record");
        found = found.or(same("result", &out, &t.s2c[4]));
        assert_eq!(open_all(&mut records, &t.c2s[4]).concat().len(), 1);
    }
    found
}

/// Runs the client's end over a transcript; the first difference from it, if any.
fn client_differs(t: &Transcript) -> Option<&'static str> {
    let mut machine = ClientMachine::new(t.kind, t.client.public.clone(), KEY_BITS, &fill(&t.client_random));
    let same = |what, ours: &[u8], theirs: &[u8]| (ours != theirs).then_some(what);
    let Some(ClientEvent::Encrypt { to, plain }) = machine.advance(&t.s2c[0]).expect("a key").event else {
        panic!("a key is to be used")
    };
    assert_eq!((to.block(), plain.as_slice()), (t.server.public.block(), &t.client_random[..]));
    let block = t.c2s[1][2..].to_vec();
    let said = machine.encrypted(Some(block)).expect("sent");
    let mut found = same("key and random", &said, &t.c2s[..2].concat());
    let Some(ClientEvent::Decrypt(block)) = machine.advance(&t.s2c[1]).expect("a number").event else {
        panic!("a number is to be decrypted")
    };
    assert_eq!(block, t.s2c[1][2..]);
    machine.decrypted(Some(&t.server_random)).expect("the right length");
    found = found.or(same("client hash", &machine.advance(&t.s2c[2]).expect("a hash").output, &t.c2s[2]));
    let Some(ClientEvent::Wanted(subtype)) = machine.advance(&t.s2c[3]).expect("a subtype").event else {
        panic!("a login is wanted")
    };
    assert_eq!(subtype, t.subtype);
    let said = machine.log_in("not sent where no user is wanted", &Secret::new(t.password.clone()));
    if subtype == Subtype::Password {
        found = found.or(same("credentials", &said.expect("sent"), &t.c2s[3]));
    } else {
        // the name that was given is another one
        found = found.or((said.expect("sent") == t.c2s[3]).then_some("credentials of anybody"));
    }
    let mut records = machine.into_records().expect("sent");
    if t.kind.encrypts() {
        found = found.or(same("result", &open_all(&mut records, &t.s2c[4]).concat(), &[0; 4]));
        let more = open_all(&mut records, &t.s2c[5]);
        assert_eq!(more.iter().map(Vec::len).collect::<Vec<_>>(), [300, 5]);
    }
    found
}

#[test]
fn all_four_types_give_the_bytes_of_the_transcripts() {
    let transcripts = transcripts();
    assert_eq!(
        transcripts.iter().map(|t| t.kind).collect::<Vec<_>>(),
        [Kind::Ra2, Kind::Ra2Ne, Kind::Ra2x256, Kind::Ra2Nex256]
    );
    for t in &transcripts {
        assert_eq!(server_differs(t), None, "{:?}", t.kind);
        assert_eq!(client_differs(t), None, "{:?}", t.kind);
    }
}

#[test]
fn a_changed_transcript_is_noticed() {
    let mut t = transcripts().remove(0);
    t.s2c[3][5] ^= 1;
    assert_eq!(server_differs(&t), Some("subtype"));
    t.s2c[2][0] ^= 1;
    assert_eq!(server_differs(&t), Some("server hash"));
    t.c2s[1][40] ^= 1;
    assert_eq!(client_differs(&Transcript { s2c: transcripts()[0].s2c.clone(), ..t }), None, "said as it was given");
}
