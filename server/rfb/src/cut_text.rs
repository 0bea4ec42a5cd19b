//! Text of the plain clipboard messages: Latin-1 with LF.

use std::borrow::Cow;

/// Latin-1 bytes as a string with LF line ends.
///
/// ```
/// assert_eq!(farpane_rfb::cut_text::from_latin1(b"gr\xfc\xdf\r\n"), "gr\u{fc}\u{df}\n");
/// ```
pub fn from_latin1(bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|&b| char::from(b)).collect();
    match lf(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(converted) => converted,
    }
}

/// A string as Latin-1 bytes with LF line ends; characters outside Latin-1 become `?`.
pub fn to_latin1(text: &str) -> Vec<u8> {
    lf(text).chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

/// Whether Latin-1 can carry `text` without loss.
pub fn is_latin1(text: &str) -> bool {
    text.chars().all(|c| u32::from(c) < 256)
}

/// `text` with CRLF and lone CR as LF.
pub fn lf(text: &str) -> Cow<'_, str> {
    if !text.contains('\r') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\r' {
            chars.next_if_eq(&'\n');
            out.push('\n');
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// `text` with LF, lone CR and CRLF all as CRLF.
pub fn crlf(text: &str) -> String {
    let text = lf(text);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' {
            out.push('\r');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn line_ends_of_all_kinds_meet_in_one() {
        assert_eq!(lf("a\r\nb\rc\nd\r\r\n"), "a\nb\nc\nd\n\n");
        assert_eq!(crlf("a\r\nb\rc\nd"), "a\r\nb\r\nc\r\nd");
        assert!(matches!(lf("a\nb"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_latin1_lacks_becomes_a_question_mark() {
        assert_eq!(to_latin1("5 \u{20ac}\r\n"), b"5 ?\n");
        assert!(is_latin1("\u{ff}") && !is_latin1("\u{100}"));
    }

    proptest! {
        #[test]
        fn latin1_survives_the_way_there_and_back(bytes in proptest::collection::vec(any::<u8>().prop_filter("no cr", |b| *b != b'\r'), 0..200)) {
            prop_assert_eq!(to_latin1(&from_latin1(&bytes)), bytes);
        }

        #[test]
        fn crlf_and_lf_undo_each_other(text in "[a-c\r\n]{0,60}") {
            let wire = crlf(&text);
            let local = lf(&text).into_owned();
            prop_assert_eq!(lf(&wire).into_owned(), local);
        }
    }
}
