//! Both ends of the handshake as machines that take and give bytes, without I/O, clock or random numbers of their own.
//!
//! | who | bytes |
//! |---|---|
//! | server | its public key: `u32 bits`, modulus, exponent |
//! | client | its public key, likewise |
//! | client | `u16 length`, a random number encrypted to the server's key |
//! | server | `u16 length`, a random number encrypted to the client's key |
//! | server | record: hash of both public keys, the server's first |
//! | client | record: hash of both public keys, the client's first |
//! | server | record: 1 for user and password, 2 for a password alone |
//! | client | record: `u8 length`, user, `u8 length`, password |
//!
//! Both random numbers make both keys. Work with RSA keys is left to the caller, since the private key may be held
//! elsewhere: it is an event, and the caller comes back with what was encrypted or decrypted.
//!
//! INVARIANTS: what failed to decrypt goes on as random bytes, so that only the hash of the other end shows it; nothing is kept
//! for a length that was not checked.
//!
//! SOURCE: the RFB protocol's community document, sections RA2 and RA2ne; with 256 bits, SHA-256 and 32 random bytes
//! take the place of SHA-1 and 16.

mod client;
mod server;
#[cfg(test)]
pub(super) mod tests;

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

pub use client::{ClientEvent, ClientMachine};
pub use server::{ServerEvent, ServerMachine, ServerTerms};

use super::key::{KeyError, RsaPublic};
use super::record::{HEAD, Opener, RecordKey, Sealer, TAG, record_len};
use super::{Failed, Kind};

/// The most data of a record that is taken during the handshake: user and password need 512 bytes.
const RECORD: usize = 1024;

/// What the server asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subtype {
    /// A user and a password.
    UserPassword,
    /// A password alone.
    Password,
}

impl Subtype {
    const fn number(self) -> u8 {
        match self {
            Self::UserPassword => 1,
            Self::Password => 2,
        }
    }

    const fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::UserPassword),
            2 => Some(Self::Password),
            _ => None,
        }
    }
}

/// What one call did.
#[derive(Debug)]
pub struct Step<E> {
    /// Bytes of the input that were used; the rest must be given again.
    pub used: usize,
    /// Bytes to send, in one write.
    pub output: Vec<u8>,
    /// What came about.
    pub event: Option<E>,
}

impl<E> Step<E> {
    const fn used(used: usize) -> Self {
        Self { used, output: Vec::new(), event: None }
    }

    /// Nothing more comes without more input.
    pub fn is_idle(&self) -> bool {
        self.output.is_empty() && self.event.is_none()
    }
}

/// The records that follow a handshake, both ways.
pub struct Records {
    pub(super) sealer: Sealer,
    pub(super) opener: Opener,
    /// Data that came in the handshake's last record and is not part of it.
    pub(super) early: Zeroizing<Vec<u8>>,
}

impl Kind {
    /// Bytes of a random number and of a key.
    pub const fn secret_len(self) -> usize {
        if self.is_256() { 32 } else { 16 }
    }

    fn hash(self, first: &[u8], second: &[u8]) -> Zeroizing<Vec<u8>> {
        if self.is_256() {
            let mut digest = Sha256::new().chain_update(first).chain_update(second).finalize();
            let hash = Zeroizing::new(digest.to_vec());
            digest.as_mut_slice().zeroize();
            hash
        } else {
            let mut digest = Sha1::new().chain_update(first).chain_update(second).finalize();
            let hash = Zeroizing::new(digest.to_vec());
            digest.as_mut_slice().zeroize();
            hash
        }
    }

    /// The key of records that go to whoever made `to`, from whoever made `from`.
    fn key(self, to: &[u8], from: &[u8]) -> Result<RecordKey, Failed> {
        let hash = self.hash(to, from);
        let wide = || hash.first_chunk::<32>().map(|key| RecordKey::Aes256(Zeroizing::new(*key)));
        let narrow = || hash.first_chunk::<16>().map(|key| RecordKey::Aes128(Zeroizing::new(*key)));
        if self.is_256() { wide() } else { narrow() }.ok_or(Failed)
    }

    /// What the end with these random numbers and keys sends and receives.
    fn link(self, ours: &[u8], theirs: &[u8]) -> Result<Link, Failed> {
        let (sealer, opener) = (Sealer::new(self.key(theirs, ours)?), Opener::new(self.key(ours, theirs)?));
        Ok(Link { sealer, opener, wire: Zeroizing::new(Vec::new()), plain: Zeroizing::new(Vec::new()) })
    }
}

