//! RSA without padding, as in a textbook, for keys that are too short for the library.

use super::TestKey;
use crate::security::rsa_aes::key::LocalRsaKey;

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
pub(super) fn decrypt(key: &TestKey, block: &[u8]) -> (Vec<u8>, Vec<u8>) {
    if let Some(key) = LocalRsaKey::from_bytes(&key.pkcs1) {
        return (key.plain_of(block).expect("good padding").to_vec(), block.to_vec());
    }
    // the library has no keys this short
    let padded = power(block, &key.exponent, key.public.modulus());
    assert_eq!(padded[..2], [0, 2]);
    let end = 2 + padded[2..].iter().position(|byte| *byte == 0).expect("the padding's end");
    (padded[end + 1..].to_vec(), power(&padded, key.public.exponent(), key.public.modulus()))
}
