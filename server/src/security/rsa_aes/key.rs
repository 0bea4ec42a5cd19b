//! RSA keys: what is told of them, and who decrypts with one.
//!
//! INVARIANT: an [`RsaPublic`] has a modulus of 1,024 to 8,192 bits, odd and of exactly the length that is told, and an odd
//! exponent from 3 to 33 bits long: nothing in it makes a computation long or impossible.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeyPair, KeySize, Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
    PublicKeyComponents,
};
use aws_lc_rs::signature::KeyPair as _;
use farpane_channel::phrase::{Fingerprint, KeyKind};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use sha1::{Digest, Sha1};
use subtle::{Choice, ConditionallySelectable};
use zeroize::{Zeroize, Zeroizing};

use crate::helper::private::{self, PrivateError};

/// No key of fewer or more bits is taken from anybody, whatever the settings say.
pub const KEY_BITS: RangeInclusive<u32> = 1024..=8192;
/// Sizes that the library computes with: the server's own key, and any key that is encrypted to.
pub const USABLE_BITS: RangeInclusive<u32> = 2048..=8192;
/// The longest exponent, in bytes with its leading zeros gone, and what its first byte may be at that length: 33 bits.
const EXPONENT: (usize, u8) = (5, 1);
/// The largest file that can be a key: 8,192 bits in PEM are 6.4 KB.
const FILE: u64 = 16 << 10;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is too short or too long.
    #[error("rsa key of {bits} bits (expected {least}..={most})")]
    Bits {
        /// Its length.
        bits: u32,
        /// The shortest that is taken.
        least: u32,
        /// The longest.
        most: u32,
    },
    /// The modulus is even, or not as long as was said.
    #[error("rsa modulus is even or not as long as the key (expected an odd one with its top bit set)")]
    Modulus,
    /// The exponent is even, 1 or too long.
    #[error("rsa exponent is even, 1 or too long (expected an odd one of 2..=33 bits)")]
    Exponent,
    /// The file cannot be read or written.
    #[error("rsa key: {0}")]
    File(#[from] PrivateError),
    /// The file holds something else.
    #[error(
        "rsa key {0}: is no RSA key of 2048..=8192 bits as PKCS#8 or PKCS#1, in DER or PEM; remove it to make a new one"
    )]
    Format(PathBuf),
    /// The library made none.
    #[error("no rsa key could be made: the system gave no random numbers, or too little memory")]
    Generate,
}

/// A public key, as it goes over the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct RsaPublic {
    bits: u32,
    /// Bits, modulus, exponent; both numbers as long as the modulus.
    block: Box<[u8]>,
}

/// Bytes of a number of so many bits.
const fn bytes_of(bits: u32) -> usize {
    bits.div_ceil(8) as usize
}

/// Checks a length against the limits that hold for everybody and those of this server.
fn check_bits(bits: u32, taken: &RangeInclusive<u32>) -> Result<(), KeyError> {
    let (least, most) = ((*taken.start()).max(*KEY_BITS.start()), (*taken.end()).min(*KEY_BITS.end()));
    if (least..=most).contains(&bits) { Ok(()) } else { Err(KeyError::Bits { bits, least, most }) }
}

impl RsaPublic {
    /// The length of the block whose first four bytes these are.
    ///
    /// # Errors
    /// When it says a length that is not taken: nothing is to be read or kept for it.
    pub fn block_len(head: [u8; 4], taken: &RangeInclusive<u32>) -> Result<usize, KeyError> {
        let bits = u32::from_be_bytes(head);
        check_bits(bits, taken)?;
        Ok(bytes_of(bits).saturating_mul(2).saturating_add(head.len()))
    }