/// A number of bytes behind a length field of two bytes.
fn with_length(block: &[u8]) -> Result<Vec<u8>, Failed> {
    let length = u16::try_from(block.len()).map_err(|_| Failed)?;
    Ok([&length.to_be_bytes(), block].concat())
}

/// Gathers what comes in pieces.
#[derive(Default)]
struct Inbox(Vec<u8>);

impl Inbox {
    /// Takes what is missing to `need` bytes, and adds what it took to `used`; whether they are all there.
    fn fill(&mut self, need: usize, input: &[u8], used: &mut usize) -> bool {
        let input = input.get(*used..).unwrap_or_default();
        let missing = need.saturating_sub(self.0.len());
        let taken = input.get(..missing).unwrap_or(input);
        self.0.extend_from_slice(taken);
        *used = used.saturating_add(taken.len());
        self.0.len() >= need
    }

    /// A peer's public key, once it is there.
    fn key(
        &mut self,
        bits: &RangeInclusive<u32>,
        input: &[u8],
        used: &mut usize,
    ) -> Result<Option<RsaPublic>, KeyError> {
        self.fill(4, input, used);
        let Some(head) = self.0.first_chunk() else { return Ok(None) };
        if !self.fill(RsaPublic::block_len(*head, bits)?, input, used) {
            return Ok(None);
        }
        let key = RsaPublic::parse(&self.0, bits)?;
        self.0.clear();
        Ok(Some(key))
    }

    /// Bytes behind a length field that must be `length`, once they are there.
    fn block(&mut self, length: usize, input: &[u8], used: &mut usize) -> Result<Option<Vec<u8>>, Failed> {
        self.fill(2, input, used);
        let Some((head, _)) = self.0.split_first_chunk() else { return Ok(None) };
        if usize::from(u16::from_be_bytes(*head)) != length {
            return Err(Failed);
        }
        if !self.fill(length.saturating_add(2), input, used) {
            return Ok(None);
        }
        let block = self.0.get(2..).unwrap_or_default().to_vec();
        self.0.clear();
        Ok(Some(block))
    }
}

/// Records during the handshake. What they say is a stream of bytes: a peer may cut it into records as it likes.
struct Link {
    sealer: Sealer,
    opener: Opener,
    /// The record that has not come whole.
    wire: Zeroizing<Vec<u8>>,
    /// Data that was not used yet.
    plain: Zeroizing<Vec<u8>>,
}

impl Link {
    fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, Failed> {
        let mut out = Vec::new();
        self.sealer.seal(plain, &mut out).map_err(|_| Failed)?;
        Ok(out)
    }

    /// Opens at most one record of the input; whether it did.
    fn open(&mut self, input: &[u8], used: &mut usize) -> Result<bool, Failed> {
        let mut inbox = Inbox(std::mem::take(&mut *self.wire));
        // growing would leave copies behind: it never holds more than this
        inbox.0.reserve_exact((HEAD + TAG + RECORD).saturating_sub(inbox.0.len()));
        inbox.fill(HEAD, input, used);
        let length = record_len(&inbox.0);
        if length.is_some_and(|length| !(HEAD + TAG + 1..=HEAD + TAG + RECORD).contains(&length)) {
            return Err(Failed);
        }
        let whole = length.is_some_and(|length| inbox.fill(length, input, used));
        *self.wire = inbox.0;
        if !whole {
            return Ok(false);
        }
        let data = self.opener.open(&mut self.wire).map_err(|_| Failed)?;
        let mut plain = Zeroizing::new(Vec::with_capacity(self.plain.len().saturating_add(data.len())));
        plain.extend_from_slice(&self.plain);
        plain.extend_from_slice(data);
        self.plain = plain;
        self.wire.zeroize();
        Ok(true)
    }

    /// Takes `n` bytes of data off, once they are there.
    fn take(&mut self, n: usize) -> Option<Zeroizing<Vec<u8>>> {
        let (taken, rest) = self.plain.split_at_checked(n)?;
        let (taken, rest) = (Zeroizing::new(taken.to_vec()), Zeroizing::new(rest.to_vec()));
        self.plain = rest;
        Some(taken)
    }

    /// Whether the data begins with `expected`, once enough of it is there; it is taken off.
    fn expect(&mut self, expected: &[u8]) -> Result<bool, Failed> {
        let Some(said) = self.take(expected.len()) else { return Ok(false) };
        if bool::from(said.ct_eq(expected)) { Ok(true) } else { Err(Failed) }
    }

    fn into_records(self) -> Records {
        Records { sealer: self.sealer, opener: self.opener, early: self.plain }
    }
}
