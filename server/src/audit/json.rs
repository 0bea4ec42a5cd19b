//! A flat JSON object in plain ASCII: whatever a field holds, a line stays one line and a terminal shows nothing else.

use std::fmt::Write;

/// Longest text of a field, in bytes of UTF-8 before escaping.
pub(super) const MAX_FIELD: usize = 1024;
/// Stands at the end of a text that was cut.
const CUT: &str = "...";

/// The text, cut to [`MAX_FIELD`] bytes.
pub(super) fn cut(text: &str) -> String {
    if text.len() <= MAX_FIELD {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_FIELD - CUT.len());
    format!("{}{CUT}", text.get(..end).unwrap_or_default())
}

/// An object as it grows.
#[derive(Debug)]
pub(super) struct Object {
    out: String,
}

impl Object {
    pub(super) fn new() -> Self {
        Object { out: String::from("{") }
    }

    fn key(&mut self, key: &'static str) {
        if self.out.len() > 1 {
            self.out.push(',');
        }
        self.string(key);
        self.out.push(':');
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                ' '..='~' => self.out.push(c),
                _ => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
            }
        }
        self.out.push('"');
    }

    pub(super) fn text(&mut self, key: &'static str, text: &str) {
        self.key(key);
        self.string(&cut(text));
    }

    pub(super) fn number(&mut self, key: &'static str, number: u64) {
        self.key(key);
        let _ = write!(self.out, "{number}");
    }

    pub(super) fn yes(&mut self, key: &'static str) {
        self.key(key);
        self.out.push_str("true");
    }

    pub(super) fn list<'a>(&mut self, key: &'static str, texts: impl Iterator<Item = &'a str>) {
        self.key(key);
        self.out.push('[');
        for (n, text) in texts.enumerate() {
            if n > 0 {
                self.out.push(',');
            }
            self.string(&cut(text));
        }
        self.out.push(']');
    }

    pub(super) fn end(mut self) -> String {
        self.out.push('}');
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn any_text_is_one_line_of_ascii_that_reads_back(text in "(\\PC|[\\x00-\\x1f\u{202e}\u{2028}\u{1f600}\"\\\\]){0,40}") {
            let mut object = Object::new();
            object.text("a", &text);
            object.list("b", [text.as_str(), "c"].into_iter());
            object.number("n", u64::MAX);
            object.yes("y");
            let json = object.end();
            prop_assert!(json.bytes().all(|b| (b' '..=b'~').contains(&b)), "{}", json);
            let back: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&back["a"], &serde_json::json!(text));
            prop_assert_eq!(&back["b"], &serde_json::json!([text, "c"]));
            prop_assert_eq!(&back["n"], &serde_json::json!(u64::MAX));
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters_and_say_so() {
        assert_eq!(cut(&"x".repeat(1024)).len(), 1024);
        for text in ["x".repeat(5000), "ö".repeat(3000), "😀".repeat(2000)] {
            let short = cut(&text);
            assert!((1020..=1024).contains(&short.len()) && short.ends_with("..."), "{}", short.len());
        }
    }
}
