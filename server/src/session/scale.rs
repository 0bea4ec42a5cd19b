//! How large a client sees the desktop.

use std::fmt;
use std::str::FromStr;

use farpane_engine::geometry::{Scale, Size};
use serde::{Deserialize, Serialize};

/// How large a view is shown. As text: `50%`, `1/3`, or `1280x800`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ScaleSpec {
    /// So many hundredths of what it is, 1 to 100.
    Percent(u8),
    /// One part in so many, 1 or more.
    Divided(u8),
    /// So much smaller that it fits into this; never larger than it is.
    Within(Size),
}

impl Default for ScaleSpec {
    fn default() -> Self {
        Self::Percent(100)
    }
}

/// What is no scale.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scale {0:?} (expected 1% to 100%, 1/2 and so on, or WIDTHxHEIGHT such as 1280x800 to fit into)")]
pub struct ScaleError(String);

impl ScaleSpec {
    /// The ratio for a view of this size.
    pub(super) fn of(self, whole: Size) -> Scale {
        match self {
            Self::Percent(percent) => Scale::new(u16::from(percent), 100),
            Self::Divided(parts) => Scale::new(1, u16::from(parts)),
            Self::Within(room) => Scale::fitting(whole, room),
        }
    }
}

impl FromStr for ScaleSpec {
    type Err = ScaleError;

    fn from_str(text: &str) -> Result<Self, ScaleError> {
        let side = |t: &str| t.parse::<u16>().ok().filter(|v| *v > 0);
        let percent = text.strip_suffix('%').and_then(|t| t.parse().ok()).filter(|p| (1..=100).contains(p));
        let within = || text.split_once('x').and_then(|(w, h)| Some(Size::new(side(w)?, side(h)?)));
        let divided = || text.strip_prefix("1/").and_then(|t| t.parse().ok()).filter(|parts| *parts > 0);
        let spec = percent.map(Self::Percent).or_else(|| divided().map(Self::Divided));
        spec.or_else(|| within().map(Self::Within)).ok_or_else(|| ScaleError(text.to_owned()))
    }
}

impl fmt::Display for ScaleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Divided(parts) => write!(f, "1/{parts}"),
            Self::Within(Size { w, h }) => write!(f, "{w}x{h}"),
        }
    }
}

impl TryFrom<String> for ScaleSpec {
    type Error = ScaleError;

    fn try_from(text: String) -> Result<Self, ScaleError> {
        text.parse()
    }
}

impl From<ScaleSpec> for String {
    fn from(scale: ScaleSpec) -> Self {
        scale.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in ["100%", "1%", "37%", "1/3", "1280x800"] {
            assert_eq!(text.parse::<ScaleSpec>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "0%", "101%", "50", "0.5", "x", "0x10", "10x0", "70000x1", "-5%", "1280x800x2", "1/0", "2/3"] {
            let said = text.parse::<ScaleSpec>().expect_err(text).to_string();
            assert!(said.contains("expected 1% to 100%"), "{said}");
        }
    }

    #[test]
    fn what_is_told_is_what_is_shown() {
        let whole = Size::new(3840, 2160);
        for (spec, shown) in [
            (ScaleSpec::default(), whole),
            (ScaleSpec::Percent(50), Size::new(1920, 1080)),
            (ScaleSpec::Divided(3), Size::new(1280, 720)),
            (ScaleSpec::Within(Size::new(1000, 1000)), Size::new(1000, 562)),
        ] {
            assert_eq!(spec.of(whole).size(whole), shown, "{spec}");
        }
    }
}
