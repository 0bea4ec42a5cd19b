//! The name of a keyboard layout, where a desktop does not tell its own. Pure.
//!
//! Written `LAYOUT[:VARIANT][+LAYOUT[:VARIANT]]...[,OPTION]...`: `de`, `de:nodeadkeys`, `us+ru:phonetic,grp:alt_shift_toggle`. The words are XKB's
//! (xkeyboard-config(7)).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Layouts at once at most, as XKB has it.
const MOST_LAYOUTS: usize = 4;
/// Options at most.
const MOST_OPTIONS: usize = 32;
/// The longest word.
const MOST_CHARS: usize = 64;

/// A text that names no layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutNameError {
    /// A word that is none of XKB's.
    #[error(
        "keyboard layout word {0:?} (expected 1 to {MOST_CHARS} letters, digits, `_`, `-` or `/`; the form is \
         LAYOUT[:VARIANT][+LAYOUT[:VARIANT]][,OPTION], like de:nodeadkeys,caps:escape)"
    )]
    Word(String),
    /// Too many.
    #[error("{0} keyboard layouts (expected 1..={MOST_LAYOUTS})")]
    Layouts(usize),
    /// Too many.
    #[error("{0} keyboard options (expected 0..={MOST_OPTIONS})")]
    Options(usize),
}

/// What a layout is called: XKB's model, layouts with variants, and options.
///
/// ```
/// use farpane_server::input::layout::LayoutName;
/// let name: LayoutName = "de:nodeadkeys,caps:escape".parse()?;
/// assert_eq!(name.to_string(), "de:nodeadkeys,caps:escape");
/// assert!("../de".parse::<LayoutName>().is_err());
/// # Ok::<(), farpane_server::input::layout::LayoutNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayoutName {
    model: Option<String>,
    layouts: Vec<(String, String)>,
    options: Vec<String>,
}

impl Default for LayoutName {
    fn default() -> Self {
        Self { model: None, layouts: vec![("us".into(), String::new())], options: Vec::new() }
    }
}

impl LayoutName {
    /// A name from XKB's own lists with commas, as `XKBLAYOUT` and its siblings have them.
    ///
    /// # Errors
    /// When a word is none, or there are too many.
    pub fn from_lists(model: &str, layouts: &str, variants: &str, options: &str) -> Result<Self, LayoutNameError> {
        let words = |list: &str| list.split(',').map(|w| w.trim().to_owned()).collect::<Vec<_>>();
        let mut variants = words(variants).into_iter();
        let layouts = words(layouts).into_iter().map(|l| (l, variants.next().unwrap_or_default())).collect();
        let options = words(options).into_iter().filter(|o| !o.is_empty()).collect();
        let model = (!model.is_empty()).then(|| model.to_owned());
        Self { model, layouts, options }.checked()
    }

    /// XKB's model, when there is a word on it.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Layouts, each with its variant or nothing.
    pub fn layouts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.layouts.iter().map(|(layout, variant)| (layout.as_str(), variant.as_str()))
    }

    /// Options.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        self.options.iter().map(String::as_str)
    }

    fn checked(self) -> Result<Self, LayoutNameError> {
        if !(1..=MOST_LAYOUTS).contains(&self.layouts.len()) {
            return Err(LayoutNameError::Layouts(self.layouts.len()));
        }
        if self.options.len() > MOST_OPTIONS {
            return Err(LayoutNameError::Options(self.options.len()));
        }
        for (layout, variant) in self.layouts() {
            check(layout, "")?;
            if !variant.is_empty() {
                check(variant, "")?;
            }
        }
        self.options().try_for_each(|option| check(option, ":"))?;
        self.model().map_or(Ok(()), |model| check(model, ""))?;
        Ok(self)
    }
}

fn check(word: &str, more: &str) -> Result<(), LayoutNameError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-/".contains(c) || more.contains(c);
    let right = (1..=MOST_CHARS).contains(&word.len()) && !word.starts_with('/') && word.chars().all(fits);
    if right { Ok(()) } else { Err(LayoutNameError::Word(word.chars().take(MOST_CHARS).collect())) }
}

impl FromStr for LayoutName {
    type Err = LayoutNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(',').map(str::trim);
        let layouts = parts.next().unwrap_or_default().split('+').map(str::trim);
        let layouts = layouts
            .map(|one| match one.split_once(':') {
                Some((_, "")) => Err(LayoutNameError::Word(one.to_owned())),
                Some((layout, variant)) => Ok((layout.to_owned(), variant.to_owned())),
                None => Ok((one.to_owned(), String::new())),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Self { model: None, layouts, options: parts.map(str::to_owned).collect() }.checked()
    }
}

impl fmt::Display for LayoutName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (layout, variant)) in self.layouts().enumerate() {
            let plus = if n == 0 { "" } else { "+" };
            let colon = if variant.is_empty() { "" } else { ":" };
            write!(f, "{plus}{layout}{colon}{variant}")?;
        }
        self.options().try_for_each(|option| write!(f, ",{option}"))
    }
}

impl TryFrom<String> for LayoutName {
    type Error = LayoutNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<LayoutName> for String {
    fn from(name: LayoutName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_have_layouts_variants_and_options() {
        for text in [
            "us",
            "de:nodeadkeys",
            "us+ru:phonetic,grp:alt_shift_toggle,caps:escape",
            "nec_vndr/jp",
            "de,lv3:ralt_switch",
        ] {
            let name: LayoutName = text.parse().expect(text);
            assert_eq!(name.to_string(), text);
        }
        let name: LayoutName = " us + ru:phonetic , grp:alt_shift_toggle".parse().expect("spaces do nothing");
        assert_eq!(name.layouts().collect::<Vec<_>>(), [("us", ""), ("ru", "phonetic")]);
        assert_eq!(name.options().collect::<Vec<_>>(), ["grp:alt_shift_toggle"]);
    }

    #[test]
    fn lists_are_those_of_the_system_s_file() {
        let name = LayoutName::from_lists("pc105", "us,ru", ",phonetic", "grp:alt_shift_toggle,").expect("a name");
        assert_eq!(name.to_string(), "us+ru:phonetic,grp:alt_shift_toggle");
        assert_eq!(name.model(), Some("pc105"));
        assert_eq!(LayoutName::from_lists("", "", "", ""), Err(LayoutNameError::Word(String::new())));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "de:", ":de", "/etc/shadow", "../de", "de,", "d e", "de(neo)", "us+", "a+b+c+d+e", "é"] {
            assert!(text.parse::<LayoutName>().is_err(), "{text}");
        }
        assert!(format!("us{}", ",a:b".repeat(33)).parse::<LayoutName>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_parses_prints_to_itself(text in "[a-z:+,/ .-]{0,40}") {
            if let Ok(name) = text.parse::<LayoutName>() {
                prop_assert_eq!(name.to_string().parse::<LayoutName>(), Ok(name));
            }
        }
    }
}
