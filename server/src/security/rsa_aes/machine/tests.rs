//! Transcripts, and both machines against each other with every kind of damage in between.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

use serde_json::Value;

use super::*;
use crate::auth::Secret;
use crate::security::rsa_aes::RsaAesError;
use crate::security::rsa_aes::key::{KEY_BITS, LocalRsaKey, RsaKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

pub fn vectors() -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../../../tests/golden/rsa-aes/vectors.json")).expect("json");
    all.as_array().expect("a list").clone()
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("hexadecimal");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
}

/// A private key of any size, for textbook RSA.
pub struct TestKey {
    pub public: RsaPublic,
    pub pkcs1: Vec<u8>,
    exponent: Vec<u8>,
}

/// The first element of DER: its contents, and what follows.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, head) = match der[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        0x81 => (usize::from(der[2]), 3),
        0x82 => (usize::from(u16::from_be_bytes([der[2], der[3]])), 4),
        other => panic!("a length of {other:#x}"),
    };
    der[head..].split_at(length)
}

pub fn key_of(pem: &str) -> TestKey {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).expect("pem");
    let (_version, rest) = element(element(der.secret_pkcs8_der()).0);
    let pkcs1 = element(element(rest).1).0;
    let (_version, rest) = element(element(pkcs1).0);
    let (modulus, rest) = element(rest);
    let (public, rest) = element(rest);
    let exponent = element(rest).0.to_vec();
    TestKey { public: RsaPublic::new(modulus, public).expect("a good key"), pkcs1: pkcs1.to_vec(), exponent }
}

/// Numbers as 64-bit digits, the lowest first.
type Number = Vec<u64>;

fn number(bytes: &[u8], digits: usize) -> Number {
    let mut out = vec![0; digits];
    for (n, byte) in bytes.iter().rev().enumerate().filter(|(_, byte)| **byte != 0) {
        out[n / 8] |= u64::from(*byte) << (8 * (n % 8));
    }
    out
}

/// `a + b` modulo `m`, both below it.
fn add(a: &Number, b: &Number, m: &Number) -> Number {
    let mut carry = 0;
    let sum: Number = a
        .iter()
        .zip(b)
        .map(|(a, b)| {
            let wide = u128::from(*a) + u128::from(*b) + carry;
            carry = wide >> 64;
            wide as u64
        })
        .collect();
    if carry == 0 && sum.iter().rev().lt(m.iter().rev()) {
        return sum;
    }
    let mut borrow = false;
    sum.iter()
        .zip(m)
        .map(|(s, m)| {
            let (one, b1) = s.overflowing_sub(*m);
            let (two, b2) = one.overflowing_sub(u64::from(borrow));
            borrow = b1 | b2;
            two
        })
        .collect()
}

/// A product, by doubling and adding.
fn multiply(a: &Number, b: &Number, m: &Number) -> Number {
    let mut out = vec![0; m.len()];
    for bit in (0..64 * b.len()).rev() {
        out = add(&out, &out, m);
        if b[bit / 64] >> (bit % 64) & 1 == 1 {
            out = add(&out, a, m);
        }
    }
    out
}

/// RSA without padding.
fn power(base: &[u8], exponent: &[u8], modulus: &[u8]) -> Vec<u8> {
    let digits = modulus.len().div_ceil(8);
    let (base, modulus_) = (number(base, digits), number(modulus, digits));
    let mut out = number(&[1], digits);
    for bit in exponent.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).skip_while(|bit| *bit == 0)
    {
        out = multiply(&out, &out, &modulus_);
        if bit == 1 {
            out = multiply(&out, &base, &modulus_);
        }
    }
    let bytes: Vec<u8> = out.iter().rev().flat_map(|digit| digit.to_be_bytes()).collect();
    bytes[bytes.len() - modulus.len()..].to_vec()
}

/// What was encrypted to a key, and the block that encrypts to the same bytes again.
fn decrypt(key: &TestKey, block: &[u8]) -> (Vec<u8>, Vec<u8>) {
    if let Some(key) = LocalRsaKey::from_bytes(&key.pkcs1) {
        return (key.decrypt(block).expect("good padding").to_vec(), block.to_vec());
    }
    // the library has no keys this short
    let padded = power(block, &key.exponent, key.public.modulus());
    assert_eq!(padded[..2], [0, 2]);
    let end = 2 + padded[2..].iter().position(|byte| *byte == 0).expect("the padding's end");
    (padded[end + 1..].to_vec(), power(&padded, key.public.exponent(), key.public.modulus()))
}

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

