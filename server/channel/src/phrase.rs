//! What people compare: the fingerprint of a key and its six words.
//!
//! A key that shares all six words with a given one costs about 2^80 hashes to find (66 bits, each trial 2^14 hashes);
//! one that shares three costs 2^47. So all six are shown, always, and a changed word is marked.

use std::fmt;

use bip39::Language;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// How often the hash is applied.
const ROUNDS: u32 = 1 << 14;
/// Words of a phrase.
pub const WORDS: usize = 6;
/// Bits of a word.
const WORD_BITS: u32 = 11;
/// Letters that tell any two words of the list apart.
const LETTERS: usize = 4;

/// What kind of key a fingerprint is of; the number goes into the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyKind {
    /// The static key of the channel's suites 1 and 3: 32 bytes.
    X25519 = 1,
    /// The static key of suite 2: 65 bytes, uncompressed.
    P256 = 2,
    /// The key of RSA-AES: its SubjectPublicKeyInfo in DER.
    Rsa = 128,
    /// The key of a TLS certificate: its SubjectPublicKeyInfo in DER.
    Tls = 129,
}

/// SHA-256 applied 16,384 times, first to `"farpane-id/1"`, the key's kind and the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a key. Cost: 16,384 hashes, about 2 ms.
    pub fn of(kind: KeyKind, key: &[u8]) -> Self {
        let mut hash =
            Sha256::new().chain_update(b"farpane-id/1").chain_update([kind as u8]).chain_update(key).finalize();
        for _ in 1..ROUNDS {
            hash = Sha256::digest(hash);
        }
        Self(hash.into())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 66 bits as six words.
    pub fn phrase(&self) -> Phrase {
        let mut bits = 0u128;
        for byte in self.0.iter().take(16) {
            bits = bits << 8 | u128::from(*byte);
        }
        Phrase(std::array::from_fn(|word| {
            let above = WORD_BITS.saturating_mul(u32::try_from(word).unwrap_or(0));
            u16::try_from(bits.wrapping_shl(above) >> (128 - WORD_BITS)).unwrap_or(0)
        }))
    }
}

/// Sixteen groups of four hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, pair) in self.0.chunks(2).enumerate() {
            f.write_str(if n == 0 { "" } else { " " })?;
            pair.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Why a text is not a phrase.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PhraseError {
    /// Too few or too many words.
    #[error("{0} words (expected 6)")]
    Count(usize),
    /// A word that is not in the list.
    #[error("word {place} is not one of the list (expected an English word of BIP-39, or its first four letters)")]
    Unknown {
        /// Which word, from 1.
        place: usize,
    },
}

/// Six words of the English list of BIP-39, as places in the list.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Phrase([u16; WORDS]);

impl Phrase {
    /// The words.
    pub fn words(&self) -> [&'static str; WORDS] {
        let list = Language::English.word_list();
        // INVARIANT: a place has 11 bits and the list 2,048 words
        self.0.map(|place| list.get(usize::from(place)).copied().unwrap_or_default())
    }

    /// Reads what a person typed: any case, any separators, each word whole or from its first four letters on.
    ///
    /// # Errors
    /// When there are not six words, or one is not in the list. The error holds none of what was typed.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let words = || text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
        let count = words().count();
        if count != WORDS {
            return Err(PhraseError::Count(count));
        }
        let mut places = [0; WORDS];
        for ((n, place), word) in places.iter_mut().enumerate().zip(words()) {
            *place = find(&word.to_ascii_lowercase()).ok_or(PhraseError::Unknown { place: n.saturating_add(1) })?;
        }
        Ok(Self(places))
    }

    /// This phrase beside the one that was known: which words changed.
    pub fn against(&self, known: &Self) -> Comparison {
        Comparison { known: *known, shown: *self }
    }
}

/// The place of a word that is whole, or cut after four letters or more.
fn find(word: &str) -> Option<u16> {
    if let Some(place) = Language::English.find_word(word) {
        return Some(place);
    }
    let place = Language::English.word_list().partition_point(|listed| *listed < word);
    let listed = Language::English.word_list().get(place)?;
    (word.len() >= LETTERS && listed.starts_with(word)).then(|| u16::try_from(place).ok()).flatten()
}

/// Three words and three, as people are shown them.
impl fmt::Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.words();
        write!(f, "{a} {b} {c} - {d} {e} {g}")
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phrase({self})")
    }
}

/// Two phrases side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The phrase that was known.
    pub known: Phrase,
    /// The phrase that the peer shows.
    pub shown: Phrase,
}