    /// Reads a whole block.
    ///
    /// # Errors
    /// When it is no key that is safe to compute with.
    pub fn parse(block: &[u8], taken: &RangeInclusive<u32>) -> Result<Self, KeyError> {
        let (head, numbers) = block.split_first_chunk::<4>().ok_or(KeyError::Modulus)?;
        if Self::block_len(*head, taken)? != block.len() {
            return Err(KeyError::Modulus);
        }
        let bits = u32::from_be_bytes(*head);
        let (modulus, exponent) = numbers.split_at_checked(bytes_of(bits)).ok_or(KeyError::Modulus)?;
        let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
        if bit_length(modulus) != u64::from(bits) || !odd(modulus) {
            return Err(KeyError::Modulus);
        }
        let (exponent, (most, top)) = (strip(exponent), EXPONENT);
        let short = exponent.len() < most || (exponent.len() == most && exponent.first().is_some_and(|b| *b <= top));
        if !odd(exponent) || exponent == [1] || !short {
            return Err(KeyError::Exponent);
        }
        Ok(Self { bits, block: block.into() })
    }

    /// A key of these numbers, big endian.
    ///
    /// # Errors
    /// When they are no key that is safe to compute with.
    pub fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let (modulus, exponent) = (strip(modulus), strip(exponent));
        let bits = u32::try_from(bit_length(modulus)).unwrap_or(u32::MAX);
        check_bits(bits, &KEY_BITS)?;
        let zeros = bytes_of(bits).checked_sub(exponent.len()).ok_or(KeyError::Exponent)?;
        let block = [&bits.to_be_bytes()[..], modulus, &vec![0; zeros], exponent].concat();
        Self::parse(&block, &KEY_BITS)
    }

    /// The length of the modulus in bits.
    pub const fn bits(&self) -> u32 {
        self.bits
    }

    /// The length of the modulus, and of everything that is encrypted to this key, in bytes.
    pub const fn size(&self) -> usize {
        bytes_of(self.bits)
    }

    /// The bytes that tell this key, and that go into the hashes.
    pub const fn block(&self) -> &[u8] {
        &self.block
    }

    /// The modulus, big endian.
    pub fn modulus(&self) -> &[u8] {
        self.block.get(4..self.size().saturating_add(4)).unwrap_or_default()
    }

    /// The exponent, big endian, without leading zeros.
    pub fn exponent(&self) -> &[u8] {
        strip(self.block.get(self.size().saturating_add(4)..).unwrap_or_default())
    }

    fn components(&self) -> PublicKeyComponents<&[u8]> {
        PublicKeyComponents { n: self.modulus(), e: self.exponent() }
    }

    /// RSAES-PKCS1-v1_5 of a few bytes; none when the key is shorter than [`USABLE_BITS`] or worthless.
    pub fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let key: PublicEncryptingKey = self.components().try_into().ok()?;
        let mut out = vec![0; self.size()];
        let length = Pkcs1PublicEncryptingKey::new(key).ok()?.encrypt(plain, &mut out).ok()?.len();
        (length == out.len()).then_some(out)
    }

    /// What viewers of TigerVNC show: the first eight bytes of a SHA-1, as `20-b6-d2-c9-a0-98-7a-17`. Whoever can make keys
    /// as he likes finds another one with these bytes in reasonable time: compare the phrase where it can be seen.
    pub fn short_fingerprint(&self) -> String {
        let pairs: Vec<String> = Sha1::digest(&self.block).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        pairs.join("-")
    }

    /// The fingerprint that has a phrase; none when the library refuses the key.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let der: PublicKeyX509Der<'_> = self.components().as_der().ok()?;
        Some(Fingerprint::of(KeyKind::Rsa, der.as_ref()))
    }
}

impl fmt::Debug for RsaPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaPublic({} bits, {})", self.bits, self.short_fingerprint())
    }
}