fn terms(public: &RsaPublic, subtype: Subtype) -> ServerTerms {
    ServerTerms { public: public.clone(), client_bits: KEY_BITS, subtype }
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

/// Two keys of 2,048 bits that the library computes with.
fn real_keys() -> &'static [LocalRsaKey; 2] {
    static KEYS: OnceLock<[LocalRsaKey; 2]> = OnceLock::new();
    KEYS.get_or_init(|| {
        ["server_private_key_pem", "client_private_key_pem"]
            .map(|name| LocalRsaKey::from_bytes(vectors()[3][name].as_str().expect("pem").as_bytes()).expect("a key"))
    })
}

/// Who did what to which bytes, and what came of it.
type Done = HashMap<(u8, Vec<u8>), Option<Vec<u8>>>;

/// Encrypts and decrypts, each block once only.
#[derive(Default)]
struct Memory(Mutex<Done>);

impl Memory {
    fn get(&self, who: u8, what: &[u8], work: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        self.0.lock().expect("no panic").entry((who, what.to_vec())).or_insert_with(work).clone()
    }
    fn encrypt(&self, to: &RsaPublic, plain: &[u8]) -> Option<Vec<u8>> {
        self.get(0, &[to.block(), plain].concat(), || to.encrypt(plain))
    }
    fn decrypt(&self, key: usize, block: &[u8]) -> Option<Vec<u8>> {
        self.get(1 + key as u8, block, || real_keys()[key].decrypt(block).map(|plain| plain.to_vec()))
    }
}

/// What came of one handshake.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// The client saw a server that holds its key, and said its password.
    said: bool,
    login: Option<(String, String)>,
    failed: bool,
    /// Bytes of the server, and of the client.
    sent: [usize; 2],
}

/// Runs both machines; `damage` sees all that goes each way (0: of the server), with where it begins, and `cut` gives input in
/// pieces of that size.
fn run(kind: Kind, memory: &Memory, cut: usize, mut damage: impl FnMut(usize, usize, &mut Vec<u8>)) -> Outcome {
    let keys = real_keys();
    let mut server = ServerMachine::new(kind, terms(keys[0].public(), Subtype::UserPassword), &[3; 32], &[4; 32]);
    let mut client = ClientMachine::new(kind, keys[1].public().clone(), KEY_BITS, &[5; 32]);
    let mut out = Outcome::default();
    // what waits at the client, and at the server
    let mut waiting = [Vec::new(), Vec::new()];
    let mut given = [cut.min(1), cut.min(1)];
    let mut send = |from: usize, mut bytes: Vec<u8>, waiting: &mut [Vec<u8>; 2], out: &mut Outcome| {
        damage(from, out.sent[from], &mut bytes);
        out.sent[from] += bytes.len();
        waiting[from].extend(bytes);
    };
    send(0, server.offer(), &mut waiting, &mut out);
    for _ in 0..20_000 {
        let mut moved = false;
        let input = &waiting[0][..given[0].min(waiting[0].len())];
        let Ok(step) = client.advance(input) else { return Outcome { failed: true, ..out } };
        moved |= step.used > 0 || !step.is_idle();
        waiting[0].drain(..step.used);
        send(1, step.output, &mut waiting, &mut out);
        let said = match step.event {
            Some(ClientEvent::Encrypt { to, plain }) => client.encrypted(memory.encrypt(&to, &plain)),
            Some(ClientEvent::Decrypt(block)) => {
                client.decrypted(memory.decrypt(1, &block).as_deref()).map(|()| Vec::new())
            }
            Some(ClientEvent::Wanted(_)) => {
                out.said = true;
                client.log_in("ann", &Secret::new("hunter2".into()))
            }
            None => Ok(Vec::new()),
        };
        let Ok(said) = said else { return Outcome { failed: true, ..out } };
        send(1, said, &mut waiting, &mut out);
        let input = &waiting[1][..given[1].min(waiting[1].len())];
        let Ok(step) = server.advance(input) else { return Outcome { failed: true, ..out } };
        moved |= step.used > 0 || !step.is_idle();
        waiting[1].drain(..step.used);
        send(0, step.output, &mut waiting, &mut out);
        let said = match step.event {
            Some(ServerEvent::Encrypt { to, plain }) => server.encrypted(memory.encrypt(&to, &plain)),
            Some(ServerEvent::Decrypt(block)) => server.decrypted(memory.decrypt(0, &block).as_deref()),
            Some(ServerEvent::Login { user, password }) => {
                out.login = Some((user, password.reveal().to_owned()));
                return out;
            }
            None => Ok(Vec::new()),
        };
        let Ok(said) = said else { return Outcome { failed: true, ..out } };
        send(0, said, &mut waiting, &mut out);
        given = match (moved, given[0] >= usize::MAX / 2) {
            (true, _) => [cut, cut],
            (false, true) => return out,
            // what waits does not suffice: more of it
            (false, false) => given.map(|given| given.saturating_mul(2).saturating_add(1)),
        };
    }
    panic!("no end: {out:?}");
}

