use std::path::PathBuf;
use std::sync::OnceLock;

use super::*;
use crate::security::rsa_aes::machine::tests::{key_of, vectors};

/// A modulus of so many bits, its top bit and its last bit set.
fn modulus(bits: u32) -> Vec<u8> {
    let mut modulus = vec![0x55; bytes_of(bits)];
    modulus[0] = match bits % 8 {
        0 => 0x80,
        left => 1 << (left - 1),
    };
    *modulus.last_mut().unwrap() |= 1;
    modulus
}

fn block(bits: u32, modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let zeros = vec![0; modulus.len() - exponent.len()];
    [&bits.to_be_bytes()[..], modulus, &zeros, exponent].concat()
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("farpane-rsa-key-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

/// One made key for all tests: making one takes time.
fn made() -> &'static (LocalRsaKey, Zeroizing<Vec<u8>>) {
    static MADE: OnceLock<(LocalRsaKey, Zeroizing<Vec<u8>>)> = OnceLock::new();
    MADE.get_or_init(|| LocalRsaKey::generate().unwrap())
}

#[test]
fn a_length_is_checked_before_anything_is_kept_for_it() {
    for bits in [0, 1, 512, 1023, 8193, 16_384, 1 << 20, u32::MAX] {
        let refused = RsaPublic::block_len(bits.to_be_bytes(), &(0..=u32::MAX));
        assert!(matches!(refused, Err(KeyError::Bits { least: 1024, most: 8192, .. })), "{bits}");
    }
    for (bits, length) in [(1024, 260), (1025, 262), (2048, 516), (8192, 2052)] {
        assert_eq!(RsaPublic::block_len(u32::to_be_bytes(bits), &KEY_BITS).unwrap(), length);
    }
    let said = RsaPublic::block_len(1024u32.to_be_bytes(), &(2048..=4096)).unwrap_err().to_string();
    assert_eq!(said, "rsa key of 1024 bits (expected 2048..=4096)");
    assert!(RsaPublic::block_len(4097u32.to_be_bytes(), &(2048..=4096)).is_err());
}

#[test]
fn only_keys_that_are_safe_to_compute_with_are_taken() {
    let good = modulus(1024);
    let key = RsaPublic::parse(&block(1024, &good, &[1, 0, 1]), &KEY_BITS).unwrap();
    assert_eq!((key.bits(), key.size(), key.modulus(), key.exponent()), (1024, 128, &good[..], &[1, 0, 1][..]));
    assert_eq!(RsaPublic::new(&[&[0, 0], &good[..]].concat(), &[0, 1, 0, 1]).unwrap(), key);
    for bits in [1025, 1031, 2047] {
        assert_eq!(RsaPublic::new(&modulus(bits), &[3]).unwrap().bits(), bits);
    }
    let even = {
        let mut even = good.clone();
        *even.last_mut().unwrap() &= 0xfe;
        even
    };
    let short = {
        let mut short = good.clone();
        short[0] = 0x7f;
        short
    };
    for bad in [&even[..], &short, &[0; 128]] {
        let refused = RsaPublic::parse(&block(1024, bad, &[3]), &KEY_BITS);
        assert!(matches!(refused, Err(KeyError::Modulus)), "{bad:02x?}");
    }
    // told as shorter than it is, and as longer
    assert!(RsaPublic::parse(&block(1017, &good, &[3]), &KEY_BITS).is_err());
    assert!(RsaPublic::parse(&block(1032, &good, &[3]), &KEY_BITS).is_err());
    assert!(RsaPublic::new(&[0xff; 16], &[3]).is_err() && RsaPublic::new(&[], &[3]).is_err());
    assert!(RsaPublic::new(&good, &[3; 200]).is_err());
}

#[test]
fn exponents_are_odd_above_one_and_short() {
    let with = |exponent: &[u8]| RsaPublic::parse(&block(1024, &modulus(1024), exponent), &KEY_BITS);
    for good in [&[3][..], &[17], &[1, 0, 1], &[0xff; 4], &[1, 0xff, 0xff, 0xff, 0xff]] {
        assert_eq!(with(good).unwrap().exponent(), good);
    }
    for bad in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[2, 0, 0, 0, 1], &[1, 0, 0, 0, 0, 1], &[0x55; 128]] {
        assert!(matches!(with(bad), Err(KeyError::Exponent)), "{bad:02x?}");
    }
}

