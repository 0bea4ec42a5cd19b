//! What to share, as written after `--source` or in the configuration.
//!
//! Every name of the contract parses; what this build cannot open is refused when it is opened, with its own words.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use farpane_engine::capture::synthetic;
pub use farpane_engine::capture::synthetic::SyntheticSpec;
use serde::{Deserialize, Serialize};

/// One desktop to share.
///
/// Prints as it is written; what is printed parses to an equal value.
///
/// ```
/// use farpane_server::backend::SourceSpec;
/// let spec: SourceSpec = "x11:1".parse().unwrap();
/// assert_eq!(spec.to_string(), "x11::1");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SourceSpec {
    /// The best of what is found.
    #[default]
    Auto,
    /// An X server: a display as `DISPLAY` names it (`:1`, `host:0.1`), or the one of the environment.
    X11(Option<String>),
    /// The desktop portal of a Wayland session.
    Portal,
    /// A wlroots compositor's own protocols.
    Wlroots,
    /// A PipeWire node by its number.
    PipeWire(u32),
    /// The kernel's own outputs: one connector of one card, or the first that is lit.
    Kms(Option<KmsTarget>),
    /// The built-in moving scene.
    Synthetic(SyntheticSpec),
    /// A recorded trace.
    Replay(PathBuf),
}

/// One connector of one graphics card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsTarget {
    /// The card's name, `card0`.
    pub card: String,
    /// The connector's name, `HDMI-A-1`.
    pub connector: String,
}

/// Why a source cannot be read as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceParseError {
    /// The first word is no known source.
    #[error(
        "unknown source {0:?} (expected auto, x11[:DISPLAY], portal, wlroots, pipewire:NODE, kms[:CARD-CONNECTOR], \
         synthetic[:WxH[@FPS][:SCENE]] or replay:FILE)"
    )]
    Unknown(String),
    /// This source takes nothing after its name.
    #[error("source {0} takes nothing after its name")]
    NoArgument(&'static str),
    /// This source needs something after its name.
    #[error("source {0} needs {1} after its name")]
    Missing(&'static str, &'static str),
    /// The built-in scene has another form or range.
    #[error(transparent)]
    Scene(#[from] synthetic::SpecError),
    /// What follows the name has another form.
    #[error("{what} {value:?} (expected {expected})")]
    Bad {
        /// What it should be.
        what: &'static str,
        /// What it is.
        value: String,
        /// Its form or range.
        expected: &'static str,
    },
}

fn bad(what: &'static str, value: &str, expected: &'static str) -> SourceParseError {
    SourceParseError::Bad { what, value: value.to_owned(), expected }
}

fn display(text: &str) -> Result<String, SourceParseError> {
    let wrong = || bad("display", text, ":N, N, :N.SCREEN or HOST:N");
    let number = |t: &str| {
        let mut parts = t.splitn(2, '.');
        parts.all(|p| !p.is_empty() && p.len() <= 5 && p.bytes().all(|b| b.is_ascii_digit()))
    };
    match text.rsplit_once(':') {
        None if number(text) => Ok(format!(":{text}")),
        Some((host, rest)) if number(rest) && !host.contains(char::is_whitespace) => Ok(text.to_owned()),
        _ => Err(wrong()),
    }
}

fn kms(text: &str) -> Result<KmsTarget, SourceParseError> {
    match text.split_once('-') {
        Some((card, connector)) if !card.is_empty() && !connector.is_empty() && !text.contains('/') => {
            Ok(KmsTarget { card: card.to_owned(), connector: connector.to_owned() })
        }
        _ => Err(bad("output", text, "CARD-CONNECTOR such as card0-HDMI-A-1")),
    }
}

impl FromStr for SourceSpec {
    type Err = SourceParseError;

    fn from_str(text: &str) -> Result<Self, SourceParseError> {
        let (name, argument) = match text.split_once(':') {
            Some((n, a)) => (n, Some(a)),
            None => (text, None),
        };
        let alone = |word, spec| if argument.is_none() { Ok(spec) } else { Err(SourceParseError::NoArgument(word)) };
        match name {
            "auto" => alone("auto", Self::Auto),
            "portal" => alone("portal", Self::Portal),
            "wlroots" => alone("wlroots", Self::Wlroots),
            "x11" => Ok(Self::X11(argument.map(display).transpose()?)),
            "kms" => Ok(Self::Kms(argument.map(kms).transpose()?)),
            "synthetic" => Ok(Self::Synthetic(synthetic::parse(argument.unwrap_or_default())?)),
            "pipewire" => {
                let node = argument.ok_or(SourceParseError::Missing("pipewire", "a node number"))?;
                Ok(Self::PipeWire(node.parse().map_err(|_| bad("node", node, "0..=4294967295"))?))
            }
            "replay" => match argument {
                Some(file) if !file.is_empty() => Ok(Self::Replay(file.into())),
                _ => Err(SourceParseError::Missing("replay", "a file")),
            },
            _ => Err(SourceParseError::Unknown(text.to_owned())),
        }
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::X11(None) => f.write_str("x11"),
            Self::X11(Some(display)) => write!(f, "x11:{display}"),
            Self::Portal => f.write_str("portal"),
            Self::Wlroots => f.write_str("wlroots"),
            Self::PipeWire(node) => write!(f, "pipewire:{node}"),
            Self::Kms(None) => f.write_str("kms"),
            Self::Kms(Some(t)) => write!(f, "kms:{}-{}", t.card, t.connector),
            Self::Synthetic(scene) => write!(f, "synthetic:{scene}"),
            Self::Replay(file) => write!(f, "replay:{}", file.display()),
        }
    }
}