fn good(outcome: &Outcome) -> bool {
    outcome.said && outcome.login == Some(("ann".into(), "hunter2".into())) && !outcome.failed
}

#[test]
fn a_login_goes_through_whole_or_in_pieces_of_any_size() {
    let memory = Memory::default();
    for kind in Kind::ALL {
        for cut in [usize::MAX, 1, 2, 3, 17, 300] {
            let outcome = run(kind, &memory, cut, |_, _, _| {});
            assert!(good(&outcome), "{kind:?} in pieces of {cut}: {outcome:?}");
            let hash = if kind.is_256() { 32 } else { 20 };
            let (key, random) = (516, 258);
            assert_eq!(outcome.sent, [key + random + 18 + hash + 19, key + random + 18 + hash + 18 + 12]);
        }
    }
}

#[test]
fn no_flipped_byte_leads_to_a_login_or_shows_the_password() {
    let memory = Memory::default();
    for kind in [Kind::Ra2x256, Kind::Ra2Ne] {
        let sent = run(kind, &memory, usize::MAX, |_, _, _| {}).sent;
        for from in [0, 1] {
            for at in 0..sent[from] {
                let outcome = run(kind, &memory, usize::MAX, |who, start, bytes| {
                    if who == from && (start..start + bytes.len()).contains(&at) {
                        bytes[at - start] ^= 1 << (at % 8);
                    }
                });
                assert_eq!(outcome.login, None, "{kind:?}, byte {at} of end {from}");
                // what follows the server's proof is the client's to say
                let before_proof = from == 0 || at < sent[1] - 18 - 12;
                assert!(!before_proof || !outcome.said, "{kind:?}, byte {at} of end {from}");
            }
        }
    }
    assert!(good(&run(Kind::Ra2x256, &memory, usize::MAX, |_, _, _| {})));
}

#[test]
fn whatever_is_missing_at_the_end_there_is_no_login() {
    let memory = Memory::default();
    for from in [0, 1] {
        let sent = run(Kind::Ra2x256, &memory, usize::MAX, |_, _, _| {}).sent[from];
        for end in 0..sent {
            let outcome = run(Kind::Ra2x256, &memory, usize::MAX, |who, start, bytes| {
                if who == from {
                    bytes.truncate(end.saturating_sub(start));
                }
            });
            assert!(outcome.login.is_none() && !outcome.failed, "cut at {end} of end {from}: {outcome:?}");
        }
    }
}

#[test]
fn keys_that_are_not_taken_are_refused_at_their_length() {
    let public = real_keys()[0].public();
    for (bits, taken) in [(1024u32, false), (2047, false), (2048, true), (4096, true), (4097, false), (16_384, false)] {
        let terms = ServerTerms { client_bits: 2048..=4096, ..terms(public, Subtype::UserPassword) };
        let mut machine = ServerMachine::new(Kind::Ra2x256, terms, &[3; 32], &[4; 32]);
        match machine.advance(&bits.to_be_bytes()) {
            Ok(step) => assert!(taken && step.used == 4 && step.is_idle(), "{bits}"),
            Err(RsaAesError::PeerKey(KeyError::Bits { least: 2048, most: 4096, .. })) => assert!(!taken, "{bits}"),
            Err(other) => panic!("{bits}: {other}"),
        }
        assert!(taken || machine.advance(&[]).is_err(), "once refused, always refused");
        assert!(machine.inbox.0.capacity() < 64, "nothing was kept for {bits} bits");
    }
    for (at, byte) in [(4 + 255, 0), (4, 0), (515, 0), (515, 1), (300, 1)] {
        let mut block = real_keys()[1].public().block().to_vec();
        block[at] = byte;
        if at == 515 {
            block[513] = 0;
        }
        let mut machine = ServerMachine::new(Kind::Ra2x256, terms(public, Subtype::UserPassword), &[3; 32], &[4; 32]);
        assert!(matches!(machine.advance(&block), Err(RsaAesError::PeerKey(_))), "{byte} at {at}");
    }
}

