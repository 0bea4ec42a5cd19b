//! Bytes in a message: hexadecimal digits, wiped wherever they were.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

/// Bytes that may be secret.
pub struct Hex(Zeroizing<Vec<u8>>);

impl Hex {
    /// A copy of these.
    pub fn of(bytes: &[u8]) -> Self {
        Hex(Zeroizing::new(bytes.to_vec()))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, taken over.
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len() * 2));
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        text.extend(digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Hex;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("pairs of hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Hex, E> {
                // the error repeats no digit
                parse(text).ok_or_else(|| E::custom("no pairs of hexadecimal digits"))
            }
        }
        deserializer.deserialize_str(Digits)
    }
}

fn parse(text: &str) -> Option<Hex> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(high)? << 4 | digit(low)?);
    }
    rest.is_empty().then_some(Hex(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_nothing_else_is_taken() {
        let all: Vec<u8> = (0..=255).collect();
        let text = serde_json::to_string(&Hex::of(&all)).expect("a text");
        assert_eq!(serde_json::from_str::<Hex>(&text).expect("bytes").bytes(), all);
        assert_eq!(serde_json::from_str::<Hex>("\"\"").expect("none").bytes(), [0u8; 0]);
        for wrong in ["\"0\"", "\"0g\"", "\"+1\"", "\"é\"", "7", "null"] {
            assert!(serde_json::from_str::<Hex>(wrong).is_err(), "{wrong}");
        }
    }
}
