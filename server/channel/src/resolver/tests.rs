use super::*;
use serde_json::Value;
use snow::{Builder, HandshakeState, TransportState};

const VECTORS: &str = include_str!("../../tests/vectors/xx-25519-aesgcm-sha256.json");

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
}

fn field(vector: &Value, name: &str) -> Vec<u8> {
    hex(vector[name].as_str().unwrap_or_else(|| panic!("no {name}")))
}

fn key(vector: &Value, name: &str) -> [u8; 32] {
    field(vector, name).try_into().expect("32 bytes")
}

fn end(engine: Engine, vector: &Value, who: &str) -> HandshakeState {
    let identity = Arc::new(Identity::from_secret(&key(vector, &format!("{who}_static"))));
    let entropy = Entropy::new(key(vector, &format!("{who}_ephemeral")));
    let params = "Noise_XX_25519_AESGCM_SHA256".parse().expect("a name");
    let prologue = field(vector, &format!("{who}_prologue"));
    let builder = Builder::with_resolver(params, Box::new(Resolver::new(engine, identity, entropy)))
        .local_private_key(HELD_ELSEWHERE)
        .and_then(|builder| builder.prologue(&prologue))
        .expect("each is given once");
    if who == "init" { builder.build_initiator() } else { builder.build_responder() }.expect("all primitives")
}

/// Runs a vector with one engine at each end; the first difference from it, if any.
fn differs(vector: &Value, engines: (Engine, Engine)) -> Option<String> {
    let (mut init, mut resp) = (end(engines.0, vector, "init"), end(engines.1, vector, "resp"));
    let messages = vector["messages"].as_array().expect("messages");
    assert!(messages.len() >= 5, "three messages and transport both ways");
    let (mut out, mut back) = ([0; 65_535], [0; 65_535]);
    for (n, message) in messages.iter().take(3).enumerate() {
        let (from, to) = if n % 2 == 0 { (&mut init, &mut resp) } else { (&mut resp, &mut init) };
        let (payload, wanted) = (field(message, "payload"), field(message, "ciphertext"));
        let length = from.write_message(&payload, &mut out).expect("written");
        if out[..length] != wanted {
            return Some(format!("message {n}"));
        }
        let length = to.read_message(&wanted, &mut back).expect("read");
        assert_eq!(back[..length], payload);
    }
    if vector["handshake_hash"].is_string() && init.get_handshake_hash() != field(vector, "handshake_hash") {
        return Some("hash".into());
    }
    assert_eq!(init.get_handshake_hash(), resp.get_handshake_hash());
    let mut init: TransportState = init.into_transport_mode().expect("complete");
    let mut resp: TransportState = resp.into_transport_mode().expect("complete");
    for (n, message) in messages.iter().enumerate().skip(3) {
        let (from, to) = if n % 2 == 0 { (&mut init, &mut resp) } else { (&mut resp, &mut init) };
        let (payload, wanted) = (field(message, "payload"), field(message, "ciphertext"));
        let length = from.write_message(&payload, &mut out).expect("written");
        if out[..length] != wanted {
            return Some(format!("message {n}"));
        }
        let length = to.read_message(&wanted, &mut back).expect("read");
        assert_eq!(back[..length], payload);
    }
    None
}

fn vectors() -> Vec<Value> {
    let all: Value = serde_json::from_str(VECTORS).expect("json");
    all["vectors"].as_array().expect("a list").clone()
}

#[test]
fn public_vectors_hold_with_every_engine_at_each_end() {
    let vectors = vectors();
    assert!(vectors.len() >= 2, "one of cacophony and one of snow");
    for vector in &vectors {
        for (a, b) in Engine::ALL.iter().flat_map(|a| Engine::ALL.iter().map(move |b| (*a, *b))) {
            assert_eq!(differs(vector, (a, b)), None, "{} with {} and {}", vector["origin"], a.name(), b.name());
        }
    }
}