/// A server that has got as far as the client's random number.
fn at_random(kind: Kind) -> ServerMachine {
    let terms = terms(real_keys()[0].public(), Subtype::UserPassword);
    let mut machine = ServerMachine::new(kind, terms, &[3; 32], &[4; 32]);
    machine.advance(real_keys()[1].public().block()).expect("a key");
    machine.encrypted(Some(vec![9; 256])).expect("sent");
    machine
}

#[test]
fn what_cannot_be_decrypted_looks_like_what_can() {
    for plain in [None, Some(&[][..]), Some(&[5; 15]), Some(&[5; 16]), Some(&[5; 31]), Some(&[5; 33])] {
        let mut machine = at_random(Kind::Ra2x256);
        let step = machine.advance(&[&[1, 0][..], &[7; 256]].concat()).expect("a block");
        assert!(matches!(step.event, Some(ServerEvent::Decrypt(block)) if block == [7; 256]));
        let said = machine.decrypted(plain).expect("a record all the same");
        assert_eq!(said.len(), 2 + 32 + 16);
        // only the hash shows it, as any wrong hash does
        let bad = machine.advance(&[&[0, 32][..], &[0; 48]].concat());
        assert!(matches!(bad, Err(RsaAesError::Failed(Failed))));
    }
    // a length that the key does not have says nothing about its bytes
    for length in [0u16, 1, 255, 257, 384, 0xffff] {
        assert!(matches!(at_random(Kind::Ra2x256).advance(&length.to_be_bytes()), Err(RsaAesError::Failed(_))));
    }
}

#[test]
fn the_spare_number_is_taken_where_the_other_is_none() {
    assert_eq!(choose(Some(&[1, 2, 3]), &[7, 8, 9]).as_slice(), [1, 2, 3]);
    for bad in [None, Some(&[][..]), Some(&[1, 2]), Some(&[1, 2, 3, 4])] {
        assert_eq!(choose(bad, &[7, 8, 9]).as_slice(), [7, 8, 9]);
    }
}

/// A server that has proved itself and knows that the client did, and the client's link.
fn proved(kind: Kind) -> (ServerMachine, Link) {
    let mut machine = at_random(kind);
    machine.advance(&[&[1, 0][..], &[7; 256]].concat()).expect("a block");
    let random = vec![5; kind.secret_len()];
    let mut said = machine.decrypted(Some(&random)).expect("sent");
    let server_random = vec![3; kind.secret_len()];
    let mut link = kind.link(&random, &server_random).expect("keys");
    link.opener.open(&mut said).expect("the server's hash");
    let (ours, theirs) = (real_keys()[1].public().block(), real_keys()[0].public().block());
    let hash = link.seal(&kind.hash(ours, theirs)).expect("sent");
    let mut subtype = machine.advance(&hash).expect("the hash").output;
    assert_eq!(link.opener.open(&mut subtype).expect("a record"), [1]);
    (machine, link)
}

fn login(machine: &mut ServerMachine, wire: &[u8]) -> Result<Option<(String, String)>, RsaAesError> {
    let mut at = 0;
    loop {
        let step = machine.advance(&wire[at..])?;
        at += step.used;
        match step.event {
            Some(ServerEvent::Login { user, password }) => return Ok(Some((user, password.reveal().to_owned()))),
            _ if step.is_idle() => return Ok(None),
            _ => {}
        }
    }
}

