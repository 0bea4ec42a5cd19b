//! What is to be shared when it may be more than one desktop, and how these lie on one canvas.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{SourceParseError, SourceSpec};

/// Most desktops that one server shows.
pub const MOST_SOURCES: usize = 16;

/// One desktop or several, each once. One is written as a text, several as a list.
///
/// ```
/// use farpane_server::backend::{SourceSpec, Sources};
/// let one: Sources = "x11:1".parse().unwrap();
/// assert_eq!(one.all(), [SourceSpec::X11(Some(":1".into()))]);
/// assert!(Sources::new(vec![SourceSpec::Wlroots, SourceSpec::Wlroots]).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources(Vec<SourceSpec>);

/// Why sources cannot be shared together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourcesError {
    /// There are none, or too many.
    #[error("{0} sources (expected 1..={MOST_SOURCES})")]
    Count(usize),
    /// `auto` among others.
    #[error("source auto cannot stand beside others (expected each by its name, or auto alone)")]
    Auto,
    /// One is named twice.
    #[error("source {0} is named twice (expected each once)")]
    Twice(SourceSpec),
}

impl Sources {
    /// These desktops together.
    ///
    /// # Errors
    /// When there is none or more than [`MOST_SOURCES`], one is named twice, or `auto` is one of several.
    pub fn new(all: Vec<SourceSpec>) -> Result<Self, SourcesError> {
        if all.is_empty() || all.len() > MOST_SOURCES {
            return Err(SourcesError::Count(all.len()));
        }
        if all.len() > 1 && all.contains(&SourceSpec::Auto) {
            return Err(SourcesError::Auto);
        }
        match all.iter().enumerate().find(|(n, source)| all.iter().take(*n).any(|other| other == *source)) {
            Some((_, twice)) => Err(SourcesError::Twice(twice.clone())),
            None => Ok(Self(all)),
        }
    }

    /// All of them, in the order in which they lie on the canvas; at least one.
    pub fn all(&self) -> &[SourceSpec] {
        &self.0
    }
}

impl Default for Sources {
    fn default() -> Self {
        SourceSpec::default().into()
    }
}

impl From<SourceSpec> for Sources {
    fn from(one: SourceSpec) -> Self {
        Self(vec![one])
    }
}

impl FromStr for Sources {
    type Err = SourceParseError;

    fn from_str(one: &str) -> Result<Self, SourceParseError> {
        one.parse::<SourceSpec>().map(Self::from)
    }
}

impl Serialize for Sources {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.all() {
            [one] => one.serialize(out),
            all => all.serialize(out),
        }
    }
}

impl<'de> Deserialize<'de> for Sources {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Sources;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a source, or a list of sources")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Sources, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Sources, A::Error> {
                let mut all = Vec::new();
                while let Some(source) = list.next_element()? {
                    all.push(source);
                }
                Sources::new(all).map_err(de::Error::custom)
            }
        }

        input.deserialize_any(OneOrMore)
    }
}

/// Where the next of several desktops lies on the canvas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrange {
    /// To the right of the one before, their tops in one line.
    #[default]
    Right,
    /// Below the one before, their left sides in one line.
    Down,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct File {
        source: Sources,
    }

    fn read(value: &str) -> Result<Sources, String> {
        let text = format!("source = {value}");
        toml::from_str::<File>(&text).map(|file| file.source).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn one_is_a_text_several_are_a_list_and_both_read_back() {
        for (written, printed) in [
            ("\"x11:1\"", "\"x11::1\""),
            ("[\"x11:1\"]", "\"x11::1\""),
            ("[\"x11:1\", \"wlroots\"]", "[\"x11::1\", \"wlroots\"]"),
            ("\"auto\"", "\"auto\""),
            ("[\"auto\"]", "\"auto\""),
        ] {
            let source = read(written).unwrap();
            let print = toml::to_string(&File { source: source.clone() }).unwrap();
            assert_eq!(print.trim_end(), format!("source = {printed}"));
            assert_eq!(toml::from_str::<File>(&print).unwrap().source, source);
        }
    }

    #[test]
    fn what_cannot_be_shared_together_is_named() {
        let seventeen: Vec<String> = (0..17).map(|n| format!("\"x11::{n}\"")).collect();
        for (value, says) in [
            ("[]".to_owned(), "0 sources (expected 1..=16)"),
            (format!("[{}]", seventeen.join(",")), "17 sources (expected 1..=16)"),
            ("[\"x11::1\", \"auto\"]".into(), "source auto cannot stand beside others"),
            ("[\"x11:1\", \"kms\", \"x11::1\"]".into(), "source x11::1 is named twice"),
            ("[\"x11::1\", \"x12\"]".into(), "unknown source \"x12\""),
            ("[\"x11::1\", 3]".into(), "expected a string"),
            ("3".into(), "expected a source, or a list of sources"),
            ("\"\"".into(), "unknown source \"\""),
        ] {
            let said = read(&value).unwrap_err();
            assert!(said.contains(says) && !said.contains('\n'), "{value}: {said}");
        }
        assert!(read(&format!("[{}]", seventeen[1..].join(","))).is_ok(), "sixteen are none too many");
    }
}
