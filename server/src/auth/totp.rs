//! Codes of authenticator apps (RFC 6238), each good once, and recovery codes for who lost theirs.
//!
//! A code is taken from the step before to the step after the present one, so a clock may be wrong by half a minute. What was
//! taken is remembered as steps, not as a time: a clock that was wrong for a while and is put right locks nobody out, and a
//! code that was used stays used wherever the clock jumps.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use totp_rs::{Algorithm, Builder, Totp};
use zeroize::Zeroizing;

use super::login::Secret;
use super::session_password::{letters, normal};

/// Length of a code.
pub const CODE_DIGITS: usize = 6;
/// Length of a step.
const STEP_S: u64 = 30;
/// Used steps that are remembered one by one; of older ones all count as used.
const MOST_USED: usize = 16;
/// Recovery codes that are made at once.
pub const RECOVERY_CODES: usize = 10;
/// Letters of a recovery code: 80 bits, so that one fast hash hides it.
pub(super) const RECOVERY_LETTERS: usize = 16;
/// SOURCE: RFC 4648 section 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Which hash codes are made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeHash {
    /// SHA-1, which every app knows; its collisions do no harm here.
    #[default]
    Sha1,
    /// SHA-256, which some apps take for SHA-1.
    Sha256,
}

impl CodeHash {
    /// Its name in the user file.
    pub const fn name(self) -> &'static str {
        match self {
            CodeHash::Sha1 => "sha1",
            CodeHash::Sha256 => "sha256",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        [CodeHash::Sha1, CodeHash::Sha256].into_iter().find(|hash| hash.name() == name)
    }
}

/// The secret that a user's app shares with the server.
#[derive(Clone)]
pub struct Seed {
    bytes: Zeroizing<[u8; 20]>,
    hash: CodeHash,
}

impl Seed {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate(hash: CodeHash) -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; 20]);
        getrandom::fill(bytes.as_mut())?;
        Ok(Seed { bytes, hash })
    }

    /// What codes of nobody are judged against.
    pub(super) fn nobodys() -> Self {
        Seed { bytes: Zeroizing::new([0x5a; 20]), hash: CodeHash::Sha1 }
    }

    /// Reads the form that [`Seed::base32`] writes.
    pub fn from_base32(text: &str, hash: CodeHash) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 20]);
        let text = text.as_bytes();
        if text.len() != 32 {
            return None;
        }
        for (five, eight) in bytes.as_chunks_mut::<5>().0.iter_mut().zip(text.as_chunks::<8>().0) {
            let mut bits = 0u64;
            for letter in eight {
                let at = BASE32.iter().position(|l| l == letter)?;
                bits = bits << 5 | u64::try_from(at).ok()?;
            }
            let [_, _, _, last @ ..] = bits.to_be_bytes();
            *five = last;
        }
        Some(Seed { bytes, hash })
    }

    /// The secret as apps take it: 32 letters.
    pub fn base32(&self) -> Secret {
        let mut text = String::with_capacity(32);
        for five in self.bytes.as_chunks::<5>().0 {
            let [a, b, c, d, e] = *five;
            let bits = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
            for at in (0..8).rev() {
                let letter = usize::try_from(bits >> (5 * at) & 31).ok().and_then(|n| BASE32.get(n));
                text.extend(letter.map(|l| char::from(*l)));
            }
        }
        Secret::new(text)
    }

    /// Which hash it is used with.
    pub fn hash(&self) -> CodeHash {
        self.hash
    }

    /// The address that apps read from a picture or a link.
    pub fn url(&self, user: &str, issuer: &str) -> Secret {
        let algorithm = match self.hash {
            CodeHash::Sha1 => "",
            CodeHash::Sha256 => "&algorithm=SHA256",
        };
        let (user, issuer) = (escaped(user), escaped(issuer));
        let secret = self.base32();
        Secret::new(format!("otpauth://totp/{issuer}:{user}?secret={}&issuer={issuer}{algorithm}", secret.reveal()))
    }

    /// The step whose code this is: the present one, the one before or the one after, and of several the first that is not
    /// `used`. All three are always computed.
    pub fn step_of(&self, code: &str, now_s: u64, used: &Used) -> Option<u64> {
        let totp = self.totp()?;
        let present = now_s / STEP_S;
        let mut found = None;
        for step in present.saturating_sub(1)..=present.saturating_add(1) {
            let right = totp.check(code, step.saturating_mul(STEP_S)).is_some();
            if right && found.is_none() && !used.contains(step) {
                found = Some(step);
            }
        }
        found
    }

    fn totp(&self) -> Option<Totp> {
        let algorithm = match self.hash {
            CodeHash::Sha1 => Algorithm::SHA1,
            CodeHash::Sha256 => Algorithm::SHA256,
        };
        let builder = Builder::new().with_algorithm(algorithm).with_skew(0).with_step_duration(STEP_S);
        builder.with_digits(6).with_secret(*self.bytes).build().ok()
    }

    /// The code at a time, as an app shows it.
    #[cfg(test)]
    pub(crate) fn code(&self, time_s: u64) -> String {
        self.totp().expect("a seed of 20 bytes will do").generate(time_s).to_string()
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The steps whose codes were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Every step up to this one counts as used.
    floor: u64,
    steps: BTreeSet<u64>,
}