impl Comparison {
    /// Which words differ.
    pub fn changed(&self) -> [bool; WORDS] {
        let (known, shown) = (self.known.words(), self.shown.words());
        let mut changed = [false; WORDS];
        for ((changed, known), shown) in changed.iter_mut().zip(known).zip(shown) {
            *changed = known != shown;
        }
        changed
    }

    /// Whether all words are the same.
    pub fn is_same(&self) -> bool {
        self.known == self.shown
    }

    /// The first word shown that differs: what a person must type to accept the new key.
    pub fn first_changed(&self) -> Option<&'static str> {
        self.shown.words().into_iter().zip(self.changed()).find_map(|(word, changed)| changed.then_some(word))
    }
}

/// The phrase shown, each changed word in brackets.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (word, changed)) in self.shown.words().into_iter().zip(self.changed()).enumerate() {
            f.write_str(["", " ", " ", " - ", " ", " "].get(n).copied().unwrap_or(" "))?;
            if changed { write!(f, "[{word}]")? } else { f.write_str(word)? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_fingerprint_is_16384_rounds_over_label_kind_and_key() {
        let mut by_hand: Vec<u8> = [&b"farpane-id/1"[..], &[1], &[5; 32]].concat();
        for _ in 0..16_384 {
            by_hand = Sha256::digest(&by_hand).to_vec();
        }
        assert_eq!(Fingerprint::of(KeyKind::X25519, &[5; 32]).as_bytes()[..], by_hand);
        assert_ne!(Fingerprint::of(KeyKind::P256, &[5; 32]).as_bytes()[..], by_hand);
    }

    #[test]
    fn words_are_the_first_66_bits_from_the_top() {
        // 11 bits each: 0, 1, 2, 1024, 2047, 3, and then ones that do not count
        let bits = ["00000000000", "00000000001", "00000000010", "10000000000", "11111111111", "00000000011"].concat();
        let mut bytes = [0xff; 32];
        for (n, bit) in bits.bytes().enumerate() {
            bytes[n / 8] = bytes[n / 8] & !(0x80 >> (n % 8)) | if bit == b'1' { 0x80 >> (n % 8) } else { 0 };
        }
        let phrase = Fingerprint(bytes).phrase();
        assert_eq!(phrase.words(), ["abandon", "ability", "able", "length", "zoo", "about"]);
        assert_eq!(phrase.to_string(), "abandon ability able - length zoo about");
    }

    #[test]
    fn a_phrase_reads_back_however_it_is_typed() {
        let phrase = Phrase([0, 1, 2, 1024, 2047, 3]);
        for text in [
            "abandon ability able length zoo about",
            "ABANDON-ability-Able / leng.zoo,  abou",
            " aban abil able lengt zoo about\n",
        ] {
            assert_eq!(Phrase::parse(text), Ok(phrase), "{text}");
        }
        assert_eq!(Phrase::parse("abandon ability able length zoo"), Err(PhraseError::Count(5)));
        assert_eq!(Phrase::parse(""), Err(PhraseError::Count(0)));
        for bad in ["abandon ability xyzzy length zoo about", "abandon ability abl length zoo about"] {
            assert_eq!(Phrase::parse(bad), Err(PhraseError::Unknown { place: 3 }), "{bad}");
        }
        assert_eq!(Phrase::parse("zzzz ability able length zoo about"), Err(PhraseError::Unknown { place: 1 }));
    }

    #[test]
    fn a_changed_word_is_marked_and_is_what_must_be_typed() {
        let (known, shown) = (Phrase([0, 1, 2, 3, 4, 5]), Phrase([0, 9, 2, 3, 4, 2047]));
        let both = shown.against(&known);
        assert_eq!(both.changed(), [false, true, false, false, false, true]);
        assert_eq!(both.to_string(), "abandon [abuse] able - about above [zoo]");
        assert_eq!(both.first_changed(), Some("abuse"));
        assert!(!both.is_same() && known.against(&known).is_same() && known.against(&known).first_changed().is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_phrase_reads_back(places: [u16; 6]) {
            let phrase = Phrase(places.map(|place| place % 2048));
            prop_assert_eq!(Phrase::parse(&phrase.to_string()), Ok(phrase));
            let cut: Vec<_> = phrase.words().iter().map(|word| &word[..word.len().min(4)]).collect();
            prop_assert_eq!(Phrase::parse(&cut.join(" ")), Ok(phrase));
        }

        #[test]
        fn any_text_parses_or_is_refused(text in ".{0,200}") {
            let _ = Phrase::parse(&text);
        }
    }
}
