//! Passwords as the user file keeps them, and what judging one costs.
//!
//! Own passwords are argon2id. Imported ones are bcrypt, or what a VNC password file holds (of which only eight bytes count);
//! the first right login keeps them as argon2id. What a login costs must not tell whether there is such a user, so
//! [`Hasher::judge`] does one computation of every [`Cost`] that occurs in the file, whoever logs in.

use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use des::Des;
use des::cipher::{BlockCipherDecrypt, KeyInit};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// The least memory of argon2id, in KiB; what new passwords get.
pub const ARGON2_KIB: u32 = 19 * 1024;
/// The fewest passes of argon2id; what new passwords get.
pub const ARGON2_PASSES: u32 = 2;
/// The most memory of argon2id, in KiB: two at once must fit into any machine.
const MOST_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 8;
/// Bytes of a password that bcrypt looks at.
const BCRYPT_BYTES: usize = 72;
/// Costs of bcrypt that are judged: the first right login replaces cheap ones, and dearer ones are too slow.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=15;
/// Bytes of a password that a VNC password file keeps.
const VNC_BYTES: usize = 8;
/// A VNC password file is hidden from a casual look with this key, which everybody knows.
const VNC_FILE_KEY: [u8; 8] = [23, 82, 107, 6, 35, 78, 88, 7];
/// Bytes of a VNC password file's first password, in hexadecimal digits.
const VNC_DIGITS: usize = 16;
/// What judging a user that does not exist is done with.
const NOBODYS_SALT: &[u8; 16] = b"nobody has this.";

/// Why a text keeps no password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// Of none of the kinds.
    #[error("password of an unknown kind (expected $argon2id$, vnc8:$argon2id$, $2a$, $2b$, $2x$, $2y$ or vncfile:)")]
    Kind,
    /// Not what its first letters promise.
    #[error("password is damaged: {0}")]
    Damaged(String),
    /// An argon2id that is too cheap or too dear.
    #[error(
        "argon2id with m={0},t={1},p={2} (expected m={ARGON2_KIB}..={MOST_KIB}, t={ARGON2_PASSES}..={MOST_PASSES} and \
         p=1..={MOST_LANES})"
    )]
    Cost(u32, u32, u32),
    /// A bcrypt that is too cheap or too dear.
    #[error("bcrypt with cost {0} (expected {low}..={high})", low = BCRYPT_COSTS.start(), high = BCRYPT_COSTS.end())]
    Bcrypt(u32),
    /// It cannot be hashed.
    #[error("password cannot be hashed: {0}")]
    Hash(String),
}

/// What one judgement costs, as far as it can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// argon2id.
    Argon2 {
        /// Memory in KiB.
        kib: u32,
        /// Passes.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// bcrypt with this cost.
    Bcrypt(u32),
}

impl Cost {
    /// That of new passwords.
    pub const OWN: Cost = Cost::Argon2 { kib: ARGON2_KIB, passes: ARGON2_PASSES, lanes: 1 };
}

#[derive(Clone)]
enum Kind {
    Argon2,
    /// argon2id of the first eight bytes.
    Argon2Vnc,
    Bcrypt,
    /// Eight bytes in the form of a VNC password file.
    VncFile,
}

/// One kept password. Never printed but into the user file.
#[derive(Clone)]
pub struct Stored {
    kind: Kind,
    /// As in the file, less the word before it.
    text: Zeroizing<String>,
    cost: Option<Cost>,
}

