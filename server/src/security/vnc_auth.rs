//! VncAuth: a challenge encrypted with a password of at most eight characters.
//!
//! It proves little and hides nothing that follows, so it is for loopback, Unix sockets and layers that encrypt.
//! SOURCE: RFC 6143 section 7.2.2; the password file's form is TigerVNC's.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use des::Des;
use des::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::auth::Secret;

/// A password file is hidden from a casual look with this key, which everybody knows.
const FILE_KEY: [u8; 8] = [23, 82, 107, 6, 35, 78, 88, 7];
/// Letters and digits that look like nothing else.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// What a right answer lets its sender do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Everything.
    Full,
    /// Look, not touch.
    ViewOnly,
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// It cannot be read.
    #[error("password file {0}: {1}; `farpane password {0}` makes one")]
    Read(PathBuf, io::Error),
    /// It cannot be written.
    #[error("password file {0}: {1}")]
    Write(PathBuf, io::Error),
    /// It has another form.
    #[error("password file {0}: {1} bytes (expected 8, or 16 with a view-only password)")]
    Size(PathBuf, u64),
    /// Others can read it.
    #[error("password file {0}: mode {1:o} lets others read it (expected 600); run: chmod 600 {0}")]
    Mode(PathBuf, u32),
    /// It belongs to somebody else.
    #[error("password file {0}: belongs to user {1} (expected {2} or root)")]
    Owner(PathBuf, u32, u32),
    /// The password is empty.
    #[error("password of 0 bytes (expected 1..=8; more are ignored)")]
    Empty,
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// One password, cut or filled to eight bytes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Password([u8; 8]);

impl Password {
    fn new(text: &[u8]) -> Result<Self, PasswordError> {
        if text.is_empty() {
            return Err(PasswordError::Empty);
        }
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(text).for_each(|(b, t)| *b = *t);
        Ok(Password(bytes))
    }

    fn response(&self, challenge: &[u8; 16]) -> [u8; 16] {
        let cipher = des_with(&self.0);
        let mut out = *challenge;
        for block in out.as_chunks_mut::<8>().0 {
            cipher.encrypt_block(block.into());
        }
        out
    }

    fn obfuscated(&self) -> [u8; 8] {
        let mut out = self.0;
        des_with(&FILE_KEY).encrypt_block((&mut out).into());
        out
    }

    fn revealed(mut bytes: [u8; 8]) -> Self {
        des_with(&FILE_KEY).decrypt_block((&mut bytes).into());
        Password(bytes)
    }
}

/// DES as VNC has it: the bits of each key byte reversed.
fn des_with(key: &[u8; 8]) -> Des {
    let mut reversed = key.map(u8::reverse_bits);
    let cipher = Des::new((&reversed).into());
    reversed.zeroize();
    cipher
}

/// The answer to `challenge` of a client that knows `password`.
///
/// # Errors
/// When the password is empty.
pub fn answer(password: &str, challenge: &[u8; 16]) -> Result<[u8; 16], PasswordError> {
    Ok(Password::new(password.as_bytes())?.response(challenge))
}

/// The passwords of a server: one for everything, and perhaps one for looking.
///
/// They are wiped from memory on drop and never printed.
#[derive(Clone)]
pub struct Passwords {
    full: Password,
    view_only: Option<Password>,
}

impl Passwords {
    /// Passwords as typed; of each only the first eight bytes count.
    ///
    /// # Errors
    /// When one is empty.
    pub fn new(full: &str, view_only: Option<&str>) -> Result<Self, PasswordError> {
        let view_only = view_only.map(|p| Password::new(p.as_bytes())).transpose()?;
        Ok(Passwords { full: Password::new(full.as_bytes())?, view_only })
    }

    /// A fresh password of eight characters, and the passwords that take it.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn one_time() -> Result<(Secret, Self), PasswordError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        // no growing leaves a copy behind
        let mut text = String::with_capacity(random.len());
        // 32 letters divide 256: every letter is equally likely, 40 bits in all.
        text.extend(random.iter().filter_map(|r| ALPHABET.get(usize::from(r % 32))).map(|b| char::from(*b)));
        random.zeroize();
        let text = Secret::new(text);
        let passwords = Passwords::new(text.reveal(), None)?;
        Ok((text, passwords))
    }

    /// Reads a password file: 8 bytes, or 16 with a view-only password.
    ///
    /// # Errors
    /// When it is missing, others can read it, or it has another size.
    pub fn read(path: &Path) -> Result<Self, PasswordError> {
        let fail = |error| PasswordError::Read(path.to_owned(), error);
        let file = std::fs::File::open(path).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        // of a pipe too, which a shell makes for this user alone
        if meta.mode() & 0o077 != 0 {
            return Err(PasswordError::Mode(path.to_owned(), meta.mode() & 0o7777));
        }
        let us = rustix::process::geteuid().as_raw();
        if meta.uid() != us && meta.uid() != 0 {
            return Err(PasswordError::Owner(path.to_owned(), meta.uid(), us));
        }
        let mut bytes = Vec::with_capacity(17);
        file.take(17).read_to_end(&mut bytes).map_err(fail)?;
        let wrong = PasswordError::Size(path.to_owned(), meta.len().max(bytes.len() as u64));
        let passwords = match bytes.as_chunks::<8>() {
            ([full], []) => Ok(Passwords { full: Password::revealed(*full), view_only: None }),
            ([full, view], []) => {
                Ok(Passwords { full: Password::revealed(*full), view_only: Some(Password::revealed(*view)) })
            }
            _ => Err(wrong),
        };
        bytes.zeroize();
        passwords
    }

    /// Writes a password file that only its owner can read (mode 0600), in place of one that is there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), PasswordError> {
        let fail = |error| PasswordError::Write(path.to_owned(), error);
        let mut bytes = self.full.obfuscated().to_vec();
        bytes.extend(self.view_only.iter().flat_map(Password::obfuscated));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(fail)?;
        // A file that was there keeps its mode otherwise.
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
        file.write_all(&bytes).map_err(fail)?;
        bytes.zeroize();
        Ok(())
    }

    /// Judges the answer to a challenge, in time that does not depend on where it is wrong.
    pub fn check(&self, challenge: &[u8; 16], response: &[u8; 16]) -> Option<Grant> {
        let full = self.full.response(challenge).ct_eq(response);
        let view = match &self.view_only {
            Some(password) => password.response(challenge).ct_eq(response),
            None => Choice::from(0),
        };
        match u8::conditional_select(&u8::conditional_select(&0, &2, view), &1, full) {
            1 => Some(Grant::Full),
            2 => Some(Grant::ViewOnly),
            _ => None,
        }
    }
}