#[test]
fn a_changed_vector_is_noticed() {
    let mut vector = vectors().remove(0);
    let text = vector["messages"][4]["ciphertext"].as_str().expect("hexadecimal").to_owned();
    let flipped = format!("{}{}", if text.starts_with('0') { '1' } else { '0' }, &text[1..]);
    vector["messages"][4]["ciphertext"] = flipped.into();
    assert_eq!(differs(&vector, (Engine::Portable, Engine::Portable)), Some("message 4".into()));
    vector["init_prologue"] = "00".into();
    vector["resp_prologue"] = "00".into();
    assert_eq!(differs(&vector, (Engine::Portable, Engine::Portable)), Some("message 1".into()));
}

#[test]
fn ciphers_refuse_what_they_cannot_do() {
    for engine in Engine::ALL {
        let mut cipher = engine.cipher();
        let mut out = [0xaa; 64];
        assert_eq!(cipher.encrypt(0, &[], &[1; 8], &mut out), 0, "no key yet");
        assert!(cipher.decrypt(0, &[], &[1; 32], &mut out).is_err(), "no key yet");
        cipher.set(&[7; 32]);
        assert_eq!(cipher.encrypt(0, &[], &[1; 8], &mut out[..23]), 0, "no room for the tag");
        assert_eq!(cipher.encrypt(5, b"ad", &[1; 8], &mut out), 24);
        let sealed = out[..24].to_vec();
        let mut plain = [0; 8];
        assert_eq!(cipher.decrypt(5, b"ad", &sealed, &mut plain).ok(), Some(8));
        assert_eq!(plain, [1; 8]);
        for (counter, ad, sealed) in
            [(6, &b"ad"[..], &sealed[..]), (5, b"da", &sealed), (5, b"ad", &sealed[..23]), (5, b"ad", b"")]
        {
            assert!(cipher.decrypt(counter, ad, sealed, &mut plain).is_err());
        }
        assert!(cipher.decrypt(5, b"ad", &sealed, &mut plain[..7]).is_err(), "no room");
    }
}

#[test]
fn engines_give_the_same_bytes_at_every_length_and_after_a_rekey() {
    let mut portable = Engine::Portable.cipher();
    portable.set(&[9; 32]);
    let data: Vec<u8> = (0..70_000u32).map(|n| ((n * 31) >> 3) as u8).collect();
    for engine in Engine::ALL {
        let mut other = engine.cipher();
        other.set(&[9; 32]);
        for length in (0..300).chain([4096, 16_385, 65_519]) {
            let (mut one, mut two) = (vec![0; length + 16], vec![1; length + 16]);
            assert_eq!(portable.encrypt(3, b"x", &data[..length], &mut one), length + 16);
            assert_eq!(other.encrypt(3, b"x", &data[..length], &mut two), length + 16);
            assert_eq!(one, two, "{} bytes with {}", length, engine.name());
        }
        other.rekey();
        let mut rekeyed = engine.cipher();
        // REKEY of the Noise document: what encrypting 32 zeros with the last nonce gives
        let mut key = [0; 48];
        portable.encrypt(u64::MAX, &[], &[0; 32], &mut key);
        rekeyed.set(&key[..32].try_into().expect("32 bytes"));
        let (mut one, mut two) = ([0; 20], [0; 20]);
        other.encrypt(4, &[], b"data", &mut one);
        rekeyed.encrypt(4, &[], b"data", &mut two);
        assert_eq!(one, two);
    }
}

#[test]
fn entropy_is_used_once() {
    let resolver = Resolver::new(Engine::default(), Arc::new(Identity::from_secret(&[1; 32])), Entropy::new([2; 32]));
    let mut rng = resolver.resolve_rng().expect("one");
    let mut bytes = [0; 32];
    assert!(rng.try_fill_bytes(&mut bytes).is_ok() && bytes == [2; 32]);
    assert!(rng.try_fill_bytes(&mut bytes).is_err());
    assert!(resolver.resolve_rng().expect("an empty one").try_fill_bytes(&mut bytes).is_err());
}