impl Stored {
    /// Reads one as it stands in a user file.
    ///
    /// # Errors
    /// When it is of no known kind, damaged, or costs too little or too much.
    pub fn parse(text: &str) -> Result<Self, StoredError> {
        let keep = |kind, text: &str, cost| Stored { kind, text: Zeroizing::new(text.to_owned()), cost };
        if let Some(phc) = text.strip_prefix("vnc8:") {
            return Ok(keep(Kind::Argon2Vnc, phc, Some(argon2_cost(phc)?)));
        }
        if let Some(digits) = text.strip_prefix("vncfile:") {
            vnc_bytes(digits)
                .ok_or_else(|| StoredError::Damaged(format!("expected {VNC_DIGITS} hexadecimal digits")))?;
            return Ok(keep(Kind::VncFile, digits, None));
        }
        if text.starts_with("$argon2") {
            return Ok(keep(Kind::Argon2, text, Some(argon2_cost(text)?)));
        }
        if ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|start| text.starts_with(start)) {
            let parts: bcrypt::HashParts = text.parse().map_err(|_| StoredError::Damaged("no bcrypt hash".into()))?;
            let cost = parts.get_cost();
            if !BCRYPT_COSTS.contains(&cost) {
                return Err(StoredError::Bcrypt(cost));
            }
            return Ok(keep(Kind::Bcrypt, text, Some(Cost::Bcrypt(cost))));
        }
        Err(StoredError::Kind)
    }

    /// Keeps a password as argon2id with a new salt.
    ///
    /// # Errors
    /// When the system has no memory or no random numbers.
    pub fn new(password: &str) -> Result<Self, StoredError> {
        let text = Zeroizing::new(argon2(password.as_bytes())?);
        Ok(Stored { kind: Kind::Argon2, text, cost: Some(Cost::OWN) })
    }

    /// Keeps the first password of a VNC password file, which are its first eight bytes.
    pub fn from_vnc_file(obfuscated: [u8; 8]) -> Self {
        let text = obfuscated.iter().map(|byte| format!("{byte:02x}")).collect();
        Stored { kind: Kind::VncFile, text: Zeroizing::new(text), cost: None }
    }

    /// As it stands in a user file.
    pub fn print(&self) -> Zeroizing<String> {
        let before = match self.kind {
            Kind::Argon2 | Kind::Bcrypt => "",
            Kind::Argon2Vnc => "vnc8:",
            Kind::VncFile => "vncfile:",
        };
        Zeroizing::new([before, &self.text].concat())
    }

    /// Its name for people, with what is weak about it.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Argon2 => "argon2id",
            Kind::Argon2Vnc => "argon2id, weak: only 8 bytes count",
            Kind::Bcrypt => "bcrypt",
            Kind::VncFile => "VNC file, weak: only 8 bytes count, and the file shows them",
        }
    }

    /// What judging it costs; none where that is too little to be seen.
    pub fn cost(&self) -> Option<Cost> {
        self.cost
    }

    /// Whether it is to be kept anew after the next right login.
    pub fn is_outdated(&self) -> bool {
        matches!(self.kind, Kind::Bcrypt | Kind::VncFile)
    }

    /// The same password, which was found right, as argon2id. What did not count goes on not to count.
    ///
    /// # Errors
    /// As [`Stored::new`].
    pub fn renewed(&self, password: &str) -> Result<Self, StoredError> {
        match self.kind {
            Kind::Argon2 | Kind::Bcrypt => Stored::new(password),
            Kind::Argon2Vnc | Kind::VncFile => {
                let text = Zeroizing::new(argon2(first_eight(password.as_bytes()))?);
                Ok(Stored { kind: Kind::Argon2Vnc, text, cost: Some(Cost::OWN) })
            }
        }
    }

    fn verify(&self, password: &[u8]) -> bool {
        match self.kind {
            Kind::Argon2 => phc_verify(&self.text, password),
            Kind::Argon2Vnc => phc_verify(&self.text, first_eight(password)),
            // what bcrypt would not look at must not be taken for right
            Kind::Bcrypt => {
                let seen = password.get(..BCRYPT_BYTES).unwrap_or(password);
                bcrypt::verify(seen, &self.text).unwrap_or(false) && password.len() <= BCRYPT_BYTES
            }
            Kind::VncFile => vnc_verify(&self.text, password),
        }
    }
}

fn argon2(password: &[u8]) -> Result<String, StoredError> {
    let fail = |error: &dyn std::fmt::Display| StoredError::Hash(error.to_string());
    let params = Params::new(ARGON2_KIB, ARGON2_PASSES, 1, None).map_err(|e| fail(&e))?;
    let hash: PasswordHash =
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(password).map_err(|e| fail(&e))?;
    Ok(hash.to_string())
}

