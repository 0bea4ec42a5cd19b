//! What the machines' tests have in common: keys.

mod damage;
mod logins;
mod textbook;
mod transcripts;

use std::sync::OnceLock;

use serde_json::Value;

use super::*;
use crate::security::rsa_aes::key::{KEY_BITS, LocalRsaKey};
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

fn terms(public: &RsaPublic, subtype: Subtype) -> ServerTerms {
    ServerTerms { public: public.clone(), client_bits: KEY_BITS, subtype }
}

/// Two keys of 2,048 bits that the library computes with.
fn real_keys() -> &'static [LocalRsaKey; 2] {
    static KEYS: OnceLock<[LocalRsaKey; 2]> = OnceLock::new();
    KEYS.get_or_init(|| {
        ["server_private_key_pem", "client_private_key_pem"]
            .map(|name| LocalRsaKey::from_bytes(vectors()[3][name].as_str().expect("pem").as_bytes()).expect("a key"))
    })
}
