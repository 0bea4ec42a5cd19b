//! Keys: the static X25519 key that an end is known by, and the ephemeral one of a single handshake.
//!
//! The crate draws no random numbers: both come from the caller as 32 bytes of entropy.

use std::fmt;

use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::phrase::{Fingerprint, KeyKind};

/// A public X25519 key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// A key from its 32 bytes; any value is a key, and the handshake refuses those of low order.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key's bytes, as they travel.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What people compare. Cost: 16,384 hashes, about 2 ms.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(KeyKind::X25519, &self.0)
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut key = [0; 32];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(key))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A shared secret, wiped when dropped.
pub type SharedSecret = Zeroizing<[u8; 32]>;

/// Whoever holds a static key: this process, or another that answers for it.
///
/// A handshake asks for one agreement; a holder elsewhere may block for as long as its answer takes.
pub trait StaticKey: Send + Sync {
    /// The public half.
    fn public(&self) -> PublicKey;

    /// The X25519 agreement with `their` key; nothing where that key is of low order, or where the holder does not answer.
    fn agree(&self, their: &PublicKey) -> Option<SharedSecret>;
}

/// A static key held in this process.
pub struct Identity {
    secret: StaticSecret,
    public: PublicKey,
}

impl Identity {
    /// The identity of 32 secret bytes, as drawn at the first start or read back from where they are kept.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        let secret = StaticSecret::from(*secret);
        let public = PublicKey(x25519_dalek::PublicKey::from(&secret).to_bytes());
        Self { secret, public }
    }

    /// The secret bytes, for whoever keeps them.
    pub fn to_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }
}

impl StaticKey for Identity {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn agree(&self, their: &PublicKey) -> Option<SharedSecret> {
        let shared = self.secret.diffie_hellman(&x25519_dalek::PublicKey::from(their.0));
        shared.was_contributory().then(|| Zeroizing::new(shared.to_bytes()))
    }
}

/// 32 random bytes for one handshake's ephemeral key: used once, wiped when dropped.
pub struct Entropy(pub(crate) Zeroizing<[u8; 32]>);

impl Entropy {
    /// Takes bytes that the caller drew from the system's generator for this handshake alone.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> [u8; 32] {
        *PublicKey::from_hex(text).expect("64 digits").as_bytes()
    }

    #[test]
    fn agreement_is_that_of_rfc_7748_section_6_1() {
        let alice = Identity::from_secret(&hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
        let bob = Identity::from_secret(&hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
        assert_eq!(alice.public().to_string(), "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
        assert_eq!(bob.public().to_string(), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
        let shared = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(alice.agree(&bob.public()).as_deref(), Some(&shared));
        assert_eq!(bob.agree(&alice.public()).as_deref(), Some(&shared));
    }

    #[test]
    fn keys_of_low_order_are_refused() {
        let own = Identity::from_secret(&[7; 32]);
        let mut one = [0; 32];
        one[0] = 1;
        let order_8 = hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
        let p = hex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
        for bad in [[0; 32], one, order_8, p] {
            assert!(own.agree(&PublicKey::new(bad)).is_none(), "{bad:02x?}");
        }
    }

    #[test]
    fn a_key_reads_back_what_it_prints_and_nothing_else() {
        let key = Identity::from_secret(&[3; 32]).public();
        assert_eq!(PublicKey::from_hex(&key.to_string()), Some(key));
        for bad in ["", "00", &"g".repeat(64), &"0".repeat(63), &"é".repeat(32)] {
            assert_eq!(PublicKey::from_hex(bad), None, "{bad}");
        }
        assert_eq!(*Identity::from_secret(&[3; 32]).to_secret(), [3; 32]);
    }
}