fn argon2_cost(text: &str) -> Result<Cost, StoredError> {
    let damaged = |what: &str| StoredError::Damaged(what.to_owned());
    let hash = PasswordHash::new(text).map_err(|error| damaged(&error.to_string()))?;
    if hash.algorithm.as_str() != "argon2id" || hash.version != Some(Version::V0x13.into()) {
        return Err(damaged("expected argon2id, version 19"));
    }
    if hash.salt.is_none() || hash.hash.is_none_or(|out| out.as_bytes().len() < 16) {
        return Err(damaged("expected a salt, and a hash of at least 16 bytes"));
    }
    let params = Params::try_from(&hash).map_err(|error| damaged(&error.to_string()))?;
    let (kib, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    let fair = (ARGON2_KIB..=MOST_KIB).contains(&kib)
        && (ARGON2_PASSES..=MOST_PASSES).contains(&passes)
        && (1..=MOST_LANES).contains(&lanes);
    if fair { Ok(Cost::Argon2 { kib, passes, lanes }) } else { Err(StoredError::Cost(kib, passes, lanes)) }
}

fn phc_verify(text: &str, password: &[u8]) -> bool {
    PasswordHash::new(text).is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

fn first_eight(password: &[u8]) -> &[u8] {
    password.get(..VNC_BYTES).unwrap_or(password)
}

fn vnc_bytes(digits: &str) -> Option<[u8; 8]> {
    let digits = digits.as_bytes();
    if digits.len() != VNC_DIGITS {
        return None;
    }
    let mut bytes = [0; 8];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok()));
        *byte = high? << 4 | low?;
    }
    Some(bytes)
}

fn vnc_verify(digits: &str, password: &[u8]) -> bool {
    let Some(mut kept) = vnc_bytes(digits) else { return false };
    // DES as VNC has it: the bits of each key byte reversed
    let key = VNC_FILE_KEY.map(u8::reverse_bits);
    Des::new((&key).into()).decrypt_block((&mut kept).into());
    let mut typed = [0; VNC_BYTES];
    typed.iter_mut().zip(password).for_each(|(t, p)| *t = *p);
    let same = kept.ct_eq(&typed).into();
    kept.zeroize();
    typed.zeroize();
    // an empty password is none, whatever the file says
    same && !password.is_empty()
}

/// Judges passwords at a cost that does not tell whether there is such a user, and counts what it did.
#[derive(Debug, Default)]
pub struct Hasher {
    argon2: AtomicU64,
    bcrypt: AtomicU64,
}

impl Hasher {
    /// Whether `password` is the one that is kept; nobody's never is. One computation of each of `costs` is done in any case.
    pub fn judge(&self, stored: Option<&Stored>, costs: &[Cost], password: &str) -> bool {
        let password = password.as_bytes();
        let own = stored.and_then(Stored::cost);
        for cost in costs {
            match cost {
                Cost::Argon2 { .. } => self.argon2.fetch_add(1, Ordering::Relaxed),
                Cost::Bcrypt(_) => self.bcrypt.fetch_add(1, Ordering::Relaxed),
            };
            if Some(*cost) != own {
                nobody(*cost, password);
            }
        }
        stored.is_some_and(|stored| stored.verify(password))
    }

    /// How many argon2id and bcrypt computations were done so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.argon2.load(Ordering::Relaxed), self.bcrypt.load(Ordering::Relaxed))
    }
}