#[test]
fn what_is_encrypted_to_a_key_its_holder_decrypts_and_nothing_else() {
    let (key, _) = made();
    assert_eq!(key.public().bits(), 3072);
    let block = key.public().encrypt(&[7; 32]).unwrap();
    assert_eq!(block.len(), key.public().size());
    assert_eq!(key.decrypt(&block, 32).unwrap().as_slice(), [7; 32]);
    // another length than what was encrypted has is as bad as bad padding
    assert_ne!(key.decrypt(&block, 16).unwrap().as_slice(), [7; 16]);
    assert_ne!(key.public().encrypt(&[7; 32]).unwrap(), block, "padding is random");
    for bad in [&block[1..], &[&block[..], &[0]].concat(), &[0; 384], &[0xff; 384], &[]] {
        assert!(key.plain_of(bad).is_none());
        let [one, other] = [(), ()].map(|()| key.decrypt(bad, 32).unwrap());
        assert!(one.len() == 32 && one != other, "random bytes stand in, of the same length");
    }
    // nothing is encrypted to keys that the library does not compute with
    assert!(RsaPublic::new(&modulus(1024), &[3]).unwrap().encrypt(&[7; 16]).is_none());
}

#[test]
fn a_key_reads_back_from_every_form_that_others_write() {
    let (key, der) = made();
    let again = LocalRsaKey::from_bytes(der).unwrap();
    assert_eq!(again.public(), key.public());
    let vector = &vectors()[3];
    let pem = vector["server_private_key_pem"].as_str().unwrap();
    let key = LocalRsaKey::from_bytes(pem.as_bytes()).unwrap();
    assert_eq!(key.public().bits(), 2048);
    // PKCS#1 lies within PKCS#8, behind a header
    let pkcs1 = key_of(pem).pkcs1;
    assert_eq!(LocalRsaKey::from_bytes(&pkcs1).unwrap().public(), key.public());
    for bad in [&b""[..], b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", &der[1..], &der[..der.len() - 1]]
    {
        assert!(LocalRsaKey::from_bytes(bad).is_none());
    }
    // a key of 1,024 bits is no server's key
    assert!(LocalRsaKey::from_bytes(vectors()[0]["server_private_key_pem"].as_str().unwrap().as_bytes()).is_none());
}

#[test]
fn fingerprints_are_those_that_viewers_and_people_are_shown() {
    for vector in vectors() {
        let key = key_of(vector["server_private_key_pem"].as_str().unwrap());
        assert_eq!(key.public.short_fingerprint(), vector["fingerprint"].as_str().unwrap());
    }
    // computed with openssl and Python: 16,384 rounds of SHA-256 over the label, 128 and the DER
    let key = key_of(vectors()[3]["server_private_key_pem"].as_str().unwrap());
    let fingerprint = key.public.fingerprint().unwrap();
    let hex: String = fingerprint.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "84190b51666ff47f7beecd52a311b89b435a38d7fdfcfca3aa273ab940b7650e");
}

#[test]
fn the_first_start_makes_a_key_that_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder("first");
    let path = folder.join("rsa.key");
    let first = LocalRsaKey::load_or_generate(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!((mode & 0o7777, first.public().bits()), (0o600, 3072));
    assert_eq!(LocalRsaKey::load_or_generate(&path).unwrap().public(), first.public());
    private::write(&path, b"no key").unwrap();
    let said = LocalRsaKey::load_or_generate(&path).unwrap_err().to_string();
    assert!(said.contains("rsa.key: is no RSA key"), "{said}");
    private::write(&path, &made().1).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(LocalRsaKey::load_or_generate(&path), Err(KeyError::File(PrivateError::Mode(..)))));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn nothing_secret_is_printed() {
    let printed = format!("{:?}", made().0);
    assert!(printed.starts_with("LocalRsaKey { public: RsaPublic(3072 bits, ") && printed.len() < 100, "{printed}");
}
