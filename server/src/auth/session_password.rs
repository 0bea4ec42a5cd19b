//! The one-time password of a run: made at the start, told to whoever started the server, good for any user name.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::login::Secret;

/// Letters and digits that look like nothing else; 32 of them, five bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Letters of a one-time password: 60 bits.
const LETTERS: usize = 12;
/// Letters that are shown together.
pub(super) const GROUP: usize = 4;

/// `n` letters that nobody can guess, in groups joined by dashes.
pub(super) fn letters(n: usize) -> Result<Secret, getrandom::Error> {
    let mut random = Zeroizing::new(vec![0; n]);
    getrandom::fill(&mut random)?;
    let mut text = String::with_capacity(n.saturating_add(n / GROUP));
    for (at, byte) in random.iter().enumerate() {
        if at > 0 && at % GROUP == 0 {
            text.push('-');
        }
        // 32 letters divide 256: every letter is equally likely
        text.extend(ALPHABET.get(usize::from(byte % 32)).map(|letter| char::from(*letter)));
    }
    Ok(Secret::new(text))
}

/// What was typed without what people add or change when they copy [`letters`]: dashes, spaces, capitals.
pub(super) fn normal(typed: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(typed.len()));
    text.extend(typed.chars().filter(|c| *c != '-' && !c.is_whitespace()).map(|c| c.to_ascii_lowercase()));
    text
}

/// The one-time password of a run.
pub struct SessionPassword {
    shown: Secret,
    digest: [u8; 32],
}

impl SessionPassword {
    /// A new one of 60 bits.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self::made(letters(LETTERS)?))
    }

    /// One that was generated elsewhere.
    pub fn made(shown: Secret) -> Self {
        let digest = digest(shown.reveal());
        SessionPassword { shown, digest }
    }

    /// As it is told to people, in groups of four.
    pub fn shown(&self) -> &Secret {
        &self.shown
    }

    /// Whether this is it, in time that does not depend on where it is wrong; dashes, spaces and capitals do not matter.
    pub fn matches(&self, typed: &str) -> bool {
        self.digest.ct_eq(&digest(typed)).into()
    }
}

impl Drop for SessionPassword {
    fn drop(&mut self) {
        self.digest.zeroize();
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(normal(text).as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_one_time_password_has_sixty_bits_in_groups_of_four_and_is_new_each_time() {
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let password = SessionPassword::generate().unwrap();
            let text = password.shown().reveal().to_owned();
            let groups: Vec<&str> = text.split('-').collect();
            assert_eq!(groups.iter().map(|g| g.len()).collect::<Vec<_>>(), [4, 4, 4], "{text}");
            assert!(text.bytes().all(|b| b == b'-' || ALPHABET.contains(&b)), "{text}");
            assert!(seen.insert(text), "the same twice");
        }
        let letters: HashSet<char> = seen.iter().flat_map(|t| t.chars()).collect();
        assert_eq!(letters.len(), ALPHABET.len() + 1, "every letter is used");
    }

    #[test]
    fn it_is_matched_as_people_type_it_and_nothing_else_is() {
        let password = SessionPassword::generate().unwrap();
        let shown = password.shown().reveal();
        assert!(password.matches(shown));
        assert!(password.matches(&shown.replace('-', "")));
        assert!(password.matches(&format!(" {} ", shown.replace('-', " ").to_uppercase())));
        assert!(!password.matches(""));
        assert!(!password.matches(&shown[..shown.len() - 1]));
        assert!(!password.matches(&format!("{shown}a")));
        assert!(!SessionPassword::generate().unwrap().matches(shown));
    }
}