/// The computation that judging would take, with no result.
fn nobody(cost: Cost, password: &[u8]) {
    match cost {
        Cost::Argon2 { kib, passes, lanes } => {
            let mut out = [0; 32];
            let done = Params::new(kib, passes, lanes, None).and_then(|params| {
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
                    password,
                    NOBODYS_SALT,
                    &mut out,
                )
            });
            // nobody's is wrong whether or not it could be computed
            std::hint::black_box((done.is_ok(), &mut out));
        }
        Cost::Bcrypt(cost) => {
            let seen = password.get(..BCRYPT_BYTES).unwrap_or(password);
            std::hint::black_box(bcrypt::hash_with_salt(seen, cost, *NOBODYS_SALT).is_ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(stored: &Stored, password: &str) -> bool {
        Hasher::default().judge(Some(stored), &stored.cost().into_iter().collect::<Vec<_>>(), password)
    }

    #[test]
    fn a_new_password_is_argon2id_at_the_least_cost_and_reads_back() {
        let stored = Stored::new("correct horse").unwrap();
        let text = stored.print();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", *text);
        let back = Stored::parse(&text).unwrap();
        assert_eq!(back.cost(), Some(Cost::OWN));
        assert!(right(&back, "correct horse") && !right(&back, "correct horsf") && !right(&back, ""));
        assert!(!back.is_outdated());
        assert_ne!(*text, *Stored::new("correct horse").unwrap().print(), "a new salt each time");
    }

    #[test]
    fn imported_bcrypt_is_judged_up_to_72_bytes_and_then_kept_as_argon2id() {
        // made by `htpasswd -nbB -C 8 x` of Apache httpd's form, by the bcrypt crate of this workspace
        let hash = bcrypt::hash_with_salt("pass phrase", 8, *b"0123456789abcdef").unwrap().to_string();
        let stored = Stored::parse(&hash).unwrap();
        assert!(stored.is_outdated() && stored.cost() == Some(Cost::Bcrypt(8)));
        assert!(right(&stored, "pass phrase") && !right(&stored, "pass phrasE"));
        let renewed = stored.renewed("pass phrase").unwrap();
        assert!(renewed.print().starts_with("$argon2id$") && right(&renewed, "pass phrase"));

        let long = "x".repeat(72);
        let hash = bcrypt::hash_with_salt(&long, 8, *b"0123456789abcdef").unwrap().to_string();
        let stored = Stored::parse(&hash).unwrap();
        assert!(right(&stored, &long));
        assert!(!right(&stored, &format!("{long}y")), "bytes that bcrypt ignores");
    }

    #[test]
    fn the_published_bcrypt_vector_is_right() {
        // SOURCE: OpenBSD's crypt_blowfish test vectors ("U*U")
        let stored = Stored::parse("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW").unwrap();
        assert!(right(&stored, "U*U") && !right(&stored, "U*V"));
        let dear = Stored::parse("$2a$16$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
        assert_eq!(dear.err(), Some(StoredError::Bcrypt(16)));
    }

    #[test]
    fn of_a_vnc_file_eight_bytes_count_before_and_after_it_is_kept_anew() {
        // `vncpasswd -f` writes these eight bytes for "password"
        let stored = Stored::from_vnc_file([0xdb, 0xd8, 0x3c, 0xfd, 0x72, 0x7a, 0x14, 0x58]);
        assert_eq!(*stored.print(), "vncfile:dbd83cfd727a1458");
        let stored = Stored::parse(&stored.print()).unwrap();
        let renewed = stored.renewed("password and more").unwrap();
        assert!(renewed.print().starts_with("vnc8:$argon2id$"));
        let renewed = Stored::parse(&renewed.print()).unwrap();
        for kept in [&stored, &renewed] {
            assert!(right(kept, "password") && right(kept, "password and more"));
            assert!(!right(kept, "passwort") && !right(kept, "pass") && !right(kept, ""));
            assert!(kept.kind().contains("weak"));
        }
        assert!(stored.is_outdated() && !renewed.is_outdated());
    }

    #[test]
    fn what_is_damaged_or_costs_too_little_is_refused_with_the_range() {
        let good = Stored::new("x").unwrap().print();
        for (from, to, says) in [
            ("m=19456", "m=19455", "m=19455,t=2,p=1 (expected m=19456"),
            ("t=2", "t=1", "t=1"),
            ("m=19456", "m=4194304", "262144"),
            ("t=2", "t=17", "t=17"),
            ("v=19", "v=16", "version 19"),
            ("argon2id", "argon2i", "expected argon2id"),
        ] {
            let said = Stored::parse(&good.replace(from, to)).err().expect(to).to_string();
            assert!(said.contains(says), "{said}");
        }
        let cut = good.rsplit_once('$').unwrap().0;
        for wrong in
            ["", "plain", "$1$abc$", "$argon2id$", cut, "$2y$10$short", "vncfile:12", "vncfile:zz00000000000000"]
        {
            assert!(Stored::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_judgement_does_each_cost_of_the_file_once() {
        let own = Stored::new("x").unwrap();
        let bcrypt = Stored::parse(&bcrypt::hash_with_salt("x", 8, [7; 16]).unwrap().to_string()).unwrap();
        let vnc = Stored::from_vnc_file([1; 8]);
        let costs = [Cost::OWN, Cost::Bcrypt(8)];
        for who in [None, Some(&own), Some(&bcrypt), Some(&vnc)] {
            for password in ["x", "y", ""] {
                let hasher = Hasher::default();
                hasher.judge(who, &costs, password);
                assert_eq!(hasher.counts(), (1, 1));
            }
        }
    }
}