/// A big-endian number without its leading zeros.
fn strip(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn bit_length(number: &[u8]) -> u64 {
    let number = strip(number);
    let unused = number.first().map_or(0, |top| u64::from(top.leading_zeros()));
    (number.len() as u64).saturating_mul(8).saturating_sub(unused)
}

/// `decrypted` when it is as long as it must be, `spare` otherwise, without a branch that tells which.
pub(super) fn choose(decrypted: Option<&[u8]>, spare: &[u8]) -> Zeroizing<Vec<u8>> {
    let plain = decrypted.unwrap_or_default();
    let good = Choice::from(u8::from(plain.len() == spare.len()));
    let bytes = spare.iter().enumerate().map(|(n, spare)| {
        let byte = plain.get(n).copied().unwrap_or(0);
        u8::conditional_select(spare, &byte, good)
    });
    Zeroizing::new(bytes.collect())
}

/// Whoever holds a private key, in this process or elsewhere. `decrypt` may block for milliseconds.
pub trait RsaKey: Send + Sync {
    /// The public half.
    fn public(&self) -> &RsaPublic;

    /// The `length` bytes that were encrypted to this key. For bad padding or another length they are random ones, of the same length
    /// and in the same time; none for a holder that does not answer.
    fn decrypt(&self, block: &[u8], length: usize) -> Option<Zeroizing<Vec<u8>>>;
}

/// A private key in this process.
pub struct LocalRsaKey {
    public: RsaPublic,
    private: Pkcs1PrivateDecryptingKey,
}

impl LocalRsaKey {
    /// The key of a file that only its owner can read; when there is none, a new one of 3,072 bits, which is kept there.
    /// Cost: making one takes a second or so, once.
    ///
    /// # Errors
    /// When the file is there and holds no key, others can read it, or it cannot be written.
    pub fn load_or_generate(path: &Path) -> Result<Self, KeyError> {
        let bytes = private::read_or_make(path, FILE, || Self::generate().map(|(_, der)| der))?;
        Self::from_bytes(&bytes).ok_or_else(|| KeyError::Format(path.to_owned()))
    }

    /// A new key of 3,072 bits, and what to keep of it: PKCS#8 in DER.
    ///
    /// # Errors
    /// When the library makes none.
    pub fn generate() -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa3072).map_err(|_| KeyError::Generate)?;
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| KeyError::Generate)?;
        let der = Zeroizing::new(der.as_ref().to_vec());
        Ok((Self::from_pkcs8(&der).ok_or(KeyError::Generate)?, der))
    }

    /// The key in a file's contents: PKCS#8 or PKCS#1, in DER or PEM; none for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if let Some(key) = Self::from_pkcs8(bytes).or_else(|| Self::from_pkcs1(bytes)) {
            return Some(key);
        }
        let mut pem = PrivateKeyDer::from_pem_slice(bytes).ok()?;
        let key = match &pem {
            PrivateKeyDer::Pkcs8(der) => Self::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => Self::from_pkcs1(der.secret_pkcs1_der()),
            _ => None,
        };
        pem.zeroize();
        key
    }

    /// What was encrypted to this key; none for bad padding or a bad length, which a peer must not see.
    pub(super) fn plain_of(&self, block: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut plain = Zeroizing::new(vec![0; self.private.min_output_size()]);
        let length = self.private.decrypt(block, &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let pair = KeyPair::from_pkcs8(der).ok()?;
        let public = pair.public_key();
        let modulus = public.modulus().big_endian_without_leading_zero();
        let public = RsaPublic::new(modulus, public.exponent().big_endian_without_leading_zero()).ok()?;
        let private = Pkcs1PrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(der).ok()?).ok()?;
        Some(Self { public, private })
    }

    fn from_pkcs1(der: &[u8]) -> Option<Self> {
        let der: Pkcs8V1Der<'_> = KeyPair::from_der(der).ok()?.as_der().ok()?;
        Self::from_pkcs8(der.as_ref())
    }
}

impl RsaKey for LocalRsaKey {
    fn public(&self) -> &RsaPublic {
        &self.public
    }

    fn decrypt(&self, block: &[u8], length: usize) -> Option<Zeroizing<Vec<u8>>> {
        let mut spare = Zeroizing::new(vec![0; length]);
        // drawn whether it is needed or not
        getrandom::fill(&mut spare).ok()?;
        let plain = self.plain_of(block);
        Some(choose(plain.as_ref().map(|plain| plain.as_slice()), &spare))
    }
}

impl fmt::Debug for LocalRsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalRsaKey").field("public", &self.public).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