impl Used {
    /// Whether this step's code was taken.
    pub fn contains(&self, step: u64) -> bool {
        step <= self.floor || self.steps.contains(&step)
    }

    /// Takes a step's code; false where it was taken before.
    pub fn spend(&mut self, step: u64) -> bool {
        if self.contains(step) {
            return false;
        }
        self.steps.insert(step);
        if self.steps.len() > MOST_USED {
            self.floor = self.steps.pop_first().unwrap_or(self.floor);
        }
        true
    }

    /// As it stands in the user file: the floor, then the steps above it.
    pub fn print(&self) -> String {
        let all = std::iter::once(&self.floor).chain(&self.steps);
        all.map(u64::to_string).collect::<Vec<_>>().join(",")
    }

    /// Reads the form that [`Used::print`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(',').map(str::parse::<u64>);
        let floor = numbers.next()?.ok()?;
        let steps = numbers.collect::<Result<BTreeSet<u64>, _>>().ok()?;
        let sound = steps.len() <= MOST_USED && steps.iter().all(|step| *step > floor);
        sound.then_some(Used { floor, steps })
    }
}

/// A salted hash of one recovery code.
pub type RecoveryHash = [u8; 16];

/// A user's recovery codes that are left, as hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    salt: [u8; 16],
    hashes: Vec<RecoveryHash>,
}

impl Recovery {
    /// New ones, and their texts, which are nowhere else.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> Result<(Vec<Secret>, Self), getrandom::Error> {
        let mut recovery = Recovery::default();
        getrandom::fill(&mut recovery.salt)?;
        let texts = (0..RECOVERY_CODES).map(|_| letters(RECOVERY_LETTERS)).collect::<Result<Vec<_>, _>>()?;
        recovery.hashes = texts.iter().map(|text| recovery.hash(text.reveal())).collect();
        Ok((texts, recovery))
    }

    /// How many are left.
    pub fn left(&self) -> usize {
        self.hashes.len()
    }

    /// The hash of this code where it is one that is left. All are compared.
    pub fn find(&self, typed: &str) -> Option<RecoveryHash> {
        let hash = self.hash(typed);
        let found = self.hashes.iter().fold(subtle::Choice::from(0), |any, kept| any | kept.ct_eq(&hash));
        bool::from(found).then_some(hash)
    }

    /// Takes a code away; false where it is not there any more.
    pub fn spend(&mut self, hash: &RecoveryHash) -> bool {
        let before = self.hashes.len();
        self.hashes.retain(|kept| kept != hash);
        self.hashes.len() < before
    }

    fn hash(&self, typed: &str) -> RecoveryHash {
        let digest = Sha256::new().chain_update(b"farpane-recovery/1").chain_update(self.salt);
        let digest: [u8; 32] = digest.chain_update(normal(typed).as_bytes()).finalize().into();
        let mut hash = [0; 16];
        hash.iter_mut().zip(digest).for_each(|(h, d)| *h = d);
        hash
    }

    /// As it stands in the user file: salt, colon, hashes with commas.
    pub fn print(&self) -> String {
        let hashes: Vec<String> = self.hashes.iter().map(hex).collect();
        format!("{}:{}", hex(&self.salt), hashes.join(","))
    }

    /// Reads the form that [`Recovery::print`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (salt, hashes) = text.split_once(':')?;
        let hashes = match hashes {
            "" => Vec::new(),
            some => some.split(',').map(unhex).collect::<Option<Vec<_>>>()?,
        };
        (hashes.len() <= RECOVERY_CODES).then_some(())?;
        Some(Recovery { salt: unhex(salt)?, hashes })
    }
}

fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests;
