//! The types of copied text, as Wayland desktops name them.

/// Types that we give and take, best first.
pub const TEXTS: [&str; 4] = ["text/plain;charset=utf-8", "UTF8_STRING", "text/plain", "TEXT"];
/// Text that may be Latin-1; taken, not given.
const STRING: &str = "STRING";
/// Types of one offer that are looked at.
pub const MAX_TYPES: usize = 256;

/// How the text of an offer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice<'a> {
    /// The type, as the offer spells it.
    pub mime: &'a str,
    /// What is not UTF-8 is Latin-1.
    pub latin1: bool,
}

/// Whether a type is one of text in UTF-8.
pub fn is_text(mime: &str) -> bool {
    TEXTS.iter().any(|text| mime.eq_ignore_ascii_case(text))
}

/// The best type of text in an offer; none when it has none.
pub fn best(offered: &[String]) -> Option<Choice<'_>> {
    let named = |name: &str| offered.iter().find(|t| t.eq_ignore_ascii_case(name)).map(String::as_str);
    let utf8 = TEXTS.iter().find_map(|text| named(text));
    let latin1 = utf8.is_none();
    utf8.or_else(|| named(STRING)).map(|mime| Choice { mime, latin1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_utf8_goes_first_and_is_asked_for_as_it_was_spelt() {
        let offer = |types: &[&str]| types.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let all = offer(&["STRING", "image/png", "TEXT", "text/plain", "Text/Plain;Charset=UTF-8"]);
        assert_eq!(best(&all), Some(Choice { mime: "Text/Plain;Charset=UTF-8", latin1: false }));
        assert_eq!(best(&all[..3]), Some(Choice { mime: "TEXT", latin1: false }));
        assert_eq!(best(&all[..2]), Some(Choice { mime: "STRING", latin1: true }));
        assert_eq!(best(&all[1..2]), None);
        assert!(is_text("utf8_string") && !is_text("STRING") && !is_text("text/html"));
    }
}
