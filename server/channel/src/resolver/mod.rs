//! What snow computes with: X25519 by x25519-dalek, SHA-256 by sha2, AES-256-GCM by the chosen [`Engine`].
//!
//! snow keeps the protocol (handshake, nonces, rekeying); this module keeps expanded keys, so that a record costs no key
//! schedule, and gives the static key to whoever holds it. Tested against the public vectors of snow and cacophony.

#[cfg(feature = "fast-crypto")]
mod fast;
mod portable;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::{Zeroize, Zeroizing};

use crate::identity::{Entropy, Identity, PublicKey, StaticKey};

/// Which library encrypts. Both speak the same protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The `aes-gcm` crate: Rust alone.
    Portable,
    /// `aws-lc-rs`: twice as fast, three times with AVX-512, with C and assembly (feature `fast-crypto`).
    #[cfg(feature = "fast-crypto")]
    Fast,
}

impl Engine {
    /// Every engine that is compiled in.
    #[cfg(feature = "fast-crypto")]
    pub const ALL: &[Self] = &[Self::Portable, Self::Fast];
    /// Every engine that is compiled in.
    #[cfg(not(feature = "fast-crypto"))]
    pub const ALL: &[Self] = &[Self::Portable];

    /// The name of the library.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "aes-gcm",
            #[cfg(feature = "fast-crypto")]
            Self::Fast => "aws-lc-rs",
        }
    }

    fn cipher(self) -> Box<dyn Cipher> {
        match self {
            Self::Portable => Box::new(portable::AesGcm::default()),
            #[cfg(feature = "fast-crypto")]
            Self::Fast => Box::new(fast::AesGcm::default()),
        }
    }
}

impl Default for Engine {
    /// The fastest that is compiled in.
    fn default() -> Self {
        #[cfg(feature = "fast-crypto")]
        return Self::Fast;
        #[cfg(not(feature = "fast-crypto"))]
        Self::Portable
    }
}

/// The nonce of AES-GCM in Noise: four zero bytes and the counter, big endian.
fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    for (to, from) in nonce.iter_mut().skip(4).zip(counter.to_be_bytes()) {
        *to = from;
    }
    nonce
}

/// Resolves for one handshake.
pub(crate) struct Resolver {
    engine: Engine,
    key: Arc<dyn StaticKey>,
    entropy: Cell<Option<Entropy>>,
}

impl Resolver {
    pub(crate) fn new(engine: Engine, key: Arc<dyn StaticKey>, entropy: Entropy) -> Self {
        Self { engine, key, entropy: Cell::new(Some(entropy)) }
    }
}

/// The private key to give to snow's builder: it stands for the static key, wherever that is held.
pub(crate) const HELD_ELSEWHERE: &[u8] = &[];

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(self.entropy.take())))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let agreement = Agreement { holder: None, public: PublicKey::new([0; 32]), offered: Arc::clone(&self.key) };
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(agreement) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::new(Sha(Sha256::new())) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::AESGCM).then(|| self.engine.cipher())
    }
}

/// The entropy of one ephemeral key; a second request fails.
struct Once(Option<Entropy>);

impl Random for Once {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let entropy = self.0.take().ok_or(snow::Error::Rng)?;
        if dest.len() != entropy.0.len() {
            return Err(snow::Error::Rng);
        }
        dest.copy_from_slice(entropy.0.as_ref());
        Ok(())
    }
}

/// One key pair of a handshake. An empty private key makes it the static key on offer, any other an ephemeral one.
struct Agreement {
    holder: Option<Arc<dyn StaticKey>>,
    public: PublicKey,
    offered: Arc<dyn StaticKey>,
}

impl Agreement {
    fn hold(&mut self, holder: Arc<dyn StaticKey>) {
        self.public = holder.public();
        self.holder = Some(holder);
    }
}

impl Dh for Agreement {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        match <[u8; 32]>::try_from(privkey) {
            Ok(secret) => self.hold(Arc::new(Identity::from_secret(&Zeroizing::new(secret)))),
            Err(_) => self.hold(Arc::clone(&self.offered)),
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut secret = Zeroizing::new([0; 32]);
        rng.try_fill_bytes(secret.as_mut())?;
        self.hold(Arc::new(Identity::from_secret(&secret)));
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn privkey(&self) -> &[u8] {
        HELD_ELSEWHERE
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        // snow hands over its whole buffer, of which the first 32 bytes are the key
        let their = pubkey.first_chunk::<32>().ok_or(snow::Error::Dh)?;
        let holder = self.holder.as_ref().ok_or(snow::Error::Dh)?;
        let shared = holder.agree(&PublicKey::new(*their)).ok_or(snow::Error::Dh)?;
        out.get_mut(..32).ok_or(snow::Error::Dh)?.copy_from_slice(shared.as_ref());
        Ok(())
    }
}

struct Sha(Sha256);

impl Hash for Sha {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let mut digest = self.0.finalize_reset();
        out.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        digest.as_mut_slice().zeroize();
    }
}