/// Sixteen fresh random bytes.
///
/// # Errors
/// When the system has no random numbers.
pub fn challenge() -> Result<[u8; 16], PasswordError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn des_with_reversed_key_bits_matches_the_published_vector() {
        // The DES example key 133457799BBCDFF1 and block 0123456789ABCDEF give 85E813540F0AB405.
        let key = [0x13, 0x34, 0x57, 0x79, 0x9b, 0xbc, 0xdf, 0xf1].map(u8::reverse_bits);
        let mut block = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
        des_with(&key).encrypt_block((&mut block).into());
        assert_eq!(block, [0x85, 0xe8, 0x13, 0x54, 0x0f, 0x0a, 0xb4, 0x05]);
    }

    #[test]
    fn only_the_right_password_is_granted_and_each_its_own_rights() {
        let passwords = Passwords::new("secret", Some("look")).unwrap();
        let c = challenge().unwrap();
        assert_ne!(c, challenge().unwrap());
        assert_eq!(passwords.check(&c, &answer("secret", &c).unwrap()), Some(Grant::Full));
        assert_eq!(passwords.check(&c, &answer("look", &c).unwrap()), Some(Grant::ViewOnly));
        assert_eq!(passwords.check(&c, &answer("Secret", &c).unwrap()), None);
        assert_eq!(passwords.check(&c, &[0; 16]), None);
        let mut one_bit = answer("secret", &c).unwrap();
        one_bit[15] ^= 1;
        assert_eq!(passwords.check(&c, &one_bit), None);
        let other = challenge().unwrap();
        assert_eq!(passwords.check(&other, &answer("secret", &c).unwrap()), None, "a replayed answer");
    }

    #[test]
    fn only_eight_bytes_count_and_an_empty_password_is_none() {
        let passwords = Passwords::new("12345678", None).unwrap();
        let c = [7; 16];
        assert_eq!(passwords.check(&c, &answer("123456789", &c).unwrap()), Some(Grant::Full));
        assert!(matches!(Passwords::new("", None), Err(PasswordError::Empty)));
        assert!(matches!(Passwords::new("a", Some("")), Err(PasswordError::Empty)));
    }

    #[test]
    fn a_one_time_password_has_eight_letters_and_is_new_each_time() {
        let (text, passwords) = Passwords::one_time().unwrap();
        assert_eq!(text.reveal().len(), 8);
        assert_eq!(passwords.check(&[1; 16], &answer(text.reveal(), &[1; 16]).unwrap()), Some(Grant::Full));
        assert_ne!(text, Passwords::one_time().unwrap().0);
    }

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("farpane-passwd-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_password_file_is_private_and_reads_back() {
        let path = scratch("own");
        std::fs::write(&path, b"older and open").unwrap();
        Passwords::new("hunter22", Some("peek")).unwrap().write(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let read = Passwords::read(&path).unwrap();
        let c = [9; 16];
        assert_eq!(read.check(&c, &answer("hunter22", &c).unwrap()), Some(Grant::Full));
        assert_eq!(read.check(&c, &answer("peek", &c).unwrap()), Some(Grant::ViewOnly));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let said = Passwords::read(&path).err().unwrap().to_string();
        assert!(said.contains("mode 644") && said.contains("chmod 600"), "{said}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_pipe_that_others_can_write_to_is_no_password_file() {
        let path = scratch("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o622)).unwrap();
        // somebody who writes, so that reading waits for nobody
        let writer = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        (&writer).write_all(&[1; 8]).unwrap();
        assert!(matches!(Passwords::read(&path), Err(PasswordError::Mode(..))));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_file_form_is_the_one_that_vncpasswd_writes() {
        // `vncpasswd -f` writes these eight bytes for "password".
        let path = scratch("tiger");
        Passwords::new("password", None).unwrap().write(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [0xdb, 0xd8, 0x3c, 0xfd, 0x72, 0x7a, 0x14, 0x58]);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn files_of_another_size_and_missing_ones_are_refused() {
        for size in [0usize, 7, 9, 15, 17, 4096] {
            let path = scratch(&format!("size{size}"));
            std::fs::write(&path, vec![1; size]).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let said = Passwords::read(&path).err().unwrap().to_string();
            assert!(said.contains(&format!("{size} bytes (expected 8")), "{said}");
            std::fs::remove_file(&path).unwrap();
        }
        assert!(matches!(Passwords::read(&scratch("missing")), Err(PasswordError::Read(..))));
    }
}