#[test]
fn credentials_may_be_as_long_as_they_get_and_come_in_any_records() {
    let longest = [&[255][..], &[b'u'; 255], &[255], &[b'p'; 255]].concat();
    for size in [1, 7, 256, 512] {
        let (mut machine, mut link) = proved(Kind::Ra2x256);
        let wire: Vec<u8> = longest.chunks(size).flat_map(|part| link.seal(part).expect("sent")).collect();
        let login = login(&mut machine, &wire).expect("good").expect("whole");
        assert_eq!(login, ("u".repeat(255), "p".repeat(255)));
    }
    // what follows in the same record is RFB, where RFB is in records
    let behind = [&b"\x03ann\x02pw"[..], &[1]].concat();
    let (mut machine, mut link) = proved(Kind::Ra2);
    let wire = link.seal(&behind).expect("sent");
    assert_eq!(login(&mut machine, &wire).expect("good"), Some(("ann".into(), "pw".into())));
    assert_eq!(machine.into_records().expect("complete").early.as_slice(), [1]);
    let (mut machine, mut link) = proved(Kind::Ra2Ne);
    let wire = link.seal(&behind).expect("sent");
    assert!(login(&mut machine, &wire).is_err());
}

#[test]
fn credentials_that_are_no_text_or_in_bad_records_are_refused() {
    let (kind, good) = (Kind::Ra2x256, &b"\x03ann\x02pw"[..]);
    let after = |wire: &dyn Fn(&mut Link) -> Vec<u8>| {
        let (mut machine, mut link) = proved(kind);
        let wire = wire(&mut link);
        login(&mut machine, &wire)
    };
    assert_eq!(after(&|link| link.seal(good).expect("sent")).expect("good"), Some(("ann".into(), "pw".into())));
    assert!(after(&|link| link.seal(b"\x03an\xff\x02pw").expect("sent")).is_err(), "no UTF-8");
    assert!(after(&|link| link.seal(b"\x03ann\x02p\xff").expect("sent")).is_err(), "no UTF-8");
    assert!(after(&|link| link.seal(&[]).expect("sent")).is_err(), "an empty record");
    assert!(after(&|link| link.seal(&[0; 1025]).expect("sent")).is_err(), "a long record");
    assert_eq!(after(&|link| link.seal(b"\x03ann\x09pw").expect("sent")).expect("good so far"), None, "not whole");
    let skipped = after(&|link| {
        link.seal(good).expect("a lost record");
        link.seal(good).expect("sent")
    });
    assert!(skipped.is_err(), "a wrong number");
    let replayed = after(&|link| {
        let first = link.seal(&good[..3]).expect("sent");
        [&first[..], &first].concat()
    });
    assert!(replayed.is_err(), "a record twice");
    let swapped = after(&|link| {
        let (first, second) = (link.seal(&good[..3]).expect("sent"), link.seal(&good[3..]).expect("sent"));
        [second, first].concat()
    });
    assert!(swapped.is_err(), "records swapped");
}

#[test]
fn a_password_alone_comes_without_a_name() {
    let say = |user: &[u8]| {
        let (mut machine, mut link) = proved(Kind::Ra2x256);
        machine.terms.subtype = Subtype::Password;
        let wire = link.seal(&[&[user.len() as u8], user, b"\x02pw"].concat()).expect("sent");
        login(&mut machine, &wire)
    };
    assert_eq!(say(b"").expect("good"), Some((String::new(), "pw".into())));
    assert!(say(b"ann").is_err());
    assert_eq!((Subtype::of(0), Subtype::of(3)), (None, None));
}

#[test]
fn calls_out_of_turn_fail() {
    let mut machine = at_random(Kind::Ra2);
    assert!(machine.decrypted(Some(&[5; 16])).is_err());
    assert!(machine.advance(&[]).is_err(), "and the machine is over");
    let mut machine = at_random(Kind::Ra2);
    assert!(machine.encrypted(Some(vec![0; 256])).is_err());
    assert!(at_random(Kind::Ra2).into_records().is_err());
    let mut client = ClientMachine::new(Kind::Ra2, real_keys()[1].public().clone(), KEY_BITS, &[5; 32]);
    assert!(client.log_in("ann", &Secret::new("pw".into())).is_err() && client.advance(&[]).is_err());
}

#[test]
fn nothing_secret_is_printed() {
    let event = ServerEvent::Login { user: "ann".into(), password: Secret::new("hunter2".into()) };
    assert!(!format!("{event:?}").contains("hunter2"));
}