impl From<SourceSpec> for String {
    fn from(spec: SourceSpec) -> Self {
        spec.to_string()
    }
}

impl TryFrom<String> for SourceSpec {
    type Error = SourceParseError;

    fn try_from(text: String) -> Result<Self, SourceParseError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> SourceSpec {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn a_display_may_be_written_with_or_without_its_colon() {
        assert_eq!(parse("x11:1"), SourceSpec::X11(Some(":1".into())));
        assert_eq!(parse("x11::1"), SourceSpec::X11(Some(":1".into())));
        assert_eq!(parse("x11::1.2"), SourceSpec::X11(Some(":1.2".into())));
        assert_eq!(parse("x11:far:10.0"), SourceSpec::X11(Some("far:10.0".into())));
        assert_eq!(parse("x11"), SourceSpec::X11(None));
    }

    #[test]
    fn every_written_form_prints_and_parses_to_itself() {
        for text in [
            "auto",
            "x11",
            "x11::1",
            "x11:1",
            "x11:host:0.1",
            "portal",
            "wlroots",
            "pipewire:42",
            "kms",
            "kms:card0-HDMI-A-1",
            "synthetic",
            "synthetic:64x48",
            "synthetic:64x48@30",
            "synthetic:64x48:typing",
            "synthetic:64x48@30:typing",
            "replay:/tmp/a b:c.trace",
        ] {
            let spec = parse(text);
            assert_eq!(parse(&spec.to_string()), spec, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_range() {
        for (text, says) in [
            ("x12", "unknown source \"x12\""),
            ("", "unknown source \"\""),
            ("auto:1", "takes nothing"),
            ("x11:", "display \"\""),
            ("x11:a", "display \"a\""),
            ("x11::1.2.3", "display"),
            ("pipewire", "needs a node number"),
            ("pipewire:-1", "expected 0..=4294967295"),
            ("kms:card0", "expected CARD-CONNECTOR"),
            ("kms:../x-y", "expected CARD-CONNECTOR"),
            ("synthetic:0x4", "16..=16384"),
            ("synthetic:64x16385", "16..=16384"),
            ("synthetic:64x48@0", "1..=240"),
            ("synthetic:64x48:", "scene \"\""),
            ("replay:", "needs a file"),
        ] {
            let said = text.parse::<SourceSpec>().expect_err(text).to_string();
            assert!(said.contains(says), "{text}: {said}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_text_panics_and_what_parses_prints_to_itself(text in "(x11|kms|synthetic|replay|pipewire|auto):?[ -~]{0,12}") {
            if let Ok(spec) = text.parse::<SourceSpec>() {
                prop_assert_eq!(spec.to_string().parse::<SourceSpec>().unwrap(), spec);
            }
        }
    }
}
